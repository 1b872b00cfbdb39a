"""Storage that fails under snapview: full, read-only, not permitted, with headers that lead astray.

Each time: what is said is a sentence that tells what to do, every state that was not being given up
is whole, nothing is left over, and as soon as the fault is gone everything can be done again.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapview.core.errors import NoSpace, SnapviewError
from snapview.core.operations import (
    Afterwards,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    MergeBy,
    Operation,
    RevertSnapshot,
)
from snapview.core.planning import Plan, RefusalCode
from snapview.core.vm import DiskLayer, SnapshotDisk, SnapshotKind
from snapview.demo.daemon import PrivateDaemon
from snapview.virt.host import LibvirtHost
from snapview.virt.port import LibvirtVm
from snapview.virt.xml import build_snapshot
from tests.cli.test_real_vms import RealTerminal
from tests.lab import Lab
from tests.lab_fixtures import REAPER, locked_folder, own_mounts
from tests.virt.machine import FIRST_CHUNK, MIB, Machine
from tests.virt.outcomes import failure, folder_of, refused, take

pytestmark = pytest.mark.lab

EXTERNAL, INTERNAL = SnapshotKind.EXTERNAL, SnapshotKind.INTERNAL
PART = 24  # chunks: what each layer holds, 1.5 MiB
ROOMY = 64 * MIB


@pytest.fixture(scope="module", params=["lab9", pytest.param("lab11", marks=pytest.mark.newer)])
def mounts(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab whose daemon sees mounts of its own; they end with it."""
    if os.geteuid() != 0:
        pytest.skip("a file system of its own needs root to mount it")
    if request.param == "lab11":
        yield request.getfixturevalue("lab11")
        return
    with locked_folder() as folder:
        daemon = PrivateDaemon(folder, launcher=[*REAPER, *own_mounts(), "--"])
        try:
            daemon.start()
            yield Lab(daemon)
        finally:
            daemon.remove()


def inside(lab: Lab) -> tuple[str, ...]:
    """Return the words before a command that shall see the daemon's mounts."""
    # With its root, as the tests themselves may run in a chroot.
    return ("nsenter", f"--target={lab.daemon.pid}", "--mount", "--root", "--")


def root(machine: Machine, *command: str) -> str:
    """Run something as root where the daemon sees its mounts."""
    done = subprocess.run([*machine.within, *command], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def small(mounts: Lab) -> Iterator[Machine]:
    """A paused VM whose folder is a file system of its own, of a size that can be changed."""
    machine = Machine(mounts, within=inside(mounts))
    machine.switch("off")
    folder, account = folder_of(machine), mounts.daemon.account
    options = f"size={ROOMY},mode=0700,uid={account.uid},gid={account.gid}"
    root(machine, "cp", "-a", folder, f"{folder}.away")
    root(machine, "mount", "-t", "tmpfs", "-o", options, "tmpfs", folder)
    root(machine, "cp", "-a", f"{folder}.away/.", folder)
    root(machine, "rm", "-r", f"{folder}.away")
    machine.switch("paused")
    yield machine
    machine.close()


def leave_room(machine: Machine, room_bytes: int) -> None:
    """Let the VM's file system have that much room left, and no more."""
    folder = folder_of(machine)
    used = int(root(machine, "df", "--output=used", "-B1", folder).split()[-1])
    root(machine, "mount", "-o", f"remount,size={used + room_bytes}", folder)


def make_room(machine: Machine) -> None:
    root(machine, "mount", "-o", f"remount,size={ROOMY}", folder_of(machine))


def line_of_three(machine: Machine) -> None:
    """Three external snapshots; each layer holds data of its own, beside that of the others."""
    for number, name in enumerate(("one", "two", "three")):
        machine.write("vda", FIRST_CHUNK, number + 1)
        machine.write_all("vda", part(number), number + 1)
        take(machine, name)
    machine.write_all("vda", part(3), 9)


def part(number: int) -> range:
    """The chunks that only one layer holds."""
    return range(FIRST_CHUNK + number * PART, FIRST_CHUNK + (number + 1) * PART)


# A full disk


@pytest.mark.parametrize("kind", [INTERNAL, EXTERNAL])
def test_a_full_disk_is_said_to_be_full_and_nothing_changes(
    small: Machine, kind: SnapshotKind
) -> None:
    """Planning sees it coming for external ones; so libvirt is asked behind its back."""
    leave_room(small, 100 << 10)
    path = f"{folder_of(small)}/two.qcow2"
    overlay = SnapshotDisk("vda", "external", overlay=DiskLayer(path, "qcow2"))
    is_external = kind is EXTERNAL
    xml = build_snapshot("two", "", memory_path=None, disks=[overlay] if is_external else [])
    host = small.vm.host
    assert isinstance(host, LibvirtHost)
    with pytest.raises(NoSpace if is_external else SnapviewError) as caught:
        LibvirtVm(host, small.vm.uuid).create_snapshot(xml, disk_only=is_external, live=False)
    assert "full" in caught.value.message + caught.value.advice
    assert caught.value.message.startswith("Could not take the snapshot. ")
    small.check()
    outcome = small.vm.do(CreateSnapshot(small.vm.uuid, "two", kind=kind))
    failure(outcome)
    small.check()
    make_room(small)
    take(small, "two", kind)
    small.check()


def fails_as_it_fills(machine: Machine, operation: Operation) -> SnapviewError:
    """Do what may fit, as far as planning can know, and does not."""
    leave_room(machine, MIB // 2)
    planned, outcome = machine.attempt(operation)
    assert isinstance(planned, Plan), planned
    assert any("are free" in text for text in planned.warnings)
    error = failure(outcome)
    assert "space" in error.message + error.advice, error.advice
    return error


@pytest.mark.parametrize(
    ("name", "power"), [("one", "off"), ("two", "paused"), ("three", "paused"), ("three", "off")]
)
def test_a_disk_that_fills_during_a_merge_costs_no_other_state(
    small: Machine, name: str, power: str
) -> None:
    line_of_three(small)
    small.switch(power)
    error = fails_as_it_fills(small, DeleteSnapshot(small.vm.uuid, (name,)))
    assert f"“{name}” is lost" in error.advice
    small.lost(name)
    small.check()
    make_room(small)
    assert small.vm.vm().interruption is None
    small.vm.done(Consolidate(small.vm.uuid))
    for each in {"one", "two", "three"} - {name}:
        small.lost(each)
    small.check()


def test_a_disk_that_fills_while_data_are_copied_upwards_costs_nothing(small: Machine) -> None:
    line_of_three(small)
    small.switch("running")
    fails_as_it_fills(small, Consolidate(small.vm.uuid, merge_by=MergeBy.PULL))
    small.check()
    make_room(small)
    small.vm.done(Consolidate(small.vm.uuid, merge_by=MergeBy.PULL))
    for each in ("one", "two", "three"):
        small.lost(each)
    small.check()


def test_a_merge_that_certainly_does_not_fit_is_refused_beforehand(small: Machine) -> None:
    for number, name in enumerate(("one", "two")):
        small.write("vda", FIRST_CHUNK, number + 1)
        take(small, name)
    small.write_all("vda", range(FIRST_CHUNK, FIRST_CHUNK + 64), 9)
    small.switch("running")
    leave_room(small, MIB)
    refusal = refused(small, Consolidate(small.vm.uuid))
    assert refusal.code is RefusalCode.NO_SPACE
    small.check()
    small.vm.done(Consolidate(small.vm.uuid, merge_by=MergeBy.PULL))  # the upper one has it all
    small.lost("one")
    small.lost("two")
    small.check()


# A folder that cannot be written to


def set_read_only(machine: Machine, *, is_so: bool) -> None:
    """Mount the VM's folder anew; what QEMU has open stays as it is."""
    folder = folder_of(machine)
    if is_so:
        root(machine, "mount", "--bind", folder, folder)
    root(machine, "mount", "-o", f"remount,bind,{'ro' if is_so else 'rw'}", folder)


@pytest.mark.parametrize("power", ["paused", "off"])
def test_in_a_read_only_folder_everything_fails_and_nothing_changes(
    small: Machine, power: str
) -> None:
    line_of_three(small)
    small.switch(power)
    uuid = small.vm.uuid
    set_read_only(small, is_so=True)
    operations: list[Operation] = [
        CreateSnapshot(uuid, "four", "", EXTERNAL, memory=False),
        RevertSnapshot(uuid, "one"),
        DeleteSnapshot(uuid, ("one",)),
        DeleteSnapshot(uuid, ("two",)),
        DeleteSnapshot(uuid, ("three",)),
        Consolidate(uuid),
    ]
    if power == "off":
        operations.append(Consolidate(uuid, merge_by=MergeBy.PULL))
    for operation in operations:
        assert "read-only" in failure(small.vm.do(operation)).message
    small.check()
    # libvirt's own revert ends the VM first; its state was to be lost
    error = failure(small.vm.do(RevertSnapshot(uuid, "two", safety_snapshot=False)))
    assert "read-only" in error.message
    if "The VM is off now." in error.advice:
        small.power = "off"
    small.check()
    assert small.vm.vm().interruption is None
    set_read_only(small, is_so=False)
    for operation in operations[:2]:
        created = small.vm.done(operation).created
        assert created is not None
        small.took(created, EXTERNAL)
    small.reverted("one", Afterwards.AS_IT_WAS, had_memory=None)
    small.check()


# Images that QEMU may not write to


@pytest.mark.parametrize("power", ["running", "off"])
def test_where_the_base_is_roots_the_merge_goes_upwards(
    lab: Lab, tmp_path: Path, power: str
) -> None:
    """A golden image that root has made; QEMU runs as another account."""
    machine = Machine(lab)
    try:
        snapview = RealTerminal(lab, tmp_path)
        base = lab.active_disk(machine.vm.name)
        take(machine, "one")
        machine.write("vda", FIRST_CHUNK, 1)
        machine.switch(power)
        os.chown(base, 0, 0)
        base.chmod(0o444)
        for arguments in (("delete", machine.vm.name, "one"), ("consolidate", machine.vm.name)):
            said = snapview(*arguments, status=1)
            assert "may not write to one of the images" in said
            assert "--pull" in said
            machine.check()
        assert machine.vm.vm().interruption is None
        snapview("delete", machine.vm.name, "one", "--pull")
        machine.lost("one")
        machine.switch("off")
        machine.check()
        assert not base.exists()
    finally:
        machine.close()
