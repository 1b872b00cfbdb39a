"""Jobs: what they change is read again before they are called over; grace, cancelling, undo."""

import time
from dataclasses import replace
from typing import Final

import pytest

from snapview.core.errors import ConnectionLost, HostError, NotFound, SnapviewError
from snapview.core.marks import words_of
from snapview.core.operations import (
    Cancelled,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    EditDescription,
    Failed,
    Job,
    Operation,
    Progress,
    RevertSnapshot,
    VmEvent,
)
from snapview.core.planning import Plan, plan
from snapview.session import ConnectionState, JobState
from tests.conftest import AllowLog
from tests.fakes import FakeHost, FakeWorld
from tests.session.conftest import Open
from tests.session.witness import DB, NEVER, ONE, WEB, Witness

CREATE: Final = CreateSnapshot(WEB.uuid, "new")
DELETE: Final = DeleteSnapshot(WEB.uuid, ("caddy-tls",))
LONG = 3600.0  # a grace period that does not end by itself


@pytest.fixture
def quiet(start: Open) -> Witness:
    """A session that shows ``web`` and never polls: what is read, jobs have read."""
    witness = start(NEVER)
    witness.session.open(ONE)
    witness.session.select(WEB)
    witness.wait_for_list()
    witness.wait_for_vm()
    return witness


def test_a_done_job_is_in_the_tree_when_it_says_so(quiet: Witness) -> None:
    job = quiet.do(CREATE)
    assert job.state is JobState.DONE
    assert isinstance(job.outcome, Done)
    assert job.outcome.changed == {WEB.uuid}
    assert job.outcome.created == "new"
    assert quiet.states_of(job.id) == [JobState.QUEUED, JobState.RUNNING, JobState.DONE]
    assert "new" in quiet.trees_at_the_end[job.id]
    assert quiet.counts_at_the_end[job.id] == 9, "the list of VMs is right as well"
    assert job.vm_name == "web"
    assert job.started_at is not None
    assert not job.can_cancel


def test_a_vm_nobody_looks_at_is_read_too(quiet: Witness) -> None:
    quiet.do(CreateSnapshot(DB.uuid, "new"), DB)
    assert "new" in quiet.names(DB)
    assert quiet.vms[-1].key == DB


@pytest.mark.parametrize("changes", [False, True])
def test_a_failed_job_is_read_again_all_the_same(
    world: FakeWorld, quiet: Witness, *, changes: bool
) -> None:
    world.fail_next(CreateSnapshot, HostError("Half-way."), changes=changes)
    job = quiet.do(CREATE)
    assert job.state is JobState.FAILED
    assert isinstance(job.outcome, Failed)
    assert job.outcome.error.message == "Half-way."
    assert ("new" in quiet.trees_at_the_end[job.id]) is changes
    assert job.undo is None


def test_a_bug_in_a_job_is_a_failed_job_and_read_again(
    world: FakeWorld, quiet: Witness, allow_log: AllowLog
) -> None:
    allow_log("nobody foresaw")
    world.fail_next(CreateSnapshot, ZeroDivisionError(), changes=True)
    job = quiet.do(CREATE)
    assert job.state is JobState.FAILED
    assert "new" in quiet.trees_at_the_end[job.id]
    again = replace(CREATE, title="newer")
    assert quiet.do(again).state is JobState.DONE, "the worker lives"


def test_a_job_on_a_vm_that_is_gone_fails_in_words(world: FakeWorld, quiet: Witness) -> None:
    del world.simulation.vms[WEB.uuid]
    job = quiet.do(CREATE)
    assert isinstance(job.outcome, Failed)
    assert isinstance(job.outcome.error, NotFound)
    assert quiet.gone == [WEB]
    assert quiet.session.selected is None


# -- the daemon goes away


def test_a_job_cut_off_by_the_daemon_fails_and_is_read_later(
    world: FakeWorld, shown: Witness
) -> None:
    world.hold_jobs()
    job_id = shown.session.submit(WEB, CREATE)
    shown.wait(lambda: world.waiting_jobs == 1)
    world.go_down()
    job = shown.wait_for_job(job_id, JobState.FAILED)
    assert isinstance(job.outcome, Failed)
    assert isinstance(job.outcome.error, ConnectionLost)
    world.act(CREATE)  # QEMU had finished it
    world.come_up()
    shown.wait_for_state(ConnectionState.CONNECTED)
    shown.wait(lambda: "new" in shown.names())


def test_what_could_not_be_read_after_a_job_is_read_after_reconnecting(
    world: FakeWorld, shown: Witness
) -> None:
    world.hold_jobs()
    job_id = shown.session.submit(DB, CreateSnapshot(DB.uuid, "new"))
    shown.wait(lambda: world.waiting_jobs == 1)
    world.go_down()
    shown.wait_for_job(job_id, JobState.FAILED)
    world.come_up()
    shown.wait_for_vm(DB)


def test_a_job_submitted_while_away_fails_at_once(world: FakeWorld, shown: Witness) -> None:
    world.go_down()
    shown.wait_for_state(ConnectionState.LOST)
    job = shown.do(CREATE)
    assert isinstance(job.outcome, Failed)
    assert isinstance(job.outcome.error, ConnectionLost)


def test_a_connection_that_broke_for_operations_alone_is_opened_again(
    world: FakeWorld, quiet: Witness
) -> None:
    quiet.do(CREATE)
    readers = [host for host, _ in world.subscribers]
    for host in world.hosts:
        if host not in readers:
            host.drop()
    assert quiet.do(DELETE).state is JobState.DONE
    assert quiet.connection().state is ConnectionState.CONNECTED


# -- one at a time


def test_the_second_job_of_a_vm_waits_for_the_first(world: FakeWorld, quiet: Witness) -> None:
    world.hold_jobs()
    first = quiet.session.submit(WEB, CREATE)
    second = quiet.session.submit(WEB, EditDescription(WEB.uuid, "new", "Newer", ""))
    quiet.wait_for_job(first, JobState.RUNNING)
    assert quiet.job(second).state is JobState.QUEUED
    world.release_jobs()
    done = quiet.wait_for_job(second, JobState.DONE)
    assert quiet.job(first).state is JobState.DONE
    undo = done.undo
    assert isinstance(undo, EditDescription)
    assert (undo.title, words_of(undo.description)) == ("new", ""), "as the first one left it"


def test_jobs_of_two_vms_take_turns(world: FakeWorld, quiet: Witness) -> None:
    world.hold_jobs()
    one = quiet.session.submit(WEB, CREATE)
    two = quiet.session.submit(DB, CreateSnapshot(DB.uuid, "new"))
    world.step_jobs(2)
    quiet.wait_for_job(one, JobState.RUNNING)
    quiet.wait_for_job(two, JobState.RUNNING)
    world.release_jobs()
    quiet.wait_for_job(one, JobState.DONE)
    quiet.wait_for_job(two, JobState.DONE)


# -- progress


def test_progress_is_sampled_while_the_job_blocks(world: FakeWorld, shown: Witness) -> None:
    world.hold_jobs()
    job_id = shown.session.submit(WEB, CREATE)
    shown.wait_for_job(job_id, JobState.RUNNING)
    world.samples[WEB.uuid] = Progress("saving memory", 3, 10)
    shown.wait(lambda: shown.job(job_id).progress == Progress("saving memory", 3, 10))
    world.release_jobs()
    shown.wait_for_job(job_id, JobState.DONE)
    sampled = world.calls["sample"]
    lists = world.calls["list_vms"]
    shown.wait(lambda: world.calls["list_vms"] > lists + 3)
    assert world.calls["sample"] == sampled, "nobody asks when nothing runs"


# -- cancelling


def test_a_running_job_is_asked_and_aborted(world: FakeWorld, quiet: Witness) -> None:
    world.hold_jobs()
    job_id = quiet.session.submit(WEB, CREATE)
    quiet.wait_for_job(job_id, JobState.RUNNING)
    quiet.session.cancel(job_id)
    assert not quiet.job(job_id).can_cancel
    quiet.session.cancel(job_id)
    job = quiet.wait_for_job(job_id, JobState.CANCELLED)
    assert job.outcome == Cancelled(frozenset({WEB.uuid}))
    assert world.calls["abort"] == 1
    assert "new" not in quiet.trees_at_the_end[job_id]


def test_a_job_queued_behind_its_vms_first_is_cancelled_at_once(
    world: FakeWorld, quiet: Witness
) -> None:
    world.hold_jobs()
    first = quiet.session.submit(WEB, CREATE)
    second = quiet.session.submit(WEB, DELETE)
    quiet.session.cancel(second)
    assert quiet.job(second).state is JobState.CANCELLED
    world.release_jobs()
    quiet.wait_for_job(first, JobState.DONE)
    assert world.calls["start"] == 1
    assert "caddy-tls" in quiet.names()


def test_a_job_queued_behind_another_vms_step_is_cancelled_at_once(
    world: FakeWorld, quiet: Witness
) -> None:
    world.hold_jobs()
    first = quiet.session.submit(DB, CreateSnapshot(DB.uuid, "new"))
    quiet.wait(lambda: world.waiting_jobs == 1)
    second = quiet.session.submit(WEB, DELETE)
    third = quiet.session.submit(WEB, CREATE)
    quiet.session.cancel(second)
    assert quiet.job(second).state is JobState.CANCELLED
    world.release_jobs()
    quiet.wait_for_job(first, JobState.DONE)
    quiet.wait_for_job(third, JobState.DONE)
    assert "caddy-tls" in quiet.names()


def test_cancelling_what_is_over_or_unknown_does_nothing(quiet: Witness) -> None:
    job = quiet.do(CREATE)
    quiet.session.cancel(job.id)
    quiet.session.cancel(4711)
    assert quiet.job(job.id).state is JobState.DONE


def test_an_abort_that_comes_too_late_aborts_nobody_elses_job(
    world: FakeWorld, quiet: Witness
) -> None:
    world.hold_jobs()
    job_id = quiet.session.submit(WEB, CREATE)
    quiet.wait(lambda: world.waiting_jobs == 1)
    world.hold_reads()
    quiet.session.refresh()
    quiet.wait(lambda: world.waiting_reads == 1)
    quiet.session.cancel(job_id)  # the abort stands behind a read that hangs
    world.release_jobs()
    quiet.wait(lambda: world.waiting_jobs == 0 and len(quiet.jobs) > 2)
    quiet.wait(lambda: not quiet.session._connections[ONE]._running)
    world.release_reads()
    quiet.wait_for_job(job_id, JobState.CANCELLED)
    assert world.calls["abort"] == 0


# -- the grace period


def test_a_waiting_job_touches_nothing_and_can_be_taken_back(
    world: FakeWorld, quiet: Witness
) -> None:
    job_id = quiet.session.submit(WEB, DELETE, grace_seconds=LONG)
    waiting = quiet.job(job_id)
    assert waiting.state is JobState.WAITING
    assert waiting.grace_seconds == LONG
    assert waiting.starts_at is not None
    assert waiting.starts_at > time.monotonic()
    quiet.session.undo(job_id)
    assert quiet.job(job_id).state is JobState.CANCELLED
    assert quiet.job(job_id).outcome == Cancelled()
    assert world.calls["start"] == 0


def test_the_end_of_the_grace_period_starts_the_job(quiet: Witness) -> None:
    job_id = quiet.session.submit(WEB, DELETE, grace_seconds=0.01)
    quiet.wait_for_job(job_id, JobState.DONE)
    assert "caddy-tls" not in quiet.names()
    assert quiet.states_of(job_id) == [
        JobState.WAITING,
        JobState.QUEUED,
        JobState.RUNNING,
        JobState.DONE,
    ]


def test_the_grace_period_can_be_ended(quiet: Witness) -> None:
    job_id = quiet.session.submit(WEB, DELETE, grace_seconds=LONG)
    quiet.session.start_now(job_id)
    quiet.session.start_now(job_id)
    quiet.wait_for_job(job_id, JobState.DONE)


def test_a_waiting_job_does_not_hold_up_others(quiet: Witness) -> None:
    quiet.session.submit(WEB, DELETE, grace_seconds=LONG)
    assert quiet.do(CREATE).state is JobState.DONE


# -- undo


@pytest.mark.parametrize(
    "operation",
    [
        CREATE,
        RevertSnapshot(WEB.uuid, "updated", safety_title="Safe"),
        EditDescription(WEB.uuid, "tuned", "Other", "words"),
    ],
)
def test_what_was_done_is_undone(world: FakeWorld, quiet: Witness, operation: Operation) -> None:
    before = world.vm(WEB.uuid).tree
    job = quiet.do(operation)
    assert job.undo is not None
    quiet.session.undo(job.id)
    assert quiet.job(job.id).undo is None, "only once"
    undoing = quiet.session.jobs[-1].id
    quiet.wait_for_job(undoing, JobState.DONE)
    after = {s for s in world.vm(WEB.uuid).tree if s.name != "Safe"}
    assert after == set(before)
    quiet.session.undo(job.id)
    assert quiet.session.jobs[-1].id == undoing


def test_a_delete_cannot_be_undone(quiet: Witness) -> None:
    job = quiet.do(DELETE)
    assert job.state is JobState.DONE
    assert job.undo is None
    quiet.session.undo(job.id)
    assert len(quiet.session.jobs) == 1


def test_an_undo_is_withdrawn_when_its_snapshot_is_gone(world: FakeWorld, shown: Witness) -> None:
    job = shown.do(CREATE)
    assert job.undo is not None
    world.act(DeleteSnapshot(WEB.uuid, ("new",)))
    shown.wait(lambda: shown.job(job.id).undo is None)


def test_dismissing_forgets_what_is_over_only(world: FakeWorld, quiet: Witness) -> None:
    done = quiet.do(CREATE)
    waiting = quiet.session.submit(WEB, DELETE, grace_seconds=LONG)
    quiet.session.dismiss(done.id)
    quiet.session.dismiss(waiting)
    quiet.session.dismiss(4711)
    assert quiet.removed_jobs == [done.id]
    assert [job.id for job in quiet.session.jobs] == [waiting]


def test_while_memory_is_written_the_vm_is_not_read(world: FakeWorld, shown: Witness) -> None:
    """libvirt would keep the reader waiting for 30 s, and with it everything else on the host."""
    shown.wait_for_vm()
    world.hold_jobs()
    job_id = shown.session.submit(WEB, CREATE)
    shown.wait(lambda: world.waiting_jobs == 1)
    reads, lists = world.calls["read_vm"], world.calls["list_vms"]
    world.act(EditDescription(WEB.uuid, "installed", "Renamed", ""))
    world.tell(VmEvent(WEB.uuid))
    shown.wait(lambda: world.calls["list_vms"] >= lists + 3)
    assert world.calls["read_vm"] == reads
    world.release_jobs()
    shown.wait_for_job(job_id, JobState.DONE)
    assert shown.view().vm.tree["installed"].title == "Renamed"


# -- what was agreed to, and how fast it may be


def test_the_host_is_told_what_the_user_agreed_to(
    world: FakeWorld, quiet: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    start = FakeHost.start

    def listen(host: FakeHost, operation: Operation, agreed: object = None) -> Job:
        told.append(agreed)
        return start(host, operation, agreed)

    monkeypatch.setattr(FakeHost, "start", listen)
    planned = plan(quiet.view().vm, DELETE)
    assert isinstance(planned, Plan)
    job_id = quiet.session.submit(WEB, planned.operation, planned=planned)
    job = quiet.wait_for_job(job_id, JobState.DONE)
    assert job.planned is planned
    quiet.do(CREATE)
    assert told == [planned.gist, None]


def test_a_running_merge_is_slowed_down(
    world: FakeWorld, quiet: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []
    monkeypatch.setattr(FakeHost, "limit", lambda _host, _uuid, speed: limits.append(speed))
    world.hold_jobs()
    job_id = quiet.session.submit(WEB, replace(DELETE, bandwidth_bytes_per_second=7))
    quiet.wait(lambda: world.waiting_jobs == 1)
    assert quiet.job(job_id).limit_bytes_per_second == 7
    quiet.session.limit(job_id, 1 << 20)
    quiet.wait(lambda: quiet.job(job_id).limit_bytes_per_second == 1 << 20)
    world.release_jobs()
    quiet.wait_for_job(job_id, JobState.DONE)
    set_while_it_ran = len(limits)
    quiet.session.limit(job_id, 3)
    quiet.session.limit(4711, 3)
    quiet.do(CREATE)
    assert len(limits) == set_while_it_ran, "what is over is not slowed down, nor somebody's"
    assert set(limits) == {1 << 20}
    assert quiet.job(job_id).limit_bytes_per_second == 1 << 20


def wait_for_samples(world: FakeWorld, witness: Witness, count: int) -> None:
    least = world.calls["sample"] + count
    witness.wait(lambda: world.calls["sample"] >= least)


def test_the_next_merge_of_a_job_is_slowed_down_too(
    world: FakeWorld, shown: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []
    monkeypatch.setattr(FakeHost, "limit", lambda _host, _uuid, speed: limits.append(speed))
    world.hold_jobs()
    job_id = shown.session.submit(WEB, DELETE)
    shown.wait(lambda: world.waiting_jobs == 1)
    seen = [
        Progress("Merging vda", 50, 100),
        Progress("Merging vda", 60, 100),
        Progress("Merging vdb", 0, 100),  # it has not begun to copy
        Progress("Merging vdb", 7, 100),
        Progress("Merging vdb", 70, 100),
        Progress("Merging vdb", 5, 100),  # the second run of the same disk
    ]
    counts = []
    shown.session.limit(job_id, 9)
    shown.wait(lambda: limits)
    for progress in seen:
        world.samples[WEB.uuid] = progress
        shown.wait(lambda: shown.job(job_id).progress == world.samples[WEB.uuid])
        wait_for_samples(world, shown, 3)
        counts.append(len(limits))
    world.release_jobs()
    shown.wait_for_job(job_id, JobState.DONE)
    assert set(limits) == {9}
    assert [after - counts[0] for after in counts] == [0, 0, 0, 1, 1, 2]


def test_a_limit_that_is_refused_is_told(
    world: FakeWorld, quiet: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[tuple[int, SnapviewError]] = []
    quiet.session.limit_refused.connect(lambda job_id, error: refused.append((job_id, error)))
    error = HostError("No block job runs.")

    def refuse(_host: FakeHost, _uuid: str, _speed: int) -> None:
        raise error

    monkeypatch.setattr(FakeHost, "limit", refuse)
    world.hold_jobs()
    job_id = quiet.session.submit(WEB, DELETE)
    quiet.wait(lambda: world.waiting_jobs == 1)
    quiet.session.limit(job_id, 5)
    quiet.wait(lambda: refused)
    assert refused == [(job_id, error)]
    assert quiet.job(job_id).limit_bytes_per_second == 0
