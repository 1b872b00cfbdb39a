"""Which operation takes another one back, and whether it still can. Pure.

What is not here cannot be undone: a merge and a discard are for ever.
"""

from typing import assert_never

from snapview.core.operations import (
    Afterwards,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    EditDescription,
    EndBlockJob,
    Operation,
    Outcome,
    Recover,
    RevertSnapshot,
)
from snapview.core.vm import RunState, Vm


def undo_of(operation: Operation, outcome: Outcome, before: Vm | None) -> Operation | None:
    """Return the operation that takes ``operation`` back; None: there is none.

    Args:
        operation: what was asked for.
        outcome: how it ended; only what is done can be undone.
        before: the VM as it was just before, or None when it had not been read.
    """
    if not isinstance(outcome, Done):
        return None
    match operation:
        case CreateSnapshot():
            made = outcome.created
            return DeleteSnapshot(operation.vm_uuid, (made,)) if made else None
        case RevertSnapshot():
            kept = outcome.created  # the safety snapshot
            if not operation.safety_snapshot or kept is None:
                return None
            return RevertSnapshot(
                operation.vm_uuid, kept, safety_snapshot=False, afterwards=_as_before(before)
            )
        case EditDescription():
            old = before.tree.get(operation.snapshot) if before else None
            if old is None:
                return None
            return EditDescription(operation.vm_uuid, old.name, old.title, old.description)
        case DeleteSnapshot() | Consolidate() | EndBlockJob() | Recover():
            return None
        case _:
            assert_never(operation)


def _as_before(before: Vm | None) -> Afterwards:
    """Return what the VM shall do again; its memory says that, unless it could not be kept."""
    if before is None or not before.hardware.blockers:
        return Afterwards.AS_IT_WAS
    return {
        RunState.RUNNING: Afterwards.RUNNING,
        RunState.PAUSED: Afterwards.PAUSED,
    }.get(before.run_state, Afterwards.AS_IT_WAS)


def is_possible(undo: Operation, vm: Vm) -> bool:
    """Return whether the snapshots that an undo needs are still there."""
    match undo:
        case DeleteSnapshot():
            return all(name in vm.tree for name in undo.snapshots)
        case RevertSnapshot() | EditDescription():
            return undo.snapshot in vm.tree
        case CreateSnapshot() | Consolidate() | EndBlockJob() | Recover():
            return True
        case _:
            assert_never(undo)
