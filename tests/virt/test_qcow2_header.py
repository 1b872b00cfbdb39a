"""States inside images that qemu-img made, and headers that nobody should believe."""

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.virt.qcow2_header import (
    HEADER_BYTES,
    MOST_SNAPSHOTS,
    MOST_TABLE_BYTES,
    BadHeader,
    read_tags,
)

COUNT_AT, OFFSET_AT, ENTRY_BYTES = 60, 64, 40


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, size: data[offset : offset + size]


def tags_of(path: Path) -> tuple[str, ...]:
    return read_tags(reader(path.read_bytes()))


def qemu_img(*arguments: str | Path) -> None:
    subprocess.run(["qemu-img", *map(str, arguments)], capture_output=True, check=True)


@pytest.mark.parametrize("compat", ["0.10", "1.1"])
@pytest.mark.parametrize(
    "names",
    [
        [],
        ["one"],
        ["12345678", "1234567", "1", "with spaces ü 東京 <&>", "x" * 200],
        [f"state {number}" for number in range(120)],
    ],
)
def test_the_states_that_qemu_img_put_in(tmp_path: Path, compat: str, names: list[str]) -> None:
    image = tmp_path / "image.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"compat={compat}", image, "1M")
    for name in names:
        qemu_img("snapshot", "-c", name, image)
    assert list(tags_of(image)) == names


@pytest.mark.parametrize("image_format", ["raw", "vmdk", "qed"])
def test_an_image_of_another_format_holds_none(tmp_path: Path, image_format: str) -> None:
    image = tmp_path / "image"
    qemu_img("create", "-q", "-f", image_format, image, "1M")
    assert tags_of(image) == ()
    assert read_tags(reader(b"")) == ()


def header(count: int, offset: int, version: int = 3) -> bytes:
    data = bytearray(HEADER_BYTES)
    data[:4] = b"QFI\xfb"
    struct.pack_into(">I", data, 4, version)
    struct.pack_into(">IQ", data, COUNT_AT, count, offset)
    return bytes(data)


def entry(id_bytes: int = 1, name_bytes: int = 1, extra_bytes: int = 0) -> bytes:
    return struct.pack(">QIHHIIQII", 0, 0, id_bytes, name_bytes, 0, 0, 0, 0, extra_bytes)


@pytest.mark.parametrize(
    "data",
    [
        b"QFI\xfb",
        header(1, 0)[:-1],
        header(0, 0, version=1),
        header(0, 0, version=4),
        header(MOST_SNAPSHOTS + 1, HEADER_BYTES),
        header(1, HEADER_BYTES),
        header(1, 2**64 - 1),
        header(1, 2**62),
        header(2, HEADER_BYTES) + entry() + b"1a",
        header(1, HEADER_BYTES) + entry(name_bytes=65535) + b"1",
        header(1, HEADER_BYTES) + entry(extra_bytes=2**32 - 1),
    ],
    ids=range(11),
)
def test_a_header_that_promises_what_is_not_there_is_refused(data: bytes) -> None:
    with pytest.raises(BadHeader):
        read_tags(reader(data))


def test_an_endless_file_is_not_read_endlessly() -> None:
    begin = header(MOST_SNAPSHOTS, 4096)
    asked: list[int] = []

    def read(offset: int, size: int) -> bytes:
        asked.append(size)
        return begin if offset == 0 else entry(65535, 65535, 65535)[:size].ljust(size, b"\xff")

    with pytest.raises(BadHeader, match="larger"):
        read_tags(read)
    assert sum(asked) < 2 * MOST_TABLE_BYTES


@given(st.binary(max_size=400), st.integers(0, 3), st.integers(0, 2**64 - 1))
def test_no_bytes_do_more_than_be_refused(rest: bytes, count: int, offset: int) -> None:
    for where in (offset, HEADER_BYTES + offset % 64):
        try:
            found = read_tags(reader(header(count, where) + rest))
        except BadHeader:
            continue
        assert len(found) == count


def test_a_name_that_is_no_text_is_shown_as_well_as_can_be() -> None:
    data = header(1, HEADER_BYTES) + entry(1, 3) + b"1" + b"a\xffb"
    assert read_tags(reader(data)) == ("a\ufffdb",)
