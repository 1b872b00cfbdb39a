"""The smallest difference between two orders of rows."""

from hypothesis import given
from hypothesis import strategies as st

from snapview.ui.row_changes import MOST_RANGES, RowChanges, ranges, row_changes

_rows = st.lists(st.integers(0, 30), unique=True)


def _apply(old: list[int], new: list[int], changes: RowChanges) -> list[int]:
    rows = list(old)
    for first, last in changes.removals:
        del rows[first : last + 1]
    if changes.order is not None:
        rows = [rows[at] for at in changes.order]
    for first, last in changes.insertions:
        rows[first:first] = new[first : last + 1]
    return rows


@given(old=_rows, new=_rows)
def test_changes_lead_from_old_to_new(old: list[int], new: list[int]) -> None:
    assert _apply(old, new, row_changes(old, new)) == new


@given(old=_rows, new=_rows)
def test_rows_in_both_are_neither_removed_nor_inserted(old: list[int], new: list[int]) -> None:
    changes = row_changes(old, new)
    removed = {old[at] for first, last in changes.removals for at in range(first, last + 1)}
    inserted = {new[at] for first, last in changes.insertions for at in range(first, last + 1)}
    assert not (removed | inserted) & (set(old) & set(new))


def test_one_insertion_is_one_range() -> None:
    assert row_changes([1, 2, 3], [1, 2, 9, 3]) == RowChanges(insertions=((2, 2),))


def test_equal_rows_change_nothing() -> None:
    assert row_changes([1, 2], [1, 2]) == RowChanges()


def test_many_scattered_changes_are_radical() -> None:
    old = list(range(1000))
    assert row_changes(old, old[::2]).is_radical
    assert not row_changes(old, old[: 1000 - MOST_RANGES]).is_radical


def test_ranges() -> None:
    assert ranges([1, 2, 3, 7, 9, 10]) == [(1, 3), (7, 7), (9, 10)]
