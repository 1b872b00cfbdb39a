"""Jobs as generators: each ``yield`` is a point where progress shows and a cancel is noticed."""

import logging
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass

from snapview.core.errors import SnapviewError
from snapview.core.operations import Actual, Cancelled, Done, Failed, Job, Outcome, Progress


@dataclass(frozen=True, slots=True)
class Ended:
    """How steps came to their end; a failure is raised instead."""

    created: str | None = None
    actual: Actual | None = None
    remarks: tuple[str, ...] = ()
    is_cancelled: bool = False


Steps = Generator[Progress, None, Ended]
"""Yields before each piece of work, and during long ones."""

_log = logging.getLogger(__name__)


class SteppedJob:
    """Runs steps until they end or fail.

    A cancel is the steps' own business, because stopping may need work: they are given an event
    that is set, wait on it instead of a clock, and end when it is safe. What was done stays done,
    so every outcome names the VM as changed, also a failure.

    Args:
        vm_uuid: the VM that the steps change.
        begin: makes the steps; nothing may happen before the first is asked for.
    """

    def __init__(self, vm_uuid: str, begin: Callable[[threading.Event], Steps]) -> None:
        self._changed = frozenset({vm_uuid})
        self._cancel = threading.Event()
        self._steps = begin(self._cancel)
        self._has_begun = False

    def step(self) -> Progress | Outcome:
        """Do the next piece of work. Worker thread; may block."""
        if self._cancel.is_set() and not self._has_begun:
            self._steps.close()
            return Cancelled(self._changed)
        self._has_begun = True
        try:
            return next(self._steps)
        except StopIteration as end:
            ended: Ended = end.value
        except SnapviewError as error:
            _log.info("job failed: %s (%s)", error.message, error.detail)
            return Failed(error, self._changed)
        if ended.is_cancelled:
            return Cancelled(self._changed, ended.remarks)
        return Done(self._changed, ended.created, ended.actual, ended.remarks)

    def request_cancel(self) -> None:
        """Ask to stop as soon as it is safe. Any thread."""
        self._cancel.set()


def run(job: Job, report: Callable[[Progress], None]) -> Outcome:
    """Step a job to its outcome, reporting each progress. For callers without a worker."""
    while True:
        result = job.step()
        if not isinstance(result, Progress):
            return result
        report(result)
