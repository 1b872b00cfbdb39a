"""Who needs which bytes of an image: its states, alone or together, or the image itself.

Each host cluster belongs to a set of states. How many bytes each such set holds answers every
question about deleting any selection of snapshots, exactly. Hides how the sets are found without
looking at most entries of the L2 tables more than once: from one snapshot to the next few change.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from snapview.images.directory import Snapshot
from snapview.images.header import Span
from snapview.images.qcow2 import COMPRESSED, IN_PLACE, Entries, Offsets, Qcow2, decoded
from snapview.images.source import BadImage
from snapview.images.state_sets import StateSets, combine

_NOT_IN_PLACE = ~decoded(np.array([IN_PLACE]))[0]
_NO_RECORDS = np.empty(0, np.int64)
_Sets = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Usage:
    """What the states of one image take in its file. All figures in bytes, in whole clusters.

    States are numbered: 0 is the active one, then the snapshots in their table's order.
    """

    cluster_bytes: int
    snapshots: tuple[Snapshot, ...]
    shares: Mapping[int, int]  # bytes by the set of states that need them; bit n is state n
    metadata_bytes: int  # of no state: header, refcounts, snapshot table, bitmaps, encryption
    bitmap_bytes: int  # the part of it that is bitmaps
    allocated_bytes: int | None  # that the refcounts say are taken; None: they may be wrong
    leaked_bytes: int | None  # of those, what nothing refers to
    uncounted_bytes: int | None  # what is referred to, but is free by the refcounts: damage
    _entry_bytes: tuple[int, ...] = field(repr=False, default=())

    def state_bytes(self, state: int) -> int:
        """Return what a state needs, shared or not."""
        return sum(size for states, size in self.shares.items() if states >> state & 1)

    def exclusive_bytes(self, state: int) -> int:
        """Return what only this state needs: its data, tables and saved memory."""
        return self.shares.get(1 << state, 0)

    def freed_bytes(self, states: Iterable[int]) -> int:
        """Return what deleting these snapshots together gives back.

        Not the sum of what each gives back alone. Includes what the snapshot table shrinks by.
        """
        selected = set(states)
        if 0 in selected:
            raise ValueError("the active state cannot be deleted")
        mask = sum(1 << state for state in selected)
        freed = sum(size for states, size in self.shares.items() if not states & ~mask)
        kept = (
            length for state, length in enumerate(self._entry_bytes, 1) if state not in selected
        )
        return (
            freed + self._clusters_bytes(sum(self._entry_bytes)) - self._clusters_bytes(sum(kept))
        )

    def _clusters_bytes(self, length: int) -> int:
        return -(-length // self.cluster_bytes) * self.cluster_bytes


def usage_of(image: Qcow2) -> Usage:
    """Work out who needs which bytes. Reads every L1, L2 and refcount table once.

    Raises:
        BadImage: the image is damaged or hostile.
        OSError: it cannot be read.
    """
    return _Count(image).usage()


class _Count:
    """Gathers records: a host cluster, and a set of states that need it."""

    def __init__(self, image: Qcow2) -> None:
        self.image = image
        self.bits = image.header.cluster_bits
        self.sets = StateSets()
        self.ground = 1 << image.state_count  # stands for the image itself
        self.clusters: list[Offsets] = []
        self.needed_by: list[_Sets] = []

    def usage(self) -> Usage:
        self._add_metadata()
        bitmap_bytes = self._add_bitmaps()
        self._add_guest()
        owners = combine(np.concatenate(self.clusters), np.concatenate(self.needed_by), self.sets)
        cluster_bytes = self.image.header.cluster_bytes
        shares = {states: count * cluster_bytes for states, count in owners.counts().items()}
        metadata_bytes = shares.pop(self.ground, 0)
        if any(states & self.ground for states in shares):
            raise BadImage("A cluster holds both metadata of the image and data of a guest.")
        allocated = leaked = uncounted = None
        if not self.image.header.is_dirty and not self.image.header.is_corrupt:
            used = 0
            leaked_count = 0
            for first, refcounts in self.image.refcounts():
                taken = np.flatnonzero(refcounts) + first
                used += taken.size
                leaked_count += taken.size - owners.count_owned(taken)
            allocated, leaked = used * cluster_bytes, leaked_count * cluster_bytes
            uncounted = metadata_bytes + sum(shares.values()) - (allocated - leaked)
        return Usage(
            cluster_bytes=cluster_bytes,
            snapshots=self.image.snapshots,
            shares=MappingProxyType(shares),
            metadata_bytes=metadata_bytes,
            bitmap_bytes=bitmap_bytes,
            allocated_bytes=allocated,
            leaked_bytes=leaked,
            uncounted_bytes=uncounted,
            _entry_bytes=tuple(each.entry_bytes for each in self.image.snapshots),
        )

    def _add(self, clusters: Offsets, needed_by: int) -> None:
        self.clusters.append(clusters)
        self.needed_by.append(np.full(clusters.size, self.sets.number(needed_by), np.int32))

    def _add_span(self, span: Span | None, needed_by: int) -> None:
        if span is not None and span.length:
            last = (span.offset + span.length - 1) >> self.bits
            self._add(np.arange(span.offset >> self.bits, last + 1), needed_by)

    def _add_metadata(self) -> None:
        header = self.image.header
        self._add(np.zeros(1, np.int64), self.ground)
        self._add_span(header.refcount_table, self.ground)
        self._add_span(header.encryption_header, self.ground)
        table_bytes = sum(snapshot.entry_bytes for snapshot in self.image.snapshots)
        self._add_span(Span(header.snapshots_offset, table_bytes), self.ground)
        blocks = self.image.refcount_blocks()
        self._add(blocks[blocks != 0] >> self.bits, self.ground)
        for state in range(self.image.state_count):
            self._add_span(self.image.l1_span(state), 1 << state)

    def _add_bitmaps(self) -> int:
        before = len(self.clusters)
        self._add_span(self.image.header.bitmap_directory, self.ground)
        for bitmap in self.image.bitmaps:
            self._add_span(bitmap.table, self.ground)
            self._add(self.image.bitmap_clusters(bitmap) >> self.bits, self.ground)
        added = self.clusters[before:]
        return np.unique(np.concatenate([_NO_RECORDS, *added])).size << self.bits

    def _add_guest(self) -> None:
        """Add the L2 tables and what they refer to."""
        tables = _find_tables(self.image, self.sets)
        self.clusters.append(tables.offsets >> self.bits)
        self.needed_by.append(tables.sets)
        if self.image.header.has_data_file:
            return  # the guest's clusters are not in this file
        stride = self.image.header.l2_entry_bytes // 8
        for first, rows in self.image.tables(tables.offsets, tables.heads):
            entries = rows[:, ::stride] if stride > 1 else rows
            count = len(rows)
            heads = tables.heads[first : first + count].copy()
            heads[0] = True
            for found, sets in _runs(entries, heads, tables.sets[first : first + count], self.sets):
                self._add_entries(found, sets)

    def _add_entries(self, entries: Entries, sets: _Sets) -> None:
        is_compressed = (entries & COMPRESSED) != 0
        if is_compressed.any():
            firsts, lasts = self.image.compressed_spans(entries[is_compressed])
            theirs = sets[is_compressed]
            while firsts.size:
                self.clusters.append(firsts)
                self.needed_by.append(theirs)
                more = firsts < lasts
                firsts, lasts, theirs = firsts[more] + 1, lasts[more], theirs[more]
            entries, sets = entries[~is_compressed], sets[~is_compressed]
        offsets = self.image.check_entries(entries)
        if not offsets.all():  # some read as zeros and need no cluster
            has_cluster = offsets != 0
            offsets, sets = offsets[has_cluster], sets[has_cluster]
        self.clusters.append(offsets >> self.bits)
        self.needed_by.append(sets)


@dataclass(frozen=True, slots=True)
class _Tables:
    """The distinct L2 tables: by column, then by the first state that has them."""

    offsets: Offsets
    sets: _Sets
    heads: NDArray[np.bool_]  # the first of its column


def _find_tables(image: Qcow2, sets: StateSets) -> _Tables:
    # The active state comes last: it mostly goes on from the newest snapshot.
    order = [*range(1, image.state_count), 0]
    l1s = [image.l1(state) for state in order]
    offsets = np.concatenate([l1.offsets for l1 in l1s])
    columns = np.concatenate([l1.columns for l1 in l1s])
    places = np.repeat(np.arange(len(order)), [l1.offsets.size for l1 in l1s])
    by_offset = np.lexsort((places, offsets))
    offsets, columns, places = offsets[by_offset], columns[by_offset], places[by_offset]
    starts = np.flatnonzero(np.diff(offsets, prepend=-1))
    if not starts.size:
        return _Tables(offsets, np.empty(0, np.int32), np.empty(0, np.bool_))
    image.check_budget(starts.size)
    ends = np.append(starts[1:], offsets.size)
    firsts, lasts = places[starts], places[ends - 1]
    numbers = np.empty(starts.size, np.int32)
    # Nearly all tables belong to states that follow one another.
    in_a_row = lasts - firsts + 1 == ends - starts
    codes, which = np.unique(firsts[in_a_row] * len(order) + lasts[in_a_row], return_inverse=True)
    known = [
        sets.number(_mask(order[c // len(order) : c % len(order) + 1])) for c in codes.tolist()
    ]
    numbers[in_a_row] = np.array(known, np.int32)[which]
    for table in np.flatnonzero(~in_a_row).tolist():
        members = set(places[starts[table] : ends[table]].tolist())
        numbers[table] = sets.number(_mask(order[place] for place in members))
    columns = np.minimum.reduceat(columns, starts)
    by_column = np.lexsort((firsts, columns))
    heads = np.diff(columns[by_column], prepend=-1) != 0
    return _Tables(offsets[starts][by_column], numbers[by_column], heads)


def _mask(states: Iterable[int]) -> int:
    mask = 0
    for state in states:
        mask |= 1 << state
    return mask


def _runs(
    rows: Entries, heads: NDArray[np.bool_], row_sets: _Sets, sets: StateSets
) -> Iterator[tuple[Entries, _Sets]]:
    """Yield the entries in use, each with the set of the states of all following equal rows.

    An entry that stays the same from one table of a column to the next shows once.
    """
    if heads.all():
        at = np.flatnonzero(rows)
        entries = rows.ravel()[at] if rows.flags.c_contiguous else rows[rows != 0]
        yield decoded(entries) & ~IN_PLACE, row_sets[at // rows.shape[1]]
        return
    rows = np.bitwise_and(rows, _NOT_IN_PLACE, out=rows)
    changed = np.empty(rows.shape, np.bool_)
    np.not_equal(rows[1:], rows[:-1], out=changed[1:])
    head_rows = np.flatnonzero(heads)
    for head in head_rows.tolist():
        np.not_equal(rows[head], 0, out=changed[head])
    at = np.flatnonzero(changed)
    firsts, lasts, at = _stretches(at, rows.shape, heads)
    entries = rows[firsts, at]
    used = entries != 0
    entries, firsts, lasts = entries[used], firsts[used], lasts[used]
    yield decoded(entries), _united(firsts, lasts, row_sets, sets)


def _stretches(
    at: Offsets, shape: tuple[int, ...], heads: NDArray[np.bool_]
) -> tuple[Offsets, Offsets, Offsets]:
    """Return the first and last row, and the place within the row, of each stretch."""
    height, width = shape
    first_rows = np.flatnonzero(heads)
    group_of = np.cumsum(heads) - 1
    last_of_group = np.append(first_rows[1:], height) - 1
    rows, places = at >> (width.bit_length() - 1), at & (width - 1)
    groups = group_of[rows]
    columns = groups * width + places
    lasts = last_of_group[groups]
    # Only where a column changes within its group, stretches end before the group does.
    is_several = np.bincount(columns)[columns] > 1
    some = np.flatnonzero(is_several)
    if some.size:
        bits = height.bit_length()
        kind = np.int32 if int(columns.max()).bit_length() + bits < 31 else np.int64
        keys = np.sort((columns[some] << bits | rows[some]).astype(kind)).astype(np.int64)
        columns, starts = keys >> bits, keys & ((1 << bits) - 1)
        ends = last_of_group[columns >> (width.bit_length() - 1)]
        goes_on = columns[1:] == columns[:-1]
        ends[:-1][goes_on] = starts[1:][goes_on] - 1
        rows[some], lasts[some], places[some] = starts, ends, columns & (width - 1)
    return rows, lasts, places


def _united(firsts: Offsets, lasts: Offsets, row_sets: _Sets, sets: StateSets) -> _Sets:
    """Return for each stretch of rows the set of all their states."""
    if not firsts.size:
        return np.empty(0, np.int32)
    lengths = lasts - firsts
    width = int(lengths.max()) + 1
    codes = firsts * width + lengths
    numbers = np.zeros(row_sets.size * width, np.int32)
    numbers[codes] = 1
    wanted = np.flatnonzero(numbers)
    numbers[wanted] = [*_unions(wanted.tolist(), width, row_sets.tolist(), sets)]
    return numbers[codes]


def _unions(codes: list[int], width: int, row_sets: list[int], sets: StateSets) -> Iterator[int]:
    """Yield the numbers of the unions; ``codes`` ascend, so that each goes on from the last."""
    at, done, union = -1, 0, 0
    for code in codes:
        row, length = divmod(code, width)
        if row != at:
            at, done, union = row, 0, sets.mask(row_sets[row])
        while done < length:
            done += 1
            union |= sets.mask(row_sets[row + done])
        yield sets.number(union)
