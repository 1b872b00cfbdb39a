"""Reads images with damaged metadata, and tells how many were refused, the slowest, the memory."""

import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from snapview.images.layers import layer_of
from snapview.images.qcow2 import Qcow2
from snapview.images.source import BadImage
from snapview.images.usage import usage_of

ODD = (0, 1, 0xFF, 0x7F, 0x80)


class Bytes:
    """An image in memory."""

    def __init__(self, data: bytearray) -> None:
        self.data = data

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert 0 <= length <= 64 << 20
        return bytes(self.data[offset : offset + length])

    def read_many(self, offsets: Sequence[int], length: int, into: memoryview) -> None:
        for number, offset in enumerate(offsets):
            part = self.read(offset, length).ljust(length, b"\0")
            into[number * length : (number + 1) * length] = part


def metadata_of(data: bytearray) -> list[tuple[int, int]]:
    """Return where tables lie: what to damage."""
    image = Qcow2(Bytes(data))
    header = image.header
    spans = [(0, 112), (0, 600), (header.refcount_table.offset, 64)]
    spans += [(header.snapshots_offset, 100)] if header.snapshot_count else []
    if header.bitmap_directory is not None:
        spans.append((header.bitmap_directory.offset, header.bitmap_directory.length))
    for state in range(image.state_count):
        spans.append((image.l1_span(state).offset, 64))
        spans += [(int(offset), 256) for offset in image.l1(state).offsets[:2]]
    return spans


def most_bytes() -> int:
    """Return the most memory that this process had at any time."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def read_all(data: bytearray) -> None:
    image = Qcow2(Bytes(data))
    usage_of(image)
    layer_of(image, image.state_count - 1)


def main(count: int, paths: list[str]) -> None:
    chance = random.Random(1)
    images = []
    for path in paths:
        whole = bytearray(Path(path).read_bytes())
        images.append((whole, metadata_of(whole)))
    refused, slowest = 0, 0.0
    before = most_bytes()
    for _ in range(count):
        data, spans = chance.choice(images)
        undo = []
        for _ in range(chance.choice((1, 1, 2, 5))):
            offset, length = chance.choice(spans)
            at = min(offset + chance.randrange(length), len(data) - 1)
            undo.append((at, data[at]))
            data[at] = chance.choice(ODD) if chance.random() < 0.6 else chance.randrange(256)
        cut = bytearray(data[: chance.randrange(len(data))]) if chance.random() < 0.05 else data
        start = time.perf_counter()
        try:
            read_all(cut)
        except BadImage:
            refused += 1
        slowest = max(slowest, time.perf_counter() - start)
        for at, value in reversed(undo):
            data[at] = value
    sys.stdout.write(f"{refused} {slowest} {most_bytes() - before}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
