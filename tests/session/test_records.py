"""What jobs did is written down off the GUI thread, and how fast copies were is learned from it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from snapview.core.errors import HostError, PlanChanged
from snapview.core.operations import (
    Actual,
    Cancelled,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    EditDescription,
    Failed,
    Outcome,
)
from snapview.core.planning import Act, Plan, Step
from snapview.core.storage import Storage
from snapview.history import History, OperationRecord
from snapview.session import JobState, Session
from tests.conftest import AllowLog
from tests.fakes import FakeHost, FakeWorld
from tests.session.witness import ONE, SOON, WEB, Witness

MIB = 1 << 20
DELETE = DeleteSnapshot(WEB.uuid, ("caddy-tls",))
CREATE = CreateSnapshot(WEB.uuid, "new")
AGREED = Plan(
    DELETE,
    (Step(Act.MERGE, ""),),
    bytes_to_copy=70 * MIB,
    freed_bytes=5 * MIB,
    estimated_seconds=2.0,
)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.sqlite")


@pytest.fixture
def kept(qtbot: QtBot, world: FakeWorld, history: History) -> Iterator[Witness]:
    """A session with a history that shows ``web``."""
    session = Session(world.make_host, SOON, history)
    witness = Witness(session, qtbot)
    session.open(ONE)
    session.select(WEB)
    witness.wait_for_list()
    witness.wait_for_vm()
    yield witness
    world.release_jobs()
    assert session.close()


def outcome_is(world: FakeWorld, monkeypatch: pytest.MonkeyPatch, outcome: Outcome) -> None:
    def perform(*_operation_and_gist: object) -> Outcome:
        return outcome

    monkeypatch.setattr(world, "perform", perform)


def records(kept: Witness) -> tuple[OperationRecord, ...]:
    """Ask the session, as the window does."""
    answers: list[tuple[OperationRecord, ...]] = []
    kept.session.history_read.connect(lambda _key, found: answers.append(found))
    kept.session.read_history(WEB)
    kept.wait(lambda: answers)
    return answers[0]


def test_planned_and_actual_are_kept(
    world: FakeWorld, kept: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Done(actual=Actual(3.5, 64 * MIB, 6 * MIB), remarks=("It was thawed early.",))
    outcome_is(world, monkeypatch, done)
    before = datetime.now(tz=UTC)
    job_id = kept.session.submit(WEB, DELETE, planned=AGREED)
    kept.wait_for_job(job_id, JobState.DONE)
    (record,) = records(kept)
    assert before <= record.at <= datetime.now(tz=UTC)
    assert record == OperationRecord(
        at=record.at,
        uri=ONE,
        vm_uuid=WEB.uuid,
        vm_name="web",
        operation="DeleteSnapshot",
        what="the merge of “caddy-tls”",
        outcome="done",
        message="It was thawed early.",
        planned_bytes=70 * MIB,
        planned_seconds=2.0,
        planned_freed_bytes=5 * MIB,
        actual_bytes=64 * MIB,
        actual_seconds=3.5,
        actual_freed_bytes=6 * MIB,
    )


def test_failed_and_cancelled_jobs_are_kept_and_those_never_begun_are_not(
    world: FakeWorld, kept: Witness
) -> None:
    world.fail_next(CreateSnapshot, HostError("The disk is full."))
    assert kept.do(CREATE).state is JobState.FAILED
    waiting = kept.session.submit(WEB, DELETE, grace_seconds=3600)
    kept.session.undo(waiting)
    world.hold_jobs()
    running = kept.session.submit(WEB, CREATE)
    kept.wait_for_job(running, JobState.RUNNING)
    kept.session.cancel(running)
    kept.wait_for_job(running, JobState.CANCELLED)
    newest, oldest = records(kept)
    assert (oldest.outcome, oldest.message) == ("failed", "The disk is full.")
    assert (newest.outcome, newest.what) == ("cancelled", "the snapshot “new”")


def test_a_plan_that_had_changed_is_nothing_that_was_done(
    world: FakeWorld, kept: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome_is(world, monkeypatch, Failed(PlanChanged("The VM has changed.")))
    kept.do(CREATE)
    assert records(kept) == ()


def test_the_speed_of_merges_reaches_the_next_plan(
    world: FakeWorld, kept: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def storage() -> Storage | None:
        return kept.view().vm.storage

    def speed() -> float | None:
        known = storage()
        return known.copy_bytes_per_second if known else None

    kept.wait(storage)
    assert speed() is None
    outcome_is(world, monkeypatch, Done(actual=Actual(2.0, 100 * MIB)))
    kept.do(DELETE)
    kept.wait(lambda: speed() == 50 * MIB)
    kept.session.remove_connection(ONE)
    kept.session.open(ONE)
    kept.session.select(WEB)
    kept.wait_for_vm()
    kept.wait(lambda: speed() == 50 * MIB)


def test_a_merge_that_was_slowed_down_says_nothing_of_the_disk(
    world: FakeWorld, kept: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeHost, "limit", lambda *_: None)
    outcome_is(world, monkeypatch, Done(actual=Actual(2.0, 100 * MIB)))
    world.hold_jobs()
    job_id = kept.session.submit(WEB, DELETE)
    kept.wait(lambda: world.waiting_jobs == 1)
    kept.session.limit(job_id, 5 * MIB)
    kept.wait(lambda: kept.job(job_id).limit_bytes_per_second == 5 * MIB)
    kept.session.limit(job_id, 0)
    kept.wait(lambda: kept.job(job_id).limit_bytes_per_second == 0)
    world.release_jobs()
    kept.wait_for_job(job_id, JobState.DONE)
    (record,) = records(kept)
    assert record.is_limited


def test_other_vms_have_a_history_of_their_own(world: FakeWorld, kept: Witness) -> None:
    kept.do(EditDescription(WEB.uuid, "tuned", "Other", ""))
    other = replace(WEB, uri="fake:///two")
    answers: list[object] = []
    kept.session.history_read.connect(lambda key, found: answers.append((key, found)))
    kept.session.read_history(other)
    kept.wait(lambda: answers)
    assert answers == [(other, ())]


def test_a_history_that_cannot_be_read_is_said(
    kept: Witness, tmp_path: Path, allow_log: AllowLog
) -> None:
    allow_log("history of operations cannot be used")
    (tmp_path / "history.sqlite").write_text("no database at all, but long enough to be one")
    errors: list[HostError] = []
    kept.session.history_unreadable.connect(lambda _key, error: errors.append(error))
    kept.session.read_history(WEB)
    kept.wait(lambda: errors)
    assert "history" in errors[0].message
    assert kept.do(CREATE).state is JobState.DONE, "and all else works"


def test_without_a_history_nothing_was_ever_done(shown: Witness) -> None:
    shown.do(CREATE)
    assert records(shown) == ()


def test_closing_waits_until_it_is_written(
    qtbot: QtBot, world: FakeWorld, history: History
) -> None:
    session = Session(world.make_host, SOON, history)
    witness = Witness(session, qtbot)
    session.open(ONE)
    witness.wait_for_list()
    assert witness.do(CREATE).state is JobState.DONE
    assert session.close()
    assert len(history.operations(ONE, WEB.uuid)) == 1
    assert not isinstance(witness.jobs[-1].outcome, Cancelled)


def test_a_job_that_closing_cuts_off_is_written_down(
    qtbot: QtBot, world: FakeWorld, history: History
) -> None:
    session = Session(world.make_host, SOON, history)
    witness = Witness(session, qtbot)
    session.open(ONE)
    witness.wait_for_list()
    world.hold_jobs()
    session.submit(WEB, DELETE, planned=AGREED)
    witness.wait(lambda: world.waiting_jobs == 1)
    witness.wait(lambda: session.jobs[0].state is JobState.RUNNING)
    assert session.close()
    (record,) = history.operations(ONE, WEB.uuid)
    assert record.outcome == "cancelled"
    assert record.planned_bytes == AGREED.bytes_to_copy


def test_a_job_on_a_host_that_hangs_is_written_down_as_left_under_way(
    qtbot: QtBot, world: FakeWorld, history: History, allow_log: AllowLog
) -> None:
    allow_log("does not answer")
    session = Session(world.make_host, replace(SOON, close_seconds=0.01), history)
    witness = Witness(session, qtbot)
    session.open(ONE)
    witness.wait_for_list()
    world.hold_jobs()
    session.submit(WEB, CREATE)
    witness.wait(lambda: world.waiting_jobs == 1)
    witness.wait(lambda: session.jobs[0].state is JobState.RUNNING)
    world.hold_reads()
    witness.wait(lambda: world.waiting_reads > 0)
    assert not session.close()
    (record,) = history.operations(ONE, WEB.uuid)
    assert (record.outcome, record.what) == ("failed", "the snapshot “new”")
    assert "under way" in record.message
    world.release_reads()
    world.release_jobs()
    qtbot.waitUntil(session.close)
    assert len(history.operations(ONE, WEB.uuid)) == 1
