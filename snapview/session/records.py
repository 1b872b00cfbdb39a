"""The history of operations, kept and asked off the GUI thread."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QObject, Signal

from snapview.core.errors import PlanChanged, SnapviewError
from snapview.core.operations import Failed
from snapview.core.planning import Plan
from snapview.core.vm import RunState, Vm
from snapview.session.views import JobView, VmKey

if TYPE_CHECKING:  # at run time only when something is recorded: SQLite is not needed before
    from snapview.history import OperationRecord


class History(Protocol):
    """What keeps records of operations. Any thread but the GUI's."""

    def record(self, record: "OperationRecord") -> None:
        """Keep a record; never fails."""
        ...

    def operations(self, uri: str, vm_uuid: str, limit: int = 100) -> "tuple[OperationRecord, ...]":
        """Return the newest operations on a VM, the newest first; raises HostError."""
        ...

    def copy_bytes_per_second(self, uri: str) -> float | None:
        """Return how fast merges copied on a host lately; None: not known."""
        ...


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that is over, and what only the session knows of it."""

    job: JobView
    before: Vm | None  # the VM as it was before
    was_limited: bool = False  # at some time


class Records(QObject):
    """Writes down how jobs ended and answers what was done. GUI thread; never blocks.

    Args:
        history: where it is kept; None: nowhere.
        run: runs something on a thread of its own, in order.
    """

    speed_known = Signal(str, object)  # uri, bytes/s or None
    read = Signal(object, object)  # VmKey, the newest operations first
    unreadable = Signal(object, object)  # VmKey, SnapviewError

    def __init__(self, history: History | None, run: Callable[[Callable[[], None]], None]) -> None:
        super().__init__()
        self._history = history
        self._run = run

    def learn_speed(self, uri: str) -> None:
        """Find out how fast earlier merges on a host were; ``speed_known`` says."""
        history = self._history
        if history is not None:
            self._run(lambda: self.speed_known.emit(uri, history.copy_bytes_per_second(uri)))

    def keep(self, ended: Ended) -> None:
        """Write a job down that has begun; one whose plan had changed touched nothing."""
        history, outcome = self._history, ended.job.outcome
        is_other = isinstance(outcome, Failed) and isinstance(outcome.error, PlanChanged)
        if history is None or outcome is None or ended.job.started_at is None or is_other:
            return
        now = datetime.now(tz=UTC)

        def keep() -> None:
            history.record(_record(ended, now))

        self._run(keep)
        self.learn_speed(ended.job.key.uri)

    def ask(self, key: VmKey) -> None:
        """Ask for what was done to a VM; ``read`` or ``unreadable`` answers."""
        history = self._history

        def ask() -> None:
            try:
                found = history.operations(key.uri, key.uuid) if history is not None else ()
            except SnapviewError as error:
                self.unreadable.emit(key, error)
            else:
                self.read.emit(key, found)

        self._run(ask)


def _record(ended: Ended, at: datetime) -> "OperationRecord":
    from snapview.history import record_of

    job = ended.job
    assert job.outcome is not None
    vm = ended.before or Vm(job.key.uuid, job.vm_name, RunState.UNKNOWN)
    made = job.planned or Plan(job.operation, ())
    record = record_of(at, job.key.uri, vm, made, job.outcome)
    return replace(record, is_limited=record.is_limited or ended.was_limited)
