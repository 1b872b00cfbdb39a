"""What makes two readings of a tree differ, and rows upside down."""

from dataclasses import replace

from snapview.core.layout import layout_tree
from snapview.core.vm import SnapshotDisk, SnapshotTree
from snapview.ui.tree_rows import index_rows, mirrored, parents
from tests.trees import branching_tree
from tests.ui.views import pictured_tree, view_of


def test_rows_are_kept_in_order() -> None:
    view = view_of(pictured_tree())
    layouts, keys = index_rows(view)
    assert list(layouts.values()) == list(view.layout.rows)
    assert set(keys) == set(layouts)


def test_equal_readings_have_equal_keys() -> None:
    assert index_rows(view_of(pictured_tree()))[1] == index_rows(view_of(pictured_tree()))[1]


def test_only_what_is_shown_counts() -> None:
    tree = pictured_tree()
    disks = (SnapshotDisk("vdb", "external"),)
    unseen = [replace(s, disks=disks) if s.name == "tuned" else s for s in tree]
    seen = [replace(s, description="new") if s.name == "tuned" else s for s in tree]
    _, was = index_rows(view_of(tree))
    assert index_rows(view_of(SnapshotTree(unseen, "load")))[1] == was
    _, now = index_rows(view_of(SnapshotTree(seen, "load")))
    assert {name for name in now if now[name] != was[name]} == {"tuned"}


def test_parents_and_the_current_snapshot_move_lines() -> None:
    tree = pictured_tree()
    before = parents(index_rows(view_of(tree))[1])
    assert parents(index_rows(view_of(SnapshotTree(tree, "tuned")))[1]) != before


def test_mirrored_rows_are_those_of_the_turned_layout() -> None:
    tree = branching_tree()
    rows = reversed(layout_tree(tree).rows)
    assert [mirrored(row) for row in rows] == list(layout_tree(tree, newest_first=True).rows)
