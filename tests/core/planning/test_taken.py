"""The VM as it will be: held against a simulation that was written without looking at it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.marks import Consistency
from snapview.core.moves import TakeSnapshot
from snapview.core.operations import CreateSnapshot
from snapview.core.planning.taken import after_taking, consistency_of, state_of
from snapview.core.storage import ImageFile, Storage
from snapview.core.vm import DiskChain, RunState, SnapshotKind, SnapshotState, Vm
from tests.core.planning.cases import (
    EXTERNAL,
    INTERNAL,
    disk,
    external_vm,
    image,
    internal_vm,
    plan_of,
    vm_of,
)
from tests.simulation import Simulation
from tests.trees import START


def predicted(vm: Vm, operation: CreateSnapshot) -> tuple[Vm, TakeSnapshot]:
    planned = plan_of(vm, operation)
    (take,) = planned.moves
    assert isinstance(take, TakeSnapshot)
    assert isinstance(planned.operation, CreateSnapshot)
    return after_taking(vm, take, memory=planned.operation.memory), take


VMS = st.builds(
    lambda make, state, more: (
        make(run_state=state, disks=(*make().disks, *more)) if more else make(run_state=state)
    ),
    st.sampled_from([internal_vm, external_vm]),
    st.sampled_from([RunState.RUNNING, RunState.PAUSED, RunState.SHUTOFF]),
    st.sampled_from([(), (disk("data", target="vdb"),), (DiskChain("sda", (), "cdrom"),)]),
)


@given(VMS, st.sampled_from([INTERNAL, EXTERNAL]), st.booleans(), st.text("ab ", max_size=5))
def test_it_is_what_the_simulation_makes_of_it(
    vm: Vm, kind: SnapshotKind, memory: bool, title: str
) -> None:
    memory = memory or kind is INTERNAL
    asked = CreateSnapshot(vm.uuid, f"new {title}", kind=kind, memory=memory, mix=True)
    after, take = predicted(vm, asked)
    simulation = Simulation()
    simulation.define(vm)
    simulation.apply(replace(asked, title=f"new {title}".strip()))
    real = simulation.require(vm.uuid)
    assert real.tree.current == after.tree.current == take.name
    assert {s.name: s.parent for s in real.tree} == {s.name: s.parent for s in after.tree}
    made, wanted = after.tree[take.name], real.tree[take.name]
    assert (made.title, made.kind, made.state) == (wanted.title, wanted.kind, wanted.state)
    assert (made.has_memory, made.memory_path is None) == (
        wanted.has_memory,
        wanted.memory_path is None,
    )
    held = {d.target: (d.mode, d.frozen) for d in made.disks if d.mode != "no"}
    assert held == {d.target: (d.mode, d.frozen) for d in wanted.disks if d.mode != "no"}
    # The simulation gives overlays other names; the chains below them are the same.
    below = {d.target: d.layers[1:] if kind is EXTERNAL else d.layers for d in after.state_disks}
    assert below == {
        d.target: d.layers[1:] if kind is EXTERNAL else d.layers for d in real.state_disks
    }
    assert all(other == vm.tree[other.name] for other in after.tree if other.name != take.name)


def test_the_storage_holds_the_new_files() -> None:
    path = "/images/base.qcow2"
    storage = Storage({path: ImageFile(path, "qcow2", capacity_bytes=5)}, {"/images": 1 << 40})
    vm = vm_of(disks=(disk("base"),), storage=storage)
    after, take = predicted(vm, CreateSnapshot(vm.uuid, "new", kind=EXTERNAL))
    overlay = take.disks[0].overlay
    assert overlay is not None
    assert take.memory_path is not None
    assert after.storage is not None
    assert set(after.storage.images) == {path, overlay.path, take.memory_path}
    made = after.storage.images[overlay.path]
    assert (made.backing, made.backing_format, made.capacity_bytes) == (path, "qcow2", 5)
    assert after.storage.fault(overlay.path) == ""
    assert after.disks[0].layers == (overlay, image("base"))
    assert storage.images.keys() == {path}


def test_drives_and_readonly_disks_stay_as_they_are() -> None:
    disks = (
        disk("base"),
        DiskChain("sda", (image("cd"),), "cdrom", is_readonly=True),
        replace(disk("ro", target="vdb"), is_readonly=True),
    )
    for kind in (INTERNAL, EXTERNAL):
        after, take = predicted(vm_of(disks=disks), CreateSnapshot(vm_of().uuid, "new", kind=kind))
        assert after.disks[1:] == disks[1:]
        modes = {d.target: d.mode for d in after.tree[take.name].disks}
        assert modes == {"vda": kind.value, "sda": "no", "vdb": "no"}


@pytest.mark.parametrize(
    ("state", "memory", "quiesce", "noted", "consistency"),
    [
        (RunState.RUNNING, True, False, SnapshotState.RUNNING, Consistency.WITH_MEMORY),
        (RunState.PAUSED, True, False, SnapshotState.PAUSED, Consistency.WITH_MEMORY),
        (RunState.SUSPENDED, True, False, SnapshotState.PAUSED, Consistency.WITH_MEMORY),
        (RunState.RUNNING, False, False, SnapshotState.DISK_ONLY, Consistency.CRASH),
        (RunState.RUNNING, False, True, SnapshotState.DISK_ONLY, Consistency.FROZEN),
        (RunState.SHUTOFF, False, False, SnapshotState.SHUTOFF, Consistency.OFF),
    ],
)
def test_what_is_noted_of_the_state(
    state: RunState,
    memory: bool,
    quiesce: bool,
    noted: SnapshotState,
    consistency: Consistency,
) -> None:
    vm = vm_of(run_state=state, read_at=START)
    assert state_of(vm, memory=memory) is noted
    assert consistency_of(vm, memory=memory, quiesce=quiesce) is consistency
