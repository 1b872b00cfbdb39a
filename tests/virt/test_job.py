"""Jobs made of steps: cancelled between two, failing, and always saying which VM changed."""

import pytest

from snapview.core.errors import Conflict, HostError, NoSpace, SnapviewError
from snapview.core.operations import Cancelled, Done, Failed, Outcome, Progress
from snapview.virt.job import SteppedJob, Steps, run

UUID = "some-uuid"
CHANGED = frozenset({UUID})


def two_steps(done: list[str], error: Exception | None = None) -> Steps:
    try:
        yield Progress("one")
        done.append("one")
        yield Progress("two")
        if error is not None:
            raise error
        done.append("two")
    finally:
        done.append("end")
    return "made"


def test_nothing_happens_before_the_first_step_and_each_step_says_what_comes() -> None:
    done: list[str] = []
    job = SteppedJob(UUID, two_steps(done))
    assert done == []
    assert job.step() == Progress("one")
    assert done == []
    assert job.step() == Progress("two")
    assert done == ["one"]
    assert job.step() == Done(CHANGED, "made")
    assert done == ["one", "two", "end"]


@pytest.mark.parametrize(("steps", "left"), [(0, []), (1, ["end"]), (2, ["one", "end"])])
def test_a_cancel_stops_before_the_next_step_and_cleans_up(steps: int, left: list[str]) -> None:
    done: list[str] = []
    job = SteppedJob(UUID, two_steps(done))
    for _ in range(steps):
        job.step()
    job.request_cancel()
    assert job.step() == Cancelled(CHANGED)
    assert done == left


@pytest.mark.parametrize("error", [HostError("It broke."), Conflict("Busy."), NoSpace("Full.")])
def test_a_failure_names_the_vm_as_changed(error: SnapviewError) -> None:
    done: list[str] = []
    assert run(SteppedJob(UUID, two_steps(done, error)), lambda _: None) == Failed(error, CHANGED)
    assert done == ["one", "end"]


def cancelled_meanwhile(jobs: list[SteppedJob], error: SnapviewError) -> Steps:
    """The cancel comes while libvirt works, and then libvirt fails."""
    yield Progress("one")
    jobs[0].request_cancel()
    raise error


def outcome_of_cancelled(error: SnapviewError) -> Outcome:
    jobs: list[SteppedJob] = []
    jobs.append(SteppedJob(UUID, cancelled_meanwhile(jobs, error)))
    return run(jobs[0], lambda _: None)


def test_the_job_that_libvirt_aborted_for_us_is_cancelled() -> None:
    assert outcome_of_cancelled(Conflict("The job was cancelled.")) == Cancelled(CHANGED)


def test_a_failure_is_said_although_somebody_cancelled() -> None:
    error = HostError("libvirt reported success, but other snapshots are gone.")
    assert outcome_of_cancelled(error) == Failed(error, CHANGED)


def test_what_is_no_error_of_ours_is_not_swallowed() -> None:
    job = SteppedJob(UUID, two_steps([], KeyError("a fault")))
    job.step()
    job.step()
    with pytest.raises(KeyError):
        job.step()


def test_run_reports_each_progress() -> None:
    seen: list[str] = []
    run(SteppedJob(UUID, two_steps([])), lambda progress: seen.append(progress.phase))
    assert seen == ["one", "two"]
