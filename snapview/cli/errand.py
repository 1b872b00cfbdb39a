"""Calls carried out on a thread of their own, so that Ctrl-C works while libvirt blocks.

A Python signal handler cannot run while the main thread is inside a C call, and some of
libvirt's calls take minutes. Hides the threads; they are daemons, so that giving up is possible.
"""

import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from types import FrameType
from typing import Generic, ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")

_TICK_SECONDS = 0.1


class GaveUp(KeyboardInterrupt):
    """Ctrl-C was pressed twice: what changes something goes on without us."""


class Errand(Generic[Result]):
    """Start ``work`` at once on another thread; ask for its result from this one."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._future: Future[Result] = Future()
        threading.Thread(target=self._run, args=(work,), name="errand", daemon=True).start()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the end; return whether it has come."""
        return bool(wait((self._future,), timeout_seconds).done)

    def result(self) -> Result:
        """Wait for the end and return, or raise, what came of it."""
        # Not for ever at a time: the system may hand Ctrl-C to another thread, and Python then
        # runs the handler only when this one gets to its next instruction.
        while not self.wait(_TICK_SECONDS):
            pass
        return self._future.result()

    def _run(self, work: Callable[[], Result]) -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - carried to the waiting thread, raised there
            self._future.set_exception(error)
        else:
            self._future.set_result(result)


def interruptible(
    work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> Result:
    """Call ``work``, which only reads, so that Ctrl-C ends the waiting at once."""
    return Errand(lambda: work(*args, **kwargs)).result()


def cancellable(
    work: Callable[[], Result],
    *,
    cancel: Callable[[], None],
    tick: Callable[[], None] = lambda: None,
) -> Result:
    """Call ``work``, which changes things; the first Ctrl-C asks it to stop, and it is awaited.

    Args:
        work: done on another thread.
        cancel: called once, from this thread, at the first Ctrl-C; must not block.
        tick: called ten times a second meanwhile, from this thread; must not block.

    Raises:
        GaveUp: Ctrl-C was pressed twice; ``work`` goes on alone.
    """
    with _Interrupts() as interrupts:  # before the work begins: none may be lost or raised in it
        errand = Errand(work)
        is_cancelled = False
        while not errand.wait(_TICK_SECONDS):
            if interrupts.count and not is_cancelled:
                is_cancelled = True
                cancel()
            if interrupts.count > 1:
                raise GaveUp
            tick()
    return errand.result()


class _Interrupts:
    """Counts Ctrl-C, instead of having it raised at whatever line is reached just then."""

    def __init__(self) -> None:
        self.count = 0
        self._previous = signal.getsignal(signal.SIGINT)

    def __enter__(self) -> "_Interrupts":
        if self._previous is not signal.SIG_IGN:  # nohup and the like keep ignoring it
            signal.signal(signal.SIGINT, self._on_interrupt)
        return self

    def __exit__(self, *_error: object) -> None:
        signal.signal(signal.SIGINT, self._previous or signal.default_int_handler)

    def _on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
