""" "Can I get back?" for each kind on each generation of libvirt; planning a revert must agree."""

from dataclasses import replace

import pytest

from snapview.core.operations import CreateSnapshot, DeleteSnapshot, RevertSnapshot
from snapview.core.planning import GetBack, Plan, plan
from snapview.core.planning.getback import get_back
from snapview.core.storage import ImageFile, Storage
from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    RunState,
    SnapshotKind,
    Vm,
)
from tests.core.planning.cases import (
    EXTERNAL,
    INTERNAL,
    VERSIONS,
    capabilities,
    disk,
    internal_vm,
    plan_of,
    vm_of,
)
from tests.simulation import Simulation
from tests.trees import make_vm


def asked(kind: SnapshotKind, *, memory: bool = True) -> CreateSnapshot:
    return CreateSnapshot(make_vm().uuid, "new", kind=kind, memory=memory)


def verdict_of(vm: Vm, operation: CreateSnapshot) -> GetBack:
    verdict = plan_of(vm, operation).get_back
    assert verdict is not None
    return verdict


BY_LIBVIRT, OWN = "by libvirt", "by snapview's own way"


@pytest.mark.parametrize(
    ("version", "kind", "memory", "way"),
    [
        ((8, 0, 0), INTERNAL, True, BY_LIBVIRT),
        ((8, 0, 0), EXTERNAL, True, OWN),
        ((9, 0, 0), INTERNAL, True, BY_LIBVIRT),
        ((9, 0, 0), EXTERNAL, True, OWN),
        ((9, 9, 0), EXTERNAL, True, OWN),  # trap 10
        ((10, 0, 0), EXTERNAL, True, BY_LIBVIRT),
        ((10, 0, 0), EXTERNAL, False, OWN),  # trap 12
        ((10, 10, 0), EXTERNAL, False, BY_LIBVIRT),
        ((11, 2, 0), INTERNAL, True, ""),  # trap 9
        ((11, 2, 0), EXTERNAL, True, BY_LIBVIRT),
        ((11, 3, 0), INTERNAL, True, BY_LIBVIRT),
        ((11, 3, 0), EXTERNAL, False, BY_LIBVIRT),
        ((12, 1, 0), INTERNAL, True, BY_LIBVIRT),
        ((12, 1, 0), EXTERNAL, False, BY_LIBVIRT),
    ],
)
def test_each_generation(
    version: tuple[int, int, int], kind: SnapshotKind, memory: bool, way: str
) -> None:
    planned = plan_of(vm_of(version=version), asked(kind, memory=memory))
    back = planned.get_back
    assert back is not None
    assert back.revert is bool(way)
    assert way in back.revert_text
    assert back.remove
    assert (OWN if kind is EXTERNAL else BY_LIBVIRT) in back.remove_text
    assert back.revert_text.endswith(".")
    assert back.remove_text.endswith(".")
    assert (back.revert_text in planned.warnings) is not back.revert


def test_a_medium_that_is_no_file_leaves_the_revert_to_snapview() -> None:
    drive = DiskChain("sda", (DiskLayer("/dev/sr0", "raw", "block"),), "cdrom", is_readonly=True)
    vm = vm_of(disks=(disk("base"), drive))
    assert OWN in verdict_of(vm, asked(EXTERNAL)).revert_text
    assert BY_LIBVIRT in verdict_of(vm, asked(INTERNAL)).revert_text


def test_a_folder_that_libvirt_cannot_read_leaves_the_revert_to_libvirt_or_nobody() -> None:
    unread = Storage(unreadable=frozenset({"/images"}))
    for version, possible in (((9, 0, 0), False), ((11, 3, 0), True)):
        vm = vm_of(version=version, disks=(disk("base"),), storage=unread)
        back = verdict_of(vm, asked(EXTERNAL))
        assert back.revert is possible
        assert possible or "/images" in back.revert_text


@pytest.mark.parametrize("version", VERSIONS)
def test_a_transient_vm_can_go_back_only_where_libvirt_does_it(
    version: tuple[int, int, int],
) -> None:
    vm = vm_of(version=version, is_persistent=False)
    assert verdict_of(vm, asked(EXTERNAL)).revert is (version >= (9, 9, 0))
    assert verdict_of(vm, asked(INTERNAL)).revert is (version[:2] != (11, 2))


def test_a_disk_that_is_no_local_image_is_told_of() -> None:
    network = replace(disk("base"), layers=(DiskLayer("rbd:pool/x", "qcow2", "network"),))
    assert "while the VM is on" in verdict_of(vm_of(disks=(network,)), asked(INTERNAL)).remove_text


def test_an_internal_snapshot_in_an_image_that_others_need_is_no_way_back() -> None:
    """Another VM lies on the image: going back would change it under that VM."""
    path = "/images/base.qcow2"
    storage = Storage({path: ImageFile(path, "qcow2")}, {"/images": 1 << 40}, {path: ("other",)})
    vm = vm_of(disks=(disk("base"),), storage=storage)
    back = verdict_of(vm, asked(INTERNAL))
    assert not back.revert
    assert "other" in back.revert_text


def taken(vm: Vm, operation: CreateSnapshot) -> tuple[Vm, str]:
    """The VM after the snapshot was really taken, and another one after it."""
    simulation = Simulation()
    simulation.define(vm)
    name = simulation.apply(operation)
    assert name is not None
    simulation.apply(replace(operation, title="another"))
    after = simulation.require(vm.uuid)
    chains = tuple(replace(d, defined=len(d.layers), is_complete=True) for d in after.disks)
    return replace(after, disks=chains), name


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", [INTERNAL, EXTERNAL])
@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.SHUTOFF])
def test_what_was_promised_before_is_planned_afterwards(
    version: tuple[int, int, int], kind: SnapshotKind, memory: bool, state: RunState
) -> None:
    vm = vm_of(version=version, run_state=state, disks=(disk("base"),))
    operation = asked(kind, memory=memory)
    planned = plan(vm, operation)
    if not isinstance(planned, Plan):
        return  # refused before, as it should be
    assert planned.get_back is not None
    after, name = taken(replace(vm, capabilities=capabilities(version)), operation)
    for safety in (True, False):
        revert = plan(after, RevertSnapshot(vm.uuid, name, safety_snapshot=safety))
        assert isinstance(revert, Plan) is planned.get_back.revert, revert
    remove = plan(after, DeleteSnapshot(vm.uuid, (name,)))
    assert isinstance(remove, Plan) is planned.get_back.remove, remove


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_snapshot_that_is_there_is_judged_alike(name: str) -> None:
    assert get_back(internal_vm(), name).is_certain
    broken = get_back(internal_vm(version=(11, 2, 0)), name)
    assert (broken.revert, broken.remove) == (False, True)
