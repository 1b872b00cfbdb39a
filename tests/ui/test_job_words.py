"""What the strip says of jobs: before, meanwhile, afterwards, and what cancelling means."""

import pytest
from PySide6.QtWidgets import QApplication

from snapview.core.errors import HostError, ImageNotWritable, PlanChanged
from snapview.core.operations import (
    Actual,
    Cancelled,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    EditDescription,
    EndBlockJob,
    Failed,
    MergeBy,
    Operation,
    Progress,
    Recover,
    RevertSnapshot,
)
from snapview.core.planning import Act, Plan, Step
from snapview.session import JobState, JobView, VmKey
from snapview.ui.format import GIB, MIB
from snapview.ui.job_words import (
    acts_of,
    can_be_limited,
    cancelling,
    detail_text,
    done_text,
    has_other_plan,
    has_remarks,
    icon_name,
    may_merge_upwards,
    sentence,
    summary,
)
from snapview.ui.pace import Pace
from tests.trees import branching_tree, make_vm

pytestmark = pytest.mark.usefixtures("qapp")

VM = make_vm(tree=branching_tree())
KEY = VmKey("test:///", VM.uuid)
TAKE = CreateSnapshot(VM.uuid, "before <b>x</b>")
DELETE = DeleteSnapshot(VM.uuid, ("caddy-tls",))
CHAIN = Consolidate(VM.uuid, ("vda",))
PULL = DeleteSnapshot(VM.uuid, ("tuned",), merge_by=MergeBy.PULL)


def job(state: JobState, operation: Operation = TAKE, **more: object) -> JobView:
    return JobView(1, KEY, "web", operation, state, **more)  # type: ignore[arg-type]


def planned(operation: Operation, *acts: Act, **figures: object) -> Plan:
    return Plan(operation, tuple(Step(act, "") for act in acts), **figures)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (TAKE, "Taking “before <b>x</b>” on web"),
        (CreateSnapshot(VM.uuid), "Taking a snapshot of web"),
        (RevertSnapshot(VM.uuid, "tuned"), "Reverting web to “tuned”"),
        (DELETE, "Removing “caddy-tls” on web"),
        (DeleteSnapshot(VM.uuid, ("caddy-tls", "tuned")), "Removing 2 snapshots on web"),
        (DeleteSnapshot(VM.uuid, ("gone",)), "Removing “gone” on web"),
        (EditDescription(VM.uuid, "tuned", "fast", ""), "Describing “fast” on web"),
        (CHAIN, "Merging the chain of web, vda"),
        (Consolidate(VM.uuid), "Merging web’s chain"),
        (EndBlockJob(VM.uuid, "vda", finish=True), "Finishing the job on vda of web"),
        (EndBlockJob(VM.uuid, "vda", finish=False), "Aborting the job on vda of web"),
        (Recover(VM.uuid, "1", finish=True), "Finishing what was interrupted on web"),
        (Recover(VM.uuid, "1", finish=False), "Taking back what was interrupted on web"),
    ],
)
def test_sentences(operation: Operation, words: str) -> None:
    assert sentence(job(JobState.QUEUED, operation), VM) == words


def test_the_plan_that_was_agreed_to_has_the_word() -> None:
    merging = job(JobState.QUEUED, DELETE, planned=planned(DELETE, Act.MERGE))
    assert sentence(merging, VM) == "Merging “caddy-tls” on web"
    assert icon_name(DELETE, acts_of(merging)) == "merge"
    assert icon_name(DELETE, acts_of(job(JobState.QUEUED, DELETE))) == "discard"
    assert acts_of(job(JobState.QUEUED, DELETE)) == frozenset()


def test_waiting() -> None:
    waiting = job(JobState.WAITING, DELETE, starts_at=100.0, grace_seconds=10)
    assert detail_text(waiting, Pace(), 92.0) == "in 8 s · nothing has been touched yet"
    freeing = job(
        JobState.WAITING,
        DELETE,
        starts_at=100.0,
        planned=planned(DELETE, Act.DISCARD, freed_bytes=3 * GIB // 2),
    )
    assert detail_text(freeing, Pace(), 90.0).startswith("in 10 s · frees 1.5 GiB · nothing")


def test_running_without_figures() -> None:
    assert detail_text(job(JobState.RUNNING, started_at=10.0), Pace(), 10.5) == ""
    assert detail_text(job(JobState.RUNNING, started_at=10.0), Pace(), 15.2) == "5 s"
    saving = Progress("saving memory", 50 * MIB)
    running = job(JobState.RUNNING, progress=saving, started_at=10.0)
    assert detail_text(running, Pace(), 13.0) == "50 MiB · saving memory · 3 s"


def test_running_with_speed_and_what_is_left() -> None:
    pace = Pace()
    first, later = (Progress("merging vda", n * GIB, 5 * GIB) for n in (1, 2))
    running = job(JobState.RUNNING, progress=first, started_at=10.0)
    pace.note(first, 10.0)
    assert detail_text(running, pace, 10.5) == "20 % · 1.0 GiB of 5.0 GiB · merging vda"
    pace.note(later, 20.0)
    running = job(JobState.RUNNING, progress=later, started_at=10.0)
    said = detail_text(running, pace, 20.0)
    assert said == "40 % · 2.0 GiB of 5.0 GiB · 102 MiB/s · 30 s left · merging vda"
    paused = Pace()
    paused.note(later, 0.0)
    paused.note(later, 5.0)
    assert "stands still" in detail_text(running, paused, 20.0)


def test_a_paused_job_has_no_speed() -> None:
    pace = Pace()
    pace.note(Progress("merging vda", 0, 5 * GIB), 0.0)
    pace.note(Progress("merging vda", GIB, 5 * GIB), 10.0)
    paused = job(
        JobState.RUNNING,
        progress=Progress("merging vda", GIB, 5 * GIB),
        started_at=0.0,
        limit_bytes_per_second=1,
    )
    said = detail_text(paused, pace, 10.0)
    assert said.startswith("20 % · 1.0 GiB of 5.0 GiB · paused · merging vda")
    assert "left" not in said


def test_more_than_everything_is_not_said() -> None:
    over = Progress("", 12 * MIB, 10 * MIB)
    assert "100 %" in detail_text(job(JobState.RUNNING, progress=over), Pace(), 0)


def test_done_says_what_it_took_and_what_was_planned() -> None:
    assert done_text(job(JobState.DONE, outcome=Done())) == "done"
    outcome = Done(actual=Actual(12.4, 2 * GIB, 3 * GIB))
    assert done_text(job(JobState.DONE, DELETE, outcome=outcome)) == (
        "done in 12 s · 2.0 GiB copied · 3.0 GiB freed"
    )
    agreed = planned(
        DELETE,
        Act.MERGE,
        bytes_to_copy=5 * GIB // 2,
        freed_bytes=3 * GIB,
        estimated_seconds=15.0,
    )
    assert done_text(job(JobState.DONE, DELETE, outcome=outcome, planned=agreed)) == (
        "done in 12 s (planned 15 s) · 2.0 GiB copied (planned 2.5 GiB) · "
        "3.0 GiB freed (planned 3.0 GiB)"
    )


def test_unknown_is_not_said_and_growth_is() -> None:
    took = Done(actual=Actual(1.0, None, -200 * MIB))
    assert done_text(job(JobState.DONE, outcome=took)) == "done in 1 s · 0.2 GiB more in use"
    nothing = Done(actual=Actual(1.0, 0, 0))
    assert done_text(job(JobState.DONE, outcome=nothing)) == "done in 1 s"
    agreed = planned(TAKE, Act.MERGE, bytes_to_copy=GIB)
    spared = job(JobState.DONE, outcome=nothing, planned=agreed)
    assert done_text(spared) == "done in 1 s · 0 MiB copied (planned 1.0 GiB)"


def test_remarks_come_first() -> None:
    remark = "The guest was thawed early."
    done = job(JobState.DONE, outcome=Done(actual=Actual(1.0, GIB), remarks=(remark,)))
    assert detail_text(done, Pace(), 0) == f"done in 1 s · {remark} · 1.0 GiB copied"
    lost = job(JobState.CANCELLED, outcome=Cancelled(remarks=("“x” is lost.",)))
    assert detail_text(lost, Pace(), 0) == "cancelled · “x” is lost."
    assert has_remarks(done)
    assert has_remarks(lost)
    assert not has_remarks(job(JobState.DONE, outcome=Done()))
    assert not has_remarks(job(JobState.FAILED, outcome=Failed(HostError("No."))))


def test_other_states_say_something() -> None:
    failed = job(JobState.FAILED, outcome=Failed(HostError("The disk is full.")))
    assert detail_text(failed, Pace(), 0) == "The disk is full."
    for state in (JobState.QUEUED, JobState.DONE, JobState.CANCELLED, JobState.FAILED):
        assert detail_text(job(state), Pace(), 0)


def test_what_can_be_slowed_down() -> None:
    merging = job(JobState.RUNNING, DELETE, planned=planned(DELETE, Act.MERGE))
    assert can_be_limited(merging)
    assert can_be_limited(job(JobState.RUNNING, CHAIN))
    assert not can_be_limited(job(JobState.QUEUED, CHAIN))
    discarding = job(JobState.RUNNING, DELETE, planned=planned(DELETE, Act.DISCARD))
    assert not can_be_limited(discarding)
    assert not can_be_limited(job(JobState.RUNNING, TAKE))


def test_ways_on_after_a_failure() -> None:
    locked = Failed(ImageNotWritable("QEMU may not write to it."))
    other = Failed(PlanChanged("The VM has changed."))
    assert may_merge_upwards(job(JobState.FAILED, CHAIN, outcome=locked))
    assert may_merge_upwards(job(JobState.FAILED, DELETE, outcome=locked))
    assert not may_merge_upwards(job(JobState.FAILED, PULL, outcome=locked))
    assert not may_merge_upwards(job(JobState.FAILED, DELETE, outcome=other))
    assert not may_merge_upwards(job(JobState.DONE, DELETE, outcome=Done()))
    assert has_other_plan(job(JobState.FAILED, DELETE, outcome=other))
    assert not has_other_plan(job(JobState.FAILED, DELETE, outcome=locked))


@pytest.mark.parametrize(
    ("operation", "acts", "part", "is_loss"),
    [
        (TAKE, (), "not taken", False),
        (RevertSnapshot(VM.uuid, "tuned"), (), "take it back", False),
        (DELETE, (Act.MERGE,), "is lost", True),
        (DELETE, (Act.DISCARD,), "stays removed", False),
        (PULL, (Act.MERGE,), "Nothing is lost", False),
        (CHAIN, (Act.MERGE,), "is lost", True),
        (EditDescription(VM.uuid, "tuned", "", ""), (), "nothing is lost", False),
        (Recover(VM.uuid, "1", finish=True), (), "safe point", False),
    ],
)
def test_what_cancelling_means(
    operation: Operation, acts: tuple[Act, ...], part: str, *, is_loss: bool
) -> None:
    agreed = planned(operation, *acts) if acts else None
    means = cancelling(job(JobState.RUNNING, operation, planned=agreed))
    assert part in means.text
    assert means.is_loss is is_loss
    early = cancelling(job(JobState.QUEUED, operation, planned=agreed))
    assert "nothing was touched" in early.text
    assert not early.is_loss


def test_summary(qapp: QApplication) -> None:
    assert summary(1) == "1 job is under way"
    assert summary(3) == "3 jobs are under way"
