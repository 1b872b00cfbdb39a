"""Room on the host: certain lack refuses, possible lack warns, the unknown says nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.planning.space import (
    Need,
    need_of_memory,
    need_of_overlay,
    size_text,
    tight,
    too_small,
)
from snapview.core.storage import Storage

GIB = 1 << 30


def free(**folders: int) -> Storage:
    return Storage(free_bytes={f"/{name}": size for name, size in folders.items()})


@pytest.mark.parametrize(
    ("free_bytes", "refused", "warned"),
    [
        (0, True, True),
        (4 << 20, True, True),  # even empty memory takes more than that
        (5 << 20, False, True),
        (2 * GIB, False, True),
        (3 * GIB, False, False),
        (100 * GIB, False, False),
    ],
)
def test_two_gibibytes_of_memory(free_bytes: int, refused: bool, warned: bool) -> None:
    needs = [need_of_memory("/a/x.mem", 2 * GIB), need_of_overlay("/a/x.qcow2")]
    assert bool(too_small(free(a=free_bytes), needs)) is refused
    assert bool(tight(free(a=free_bytes), needs)) is warned


def test_files_of_one_folder_count_together_and_of_two_apart() -> None:
    needs = [Need("/a/x", 6, 60), Need("/a/y", 6, 60)]
    assert "/a" in too_small(free(a=11), needs)
    assert not too_small(free(a=12), needs)
    apart = [Need("/a/x", 6, 60), Need("/b/y", 6, 60)]
    assert not too_small(free(a=6, b=6), apart)
    assert "/b" in too_small(free(a=6, b=5), apart)
    assert "/b" in tight(free(a=1000, b=61), apart)


def test_what_is_unknown_is_neither_too_small_nor_tight() -> None:
    needs = [Need("/a/x", 6, 60)]
    for storage in (None, Storage(), free(b=0)):
        assert not too_small(storage, needs)
        assert not tight(storage, needs)
    assert not too_small(free(a=0), [])


def test_the_sentence_names_what_is_needed_and_what_is_free() -> None:
    text = tight(free(a=3 * GIB), [need_of_memory("/a/x.mem", 4 * GIB)])
    assert text == "Up to 4.0 GiB are written into /a, where 3.0 GiB are free."


@given(st.integers(0, 1 << 44), st.integers(0, 1 << 44))
def test_what_refuses_would_have_warned(free_bytes: int, memory_bytes: int) -> None:
    needs = [need_of_memory("/a/x.mem", memory_bytes)]
    storage = free(a=free_bytes)
    assert not too_small(storage, needs) or tight(storage, needs)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 MiB"), (192 << 10, "192 KiB"), (50 << 20, "50 MiB"), (GIB * 3 // 2, "1.5 GiB")],
)
def test_sizes_in_words(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text
