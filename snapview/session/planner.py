"""Plans worked out beside the GUI thread: for thousands of snapshots that takes a while.

Hides that a short plan is waited for, so that nothing flickers, while nobody waits for a long one.
"""

import itertools
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QObject, Signal, Slot

from snapview.core.operations import Operation
from snapview.core.planning import Plan, Refusal, plan
from snapview.core.vm import Vm

Answer = Callable[[Plan | Refusal], object]
TakeBack = Callable[[], object]
# Asks what an operation would do. The answer comes on the same thread, at once or later; the
# function that is returned takes the question back, so that none comes any more.
AskPlan = Callable[[Vm, Operation, Answer], TakeBack]

PATIENCE_SECONDS = 0.015  # a frame


def plan_at_once(vm: Vm, operation: Operation, then: Answer) -> TakeBack:
    """Plan right here; for whoever has the time."""
    then(plan(vm, operation))
    return _nothing


@dataclass(slots=True)
class _Question:
    """What is being worked out, and who wants to know. The thread that works never sees it."""

    made: Future[Plan | Refusal]
    then: Answer


class Planner(QObject):
    """Works out plans, one after the other, on a thread of its own. GUI thread.

    Args:
        patience_seconds: how long one is waited for at most, when no other is being worked out.
        parent: as Qt has it.
    """

    _worked_out = Signal(int)  # number of the question

    def __init__(
        self, patience_seconds: float = PATIENCE_SECONDS, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._patience_seconds = patience_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="snapview-plans")
        self._numbers = itertools.count(1)
        self._questions: dict[int, _Question] = {}
        self._is_closed = False
        self._worked_out.connect(self._on_worked_out)

    def ask(self, vm: Vm, operation: Operation, then: Answer) -> TakeBack:
        """Have a plan worked out, and ``then`` called with it: at once if it is a short one.

        Returns:
            What takes the question back, at any time; ``then`` is not called any more.
        """
        if self._is_closed:
            return _nothing
        made = self._thread.submit(plan, vm, operation)
        if not self._questions:
            try:
                answer = made.result(self._patience_seconds)
            except TimeoutError:
                pass
            else:
                then(answer)
                return _nothing
        number = next(self._numbers)
        self._questions[number] = _Question(made, then)
        made.add_done_callback(partial(self._tell, number))
        return partial(self._take_back, number)

    def close(self) -> None:
        """Answer nothing any more. Does not wait for what is being worked out. Idempotent."""
        self._is_closed = True
        self._questions.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _tell(self, number: int, _made: object) -> None:
        """Pass on that a plan is there; on the thread that works, or on this one."""
        if not self._is_closed:
            self._worked_out.emit(number)

    @Slot(int)
    def _on_worked_out(self, number: int) -> None:
        question = self._questions.pop(number, None)
        if question is None:
            return
        try:
            answer = question.made.result()
        except CancelledError:
            return
        question.then(answer)

    def _take_back(self, number: int) -> None:
        question = self._questions.pop(number, None)
        if question is not None:
            question.made.cancel()


def _nothing() -> None:
    """Take nothing back: the answer was given."""
