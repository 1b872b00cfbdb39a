"""What really happens to guests and files, on both generations of libvirt and QEMU.

The guest's counters say which state came back: one lives in memory, both are written to the disk.
The contents of images are compared as QEMU reads them.
"""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapview.core.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    RevertSnapshot,
)
from snapview.core.planning import Act, Plan, Refusal, RefusalCode, plan
from snapview.core.vm import RunState, SnapshotKind, SnapshotState
from tests.backends import Backend, lab_backend
from tests.lab import Lab

EXTERNAL = SnapshotKind.EXTERNAL


@pytest.fixture
def vm(lab: Lab) -> Iterator[Backend]:
    backend = lab_backend(lab)
    yield backend
    backend.host.close()


def lab_of(backend: Backend) -> Lab:
    assert backend.lab is not None
    return backend.lab


def content(path: str | Path) -> str:
    """Hash what a guest would read from an image, through its whole chain."""
    with tempfile.NamedTemporaryFile(prefix="snapview-test-") as raw:
        subprocess.run(
            ["qemu-img", "convert", "-U", "-O", "raw", str(path), raw.name],
            capture_output=True,
            check=True,
        )
        return hashlib.file_digest(raw, "sha256").hexdigest()


def frozen_contents(backend: Backend) -> dict[str, str]:
    """The content of the disk at each external snapshot."""
    return {
        snapshot.name: content(disk.frozen.path)
        for snapshot in backend.vm().tree
        for disk in snapshot.disks
        if disk.frozen
    }


def files(backend: Backend) -> set[str]:
    folder = lab_of(backend).vm_folder(backend.name)
    return {path.name for path in folder.iterdir()} - {"serial.log"}


def chain(backend: Backend) -> list[str]:
    """The chain as the headers of the images say it."""
    command = ["qemu-img", "info", "-U", "--backing-chain", "--output=json"]
    active = lab_of(backend).active_disk(backend.name)
    text = subprocess.run([*command, str(active)], capture_output=True, check=True).stdout
    return [Path(layer["filename"]).name for layer in json.loads(text)]


def test_an_internal_revert_brings_memory_and_disk_back(vm: Backend) -> None:
    lab = lab_of(vm)
    at_snapshot = lab.wait_for_count(vm.name, 2).count
    name = vm.take("one")
    later = lab.wait_for_count(vm.name, at_snapshot + 3).count
    disk = lab.active_disk(vm.name)
    vm.done(RevertSnapshot(vm.uuid, name, safety_snapshot=False))
    back = lab.counter_from_serial(vm.name)
    assert at_snapshot <= back.count < later, "memory did not come back"
    assert back.boots == 1, "the guest was booted anew"
    kept = lab.disk_counter(disk, name)
    assert kept is not None
    assert at_snapshot - 1 <= kept.count <= at_snapshot + 1, "the disk is of another time"


def test_the_safety_snapshot_holds_the_later_state(vm: Backend) -> None:
    lab = lab_of(vm)
    lab.wait_for_count(vm.name, 1)
    name = vm.take("one")
    later = lab.wait_for_count(vm.name, 4).count
    safety = vm.done(RevertSnapshot(vm.uuid, name)).created
    assert safety is not None
    assert lab.counter_from_serial(vm.name).count < later
    vm.done(RevertSnapshot(vm.uuid, safety, safety_snapshot=False))
    assert lab.counter_from_serial(vm.name).count >= later


def test_off_and_on_again(vm: Backend) -> None:
    lab = lab_of(vm)
    lab.wait_for_count(vm.name, 1)
    lab.virsh("destroy", vm.name)
    off = vm.take("off")
    assert vm.vm().tree[off].state is SnapshotState.SHUTOFF
    before = content(lab.active_disk(vm.name))
    lab.start_vm(vm.name)
    lab.wait_for_count(vm.name, 2)
    vm.done(RevertSnapshot(vm.uuid, off, safety_snapshot=False))
    assert vm.vm().run_state is RunState.SHUTOFF
    assert content(lab.active_disk(vm.name)) == before


def line_of_three(vm: Backend, *, memory: bool = False) -> list[str]:
    lab = lab_of(vm)
    names = []
    for number in (1, 2, 3):
        if vm.vm().run_state is RunState.RUNNING:
            lab.wait_for_count(vm.name, number)
        names.append(vm.take(f"e{number}", kind=EXTERNAL, memory=memory))
    return names


def test_external_snapshots_lengthen_the_chain(vm: Backend) -> None:
    names = line_of_three(vm)
    read = vm.vm()
    assert [s.state for s in map(read.tree.__getitem__, names)] == [SnapshotState.DISK_ONLY] * 3
    assert read.chain_depth == {"vda": 3}
    assert chain(vm) == ["vda.e3.qcow2", "vda.e2.qcow2", "vda.e1.qcow2", "vda.qcow2"]
    assert [Path(layer.path).name for layer in read.disks[0].layers] == chain(vm)
    overlays = [read.tree[name].disks[0].overlay for name in names]
    assert [Path(o.path).name for o in overlays if o] == [
        "vda.e1.qcow2",
        "vda.e2.qcow2",
        "vda.e3.qcow2",
    ]


def test_the_chain_of_a_vm_that_is_off_is_known_from_its_snapshots(vm: Backend) -> None:
    lab_of(vm).virsh("destroy", vm.name)
    line_of_three(vm)
    read = vm.vm()
    assert read.chain_depth == {"vda": 3}
    assert [Path(layer.path).name for layer in read.disks[0].layers] == chain(vm)


@pytest.mark.parametrize("state", ["running", "paused", "off", "made off"])
@pytest.mark.parametrize("which", ["leaf", "middle", "root"])
def test_deleting_an_external_snapshot_keeps_all_other_states(
    vm: Backend, state: str, which: str
) -> None:
    lab = lab_of(vm)
    if state == "made off":
        lab.virsh("destroy", vm.name)
    names = line_of_three(vm)
    if state == "off":
        lab.virsh("destroy", vm.name)
    if state == "paused":
        lab.virsh("suspend", vm.name)
    before, live = frozen_contents(vm), content(lab.active_disk(vm.name))
    depth = len(chain(vm))
    target = names[{"leaf": 2, "middle": 1, "root": 0}[which]]
    delete = DeleteSnapshot(vm.uuid, (target,))
    planned = plan(vm.vm(), delete)
    assert isinstance(planned, Plan)
    assert planned.acts == {Act.MERGE}
    top, base = (Path(file).name for file in planned.steps[0].files)
    vm.done(delete)
    assert top not in files(vm), "the merged overlay is left over"
    assert base in files(vm)
    after = frozen_contents(vm)
    assert after == {name: text for name, text in before.items() if name != target}
    if state == "running":  # the guest goes on writing meanwhile
        lab.wait_for_count(vm.name, lab.counter_from_serial(vm.name).count + 1)
    else:
        assert content(lab.active_disk(vm.name)) == live
    assert len(chain(vm)) == depth - 1
    assert files(vm) == set(chain(vm)), "files lost or left over"


def test_deleting_all_externals_leaves_one_image(vm: Backend) -> None:
    lab = lab_of(vm)
    names = line_of_three(vm)
    lab.virsh("suspend", vm.name)
    live = content(lab.active_disk(vm.name))
    vm.done(DeleteSnapshot(vm.uuid, (names[0],), subtree=True))
    assert vm.tree() == {}
    assert files(vm) == {"vda.qcow2"}
    assert content(lab.active_disk(vm.name)) == live


def test_a_vm_that_is_off_loses_all_externals_newest_first(vm: Backend) -> None:
    lab = lab_of(vm)
    lab.virsh("destroy", vm.name)
    names = line_of_three(vm)
    live = content(lab.active_disk(vm.name))
    vm.done(DeleteSnapshot(vm.uuid, (names[0],), subtree=True))
    assert vm.tree() == {}
    assert files(vm) == {"vda.qcow2"}
    assert content(lab.active_disk(vm.name)) == live


def test_external_with_memory_makes_a_memory_file(vm: Backend) -> None:
    lab_of(vm).wait_for_count(vm.name, 1)
    name = vm.take("mem", kind=EXTERNAL, memory=True)
    snapshot = vm.vm().tree[name]
    assert snapshot.has_memory
    assert snapshot.memory_path is not None
    assert Path(snapshot.memory_path).name in files(vm)
    assert vm.vm().run_state is RunState.RUNNING


def test_external_revert_with_memory(vm: Backend) -> None:
    lab = lab_of(vm)
    at = lab.wait_for_count(vm.name, 2).count
    name = vm.take("mem", kind=EXTERNAL, memory=True)
    later = lab.wait_for_count(vm.name, at + 4).count
    vm.done(RevertSnapshot(vm.uuid, name))
    back = lab.counter_from_serial(vm.name)
    assert at <= back.count < later
    assert back.boots == 1


def test_external_revert_keeps_the_state_of_now_and_branches(vm: Backend) -> None:
    lab = lab_of(vm)
    names = line_of_three(vm)
    lab.virsh("suspend", vm.name)
    before, live = frozen_contents(vm), content(lab.active_disk(vm.name))
    outcome = vm.done(RevertSnapshot(vm.uuid, names[0]))
    assert outcome.created is not None
    after = frozen_contents(vm)
    assert {name: after[name] for name in before} == before
    assert after[outcome.created] == live
    side = vm.take("side", kind=EXTERNAL)
    assert vm.tree()[side] == names[0]
    # the dead branch goes leaf first, and what is left is whole
    vm.done(DeleteSnapshot(vm.uuid, (outcome.created,)))
    remaining = frozen_contents(vm)
    assert {name: remaining[name] for name in before} == before


@pytest.mark.parametrize("state", ["off", "paused"])
def test_branches_left_by_reverts_can_be_cleared_again(vm: Backend, state: str) -> None:
    """libvirt names an overlay that is gone and forgets the one that the revert made."""
    lab = lab_of(vm)
    lab.virsh("destroy", vm.name)
    names = line_of_three(vm)[:2]
    outcome = vm.done(RevertSnapshot(vm.uuid, names[0]))
    assert outcome.created is not None
    assert [Path(layer.path).name for layer in vm.vm().disks[0].layers] == chain(vm)
    side = vm.take("side", kind=EXTERNAL)
    assert [Path(layer.path).name for layer in vm.vm().disks[0].layers] == chain(vm)
    if state == "paused":
        lab.virsh("start", vm.name, "--paused")
    live = content(lab.active_disk(vm.name))
    for name in (side, outcome.created, "e3", *reversed(names)):
        vm.done(DeleteSnapshot(vm.uuid, (name,)))
        assert content(lab.active_disk(vm.name)) == live
    assert vm.tree() == {}
    assert files(vm) == set(chain(vm)) == {"vda.qcow2"}


def test_external_revert_without_safety_discards_what_the_plan_says(vm: Backend) -> None:
    names = line_of_three(vm)
    operation = RevertSnapshot(vm.uuid, names[2], safety_snapshot=False)
    planned = plan(vm.vm(), operation)
    assert isinstance(planned, Plan)
    revert = next(step for step in planned.steps if step.act is Act.REVERT)
    doomed = {Path(file).name for file in revert.files}
    before = files(vm)
    vm.done(operation)
    assert before - files(vm) == doomed
    assert planned.lost


def test_mixing_is_refused_both_ways(vm: Backend) -> None:
    vm.take("internal")
    refusal = plan(vm.vm(), CreateSnapshot(vm.uuid, "x", kind=EXTERNAL, memory=False))
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.MIXED


def test_reverting_below_an_overlay_is_refused(vm: Backend) -> None:
    """Trap 2: libvirt 9.0 does it, and the external snapshot above is silently wrong."""
    name = vm.take("internal")
    lab_of(vm).virsh("snapshot-create-as", vm.name, "theirs", "--disk-only")
    refusal = plan(vm.vm(), RevertSnapshot(vm.uuid, name, safety_snapshot=False))
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.MIXED


def test_a_managed_save_forbids_what_would_spoil_it(vm: Backend) -> None:
    """Trap 4."""
    name = vm.take("one")
    lab_of(vm).virsh("managedsave", vm.name)
    for operation in (
        CreateSnapshot(vm.uuid, "two"),
        RevertSnapshot(vm.uuid, name),
        DeleteSnapshot(vm.uuid, (name,)),
    ):
        refusal = plan(vm.vm(), operation)
        assert isinstance(refusal, Refusal)
        assert refusal.code is RefusalCode.MANAGED_SAVE


def test_two_disks_are_kept_together(lab: Lab) -> None:
    vm = lab_backend(lab, disks=2)
    vm.take("both", kind=EXTERNAL, memory=False)
    assert vm.vm().chain_depth == {"vda": 1, "vdb": 1}
    assert files(vm) == {"vda.qcow2", "vdb.qcow2", "vda.both.qcow2", "vdb.both.qcow2"}
    vm.done(DeleteSnapshot(vm.uuid, ("both",)))
    assert files(vm) == {"vda.qcow2", "vdb.qcow2"}
    vm.host.close()


def test_raw_disks_can_only_be_external(lab: Lab) -> None:
    vm = lab_backend(lab, disk_format="raw")
    refusal = plan(vm.vm(), CreateSnapshot(vm.uuid, "x"))
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.DISK_FORMAT
    vm.take("x", kind=EXTERNAL, memory=False)
    assert chain(vm) == ["vda.x.qcow2", "vda.raw"]
    vm.done(DeleteSnapshot(vm.uuid, ("x",)))
    assert chain(vm) == ["vda.raw"]
    vm.host.close()
