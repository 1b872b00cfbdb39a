"""Tables of images: what they say, and that damaged or hostile ones are refused in bounds."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from snapview.images.layers import layer_of
from snapview.images.qcow2 import Qcow2
from snapview.images.source import BadImage, FileSource
from snapview.images.usage import usage_of
from tests.images import qemu
from tests.images.brute_force import Walked

FUZZED = 20_000  # in tests/images/fuzz.py, which a test runs in a process of its own


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return an image with a snapshot, a bitmap, and data."""
    path = qemu.create(tmp_path / "a.qcow2", "1G")
    qemu.io(path, "write -P 1 0 300k", "write -P 2 700M 64k", "write -z 5M 64k")
    qemu.snapshot(path, "one")
    qemu.io(path, "write -P 3 100k 64k")
    qemu.img("bitmap", "--add", path, "map")
    return path


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16, 32, 64])
def test_refcounts_are_those_of_a_plain_walk(tmp_path: Path, bits: int) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "8M", refcount_bits=bits, cluster_size="4k")
    qemu.io(path, "write -P 1 0 1M", "write -P 1 3M 64k")
    if bits > 1:
        qemu.snapshot(path, "one")
    if bits > 2:
        qemu.snapshot(path, "two")
    found: dict[int, int] = {}
    with FileSource(path) as source:
        for first, counts in Qcow2(source).refcounts():
            found |= {first + int(n): int(counts[n]) for n in np.flatnonzero(counts)}
    assert found == Walked(path).refcounts
    assert max(found.values()) == {1: 1, 2: 2}.get(bits, 3)


def test_l1_tables_name_l2_tables(path: Path) -> None:
    with FileSource(path) as source:
        image = Qcow2(source)
        active, frozen = image.l1(0), image.l1(1)
    assert image.state_count == 2
    assert active.columns.tolist() == frozen.columns.tolist() == [0, 1]
    assert active.is_in_place.tolist() == [True, False]  # the second is the snapshot's, too
    assert active.offsets[1] == frozen.offsets[1]


def table_of(path: Path) -> int:
    with FileSource(path) as source:
        return int(Qcow2(source).l1(0).offsets[0])


def put(path: Path, at: int, value: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(struct.pack(">Q", value))


def refuses(path: Path, sentence: str) -> None:
    with FileSource(path) as source, pytest.raises(BadImage, match=sentence):
        usage_of(Qcow2(source))


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (1 << 40, "past the end"),
        (0x30000 + 512, "begin at a cluster"),
        (1 << 57, "mean nothing"),
        (6, "mean nothing"),
        (1 << 62 | 1 << 40, "past the end"),
    ],
)
def test_damaged_l2_entries_are_refused(path: Path, entry: int, sentence: str) -> None:
    put(path, table_of(path), entry)
    refuses(path, sentence)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [(1 << 40, "past the end"), (512, "begin at a cluster"), (1 << 60 | 0x30000, "mean nothing")],
)
def test_damaged_l1_entries_are_refused(path: Path, entry: int, sentence: str) -> None:
    with FileSource(path) as source:
        start = Qcow2(source).header.l1.offset
    put(path, start, entry)
    refuses(path, sentence)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (1 << 40, "past the end"),
        (512, "mean nothing|begin"),
        (1, "mean nothing"),
        (1 << 60, "mean"),
    ],
)
def test_damaged_refcount_tables_are_refused(path: Path, entry: int, sentence: str) -> None:
    with FileSource(path) as source:
        start = Qcow2(source).header.refcount_table.offset
    put(path, start, entry)
    refuses(path, sentence)


def test_a_refcount_block_named_twice_is_refused(path: Path) -> None:
    with FileSource(path) as source:
        image = Qcow2(source)
        start, first = image.header.refcount_table.offset, int(image.refcount_blocks()[0])
    put(path, start + 8, first)
    refuses(path, "twice")


def test_a_zero_flag_means_nothing_in_old_images(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "1M", compat="0.10")
    qemu.io(path, "write -P 1 0 64k")
    put(path, table_of(path), 1)
    refuses(path, "mean nothing")


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8, 0.95])
def test_a_file_that_was_cut_is_refused(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refuses(path, "past the end|begin at")


def test_tables_that_name_one_another_end(path: Path) -> None:
    with FileSource(path) as source:
        l1 = Qcow2(source).header.l1.offset
    put(path, l1, l1 | 1 << 63)  # the L1 table as its own L2 table
    with FileSource(path) as source:
        usage_of(Qcow2(source))
        layer_of(Qcow2(source))


def test_the_budget_is_kept(path: Path) -> None:
    with FileSource(path) as source:
        image = Qcow2(source, most_table_bytes=100_000)
        with pytest.raises(BadImage, match="more than can be read"):
            usage_of(image)


def test_a_large_claim_in_a_small_file_takes_little(tmp_path: Path) -> None:
    """The L1 table names 4 million tables, all in holes of a file of 16 TiB."""
    path = qemu.create(tmp_path / "a.qcow2", "100M")
    count = (32 << 20) // 8
    with path.open("r+b") as file:
        l1 = 1 << 30
        file.seek(36)
        file.write(struct.pack(">IQ", count, l1))
        file.seek(l1)
        file.write(((np.arange(count, dtype=np.uint64) + 32768) << 16).astype(">u8").tobytes())
        file.truncate(1 << 43)
    refuses(path, "more than can be read")


def test_tables_in_holes_are_empty(tmp_path: Path) -> None:
    """As many as may be read, in a file that takes next to nothing."""
    path = qemu.create(tmp_path / "a.qcow2", "100M")
    count = 65_000
    with path.open("r+b") as file:
        l1 = 1 << 30
        file.seek(36)
        file.write(struct.pack(">IQ", count, l1))
        file.seek(l1)
        file.write(((np.arange(count, dtype=np.uint64) + 32768) << 16).astype(">u8").tobytes())
        file.truncate(1 << 43)
    with FileSource(path) as source:
        image = Qcow2(source)
        said = usage_of(image)
        assert said.state_bytes(0) == (count + 8) * 65536
        assert said.uncounted_bytes == said.state_bytes(0)
        assert said.leaked_bytes == 65536  # the old L1 table
        assert layer_of(image).allocated.total_bytes == 0


def test_fuzzed_images_are_read_or_refused_in_bounds(tmp_path: Path, path: Path) -> None:
    subclusters = qemu.create(tmp_path / "b.qcow2", "64M", extended_l2="on", cluster_size="16k")
    qemu.io(subclusters, "write -P 1 0 20k", "write -c -P 3 1M 16k")
    qemu.snapshot(subclusters, "one")
    small = qemu.create(tmp_path / "c.qcow2", "2M", cluster_size=512)
    qemu.io(small, "write -P 1 0 20k", "write -c -P 3 1M 512")
    qemu.snapshot(small, "one")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.images.fuzz",
            str(FUZZED),
            *map(str, (path, subclusters, small)),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    refused, slowest_seconds, most_bytes = map(float, done.stdout.split())
    assert refused > FUZZED / 4
    assert slowest_seconds < 2
    assert most_bytes < 200 << 20
