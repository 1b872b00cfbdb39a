"""The way of an operation: read, plan, agreed?, journal, move by move, verify, report.

The VM is read and planned again right before the first move, because it may have changed since
the user said yes; and read again after the last, because libvirt's "done" is not a proof. Pure
over ``VmPort`` and ``Journal``.
"""

import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import replace

from snapview.core.errors import (
    Conflict,
    ConnectionLost,
    HostError,
    PlanChanged,
    SnapviewError,
)
from snapview.core.journal import Journal, moves_left, needs_thaw, undo_moves
from snapview.core.moves import (
    DeleteByLibvirt,
    ForgetSnapshot,
    MakeOverlay,
    Move,
    RemoveFile,
    TakeSnapshot,
)
from snapview.core.operations import (
    Actual,
    Operation,
    Progress,
    Recover,
)
from snapview.core.planning import Refusal, plan
from snapview.core.vm import RunState, Vm
from snapview.virt.course import Course
from snapview.virt.job import Ended, SteppedJob, Steps
from snapview.virt.moves.site import Site, Stopped
from snapview.virt.vm_port import VmPort

_STATES = {
    RunState.RUNNING: "runs",
    RunState.PAUSED: "is paused",
    RunState.SHUTOFF: "is off",
    RunState.CRASHED: "has crashed",
    RunState.SUSPENDED: "sleeps",
}


def job_of(
    operation: Operation, port: VmPort, journal: Journal, agreed: object = None
) -> SteppedJob:
    """Return an operation as a job; nothing happens before its first step."""

    def begin(stop: threading.Event) -> Steps:
        return steps_of(operation, Site(port, stop), journal, agreed)

    return SteppedJob(operation.vm_uuid, begin)


def steps_of(operation: Operation, site: Site, journal: Journal, agreed: object = None) -> Steps:
    """Return the steps of an operation; nothing happens before the first is asked for.

    Args:
        operation: what to do.
        site: the VM to do it to, and how to stop.
        journal: where it is written down before it is done.
        agreed: the gist of the plan that the user agreed to; None: whatever the plan is.

    Raises (from the steps):
        Conflict: planning refuses it, for the VM as it is now; or another snapview is at work.
        PlanChanged: the plan is not the one agreed to any more; nothing was done.
        HostError: libvirt says done, but the VM does not look so.
        SnapviewError: whatever libvirt refused; its advice says what is true now.
    """
    began = time.monotonic()
    site.vm = before = _look(site.port)
    planned = plan(before, operation)
    if isinstance(planned, Refusal):
        raise Conflict(planned.reason, advice=planned.advice)
    if agreed is not None and planned.gist != agreed:
        raise PlanChanged(
            f"“{before.name}” has changed, and so has what would be done.",
            advice="Look at the plan again; nothing was done.",
        )
    if isinstance(operation, Recover):
        is_done = yield from _recover(operation, site, journal)
    else:
        entry = journal.open(
            site.port.uri, before.uuid, before.name, planned.operation, planned.moves
        )
        course = Course(site, entry)
        with course.held():
            is_done = yield from _go(course, course.forward(planned.moves), site)
    after = _look(site.port)
    if is_done and not isinstance(operation, Recover):
        _require_others(planned.moves, site, after)
    actual = Actual(
        time.monotonic() - began, site.copied_bytes, _freed(planned.moves, before, after)
    )
    return Ended(site.created, actual, tuple(site.remarks), is_cancelled=not is_done)


def _look(port: VmPort) -> Vm:
    vm = port.read()
    return vm.with_storage(port.read_storage()) if vm.capabilities.touches_disks else vm


def _recover(operation: Recover, site: Site, journal: Journal) -> Generator[Progress, None, bool]:
    """Bring to its end, or take back, what a snapview that is gone had begun."""
    entry = journal.resume(operation.interruption)
    written = entry.entry
    course = Course(site, entry, is_recovery=True)
    with course.held():
        if needs_thaw(replace(written, is_alive=False)):
            thaw(site.port)
        back = undo_moves(written)
        if operation.finish:
            moves = course.forward(moves_left(written))
        elif back is not None:
            moves = course.take_back(back)
        else:
            raise Conflict("It is too late to take that back.", advice="Finish it.")
        return (yield from _go(course, moves, site))


def thaw(port: VmPort) -> None:
    """Let a guest go on that may have been left frozen; one that was not does not mind.

    Raises:
        ConnectionLost: the daemon went away.
    """
    try:
        port.thaw()
    except ConnectionLost:
        raise
    except SnapviewError:
        return  # it is off, or not frozen, or its agent is gone with it


def _go(
    course: Course, moves: Generator[Progress, None, None], site: Site
) -> Generator[Progress, None, bool]:
    """Go a course to its end, or out of it; return whether it came to its end.

    Raises:
        SnapviewError: it failed; its advice says what is true now.
    """
    try:
        yield from moves
    except Stopped:
        yield from course.leave()
    except ConnectionLost:
        raise
    except SnapviewError as error:
        is_cancelled = site.stop.is_set() and isinstance(error, Conflict)  # libvirt's abort
        yield from _leave_after(error, course, site)
        if not is_cancelled:
            raise
    else:
        course.settle()
        return True
    site.remarks += _differences(site)
    return False


def _leave_after(
    error: SnapviewError, course: Course, site: Site
) -> Generator[Progress, None, None]:
    """Leave the VM whole after a failure, and let the error say what is true now."""
    said = len(site.remarks)
    sentences: list[str] = []
    try:
        yield from course.leave()
        sentences = _differences(site)
    except SnapviewError as second:
        sentences = [
            f"Putting things right failed too: {second.message}",
            "snapview offers to finish it, or to take it back, when it looks at the VM again.",
        ]
    error.advice = " ".join([*site.remarks[said:], *sentences, error.advice]).strip()


def _differences(site: Site) -> list[str]:
    """Say how the VM, read anew, differs from before, after what did not come to its end."""
    before, after = site.vm, site.port.read()
    found = []
    kept = after.tree.get(site.created) if site.created is not None else None
    if kept is not None:
        found.append(f"The state of before is kept in “{kept.label}”.")
    if after.run_state is not before.run_state and after.run_state in _STATES:
        found.append(f"The VM {_STATES[after.run_state]} now.")
    current = after.tree.get(after.tree.current) if after.tree.current is not None else None
    others = {before.tree.current, site.created}
    if current is not None and current.name not in others and before.tree.current in after.tree:
        found.append(f"It stands on “{current.label}” now.")
    return found


def _require_others(moves: Sequence[Move], site: Site, after: Vm) -> None:
    """See that no snapshot is gone but those that were to go."""
    going = {m.snapshot for m in moves if isinstance(m, ForgetSnapshot | DeleteByLibvirt)}
    coming = {move.name for move in moves if isinstance(move, TakeSnapshot)}
    missing = {snapshot.name for snapshot in site.vm.tree} - going | coming
    missing -= {snapshot.name for snapshot in after.tree}
    if missing:
        raise HostError(
            f"It was done, but other snapshots are gone: {', '.join(sorted(missing))}.",
            advice="Another program may have deleted them; if not, look into libvirt's log.",
        )


def _freed(moves: Sequence[Move], before: Vm, after: Vm) -> int | None:
    """Return by how much the files of the VM have shrunk together; None: not known."""
    if before.storage is None or after.storage is None:
        return None
    paths = _files_of(before) | _files_of(after)
    paths |= {move.path for move in moves if isinstance(move, MakeOverlay | RemoveFile)}
    total = 0
    for storage, sign in ((before.storage, 1), (after.storage, -1)):
        for path in paths:
            if storage.is_unread(path):
                return None
            file = storage.images.get(path)
            if file is not None and file.allocation_bytes is None:
                return None
            total += sign * (file.allocation_bytes or 0) if file is not None else 0
    return total


def _files_of(vm: Vm) -> set[str]:
    """Return every file that a VM and its snapshots name."""
    layers = [layer for disk in vm.disks for layer in disk.layers]
    for snapshot in vm.tree:
        for disk in (*snapshot.disks, *snapshot.revert_overlays):
            layers += [layer for layer in (disk.frozen, disk.overlay) if layer is not None]
    memory = {snapshot.memory_path for snapshot in vm.tree if snapshot.memory_path is not None}
    return memory | {layer.path for layer in layers if layer.type == "file"}
