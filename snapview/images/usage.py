"""Who needs which bytes of an image: its states, alone or together, or the image itself.

Each host cluster belongs to a set of states. How many bytes each such set holds answers every
question about deleting any selection of snapshots, exactly. Hides how the sets are found without
looking at most entries of the L2 tables more than once: from one snapshot to the next few change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from snapview.images.directory import Snapshot
from snapview.images.header import Span
from snapview.images.qcow2 import COMPRESSED, OFFSET, Entries, Offsets, Qcow2, decoded
from snapview.images.scan import Sets, Unions, find_tables, runs
from snapview.images.source import BadImage
from snapview.images.state_sets import Owners, StateSets


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
    memory_bytes: tuple[int, ...]  # by snapshot: the part of its state that is saved memory
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
    """Gathers which host clusters are needed by which states."""

    def __init__(self, image: Qcow2) -> None:
        self.image = image
        self.bits = image.header.cluster_bits
        self.sets = StateSets()
        self.ground = 1 << image.state_count  # stands for the image itself
        self.owners = Owners(self.sets)

    def usage(self) -> Usage:
        self._add_metadata()
        bitmap_bytes = self._add_bitmaps()
        self._add_guest()
        owners = self.owners
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
            memory_bytes=tuple(map(self._memory_bytes, range(1, self.image.state_count))),
            _entry_bytes=tuple(each.entry_bytes for each in self.image.snapshots),
        )

    def _add(self, clusters: Offsets, needed_by: int) -> None:
        self.owners.add(clusters, np.full(clusters.size, self.sets.number(needed_by), np.int32))

    def _add_span(self, span: Span | None, needed_by: int) -> None:
        if span is not None:
            self._add(self._clusters_of(span), needed_by)

    def _clusters_of(self, span: Span) -> Offsets:
        if not span.length:
            return np.empty(0, np.int64)
        last = (span.offset + span.length - 1) >> self.bits
        return np.arange(span.offset >> self.bits, last + 1)

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
        directory = self.image.header.bitmap_directory
        if directory is None:
            return 0
        parts = [self._clusters_of(directory)]
        for bitmap in self.image.bitmaps:
            parts.append(self._clusters_of(bitmap.table))
            parts.append(self.image.bitmap_clusters(bitmap) >> self.bits)
        clusters = np.unique(np.concatenate(parts))
        self._add(clusters, self.ground)
        return clusters.size << self.bits

    def _add_guest(self) -> None:
        """Add the L2 tables and what they refer to."""
        tables = find_tables(self.image, self.sets)
        unions = Unions(self.sets, self.image.state_count)
        self.owners.add(tables.offsets >> self.bits, tables.sets)
        if self.image.header.has_data_file:
            return  # the guest's clusters are not in this file
        stride = self.image.header.l2_entry_bytes // 8
        for first, rows in self.image.tables(tables.offsets, tables.heads):
            entries = rows[:, ::stride] if stride > 1 else rows
            count = len(rows)
            heads = tables.heads[first : first + count].copy()
            heads[0] = True
            row_sets = tables.sets[first : first + count]
            self._add_entries(*runs(entries, heads, row_sets, unions))

    def _memory_bytes(self, state: int) -> int:
        """Return what the saved memory of a snapshot takes: it lies behind the end of the disk."""
        header, snapshot = self.image.header, self.image.snapshots[state - 1]
        if not snapshot.vm_state_bytes:
            return 0
        disk_bytes = header.size_bytes if snapshot.size_bytes is None else snapshot.size_bytes
        l1 = self.image.l1(state)
        tables = l1.offsets[l1.columns >= -(-disk_bytes // (header.l2_entries << self.bits))]
        count = tables.size
        for _, rows in self.image.tables(tables):
            found = decoded(rows[:, :: header.l2_entry_bytes // 8])
            count += int(np.count_nonzero(found & OFFSET))
        return count * header.cluster_bytes

    def _add_entries(self, entries: Entries, sets: Sets) -> None:
        is_compressed = (entries & COMPRESSED) != 0
        if is_compressed.any():
            firsts, lasts = self.image.compressed_spans(entries[is_compressed])
            theirs = sets[is_compressed]
            while firsts.size:
                self.owners.add(firsts, theirs)
                more = firsts < lasts
                firsts, lasts, theirs = firsts[more] + 1, lasts[more], theirs[more]
            entries, sets = entries[~is_compressed], sets[~is_compressed]
        offsets = self.image.check_entries(entries)
        if not offsets.all():  # some read as zeros and need no cluster
            has_cluster = offsets != 0
            offsets, sets = offsets[has_cluster], sets[has_cluster]
        self.owners.add(offsets >> self.bits, sets)
