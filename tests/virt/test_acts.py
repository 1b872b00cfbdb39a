"""Carrying out plans: planned anew, verified afterwards, and honest when it goes wrong half-way."""

from dataclasses import replace

import pytest

from snapview.core.errors import Conflict, HostError, NoSpace, NotFound, SnapviewError
from snapview.core.operations import (
    Afterwards,
    Cancelled,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    EditDescription,
    Failed,
    Operation,
    Outcome,
    Progress,
    RevertSnapshot,
)
from snapview.core.vm import RunState, SnapshotKind, Vm
from snapview.virt.acts import steps_of
from snapview.virt.job import SteppedJob, run
from tests.core.planning.cases import external_vm, internal, internal_vm, vm_of
from tests.trees import vm_uuid
from tests.virt.ports import MemoryPort

UUID = vm_uuid("web")
TAKE = CreateSnapshot(UUID, "new one", "words")
TAKE_EXTERNAL = replace(TAKE, kind=SnapshotKind.EXTERNAL, memory=False)
QUIESCED = replace(TAKE_EXTERNAL, quiesce=True)
BACK = RevertSnapshot(UUID, "one", safety_snapshot=False)
SAFELY = RevertSnapshot(UUID, "one")
DROP = DeleteSnapshot(UUID, ("two",))
EDIT = EditDescription(UUID, "one", "A title", "words")
ALL: list[Operation] = [TAKE, BACK, SAFELY, DROP, EDIT]
FULL = NoSpace("Could not. The file system of the images is full.", advice="Free some space.")


def job_of(port: MemoryPort, operation: Operation) -> SteppedJob:
    return SteppedJob(UUID, steps_of(operation, port))


def do(port: MemoryPort, operation: Operation) -> Outcome:
    return run(job_of(port, operation), lambda _progress: None)


def failure(port: MemoryPort, operation: Operation) -> SnapviewError:
    outcome = do(port, operation)
    assert isinstance(outcome, Failed), outcome
    assert outcome.changed == {UUID}
    return outcome.error


def agent_vm() -> Vm:
    return vm_of(hardware__has_guest_agent=True)


# Doing it


@pytest.mark.parametrize("operation", ALL, ids=str)
def test_done_names_the_vm_and_starts_with_a_read(operation: Operation) -> None:
    port = MemoryPort(internal_vm())
    job = job_of(port, operation)
    assert port.calls == []
    outcome = run(job, lambda _: None)
    assert isinstance(outcome, Done)
    assert outcome.changed == {UUID}
    assert port.calls[0] == port.calls[-1] == "read"


def test_a_snapshot_gets_the_planned_name_and_words() -> None:
    port = MemoryPort(internal_vm())
    assert do(port, TAKE) == Done(frozenset({UUID}), "new-one")
    made = port.vm.tree["new-one"]
    assert (made.title, made.description) == ("new one", "words")


def test_a_safety_snapshot_is_what_the_revert_created() -> None:
    port = MemoryPort(internal_vm())
    outcome = do(port, SAFELY)
    assert isinstance(outcome, Done)
    assert outcome.created == "before-revert-to-one"
    assert port.vm.tree.current == "one"
    assert [call for call in port.calls if call != "read"] == ["create", "revert"]


@pytest.mark.parametrize(
    ("wanted", "told", "state"),
    [
        (Afterwards.AS_IT_WAS, Afterwards.AS_IT_WAS, RunState.RUNNING),
        (Afterwards.RUNNING, Afterwards.AS_IT_WAS, RunState.RUNNING),
        (Afterwards.PAUSED, Afterwards.PAUSED, RunState.PAUSED),
        (Afterwards.OFF, Afterwards.PAUSED, RunState.SHUTOFF),  # never runs for a moment
    ],
)
def test_the_vm_ends_as_asked(wanted: Afterwards, told: Afterwards, state: RunState) -> None:
    port = MemoryPort(internal_vm())
    assert isinstance(do(port, replace(BACK, afterwards=wanted)), Done)
    assert port.reverted == [told]
    assert port.vm.run_state is state


def test_progress_is_told_before_each_piece_of_work() -> None:
    port = MemoryPort(internal_vm())
    seen: list[tuple[str, int]] = []
    operation = DeleteSnapshot(UUID, ("one", "two"))
    run(job_of(port, operation), lambda p: seen.append((p.phase, port.calls.count("delete"))))
    assert seen == [("Deleting “two”", 0), ("Deleting “one”", 1)]


# Plans that are stale


def test_what_has_become_impossible_since_is_refused_and_nothing_is_done() -> None:
    for operation in ALL:
        port = MemoryPort(internal_vm(has_managed_save=True, run_state=RunState.SHUTOFF))
        outcome = do(port, operation)
        if operation is EDIT:
            assert isinstance(outcome, Done)
            continue
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, Conflict)
        assert "saved to disk" in outcome.error.message
        assert outcome.error.advice
        assert port.calls == ["read"]


@pytest.mark.parametrize("operation", [BACK, SAFELY, DROP, EDIT], ids=str)
def test_a_snapshot_that_is_gone_since_is_refused(operation: Operation) -> None:
    port = MemoryPort(internal_vm())
    job = job_of(port, operation)
    port.lose("one")
    port.lose("two")
    outcome = run(job, lambda _: None)
    assert isinstance(outcome, Failed)
    assert "has no snapshot called" in outcome.error.message
    assert port.calls == ["read"]


def test_a_name_that_was_taken_since_is_refused() -> None:
    port = MemoryPort(internal_vm())
    job = job_of(port, TAKE)
    port.put(*port.vm.tree, internal("theirs", "two", title="new one"), current="theirs")
    assert isinstance(run(job, lambda _: None), Failed)
    assert "create" not in port.calls


# libvirt says done, and it is not so


@pytest.mark.parametrize(
    ("operation", "lie", "words"),
    [
        (TAKE, "create", "is not there"),
        (BACK, "revert", "does not stand on it"),
        (DROP, "delete", "is still there"),
        (EDIT, "redefine", "not what was asked for"),
    ],
    ids=["create", "revert", "delete", "edit"],
)
def test_success_without_effect_is_a_failure(operation: Operation, lie: str, words: str) -> None:
    error = failure(MemoryPort(internal_vm(), lies={lie}), operation)
    assert isinstance(error, HostError)
    assert error.message.startswith("libvirt reported success, but ")
    assert words in error.message
    assert error.advice


@pytest.mark.parametrize(("operation", "call"), [(BACK, "revert"), (DROP, "delete")])
def test_other_snapshots_that_vanish_are_noticed(operation: Operation, call: str) -> None:
    third = internal("three", "one")
    port = MemoryPort(internal_vm())
    port.put(*port.vm.tree, third, current="two")
    port.before[call] = lambda: port.lose("three")
    assert "snapshots are gone: three" in failure(port, operation).message


def test_a_safety_snapshot_that_vanishes_is_noticed() -> None:
    port = MemoryPort(internal_vm())
    port.before["revert"] = lambda: port.lose("before-revert-to-one")
    assert "before-revert-to-one" in failure(port, SAFELY).message


def test_an_overlay_that_the_vm_does_not_use_is_noticed() -> None:
    port = MemoryPort(vm_of())
    disks = port.vm.disks
    original = port.create_snapshot

    def half(xml: str, *, disk_only: bool, live: bool) -> None:
        original(xml, disk_only=disk_only, live=live)
        port.vm = replace(port.vm, disks=disks)

    port.create_snapshot = half  # type: ignore[method-assign]
    assert "vda did not change" in failure(port, TAKE_EXTERNAL).message


def test_after_a_merge_the_vm_must_be_on_the_image_below() -> None:
    """The memory port takes the record away and merges nothing."""
    assert "not on the images planned" in failure(MemoryPort(external_vm()), DROP).message


def test_after_deleting_a_middle_one_the_vm_must_be_where_it_was() -> None:
    assert isinstance(do(MemoryPort(external_vm()), DeleteSnapshot(UUID, ("one",))), Done)


# Going wrong half-way


def test_a_failed_revert_says_where_the_state_of_before_is_kept() -> None:
    port = MemoryPort(internal_vm(), errors={"revert": FULL})
    error = failure(port, SAFELY)
    assert error is FULL
    assert "kept in “before revert to ‘one’”" in error.advice
    assert error.advice.endswith("Free some space.")
    assert "before-revert-to-one" in port.vm.tree


def test_without_a_safety_snapshot_none_is_promised() -> None:
    error = failure(MemoryPort(internal_vm(), errors={"revert": Conflict("No.")}), BACK)
    assert error.advice == ""


def test_a_failed_safety_snapshot_stops_the_revert() -> None:
    port = MemoryPort(internal_vm(), errors={"create": Conflict("No.")})
    assert failure(port, SAFELY).advice == ""
    assert "revert" not in port.calls


def test_what_was_deleted_before_a_failure_stays_deleted_and_is_told_as_changed() -> None:
    port = MemoryPort(internal_vm())
    job = job_of(port, DeleteSnapshot(UUID, ("one", "two")))
    assert isinstance(job.step(), Progress)
    assert isinstance(job.step(), Progress)
    port.errors["delete"] = NotFound("Gone.")
    outcome = job.step()
    assert isinstance(outcome, Failed)
    assert outcome.changed == {UUID}
    assert "two" not in port.vm.tree
    assert "one" in port.vm.tree


@pytest.mark.parametrize("steps", range(4))
def test_a_cancel_between_two_deletes_keeps_the_rest(steps: int) -> None:
    port = MemoryPort(internal_vm())
    port.put(*port.vm.tree, internal("three", "two"), current="three")
    job = job_of(port, DeleteSnapshot(UUID, ("one",), subtree=True))
    for _ in range(steps):
        job.step()
    job.request_cancel()
    assert job.step() == Cancelled(frozenset({UUID}))
    assert len(port.vm.tree) == 3 - max(0, steps - 1)


def test_a_cancel_after_the_safety_snapshot_keeps_it_and_reverts_nothing() -> None:
    port = MemoryPort(internal_vm())
    job = job_of(port, SAFELY)
    job.step()
    job.step()
    job.request_cancel()
    assert job.step() == Cancelled(frozenset({UUID}))
    assert "before-revert-to-one" in port.vm.tree
    assert "revert" not in port.calls


# Freezing


def test_frozen_around_the_snapshot_alone() -> None:
    port = MemoryPort(agent_vm())
    assert isinstance(do(port, QUIESCED), Done)
    assert port.calls == ["read", "freeze", "create", "thaw", "read"]


def test_without_quiesce_nothing_is_frozen() -> None:
    port = MemoryPort(agent_vm())
    assert isinstance(do(port, TAKE_EXTERNAL), Done)
    assert "freeze" not in port.calls
    assert "thaw" not in port.calls


@pytest.mark.parametrize("call", ["freeze", "create"])
def test_thawed_whatever_happens(call: str) -> None:
    port = MemoryPort(agent_vm(), errors={call: FULL})
    assert failure(port, QUIESCED) is FULL
    assert port.calls[-1] == "thaw"
    assert port.calls.count("thaw") == 1


def fault_of_ours() -> None:
    raise ZeroDivisionError


def test_thawed_even_after_a_fault_of_our_own() -> None:
    port = MemoryPort(agent_vm())
    port.before["create"] = fault_of_ours
    with pytest.raises(ZeroDivisionError):
        do(port, QUIESCED)
    assert port.calls[-1] == "thaw"


@pytest.mark.parametrize("call", ["freeze", "create"])
def test_a_thaw_that_fails_too_does_not_hide_why(call: str) -> None:
    first = NoSpace("Could not. It is full.", advice="Free some space.")
    port = MemoryPort(agent_vm(), errors={call: first, "thaw": Conflict("It does not answer.")})
    error = failure(port, QUIESCED)
    assert error is first
    assert "still frozen" in error.advice
    assert "It does not answer." in error.advice


def test_a_thaw_that_fails_alone_is_the_failure() -> None:
    frozen = Conflict("Could not thaw the guest's file systems.")
    port = MemoryPort(agent_vm(), errors={"thaw": frozen})
    assert failure(port, QUIESCED) is frozen
    assert "new-one" in port.vm.tree
