"""The metadata of a qcow2 image as arrays: L1 and L2 tables, refcounts, bitmaps.

Hides the format. Everything is checked before it is used; how much is read, and how much memory
that takes, is bounded whatever a file claims. Each table is read once, however many states use it.
"""

import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snapview.images.directory import Bitmap, Snapshot, read_bitmaps, read_snapshots
from snapview.images.header import Span, check_l1, read_header
from snapview.images.source import BadImage, Source

Offsets = NDArray[np.int64]
Entries = NDArray[np.uint64]

_IS_LITTLE_ENDIAN = sys.byteorder == "little"

IN_PLACE = np.uint64(1 << 63)  # in L1 and L2 entries: nobody else uses it
COMPRESSED = np.uint64(1 << 62)
READS_ZERO = np.uint64(1)
OFFSET = np.uint64((1 << 56) - (1 << 9))

_L1_RESERVED = np.uint64(0x7F000000000001FF)
_L2_RESERVED = np.uint64(0x3F000000000001FE)
_BITMAP_RESERVED = np.uint64(0xFF000000000001FE)
_REFCOUNT_RESERVED = np.uint64(0x1FF)

_MOST_TABLE_BYTES = 4 << 30
_MOST_L1_BYTES = 128 << 20
_BATCH_BYTES = 4 << 20


def decoded(raw: Entries) -> Entries:
    """Return entries as numbers of this machine; big-endian ones as they were before."""
    return raw.byteswap() if _IS_LITTLE_ENDIAN else raw


@dataclass(frozen=True, slots=True)
class L1:
    """The used entries of an L1 table: which column of L2 entries each describes, and where."""

    columns: Offsets
    offsets: Offsets  # of the L2 tables
    is_in_place: NDArray[np.bool_]  # the L2 table is used by nobody else; true for the active L1


class Qcow2:
    """A qcow2 image, read through a source that stays open. State 0 is the active one.

    Args:
        source: its bytes.
        most_table_bytes: so much of L1, L2 and refcount tables is read at most.

    Raises:
        BadImage: it is no qcow2 image, or a damaged or hostile one. So does every method.
        OSError: it cannot be read. So does every method.
    """

    def __init__(self, source: Source, *, most_table_bytes: int = _MOST_TABLE_BYTES) -> None:
        self._source = source
        self._most_table_bytes = most_table_bytes
        self.header = read_header(source)
        self.snapshots: tuple[Snapshot, ...] = read_snapshots(source, self.header)
        spans = {self.header.l1, *(each.l1 for each in self.snapshots)}
        if sum(span.length for span in spans) > _MOST_L1_BYTES:
            raise BadImage("The image claims more L1 tables than can be read.")

    @functools.cached_property
    def bitmaps(self) -> tuple[Bitmap, ...]:
        """The bitmaps that are stored consistently."""
        return read_bitmaps(self._source, self.header)

    @property
    def state_count(self) -> int:
        """How many states there are: the active one and the snapshots."""
        return 1 + len(self.snapshots)

    def l1_span(self, state: int) -> Span:
        """Return where the L1 table of a state lies."""
        return self.snapshots[state - 1].l1 if state else self.header.l1

    def l1(self, state: int) -> L1:
        """Read the L1 table of a state."""
        span = self.l1_span(state)
        check_l1(self._source, self.header, span)
        raw = self._source.read(span.offset, span.length)
        if len(raw) < span.length:
            raise BadImage("An L1 table lies past the end of the file.")
        entries = np.frombuffer(raw, ">u8").astype(np.uint64)
        columns = np.flatnonzero(entries)
        entries = entries[columns]
        if (entries & _L1_RESERVED).any():
            raise BadImage("An L1 table has entries that mean nothing.")
        offsets = (entries & OFFSET).astype(np.int64)
        used = offsets != 0
        offsets, columns, entries = offsets[used], columns[used], entries[used]
        self.check_clusters(offsets, "An L2 table", self.header.cluster_bytes)
        return L1(columns.astype(np.int64), offsets, (entries & IN_PLACE) != 0)

    def check_clusters(self, offsets: Offsets, what: str, length: int = 1) -> None:
        """Check that clusters begin where clusters do, and that ``length`` bytes are in the file.

        Of what QEMU writes in whole clusters the file has all; of guest data perhaps only a part.
        """
        if not offsets.size:
            return
        if (offsets & (self.header.cluster_bytes - 1)).any():
            raise BadImage(f"{what} does not begin at a cluster.")
        if int(offsets.max()) + length > self._source.size_bytes:
            raise BadImage(f"{what} lies past the end of the file.")

    def check_budget(self, table_count: int) -> None:
        """Check that so many tables of a cluster each may be read."""
        if table_count * self.header.cluster_bytes > self._most_table_bytes:
            raise BadImage(f"The image claims {table_count} tables, more than can be read.")

    def tables(
        self, offsets: Offsets, heads: NDArray[np.bool_] | None = None
    ) -> Iterator[tuple[int, Entries]]:
        """Read tables of a cluster each, in their order, a batch at a time.

        Yields the number of a batch's first table, and its tables as rows of big-endian numbers
        in one array, which the next batch overwrites. Batches begin at a head where they can.
        """
        count, cluster_bytes = len(offsets), self.header.cluster_bytes
        self.check_budget(count)
        starts = np.flatnonzero(heads) if heads is not None else np.arange(count)
        longest = int(np.diff(starts, append=count).max()) if starts.size else 1
        rows = max(1, min(_BATCH_BYTES // cluster_bytes, count, 4096))
        rows = max(rows, min(longest, 4096, (32 << 20) // cluster_bytes))
        buffer = np.empty(rows * cluster_bytes, np.uint8)
        view = memoryview(buffer)  # type: ignore[arg-type] # numpy is a Buffer from 3.12 on
        first = 0
        while first < count:
            last = min(first + rows, count)
            if last < count:
                head = int(starts[np.searchsorted(starts, last, "right") - 1])
                last = head if head > first else last
            used = (last - first) * cluster_bytes
            self._source.read_many(offsets[first:last].tolist(), cluster_bytes, view[:used])
            yield first, buffer[:used].view(np.uint64).reshape(last - first, -1)
            first = last

    def compressed_spans(self, entries: Entries) -> tuple[Offsets, Offsets]:
        """Return the first and the last host cluster of each compressed cluster."""
        bits = self.header.cluster_bits
        shift = np.uint64(62 - (bits - 8))
        offset = (entries & ((np.uint64(1) << shift) - np.uint64(1))).astype(np.int64)
        counts = (entries & (COMPRESSED - np.uint64(1))) >> shift
        sectors = counts.astype(np.int64) + 1
        end = (offset & ~511) + sectors * 512
        if offset.size and int(offset.max()) >= self._source.size_bytes:
            raise BadImage("A compressed cluster lies past the end of the file.")
        return offset >> bits, (end - 1) >> bits

    def check_entries(self, entries: Entries) -> Offsets:
        """Check standard L2 entries and return their host offsets; 0 is none."""
        reserved = _L2_RESERVED
        if self.header.version == 2 or self.header.has_extended_l2:
            reserved |= READS_ZERO
        if (entries & reserved).any():
            raise BadImage("An L2 table has entries that mean nothing.")
        offsets: Offsets = (entries & OFFSET).astype(np.int64)
        if self.header.has_data_file:
            if (offsets & (self.header.cluster_bytes - 1)).any():
                raise BadImage("A guest cluster does not begin at a cluster.")
        else:
            self.check_clusters(offsets, "A guest cluster")
        return offsets

    def refcount_blocks(self) -> Offsets:
        """Return where the refcount blocks lie; 0: all its clusters are free."""
        span = self.header.refcount_table
        raw = self._source.read(span.offset, span.length)
        if len(raw) < span.length:
            raise BadImage("The refcount table lies past the end of the file.")
        entries = np.frombuffer(raw, ">u8").astype(np.uint64)
        if (entries & _REFCOUNT_RESERVED).any() or (entries >> np.uint64(56)).any():
            raise BadImage("The refcount table has entries that mean nothing.")
        blocks = entries.astype(np.int64)
        used = blocks[blocks != 0]
        self.check_clusters(used, "A refcount block", self.header.cluster_bytes)
        if np.unique(used).size != used.size:
            raise BadImage("The refcount table names a block twice.")
        return blocks

    def refcounts(self) -> Iterator[tuple[int, Entries]]:
        """Yield, for stretches of host clusters, the first one's number and their refcounts."""
        blocks = self.refcount_blocks()
        numbers = np.flatnonzero(blocks)
        per_block = self.header.cluster_bytes * 8 // self.header.refcount_bits
        for first, rows in self.tables(blocks[numbers]):
            for row, number in zip(rows, numbers[first:], strict=False):
                yield int(number) * per_block, _unpacked(row, self.header.refcount_bits)

    def bitmap_clusters(self, bitmap: Bitmap) -> Offsets:
        """Return where the data of a bitmap lies."""
        raw = self._source.read(bitmap.table.offset, bitmap.table.length)
        entries = np.frombuffer(raw[: len(raw) & ~7], ">u8").astype(np.uint64)
        if (entries & _BITMAP_RESERVED).any():
            raise BadImage("A bitmap's table has entries that mean nothing.")
        offsets: Offsets = (entries & OFFSET).astype(np.int64)
        offsets = offsets[offsets != 0]
        self.check_clusters(offsets, "A bitmap's data")
        return offsets


def _unpacked(row: Entries, bits: int) -> Entries:
    """Return the refcounts of a block. Below a byte, the least significant bits come first."""
    if bits >= 8:
        return row.view(f">u{bits // 8}").astype(np.uint64)
    octets = row.view(np.uint8)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    mask = np.uint8((1 << bits) - 1)
    return ((octets[:, None] >> shifts) & mask).astype(np.uint64).ravel()
