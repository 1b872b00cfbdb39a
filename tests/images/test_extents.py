"""Sets of bytes, against Python's own sets."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from snapview.images.extents import NOTHING, Extents, union_of

stretches = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=12)


def made(some: list[tuple[int, int]]) -> Extents:
    starts = np.array([start for start, _ in some], np.int64)
    return Extents.of(starts, starts + np.array([length for _, length in some], np.int64))


def members(some: list[tuple[int, int]]) -> set[int]:
    return {byte for start, length in some for byte in range(start, start + length)}


def bytes_of(extents: Extents) -> set[int]:
    pairs = list(zip(extents.starts.tolist(), extents.ends.tolist(), strict=True))
    assert all(end > start for start, end in pairs)
    assert all(b[0] > a[1] for a, b in pairwise(pairs))
    return {byte for start, end in pairs for byte in range(start, end)}


@given(stretches, stretches)
def test_they_do_what_sets_do(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    a, b = made(left), made(right)
    assert bytes_of(a) == members(left)
    assert a.total_bytes == len(members(left))
    assert bytes_of(a.union(b)) == members(left) | members(right)
    assert bytes_of(union_of([a, b, NOTHING])) == members(left) | members(right)
    assert bytes_of(a.without(b)) == members(left) - members(right)
    assert bytes_of(a.common(b)) == members(left) & members(right)


@given(stretches, st.integers(1, 9))
def test_blocks(some: list[tuple[int, int]], grain: int) -> None:
    extents, inside = made(some), members(some)
    blocks = [set(range(at, at + grain)) for at in range(0, 90, grain)]
    assert bytes_of(extents.hull(grain)) == set().union(*(b for b in blocks if b & inside))
    assert bytes_of(extents.within(grain * 5)) == {byte for byte in inside if byte < grain * 5}


def test_whole() -> None:
    assert bytes_of(Extents.whole(5)) == set(range(5))
    assert Extents.whole(0).total_bytes == 0
