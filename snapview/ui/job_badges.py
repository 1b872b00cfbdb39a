"""What the jobs of a VM say beside the rows of its tree: "reverting…", "merging 42 %"."""

from collections.abc import Iterable
from typing import assert_never

from PySide6.QtCore import QCoreApplication

from snapview.core.operations import (
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    EndBlockJob,
    Recover,
    RevertSnapshot,
)
from snapview.core.planning import Act
from snapview.core.vm import Vm
from snapview.session import JobState, JobView
from snapview.ui.job_words import acts_of
from snapview.ui.snapshot_model import RowBadge


def _tr(text: str) -> str:
    return QCoreApplication.translate("JobBadges", text)


def job_badges(jobs: Iterable[JobView], vm: Vm) -> dict[str | None, RowBadge]:
    """Return the badges of the VM's rows, by snapshot name; None is "You are here"."""
    found: dict[str | None, RowBadge] = {}
    for job in jobs:
        if job.key.uuid == vm.uuid and not job.state.is_over:
            found.update(_badges_of(job, vm))
    return found


def _badges_of(job: JobView, vm: Vm) -> dict[str | None, RowBadge]:
    match job.operation:
        case CreateSnapshot():
            return {None: _badge(_tr("taking a snapshot"), job)}
        case RevertSnapshot(snapshot=name):
            return {name: _badge(_tr("reverting to it"), job)}
        case DeleteSnapshot(snapshots=names):
            text = _removal(acts_of(job), waits=job.state is JobState.WAITING)
            return {name: _badge(text, job) for name in names if name in vm.tree}
        case EditDescription() | Consolidate() | EndBlockJob() | Recover():
            return {}
        case _:
            assert_never(job.operation)


def _removal(acts: frozenset[Act], *, waits: bool) -> str:
    if Act.DISCARD in acts:
        return _tr("to be discarded") if waits else _tr("discarding")
    if Act.MERGE in acts:
        return _tr("to be merged") if waits else _tr("merging")
    return _tr("to be removed") if waits else _tr("removing")


def _badge(text: str, job: JobView) -> RowBadge:
    progress = job.progress
    if progress is None or not progress.total_bytes or job.state is not JobState.RUNNING:
        return RowBadge(text)
    return RowBadge(text, min(1.0, progress.done_bytes / progress.total_bytes))
