"""Where an image's bytes come from: a file, or whatever else can be read at an offset.

Hides how many calls that takes: tables that lie side by side are read in one call, and what is
asked for in small pieces comes from a cache of blocks.
"""

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

_BLOCK_BYTES = 64 << 10
_MOST_JOINED_BYTES = 4 << 20


class BadImage(ValueError):
    """An image is damaged, hostile, or of a kind that is not understood. Says so in a sentence."""


class Source(Protocol):
    """Bytes that can be read at an offset. Used by one thread at a time."""

    @property
    def size_bytes(self) -> int:
        """The size now; it may grow while a VM runs."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes, or fewer where the source ends before.

        Raises:
            OSError: they cannot be read.
        """
        ...

    def read_many(self, offsets: Sequence[int], length: int, into: memoryview) -> None:
        """Fill ``into`` with ``length`` bytes from each offset, in their order.

        Fast when ascending offsets are neighbours. Zeros stand for what is past the end.

        Raises:
            OSError: they cannot be read.
        """
        ...


def joined(
    offsets: Sequence[int], length: int, most_bytes: int = _MOST_JOINED_BYTES
) -> Iterator[tuple[int, int]]:
    """Yield ``(first, count)`` of stretches of offsets that one read of the source can serve."""
    most = max(1, most_bytes // length)
    first = 0
    for at in range(1, len(offsets) + 1):
        if at == len(offsets) or offsets[at] != offsets[at - 1] + length or at - first >= most:
            yield first, at - first
            first = at


class FileSource:
    """A local file or block device, opened for reading. A context manager.

    A symbolic link is followed, as libvirt and QEMU do, but nothing that could block the reader,
    such as a pipe, is opened; and a file stays the same one although another takes its name.

    Raises:
        OSError: it cannot be opened.
        BadImage: it is neither a file nor a block device.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        mode = os.fstat(self._file).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            self.close()
            raise BadImage(f"{self.path} is neither a file nor a block device.")
        self._is_device = stat.S_ISBLK(mode)
        self._unseen_bytes = self.allocated_bytes  # what is left to read if nothing is read twice

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; harmless when it is closed."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @property
    def size_bytes(self) -> int:
        """The size now."""
        if self._is_device:
            return os.lseek(self._file, 0, os.SEEK_END)
        return os.fstat(self._file).st_size

    @property
    def allocated_bytes(self) -> int | None:
        """What the file takes on its file system; None for a device."""
        return None if self._is_device else os.fstat(self._file).st_blocks * 512

    @property
    def stamp(self) -> tuple[int, ...] | None:
        """A value that stays the same as long as nobody wrote to the file; None for a device."""
        if self._is_device:
            return None
        status = os.fstat(self._file)
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes, or fewer at the end of the file."""
        parts: list[bytes] = []
        while length > 0:
            part = os.pread(self._file, length, offset)
            if not part:
                break
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_many(self, offsets: Sequence[int], length: int, into: memoryview) -> None:
        """Fill ``into`` with ``length`` bytes from each offset, neighbours in one call."""
        for first, count in joined(offsets, length):
            part = into[first * length : (first + count) * length]
            if self._is_hole(offsets[first], len(part)):
                part[:] = bytes(len(part))
                continue
            done = os.preadv(self._file, [part], offsets[first])
            if done < len(part):
                _fill(part[done:], offsets[first] + done, self._read_into)

    def _is_hole(self, offset: int, length: int) -> bool:
        """Whether nothing is there; asked only when more was read than the file takes on disk.

        Reading holes is slow, and tables in holes are a cheap way to keep a reader busy.
        """
        if self._unseen_bytes is None:
            return False
        self._unseen_bytes -= length
        if self._unseen_bytes > 0:
            return False
        try:
            return os.lseek(self._file, offset, os.SEEK_DATA) >= offset + length
        except OSError as error:
            return error.errno == errno.ENXIO  # no data from there on

    def _read_into(self, offset: int, into: memoryview) -> int:
        return os.preadv(self._file, [into], offset)


class Cached:
    """Gives another source a cache, for one whose every call costs much.

    Its small reads come from blocks that are kept; its tables are read in ascending order, with
    neighbours joined, whatever the order they are asked for.
    """

    def __init__(self, source: Source, most_bytes: int = 16 << 20) -> None:
        self._source = source
        self._most_blocks = max(1, most_bytes // _BLOCK_BYTES)
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """The size now."""
        return self._source.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes, or fewer where the source ends before."""
        if length <= 0:
            return b""
        first, last = offset // _BLOCK_BYTES, (offset + length - 1) // _BLOCK_BYTES
        if last - first >= self._most_blocks:
            return self._source.read(offset, length)
        missing = [each for each in range(first, last + 1) if each not in self._blocks]
        kept = {each: self._blocks[each] for each in range(first, last + 1) if each not in missing}
        for at, count in joined([each * _BLOCK_BYTES for each in missing], _BLOCK_BYTES):
            data = self._source.read(missing[at] * _BLOCK_BYTES, count * _BLOCK_BYTES)
            for number in range(count):
                start = number * _BLOCK_BYTES
                kept[missing[at] + number] = data[start : start + _BLOCK_BYTES]
        for number, block in kept.items():
            self._keep(number, block)
        data = b"".join(kept[each] for each in range(first, last + 1))
        start = offset - first * _BLOCK_BYTES
        return data[start : start + length]

    def read_many(self, offsets: Sequence[int], length: int, into: memoryview) -> None:
        """Fill ``into`` with ``length`` bytes from each offset; not kept."""
        order = sorted(range(len(offsets)), key=lambda each: offsets[each])
        ascending = [offsets[each] for each in order]
        for first, count in joined(ascending, length):
            data = self._source.read(ascending[first], count * length)
            data = data.ljust(count * length, b"\0")
            for number in range(count):
                at = order[first + number] * length
                into[at : at + length] = data[number * length : (number + 1) * length]

    def forget(self) -> None:
        """Drop what is kept: the image has changed."""
        self._blocks.clear()

    def _keep(self, number: int, block: bytes) -> None:
        if len(block) == _BLOCK_BYTES:  # the last block may grow
            self._blocks[number] = block
            self._blocks.move_to_end(number)
            if len(self._blocks) > self._most_blocks:
                self._blocks.popitem(last=False)


def _fill(part: memoryview, offset: int, read_into: Callable[[int, memoryview], int]) -> None:
    """Read until the part is full, or the source ends; zeros stand for the rest."""
    while len(part):
        count = read_into(offset, part)
        if not count:
            part[:] = bytes(len(part))
            return
        part, offset = part[count:], offset + count
