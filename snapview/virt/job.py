"""Jobs as generators: each ``yield`` is a safe point where progress shows and cancel works."""

import logging
import threading
from collections.abc import Callable, Generator

from snapview.core.errors import Conflict, SnapviewError
from snapview.core.operations import Cancelled, Done, Failed, Job, Outcome, Progress

Steps = Generator[Progress, None, str | None]
"""Yields before each piece of work; returns the name of the snapshot created, if any."""

_log = logging.getLogger(__name__)


class SteppedJob:
    """Runs steps until they end, fail, or are cancelled between two of them.

    What was done stays done, so every outcome names the VM as changed, also a failure.
    """

    def __init__(self, vm_uuid: str, steps: Steps) -> None:
        self._changed = frozenset({vm_uuid})
        self._steps = steps
        self._cancel = threading.Event()

    def step(self) -> Progress | Outcome:
        """Do the next piece of work. Worker thread; may block."""
        if self._cancel.is_set():
            self._steps.close()
            return Cancelled(self._changed)
        try:
            return next(self._steps)
        except StopIteration as end:
            return Done(self._changed, end.value)
        except SnapviewError as error:
            if self._cancel.is_set() and isinstance(error, Conflict):  # libvirt aborted the job
                return Cancelled(self._changed)
            _log.info("job failed: %s (%s)", error.message, error.detail)
            return Failed(error, self._changed)

    def request_cancel(self) -> None:
        """Stop before the next piece of work. Any thread."""
        self._cancel.set()


def run(job: Job, report: Callable[[Progress], None]) -> Outcome:
    """Step a job to its outcome, reporting each progress. For callers without a worker."""
    while True:
        result = job.step()
        if not isinstance(result, Progress):
            return result
        report(result)
