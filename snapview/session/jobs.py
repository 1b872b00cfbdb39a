"""The jobs of all connections, from the grace period to the end; touches no host itself."""

import itertools
import logging
import time
from dataclasses import dataclass, replace

from PySide6.QtCore import QObject, QTimer, Signal

from snapview.core.operations import (
    Cancelled,
    Consolidate,
    DeleteSnapshot,
    Done,
    Failed,
    Operation,
    Outcome,
    Progress,
)
from snapview.core.planning import Plan
from snapview.core.undo import is_possible, undo_of
from snapview.core.vm import Vm
from snapview.session.records import Ended
from snapview.session.views import JobState, JobView, VmKey

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    """A job, and what only this module needs of it."""

    view: JobView
    grace: QTimer | None = None
    is_handed_over: bool = False  # to the operations worker
    before: Vm | None = None
    was_limited: bool = False  # by hand, at some time


class Jobs(QObject):
    """All jobs that were not dismissed. GUI thread.

    Of one VM's jobs one at a time is handed over, in order; the next one waits until the last
    is over, which includes that the VM was read again.
    """

    changed = Signal(object)  # JobView
    removed = Signal(int)  # job id
    ready = Signal(object)  # JobView: to be handed over to its connection now
    ended = Signal(object)  # Ended: once for each job

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._numbers = itertools.count(1)
        self._jobs: dict[int, _Job] = {}

    @property
    def views(self) -> tuple[JobView, ...]:
        """All jobs, oldest first."""
        return tuple(job.view for job in self._jobs.values())

    def get(self, job_id: int) -> JobView | None:
        """Return a job, or None when it was dismissed."""
        job = self._jobs.get(job_id)
        return job.view if job else None

    def add(
        self,
        key: VmKey,
        vm_name: str,
        operation: Operation,
        grace_seconds: float,
        planned: Plan | None = None,
    ) -> int:
        """Take a job on; with a grace period nothing happens before that is over."""
        job_id = next(self._numbers)
        state = JobState.WAITING if grace_seconds > 0 else JobState.QUEUED
        view = JobView(
            job_id,
            key,
            vm_name,
            operation,
            state,
            grace_seconds=grace_seconds,
            planned=planned,
            limit_bytes_per_second=_limit_of(operation),
        )
        job = self._jobs[job_id] = _Job(view)
        if state is JobState.WAITING:
            job.view = replace(view, starts_at=time.monotonic() + grace_seconds)
            job.grace = QTimer(self)
            job.grace.setSingleShot(True)
            job.grace.timeout.connect(lambda: self.end_grace(job_id))
            job.grace.start(round(grace_seconds * 1000))
        self.changed.emit(job.view)
        self._hand_over_next(key)
        return job_id

    def end_grace(self, job_id: int) -> None:
        """Let a waiting job start now."""
        job = self._jobs.get(job_id)
        if job is not None and job.view.state is JobState.WAITING:
            self._drop_grace(job)
            self._change(job, state=JobState.QUEUED, starts_at=None)
            self._hand_over_next(job.view.key)

    def remember(self, job_id: int, before: Vm | None) -> None:
        """Keep the VM as it is before the job, for the undo."""
        self._jobs[job_id].before = before

    def progress(self, job_id: int, progress: Progress) -> None:
        """Take note that a job has begun (no phase), or how far it is."""
        job = self._jobs.get(job_id)
        if job is None or job.view.state.is_over:
            return
        if job.view.state is JobState.QUEUED:
            logger.info("Job %d begins: %s", job_id, job.view.operation)
            self._change(job, state=JobState.RUNNING, started_at=time.monotonic())
        if progress.phase or progress.total_bytes is not None:
            self._change(job, progress=progress)

    def note_limit(self, job_id: int, bytes_per_second: int) -> None:
        """Note how fast a job's block jobs may be from now on."""
        job = self._jobs.get(job_id)
        if job is not None and not job.view.state.is_over:
            job.was_limited = job.was_limited or bytes_per_second > 0
            self._change(job, limit_bytes_per_second=bytes_per_second)

    def withdraw(self, job_id: int) -> bool:
        """Cancel a job that was not handed over; return whether that was so."""
        job = self._jobs.get(job_id)
        if job is None or job.view.state.is_over or job.is_handed_over:
            return False
        self.end(job_id, Cancelled())
        return True

    def refuse_cancel(self, job_id: int) -> None:
        """Note that a job was asked to stop: asking again would change nothing."""
        self._change(self._jobs[job_id], can_cancel=False)

    def end(self, job_id: int, outcome: Outcome) -> None:
        """Take note of how a job ended; what it changed has been read again."""
        job = self._jobs.get(job_id)
        if job is None or job.view.state.is_over:
            return
        self._drop_grace(job)
        began = job.view.started_at
        logger.info(
            "Job %d on %s ended after %.1f s: %s",
            job_id,
            job.view.key.uuid,
            time.monotonic() - began if began is not None else 0.0,
            type(outcome).__name__,
        )
        over = replace(
            job.view,
            state=_state_of(outcome),
            outcome=outcome,
            undo=undo_of(job.view.operation, outcome, job.before),
            starts_at=None,
            can_cancel=False,
        )
        self.ended.emit(Ended(over, job.before, job.was_limited))  # first: to be written down
        job.view = over
        self.changed.emit(over)
        job.before = None
        self._hand_over_next(job.view.key)

    def take_undo(self, job_id: int) -> JobView | None:
        """Return a job with its undo, which from now on is used up; None: it has none."""
        job = self._jobs.get(job_id)
        if job is None or job.view.undo is None:
            return None
        view = job.view
        self._change(job, undo=None)
        return view

    def check_undos(self, key: VmKey, vm: Vm) -> None:
        """Withdraw the undos whose snapshots are gone."""
        for job in list(self._jobs.values()):
            undo = job.view.undo
            if job.view.key == key and undo is not None and not is_possible(undo, vm):
                self._change(job, undo=None)

    def remove(self, job_id: int) -> None:
        """Forget a job that is over."""
        job = self._jobs.get(job_id)
        if job is not None and job.view.state.is_over:
            del self._jobs[job_id]
            self.removed.emit(job_id)

    def _hand_over_next(self, key: VmKey) -> None:
        mine = [job for job in self._jobs.values() if job.view.key == key]
        if any(job.is_handed_over and not job.view.state.is_over for job in mine):
            return
        for job in mine:
            if job.view.state is JobState.QUEUED:
                job.is_handed_over = True
                self.ready.emit(job.view)
                return

    def _change(self, job: _Job, **changes: object) -> None:
        view = replace(job.view, **changes)  # type: ignore[arg-type] # names checked when run
        if view != job.view:
            job.view = view
            self.changed.emit(view)

    def _drop_grace(self, job: _Job) -> None:
        if job.grace is not None:
            job.grace.stop()
            job.grace.deleteLater()
            job.grace = None


def _limit_of(operation: Operation) -> int:
    if isinstance(operation, DeleteSnapshot | Consolidate):
        return operation.bandwidth_bytes_per_second
    return 0


def _state_of(outcome: Outcome) -> JobState:
    match outcome:
        case Done():
            return JobState.DONE
        case Failed():
            return JobState.FAILED
        case Cancelled():
            return JobState.CANCELLED
