"""One libvirt host as the window sees it: kept connected, its VMs listed, its jobs run.

Hides the two workers, each with a connection of its own: *operations* may block for minutes,
*reads* stays free meanwhile to show what happens, to sample progress and to abort.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from PySide6.QtCore import QDeadlineTimer, QObject, QTimer, Signal, Slot

from snapview.core.errors import ConnectionLost, NotInstalled, NotPermitted, SnapviewError
from snapview.core.operations import (
    ConnectionClosed,
    CreateSnapshot,
    Failed,
    Host,
    HostEvent,
    Job,
    Operation,
    Outcome,
    Progress,
    Recover,
    RevertSnapshot,
    VmEvent,
)
from snapview.core.vm import HostCapabilities, VmSummary
from snapview.session.asking import Asking
from snapview.session.following import Following
from snapview.session.planner import PATIENCE_SECONDS
from snapview.session.repeated import Repeated
from snapview.session.views import ConnectionState, ConnectionView
from snapview.worker import Worker, read

logger = logging.getLogger(__name__)

# What may write or read a VM's memory, and meanwhile keep others from it.
WITH_MEMORY = CreateSnapshot | RevertSnapshot | Recover


@dataclass(frozen=True, slots=True)
class Timing:
    """How often and how long. Another client's change is seen within 5 s."""

    list_seconds: float = 4
    fingerprint_seconds: float = 2  # of the visible VM
    sample_seconds: float = 0.5  # of a running job
    back_off_seconds: tuple[float, ...] = (1, 2, 4, 8, 15)
    close_seconds: float = 10  # how long closing waits for a host that hangs
    plan_seconds: float = PATIENCE_SECONDS  # how long a plan is waited for before others go on


class Connection(QObject):
    """Keeps one host connected, reads its list, runs its jobs. GUI thread; never blocks."""

    changed = Signal(object)  # ConnectionView
    job_progressed = Signal(int, object)  # job id, Progress; the first one has no phase
    job_ended = Signal(int, object)  # job id, Outcome; nothing was read again yet
    left = Signal(object)  # self: both threads have ended after ``leave``

    def __init__(self, uri: str, make_host: Callable[[str], Host], timing: Timing) -> None:
        super().__init__()
        self.view = ConnectionView(uri)
        self._timing = timing
        self._reads = Worker(partial(make_host, uri), hears_events=True)
        self._operations = Worker(partial(make_host, uri))
        self._asking = Asking(self._reads)
        self.following = Following(
            uri, self._asking, timing.fingerprint_seconds, self._stands_still, self._is_at_work
        )
        self._list = Repeated(self._start_list)
        self._running: dict[int, Operation] = {}  # by job
        self._sampling: set[int] = set()
        self._limits: dict[int, int] = {}  # by job, in bytes/s: those chosen by hand
        self._seen: dict[int, Progress] = {}  # by job: how far it was when it last copied
        self._failures = 0
        self._is_connecting = False
        self._is_leaving = False
        self._list_timer = self._timer(timing.list_seconds, self._on_list_timeout)
        self._sample_timer = self._timer(timing.sample_seconds, self._on_sample_timeout)
        self._retry_timer = self._timer(0, self._connect)
        self._retry_timer.setSingleShot(True)
        self._connect_signals()
        self._reads.start()
        self._operations.start()
        self._connect()

    def _timer(self, seconds: float, slot: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setInterval(round(seconds * 1000))
        timer.timeout.connect(slot)
        return timer

    def _connect_signals(self) -> None:
        self._asking.lost.connect(self._on_lost)
        self._reads.noticed.connect(self._on_noticed)
        self._reads.finished.connect(self._on_reads_finished)
        self._operations.progressed.connect(self._on_job_progressed)
        self._operations.ended.connect(self._on_job_ended)
        self._operations.finished.connect(self._on_operations_finished)

    @property
    def is_connected(self) -> bool:
        """Whether the host answered last time."""
        return self.view.state is ConnectionState.CONNECTED

    def retry(self) -> None:
        """Connect again now."""
        self._failures = 0
        if self.view.state is not ConnectionState.LOST and not self.is_connected:
            self._set(replace(self.view, state=ConnectionState.CONNECTING, error=None))
        self._connect()

    def read_list(self, then: Callable[[], None] | None = None) -> None:
        """Read the list of VMs; ``then`` is called when that is over, well or not."""
        self._list.want(then)

    def refresh(self) -> None:
        """Read the list and the visible VM again; try again at once where the host is away."""
        if not self.is_connected:
            self.retry()
            return
        self.read_list()
        self.following.read_visible()

    # -- jobs

    def start(self, job_id: int, operation: Operation, agreed: object = None) -> None:
        """Have an operation done; its own connection is opened again first where it broke.

        Args:
            job_id: what its progress and end are told by.
            operation: what to do.
            agreed: the gist of the plan that the user has seen; None: nobody was asked.
        """

        def make_job(host: Host) -> Job:
            host.connect()
            return host.start(operation, agreed)

        self._running[job_id] = operation
        self._operations.submit(job_id, make_job)

    def cancel(self, job_id: int) -> bool:
        """Cancel a job; return True if it had not begun, and nothing was touched."""
        if self._operations.cancel(job_id):
            self._running.pop(job_id, None)
            return True
        operation = self._running.get(job_id)
        if operation is not None:
            uuid = operation.vm_uuid
            # By then it may be over, and the VM's job another client's: that one is let alone.
            self._asking.ask(
                lambda host: host.abort(uuid) if self._operations.is_under_way(job_id) else None,
                lambda _: None,
                lambda error: logger.info("Job %d could not be aborted: %s", job_id, error),
            )
        return False

    def limit(
        self,
        job_id: int,
        bytes_per_second: int,
        then: Callable[[], None],
        otherwise: Callable[[SnapviewError], None],
    ) -> None:
        """Limit the speed of a running job; ``then`` or ``otherwise`` say how that went.

        The merges that follow in the same job begin as fast as was planned, so the limit is set
        again for each of them.
        """
        operation = self._running.get(job_id)
        if operation is None:
            return
        uuid = operation.vm_uuid
        self._limits[job_id] = bytes_per_second

        def set_limit(host: Host) -> bool:
            if self._operations.is_under_way(job_id):
                host.limit(uuid, bytes_per_second)
                return True
            return False

        self._asking.ask(set_limit, lambda is_set: then() if is_set else None, otherwise)

    def _tell(self, job_id: int, progress: Progress) -> None:
        """Pass on how far a job is; slow its next merge down as soon as that copies."""
        before = self._seen.get(job_id, Progress(""))
        if progress.done_bytes:
            self._seen[job_id] = progress
        self.job_progressed.emit(job_id, progress)
        limit, operation = self._limits.get(job_id), self._running.get(job_id)
        is_same = progress.phase == before.phase and progress.done_bytes >= before.done_bytes
        if limit is None or operation is None or is_same or not progress.done_bytes:
            return
        self._asking.ask(
            lambda host: host.limit(operation.vm_uuid, limit),
            lambda _: None,
            lambda error: logger.info("Job %d is not slowed down again: %s", job_id, error),
        )

    def _is_at_work(self, uuid: str) -> bool:
        """Whether a job of ours runs on that VM or is about to."""
        return any(operation.vm_uuid == uuid for operation in self._running.values())

    def _stands_still(self, uuid: str) -> bool:
        """Whether a job of ours may make libvirt keep whoever reads that VM waiting.

        While memory is written or read, libvirt answers some questions about the VM only after
        30 s, with an error. The VM is read again when the job is over.
        """
        return any(
            operation.vm_uuid == uuid and isinstance(operation, WITH_MEMORY)
            for operation in self._running.values()
        )

    @Slot(object, object)
    def _on_job_progressed(self, job_id: object, progress: Progress) -> None:
        if isinstance(job_id, int):
            if not self._sample_timer.isActive():
                self._sample_timer.start()
            self._tell(job_id, progress)

    @Slot(object, object)
    def _on_job_ended(self, job_id: object, outcome: Outcome) -> None:
        if not isinstance(job_id, int):
            return  # the operations worker connected, or could not: the next job will say
        self._running.pop(job_id, None)
        self._limits.pop(job_id, None)
        self._seen.pop(job_id, None)
        if not self._running:
            self._sample_timer.stop()
        if isinstance(outcome, Failed) and isinstance(outcome.error, ConnectionLost):
            self.read_list()  # shows whether the reads' connection is gone as well
        self.job_ended.emit(job_id, outcome)

    @Slot()
    def _on_sample_timeout(self) -> None:
        if not self.is_connected:
            return
        for job_id in self._running.keys() - self._sampling:
            if self._operations.is_under_way(job_id):
                self._sample(job_id, self._running[job_id].vm_uuid)

    def _sample(self, job_id: int, uuid: str) -> None:
        self._sampling.add(job_id)
        self._asking.ask(
            lambda host: host.sample(uuid),
            partial(self._on_sampled, job_id),
            partial(self._on_not_sampled, job_id),
        )

    def _on_sampled(self, job_id: int, progress: Progress | None) -> None:
        self._sampling.discard(job_id)
        if progress is not None and job_id in self._running:
            self._tell(job_id, progress)

    def _on_not_sampled(self, job_id: int, error: SnapviewError) -> None:
        self._sampling.discard(job_id)
        logger.debug("Job %d could not be sampled: %s", job_id, error)

    # -- connecting, losing, connecting again

    @Slot()
    def _connect(self) -> None:
        self._retry_timer.stop()
        if self._is_connecting or self._is_leaving:
            return
        self._is_connecting = True
        self._asking.ask(lambda host: host.connect(), self._on_connected, self._on_refused)

    def _on_connected(self, capabilities: HostCapabilities) -> None:
        self._is_connecting = False
        self._failures = 0
        self._set(
            replace(
                self.view,
                state=ConnectionState.CONNECTED,
                error=None,
                capabilities=capabilities,
            )
        )
        # Second in time, so that polkit asks once and remembers, instead of twice at once.
        self._operations.submit(object(), read(lambda host: host.connect()))
        self.read_list()
        self.following.catch_up()
        self._list_timer.start()

    def _on_refused(self, error: SnapviewError) -> None:
        self._is_connecting = False
        self._set(replace(self.view, state=self._state_for(error), error=error))
        if isinstance(error, ConnectionLost):  # others wait for the user: mostly a permission
            self._retry_later()

    def _state_for(self, error: SnapviewError) -> ConnectionState:
        match error:
            case NotInstalled():
                return ConnectionState.NOT_INSTALLED
            case NotPermitted():
                return ConnectionState.NOT_PERMITTED
            case ConnectionLost() if self.view.read_at is not None:
                return ConnectionState.LOST
            case _:
                return ConnectionState.FAILED

    def _retry_later(self) -> None:
        waits = self._timing.back_off_seconds
        wait_seconds = waits[min(self._failures, len(waits) - 1)]
        self._failures += 1
        self._retry_timer.start(round(wait_seconds * 1000))

    @Slot(object)
    def _on_lost(self, error: ConnectionLost) -> None:
        if not self.is_connected:
            return
        logger.info("The connection to %s is lost: %s", self.view.uri, error)
        self._list_timer.stop()
        self._set(replace(self.view, state=ConnectionState.LOST, error=error, is_stale=True))
        self.following.mark_stale()
        self._retry_later()

    # -- the list of VMs, and what the host tells

    def _start_list(self) -> None:
        self._asking.ask(lambda host: host.list_vms(), self._on_listed, self._on_not_listed)

    def _on_listed(self, vms: tuple[VmSummary, ...]) -> None:
        if self.is_connected:
            now = datetime.now(tz=UTC)
            self._set(replace(self.view, vms=vms, error=None, is_stale=False, read_at=now))
            self.following.keep_only(frozenset(vm.uuid for vm in vms))
        self._list.settle()

    def _on_not_listed(self, error: SnapviewError) -> None:
        if self.is_connected:
            self._set(replace(self.view, error=error, is_stale=True))
        self._list.settle()

    @Slot()
    def _on_list_timeout(self) -> None:
        if not self._list.is_busy:
            self.read_list()

    @Slot(object)
    def _on_noticed(self, event: HostEvent) -> None:
        match event:
            case ConnectionClosed(reason=reason):
                self._on_lost(ConnectionLost("The libvirt daemon went away.", detail=reason))
            case VmEvent(uuid=uuid) if self.is_connected:
                self.read_list()
                self.following.notice(uuid)

    def _set(self, view: ConnectionView) -> None:
        is_news = _gist(view) != _gist(self.view)
        self.view = view
        if is_news and not self._is_leaving:
            self.changed.emit(view)

    # -- the end

    def leave(self) -> None:
        """Begin to end, the jobs having been cancelled: stop both threads; ``left`` follows."""
        if self._is_leaving:
            return
        self._is_leaving = True
        for timer in (self._list_timer, self._sample_timer, self._retry_timer):
            timer.stop()
        self.following.stop()
        self._operations.request_stop()  # the reads go on meanwhile: they carry the abort

    def wait(self, deadline: QDeadlineTimer) -> bool:
        """Block until both threads have ended; return whether they have, by the deadline."""
        self._operations.wait(deadline)
        self._asking.stop()
        return self._reads.wait(deadline) and self._operations.isFinished()

    @Slot()
    def _on_operations_finished(self) -> None:
        self._operations.wait()
        self._asking.stop()

    @Slot()
    def _on_reads_finished(self) -> None:
        self._reads.wait()
        self.left.emit(self)


def _gist(view: ConnectionView) -> tuple[object, ...]:
    """Return what a change of is worth telling; the time of reading alone is not."""
    said = view.error.message if view.error else None
    return said, replace(view, error=None, read_at=None)
