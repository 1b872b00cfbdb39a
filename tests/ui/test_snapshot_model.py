"""The model of the tree: always equal to the layout, by the smallest change."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtTest import QAbstractItemModelTester, QSignalSpy

from snapview.core.layout import layout_tree
from snapview.core.vm import RunState, Snapshot, SnapshotTree
from snapview.ui.snapshot_columns import COLUMNS, Column
from snapview.ui.snapshot_model import Role, RowBadge, SnapshotModel, column_number
from tests.trees import random_tree, tree_of
from tests.ui.views import NOW, pictured_tree, snapshot, view_of

pytestmark = pytest.mark.usefixtures("qapp")


@pytest.fixture
def model() -> Iterator[SnapshotModel]:
    made = SnapshotModel(clock=lambda: NOW)
    tester = QAbstractItemModelTester(made, QAbstractItemModelTester.FailureReportingMode.Fatal)
    yield made
    made.set_view(None)
    del tester


def _names(model: SnapshotModel) -> list[str | None]:
    return [model.name_at(row) for row in range(model.rowCount())]


def _text(model: SnapshotModel, name: str | None, column: Column) -> object:
    row = model.row_of(name)
    assert row is not None
    return model.data(model.index(row, column_number(column)))


def test_rows_are_those_of_the_layout(model: SnapshotModel) -> None:
    view = view_of(pictured_tree())
    model.set_view(view)
    assert _names(model) == [row.name for row in view.layout.rows]
    assert model.columnCount() == len(COLUMNS)
    for number, row in enumerate(view.layout.rows):
        index = model.index(number, 0)
        assert model.data(index, Role.LAYOUT_ROW) == row
        assert model.data(index, Role.NAME) == row.name
        shown = model.data(index, Role.SNAPSHOT)
        assert shown == (view.vm.tree[row.name] if row.name else None)


def test_texts(model: SnapshotModel) -> None:
    model.set_view(view_of(pictured_tree()))
    assert _text(model, "upgrade", Column.NAME) == "before upgrade"
    assert _text(model, "upgrade", Column.AGE) == "13 d"
    assert _text(model, "upgrade", Column.KIND) == "External + memory"
    assert _text(model, "upgrade", Column.STATE) == "Running"
    assert _text(model, "clean", Column.DESCRIPTION) == "Debian 12.12"
    assert _text(model, None, Column.NAME) == "You are here"
    assert _text(model, None, Column.AGE) == "now"


def test_live_row_says_how_it_stands_to_its_snapshot(model: SnapshotModel) -> None:
    view = view_of(pictured_tree())
    model.set_view(view)
    live = model.row_of(None)
    assert live is not None
    assert model.note_at(live) == "changed since “before load test”"
    off = replace(view.vm, run_state=RunState.PAUSED)
    model.set_view(replace(view, vm=off))
    assert model.note_at(live) == "after “before load test”"
    model.set_view(view_of(SnapshotTree()))
    assert _names(model) == [None]
    assert model.note_at(0) == "no snapshot behind it"


def test_stale_live_row_is_not_now(model: SnapshotModel) -> None:
    view = view_of(pictured_tree(), stale=True)
    read_at = NOW - timedelta(minutes=5)
    model.set_view(replace(view, vm=replace(view.vm, read_at=read_at)))
    assert _text(model, None, Column.AGE) == "5 min"


def test_screen_readers_hear_whole_rows(model: SnapshotModel) -> None:
    model.set_view(view_of(pictured_tree()))
    row = model.row_of("upgrade")
    assert row is not None
    spoken = model.data(model.index(row, 0), Qt.ItemDataRole.AccessibleTextRole)
    assert spoken == (
        "before upgrade, external with memory, taken 13 days ago, "
        "child of base hardening, on the path to the live state"
    )
    age = model.index(row, column_number(Column.AGE))
    assert model.data(age, Qt.ItemDataRole.AccessibleTextRole) == "Age: 13 d"
    for each in range(model.rowCount()):
        assert model.data(model.index(each, 0), Qt.ItemDataRole.AccessibleTextRole)


def test_tooltips_say_everything_and_no_markup(model: SnapshotModel) -> None:
    hostile = snapshot(
        "x", title="<b>bold</b>", description="one\ntwo", problem="It is unreadable."
    )
    model.set_view(view_of(SnapshotTree([hostile], "x")))
    tooltip = model.data(model.index(0, 0), Qt.ItemDataRole.ToolTipRole)
    assert isinstance(tooltip, str)
    assert "<b>" not in tooltip
    assert "It is unreadable." in tooltip
    assert "Name in libvirt: x" in tooltip


def test_missing_parent_is_said(model: SnapshotModel) -> None:
    model.set_view(view_of(SnapshotTree([snapshot("x", "gone")], None)))
    row = model.row_of("x")
    assert row is not None
    assert model.note_at(row) == "parent is missing"


def test_unchanged_view_announces_nothing(model: SnapshotModel) -> None:
    model.set_view(view_of(pictured_tree()))
    spies = [
        QSignalSpy(signal)
        for signal in (
            model.dataChanged,
            model.modelReset,
            model.rowsInserted,
            model.rowsRemoved,
            model.layoutChanged,
        )
    ]
    model.set_view(view_of(pictured_tree()))
    assert [spy.count() for spy in spies] == [0] * len(spies)


def test_new_leaf_is_one_insertion(model: SnapshotModel) -> None:
    tree = pictured_tree()
    model.set_view(view_of(tree))
    inserted, reset = QSignalSpy(model.rowsInserted), QSignalSpy(model.modelReset)
    model.set_view(view_of(SnapshotTree([*tree, snapshot("new", "load", days=0)], "new")))
    assert inserted.count() == 1
    assert reset.count() == 0
    assert _names(model)[-2:] == ["new", None]


def test_edited_title_is_one_changed_row(model: SnapshotModel) -> None:
    tree = pictured_tree()
    model.set_view(view_of(tree))
    changed = QSignalSpy(model.dataChanged)
    edited = [replace(s, title="fine") if s.name == "tuned" else s for s in tree]
    model.set_view(view_of(SnapshotTree(edited, "load")))
    assert changed.count() == 1
    top, bottom = changed.at(0)[0], changed.at(0)[1]
    assert top.row() == bottom.row() == model.row_of("tuned")
    assert _text(model, "tuned", Column.NAME) == "fine"


def test_other_vm_is_a_reset(model: SnapshotModel) -> None:
    model.set_view(view_of(pictured_tree()))
    reset = QSignalSpy(model.modelReset)
    model.set_view(view_of(pictured_tree(), name="db"))
    assert reset.count() == 1


def test_persistent_indices_follow_their_snapshot(model: SnapshotModel) -> None:
    tree = pictured_tree()
    model.set_view(view_of(tree))
    row = model.row_of("http3")
    assert row is not None
    kept = QPersistentModelIndex(model.index(row, 1))
    model.set_view(view_of(SnapshotTree(tree, "http3")))  # a revert puts the branch on the path
    assert model.name_at(kept.row()) == "http3"
    assert model.row_of("http3") != row
    left = [s for s in tree if s.name != "clean"]
    model.set_view(view_of(SnapshotTree(left, "http3")))
    assert model.name_at(kept.row()) == "http3"


_steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "edit", "current", "sort", "turn"]), st.integers(0)
    ),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(size=st.integers(0, 25), steps=_steps)
def test_any_sequence_of_changes_ends_at_the_layout(
    model: SnapshotModel, size: int, steps: list[tuple[str, int]]
) -> None:
    snapshots: list[Snapshot] = list(random_tree(size, seed=size))
    current = snapshots[-1].name if snapshots else None
    model.set_view(None)
    model.sort(-1)
    model.set_newest_first(newest_first=False)
    model.set_view(view_of(SnapshotTree(snapshots, current)))
    is_sorted, is_turned = False, False
    for number, (step, pick) in enumerate(steps):
        at = pick % len(snapshots) if snapshots else 0
        match step:
            case "add":
                parent = snapshots[at].name if snapshots else None
                snapshots.append(snapshot(f"new{number}", parent, days=-number))
            case "remove" if snapshots:
                del snapshots[at]
            case "edit" if snapshots:
                snapshots[at] = replace(snapshots[at], description=f"edit {number}")
            case "current" if snapshots:
                current = snapshots[at].name
            case "sort":
                is_sorted = not is_sorted
                model.sort(1 if is_sorted else -1)
            case "turn":
                is_turned = not is_turned
                model.set_newest_first(newest_first=is_turned)
        tree = SnapshotTree(snapshots, current)
        model.set_view(view_of(tree))
        names = [row.name for row in layout_tree(tree, newest_first=is_turned).rows]
        if is_sorted:
            assert sorted(map(str, _names(model))) == sorted(map(str, names))
            keys = [model.data(model.index(row, 1), Role.SORT) for row in range(len(names))]
            assert keys == sorted(keys)  # type: ignore[type-var]
        else:
            assert _names(model) == names
            rows = [model.layout_at(row) for row in range(model.rowCount())]
            assert rows == list(layout_tree(tree, newest_first=is_turned).rows)


def test_sorted_rows_have_no_branches(model: SnapshotModel) -> None:
    model.set_view(view_of(pictured_tree()))
    model.sort(column_number(Column.AGE), Qt.SortOrder.DescendingOrder)
    assert model.lanes == 1
    assert model.is_sorted
    assert not any(model.layout_at(row).upper for row in range(model.rowCount()))
    assert _names(model)[:2] == [None, "load"]


def test_badges_of_many_rows_are_announced_at_a_stroke(model: SnapshotModel) -> None:
    model.set_view(view_of(random_tree(400)))
    changed = QSignalSpy(model.dataChanged)
    names = [model.name_at(row) for row in range(50, 350)]
    model.set_badges({name: RowBadge("merging") for name in names})
    assert changed.count() == 1
    first, last = changed.at(0)[:2]
    assert (first.row(), last.row()) == (50, 349)


def test_badges_change_their_rows_alone(model: SnapshotModel) -> None:
    model.set_view(view_of(pictured_tree()))
    changed = QSignalSpy(model.dataChanged)
    model.set_badges({None: RowBadge("taking…")})
    live = model.row_of(None)
    assert live is not None
    assert model.badge_at(live) == RowBadge("taking…")
    assert changed.count() == 1
    model.set_badges({})
    assert changed.count() == 2
    assert model.badge_at(live) is None


def test_ages_move_on_with_one_announcement(model: SnapshotModel) -> None:
    now = [NOW]
    ageing = SnapshotModel(clock=lambda: now[0])
    ageing.set_view(view_of(pictured_tree()))
    assert _text(ageing, "load", Column.AGE) == "2 d"
    changed = QSignalSpy(ageing.dataChanged)
    now[0] += timedelta(days=1)
    ageing.refresh_ages()
    assert changed.count() == 1
    assert _text(ageing, "load", Column.AGE) == "3 d"
    ageing.set_view(None)


def test_headers(model: SnapshotModel) -> None:
    titles = [model.headerData(at, Qt.Orientation.Horizontal) for at in range(len(COLUMNS))]
    assert titles == ["Name", "Age", "Kind", "State", "Description"]
    assert model.headerData(0, Qt.Orientation.Vertical) is None


def test_invalid_indices_have_no_data(model: SnapshotModel) -> None:
    model.set_view(view_of(tree_of([("a", None)])))
    assert model.data(QModelIndex()) is None
    assert model.flags(QModelIndex()) == Qt.ItemFlag.NoItemFlags
