"""The snapshot table and the bitmap directory of a qcow2 image: lists whose entries vary in length.

Hides how they are found and checked; like the header's, none of their figures is believed.
"""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from snapview.images.header import MOST_TABLE_BYTES, Header, Span, check_l1, check_span
from snapview.images.source import BadImage, Source

_SNAPSHOT = struct.Struct(">QIHHIIQII")
_BITMAP = struct.Struct(">QIIBBHI")

_MOST_EXTRA_BYTES = 1024  # QEMU's own limit
_AHEAD_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An entry of the snapshot table."""

    id: str
    name: str
    created_at: datetime
    vm_state_bytes: int
    size_bytes: int | None  # of the disk then; None: not recorded
    clock_ns: int  # how long the guest had run
    l1: Span
    entry_bytes: int  # that the entry takes in the table


@dataclass(frozen=True, slots=True)
class Bitmap:
    """An entry of the bitmap directory."""

    name: str
    granularity_bytes: int
    is_in_use: bool  # not saved properly: not to be trusted
    is_auto: bool
    table: Span


class _Cursor:
    """Reads a table whose length shows only in reading it."""

    def __init__(self, source: Source, offset: int, what: str) -> None:
        self._source, self._start, self._what = source, offset, what
        self._ahead, self._ahead_at = b"", offset
        self.at = offset

    def take(self, length: int) -> bytes:
        if self.at + length - self._start > MOST_TABLE_BYTES:
            raise BadImage(f"{self._what} is too long.")
        start = self.at - self._ahead_at
        if start + length > len(self._ahead):
            self._ahead = self._source.read(self.at, max(length, _AHEAD_BYTES))
            self._ahead_at, start = self.at, 0
        data = self._ahead[start : start + length]
        if len(data) < length:
            raise BadImage(f"{self._what} lies past the end of the file.")
        self.at += length
        return data

    def skip_to_multiple_of_8(self) -> None:
        self.at = self._start + (self.at - self._start + 7 & ~7)


def read_snapshots(source: Source, header: Header) -> tuple[Snapshot, ...]:
    """Read the snapshot table.

    Raises:
        BadImage: it, or an L1 table it names, cannot be.
        OSError: it cannot be read.
    """
    if not header.snapshot_count:
        return ()
    check_span(source, header, Span(header.snapshots_offset, 1), "The snapshot table")
    cursor = _Cursor(source, header.snapshots_offset, "The snapshot table")
    return tuple(_snapshot(source, header, cursor) for _ in range(header.snapshot_count))


def _snapshot(source: Source, header: Header, cursor: _Cursor) -> Snapshot:
    start = cursor.at
    fixed = _SNAPSHOT.unpack(cursor.take(_SNAPSHOT.size))
    l1_at, l1_entries, id_size, name_size, seconds, ns, clock_ns, vm_state, extra_size = fixed
    if extra_size > _MOST_EXTRA_BYTES:
        raise BadImage(f"A snapshot has {extra_size} bytes of extra data.")
    extra = cursor.take(extra_size)
    if extra_size >= 8:
        vm_state = int.from_bytes(extra[:8], "big")
    disk_bytes = int.from_bytes(extra[8:16], "big") if extra_size >= 16 else None
    if max(vm_state, disk_bytes or 0) >= 1 << 63:
        raise BadImage("A snapshot claims a size that no disk can have.")
    id_, name = cursor.take(id_size), cursor.take(name_size)
    cursor.skip_to_multiple_of_8()
    l1 = Span(l1_at, l1_entries * 8)
    check_l1(source, header, l1)
    moment = datetime.fromtimestamp(seconds, UTC)
    if ns < 10**9:
        moment += timedelta(microseconds=ns // 1000)
    return Snapshot(
        id=id_.decode(errors="replace"),
        name=name.decode(errors="replace"),
        created_at=moment,
        vm_state_bytes=vm_state,
        size_bytes=disk_bytes,
        clock_ns=clock_ns,
        l1=l1,
        entry_bytes=cursor.at - start,
    )


def read_bitmaps(source: Source, header: Header) -> tuple[Bitmap, ...]:
    """Read the bitmap directory; bitmaps that QEMU itself takes for inconsistent are left out.

    Raises:
        BadImage: it, or a table it names, cannot be.
        OSError: it cannot be read.
    """
    directory = header.bitmap_directory
    if directory is None:
        return ()
    cursor = _Cursor(source, directory.offset, "The bitmap directory")
    found = tuple(_bitmap(source, header, cursor) for _ in range(header.bitmap_count))
    if cursor.at - directory.offset > directory.length:
        raise BadImage("The bitmap directory is longer than it claims.")
    return found


def _bitmap(source: Source, header: Header, cursor: _Cursor) -> Bitmap:
    fixed = _BITMAP.unpack(cursor.take(_BITMAP.size))
    table_at, entries, flags, _kind, granularity_bits, name_size, extra_size = fixed
    if granularity_bits > 63:
        raise BadImage(f"A bitmap has a granularity of 2^{granularity_bits} bytes.")
    cursor.take(min(extra_size, MOST_TABLE_BYTES + 1))
    name = cursor.take(name_size)
    cursor.skip_to_multiple_of_8()
    table = Span(table_at, entries * 8)
    if table.length > MOST_TABLE_BYTES:
        raise BadImage(f"The image claims a bitmap's table of {entries} entries.")
    check_span(source, header, table, "A bitmap's table")
    return Bitmap(
        name=name.decode(errors="replace"),
        granularity_bytes=1 << granularity_bits,
        is_in_use=bool(flags & 1),
        is_auto=bool(flags & 2),
        table=table,
    )
