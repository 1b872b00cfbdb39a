"""What the tables of a revert look at, by itself."""

from dataclasses import replace

import pytest

from snapview.core.operations import Afterwards, RevertSnapshot
from snapview.core.planning.revert_facts import RevertFacts, end_of
from snapview.core.vm import DiskChain, SnapshotDisk, SnapshotState, SnapshotTree, Vm
from tests.core.planning.cases import TEST_DRIVER, disk, external_vm, image, internal, internal_vm

AS_IT_WAS, OFF = Afterwards.AS_IT_WAS, Afterwards.OFF


def facts_of(vm: Vm, name: str = "one", afterwards: Afterwards = AS_IT_WAS) -> RevertFacts:
    operation = RevertSnapshot(vm.uuid, name, afterwards=afterwards)
    return RevertFacts.of(vm, operation, vm.tree[name])


@pytest.mark.parametrize(
    ("state", "end"),
    [
        (SnapshotState.RUNNING, Afterwards.RUNNING),
        (SnapshotState.PAUSED, Afterwards.PAUSED),
        (SnapshotState.SHUTOFF, OFF),
        (SnapshotState.DISK_ONLY, OFF),
        (SnapshotState.UNKNOWN, OFF),
    ],
)
def test_a_revert_ends_as_the_snapshot_was_or_as_asked(
    state: SnapshotState, end: Afterwards
) -> None:
    snapshot = internal("one", state=state)
    assert end_of(snapshot, AS_IT_WAS) is end
    for wanted in (Afterwards.RUNNING, Afterwards.PAUSED, OFF):
        assert end_of(snapshot, wanted) is wanted


def test_memory_is_loaded_only_where_there_is_some_and_the_vm_is_on() -> None:
    assert facts_of(internal_vm()).loads_memory
    assert not facts_of(internal_vm(), afterwards=OFF).loads_memory
    assert not facts_of(external_vm(), afterwards=Afterwards.RUNNING).loads_memory


def test_only_external_snapshots_on_real_disks_have_files() -> None:
    assert facts_of(external_vm()).has_files
    assert not facts_of(internal_vm()).has_files
    assert not facts_of(external_vm(capabilities=TEST_DRIVER)).has_files
    assert facts_of(external_vm(capabilities=TEST_DRIVER)).overlays == ()


def left_out(vm: Vm, *more: SnapshotDisk) -> Vm:
    one = replace(vm.tree["one"], disks=(*vm.tree["one"].disks, *more))
    return replace(vm, tree=SnapshotTree([one, vm.tree["two"]], "two"))


@pytest.mark.parametrize("mode", ["no", "manual"])
def test_a_left_out_disk_has_moved_when_it_is_on_another_image_now(mode: str) -> None:
    then = SnapshotDisk("vdb", mode, image("data"))
    for now, moved in ((disk("data", target="vdb"), {}), (disk("d1", target="vdb"), {"vdb": "d1"})):
        vm = left_out(external_vm(disks=(*external_vm().disks, now)), then)
        found = {target: layer.path for target, layer in facts_of(vm).moved.items()}
        assert found == {target: f"/images/{name}.qcow2" for target, name in moved.items()}


def test_drives_and_disks_that_the_snapshot_does_not_know_do_not_count_as_moved() -> None:
    drive = DiskChain("sda", (image("cd"),), "cdrom", is_readonly=True)
    vm = external_vm(disks=(*external_vm().disks, drive, disk("new", target="vdb")))
    vm = left_out(vm, SnapshotDisk("sda", "no", image("other")))
    assert facts_of(vm).moved == {}


def test_the_current_snapshot_is_none_when_libvirt_has_no_record_of_it() -> None:
    vm = external_vm()
    current = facts_of(vm).current
    assert current is not None
    assert current.name == "two"
    assert facts_of(replace(vm, tree=SnapshotTree(vm.tree, None))).current is None


def test_the_states_are_of_the_disks_that_the_snapshot_holds() -> None:
    vm = left_out(external_vm(), SnapshotDisk("vdb", "no", image("data")))
    assert [each.target for each in facts_of(vm).states] == ["vda"]
