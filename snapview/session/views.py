"""What the window sees of connections, VMs and jobs: immutable values that ``Session`` makes."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from snapview.core.errors import SnapviewError
from snapview.core.layout import TreeLayout
from snapview.core.operations import Operation, Outcome, Progress
from snapview.core.planning import Plan
from snapview.core.vm import HostCapabilities, Vm, VmSummary


@dataclass(frozen=True, slots=True)
class VmKey:
    """Which VM on which connection; the same UUID can exist on two hosts."""

    uri: str
    uuid: str


class ConnectionState(Enum):
    """How a connection is. Where it helps, ``Session`` tries again by itself."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    LOST = "lost"  # it was there; connecting again, what is shown is stale
    NOT_PERMITTED = "not-permitted"  # waits for ``Session.retry``: no password box every 15 s
    NOT_INSTALLED = "not-installed"  # tried again until there is one
    FAILED = "failed"  # never was there; tried again when nobody answered, else by ``retry``


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """A connection and its list of VMs."""

    uri: str
    state: ConnectionState = ConnectionState.CONNECTING
    error: SnapviewError | None = None
    capabilities: HostCapabilities | None = None
    vms: tuple[VmSummary, ...] = ()
    is_stale: bool = False  # the list was read before the connection was lost
    read_at: datetime | None = None  # of the list; None: never read


@dataclass(frozen=True, slots=True)
class VmView:
    """A VM as last read, with its tree laid out (on a worker, never on the GUI thread).

    ``vm.storage`` follows a moment after the VM itself, and stays None where it cannot be read.
    """

    key: VmKey
    vm: Vm
    layout: TreeLayout
    is_stale: bool = False


class JobState(Enum):
    """Where a job stands."""

    WAITING = "waiting"  # grace period: nothing was touched yet
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self in {JobState.DONE, JobState.FAILED, JobState.CANCELLED}


@dataclass(frozen=True, slots=True)
class JobView:
    """An operation on its way. When it is over, every VM it changed has been read again."""

    id: int
    key: VmKey
    vm_name: str
    operation: Operation
    state: JobState
    progress: Progress | None = None
    outcome: Outcome | None = None
    undo: Operation | None = None  # of a DONE job that this operation takes back
    starts_at: float | None = None  # WAITING: ``time.monotonic()`` when the grace period ends
    grace_seconds: float = 0
    started_at: float | None = None  # ``time.monotonic()``
    can_cancel: bool = True
    planned: Plan | None = None  # what the user agreed to; None: nobody was asked, as by an undo
    limit_bytes_per_second: int = 0  # of its block jobs; 0: no limit
