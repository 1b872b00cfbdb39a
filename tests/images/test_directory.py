"""Snapshot tables and bitmap directories, against what QEMU says is in them."""

import json
from pathlib import Path
from typing import Any

import pytest

from snapview.images.qcow2 import Qcow2
from snapview.images.source import BadImage, FileSource
from tests.images import qemu


@pytest.mark.parametrize("options", [{}, {"compat": "0.10"}], ids=["v3", "v2"])
def test_snapshots_are_those_that_qemu_lists(tmp_path: Path, options: dict[str, Any]) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "3M", **options)
    names = ["one", "zwei – ü", "x" * 200]
    for name in names:
        qemu.snapshot(path, name)
    told = json.loads(qemu.img("info", "--output=json", path))["snapshots"]
    with FileSource(path) as source:
        image = Qcow2(source)
    assert [each.name for each in image.snapshots] == names
    assert [each.id for each in image.snapshots] == [each["id"] for each in told]
    assert [int(each.created_at.timestamp()) for each in image.snapshots] == [
        each["date-sec"] for each in told
    ]
    assert [each.vm_state_bytes for each in image.snapshots] == [0, 0, 0]
    assert {each.size_bytes for each in image.snapshots} == {3 << 20}
    assert all(each.l1.length == image.header.l1.length for each in image.snapshots)


def test_bitmaps_are_those_that_qemu_lists(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "64M")
    qemu.img("bitmap", "--add", "--enable", "-g", "64k", path, "on")
    qemu.img("bitmap", "--add", "--disable", "-g", "1M", path, "off")
    told = json.loads(qemu.img("info", "--output=json", path))
    bitmaps = told["format-specific"]["data"]["bitmaps"]
    with FileSource(path) as source:
        image = Qcow2(source)
        found = image.bitmaps
    assert [(each.name, each.granularity_bytes) for each in found] == [
        (each["name"], each["granularity"]) for each in bitmaps
    ]
    assert [each.is_auto for each in found] == ["auto" in each["flags"] for each in bitmaps]
    assert not any(each.is_in_use for each in found)


def snapshot_table(path: Path) -> int:
    with FileSource(path) as source:
        return Qcow2(source).header.snapshots_offset


@pytest.mark.parametrize(
    ("at", "value", "sentence"),
    [
        (0, b"\x00\x00\x00\x00\x00\x00\x02\x01", "begin at a cluster"),
        (0, b"\x7f" * 8, "begin at a cluster"),
        (0, b"\x7f" * 5 + bytes(3), "past the end"),
        (8, b"\xff" * 4, "entries"),
        (12, b"\xff\xff", "past the end"),
        (36, b"\xff" * 4, "extra data"),
    ],
)
def test_a_damaged_snapshot_is_refused(
    tmp_path: Path, at: int, value: bytes, sentence: str
) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "3M", cluster_size=512)
    qemu.snapshot(path, "one")
    start = snapshot_table(path)
    with path.open("r+b") as file:
        file.truncate(start + 512)
        file.seek(start + at)
        file.write(value)
    with FileSource(path) as source, pytest.raises(BadImage, match=sentence):
        Qcow2(source)


def test_more_snapshots_than_the_table_has_are_refused(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "3M")
    qemu.snapshot(path, "one")
    with path.open("r+b") as file:
        file.seek(60)
        file.write((65536).to_bytes(4, "big"))
    with FileSource(path) as source, pytest.raises(BadImage):
        Qcow2(source)


def test_a_damaged_bitmap_directory_is_refused(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "3M")
    qemu.img("bitmap", "--add", path, "one")
    with FileSource(path) as source:
        directory = Qcow2(source).header.bitmap_directory
    assert directory is not None
    for at, value in (
        (17, b"\x40"),
        (8, b"\xff" * 4),
        (20, b"\xff" * 4),
        (0, b"\x00" * 7 + b"\x01"),
    ):
        copy = tmp_path / "b.qcow2"
        copy.write_bytes(path.read_bytes())
        with copy.open("r+b") as file:
            file.seek(directory.offset + at)
            file.write(value)
        with FileSource(copy) as source, pytest.raises(BadImage):
            _ = Qcow2(source).bitmaps
