"""The demo guest: its bytes come from its source, and its counters tell memory from disk."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lab import COUNTER_SECTOR, GUEST, MAGIC, READY, SECTOR_BYTES, Counters, Lab


@pytest.mark.skipif(shutil.which("as") is None, reason="needs binutils")
def test_binary_is_what_the_source_assembles_to(tmp_path: Path) -> None:
    built, flat = tmp_path / "guest.o", tmp_path / "guest.bin"
    source = GUEST.with_suffix(".S")
    subprocess.run(["as", "--32", "-o", built, source], check=True, timeout=30)
    link = ["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary"]
    subprocess.run([*link, "-o", flat, built], check=True, timeout=30)
    assert flat.read_bytes() == GUEST.read_bytes()


def test_binary_is_one_boot_sector() -> None:
    guest = GUEST.read_bytes()
    assert len(guest) == SECTOR_BYTES
    assert guest.endswith(b"\x55\xaa")


def test_guest_says_that_it_is_ready_once_and_counts_every_second(lab9: Lab) -> None:
    name = lab9.unique_name("guest")
    lab9.make_vm(name)
    assert lab9.wait_for_count(name, at_least=3).boots == 1
    lines = lab9.serial_tail(name).split("\r\n")
    assert lines[:4] == [READY, "count 1 boots 1", "count 2 boots 1", "count 3 boots 1"]
    assert lines.count(READY) == 1


def test_a_disk_that_never_booted_has_no_counters(lab9: Lab) -> None:
    name = lab9.unique_name("guest")
    lab9.make_vm(name, running=False)
    assert lab9.disk_counter(lab9.active_disk(name)) is None


def test_cold_boots_start_the_count_again_and_are_counted_on_disk(lab9: Lab) -> None:
    name = lab9.unique_name("guest")
    lab9.make_vm(name)
    lab9.wait_for_count(name, at_least=3)
    lab9.virsh("destroy", name)
    before = lab9.counter_from_serial(name)
    on_disk = lab9.disk_counter(lab9.active_disk(name))
    # It may have ended between the write and the line.
    assert on_disk in {before, Counters(before.count + 1, 1)}
    lab9.start_vm(name)
    after = lab9.counter_from_serial(name)
    assert after.boots == 2
    assert after.count < before.count


def test_counters_in_a_sector_of_something_else_start_at_one(lab9: Lab) -> None:
    name = lab9.unique_name("guest")
    lab9.make_vm(name, running=False, disk_format="raw")
    disk = lab9.active_disk(name)
    with disk.open("r+b") as image:
        image.seek(COUNTER_SECTOR * SECTOR_BYTES)
        image.write(b"\xff" * SECTOR_BYTES)
    lab9.start_vm(name)
    assert lab9.counter_from_serial(name) == Counters(1, 1)
    lab9.virsh("destroy", name)
    assert lab9.disk_counter(disk, disk_format="raw") is not None
    with disk.open("rb") as image:
        image.seek(COUNTER_SECTOR * SECTOR_BYTES)
        assert image.read(len(MAGIC)) == MAGIC


def test_counts_past_one_digit_in_decimal(lab9: Lab) -> None:
    name = lab9.unique_name("guest")
    lab9.make_vm(name, running=False, disk_format="raw")
    with lab9.active_disk(name).open("r+b") as image:
        image.seek(COUNTER_SECTOR * SECTOR_BYTES)
        image.write(MAGIC + bytes(4) + (4_000_000_099).to_bytes(4, "little"))
    lab9.start_vm(name)
    assert lab9.counter_from_serial(name).boots == 4_000_000_100


def test_memory_count_goes_on_from_the_snapshot_after_a_revert(lab: Lab) -> None:
    name = lab.unique_name("guest")
    lab.make_vm(name)
    lab.virsh("snapshot-create-as", name, "s1")
    at_snapshot = lab.counter_from_serial(name)
    lab.virsh("destroy", name)
    lab.start_vm(name)
    assert lab.wait_for_count(name, at_least=at_snapshot.count + 2).boots == 2

    lab.virsh("snapshot-revert", name, "s1")
    # The snapshot may have been taken just before or just after that line was printed.
    back = lab.counter_from_serial(name)
    assert back.boots == 1
    assert at_snapshot.count <= back.count <= at_snapshot.count + 2
    assert READY not in lab.serial_tail(name)


def test_disk_revert_alone_brings_back_the_boots_but_not_the_count(lab: Lab) -> None:
    name = lab.unique_name("guest")
    lab.make_vm(name)
    at_least = lab.wait_for_count(name, at_least=2)
    lab.virsh("destroy", name)
    lab.virsh("snapshot-create-as", name, "off")
    lab.start_vm(name)
    lab.virsh("destroy", name)
    disk = lab.active_disk(name)
    frozen = lab.disk_counter(disk, "off")
    assert frozen is not None
    assert frozen.count >= at_least.count
    assert frozen.boots == 1

    lab.virsh("snapshot-revert", name, "off")
    assert lab.disk_counter(disk) == frozen
    lab.start_vm(name)
    assert lab.counter_from_serial(name) == Counters(1, 2)
