"""Times what snapview does against a floor: turn by turn in one run, so that ratios mean something.

A machine that is busy with other things slows both sides; the ratio of each round is formed from
neighbours in time, and the median of these ratios counts.
"""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


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
    """Two things timed alternately; each returns the seconds it took."""

    floor: Callable[[], float]
    ours: Callable[[], float]
    floor_seconds: list[float] = field(default_factory=list)
    our_seconds: list[float] = field(default_factory=list)

    def round(self) -> None:
        """Time both once; who begins changes from round to round."""
        if len(self.floor_seconds) % 2:
            self.our_seconds.append(self.ours())
            self.floor_seconds.append(self.floor())
        else:
            self.floor_seconds.append(self.floor())
            self.our_seconds.append(self.ours())

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
        return (
            f"{spread(self.ratios, '×', 2)} of the floor; "
            f"ours {spread(self.our_seconds, 's', 3)}, floor {spread(self.floor_seconds, 's', 3)}"
        )


def spread(values: Sequence[float], unit: str, digits: int) -> str:
    """Return the median with the least and the largest value."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} {unit} ({low:.{digits}f} … {high:.{digits}f})"
