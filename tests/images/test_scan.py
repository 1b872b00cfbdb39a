"""Which tables and entries belong to which states, against looking at every entry by itself."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snapview.images.qcow2 import IN_PLACE, Qcow2
from snapview.images.scan import Unions, find_tables, in_time, mask_of, runs
from snapview.images.source import FileSource
from snapview.images.state_sets import StateSets
from tests.images import qemu

WIDTH = 8
entry = st.sampled_from([0, 0, 1 << 16, 2 << 16, 3 << 16, 1 << 16 | 1 << 63, 2 << 16 | 1 << 63])
rows = st.lists(
    st.tuples(
        st.lists(entry, min_size=WIDTH, max_size=WIDTH),
        st.booleans(),  # the first table of its column
        st.sets(st.integers(0, 5), min_size=1),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=300)
@given(rows)
def test_each_entry_in_use_is_given_to_all_states_that_have_it(
    some: list[tuple[list[int], bool, set[int]]],
) -> None:
    sets = StateSets()
    tables = np.array([table for table, _, _ in some], np.uint64).astype(">u8").view(np.uint64)
    heads = np.array([is_head for _, is_head, _ in some])
    heads[0] = True
    numbers = np.array([sets.number(mask_of(states)) for _, _, states in some], np.int32)
    unions = Unions(sets, 6)
    entries, owners = runs(tables.copy(), heads, numbers, unions)
    found: dict[int, int] = {}
    for value, number in zip(entries.tolist(), owners.tolist(), strict=True):
        found[value] = found.get(value, 0) | sets.mask(number)
    truth: dict[int, int] = {}
    for table, _, states in some:
        for value in table:
            bare = value & ~int(IN_PLACE)
            if bare:
                truth[bare] = truth.get(bare, 0) | mask_of(states)
    assert found == truth


def test_an_entry_that_stays_shows_once() -> None:
    sets = StateSets()
    tables = np.full((50, WIDTH), 7 << 16, ">u8").view(np.uint64)
    heads = np.zeros(50, np.bool_)
    heads[0] = True
    numbers = np.array([sets.number(1 << state) for state in in_time(50)], np.int32)
    entries, owners = runs(tables, heads, numbers, Unions(sets, 50))
    assert entries.tolist() == [7 << 16] * WIDTH
    assert {sets.mask(number) for number in owners.tolist()} == {(1 << 50) - 1}


def test_more_states_than_are_tabulated() -> None:
    sets = StateSets()
    count = 3000
    tables = np.arange(1, count + 1, dtype=np.uint64)[:, None] // np.uint64(100)
    tables = (np.repeat(tables, WIDTH, 1) << np.uint64(16)).astype(">u8").view(np.uint64)
    heads = np.zeros(count, np.bool_)
    heads[0] = True
    numbers = np.array([sets.number(1 << state) for state in in_time(count)], np.int32)
    entries, owners = runs(tables, heads, numbers, Unions(sets, count))
    for value, number in zip(entries.tolist(), owners.tolist(), strict=True):
        first = max(1, (value >> 16) * 100)
        expected = {state % count for state in range(first, min(first + 100, count + 1))}
        assert sets.mask(number) == mask_of(expected)


def test_shared_tables_are_found_once(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "2G")
    qemu.io(path, "write -P 1 0 64k", "write -P 1 600M 64k")
    for name in ("one", "two"):
        qemu.snapshot(path, name)
    qemu.io(path, "write -P 2 0 64k")
    sets = StateSets()
    with FileSource(path) as source:
        found = find_tables(Qcow2(source), sets)
    assert len(set(found.offsets.tolist())) == found.offsets.size == 3
    assert [sets.mask(number) for number in found.sets.tolist()] == [0b110, 0b001, 0b111]
    assert found.heads.tolist() == [True, False, True]
