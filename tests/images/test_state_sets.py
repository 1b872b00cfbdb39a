"""Which set each cluster belongs to, against Python's own dictionaries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapview.images.source import BadImage
from snapview.images.state_sets import Owners, StateSets


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
    st.sampled_from([1, 1 << 21]),
    st.integers(1, 70),
)
def test_a_cluster_belongs_to_the_union(
    records: list[tuple[int, set[int]]], apart: int, step: int
) -> None:
    sets = StateSets()
    masks = [sum(1 << state for state in states) for _, states in records]
    clusters = np.array([cluster * apart for cluster, _ in records], np.int64)
    numbers = np.array([sets.number(mask) for mask in masks], np.int32)
    truth: dict[int, int] = {}
    for cluster, mask in zip(clusters.tolist(), masks, strict=True):
        truth[cluster] = truth.get(cluster, 0) | mask
    owners = Owners(sets)
    for first in range(0, len(records), step):
        owners.add(clusters[first : first + step], numbers[first : first + step])
    counts: dict[int, int] = {}
    for mask in truth.values():
        counts[mask] = counts.get(mask, 0) + 1
    assert owners.counts() == counts
    asked = np.arange(20, dtype=np.int64) * apart
    assert owners.count_owned(asked) == sum(cluster in truth for cluster in asked.tolist())


def test_a_cluster_that_very_many_need() -> None:
    sets = StateSets()
    numbers = np.array([sets.number(1 << n) for n in range(3000)], np.int32)
    owners = Owners(sets)
    owners.add(np.full(3000, 7, np.int64), numbers)
    assert owners.counts() == {(1 << 3000) - 1: 1}


def test_more_clusters_than_can_be_are_refused() -> None:
    sets = StateSets()
    numbers = np.array([sets.number(1)], np.int32)
    with pytest.raises(BadImage, match="counted"):
        Owners(sets).add(np.array([1 << 40], np.int64), numbers)
