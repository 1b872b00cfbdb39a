"""The window's one door to everything that takes time; hides threads, queues and reconnecting."""

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from snapview.core.operations import Host, Operation
from snapview.session.views import ConnectionView, JobView, VmKey, VmView


class Session(QObject):
    """Connections, what was read of their VMs, and the jobs. GUI thread only; never blocks."""

    connection_changed = Signal(object)  # ConnectionView: its state or its list of VMs changed
    connection_removed = Signal(str)  # uri
    vm_updated = Signal(object)  # VmView
    vm_gone = Signal(object)  # VmKey: undefined by somebody while selected
    vm_unreadable = Signal(object, object)  # VmKey, SnapviewError
    detail_read = Signal(object, object)  # VmKey, SnapshotDetail
    detail_unreadable = Signal(object, str, object)  # VmKey, snapshot, SnapviewError
    job_changed = Signal(object)  # JobView, for each change of a job
    job_removed = Signal(int)  # job id: dismissed

    def __init__(self, make_host: Callable[[str], Host], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._make_host = make_host

    @property
    def connections(self) -> tuple[ConnectionView, ...]:
        """All connections, in the order they were opened."""
        raise NotImplementedError

    @property
    def jobs(self) -> tuple[JobView, ...]:
        """All jobs that were not dismissed, oldest first."""
        raise NotImplementedError

    @property
    def running_jobs(self) -> tuple[JobView, ...]:
        """The jobs that are not over and are past their grace period."""
        raise NotImplementedError

    def view(self, key: VmKey) -> VmView | None:
        """Return what was last read of a VM, however stale; None: never read."""
        raise NotImplementedError

    def open(self, uri: str) -> None:
        """Connect to a libvirt host and keep it connected. Opening it again changes nothing."""

    def remove_connection(self, uri: str) -> None:
        """Forget a connection; its running jobs are cancelled."""

    def retry(self, uri: str) -> None:
        """Try to connect again now, whatever the state."""

    def select(self, key: VmKey | None) -> None:
        """Make a VM the visible one: it is read now and followed from then on."""

    def refresh(self) -> None:
        """Read the lists of all connections and the visible VM again."""

    def read_detail(self, key: VmKey, snapshot: str) -> None:
        """Read the hardware at a snapshot; of requests in a row only the last is answered."""

    def submit(self, key: VmKey, operation: Operation, *, grace_seconds: float = 0) -> int:
        """Have an operation done, and return its job's id."""
        raise NotImplementedError

    def cancel(self, job_id: int) -> None:
        """Cancel a job; before it runs nothing was touched, a running one is aborted."""

    def start_now(self, job_id: int) -> None:
        """End the grace period of a waiting job."""

    def undo(self, job_id: int) -> None:
        """Take a job back: cancel it while it waits, else submit its ``undo``."""

    def dismiss(self, job_id: int) -> None:
        """Forget a job that is over."""

    def run_in_background(self, work: Callable[[], None]) -> None:
        """Run something that touches files, such as saving settings, off the GUI thread."""

    def close(self) -> bool:
        """Cancel what waits or runs, stop all threads and close the hosts. Idempotent."""
        raise NotImplementedError
