"""Jobs made of steps: cancelled when the steps find it safe, failing, always naming the VM."""

import threading

import pytest

from snapview.core.errors import Conflict, HostError, NoSpace, SnapviewError
from snapview.core.operations import Actual, Cancelled, Done, Failed, Progress
from snapview.virt.job import Ended, SteppedJob, Steps, run

UUID = "some-uuid"
CHANGED = frozenset({UUID})


def two_steps(stop: threading.Event, done: list[str], error: Exception | None = None) -> Steps:
    """Stops between its two pieces of work, after tidying up in a step of its own."""
    yield Progress("one")
    done.append("one")
    yield Progress("two")
    if stop.is_set():
        yield Progress("tidying")
        done.append("tidied")
        return Ended(remarks=("It was late.",), is_cancelled=True)
    if error is not None:
        raise error
    done.append("two")
    return Ended("made", Actual(1.0), ("All went well.",))


def job_of(done: list[str], error: Exception | None = None) -> SteppedJob:
    return SteppedJob(UUID, lambda stop: two_steps(stop, done, error))


def test_nothing_happens_before_the_first_step_and_each_step_says_what_comes() -> None:
    done: list[str] = []
    job = job_of(done)
    assert done == []
    assert job.step() == Progress("one")
    assert done == []
    assert job.step() == Progress("two")
    assert done == ["one"]
    assert job.step() == Done(CHANGED, "made", Actual(1.0), ("All went well.",))
    assert done == ["one", "two"]


def test_cancelled_before_it_began_nothing_is_done() -> None:
    done: list[str] = []
    job = job_of(done)
    job.request_cancel()
    assert job.step() == Cancelled(CHANGED)
    assert done == []


@pytest.mark.parametrize("steps", [1, 2])
def test_a_cancel_is_the_steps_own_business(steps: int) -> None:
    done: list[str] = []
    job = job_of(done)
    for _ in range(steps):
        job.step()
    job.request_cancel()
    outcome = run(job, lambda _: None)
    assert outcome == Cancelled(CHANGED, ("It was late.",))
    assert done == ["one", "tidied"]


def test_a_cancel_that_comes_too_late_changes_nothing() -> None:
    def too_late(_stop: threading.Event) -> Steps:
        yield Progress("one")
        return Ended()

    job = SteppedJob(UUID, too_late)
    job.step()
    job.request_cancel()
    assert job.step() == Done(CHANGED)


@pytest.mark.parametrize("error", [HostError("It broke."), Conflict("Busy."), NoSpace("Full.")])
def test_a_failure_names_the_vm_as_changed(error: SnapviewError) -> None:
    done: list[str] = []
    assert run(job_of(done, error), lambda _: None) == Failed(error, CHANGED)
    assert done == ["one"]


def test_what_is_no_error_of_ours_is_not_swallowed() -> None:
    job = job_of([], KeyError("a fault"))
    job.step()
    job.step()
    with pytest.raises(KeyError):
        job.step()


def test_run_reports_each_progress() -> None:
    seen: list[str] = []
    run(job_of([]), lambda progress: seen.append(progress.phase))
    assert seen == ["one", "two"]
