"""Read the names of the states inside a qcow2 image from its header and snapshot table. Pure.

The bytes may be anybody's: every length is checked before it is used, and nothing is read beyond
what the format allows (docs/interop/qcow2.txt of QEMU).
"""

import struct
from collections.abc import Callable

HEADER_BYTES = 72  # up to where version 2 ends; version 3 only adds to it
MOST_SNAPSHOTS = 65536  # QEMU's own limit
MOST_TABLE_BYTES = 64 << 20  # QEMU's own limit
LARGEST_FILE_BYTES = 1 << 62

_MAGIC = b"QFI\xfb"
_NUMBERS = struct.Struct(">I")
_COUNT_AND_OFFSET = struct.Struct(">IQ")
_COUNT_AT = 60
_ENTRY = struct.Struct(">QIHHIIQII")  # L1 table, its size, id and name lengths, times, sizes
_CHUNK_BYTES = 64 << 10


class BadHeader(ValueError):
    """The file does not hold what its header promises."""


def read_tags(read: Callable[[int, int], bytes]) -> tuple[str, ...]:
    """Return the names of the states inside an image; none in one that is not qcow2.

    Args:
        read: returns bytes of the file, given offset and length; fewer at the file's end.

    Raises:
        BadHeader: the header is not one that QEMU takes.
    """
    header = read(0, HEADER_BYTES)
    if not header.startswith(_MAGIC):
        return ()
    if len(header) < HEADER_BYTES:
        raise BadHeader("the header is cut off")
    (version,) = _NUMBERS.unpack_from(header, len(_MAGIC))
    if version not in {2, 3}:
        raise BadHeader(f"version {version} is not known")
    count, offset = _COUNT_AND_OFFSET.unpack_from(header, _COUNT_AT)
    if count > MOST_SNAPSHOTS:
        raise BadHeader(f"{count} states are more than there can be")
    table = _Table(read, offset)
    return tuple(table.next_name() for _ in range(count))


class _Table:
    """The snapshot table, read piece by piece."""

    def __init__(self, read: Callable[[int, int], bytes], offset: int) -> None:
        self._read = read
        self._start = offset
        self._taken = 0  # bytes of the table
        self._chunk = b""
        self._used = 0  # bytes of the chunk

    def next_name(self) -> str:
        """Read one entry; each begins at a multiple of eight bytes."""
        self._take(-self._taken % 8)
        entry = _ENTRY.unpack(self._take(_ENTRY.size))
        id_bytes, name_bytes, extra_bytes = entry[2], entry[3], entry[8]
        self._take(extra_bytes)
        self._take(id_bytes)
        return self._take(name_bytes).decode("utf-8", errors="replace")

    def _take(self, size: int) -> bytes:
        if self._start + self._taken + size > LARGEST_FILE_BYTES:
            raise BadHeader("the table of states lies beyond any file")
        if self._taken + size > MOST_TABLE_BYTES:
            raise BadHeader("the table of states is larger than there can be")
        if len(self._chunk) - self._used < size:
            rest = self._chunk[self._used :]
            at = self._start + self._taken + len(rest)
            self._chunk, self._used = rest + self._read(at, max(_CHUNK_BYTES, size)), 0
        taken = self._chunk[self._used : self._used + size]
        if len(taken) < size:
            raise BadHeader("the table of states is cut off")
        self._used += size
        self._taken += size
        return taken
