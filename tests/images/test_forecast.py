"""What a plan costs, against worlds of files in which every cluster is counted."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapview.core.moves import CommitImages, DeleteByLibvirt, RemoveFile
from snapview.core.operations import Consolidate, DeleteSnapshot, MergeBy
from snapview.core.planning import Plan, plan
from snapview.core.vm import DiskLayer
from snapview.images.directory import Snapshot
from snapview.images.extents import Extents
from snapview.images.forecast import Contents, Forecast, forecast
from snapview.images.header import Span
from snapview.images.layers import Layer
from snapview.images.usage import Usage
from tests.core.planning.stories import BY_HAND, MIXED, OTHERS, PLAIN, worlds
from tests.core.planning.worlds import CLUSTER, CLUSTERS, HEADER, MEMORY, FileWorld, Image

STORIES = {"plain": PLAIN, "others": OTHERS, "mixed": MIXED, "by hand": BY_HAND}


def extents(clusters: set[int]) -> Extents:
    starts = np.array(sorted(clusters), np.int64) * CLUSTER
    return Extents.of(starts, starts + CLUSTER)


def layer(image: Image) -> Layer:
    """A file of the world; what a state inside it needs cannot be written in place."""
    held = {(c, v) for inner in image.inner.values() for c, v in inner.items()}
    return Layer(
        size_bytes=CLUSTERS * CLUSTER,
        data=extents(set(image.clusters)),
        writable=extents({c for c, v in image.clusters.items() if (c, v) not in held}),
        cluster_bytes=CLUSTER,
        file_bytes=image.allocation,
    )


def usage(image: Image) -> Usage:
    states = [image.clusters, *image.inner.values()]
    shares: dict[int, int] = {}
    for each in {(c, v) for state in states for c, v in state.items()}:
        mask = sum(1 << n for n, state in enumerate(states) if state.get(each[0]) == each[1])
        shares[mask] = shares.get(mask, 0) + CLUSTER
    then = datetime(2026, 1, 1, tzinfo=UTC)
    snapshots = tuple(
        Snapshot(str(n), name, then, 0, CLUSTERS * CLUSTER, 0, Span(0, 0), 0)
        for n, name in enumerate(image.inner)
    )
    return Usage(
        cluster_bytes=CLUSTER,
        snapshots=snapshots,
        shares=shares,
        metadata_bytes=HEADER,
        bitmap_bytes=0,
        memory_bytes=(0,) * len(snapshots),
        allocated_bytes=None,
        leaked_bytes=None,
        uncounted_bytes=None,
        _entry_bytes=(0,) * len(snapshots),
    )


def contents(world: FileWorld) -> Contents:
    return Contents(
        {path: layer(image) for path, image in world.images.items()},
        {path: usage(image) for path, image in world.images.items() if image.inner},
        dict.fromkeys(world.memory, MEMORY),
    )


def carried_out(world: FileWorld, planned: Plan) -> Forecast:
    """What it really costs."""
    copied, before = world.copied, world.allocation()
    peak = before
    for move in planned.moves:
        world.do(move)
        peak = max(peak, world.allocation())
    return Forecast(world.copied - copied, peak - before, before - world.allocation())


@pytest.mark.parametrize("story", STORIES)
@settings(max_examples=60, deadline=None)
@given(data=st.data(), merge_by=st.sampled_from(MergeBy), merges=st.booleans())
def test_it_costs_what_was_forecast(
    story: str, data: st.DataObject, merge_by: MergeBy, merges: bool
) -> None:
    world = data.draw(worlds(STORIES[story]))
    vm = world.vm()
    operation: Consolidate | DeleteSnapshot = Consolidate(vm.uuid, merge_by=merge_by)
    if not merges and world.records:
        names = data.draw(st.lists(st.sampled_from(sorted(world.records)), min_size=1, unique=True))
        operation = DeleteSnapshot(vm.uuid, tuple(names), merge_by=merge_by)
    planned = plan(vm, operation)
    if not isinstance(planned, Plan):
        return
    said = forecast(planned.moves, contents(world))
    found = carried_out(world, planned)
    assert said.copied_bytes == found.copied_bytes
    if said.freed_bytes is None:  # a state inside an image goes, and is merged over besides
        assert any(isinstance(move, DeleteByLibvirt) for move in planned.moves)
        return
    assert (said.freed_bytes, said.extra_bytes) == (found.freed_bytes, found.extra_bytes)


UPPER, LOWER = DiskLayer("/i/upper", "qcow2"), DiskLayer("/i/lower", "qcow2")
MERGE = (CommitImages("vda", UPPER.path, LOWER.path, (UPPER, LOWER), True), RemoveFile(UPPER.path))


def test_what_is_not_known_is_unknown_and_never_nothing() -> None:
    one = Layer(CLUSTER, extents({0}), cluster_bytes=CLUSTER, file_bytes=CLUSTER)
    assert forecast(MERGE, Contents({})) == Forecast(None, None, None)
    assert forecast(MERGE, Contents({UPPER.path: one})) == Forecast(None, None, None)
    assert forecast([RemoveFile("/i/some.mem")], Contents({})) == Forecast(0, None, None)
    assert forecast([DeleteByLibvirt("one")], Contents({LOWER.path: one})).freed_bytes is None
    nameless = Layer(CLUSTER, extents({0}), cluster_bytes=CLUSTER)
    said = forecast(MERGE, Contents({UPPER.path: nameless, LOWER.path: one}))
    assert said == Forecast(CLUSTER, None, None)


def test_nothing_to_do_costs_nothing() -> None:
    assert forecast([], Contents({})) == Forecast(0, 0, 0)
