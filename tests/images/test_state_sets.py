"""Which set each cluster belongs to, against Python's own dictionaries."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snapview.images.state_sets import StateSets, combine


def test_equal_sets_have_one_number() -> None:
    sets = StateSets()
    large = 1 << 300 | 5
    first = sets.number(large)
    assert sets.number(3) != first
    assert sets.number(1 << 300 | 5) == first
    assert sets.mask(first) == large
    assert len(sets) == 2


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.sets(st.integers(0, 90), min_size=1)), max_size=60),
    st.sampled_from([1, 1 << 21, 1 << 40]),
)
def test_a_cluster_belongs_to_the_union(records: list[tuple[int, set[int]]], apart: int) -> None:
    sets = StateSets()
    masks = [sum(1 << state for state in states) for _, states in records]
    clusters = np.array([cluster * apart for cluster, _ in records], np.int64)
    numbers = np.array([sets.number(mask) for mask in masks], np.int32)
    truth: dict[int, int] = {}
    for cluster, mask in zip(clusters.tolist(), masks, strict=True):
        truth[cluster] = truth.get(cluster, 0) | mask
    owners = combine(clusters, numbers, sets)
    counts: dict[int, int] = {}
    for mask in truth.values():
        counts[mask] = counts.get(mask, 0) + 1
    assert owners.counts() == counts
    asked = np.arange(20, dtype=np.int64) * apart
    assert owners.count_owned(asked) == sum(cluster in truth for cluster in asked.tolist())


def test_a_cluster_that_very_many_need() -> None:
    sets = StateSets()
    numbers = np.array([sets.number(1 << n) for n in range(3000)], np.int32)
    owners = combine(np.full(3000, 7, np.int64), numbers, sets)
    assert owners.counts() == {(1 << 3000) - 1: 1}
