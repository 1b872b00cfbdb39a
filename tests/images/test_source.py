"""Reading bytes: neighbours in one call, small reads from a cache, and nothing that blocks."""

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.images.source import BadImage, Cached, FileSource, joined


class Remote:
    """A source that counts its calls."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.calls: list[tuple[int, int]] = []

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        self.calls.append((offset, length))
        return self.data[offset : offset + length]

    def read_many(self, offsets: Sequence[int], length: int, into: memoryview) -> None:
        raise AssertionError("what has a cache is never asked for many")


@pytest.fixture
def data() -> bytes:
    return random.Random(1).randbytes(1 << 20)


@pytest.fixture
def path(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "image"
    path.write_bytes(data)
    return path


def test_a_file_is_read_at_an_offset(path: Path, data: bytes) -> None:
    with FileSource(path) as source:
        assert source.size_bytes == len(data)
        assert source.read(1000, 50) == data[1000:1050]
        assert source.read(len(data) - 10, 50) == data[-10:]
        assert source.read(len(data) + 10, 50) == b""


def test_many_are_read_in_their_order(path: Path, data: bytes) -> None:
    offsets = [8192, 0, 4096, 4096 * 2, len(data) - 2048, len(data) + 4096, 12288]
    into = bytearray(4096 * len(offsets))
    with FileSource(path) as source:
        source.read_many(offsets, 4096, memoryview(into))
    assert bytes(into) == b"".join(data[at : at + 4096].ljust(4096, b"\0") for at in offsets)


def test_a_link_is_followed_but_a_pipe_is_not_opened(path: Path, tmp_path: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(path)
    os.mkfifo(pipe)
    with FileSource(link) as source:
        assert source.size_bytes == 1 << 20
    for wrong in (pipe, tmp_path):
        before = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(BadImage, match="neither"):
            FileSource(wrong)
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_stamp_tells_of_every_write(path: Path) -> None:
    with FileSource(path) as source:
        before = source.stamp
        assert before == source.stamp
        with path.open("ab") as file:
            file.write(b"more")
        assert source.stamp != before
        assert source.size_bytes == (1 << 20) + 4
        assert source.allocated_bytes == path.stat().st_blocks * 512


def test_a_file_stays_the_same_although_another_takes_its_name(path: Path, data: bytes) -> None:
    with FileSource(path) as source:
        path.unlink()
        path.write_bytes(b"other")
        assert source.read(0, 10) == data[:10]
    source.close()  # harmless


@given(
    st.lists(st.integers(0, 40), max_size=30),
    st.sampled_from([1, 64, 100]),
    st.integers(1, 500),
)
def test_stretches_cover_all_offsets_once(places: list[int], length: int, most: int) -> None:
    offsets = [place * length for place in places]
    found = list(joined(offsets, length, most))
    assert [first + n for first, count in found for n in range(count)] == list(range(len(offsets)))
    for first, count in found:
        assert count == 1 or count * length <= most
        assert all(offsets[first + n] == offsets[first] + n * length for n in range(count))


def test_small_reads_cost_one_call_for_each_block(data: bytes) -> None:
    remote = Remote(data)
    cached = Cached(remote)
    for at in range(0, 200_000, 1000):
        assert cached.read(at, 1000) == data[at : at + 1000]
    assert [length for _, length in remote.calls] == [65536] * 4
    cached.forget()
    cached.read(0, 10)
    assert len(remote.calls) == 5


def test_a_large_read_is_one_call(data: bytes) -> None:
    remote = Remote(data)
    assert Cached(remote).read(100, 500_000) == data[100:500_100]
    assert len(remote.calls) == 1
    remote.calls.clear()
    assert Cached(remote, most_bytes=65536).read(100, 500_000) == data[100:500_100]
    assert remote.calls == [(100, 500_000)]


def test_the_last_block_is_read_again_for_it_may_grow(data: bytes) -> None:
    remote = Remote(data[:100])
    cached = Cached(remote)
    assert cached.read(0, 200) == data[:100]
    remote.data = data[:300]
    assert cached.read(0, 200) == data[:200]


def test_the_cache_is_bounded(data: bytes) -> None:
    remote = Remote(data)
    cached = Cached(remote, most_bytes=2 * 65536)
    for at in (0, 65536, 131072, 0):
        cached.read(at, 10)
    assert len(remote.calls) == 4


def test_neighbouring_tables_are_one_call_in_any_order(data: bytes) -> None:
    remote = Remote(data)
    offsets = [3 * 4096, 0, 4096, 2 * 4096, 100 * 4096, len(data)]
    into = bytearray(4096 * len(offsets))
    cached = Cached(remote)
    cached.read_many(offsets, 4096, memoryview(into))
    assert bytes(into) == b"".join(data[at : at + 4096].ljust(4096, b"\0") for at in offsets)
    assert remote.calls == [(0, 16384), (100 * 4096, 4096), (len(data), 4096)]
    assert cached.size_bytes == len(data)
    assert cached.read(5, 0) == b""


def test_holes_are_zeros_however_often_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(64 << 20)
        for at in (0, 5 << 20, (40 << 20) + 4096 * 15):
            file.seek(at)
            file.write(b"x" * 4096)
    offsets = [*range(0, 64 << 20, 65536), 64 << 20, 1 << 40]
    into = bytearray(65536 * len(offsets))
    truth = path.read_bytes().ljust(65536 * len(offsets), b"\0")
    with FileSource(path) as source:
        for _ in range(3):
            into[:] = b"?" * len(into)
            source.read_many(offsets, 65536, memoryview(into))
            assert into == truth
            single = bytearray(65536 * len(offsets))
            for number, offset in enumerate(offsets):
                part = memoryview(single)[number * 65536 : (number + 1) * 65536]
                source.read_many([offset], 65536, part)
            assert single == truth
