"""The window's one door to everything that takes time; hides threads, queues and reconnecting."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from PySide6.QtCore import (
    QAbstractEventDispatcher,
    QCoreApplication,
    QDeadlineTimer,
    QEvent,
    QObject,
    Qt,
    Signal,
    Slot,
)

from snapview.core.errors import HostError
from snapview.core.operations import Cancelled, Failed, Host, Operation, Outcome, Progress
from snapview.core.planning import Plan
from snapview.core.vm import Vm
from snapview.session.connection import Connection, Timing
from snapview.session.garbage import GuiThreadGarbage
from snapview.session.jobs import Jobs
from snapview.session.planner import Answer, Planner, TakeBack
from snapview.session.records import History, Records
from snapview.session.views import ConnectionView, JobState, JobView, VmKey, VmView

logger = logging.getLogger(__name__)


class Session(QObject):
    """Connections, what was read of their VMs, and the jobs. GUI thread only; never blocks.

    Args:
        make_host: makes a host for a URI; called on worker threads.
        timing: how often and how long; tests shorten it.
        history: where what was done is kept; None: nowhere.
        parent: as Qt has it.
    """

    connection_changed = Signal(object)  # ConnectionView: its state or its list of VMs changed
    connection_removed = Signal(str)  # uri
    vm_updated = Signal(object)  # VmView
    vm_gone = Signal(object)  # VmKey: undefined by somebody while selected
    vm_unreadable = Signal(object, object)  # VmKey, SnapviewError
    detail_read = Signal(object, object)  # VmKey, SnapshotDetail
    detail_unreadable = Signal(object, str, object)  # VmKey, snapshot, SnapviewError
    job_changed = Signal(object)  # JobView, for each change of a job
    job_removed = Signal(int)  # job id: dismissed
    limit_refused = Signal(int, object)  # job id, SnapviewError: its speed is as it was
    history_read = Signal(object, object)  # VmKey, OperationRecords, the newest first
    history_unreadable = Signal(object, object)  # VmKey, SnapviewError

    def __init__(
        self,
        make_host: Callable[[str], Host],
        timing: Timing | None = None,
        history: History | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        _check_event_loop()
        self._garbage = GuiThreadGarbage(self)
        self._make_host = make_host
        self._timing = timing or Timing()
        self._connections: dict[str, Connection] = {}
        self._leaving: list[Connection] = []  # until their threads have ended
        self._selected: VmKey | None = None
        self._jobs = Jobs(self)
        self._jobs.changed.connect(self.job_changed)
        self._jobs.removed.connect(self.job_removed)
        self._jobs.ready.connect(self._on_job_ready)
        self._background = ThreadPoolExecutor(1, thread_name_prefix="snapview-background")
        self._records = Records(history, self._run_while_open)
        self._records.speed_known.connect(self._on_speed_known)
        self._records.read.connect(self.history_read)
        self._records.unreadable.connect(self.history_unreadable)
        self._jobs.ended.connect(self._records.keep)
        self._planner = Planner(self._timing.plan_seconds, self)
        self._is_closed = False
        self._is_all_written = False  # what comes after that is not

    # -- what there is

    @property
    def connections(self) -> tuple[ConnectionView, ...]:
        """All connections, in the order they were opened."""
        return tuple(connection.view for connection in self._connections.values())

    @property
    def jobs(self) -> tuple[JobView, ...]:
        """All jobs that were not dismissed, oldest first."""
        return self._jobs.views

    @property
    def selected(self) -> VmKey | None:
        """The visible VM."""
        return self._selected

    def view(self, key: VmKey) -> VmView | None:
        """Return what was last read of a VM, however stale; None: never read."""
        connection = self._connections.get(key.uri)
        return connection.following.view(key.uuid) if connection else None

    # -- connections

    def open(self, uri: str) -> None:
        """Connect to a libvirt host and keep it connected. Opening it again changes nothing."""
        if uri in self._connections or self._is_closed:
            return
        connection = Connection(uri, self._make_host, self._timing)
        self._connections[uri] = connection
        connection.changed.connect(self.connection_changed)
        connection.job_progressed.connect(self._on_job_progressed)
        connection.job_ended.connect(self._on_job_ended)
        # Queued, so that the connection is not dropped while one of its own methods runs.
        connection.left.connect(self._on_left, Qt.ConnectionType.QueuedConnection)
        following = connection.following
        following.vm_updated.connect(self._on_vm_updated)
        following.vm_gone.connect(self._on_vm_gone)
        following.vm_unreadable.connect(self.vm_unreadable)
        following.detail_read.connect(self.detail_read)
        following.detail_unreadable.connect(self.detail_unreadable)
        self.connection_changed.emit(connection.view)
        self._records.learn_speed(uri)

    @Slot(str, object)
    def _on_speed_known(self, uri: str, bytes_per_second: float | None) -> None:
        if uri in self._connections:
            self._connections[uri].following.note_speed(bytes_per_second)

    def remove_connection(self, uri: str) -> None:
        """Forget a connection; its running jobs are cancelled."""
        if uri not in self._connections:
            return
        self._cancel_all(uri)
        connection = self._connections.pop(uri)
        if self._selected is not None and self._selected.uri == uri:
            self._selected = None
        self._leaving.append(connection)
        connection.leave()
        self.connection_removed.emit(uri)

    def retry(self, uri: str) -> None:
        """Try to connect again now, whatever the state."""
        if uri in self._connections:
            self._connections[uri].retry()

    def refresh(self) -> None:
        """Read the lists of all connections and the visible VM again."""
        for connection in self._connections.values():
            connection.refresh()

    # -- VMs

    def select(self, key: VmKey | None) -> None:
        """Make a VM the visible one: it is read now and followed from then on."""
        old, self._selected = self._selected, key
        if old is not None and old.uri in self._connections:
            self._connections[old.uri].following.show(None)
        if key is not None and key.uri in self._connections:
            self._connections[key.uri].following.show(key.uuid)

    def read_detail(self, key: VmKey, snapshot: str) -> None:
        """Read the hardware at a snapshot; of requests in a row only the last is answered."""
        if key.uri in self._connections:
            self._connections[key.uri].following.read_detail(key.uuid, snapshot)

    def read_history(self, key: VmKey) -> None:
        """Ask for what was done to a VM; ``history_read`` or ``history_unreadable`` answers."""
        self._records.ask(key)

    @Slot(object)
    def _on_vm_updated(self, view: VmView) -> None:
        self.vm_updated.emit(view)
        self._jobs.check_undos(view.key, view.vm)

    @Slot(object)
    def _on_vm_gone(self, key: VmKey) -> None:
        if key == self._selected:
            self._selected = None
        self.vm_gone.emit(key)

    # -- jobs

    def ask_plan(self, vm: Vm, operation: Operation, then: Answer) -> TakeBack:
        """Have a plan worked out and ``then`` called with it, at once or later.

        Returns:
            What takes the question back: ``then`` is not called any more.
        """
        return self._planner.ask(vm, operation, then)

    def submit(
        self,
        key: VmKey,
        operation: Operation,
        *,
        planned: Plan | None = None,
        grace_seconds: float = 0,
    ) -> int:
        """Have an operation done, and return its job's id.

        Args:
            key: the VM.
            operation: what to do.
            planned: what the user has seen and agreed to. If the VM has changed by then so that
                the plan is another, the job fails with ``PlanChanged`` and touches nothing.
            grace_seconds: how long to wait, touching nothing, for the user to think again.
        """
        return self._jobs.add(key, self._name_of(key), operation, grace_seconds, planned)

    def cancel(self, job_id: int) -> None:
        """Cancel a job; before it runs nothing was touched, a running one is aborted."""
        job = self._jobs.get(job_id)
        if job is None or not job.can_cancel or self._jobs.withdraw(job_id):
            return
        connection = self._connections.get(job.key.uri)
        if connection is None or connection.cancel(job_id):
            self._jobs.end(job_id, Cancelled())
        else:
            self._jobs.refuse_cancel(job_id)

    def limit(self, job_id: int, bytes_per_second: int) -> None:
        """Limit the speed of a running merge; 0: no limit. ``job_changed`` says when it is so."""
        job = self._jobs.get(job_id)
        connection = self._connections.get(job.key.uri) if job else None
        if connection is not None:
            connection.limit(
                job_id,
                bytes_per_second,
                lambda: self._jobs.note_limit(job_id, bytes_per_second),
                partial(self.limit_refused.emit, job_id),
            )

    def start_now(self, job_id: int) -> None:
        """End the grace period of a waiting job."""
        self._jobs.end_grace(job_id)

    def undo(self, job_id: int) -> None:
        """Take a job back: cancel it while it waits, else submit its ``undo``, once."""
        job = self._jobs.get(job_id)
        if job is not None and job.state is JobState.WAITING:
            self.cancel(job_id)
            return
        done = self._jobs.take_undo(job_id)
        if done is not None and done.undo is not None:
            self.submit(done.key, done.undo)

    def dismiss(self, job_id: int) -> None:
        """Forget a job that is over."""
        self._jobs.remove(job_id)

    def _cancel_all(self, uri: str) -> None:
        """Cancel a connection's jobs, the youngest first, so that none takes another's turn."""
        for job in reversed(self._jobs.views):
            if job.key.uri == uri:
                self.cancel(job.id)

    def _name_of(self, key: VmKey) -> str:
        connection = self._connections.get(key.uri)
        vms = connection.view.vms if connection else ()
        return next((vm.title or vm.name for vm in vms if vm.uuid == key.uuid), "")

    @Slot(object)
    def _on_job_ready(self, job: JobView) -> None:
        connection = self._connections.get(job.key.uri)
        if connection is None:
            self._jobs.end(job.id, Cancelled())
            return
        view = self.view(job.key)
        self._jobs.remember(job.id, view.vm if view and not view.is_stale else None)
        connection.start(job.id, job.operation, job.planned.gist if job.planned else None)

    @Slot(int, object)
    def _on_job_progressed(self, job_id: int, progress: Progress) -> None:
        self._jobs.progress(job_id, progress)

    @Slot(int, object)
    def _on_job_ended(self, job_id: int, outcome: Outcome) -> None:
        """Read again whatever the job may have changed, however it ended; then say so."""
        job = self._jobs.get(job_id)
        connection = self._connections.get(job.key.uri) if job else None
        if job is None or connection is None or self._is_closed:
            self._jobs.end(job_id, outcome)
            return
        left = {job.key.uuid, *outcome.changed}

        def on_read(uuid: str) -> None:
            left.discard(uuid)
            if not left:
                connection.read_list(lambda: self._jobs.end(job_id, outcome))

        for uuid in tuple(left):
            connection.following.read(uuid, partial(on_read, uuid))

    # -- the rest

    def run_in_background(self, work: Callable[[], None]) -> None:
        """Run something that touches files, such as saving settings, off the GUI thread.

        Not after ``close``, which waits for it.
        """
        done = self._background.submit(work)
        # Behind it on the same thread: a callback of the future's may run on this one.
        self._background.submit(_log_failure, done)

    def _run_while_open(self, work: Callable[[], None]) -> None:
        if not self._is_all_written:
            self.run_in_background(work)

    def close(self) -> bool:
        """Cancel what waits or runs, stop all threads and close the hosts. Idempotent.

        Blocks until that is done, a few seconds at most.

        Returns:
            Whether all threads have ended. One may hang in a call to a host that does not answer;
            the process then has to end by ``os._exit``, as a running thread must not be destroyed.
        """
        self._is_closed = True
        self._planner.close()
        everyone = [*self._connections.values(), *self._leaving]
        for uri, connection in self._connections.items():
            self._cancel_all(uri)
            connection.leave()
        deadline = QDeadlineTimer(round(self._timing.close_seconds * 1000))
        hanging = [connection for connection in everyone if not connection.wait(deadline)]
        self._write_down_ends()
        self._connections.clear()
        self._leaving = hanging
        self._is_all_written = True
        self._background.shutdown()
        if not hanging:
            self._garbage.stop()
        for connection in hanging:
            logger.warning("%s does not answer; its thread is left behind.", connection.view.uri)
        return not hanging

    def _write_down_ends(self) -> None:
        """Take note of how the jobs ended that ran until now; the event loop may be over."""
        for connection in self._connections.values():
            QCoreApplication.sendPostedEvents(connection, QEvent.Type.MetaCall.value)
        for job in self._jobs.views:
            if not job.state.is_over:
                text = "snapview was closed while this was under way, and the host did not answer."
                self._jobs.end(job.id, Failed(HostError(text, advice="Look at the VM again.")))

    @Slot(object)
    def _on_left(self, connection: Connection) -> None:
        if connection in self._leaving:
            self._leaving.remove(connection)


def _check_event_loop() -> None:
    """Complain where Qt would run libvirt's callbacks on the GUI thread (see application.py)."""
    dispatcher = QAbstractEventDispatcher.instance()
    if "glib" in dispatcher.metaObject().className().lower():
        logger.error("Qt and libvirt share GLib's main loop: QT_NO_GLIB was not set in time.")


def _log_failure(future: Future[None]) -> None:
    error = future.exception()
    if error is not None:
        logger.error("Work in the background failed.", exc_info=error)
