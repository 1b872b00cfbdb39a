"""Sets of states by number, and which set each host cluster belongs to. Exact for any number."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snapview.images.source import BadImage

_MOST_CLUSTERS = 1 << 28
_MOST_DISPUTED = 1 << 21
_CHUNK = 1 << 20


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


class Owners:
    """Which host clusters belong to which set: to the union of all it was added with.

    Takes memory by what is in use, not by how large a file claims to be.
    """

    def __init__(self, sets: StateSets) -> None:
        self._sets = sets
        self._owners = np.zeros(0, np.int32)  # by cluster: a set's number and 1; 0: nobody's
        self._disputed: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []
        self._disputed_count = 0

    def add(self, clusters: NDArray[np.int64], sets: NDArray[np.int32]) -> None:
        """Have clusters belong to sets, too.

        Raises:
            BadImage: there cannot be that many clusters.
        """
        if not clusters.size:
            return
        self._reach(int(clusters.max()) + 1)
        numbers = sets + np.int32(1)
        before = self._owners[clusters]
        taken = before != 0
        if taken.any():
            others = taken & (before != numbers)
            self._dispute(clusters[others], sets[others])
            clusters, numbers = clusters[~taken], numbers[~taken]
        self._owners[clusters] = numbers  # of those added twice, the last one wins
        beaten = self._owners[clusters] != numbers
        if beaten.any():
            self._dispute(clusters[beaten], numbers[beaten] - np.int32(1))

    def counts(self) -> dict[int, int]:
        """Return the number of clusters of each set that has any."""
        self._settle()
        counts = np.zeros(len(self._sets) + 1, np.int64)
        for first in range(0, self._owners.size, _CHUNK):
            counts += np.bincount(self._owners[first : first + _CHUNK], minlength=counts.size)
        return {
            self._sets.mask(number - 1): int(counts[number])
            for number in np.flatnonzero(counts).tolist()
            if number
        }

    def count_owned(self, clusters: NDArray[np.int64]) -> int:
        """Return how many of these clusters belong to a set."""
        return int(np.count_nonzero(self._owners[clusters[clusters < self._owners.size]]))

    def _reach(self, size: int) -> None:
        if size <= self._owners.size:
            return
        if size > _MOST_CLUSTERS:
            raise BadImage(f"The image claims {size} clusters, more than can be counted.")
        # The system gives no memory for zeros until they are written to.
        owners = np.zeros(min(max(size, 2 * self._owners.size), _MOST_CLUSTERS), np.int32)
        owners[: self._owners.size] = self._owners
        self._owners = owners

    def _dispute(self, clusters: NDArray[np.int64], sets: NDArray[np.int32]) -> None:
        self._disputed.append((clusters, sets))
        self._disputed_count += clusters.size
        if self._disputed_count > _MOST_DISPUTED:
            self._settle()

    def _settle(self) -> None:
        """Give the disputed clusters to the unions of their sets."""
        if not self._disputed_count:
            return
        clusters = np.concatenate([clusters for clusters, _ in self._disputed])
        sets = np.concatenate([sets for _, sets in self._disputed])
        self._disputed.clear()
        self._disputed_count = 0
        holders = self._owners[clusters] - np.int32(1)
        clusters, sets = _united(
            np.concatenate([clusters, clusters]), np.concatenate([sets, holders]), self._sets
        )
        self._owners[clusters] = sets + np.int32(1)


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
