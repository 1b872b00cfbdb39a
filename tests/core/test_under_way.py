import pytest

from snapview.core.under_way import BlockJobType


@pytest.mark.parametrize("kind", BlockJobType)
def test_mirrors_go_on_until_somebody_ends_them(kind: BlockJobType) -> None:
    assert kind.needs_pivot is (kind in {BlockJobType.COPY, BlockJobType.ACTIVE_COMMIT})
