"""What the strip says of a job: what it does, how far it is, what it took, what cancelling means.

Pure text; the widgets are in ``job_row`` and ``jobs_strip``.
"""

from dataclasses import dataclass
from typing import assert_never

from PySide6.QtCore import QCoreApplication

from snapview.core.errors import ImageNotWritable, PlanChanged
from snapview.core.operations import (
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
    Recover,
    RevertSnapshot,
)
from snapview.core.planning import Act, Plan
from snapview.core.vm import Vm
from snapview.session import JobState, JobView
from snapview.ui.format import duration_text, plural, rate_text, size_text
from snapview.ui.limits import PAUSE
from snapview.ui.pace import Pace


def _tr(text: str) -> str:
    return QCoreApplication.translate("JobsStrip", text)


def sentence(job: JobView, vm: Vm | None) -> str:
    """Return what a job does: ``Taking “x” on web01``.

    Args:
        job: as it is when it is new.
        vm: the VM before it began, for titles; None: not read.
    """
    operation = job.operation
    match operation:
        case CreateSnapshot(title=title):
            text = _tr("Taking “{what}” on {vm}") if title else _tr("Taking a snapshot of {vm}")
            what = title
        case RevertSnapshot(snapshot=name):
            text, what = _tr("Reverting {vm} to “{what}”"), _label(name, vm)
        case DeleteSnapshot(snapshots=names):
            text, what = _removal(names, acts_of(job), vm)
        case EditDescription(title=title, snapshot=name):
            text, what = _tr("Describing “{what}” on {vm}"), title or name
        case Consolidate(disks=disks):
            text = (
                _tr("Merging the chain of {vm}, {what}") if disks else _tr("Merging {vm}’s chain")
            )
            what = ", ".join(disks)
        case EndBlockJob(disk=what, finish=finish):
            text = _tr("Finishing the job on {what} of {vm}")
            if not finish:
                text = _tr("Aborting the job on {what} of {vm}")
        case Recover(finish=finish):
            text = _tr("Finishing what was interrupted on {vm}")
            if not finish:
                text = _tr("Taking back what was interrupted on {vm}")
            what = ""
        case _:
            assert_never(operation)
    return text.format(what=what, vm=job.vm_name)


def _label(name: str, vm: Vm | None) -> str:
    found = vm.tree.get(name) if vm else None
    return found.label if found else name


def acts_of(job: JobView) -> frozenset[Act]:
    """Return whether a job merges, discards or both; nothing where nobody was asked: an undo."""
    return job.planned.acts if job.planned else frozenset()


def _removal(names: tuple[str, ...], acts: frozenset[Act], vm: Vm | None) -> tuple[str, str]:
    one, many = _tr("Removing “{what}” on {vm}"), _tr("Removing {what} snapshots on {vm}")
    if Act.DISCARD in acts:
        one, many = _tr("Discarding “{what}” on {vm}"), _tr("Discarding {what} snapshots on {vm}")
    elif Act.MERGE in acts:
        one, many = _tr("Merging “{what}” on {vm}"), _tr("Merging {what} snapshots on {vm}")
    return (one, _label(names[0], vm)) if len(names) == 1 else (many, str(len(names)))


def icon_name(operation: Operation, acts: frozenset[Act]) -> str:
    """Return the name of the icon that stands for a job."""
    match operation:
        case CreateSnapshot():
            return "camera"
        case RevertSnapshot():
            return "revert"
        case DeleteSnapshot():
            return "merge" if Act.MERGE in acts and Act.DISCARD not in acts else "discard"
        case EditDescription():
            return "edit"
        case Consolidate() | EndBlockJob():
            return "merge"
        case Recover():
            return "wrench"
        case _:
            assert_never(operation)


def detail_text(job: JobView, pace: Pace, now: float) -> str:
    """Return what stands behind the bar at ``now`` (monotonic seconds)."""
    match job.state:
        case JobState.WAITING:
            return _waiting_text(job, now)
        case JobState.QUEUED:
            return _tr("waits for the job before it")
        case JobState.RUNNING:
            return _running_text(job, pace, now)
        case JobState.DONE:
            return done_text(job)
        case JobState.CANCELLED:
            return " · ".join((_tr("cancelled"), *_remarks(job)))
        case JobState.FAILED:
            return job.outcome.error.message if isinstance(job.outcome, Failed) else _tr("failed")
        case _:
            assert_never(job.state)


def _waiting_text(job: JobView, now: float) -> str:
    left = max(0, round((job.starts_at or now) - now))
    parts = [_tr("in {seconds} s").format(seconds=left)]
    freed = job.planned.freed_bytes if job.planned else None
    if freed:
        parts.append(_tr("frees {size}").format(size=size_text(freed)))
    return " · ".join((*parts, _tr("nothing has been touched yet")))


def _running_text(job: JobView, pace: Pace, now: float) -> str:
    progress, seconds = job.progress, now - (job.started_at or now)
    passed = [duration_text(float(int(seconds)))] if seconds >= 2 else []
    if progress is None:
        return "".join(passed)
    parts = []
    if progress.total_bytes:
        percent = 100 * min(progress.done_bytes, progress.total_bytes) // progress.total_bytes
        done, total = size_text(progress.done_bytes), size_text(progress.total_bytes)
        parts += [f"{percent} %", _tr("{done} of {total}").format(done=done, total=total)]
        parts += _pace_texts(job, pace, now)
    elif progress.done_bytes:
        parts.append(size_text(progress.done_bytes))
    if progress.phase:
        parts.append(progress.phase)
    if pace.seconds_left(now) is None:
        parts += passed
    return " · ".join(parts)


def _pace_texts(job: JobView, pace: Pace, now: float) -> list[str]:
    if job.limit_bytes_per_second == PAUSE:
        return [_tr("paused")]
    speed, left = pace.bytes_per_second(now), pace.seconds_left(now)
    if speed is None:
        return []
    if left is None:
        return [_tr("stands still")]
    rest = duration_text(max(1.0, round(left)))
    return [rate_text(speed), _tr("{time} left").format(time=rest)]


def done_text(job: JobView) -> str:
    """Return what went otherwise than hoped, and what a job took, beside what was planned."""
    actual = job.outcome.actual if isinstance(job.outcome, Done) else None
    if actual is None:
        return " · ".join((_tr("done"), *_remarks(job)))
    wanted = job.planned or Plan(job.operation, ())
    seconds = wanted.estimated_seconds
    took = _beside(
        duration_text(actual.seconds), duration_text(seconds) if seconds is not None else ""
    )
    parts = [_tr("done in {time}").format(time=took), *_remarks(job)]
    for text, real, planned in (
        (_tr("{size} copied"), actual.copied_bytes, wanted.bytes_to_copy),
        (_tr("{size} freed"), actual.freed_bytes, wanted.freed_bytes),
    ):
        if real is not None and (real > 0 or planned):
            shown = text.format(size=size_text(max(0, real)))
            parts.append(_beside(shown, size_text(planned) if planned else ""))
    if actual.freed_bytes is not None and actual.freed_bytes < 0:
        parts.append(_tr("{size} more in use").format(size=size_text(-actual.freed_bytes)))
    return " · ".join(parts)


def _beside(real: str, wanted: str) -> str:
    if not wanted:
        return real
    return _tr("{real} (planned {wanted})").format(real=real, wanted=wanted)


def _remarks(job: JobView) -> tuple[str, ...]:
    return job.outcome.remarks if isinstance(job.outcome, Done | Cancelled) else ()


def has_remarks(job: JobView) -> bool:
    """Whether something went otherwise than hoped, which nobody should overlook."""
    return bool(_remarks(job))


def can_be_limited(job: JobView) -> bool:
    """Whether a job copies images, so that it can be slowed down."""
    copies = isinstance(job.operation, DeleteSnapshot | Consolidate)
    acts = job.planned.acts if job.planned else frozenset({Act.MERGE})
    return copies and Act.MERGE in acts and job.state is JobState.RUNNING


def may_merge_upwards(job: JobView) -> bool:
    """Whether a merge failed because the lower image may not be written to (trap 5)."""
    if not isinstance(job.outcome, Failed):
        return False
    merges_down = isinstance(job.operation, DeleteSnapshot | Consolidate) and (
        job.operation.merge_by is MergeBy.COMMIT
    )
    return merges_down and isinstance(job.outcome.error, ImageNotWritable)


def has_other_plan(job: JobView) -> bool:
    """Whether a job was not begun because the VM had changed since the user agreed."""
    return isinstance(job.outcome, Failed) and isinstance(job.outcome.error, PlanChanged)


@dataclass(frozen=True, slots=True)
class Cancelling:
    """What cancelling a job means, and whether something is lost by it."""

    text: str
    is_loss: bool = False


def cancelling(job: JobView) -> Cancelling:
    """Say what cancelling a queued or running job means."""
    if job.state is not JobState.RUNNING:
        return Cancelling(_tr("It has not begun; nothing was touched."))
    match job.operation:
        case CreateSnapshot():
            return Cancelling(_tr("The snapshot is not taken; the VM goes on as it is."))
        case RevertSnapshot():
            return Cancelling(
                _tr(
                    "It stops at the next safe point. If that is half-way, you can finish it or "
                    "take it back afterwards."
                )
            )
        case DeleteSnapshot() | Consolidate():
            return _cancelling_removal(job)
        case EditDescription() | EndBlockJob() | Recover():
            return Cancelling(_tr("It stops at the next safe point; nothing is lost."))
        case _:
            assert_never(job.operation)


def _cancelling_removal(job: JobView) -> Cancelling:
    operation = job.operation
    assert isinstance(operation, DeleteSnapshot | Consolidate)
    acts = job.planned.acts if job.planned else frozenset({Act.MERGE})
    if Act.MERGE not in acts:
        return Cancelling(_tr("What is removed stays removed; the rest is left alone."))
    if operation.merge_by is MergeBy.PULL:
        return Cancelling(_tr("Nothing is lost: what was copied stays, and you can go on later."))
    return Cancelling(
        _tr(
            "The VM and all later states stay whole. But a point that is being merged right now is "
            "lost as soon as copying has begun: its image was written to. The rest can be merged "
            "later."
        ),
        is_loss=True,
    )


def summary(count: int) -> str:
    """Return how many jobs run, for the question before closing."""
    return plural(count, _tr("1 job is under way"), _tr("{number} jobs are under way"))
