"""Questions to a host, asked and answered on the GUI thread, read on a worker's."""

import itertools
from collections.abc import Callable
from typing import TypeVar, cast

from PySide6.QtCore import QObject, Signal, Slot

from snapview.core.errors import ConnectionLost, SnapviewError
from snapview.core.operations import Failed, Host
from snapview.worker import Reading, Worker, read

T = TypeVar("T")


class Asking(QObject):
    """Puts questions to a worker and hands each answer to whoever asked. GUI thread."""

    lost = Signal(object)  # ConnectionLost: a question could not be put to the host

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker
        self._numbers = itertools.count(1)
        self._answers: dict[int, Callable[[Reading | SnapviewError], None]] = {}
        worker.ended.connect(self._on_ended)

    def ask(
        self,
        question: Callable[[Host], T],
        then: Callable[[T], None],
        otherwise: Callable[[SnapviewError], None] | None = None,
    ) -> None:
        """Ask; ``then`` gets the answer, ``otherwise`` the error, later, on the GUI thread."""

        def answer(result: Reading | SnapviewError) -> None:
            if isinstance(result, Reading):
                then(cast("T", result.value))
            elif otherwise is not None:
                otherwise(result)

        number = next(self._numbers)
        self._answers[number] = answer
        self._worker.submit(number, read(question))

    def stop(self) -> None:
        """Forget all who wait for an answer."""
        self._answers.clear()
        self._worker.request_stop()

    @Slot(object, object)
    def _on_ended(self, number: object, result: object) -> None:
        answer = self._answers.pop(cast("int", number), None)
        if answer is None:
            return
        if isinstance(result, Failed):
            if isinstance(result.error, ConnectionLost):
                self.lost.emit(result.error)
            answer(result.error)
        elif isinstance(result, Reading):
            answer(result)
