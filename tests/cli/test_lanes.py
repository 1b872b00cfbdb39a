import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapview.cli.lanes import ASCII, BOX, Glyphs, draw_row
from snapview.core.layout import layout_tree
from snapview.core.vm import Snapshot, SnapshotKind, SnapshotTree
from tests.trees import branching_tree, random_tree, tree_of


def drawn(tree: SnapshotTree, glyphs: Glyphs = BOX) -> list[str]:
    layout = layout_tree(tree)
    lines = []
    for row in layout.rows:
        node = glyphs.here if row.name is None else row.name[:1].upper()
        cells = draw_row(row, layout, node, glyphs)
        lines.append("".join(cell.text for cell in cells))
    return lines


def test_side_branches_fork_off_beside_the_live_path() -> None:
    assert drawn(branching_tree()) == [
        "I  ",
        "U  ",
        "├─T",
        "│ C",
        "T  ",
        "N  ",
        "B  ",
        "T  ",
        "◎  ",
    ]


def test_edges_cross_what_runs_between() -> None:
    tree = tree_of(
        [
            ("a", None),
            ("b", "a"),
            ("c", "b"),
            ("d", "c"),
            ("e", "b"),
            ("f", "a"),
            ("live", "a"),
        ],
        "live",
    )
    lines = drawn(tree)
    assert lines[0].rstrip() == "A"
    assert any("┼" in line or "├─" in line for line in lines)
    assert lines[-1].rstrip() == "◎"


def test_ascii_needs_nothing_but_ascii() -> None:
    assert all(line.isascii() for line in drawn(branching_tree(), ASCII))
    assert ASCII.can_be_written_as("ascii")
    assert not BOX.can_be_written_as("latin-1")
    assert BOX.can_be_written_as("utf-8")
    assert not BOX.can_be_written_as("no-such-encoding")


@pytest.mark.parametrize(
    ("snapshot", "glyph"),
    [
        (None, BOX.here),
        (Snapshot("s"), BOX.internal),
        (Snapshot("s", has_memory=True), BOX.internal_memory),
        (Snapshot("s", kind=SnapshotKind.EXTERNAL), BOX.external),
        (Snapshot("s", kind=SnapshotKind.EXTERNAL, has_memory=True), BOX.external_memory),
        (Snapshot("s", kind=SnapshotKind.MIXED), BOX.mixed),
        (Snapshot("s", problem="Its XML cannot be read."), BOX.broken),
    ],
)
def test_the_shape_of_a_node_tells_its_kind(snapshot: Snapshot | None, glyph: str) -> None:
    assert BOX.node(snapshot) == glyph


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 60), st.integers(0, 10_000))
def test_every_row_has_its_node_and_an_edge_upwards(size: int, seed: int) -> None:
    tree = random_tree(size, seed)
    layout = layout_tree(tree)
    above: str | None = None
    for row in layout.rows:
        cells = draw_row(row, layout, "N", BOX)
        line = "".join(cell.text for cell in cells)
        assert len(line) == 2 * layout.lanes - 1
        assert line.count("N") == 1
        assert line[2 * row.lane] == "N"
        if above is not None:
            for column, char in enumerate(line):
                if char in "│├┤┼" and column % 2 == 0:
                    assert above[column] in "│├┤┼N─"
        above = line
