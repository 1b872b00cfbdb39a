"""One call carried out on a thread of its own, so that Ctrl-C works while libvirt blocks.

A Python signal handler cannot run while the main thread is inside a C call, and some of
libvirt's calls take minutes. Hides the thread; it is a daemon, so that giving up is possible.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Errand(Generic[Result]):
    """Start ``work`` at once on another thread; ask for its result from this one."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._future: Future[Result] = Future()
        threading.Thread(target=self._run, args=(work,), name="errand", daemon=True).start()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the end; return whether it has come.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed meanwhile; the errand goes on.
        """
        return bool(wait((self._future,), timeout_seconds).done)

    def result(self) -> Result:
        """Wait for the end and return, or raise, what came of it."""
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
    """Call ``work`` so that Ctrl-C ends the waiting at once."""
    return Errand(lambda: work(*args, **kwargs)).result()
