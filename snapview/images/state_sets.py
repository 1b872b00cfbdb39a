"""Sets of states by number, and which set each host cluster belongs to. Exact for any number."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_NOBODY = -1


@dataclass
class StateSets:
    """Numbers sets of states, which are integers of any length whose bit n is state n."""

    _numbers: dict[int, int] = field(default_factory=dict)
    _masks: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._masks)

    def number(self, mask: int) -> int:
        """Return the number of a set; the same for equal sets."""
        found = self._numbers.get(mask)
        if found is None:
            found = self._numbers[mask] = len(self._masks)
            self._masks.append(mask)
        return found

    def mask(self, number: int) -> int:
        """Return the set of that number."""
        return self._masks[number]


@dataclass(frozen=True, slots=True)
class Owners:
    """Which host clusters belong to which set."""

    _sets: StateSets
    _owners: NDArray[np.int32]  # by cluster, or by place in ``_clusters``
    _clusters: NDArray[np.int64] | None

    def counts(self) -> dict[int, int]:
        """Return the number of clusters of each set that has any."""
        counts = np.bincount(self._owners + 1, minlength=1)[1:]
        return {
            self._sets.mask(number): int(counts[number])
            for number in np.flatnonzero(counts).tolist()
        }

    def count_owned(self, clusters: NDArray[np.int64]) -> int:
        """Return how many of these clusters belong to a set."""
        if self._clusters is None:
            inside = clusters[clusters < self._owners.size]
            return int(np.count_nonzero(self._owners[inside] != _NOBODY))
        return int(np.isin(clusters, self._clusters, assume_unique=True).sum())


def combine(clusters: NDArray[np.int64], sets: NDArray[np.int32], numbers: StateSets) -> Owners:
    """Return the owners of clusters, of which each may be recorded several times.

    A cluster belongs to the union of the sets that it is recorded with.
    """
    size = int(clusters.max()) + 1 if clusters.size else 0
    known = None
    if size > max(1 << 24, 8 * clusters.size):  # few clusters of a file that claims to be huge
        known, clusters = np.unique(clusters, return_inverse=True)
        size = known.size
    owners = np.full(size, _NOBODY, np.int32)
    owners[clusters] = sets  # the last one wins
    beaten = owners[clusters] != sets
    if beaten.any():
        disputed = np.zeros(size, np.bool_)
        disputed[clusters[beaten]] = True
        among = disputed[clusters]
        places, united = _united(clusters[among], sets[among], numbers)
        owners[places] = united
    return Owners(numbers, owners, known)


def _united(
    clusters: NDArray[np.int64], sets: NDArray[np.int32], numbers: StateSets
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return each cluster once, with the union of its sets; halves their number in each round."""
    while True:
        bits = len(numbers).bit_length()
        keys = np.sort(clusters << bits | sets)
        keys = keys[np.diff(keys, prepend=-1) != 0]
        clusters, sets = keys >> bits, (keys & ((1 << bits) - 1)).astype(np.int32)
        starts = np.diff(clusters, prepend=-1) != 0
        if starts.all():
            return clusters, sets
        first_of = np.flatnonzero(starts)
        rank = np.arange(clusters.size) - np.repeat(
            first_of, np.diff(first_of, append=clusters.size)
        )
        is_second = rank % 2 == 1
        second = np.flatnonzero(is_second)
        sets[second - 1] = _pair_unions(sets[second - 1], sets[second], numbers)
        clusters, sets = clusters[~is_second], sets[~is_second]


def _pair_unions(
    left: NDArray[np.int32], right: NDArray[np.int32], numbers: StateSets
) -> NDArray[np.int32]:
    width = len(numbers)
    pairs = left.astype(np.int64) * width + right
    wanted, which = np.unique(pairs, return_inverse=True)
    unions = np.array(_unions(wanted.tolist(), width, numbers), np.int32)
    chosen: NDArray[np.int32] = unions[which]
    return chosen


def _unions(pairs: list[int], width: int, numbers: StateSets) -> list[int]:
    return [
        numbers.number(numbers.mask(pair // width) | numbers.mask(pair % width)) for pair in pairs
    ]
