"""Stretches of a disk as sorted arrays, and what sets can do with each other."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Extents:
    """Stretches of bytes, ascending, that neither overlap nor touch."""

    starts: Positions
    ends: Positions  # past the last byte

    @classmethod
    def of(cls, starts: Positions, ends: Positions) -> "Extents":
        """Return the union of stretches in any order, empty ones left out."""
        used = ends > starts
        starts, ends = starts[used], ends[used]
        if starts.size and not (starts[1:] > ends[:-1]).all():
            order = np.argsort(starts, kind="stable")
            starts, reach = starts[order], np.maximum.accumulate(ends[order])
            begins = np.append(True, starts[1:] > reach[:-1])
            starts, ends = starts[begins], reach[np.append(begins[1:], True)]
        return cls(starts.astype(np.int64), ends.astype(np.int64))

    @classmethod
    def whole(cls, size_bytes: int) -> "Extents":
        """Return all bytes up to a size."""
        return cls.of(np.zeros(1, np.int64), np.array([size_bytes], np.int64))

    @property
    def total_bytes(self) -> int:
        """How many bytes they are."""
        return int((self.ends - self.starts).sum())

    def union(self, *others: "Extents") -> "Extents":
        """Return what is in any of them."""
        every = (self, *others)
        return Extents.of(
            np.concatenate([each.starts for each in every]),
            np.concatenate([each.ends for each in every]),
        )

    def without(self, other: "Extents") -> "Extents":
        """Return what is here, but not there."""
        return self._where(other, 1)

    def common(self, other: "Extents") -> "Extents":
        """Return what is in both."""
        return self._where(other, 3)

    def hull(self, grain_bytes: int) -> "Extents":
        """Return all blocks of that size that these stretches touch."""
        return Extents.of(
            self.starts // grain_bytes * grain_bytes, -(-self.ends // grain_bytes) * grain_bytes
        )

    def within(self, size_bytes: int) -> "Extents":
        """Return what lies before that size."""
        return Extents.of(self.starts, np.minimum(self.ends, size_bytes))

    def _where(self, other: "Extents", wanted: int) -> "Extents":
        positions = np.concatenate([self.starts, self.ends, other.starts, other.ends])
        mine, theirs = self.starts.size, other.starts.size
        steps = np.repeat(np.array([1, -1, 2, -2], np.int8), [mine, mine, theirs, theirs])
        order = np.argsort(positions, kind="stable")
        positions, inside = positions[order], np.cumsum(steps[order])
        # Of steps at one place, the sum after the last one holds.
        found = np.flatnonzero(inside[:-1] == wanted) if inside.size else inside
        return Extents.of(positions[found], positions[found + 1])


NOTHING = Extents(np.empty(0, np.int64), np.empty(0, np.int64))


def union_of(every: Iterable[Extents]) -> Extents:
    """Return what is in any of them."""
    return NOTHING.union(*every)
