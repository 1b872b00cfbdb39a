"""Columns: sharing the room, giving way, remembered widths."""

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from snapview.ui.snapshot_columns import COLUMNS, Column
from snapview.ui.snapshot_model import column_number
from snapview.ui.snapshot_view import SnapshotView
from snapview.ui.theme import COLUMN_HEADER, apply_style, current_theme
from snapview.ui.tree_header import NAME_LEAST, TreeHeader
from tests.ui.views import pictured_tree, view_of


@pytest.fixture
def tree_view(qapp: QApplication, qtbot: QtBot) -> Iterator[SnapshotView]:
    apply_style(qapp)
    made = SnapshotView()
    qtbot.addWidget(made)
    made.resize(873, 300)
    made.show_vm(view_of(pictured_tree()))
    with qtbot.waitExposed(made):
        made.show()
    yield made
    made.show_vm(None)
    qapp.setStyleSheet("")


def _shown(view: SnapshotView) -> list[Column]:
    header = view.horizontalHeader()
    return [spec.id for at, spec in enumerate(COLUMNS) if not header.isSectionHidden(at)]


def _width(view: SnapshotView, column: Column) -> int:
    return view.columnWidth(column_number(column))


@pytest.mark.parametrize("width", [420, 540, 712, 873, 1400])
def test_columns_fill_the_width_exactly(tree_view: SnapshotView, width: int) -> None:
    tree_view.resize(width, 300)
    assert sum(_width(tree_view, column) for column in Column) == tree_view.viewport().width()
    assert _width(tree_view, Column.NAME) >= NAME_LEAST


def test_columns_give_way_one_after_the_other(tree_view: SnapshotView) -> None:
    steps: list[list[Column]] = []
    for width in range(900, 320, -20):
        tree_view.resize(width, 300)
        hidden = [column for column in Column if column not in _shown(tree_view)]
        if not steps or steps[-1] != hidden:
            steps.append(hidden)
    assert steps == [
        [],
        [Column.DESCRIPTION],
        [Column.STATE, Column.DESCRIPTION],
        [Column.KIND, Column.STATE, Column.DESCRIPTION],
    ]
    tree_view.resize(900, 300)
    assert len(_shown(tree_view)) == 5


def test_kinds_are_never_cut_at_the_usual_widths(tree_view: SnapshotView) -> None:
    metrics = tree_view.fontMetrics()
    assert _width(tree_view, Column.KIND) > metrics.horizontalAdvance("External + memory") + 16


def test_chosen_widths_are_remembered(tree_view: SnapshotView, qtbot: QtBot) -> None:
    tree_view.horizontalHeader().resizeSection(column_number(Column.KIND), 210)
    assert _width(tree_view, Column.KIND) == 210
    assert sum(_width(tree_view, column) for column in Column) == tree_view.viewport().width()
    state = tree_view.column_state()
    other = SnapshotView()
    qtbot.addWidget(other)
    other.resize(873, 300)
    other.restore_column_state(state)
    other.show_vm(view_of(pictured_tree()))
    other.show()
    assert _width(other, Column.KIND) == 210
    other.show_vm(None)


def test_dragging_the_edge_of_name_moves_its_neighbour(tree_view: SnapshotView) -> None:
    age, name = _width(tree_view, Column.AGE), _width(tree_view, Column.NAME)
    tree_view.horizontalHeader().resizeSection(0, name - 30)
    assert _width(tree_view, Column.AGE) == age + 30


def _header(view: SnapshotView) -> TreeHeader:
    header = view.horizontalHeader()
    assert isinstance(header, TreeHeader)
    return header


def test_columns_can_be_hidden_and_shown(tree_view: SnapshotView) -> None:
    menu = _header(tree_view).make_menu()
    actions = {action.text(): action for action in menu.actions()}
    assert "Name" not in actions
    actions["Kind"].trigger()
    assert Column.KIND not in _shown(tree_view)
    state = tree_view.column_state()
    actions["Kind"].trigger()
    assert Column.KIND in _shown(tree_view)
    tree_view.restore_column_state(state)
    assert Column.KIND not in _shown(tree_view)
    menu.deleteLater()


def test_usual_widths_come_back(tree_view: SnapshotView) -> None:
    usual = _width(tree_view, Column.KIND)
    tree_view.horizontalHeader().resizeSection(column_number(Column.KIND), 210)
    menu = _header(tree_view).make_menu()
    menu.actions()[-1].trigger()
    assert _width(tree_view, Column.KIND) == usual
    menu.deleteLater()


@pytest.mark.qt_log_ignore("This plugin does not support")  # offscreen has no popups
def test_header_menu_opens(tree_view: SnapshotView) -> None:
    _header(tree_view).customContextMenuRequested.emit(QPoint(10, 10))
    popup = QApplication.activePopupWidget()
    assert popup is not None
    popup.close()


@pytest.mark.parametrize(
    "state", ["", "{}", '{"widths": {"kind": "wide", "nope": 3}, "hidden": ["name", "nope"]}']
)
def test_strange_states_are_left_out(tree_view: SnapshotView, state: str) -> None:
    tree_view.restore_column_state(state)
    assert len(_shown(tree_view)) == 5


@pytest.mark.parametrize("state", ["no json", "[]", '{"widths": 3}'])
def test_unreadable_states_are_reported_and_left_out(
    tree_view: SnapshotView, state: str, caplog: pytest.LogCaptureFixture, allow_log: object
) -> None:
    assert callable(allow_log)
    allow_log("column widths cannot be read")
    tree_view.restore_column_state(state)
    assert len(_shown(tree_view)) == 5
    assert "cannot be read" in caplog.text


def test_header_is_painted_from_the_theme(tree_view: SnapshotView) -> None:
    image = _header(tree_view).grab().toImage()
    theme = current_theme()
    assert _header(tree_view).height() == COLUMN_HEADER
    assert image.pixelColor(5, 3) == theme.base
    assert image.pixelColor(5, COLUMN_HEADER - 1) == theme.hairline
