"""A thread with one connection to one libvirt host: does what is queued, reports by signals.

Hides the queue, the order of work, cancelling, and that libvirt speaks up from a thread of its
own: signals are only ever emitted from the worker's thread, because PySide crashes otherwise.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol, TypeVar

from PySide6.QtCore import QThread, Signal

from snapview.core.errors import HostError, SnapviewError
from snapview.core.operations import Cancelled, Failed, Host, HostEvent, Outcome, Progress

logger = logging.getLogger(__name__)

T = TypeVar("T")

PROGRESS_SECONDS = 0.1  # at most ten a second; a new phase is told at once


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of a one-shot read that succeeded; what an ``Outcome`` is to an operation."""

    value: object


class Task(Protocol):
    """What a worker does for one id: an operation's ``Job``, or a read."""

    def step(self) -> Progress | Outcome | Reading:
        """Do the next piece; anything but ``Progress`` ends the task."""
        ...

    def request_cancel(self) -> None:
        """Ask to stop at the next safe point; any thread."""
        ...


class _Read:
    """A one-shot read as a task."""

    def __init__(self, host: Host, call: Callable[[Host], object]) -> None:
        self._host = host
        self._call = call

    def step(self) -> Reading:
        return Reading(self._call(self._host))

    def request_cancel(self) -> None:
        """Do nothing: a read is over before anybody could cancel it."""


def read(call: Callable[[Host], object]) -> Callable[[Host], Task]:
    """Make a task of a call that reads; its result arrives as ``Reading``."""
    return lambda host: _Read(host, call)


@dataclass(slots=True)
class _Entry:
    """What the worker knows of a task. Shared between threads, under the worker's lock."""

    id: object
    make_task: Callable[[Host], Task]
    task: Task | None = None
    has_begun: bool = False
    is_cancelled: bool = False
    phase: str = ""
    told_at: float = float("-inf")


class Worker(QThread):
    """One thread, one host, one queue.

    Tasks are begun in order; those that take several steps take turns. Each one submitted ends
    with exactly one ``ended``, unless ``cancel`` returned True for it. Nothing a task raises ends
    the thread. There is one way to get rid of a worker: ``request_stop``, ``wait``, and only then
    drop the reference; never ``deleteLater``.

    Args:
        make_host: makes the host; called in the worker's thread, which alone uses the host.
        hears_events: subscribe to the host's events.
    """

    # QThread has signals "started" and "finished" of its own, which must not be shadowed.
    progressed = Signal(object, object)  # id, Progress; the first one, without phase: it has begun
    ended = Signal(object, object)  # id, Outcome | Reading
    noticed = Signal(object)  # HostEvent

    def __init__(self, make_host: Callable[[], Host], *, hears_events: bool = False) -> None:
        super().__init__()
        self._make_host = make_host
        self._hears_events = hears_events
        self._queue: SimpleQueue[_Entry | HostEvent | None] = SimpleQueue()  # None: wake up
        self._lock = threading.Lock()
        self._entries: dict[object, _Entry] = {}  # queued and begun, not ended
        self._is_stopping = False
        self._host: Host | None = None

    def submit(self, task_id: object, make_task: Callable[[Host], Task]) -> None:
        """Queue a task; any thread. After ``request_stop`` it is dropped."""
        entry = _Entry(task_id, make_task)
        with self._lock:
            if self._is_stopping:
                return
            self._entries[task_id] = entry
        self._queue.put(entry)

    def cancel(self, task_id: object) -> bool:
        """Cancel a task; any thread.

        Returns:
            True if it had not begun: nothing was touched, and no signal will come for it. Else
            False; a task that has begun is asked to stop, and ends as it can.
        """
        with self._lock:
            entry = self._entries.get(task_id)
            if entry is None:
                return False
            if not entry.has_begun:
                del self._entries[task_id]
                return True
            entry.is_cancelled = True
            task = entry.task
        if task is not None:
            task.request_cancel()
        return False

    def is_under_way(self, task_id: object) -> bool:
        """Whether a task has begun and not ended; any thread."""
        with self._lock:
            entry = self._entries.get(task_id)
            return entry is not None and entry.has_begun

    def post(self, event: HostEvent) -> None:
        """Take an event from the host; any thread, also one of libvirt's."""
        self._queue.put(event)

    def request_stop(self) -> None:
        """Cancel everything, close the host and end the thread; any thread, does not wait."""
        with self._lock:
            self._is_stopping = True
            tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
            for entry in self._entries.values():
                entry.is_cancelled = True
        for task in tasks:
            task.request_cancel()
        self._queue.put(None)

    def stop(self, patience_ms: int = 10_000) -> bool:
        """Request the stop and wait for it.

        Returns:
            Whether the thread has ended; it may hang in a call to a dead host. Then the worker
            must be kept: destroying a running thread aborts the process.
        """
        self.request_stop()
        return self.wait(patience_ms)

    def run(self) -> None:
        """Work until stopped; Qt calls this in the new thread."""
        begun: list[_Entry] = []
        while begun or not self._is_stopping:
            for entry in self._take(wait=not begun):
                self._begin(entry, begun)
            begun = [entry for entry in begun if not self._step(entry)]
        with self._lock:
            left = list(self._entries)
            self._entries.clear()
        for task_id in left:
            self.ended.emit(task_id, Cancelled())
        if self._host is not None:
            self._attempt(self._host.close)

    def _take(self, *, wait: bool) -> list[_Entry]:
        """Empty the queue; tell each event once, however often it came."""
        entries: list[_Entry] = []
        events: dict[HostEvent, None] = {}
        while wait or not self._queue.empty():
            wait = False
            match self._queue.get():
                case _Entry() as entry:
                    entries.append(entry)
                case None:
                    pass
                case event:
                    events[event] = None
        for event in events:
            self.noticed.emit(event)
        return entries

    def _begin(self, entry: _Entry, begun: list[_Entry]) -> None:
        with self._lock:
            if self._is_stopping or entry.id not in self._entries:
                return
            entry.has_begun = True
        self.progressed.emit(entry.id, Progress(""))
        made = self._attempt(lambda: entry.make_task(self._own_host()))
        if isinstance(made, Failed):
            self._end(entry, made)
            return
        with self._lock:
            entry.task = made
        if entry.is_cancelled:
            made.request_cancel()
        begun.append(entry)

    def _step(self, entry: _Entry) -> bool:
        """Do one step; return whether the task has ended."""
        assert entry.task is not None
        result = self._attempt(entry.task.step)
        if not isinstance(result, Progress):
            self._end(entry, result)
            return True
        now = time.monotonic()
        if result.phase != entry.phase or now - entry.told_at >= PROGRESS_SECONDS:
            entry.phase, entry.told_at = result.phase, now
            self.progressed.emit(entry.id, result)
        return False

    def _end(self, entry: _Entry, result: Outcome | Reading) -> None:
        with self._lock:
            del self._entries[entry.id]
        if isinstance(result, Failed):
            _let_go(result.error)
        self.ended.emit(entry.id, result)

    def _own_host(self) -> Host:
        """Return the host; it is made when first needed, so that a failure to make it is told."""
        if self._host is None:
            self._host = self._make_host()
            if self._hears_events:
                self._host.subscribe(self.post)
        return self._host

    def _attempt(self, act: Callable[[], T]) -> T | Failed:
        try:
            return act()
        except SnapviewError as error:
            return Failed(error)
        except Exception as error:
            logger.exception("A task failed in a way nobody foresaw.")
            return Failed(
                HostError(
                    "snapview met an error of its own.",
                    advice="The virtual machine is read again. Please report this with the log.",
                    detail=f"{type(error).__name__}: {error}",
                )
            )


def _let_go(error: SnapviewError) -> None:
    """Cut off the frames an error holds on to, before it leaves the thread.

    They keep libvirt's handles alive, which would then be freed, by a libvirt call, wherever the
    last reference goes: on the GUI thread.
    """
    logger.debug("A task failed.", exc_info=error)
    error.__traceback__ = error.__cause__ = error.__context__ = None
