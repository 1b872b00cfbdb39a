"""Rows and lanes of any tree: every node once, every edge drawn whole, nothing crossed out."""

import itertools
import math
import random
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from snapview.core.layout import Line, TreeLayout, layout_tree
from snapview.core.vm import Snapshot, SnapshotTree

START = datetime(2026, 1, 1, tzinfo=UTC)


def tree_of(parents: dict[str, str | None], current: str | None = None) -> SnapshotTree:
    return SnapshotTree(
        (
            Snapshot(name=name, parent=parent, created_at=START + timedelta(hours=number))
            for number, (name, parent) in enumerate(parents.items())
        ),
        current,
    )


@st.composite
def trees(draw: st.DrawFn) -> SnapshotTree:
    """Any tree: missing parents, cycles, equal times, odd names."""
    size = draw(st.integers(0, 40))
    alphabet = st.text(min_size=1, max_size=3)
    names = draw(st.lists(alphabet, min_size=size, max_size=size, unique=True))
    pool = [None, *names, "\0missing"]
    snapshots = [
        Snapshot(
            name=name,
            parent=draw(st.sampled_from(pool)),
            created_at=START + timedelta(hours=draw(st.integers(0, 3))),
        )
        for name in names
    ]
    return SnapshotTree(snapshots, draw(st.sampled_from(pool)))


def names_of(layout: TreeLayout) -> list[str | None]:
    return [row.name for row in layout.rows]


def walk_up(layout: TreeLayout, row: int) -> str | None:
    """Follow the line that enters a node from above to the node where it starts; the oracle."""
    position: float = layout.rows[row].lane
    entering = [line for line in layout.rows[row].upper if line.bottom_lane == position]
    if not entering:
        return None
    assert len(entering) == 1, "two edges into one node"
    position, at, half = entering[0].top_lane, row - 1, "lower"
    while True:
        lines = getattr(layout.rows[at], half)
        matches = [line for line in lines if line.bottom_lane == position]
        assert matches, f"an edge is broken in row {at}"
        position = matches[0].top_lane
        if half == "lower":
            if layout.rows[at].lane == position:
                return layout.rows[at].name
            half = "upper"
        else:
            at, half = at - 1, "lower"


@given(trees())
def test_every_snapshot_has_one_row_below_its_parent(tree: SnapshotTree) -> None:
    names = names_of(layout_tree(tree))
    assert sorted(n for n in names if n is not None) == sorted(s.name for s in tree)
    assert names.count(None) == 1
    place = {name: number for number, name in enumerate(names)}
    for snapshot in tree:
        parent = tree.parent(snapshot.name)
        assert parent is None or place[parent] < place[snapshot.name]


@given(trees())
def test_every_edge_leads_from_the_node_to_its_parent(tree: SnapshotTree) -> None:
    layout = layout_tree(tree)
    for number, row in enumerate(layout.rows):
        expected = tree.current if row.name is None else tree.parent(row.name)
        assert walk_up(layout, number) == expected


@given(trees())
def test_no_line_ends_in_nothing(tree: SnapshotTree) -> None:
    rows = layout_tree(tree).rows
    assert not rows[-1].lower
    assert not rows[0].upper
    for above, below in itertools.pairwise(rows):
        leaving = sorted(line.bottom_lane for line in above.lower)
        assert leaving == sorted(line.top_lane for line in below.upper)


@given(trees())
def test_the_live_path_is_lane_zero_and_ends_the_picture(tree: SnapshotTree) -> None:
    rows = layout_tree(tree).rows
    assert rows[-1].name is None
    live = {row.name for row in rows if row.is_live and row.name is not None}
    assert live == set(tree.live_path())
    if tree.current is not None:
        assert [row.name for row in rows if row.lane == 0] == [*reversed(tree.live_path()), None]


@given(trees())
def test_cut_off_rows_are_marked(tree: SnapshotTree) -> None:
    marked = {row.name for row in layout_tree(tree).rows if row.is_cut_off}
    assert marked == tree.orphans | tree.cut


@given(trees())
def test_newest_first_is_the_same_picture_upside_down(tree: SnapshotTree) -> None:
    normal, turned = layout_tree(tree), layout_tree(tree, newest_first=True)
    assert names_of(turned) == names_of(normal)[::-1]
    for row, mirrored in zip(normal.rows, reversed(turned.rows), strict=True):
        assert mirrored.upper == tuple(
            Line(x.bottom_lane, x.top_lane, x.colour, x.is_live) for x in row.lower
        )


def test_the_picture_of_the_readme() -> None:
    tree = tree_of(
        {
            "install": None,
            "upgrade": "install",
            "trial": "upgrade",
            "http3": "trial",
            "after": "upgrade",
            "tuned": "after",
        },
        current="tuned",
    )
    layout = layout_tree(tree)
    assert [(row.name, row.lane) for row in layout.rows] == [
        ("install", 0),
        ("upgrade", 0),
        ("trial", 1),
        ("http3", 1),
        ("after", 0),
        ("tuned", 0),
        (None, 0),
    ]
    assert Line(0, 0.5, 1) in layout.rows[1].lower
    assert Line(0.5, 1, 1) in layout.rows[2].upper


def test_a_tree_without_a_current_snapshot_starts_in_lane_zero() -> None:
    layout = layout_tree(tree_of({"a": None, "b": "a"}))
    assert [(row.name, row.lane) for row in layout.rows] == [("a", 0), ("b", 0), (None, 0)]
    assert not any(row.is_live for row in layout.rows)


@settings(deadline=None, max_examples=5)
@given(st.integers())
def test_lanes_stay_few_in_large_trees(seed: int) -> None:
    choice = random.Random(seed).randrange
    count = 3000
    parents = {"0": None} | {str(n): str(choice(max(0, n - 5), n)) for n in range(1, count)}
    assert layout_tree(tree_of(parents, current="77")).lanes <= math.log2(count) + 3


def test_ten_thousand_in_one_line_and_in_one_fan() -> None:
    line = {"0": None} | {str(n): str(n - 1) for n in range(1, 10_000)}
    assert layout_tree(tree_of(line, "9999")).lanes == 1
    fan = {"0": None} | {str(n): "0" for n in range(1, 10_000)}
    assert layout_tree(tree_of(fan, "0")).lanes == 2


def test_side_branches_nested_in_side_branches_do_not_pile_up_lanes() -> None:
    nested: dict[str, str | None] = {"n0": None}
    for number in range(1, 5000):
        nested[f"leaf{number}"] = f"n{number - 1}"
        nested[f"n{number}"] = f"n{number - 1}"
    assert layout_tree(tree_of(nested)).lanes <= 3
