"""Reads that never stack: at most one of a kind is under way."""

from collections.abc import Callable

Callback = Callable[[], None]


class Repeated:
    """One kind of read. Wanted again while it is under way, it is done once more afterwards.

    So whoever wants it is served by a read that began after the wish.

    Args:
        start: begins the read; its answer calls ``settle``.
    """

    def __init__(self, start: Callback) -> None:
        self._start = start
        self._served: list[Callback] = []  # by the read under way
        self._waiting: list[Callback] = []  # for the next one
        self._again = False
        self.is_busy = False

    def want(self, then: Callback | None = None) -> None:
        """Ask for the read; ``then`` is called when one that begins from now on has ended."""
        callbacks = self._waiting if self.is_busy else self._served
        if then is not None:
            callbacks.append(then)
        if self.is_busy:
            self._again = True
        else:
            self.is_busy = True
            self._start()

    def settle(self) -> None:
        """Say that the read has ended, well or not."""
        served, self._served, self._waiting = self._served, self._waiting, []
        self.is_busy, self._again = self._again, False
        if self.is_busy:
            self._start()
        for then in served:
            then()
