"""Walks the L2 tables of all states: each table once, and what stays the same once.

From one snapshot to the next few entries change, so tables of one column are compared with one
another, and only where they differ anything is looked at. Hides that, and in which order they are.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snapview.images.qcow2 import IN_PLACE, Entries, Offsets, Qcow2, decoded
from snapview.images.state_sets import StateSets

_IN_PLACE_RAW = decoded(np.array([IN_PLACE]))[0]
_MOST_TABULATED = 2048  # states

Sets = NDArray[np.int32]  # numbers of sets of states
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tables:
    """The distinct L2 tables: by column, then by the first state that has them."""

    offsets: Offsets
    sets: Sets
    heads: NDArray[np.bool_]  # the first of its column


def find_tables(image: Qcow2, sets: StateSets) -> Tables:
    """Read the L1 tables and say which L2 tables there are, and whose.

    Raises:
        BadImage: one of them is damaged.
        OSError: they cannot be read.
    """
    order = in_time(image.state_count)
    l1s = [image.l1(state) for state in order]
    offsets = np.concatenate([l1.offsets for l1 in l1s])
    columns = np.concatenate([l1.columns for l1 in l1s])
    places = np.repeat(np.arange(len(order)), [l1.offsets.size for l1 in l1s])
    by_offset = np.lexsort((places, offsets))
    offsets, columns, places = offsets[by_offset], columns[by_offset], places[by_offset]
    starts = np.flatnonzero(np.diff(offsets, prepend=-1))
    if not starts.size:
        return Tables(offsets, np.empty(0, np.int32), np.empty(0, np.bool_))
    image.check_budget(starts.size)
    ends = np.append(starts[1:], offsets.size)
    firsts, lasts = places[starts], places[ends - 1]
    numbers = np.empty(starts.size, np.int32)
    # Nearly all tables belong to states that follow one another.
    in_a_row = lasts - firsts + 1 == ends - starts
    codes, which = np.unique(firsts[in_a_row] * len(order) + lasts[in_a_row], return_inverse=True)
    known = [
        sets.number(mask_of(order[c // len(order) : c % len(order) + 1])) for c in codes.tolist()
    ]
    numbers[in_a_row] = np.array(known, np.int32)[which]
    for table in np.flatnonzero(~in_a_row).tolist():
        members = set(places[starts[table] : ends[table]].tolist())
        numbers[table] = sets.number(mask_of(order[place] for place in members))
    columns = np.minimum.reduceat(columns, starts)
    by_column = np.lexsort((firsts, columns))
    heads = np.diff(columns[by_column], prepend=-1) != 0
    return Tables(offsets[starts][by_column], numbers[by_column], heads)


def in_time(state_count: int) -> list[int]:
    """Return the states, the active one last: it mostly goes on from the newest snapshot."""
    return [*range(1, state_count), 0]


def mask_of(states: Iterable[int]) -> int:
    """Return the set of these states."""
    mask = 0
    for state in states:
        mask |= 1 << state
    return mask


class Unions:
    """Finds the sets of the states of rows that follow one another.

    Mostly a row's states follow one another too, and so do the next row's, with the active state
    last. Then a union is told by its first and its last state.
    """

    def __init__(self, sets: StateSets, state_count: int) -> None:
        self._sets = sets
        self._count = state_count
        self._firsts = np.empty(0, np.int64)  # by a set's number, if its states follow one another
        self._lasts = np.empty(0, np.int64)
        width = state_count if state_count <= _MOST_TABULATED else 0
        self._numbers = np.full(width * width, -1, np.int32)

    def of(self, firsts: Rows, lasts: Rows, row_sets: Sets) -> Sets:
        """Return for each stretch of rows the number of the set of all their states."""
        if not self._numbers.size:
            return self._slowly(firsts, lasts, row_sets)
        self._learn()
        first_states, last_states = self._firsts[row_sets], self._lasts[row_sets]
        breaks = np.zeros(row_sets.size, np.int64)
        np.cumsum(first_states[1:] != last_states[:-1] + 1, out=breaks[1:])
        codes = first_states[firsts] * self._count + last_states[lasts]
        odd = (breaks[firsts] != breaks[lasts]) | (first_states[firsts] < 0)
        if not odd.any():
            return self._by_code(codes)
        numbers = np.empty(codes.size, np.int32)
        numbers[~odd] = self._by_code(codes[~odd])
        numbers[odd] = self._slowly(firsts[odd], lasts[odd], row_sets)
        return numbers

    def _by_code(self, codes: Rows) -> Sets:
        numbers = self._numbers[codes]
        unknown = numbers < 0
        if unknown.any():
            states = in_time(self._count)
            for code in np.unique(codes[unknown]).tolist():
                first, last = divmod(code, self._count)
                self._numbers[code] = self._sets.number(mask_of(states[first : last + 1]))
            numbers = self._numbers[codes]
        return numbers

    def _learn(self) -> None:
        """Look whether the states of new sets follow one another."""
        new = [self._ends(number) for number in range(self._firsts.size, len(self._sets))]
        if new:
            ends = np.array(new, np.int64)
            self._firsts = np.concatenate([self._firsts, ends[:, 0]])
            self._lasts = np.concatenate([self._lasts, ends[:, 1]])

    def _ends(self, number: int) -> tuple[int, int]:
        mask = self._sets.mask(number)
        places = mask >> 1 | (mask & 1) << (self._count - 1)
        first, last = (places & -places).bit_length() - 1, places.bit_length() - 1
        return (first, last) if last - first + 1 == places.bit_count() else (-1, -1)

    def _slowly(self, firsts: Rows, lasts: Rows, row_sets: Sets) -> Sets:
        if not firsts.size:
            return np.empty(0, np.int32)
        lengths = lasts - firsts
        width = int(lengths.max()) + 1
        codes = firsts.astype(np.int64) * width + lengths
        numbers = np.zeros(row_sets.size * width, np.int32)
        numbers[codes] = 1
        wanted = np.flatnonzero(numbers)
        numbers[wanted] = [*self._walk(wanted.tolist(), width, row_sets.tolist())]
        return numbers[codes]

    def _walk(self, codes: list[int], width: int, row_sets: list[int]) -> Iterator[int]:
        """Yield the numbers of the unions; ``codes`` ascend, so that each goes on from the last."""
        at, done, union = -1, 0, 0
        for code in codes:
            row, length = divmod(code, width)
            if row != at:
                at, done, union = row, 0, self._sets.mask(row_sets[row])
            while done < length:
                done += 1
                union |= self._sets.mask(row_sets[row + done])
            yield self._sets.number(union)


def runs(
    rows: Entries, heads: NDArray[np.bool_], row_sets: Sets, unions: Unions
) -> tuple[Entries, Sets]:
    """Return the entries in use, each with the set of the states of all following equal rows.

    An entry that stays the same from one table of a column to the next shows once.
    """
    rows = np.ascontiguousarray(rows)
    width = rows.shape[1]
    flat = rows.ravel()
    if heads.all():
        at = np.flatnonzero(flat)
        return decoded(flat[at]) & ~IN_PLACE, row_sets[at // width]
    changed = np.empty(rows.shape, np.bool_)
    np.not_equal(rows[1:], rows[:-1], out=changed[1:])
    for head in np.flatnonzero(heads).tolist():
        np.not_equal(rows[head], 0, out=changed[head])
    at = np.flatnonzero(changed)
    entries, before = flat[at], flat[at - width]
    in_row = at // width
    # Looking at this bit where entries differ costs less than clearing it everywhere.
    same = (entries ^ before == _IN_PLACE_RAW) & ~heads[in_row]
    if same.any():
        at, in_row, entries = at[~same], in_row[~same], entries[~same]
    lasts = _stretches(at, in_row, heads, width)
    entries = decoded(entries) & ~IN_PLACE
    used = entries != 0
    if not used.all():
        entries, in_row, lasts = entries[used], in_row[used], lasts[used]
    return entries, unions.of(in_row, lasts, row_sets)


def _stretches(at: Rows, firsts: Rows, heads: NDArray[np.bool_], width: int) -> Rows:
    """Return the last row of each stretch: before the next one at its place, or of the column."""
    head_rows = np.flatnonzero(heads)
    ends = np.append(head_rows[1:], heads.size)
    lasts: Rows = np.repeat(ends - 1, ends - head_rows)[firsts]
    # An entry's place among those of all columns: as if all its stretches began in the first row.
    columns = at - ((np.arange(heads.size) - np.cumsum(heads) + 1) * width)[firsts]
    # Only where a column changes within its group, stretches end before the group does.
    some = np.flatnonzero(np.bincount(columns)[columns] > 1)
    if some.size:
        some = some[np.argsort(columns[some], kind="stable")]  # rows ascend already
        goes_on = np.flatnonzero(columns[some[1:]] == columns[some[:-1]])
        lasts[some[goes_on]] = firsts[some[goes_on + 1]] - 1
    return lasts
