"""Going wrong at every single call: whatever happens, the VM is whole and the truth is told."""

import itertools
from collections.abc import Callable
from contextlib import suppress

import pytest

from snapview.core.errors import Conflict, ConnectionLost, NoSpace
from snapview.core.moves import ForgetSnapshot, PullImages, RemoveFile
from snapview.core.operations import Cancelled, Done, Failed, Outcome, Progress, Recover
from snapview.core.vm import Snapshot, SnapshotTree
from snapview.virt.course import doomed_in
from snapview.virt.job import run
from tests.virt.memory_libvirt import UUID
from tests.virt.operating import (
    SCENARIOS,
    Before,
    Scenario,
    check_done,
    check_whole,
    do,
    interruption,
    job_of,
)
from tests.virt.ports import Killed, MemoryPort, Trouble, reborn

SOME = [  # one of each way of going on, for what takes long
    each
    for each in SCENARIOS
    if each.label
    in {
        "take on",
        "revert by libvirt with memory",
        "own revert with memory",
        "own revert without safety",
        "delete the middle with memory",
        "delete all, off",
        "delete where it branches, on",
        "delete internal, all",
    }
]

FULL = NoSpace("Could not. The file system of the images is full.", advice="Free some space.")
LOST = ConnectionLost("The connection to libvirt was lost; the host may still be working.")


def calls_of(scenario: Scenario) -> int:
    """How many calls the operation makes when all goes well."""
    port = MemoryPort(scenario.make())
    assert isinstance(do(port, scenario.operation), Done)
    return len(port.calls)


Check = Callable[[MemoryPort, Before, Outcome | None], None]


def at_every_call(scenario: Scenario, error: NoSpace | ConnectionLost | None, check: Check) -> None:
    """Let one call fail, or kill snapview in it: before it takes effect, and right after."""
    for at, is_after in itertools.product(range(calls_of(scenario)), (False, True)):
        port = MemoryPort(scenario.make())
        before = Before.of(port.libvirt)
        trouble = _anew(error)
        port.trouble = Trouble(at, trouble, is_after, for_ever=error is LOST)
        outcome: Outcome | None = None
        with suppress(Killed):
            outcome = do(port, scenario.operation)
        try:
            check(port, before, outcome)
        except AssertionError as failure:
            where = f"{port.calls[at]} (call {at}, {'after' if is_after else 'before'} its effect)"
            raise AssertionError(f"{where}: {failure}\n{port.calls}\n{outcome}") from failure


def _anew(error: NoSpace | ConnectionLost | None) -> NoSpace | ConnectionLost | None:
    """Errors are told more while they go up."""
    return None if error is None else type(error)(error.message, advice=error.advice)


# Errors


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_an_error_at_any_call_leaves_the_vm_whole(scenario: Scenario) -> None:
    def check(port: MemoryPort, before: Before, outcome: Outcome | None) -> None:
        check_whole(port.libvirt, before, scenario)
        assert interruption(port) is None, "it failed, and yet it is not over"
        if isinstance(outcome, Done):  # one look at a job may fail
            check_done(port.libvirt, before, scenario)
            return
        assert isinstance(outcome, Failed)
        assert outcome.error.message
        told = outcome.error.advice
        if "lost:" in told:  # and what is told to be lost is not there any more
            assert not [n for n in port.libvirt.records if f"“{n}”" in told.split(" lost:")[0]]

    at_every_call(scenario, FULL, check)


@pytest.mark.parametrize("scenario", SOME, ids=str)
def test_a_lost_connection_leaves_it_to_the_next_start(scenario: Scenario) -> None:
    def check(port: MemoryPort, before: Before, outcome: Outcome | None) -> None:
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, ConnectionLost)
        _recover(port, before, scenario, finish=True)

    at_every_call(scenario, LOST, check)


# kill -9


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_killed_at_any_call_it_can_be_finished(scenario: Scenario) -> None:
    def check(port: MemoryPort, before: Before, outcome: Outcome | None) -> None:
        assert outcome is None
        _recover(port, before, scenario, finish=True)

    at_every_call(scenario, None, check)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_killed_at_any_call_it_can_be_taken_back_where_that_is_offered(
    scenario: Scenario,
) -> None:
    def check(port: MemoryPort, before: Before, outcome: Outcome | None) -> None:
        assert outcome is None
        _recover(port, before, scenario, finish=False)

    at_every_call(scenario, None, check)


def _recover(port: MemoryPort, before: Before, scenario: Scenario, *, finish: bool) -> None:
    """What the next start of snapview offers brings the VM to a good end."""
    port = reborn(port)
    found = interruption(port)
    if found is None:  # nothing had begun, or everything was done
        _check_either(port, before, scenario)
        return
    assert found.finish
    if not finish and found.undo is None:
        return
    port.libvirt.is_frozen = False  # the host thaws as soon as it reads the VM
    outcome = do(port, Recover(UUID, found.id, finish=finish))
    assert isinstance(outcome, Done), outcome
    assert interruption(port) is None
    if finish:
        check_done(port.libvirt, before, scenario)
        return
    check_whole(port.libvirt, before, scenario)
    assert before.names <= set(port.libvirt.records)
    assert port.libvirt.live() == before.live, "it was not taken back"
    files = {*port.libvirt.files, *port.libvirt.memory_files}
    assert files - port.libvirt.needed() == set(), "files are left over"


def _check_either(port: MemoryPort, before: Before, scenario: Scenario) -> None:
    if Before.of(port.libvirt) != before:
        check_done(port.libvirt, before, scenario)


@pytest.mark.parametrize("scenario", SOME, ids=str)
def test_killed_again_while_it_recovers(scenario: Scenario) -> None:
    """Twice, at every fifth call: the second time in the middle of the recovery."""
    for first in range(0, calls_of(scenario), 5):
        for second in range(0, 60, 5):
            port = MemoryPort(scenario.make())
            before = Before.of(port.libvirt)
            port.trouble = Trouble(first)
            with pytest.raises(Killed):
                do(port, scenario.operation)
            port = reborn(port)
            found = interruption(port)
            if found is None:
                break
            port.trouble = Trouble(second)
            try:
                do(port, Recover(UUID, found.id, finish=True))
            except Killed:
                _recover(port, before, scenario, finish=True)
            else:
                check_done(port.libvirt, before, scenario)
                break


def killed(scenario: Scenario, at: int) -> tuple[MemoryPort, Before]:
    """A VM whose snapview was killed at a call, and the next snapview."""
    port = MemoryPort(scenario.make())
    before = Before.of(port.libvirt)
    port.trouble = Trouble(at, is_after=True)
    with pytest.raises(Killed):
        do(port, scenario.operation)
    return reborn(port), before


@pytest.mark.parametrize("scenario", SOME, ids=str)
@pytest.mark.parametrize("finish", [True, False])
def test_a_recovery_that_fails_leaves_the_vm_whole(scenario: Scenario, finish: bool) -> None:
    """Whatever is lost is told; what can be taken back can be tried again."""
    for first in range(0, calls_of(scenario), 4):
        for second in range(5, 60, 6):
            port, before = killed(scenario, first)
            found = interruption(port)
            if found is None or (not finish and found.undo is None):
                break
            port.libvirt.is_frozen = False
            port.trouble = Trouble(second, _anew(FULL))
            outcome = do(port, Recover(UUID, found.id, finish=finish))
            check_whole(port.libvirt, before, scenario)
            if isinstance(outcome, Done):
                break
            assert isinstance(outcome, Failed), outcome
            left = interruption(port)
            assert left is None or left.undo is not None, "there is no way out"


def test_a_recovery_that_fails_takes_nothing_back_that_was_not_asked_for() -> None:
    scenario = scenario_of("own revert on")
    twin = MemoryPort(scenario.make())
    do(twin, scenario.operation)
    port, before = killed(scenario, twin.calls.index("start") - 1)
    found = interruption(port)
    assert found is not None
    port.errors["start"] = _anew(FULL) or FULL
    for _ in range(2):
        assert isinstance(do(port, Recover(UUID, found.id, finish=True)), Failed)
        assert interruption(port) == found
        assert port.libvirt.current == "two"
    del port.errors["start"]
    assert isinstance(do(port, Recover(UUID, found.id, finish=True)), Done)
    check_done(port.libvirt, before, scenario)


@pytest.mark.parametrize("scenario", SOME, ids=str)
def test_a_recovery_that_is_cancelled_leaves_the_vm_whole(scenario: Scenario) -> None:
    for at in range(0, calls_of(scenario), 4):
        for steps in itertools.count(1):
            port, before = killed(scenario, at)
            found = interruption(port)
            if found is None:
                break
            port.libvirt.is_frozen = False
            job = job_of(port, Recover(UUID, found.id, finish=True))
            results = [job.step() for _ in range(steps)]
            if not isinstance(results[-1], Progress):
                break
            job.request_cancel()
            run(job, lambda _: None)
            check_whole(port.libvirt, before, scenario)
            left = interruption(port)
            assert left is None or left.undo is not None, "there is no way out"


# Cancelling


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_cancelled_at_any_step_it_is_done_or_whole(scenario: Scenario) -> None:
    for steps in itertools.count():
        port = MemoryPort(scenario.make())
        before = Before.of(port.libvirt)
        job = job_of(port, scenario.operation)
        results = [job.step() for _ in range(steps)]
        if results and not isinstance(results[-1], Progress):
            break
        job.request_cancel()
        outcome = run(job, lambda _: None)
        check_whole(port.libvirt, before, scenario)
        assert interruption(port) is None
        if isinstance(outcome, Done):
            check_done(port.libvirt, before, scenario)
            continue
        assert isinstance(outcome, Cancelled), outcome
        assert outcome.changed == {UUID}
        assert port.libvirt.live() == before.live, "a cancelled revert has reverted"
        lost = before.names - set(port.libvirt.records)
        told = " ".join(outcome.remarks)
        if len(scenario.lost) == 1:
            assert all(f"“{name}” is lost" in told for name in lost)


def test_what_is_lost_is_told_in_one_sentence() -> None:
    scenario = scenario_of("consolidate, on")
    port, outcome = cancelled(scenario, lambda p: p.done_bytes > 0)
    assert isinstance(outcome, Cancelled)
    assert port.libvirt.records == {}
    (told,) = outcome.remarks
    assert told.count("“") == 3
    assert " and " in told.split(" are lost")[0]


def cancelled(scenario: Scenario, when: Callable[[Progress], bool]) -> tuple[MemoryPort, Outcome]:
    port = MemoryPort(scenario.make())
    job = job_of(port, scenario.operation)

    def report(progress: Progress) -> None:
        if when(progress):
            job.request_cancel()

    return port, run(job, report)


def scenario_of(label: str) -> Scenario:
    return next(each for each in SCENARIOS if each.label == label)


@pytest.mark.parametrize("label", ["delete the middle, off", "delete the current, on"])
def test_a_merge_that_has_begun_costs_the_snapshot_it_is_for_and_says_so(label: str) -> None:
    scenario = scenario_of(label)
    port, outcome = cancelled(scenario, lambda p: p.done_bytes > 0)
    (name,) = scenario.lost
    assert isinstance(outcome, Cancelled)
    assert name not in port.libvirt.records
    assert f"“{name}” is lost" in outcome.remarks[0]
    assert "abort" in port.calls


@pytest.mark.parametrize("label", ["delete the middle, off", "delete the current, on"])
def test_a_merge_that_has_not_begun_costs_nothing(label: str) -> None:
    scenario = scenario_of(label)
    port, outcome = cancelled(scenario, lambda _: True)
    assert isinstance(outcome, Cancelled)
    assert outcome.remarks == ()
    assert set(scenario.lost) <= set(port.libvirt.records)
    assert port.acts == []


def test_copying_up_costs_nothing_when_it_is_cancelled() -> None:
    scenario = scenario_of("delete by copying up, on")
    port, outcome = cancelled(scenario, lambda p: p.done_bytes > 0)
    assert isinstance(outcome, Cancelled)
    assert set(scenario.lost) <= set(port.libvirt.records)


def test_between_two_deletes_the_rest_is_kept() -> None:
    scenario = scenario_of("delete internal, all")
    port, outcome = cancelled(scenario, lambda p: p.phase == "Deleting “one”")
    assert isinstance(outcome, Cancelled)
    assert set(port.libvirt.records) == {"one"}


def test_a_revert_that_is_cancelled_keeps_the_safety_snapshot_and_says_so() -> None:
    scenario = scenario_of("own revert on")
    port, outcome = cancelled(scenario, lambda p: p.phase == "Starting the VM")
    assert isinstance(outcome, Cancelled)
    assert "before-revert-to-two" in port.libvirt.records
    assert outcome.remarks == (
        "The state of before is kept in “before revert to ‘two’”.",
        "The VM is off now.",
    )


def test_after_the_last_moment_a_cancel_is_ignored() -> None:
    scenario = scenario_of("own revert without safety")
    before = Before.of(scenario.make())
    phases: list[str] = []

    def late(progress: Progress) -> bool:
        phases.append(progress.phase)
        return phases.count("Removing vdb.three.qcow2") > 0

    port, outcome = cancelled(scenario, late)
    assert isinstance(outcome, Done)
    check_done(port.libvirt, before, scenario)


def test_what_libvirt_aborts_for_us_is_cancelled() -> None:
    scenario = scenario_of("take with memory")
    port = MemoryPort(scenario.make())
    job = job_of(port, scenario.operation)
    port.before["create"] = job.request_cancel
    port.errors["create"] = Conflict("The job was cancelled.")
    assert run(job, lambda _: None) == Cancelled(frozenset({UUID}))


# Telling


def test_a_failed_revert_says_what_is_true_now() -> None:
    scenario = scenario_of("own revert with memory")
    port = MemoryPort(scenario.make(), errors={"restore": _anew(FULL) or FULL})
    outcome = do(port, scenario.operation)
    assert isinstance(outcome, Failed)
    assert outcome.error.advice == (
        "The state of before is kept in “before revert to ‘two’”. The VM is off now. "
        "Free some space."
    )


def test_when_putting_things_right_fails_too_the_entry_stays() -> None:
    scenario = scenario_of("own revert on")
    port = MemoryPort(scenario.make())
    before = Before.of(port.libvirt)
    port.errors = {"start": _anew(FULL) or FULL, "remove": Conflict("It is busy.")}
    outcome = do(port, scenario.operation)
    assert isinstance(outcome, Failed)
    assert "Putting things right failed too: It is busy." in outcome.error.advice
    found = interruption(port)
    assert found is not None
    port = reborn(port)
    assert isinstance(do(port, Recover(UUID, found.id, finish=False)), Done)
    assert port.libvirt.live() == before.live


# Others


def test_a_recovery_puts_no_record_right_once_somebody_else_has_deleted_it_too() -> None:
    scenario = scenario_of("delete the middle, off")
    port = MemoryPort(scenario.make())

    def dies() -> None:
        port.is_dead = port.journal.is_dead = True
        raise Killed

    port.before["redefine"] = dies
    with suppress(Killed):
        do(port, scenario.operation)
    port = reborn(port)
    found = interruption(port)
    assert found is not None
    port.libvirt.forget("two")
    records = dict(port.libvirt.records)
    outcome = do(port, Recover(UUID, found.id, finish=True))
    assert isinstance(outcome, Failed)
    assert "Somebody else has deleted “two”" in outcome.error.message
    assert port.libvirt.records == records
    assert interruption(port) is None


# The journal


@pytest.mark.parametrize("label", ["delete the middle, off", "own revert on", "take on"])
def test_what_cannot_be_written_down_is_not_done(label: str) -> None:
    scenario = scenario_of(label)
    port = MemoryPort(scenario.make())
    before = Before.of(port.libvirt)
    port.journal.full = True
    assert isinstance(do(port, scenario.operation), Failed)
    assert port.acts == []
    assert Before.of(port.libvirt) == before


def test_a_journal_that_fills_up_half_way_hinders_no_way_back() -> None:
    scenario = scenario_of("own revert on")
    port = MemoryPort(scenario.make())
    before = Before.of(port.libvirt)
    port.before["redefine"] = lambda: setattr(port.journal, "full", True)
    assert isinstance(do(port, scenario.operation), Failed)
    check_whole(port.libvirt, before, scenario)
    assert port.libvirt.live() == before.live


def test_with_a_snapshot_that_is_given_up_goes_what_only_its_record_kept() -> None:
    one, two = (Snapshot(name, memory_path=f"/images/{name}.mem") for name in ("one", "two"))
    moves = (
        ForgetSnapshot("two"),
        ForgetSnapshot("one"),
        RemoveFile("/images/a"),
        RemoveFile("/images/b"),
        PullImages("vda", None, (), in_vm=False),
        RemoveFile("/images/c"),
        RemoveFile("/images/two.mem"),
    )
    assert doomed_in(moves, SnapshotTree([one, two])) == {
        "two": ("/images/a", "/images/b", "/images/two.mem"),
        "one": ("/images/a", "/images/b"),
    }
