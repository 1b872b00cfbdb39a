"""What the banner says of something under way that no job of this window is: pure text."""

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from snapview.core.operations import EndBlockJob, Operation, Recover
from snapview.core.planning import Plan, plan
from snapview.core.under_way import BlockJob, BlockJobType
from snapview.core.vm import Vm
from snapview.ui.colours import Severity
from snapview.ui.format import relative_text, size_text


@dataclass(frozen=True, slots=True)
class Offer:
    """A button of the banner, and what it would ask for; ``why_not`` disables it."""

    text: str
    operation: Operation
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What is said, how serious it is, and what can be done."""

    severity: Severity
    text: str
    offers: tuple[Offer, ...] = ()


def _tr(text: str) -> str:
    return QCoreApplication.translate("UnderWay", text)


def under_way(vm: Vm, *, is_ours: bool) -> UnderWay | None:
    """Return what to say of a VM.

    Args:
        vm: as last read.
        is_ours: whether a job of this window works on it, which the strip shows already.
    """
    if is_ours:
        return None
    if vm.interruption is not None:
        return _interrupted(vm)
    if vm.block_jobs:
        return _job(vm, vm.block_jobs[0])
    return None


def _interrupted(vm: Vm) -> UnderWay:
    found = vm.interruption
    assert found is not None
    if found.is_alive:
        text = _tr("Another snapview is at work on this VM: {what}.").format(what=found.what)
        return UnderWay(Severity.NOTE, text)
    when = relative_text(found.began_at)
    text = _tr("Interrupted: {what}, {when}.").format(what=found.what, when=when)
    finish = Recover(vm.uuid, found.id, finish=True)
    back = Recover(vm.uuid, found.id, finish=False)
    offers = (_offer(vm, _tr("Finish…"), finish), _offer(vm, _tr("Take back…"), back))
    return UnderWay(Severity.ERROR, text, offers)


def _job(vm: Vm, job: BlockJob) -> UnderWay:
    what = job_noun(job.type)
    text = _tr("{what} that was not begun here runs on {disk}")
    if job.is_ready:
        text = _tr("{what} that was not begun here has caught up on {disk} and waits")
    said = [text.format(what=what[:1].upper() + what[1:], disk=job.disk)]
    if job.total_bytes and not job.is_ready:
        percent = 100 * min(job.done_bytes, job.total_bytes) // job.total_bytes
        done, total = size_text(job.done_bytes), size_text(job.total_bytes)
        how_far = _tr("{percent} %, {done} of {total}")
        said.append(how_far.format(percent=percent, done=done, total=total))
    more = len(vm.block_jobs) - 1
    if more:
        said.append(_tr("and {number} more").format(number=more))
    finish = EndBlockJob(vm.uuid, job.disk, finish=True)
    abort = EndBlockJob(vm.uuid, job.disk, finish=False)
    offers = (_offer(vm, _tr("Finish…"), finish), _offer(vm, _tr("Abort…"), abort))
    return UnderWay(Severity.WARNING, " · ".join(said), offers)


def _offer(vm: Vm, text: str, operation: Operation) -> Offer:
    planned = plan(vm, operation)
    if isinstance(planned, Plan):
        return Offer(text, operation)
    return Offer(text, operation, " ".join(filter(None, (planned.reason, planned.advice))))


def job_noun(kind: BlockJobType) -> str:
    """Return what a block job is: "a merge"."""
    return {
        BlockJobType.PULL: _tr("a merge upwards"),
        BlockJobType.COPY: _tr("a copy"),
        BlockJobType.COMMIT: _tr("a merge"),
        BlockJobType.ACTIVE_COMMIT: _tr("a merge"),
        BlockJobType.BACKUP: _tr("a backup"),
        BlockJobType.UNKNOWN: _tr("a job"),
    }[kind]
