"""The thread that runs libvirt's event loop. Does not import libvirt: it is given the module."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WAKE_MS = 1000  # how often libvirt's event loop looks around when nothing happens
LONGEST_PAUSE_SECONDS = 1.0


class EventLoop:
    """Runs libvirt's event loop, which a process has one of, while any connection is open.

    Args:
        api: the libvirt module.
    """

    def __init__(self, api: Any) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._users = 0
        self._is_registered = False
        self._thread: threading.Thread | None = None
        self._ending: threading.Thread | None = None  # the loop must not run twice at a time
        self._wake = -1
        self._pauses = 0
        self._may_run = threading.Event()
        self._may_run.set()

    def acquire(self) -> None:
        """Have the loop run; before a connection is opened."""
        with self._lock:
            self._users += 1
            if self._thread is not None:
                return
            if not self._is_registered:
                self._api.virEventRegisterDefaultImpl()
                self._api.registerErrorHandler(lambda *_: None, None)  # it prints to stderr
                self._is_registered = True
            self._wake = self._api.virEventAddTimeout(WAKE_MS, lambda *_: None, None)
            self._thread = threading.Thread(
                target=self._run, args=(self._ending,), name="libvirt-events", daemon=True
            )
            self._thread.start()

    def release(self) -> None:
        """Let the loop end when nobody else needs it."""
        with self._lock:
            self._users -= 1
            if self._users or self._thread is None:
                return
            thread, wake = self._thread, self._wake  # another thread may acquire meanwhile
            self._thread, self._ending = None, thread
            self._may_run.set()
            self._api.virEventUpdateTimeout(wake, 0)
        if thread is not threading.current_thread():
            thread.join()
        self._api.virEventRemoveTimeout(wake)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the loop stand still, for ``LONGEST_PAUSE_SECONDS`` at a time at most.

        Each call on a connection wakes the loop twice, to take its socket away and to give it
        back, and each time it competes for Python's lock: thousands of calls in a row take half
        as long without it. Whoever waits for an answer sees to the connection's keepalive himself.
        """
        self._pause(1)
        try:
            yield
        finally:
            self._pause(-1)

    def _pause(self, change: int) -> None:
        with self._lock:
            self._pauses += change
            if self._pauses:
                self._may_run.clear()
            else:
                self._may_run.set()
            if self._thread is not None:
                self._api.virEventUpdateTimeout(self._wake, 0 if self._pauses else WAKE_MS)

    def _run(self, ending: threading.Thread | None) -> None:
        if ending is not None:
            ending.join()
        while self._thread is threading.current_thread():
            self._api.virEventRunDefaultImpl()
            # Not for ever: a call may hang on one host while the keepalive of another is due.
            self._may_run.wait(LONGEST_PAUSE_SECONDS)
