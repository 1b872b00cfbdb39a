"""Carry out a plan on one VM, step by step, and verify what came of it. Pure over ``VmPort``.

The VM is read and planned again right before the first step, because it may have changed since
the user said yes; and read again after the last, because libvirt's "done" is not a proof.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import assert_never

from snapview.core.errors import Conflict, HostError, SnapviewError
from snapview.core.operations import (
    Afterwards,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    EndBlockJob,
    Operation,
    Progress,
    Recover,
    RevertSnapshot,
    join_description,
)
from snapview.core.planning import Act, Plan, Refusal, plan
from snapview.core.planning.create import disk_actions, memory_path
from snapview.core.planning.revert import ends, safety_of
from snapview.core.vm import Snapshot, SnapshotKind, Vm
from snapview.virt.job import Steps
from snapview.virt.vm_port import VmPort
from snapview.virt.xml import build_snapshot, with_description


def steps_of(operation: Operation, port: VmPort) -> Steps:
    """Return the steps of an operation; nothing happens before the first is asked for.

    Raises (from the steps):
        Conflict: planning refuses it, for the VM as it is now.
        HostError: libvirt says done, but the VM does not look so.
        SnapviewError: whatever libvirt refused.
    """
    vm = port.read()
    planned = plan(vm, operation)
    if isinstance(planned, Refusal):
        raise Conflict(planned.reason, advice=planned.advice)
    match planned.operation:
        case CreateSnapshot() as create:
            return (yield from _create(create, planned, vm, port))
        case RevertSnapshot() as revert:
            return (yield from _revert(revert, vm, port))
        case DeleteSnapshot() as delete:
            return (yield from _delete(delete, planned, vm, port))
        case EditDescription() as edit:
            return (yield from _edit(edit, port))
        case Consolidate() | EndBlockJob() | Recover():
            raise NotImplementedError
        case _:
            assert_never(planned.operation)


def _create(operation: CreateSnapshot, planned: Plan, vm: Vm, port: VmPort) -> Steps:
    """Take a snapshot and see that it is there, with the overlays that the plan named."""
    name = planned.new_name or ""
    title = operation.title or name
    is_external = operation.kind is SnapshotKind.EXTERNAL
    memory_file = memory_path(vm, name) if is_external and operation.memory else None
    disks = disk_actions(vm, operation, name)
    xml = build_snapshot(
        name,
        join_description(name, title, operation.description),
        memory_path=memory_file,
        disks=disks,
    )
    yield Progress("Taking the snapshot")
    with _quiesced(port, wanted=operation.quiesce):
        port.create_snapshot(xml, disk_only=is_external and memory_file is None, live=False)
    after = port.read()
    _require(name in after.tree, f"the snapshot “{title}” is not there")
    active = _active_images(after)
    for disk in disks:
        if disk.overlay is not None:
            _require(active.get(disk.target) == disk.overlay.path, f"{disk.target} did not change")
    return name


def _revert(operation: RevertSnapshot, vm: Vm, port: VmPort) -> Steps:
    """Keep the state of now if asked, revert, and see that the VM stands where it should."""
    kept: str | None = None
    if operation.safety_snapshot:
        safety = plan(vm, safety_of(vm, operation))
        if isinstance(safety, Refusal) or not isinstance(safety.operation, CreateSnapshot):
            raise Conflict(f"The state of now cannot be kept: {getattr(safety, 'reason', '')}")
        kept = yield from _create(safety.operation, safety, vm, port)
    yield Progress("Reverting")
    try:
        _go_back(operation, vm, port, kept)
    except SnapviewError as error:
        if kept is not None:
            advice = f"The state of before is kept in “{operation.safety_title}”."
            error.advice = f"{advice} {error.advice}".strip()
        raise
    return kept


def _go_back(operation: RevertSnapshot, vm: Vm, port: VmPort, kept: str | None) -> None:
    """Revert, and see that the VM stands where it should and lost no snapshot."""
    target = vm.tree[operation.snapshot]
    wanted = ends(target, operation.afterwards)
    port.revert(target.name, _flag_for(target, wanted))
    if wanted is Afterwards.OFF:
        _stop_if_on(port)
    after = port.read()
    _require(after.tree.current == target.name, "the VM does not stand on it")
    expected = {s.name for s in vm.tree} | ({kept} if kept is not None else set())
    missing = expected - {s.name for s in after.tree}
    _require(not missing, f"snapshots are gone: {', '.join(sorted(missing))}")


def _flag_for(target: Snapshot, wanted: Afterwards) -> Afterwards:
    """Return what to tell libvirt: only what differs from the snapshot's own state."""
    if wanted is Afterwards.OFF:
        # From memory libvirt cannot end "off": it loads it paused, and we stop it.
        return Afterwards.PAUSED if target.has_memory else Afterwards.AS_IT_WAS
    return Afterwards.AS_IT_WAS if wanted is ends(target, Afterwards.AS_IT_WAS) else wanted


def _stop_if_on(port: VmPort) -> None:
    if port.read().run_state.is_active:
        port.stop()


def _delete(operation: DeleteSnapshot, planned: Plan, vm: Vm, port: VmPort) -> Steps:
    """Delete in the planned order; after each one see that only it is gone."""
    remaining = {snapshot.name for snapshot in vm.tree}
    active = _active_images(vm)
    for name in operation.snapshots:
        yield Progress(f"Deleting “{vm.tree[name].label}”")
        port.delete_snapshot(name)
        there = port.snapshot_names()
        remaining.discard(name)
        _require(name not in there, f"“{vm.tree[name].label}” is still there")
        missing = remaining - there
        _require(not missing, f"other snapshots are gone: {', '.join(sorted(missing))}")
        merges = [s for s in planned.steps if s.act is Act.MERGE and s.snapshot == name]
        for step in merges:
            if step.disk in active:
                top, base = step.files
                active[step.disk] = base if active[step.disk] == top else active[step.disk]
        if merges or name == operation.snapshots[-1]:  # whole reads are for what can change disks
            _require(
                _active_images(port.read()) == active, "its disks are not on the images planned"
            )
    return None


def _active_images(vm: Vm) -> dict[str, str]:
    """Return the image that each disk writes to."""
    return {disk.target: disk.layers[0].path for disk in vm.state_disks}


def _edit(operation: EditDescription, port: VmPort) -> Steps:
    """Replace the description, everything else of the record untouched."""
    name = operation.snapshot
    text = join_description(name, operation.title, operation.description)
    yield Progress("Changing the description")
    port.redefine_snapshot(with_description(port.snapshot_xml(name), text))
    after = port.read().tree.get(name)
    _require(after is not None, f"the snapshot “{name}” is gone")
    _require(
        after is not None
        and (after.title, after.description) == (operation.title, operation.description),
        "the description is not what was asked for",
    )
    return None


@contextmanager
def _quiesced(port: VmPort, *, wanted: bool) -> Iterator[None]:
    """Freeze the guest's file systems around a piece of work; thaw them whatever happens."""
    if not wanted:
        yield
        return
    failure: SnapviewError | None = None
    try:
        port.freeze()
        yield
    except SnapviewError as error:
        failure = error
        raise
    finally:
        _thaw(port, failure)


def _thaw(port: VmPort, failure: SnapviewError | None) -> None:
    """Thaw; when that fails too, it must not hide why the work itself failed."""
    try:
        port.thaw()
    except SnapviewError as error:
        if failure is None:
            raise
        advice = f"Look whether the guest's file systems are still frozen: {error.message}"
        failure.advice = f"{failure.advice} {advice}".strip()


def _require(holds: object, otherwise: str) -> None:
    """Raise when what libvirt called done is not so."""
    if not holds:
        raise HostError(
            f"libvirt reported success, but {otherwise}.",
            advice="Look at the tree before you go on; another program may be at work on this VM.",
        )
