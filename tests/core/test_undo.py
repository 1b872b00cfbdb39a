"""What takes what back, and when that can still be done."""

from dataclasses import replace

import pytest

from snapview.core.errors import HostError
from snapview.core.operations import (
    Afterwards,
    Cancelled,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    EditDescription,
    EndBlockJob,
    Failed,
    Operation,
    Outcome,
    Recover,
    RevertSnapshot,
)
from snapview.core.undo import is_possible, undo_of
from snapview.core.vm import RunState
from tests.trees import linear_tree, make_vm

VM = make_vm("web", linear_tree(3))
CREATE = CreateSnapshot(VM.uuid, "new")
REVERT = RevertSnapshot(VM.uuid, "s1")
EDIT = EditDescription(VM.uuid, "s1", "Other", "words")
DELETE = DeleteSnapshot(VM.uuid, ("s2",))


@pytest.mark.parametrize(
    ("operation", "outcome", "undo"),
    [
        (CREATE, Done(created="new"), DeleteSnapshot(VM.uuid, ("new",))),
        (CREATE, Done(), None),
        (REVERT, Done(created="kept"), RevertSnapshot(VM.uuid, "kept", safety_snapshot=False)),
        (REVERT, Done(), None),
        (RevertSnapshot(VM.uuid, "s1", safety_snapshot=False), Done(), None),
        (EDIT, Done(), EditDescription(VM.uuid, "s1", "s1", "What s1 is for.")),
        (EditDescription(VM.uuid, "nix", "a", "b"), Done(), None),
        (DELETE, Done(), None),
    ],
)
def test_each_operation_has_its_undo(
    operation: Operation, outcome: Outcome, undo: Operation | None
) -> None:
    assert undo_of(operation, outcome, VM) == undo


@pytest.mark.parametrize(
    ("state", "blockers", "afterwards"),
    [
        (RunState.RUNNING, (), Afterwards.AS_IT_WAS),
        (RunState.RUNNING, ("a device",), Afterwards.RUNNING),  # only its disks were kept
        (RunState.PAUSED, ("a device",), Afterwards.PAUSED),
        (RunState.SHUTOFF, ("a device",), Afterwards.AS_IT_WAS),
    ],
)
def test_a_vm_whose_memory_could_not_be_kept_runs_again_after_the_undo(
    state: RunState, blockers: tuple[str, ...], afterwards: Afterwards
) -> None:
    before = replace(VM, run_state=state, hardware=replace(VM.hardware, blockers=blockers))
    undo = undo_of(REVERT, Done(created="kept"), before)
    assert undo == RevertSnapshot(VM.uuid, "kept", safety_snapshot=False, afterwards=afterwards)


@pytest.mark.parametrize(
    "operation",
    [
        Consolidate(VM.uuid),
        EndBlockJob(VM.uuid, "vda", finish=True),
        Recover(VM.uuid, "x1", finish=False),
    ],
)
def test_what_was_merged_ended_or_recovered_stays_so(operation: Operation) -> None:
    assert undo_of(operation, Done(), VM) is None
    assert is_possible(operation, VM)


@pytest.mark.parametrize("operation", [CREATE, REVERT, EDIT, DELETE])
@pytest.mark.parametrize("outcome", [Failed(HostError("No.")), Cancelled()])
def test_what_was_not_done_has_none(operation: Operation, outcome: Outcome) -> None:
    assert undo_of(operation, outcome, VM) is None


def test_an_edit_of_a_vm_that_was_not_read_has_none() -> None:
    assert undo_of(EDIT, Done(), None) is None


def test_an_undo_needs_its_snapshots() -> None:
    assert is_possible(DELETE, VM)
    assert is_possible(REVERT, VM)
    assert is_possible(EDIT, VM)
    assert is_possible(CREATE, VM)
    assert not is_possible(DeleteSnapshot(VM.uuid, ("s2", "nix")), VM)
    assert not is_possible(RevertSnapshot(VM.uuid, "nix"), VM)
    assert not is_possible(EditDescription(VM.uuid, "nix", "", ""), VM)
