"""How long safety snapshots are kept, and how consistent they are, in words."""

from datetime import UTC, datetime

import pytest

from snapview.core.marks import Consistency, Marks, with_marks
from snapview.ui.retention import (
    consistency_text,
    is_expired,
    is_kept,
    retention_text,
)
from tests.ui.views import NOW, snapshot

pytestmark = pytest.mark.usefixtures("qapp")
KEPT = snapshot("x", description="Kept until 2026-11-22")


def test_kept_states_are_those_of_reverts_and_those_marked_so() -> None:
    assert is_kept(snapshot("x", title="before revert to “tuned”"))
    assert is_kept(KEPT)
    assert not is_kept(snapshot("x", title="before load test"))


def test_the_last_day_counts() -> None:
    assert not is_expired(KEPT, NOW)
    assert retention_text(KEPT, NOW) == "kept until 22 November"
    later = datetime(2026, 11, 24, tzinfo=UTC)
    assert is_expired(KEPT, later)
    assert retention_text(KEPT, later) == "may go since 22 November"
    assert retention_text(KEPT, datetime(2027, 2, 1, tzinfo=UTC)).endswith("22 November 2026")


def test_nobody_said() -> None:
    plain = snapshot("x", description="Kept until doomsday")
    assert not is_expired(plain, NOW)
    assert retention_text(plain, NOW) == ""
    assert consistency_text(plain) == ""


def test_every_consistency_has_its_own_words() -> None:
    found = {
        consistency_text(snapshot("x", description=with_marks("Why.", Marks(each))))
        for each in Consistency
    }
    assert len(found) == len(Consistency)
    assert all(found)
