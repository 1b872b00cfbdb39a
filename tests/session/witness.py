"""A session on a host in memory, and who writes down what it says."""

from collections.abc import Callable

from PySide6.QtCore import QObject, Slot
from pytestqt.qtbot import QtBot

from snapview.core.errors import SnapviewError
from snapview.core.operations import CreateSnapshot, Operation
from snapview.core.vm import SnapshotDetail, SnapshotTree
from snapview.session import (
    ConnectionState,
    ConnectionView,
    JobState,
    JobView,
    Session,
    Timing,
    VmKey,
    VmView,
)
from tests.trees import vm_uuid

ONE, TWO = "fake:///one", "fake:///two"
WEB, DB = VmKey(ONE, vm_uuid("web")), VmKey(ONE, vm_uuid("db"))
SOON = Timing(
    list_seconds=0.03,
    fingerprint_seconds=0.03,
    sample_seconds=0.02,
    back_off_seconds=(0.01, 0.02),
    close_seconds=20,
)
NEVER = Timing(list_seconds=3600, fingerprint_seconds=3600, sample_seconds=3600)


class Witness(QObject):
    """Writes down what a session says, and waits for it to say something."""

    def __init__(self, session: Session, qtbot: QtBot) -> None:
        super().__init__()
        self.session = session
        self.states: list[tuple[str, ConnectionState]] = []
        self.vms: list[VmView] = []
        self.gone: list[VmKey] = []
        self.unreadable: list[tuple[VmKey, str]] = []
        self.details: list[str] = []
        self.missing_details: list[str] = []
        self.jobs: list[JobView] = []
        self.trees_at_the_end: dict[int, SnapshotTree] = {}
        self.counts_at_the_end: dict[int, int | None] = {}
        self.removed_jobs: list[int] = []
        self._qtbot = qtbot
        session.connection_changed.connect(self._on_connection_changed)
        session.vm_updated.connect(self.vms.append)
        session.vm_gone.connect(self.gone.append)
        session.vm_unreadable.connect(self._on_vm_unreadable)
        session.detail_read.connect(self._on_detail_read)
        session.detail_unreadable.connect(self._on_detail_unreadable)
        session.job_changed.connect(self._on_job_changed)
        session.job_removed.connect(self.removed_jobs.append)

    def wait(self, condition: Callable[[], object]) -> None:
        self._qtbot.waitUntil(lambda: bool(condition()), timeout=20_000)

    def wait_for_state(self, state: ConnectionState, uri: str = ONE) -> None:
        self.wait(lambda: self.connection(uri).state is state)

    def wait_for_list(self, uri: str = ONE) -> None:
        self.wait(lambda: self.connection(uri).vms)

    def wait_for_vm(self, key: VmKey = WEB) -> VmView:
        """Wait until the VM is there and fresh."""
        self.wait(lambda: (view := self.session.view(key)) and not view.is_stale)
        return self.view(key)

    def wait_for_job(self, job_id: int, state: JobState) -> JobView:
        self.wait(lambda: self.job(job_id).state is state)
        return self.job(job_id)

    def do(self, operation: Operation | None = None, key: VmKey = WEB) -> JobView:
        """Submit an operation and wait until it is over, however."""
        job_id = self.session.submit(key, operation or CreateSnapshot(key.uuid, "new"))
        self.wait(lambda: self.job(job_id).state.is_over)
        return self.job(job_id)

    def connection(self, uri: str = ONE) -> ConnectionView:
        return next(view for view in self.session.connections if view.uri == uri)

    def view(self, key: VmKey = WEB) -> VmView:
        view = self.session.view(key)
        assert view is not None
        return view

    def names(self, key: VmKey = WEB) -> set[str]:
        view = self.session.view(key)
        return {snapshot.name for snapshot in view.vm.tree} if view else set()

    def job(self, job_id: int) -> JobView:
        return next(job for job in self.session.jobs if job.id == job_id)

    def states_of(self, job_id: int) -> list[JobState]:
        """Return the states a job went through, each once in a row."""
        states = [job.state for job in self.jobs if job.id == job_id]
        return [s for n, s in enumerate(states) if n == 0 or states[n - 1] is not s]

    @Slot(object)
    def _on_connection_changed(self, view: ConnectionView) -> None:
        self.states.append((view.uri, view.state))

    @Slot(object, object)
    def _on_vm_unreadable(self, key: VmKey, error: SnapviewError) -> None:
        self.unreadable.append((key, error.message))

    @Slot(object, object)
    def _on_detail_read(self, key: VmKey, detail: SnapshotDetail) -> None:
        assert key.uri
        self.details.append(detail.name)

    @Slot(object, str, object)
    def _on_detail_unreadable(self, key: VmKey, snapshot: str, error: SnapviewError) -> None:
        assert key.uri
        assert error.message
        self.missing_details.append(snapshot)

    @Slot(object)
    def _on_job_changed(self, job: JobView) -> None:
        self.jobs.append(job)
        view = self.session.view(job.key)
        if job.state.is_over and view is not None:
            self.trees_at_the_end[job.id] = view.vm.tree
            self.counts_at_the_end[job.id] = next(
                (
                    vm.snapshot_count
                    for vm in self.connection(job.key.uri).vms
                    if vm.uuid == job.key.uuid
                ),
                None,
            )
