""" "Can I get back?" for each kind on each generation of libvirt; planning a revert must agree."""

from dataclasses import replace

import pytest

from snapview.core.operations import CreateSnapshot, DeleteSnapshot, RevertSnapshot
from snapview.core.planning import Plan, plan
from snapview.core.planning.getback import get_back
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
    vm_of,
)
from tests.simulation import Simulation
from tests.trees import make_vm


def asked(kind: SnapshotKind, *, memory: bool = True) -> CreateSnapshot:
    return CreateSnapshot(make_vm().uuid, "new", kind=kind, memory=memory)


@pytest.mark.parametrize(
    ("version", "kind", "memory", "revert", "remove"),
    [
        ((8, 0, 0), INTERNAL, True, True, True),
        ((8, 0, 0), EXTERNAL, True, False, False),
        ((9, 0, 0), INTERNAL, True, True, True),
        ((9, 0, 0), EXTERNAL, True, False, True),
        ((10, 0, 0), EXTERNAL, True, True, True),
        ((10, 0, 0), EXTERNAL, False, False, True),  # trap 12
        ((10, 10, 0), EXTERNAL, False, True, True),
        ((11, 2, 0), INTERNAL, True, False, True),  # trap 9
        ((11, 2, 0), EXTERNAL, True, True, True),
        ((11, 3, 0), INTERNAL, True, True, True),
        ((11, 3, 0), EXTERNAL, False, True, True),
        ((12, 1, 0), INTERNAL, True, True, True),
        ((12, 1, 0), EXTERNAL, False, True, True),
    ],
)
def test_each_generation(
    version: tuple[int, int, int], kind: SnapshotKind, memory: bool, revert: bool, remove: bool
) -> None:
    back = get_back(vm_of(version=version), asked(kind, memory=memory))
    assert (back.revert, back.remove) == (revert, remove)
    assert back.is_certain is (revert and remove)
    assert back.revert_text.endswith(".")
    assert back.remove_text.endswith(".")


def test_a_medium_that_is_no_file_forbids_an_external_revert() -> None:
    drive = DiskChain("sda", (DiskLayer("/dev/sr0", "raw", "block"),), "cdrom", is_readonly=True)
    vm = vm_of(disks=(disk("base"), drive))
    assert not get_back(vm, asked(EXTERNAL)).revert
    assert get_back(vm, asked(INTERNAL)).revert


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
