"""The smallest difference between two orders of rows, as what an item model can announce.

Pure. Rows that stay keep their identity, so that a view keeps selection and scroll position.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

Range = tuple[int, int]  # first and last row, both included

MOST_RANGES = 100  # beyond that one reset is cheaper for views than many small changes


@dataclass(frozen=True, slots=True)
class RowChanges:
    """How to get from old rows to new ones, to be applied in the order of the fields.

    ``removals`` are in old rows from bottom to top; ``order`` says for each row then left at
    which of the left rows' places it was before (None: order unchanged); ``insertions`` are in
    new rows from top to bottom.
    """

    removals: tuple[Range, ...] = ()
    order: tuple[int, ...] | None = None
    insertions: tuple[Range, ...] = ()

    @property
    def is_radical(self) -> bool:
        """Whether so much changes that starting anew is better."""
        return len(self.removals) + len(self.insertions) > MOST_RANGES


def row_changes(old: Sequence[Hashable], new: Sequence[Hashable]) -> RowChanges:
    """Return what changes between two sequences, each without duplicates, in O(n)."""
    if old == new:
        return RowChanges()
    old_set, new_set = set(old), set(new)
    removed = [at for at, row in enumerate(old) if row not in new_set]
    inserted = [at for at, row in enumerate(new) if row not in old_set]
    left = [row for row in old if row in new_set]
    wanted = [row for row in new if row in old_set]
    order = None
    if left != wanted:
        place = {row: at for at, row in enumerate(left)}
        order = tuple(place[row] for row in wanted)
    return RowChanges(tuple(reversed(ranges(removed))), order, tuple(ranges(inserted)))


def ranges(rows: Iterable[int]) -> list[Range]:
    """Return ascending row numbers as ranges."""
    found: list[Range] = []
    for row in rows:
        if found and found[-1][1] == row - 1:
            found[-1] = (found[-1][0], row)
        else:
            found.append((row, row))
    return found
