"""How fast a job is, from what it said of itself in the last seconds."""

from collections import deque

from snapview.core.operations import Progress

WINDOW_SECONDS = 8.0
LEAST_SECONDS = 1.0  # before that a speed would be a guess


class Pace:
    """Remembers how far one job was lately. Moments are ``time.monotonic()``."""

    def __init__(self) -> None:
        self._phase = ""
        self._total_bytes: int | None = None
        self._samples: deque[tuple[float, int]] = deque()

    def note(self, progress: Progress, now: float) -> None:
        """Note how far the job is. Another phase, or less than before, is a new beginning."""
        is_other = (progress.phase, progress.total_bytes) != (self._phase, self._total_bytes)
        if is_other or (self._samples and progress.done_bytes < self._samples[-1][1]):
            self._samples.clear()
        self._phase, self._total_bytes = progress.phase, progress.total_bytes
        self._samples.append((now, progress.done_bytes))
        while len(self._samples) > 2 and now - self._samples[1][0] >= WINDOW_SECONDS:
            self._samples.popleft()

    def bytes_per_second(self, now: float) -> float | None:
        """Return the speed of the last seconds; None: not known yet."""
        if not self._samples or self._total_bytes is None:
            return None
        start, done_at_start = self._samples[0]
        if now - start < LEAST_SECONDS or self._samples[-1][0] <= start:
            return None
        return (self._samples[-1][1] - done_at_start) / (now - start)

    def seconds_left(self, now: float) -> float | None:
        """Return how long the rest takes at this speed; None: not known."""
        speed = self.bytes_per_second(now)
        if not speed or self._total_bytes is None:
            return None
        return (self._total_bytes - self._samples[-1][1]) / speed
