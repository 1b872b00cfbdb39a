"""Times what snapview does against a floor: turn by turn in one run, so that ratios mean something.

The ratio of each round is formed from neighbours in time, and the median of these ratios counts.
Other programs take the second processor away from whoever uses two, so only rounds count in which
the machine was nearly ours.
"""

import gc
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MOST_FOREIGN = 0.15


def seconds_of(act: Callable[[], object]) -> float:
    """Run it once and return the seconds it took, without garbage collection.

    The session's workers never collect, and the rest of a test run's garbage is not theirs.
    """
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        act()
        return time.perf_counter() - start
    finally:
        gc.enable()


@dataclass
class Duel:
    """Two things timed alternately; each returns the seconds it took.

    ``pids`` are the processes that work for either, besides this one; ``most_foreign`` is the share
    of all processors that other programs may take in a round that counts.
    """

    floor: Callable[[], float]
    ours: Callable[[], float]
    pids: tuple[int, ...] = ()
    most_foreign: float = MOST_FOREIGN
    floor_seconds: list[float] = field(default_factory=list)
    our_seconds: list[float] = field(default_factory=list)
    busy_rounds: int = 0

    def run(self, rounds: int) -> None:
        """Time both until so many rounds count, or too many did not."""
        while len(self.our_seconds) < rounds and self.busy_rounds < 4 * rounds:
            self._round()

    def _round(self) -> None:
        """Time both once; who begins changes from round to round."""
        start, busy, own = time.perf_counter(), _busy_ticks(), self._own_ticks()
        if len(self.our_seconds) % 2:
            ours, floor = self.ours(), self.floor()
        else:
            floor, ours = self.floor(), self.ours()
        foreign = _busy_ticks() - busy - (self._own_ticks() - own)
        seconds = time.perf_counter() - start
        ticks = seconds * os.sysconf("SC_CLK_TCK") * (os.cpu_count() or 1)
        if foreign > self.most_foreign * ticks:
            self.busy_rounds += 1
            return
        self.floor_seconds.append(floor)
        self.our_seconds.append(ours)

    def _own_ticks(self) -> int:
        return sum(_process_ticks(pid) for pid in (os.getpid(), *self.pids))

    @property
    def ratios(self) -> list[float]:
        """Ours by the floor, per round."""
        return [
            ours / floor for ours, floor in zip(self.our_seconds, self.floor_seconds, strict=True)
        ]

    @property
    def ratio(self) -> float:
        """The median ratio."""
        return statistics.median(self.ratios)

    def __str__(self) -> str:
        left_out = f"{self.busy_rounds} left out because other programs were busy"
        if not self.our_seconds:
            return f"no figure: {left_out}"
        return (
            f"{spread(self.ratios, '×', 2)} of the floor; "
            f"ours {spread(self.our_seconds, 's', 3)}, floor {spread(self.floor_seconds, 's', 3)}; "
            f"{len(self.our_seconds)} rounds, {left_out}"
        )


def _busy_ticks() -> int:
    """Return what all processors have worked since the machine started."""
    words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    user, nice, system, _idle, _wait, hard, soft, stolen = map(int, words[1:9])
    return user + nice + system + hard + soft + stolen


def _process_ticks(pid: int) -> int:
    """Return what a process and those it started and outlived have worked."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, words[11:15]))


def spread(values: Sequence[float], unit: str, digits: int) -> str:
    """Return the median with the least and the largest value."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} {unit} ({low:.{digits}f} … {high:.{digits}f})"
