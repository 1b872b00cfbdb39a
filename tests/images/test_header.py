"""Headers of images that QEMU makes, and of such as it would not open."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from snapview.images.header import Header, read_header
from snapview.images.source import BadImage, FileSource
from tests.images import qemu


def header_of(path: Path) -> Header:
    with FileSource(path) as source:
        return read_header(source)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compat": "0.10"},
        {"cluster_size": 512},
        {"cluster_size": "2M", "refcount_bits": 1},
        {"refcount_bits": 64, "lazy_refcounts": "on"},
        {"extended_l2": "on", "cluster_size": "128k"},
        {"compression_type": "zstd"},
    ],
    ids=str,
)
def test_a_header_says_what_qemu_says(tmp_path: Path, options: dict[str, Any]) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "100M", **options)
    header = header_of(path)
    told = json.loads(qemu.img("info", "--output=json", path))
    special = told["format-specific"]["data"]
    assert header.version == {"0.10": 2, "1.1": 3}[special["compat"]]
    assert header.size_bytes == told["virtual-size"]
    assert header.cluster_bytes == told["cluster-size"]
    assert header.refcount_bits == special["refcount-bits"]
    assert header.compression == special["compression-type"]
    assert header.has_lazy_refcounts == special.get("lazy-refcounts", False)
    assert header.has_extended_l2 == special.get("extended-l2", False)
    assert not header.is_dirty
    assert not header.is_corrupt
    assert header.encryption is None
    assert header.backing_file is None
    if header.version == 3 and header.cluster_bytes > 512:  # there is no room for them
        assert header.feature_names[0, 0] == "dirty bit"


def test_a_backing_file_and_its_format(tmp_path: Path) -> None:
    base = qemu.create(tmp_path / "grün.qcow2", "1M")
    header = header_of(qemu.create(tmp_path / "a.qcow2", "1M", base=base))
    assert header.backing_file == str(base)
    assert header.backing_format == "qcow2"


def test_a_data_file(tmp_path: Path) -> None:
    data = tmp_path / "data.raw"
    options: dict[str, Any] = {"data_file": data, "data_file_raw": "on"}
    header = header_of(qemu.create(tmp_path / "a.qcow2", "1M", **options))
    assert header.has_data_file
    assert header.is_data_file_raw
    assert header.data_file == str(data)


def test_an_encrypted_image(tmp_path: Path) -> None:
    path = qemu.create_encrypted(tmp_path / "a.qcow2", "1M")
    header = header_of(path)
    assert header.encryption == "luks"
    assert header.encryption_header is not None
    assert header.encryption_header.length > 0


def put(path: Path, at: int, form: str, *values: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(struct.pack(form, *values))


@pytest.mark.parametrize(
    ("at", "form", "value", "sentence"),
    [
        (0, ">I", 0, "no qcow2 image"),
        (4, ">I", 4, "version 4"),
        (8, ">Q", 1 << 40, "not in the first cluster"),
        (8, ">Q", 16, "not in the first cluster"),
        (20, ">I", 8, "2\\^8"),
        (20, ">I", 0xFFFFFFFF, "2\\^"),
        (24, ">Q", 1 << 60, "too small"),
        (24, ">Q", (1 << 64) - 1, "claims a disk"),
        (32, ">I", 3, "encrypted"),
        (36, ">I", 1 << 31, "L1 table of"),
        (36, ">I", 1 << 21, "past the end"),
        (40, ">Q", 1 << 50, "past the end"),
        (40, ">Q", (1 << 64) - 65536, "past the end"),
        (40, ">Q", 0x30001, "begin at a cluster"),
        (48, ">Q", 1 << 62, "past the end"),
        (48, ">Q", 0, "begin at a cluster"),
        (56, ">I", 0, "refcount table of 0"),
        (56, ">I", 0xFFFFFFFF, "refcount table"),
        (60, ">I", 65537, "65537 snapshots"),
        (72, ">Q", 1 << 63, "not known"),
        (72, ">Q", 8, "compressed"),
        (96, ">I", 7, "2\\^7 bits"),
        (100, ">I", 8, "header of 8"),
        (100, ">I", 0xFFFFFFF0, "header of"),
        (104, ">B", 1, "compressed"),
        (116, ">I", 0xFFFFFFFF, "extension is longer"),
    ],
)
def test_what_qemu_would_not_open_is_refused(
    tmp_path: Path, at: int, form: str, value: int, sentence: str
) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "100M")
    put(path, at, form, value)
    with pytest.raises(BadImage, match=sentence):
        header_of(path)


@pytest.mark.parametrize("length", [0, 3, 71, 80, 103, 111])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, length: int) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "100M")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(BadImage):
        header_of(path)


def test_subclusters_need_large_clusters(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "1M", cluster_size="4k")
    put(path, 72, ">Q", 16)
    with pytest.raises(BadImage, match="subclusters"):
        header_of(path)


def test_dirt_and_damage_are_told(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "1M")
    put(path, 72, ">Q", 3)
    header = header_of(path)
    assert header.is_dirty
    assert header.is_corrupt
