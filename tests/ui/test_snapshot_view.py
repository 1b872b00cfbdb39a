"""The tree as used: keys, mouse, search, and what stays selected."""

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QContextMenuEvent, QFocusEvent, QMouseEvent
from PySide6.QtTest import QSignalSpy, QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from snapview.core.vm import SnapshotTree
from snapview.ui.snapshot_model import RowBadge
from snapview.ui.snapshot_view import LIVE_ROW, SnapshotView
from snapview.ui.theme import ROW_HEIGHT, apply_style, current_theme
from tests.trees import linear_tree
from tests.ui.views import pictured_tree, snapshot, view_of


@pytest.fixture
def tree_view(qapp: QApplication, qtbot: QtBot) -> Iterator[SnapshotView]:
    apply_style(qapp)
    made = SnapshotView()
    qtbot.addWidget(made)
    made.resize(873, 400)
    made.show_vm(view_of(pictured_tree()))
    with qtbot.waitExposed(made):
        made.show()
    yield made
    made.show_vm(None)
    qapp.setStyleSheet("")


def _heard(spy: QSignalSpy) -> list[object]:
    return [spy.at(number)[0] for number in range(spy.count())]


def _click(view: SnapshotView, place: QPoint) -> None:
    QTest.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place
    )


def _press(view: SnapshotView, *keys: Qt.Key) -> str | None:
    for key in keys:
        QTest.keyClick(view, key)
    return view.current_name


def test_latest_state_is_selected_first(tree_view: SnapshotView) -> None:
    assert tree_view.current_name == "load"
    assert tree_view.selected_names == ("load",)


def test_without_snapshots_the_live_row_is_selected(tree_view: SnapshotView) -> None:
    tree_view.show_vm(view_of(SnapshotTree(), name="fresh"))
    assert tree_view.current_name == LIVE_ROW
    assert tree_view.selected_names == ()


def test_keys_walk_rows(tree_view: SnapshotView) -> None:
    assert _press(tree_view, Qt.Key.Key_Home) == "clean"
    assert _press(tree_view, Qt.Key.Key_Down) == "base"
    assert _press(tree_view, Qt.Key.Key_Up) == "clean"
    assert _press(tree_view, Qt.Key.Key_End) == LIVE_ROW
    assert tree_view.selected_names == ()


def test_keys_walk_from_parent_to_child(tree_view: SnapshotView) -> None:
    tree_view.select_name("upgrade")
    assert _press(tree_view, Qt.Key.Key_Right) == "after"  # the path, not the branch
    assert _press(tree_view, Qt.Key.Key_Left) == "upgrade"
    tree_view.select_name("nginx")
    assert _press(tree_view, Qt.Key.Key_Right) == "http3"
    assert _press(tree_view, Qt.Key.Key_Right) == "http3"  # a leaf
    assert _press(tree_view, Qt.Key.Key_Left, Qt.Key.Key_Left) == "upgrade"
    tree_view.select_name("load")
    assert _press(tree_view, Qt.Key.Key_Right) == LIVE_ROW
    assert _press(tree_view, Qt.Key.Key_Right) == LIVE_ROW
    assert _press(tree_view, Qt.Key.Key_Left) == "load"
    tree_view.select_name("clean")
    assert _press(tree_view, Qt.Key.Key_Left) == "clean"  # a root


def test_several_rows_can_be_selected(tree_view: SnapshotView) -> None:
    tree_view.select_name("nginx")
    QTest.keyClick(tree_view, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    assert tree_view.selected_names == ("nginx", "http3")
    tree_view.selectAll()
    assert len(tree_view.selected_names) == 9


def test_signals_name_the_rows(tree_view: SnapshotView) -> None:
    current, selected = (
        QSignalSpy(tree_view.snapshot_selected),
        QSignalSpy(tree_view.selection_changed),
    )
    tree_view.select_name("tuned")
    QTest.keyClick(tree_view, Qt.Key.Key_End)
    assert _heard(current) == ["tuned", LIVE_ROW]
    assert _heard(selected) == [("tuned",), ()]


def test_enter_and_double_click_activate(tree_view: SnapshotView) -> None:
    activated = QSignalSpy(tree_view.activated_row)
    tree_view.select_name("tuned")
    QTest.keyClick(tree_view, Qt.Key.Key_Return)
    place = QPoint(100, ROW_HEIGHT // 2)
    _click(tree_view, place)
    QTest.mouseDClick(
        tree_view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place
    )
    assert _heard(activated) == ["tuned", "clean"]


def test_click_selects_the_row(tree_view: SnapshotView) -> None:
    place = QPoint(400, 3 * ROW_HEIGHT + 5)
    _click(tree_view, place)
    assert tree_view.current_name == "nginx"


def test_unknown_names_select_nothing(tree_view: SnapshotView) -> None:
    assert not tree_view.select_name("gone")
    assert tree_view.current_name == "load"


def test_selection_survives_a_changed_tree(tree_view: SnapshotView) -> None:
    tree = pictured_tree()
    tree_view.select_name("http3")
    changed = QSignalSpy(tree_view.snapshot_selected)
    tree_view.show_vm(view_of(SnapshotTree([*tree, snapshot("new", "load", days=0)], "new")))
    tree_view.show_vm(view_of(SnapshotTree(tree, "http3")))
    assert tree_view.current_name == "http3"
    assert tree_view.selected_names == ("http3",)
    assert changed.count() == 0


def test_deleted_snapshot_hands_over_to_its_parent(tree_view: SnapshotView) -> None:
    tree_view.select_name("http3")
    left = [s for s in pictured_tree() if s.name not in {"http3"}]
    tree_view.show_vm(view_of(SnapshotTree(left, "load")))
    assert tree_view.current_name == "nginx"
    assert tree_view.selected_names == ("nginx",)


def test_deleted_branch_hands_over_to_the_nearest_left(tree_view: SnapshotView) -> None:
    tree_view.select_name("http3")
    left = [s for s in pictured_tree() if s.name not in {"http3", "nginx"}]
    tree_view.show_vm(view_of(SnapshotTree(left, "load")))
    assert tree_view.selected_names == ("upgrade",)


def test_each_vm_remembers_its_selection(tree_view: SnapshotView) -> None:
    tree_view.select_name("nginx")
    tree_view.show_vm(view_of(linear_tree(3), name="db"))
    assert tree_view.selected_names == ("s2",)
    tree_view.show_vm(view_of(pictured_tree()))
    assert tree_view.selected_names == ("nginx",)


def test_nothing_shown_is_nothing_selected(tree_view: SnapshotView) -> None:
    tree_view.show_vm(None)
    assert tree_view.current_name is None
    assert tree_view.selected_names == ()
    assert not tree_view.next_match()


def test_search_counts_and_goes_to_the_first(tree_view: SnapshotView) -> None:
    assert tree_view.set_search("upgrade") == 2
    assert tree_view.current_name == "upgrade"
    assert tree_view.next_match()
    assert tree_view.current_name == "after"
    assert tree_view.next_match()
    assert tree_view.current_name == "upgrade"  # from the end again from the top
    assert tree_view.previous_match()
    assert tree_view.current_name == "after"


def test_search_stays_where_it_finds(tree_view: SnapshotView) -> None:
    tree_view.select_name("after")
    assert tree_view.set_search("upgrade") == 2
    assert tree_view.current_name == "after"


def test_search_reads_descriptions_and_ends(tree_view: SnapshotView) -> None:
    assert tree_view.set_search("DEBIAN") == 1
    assert tree_view.current_name == "clean"
    assert tree_view.set_search("no such thing") == 0
    assert not tree_view.next_match()
    assert tree_view.set_search("") == 0
    assert tree_view.current_name == "clean"


def test_search_goes_on_in_a_newly_read_tree(tree_view: SnapshotView) -> None:
    tree_view.set_search("upgrade")
    more = [*pictured_tree(), snapshot("new", "load", days=0, title="next upgrade")]
    tree_view.show_vm(view_of(SnapshotTree(more, "new")))
    tree_view.select_name("after")
    assert tree_view.next_match()
    assert tree_view.current_name == "new"


def _move(view: SnapshotView, y: int) -> None:
    place = QPointF(100, y)
    event = QMouseEvent(
        QMouseEvent.Type.MouseMove,
        place,
        view.viewport().mapToGlobal(place),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(view.viewport(), event)


def test_hover_names_the_row_under_the_pointer(tree_view: SnapshotView) -> None:
    hovered = QSignalSpy(tree_view.hovered)
    _move(tree_view, ROW_HEIGHT + 3)
    _move(tree_view, ROW_HEIGHT + 9)
    _move(tree_view, 9 * ROW_HEIGHT + 3)
    _move(tree_view, 399)
    assert _heard(hovered) == ["base", LIVE_ROW, None]


def test_context_menu_is_asked_for_by_mouse_and_key(tree_view: SnapshotView) -> None:
    asked = QSignalSpy(tree_view.menu_requested)
    for reason in (QContextMenuEvent.Reason.Mouse, QContextMenuEvent.Reason.Keyboard):
        place = QPoint(40, 40)
        event = QContextMenuEvent(reason, place, tree_view.viewport().mapToGlobal(place))
        QApplication.sendEvent(tree_view.viewport(), event)
    assert asked.count() == 2
    outside = QPoint(40, 380)
    event = QContextMenuEvent(
        QContextMenuEvent.Reason.Mouse, outside, tree_view.viewport().mapToGlobal(outside)
    )
    QApplication.sendEvent(tree_view.viewport(), event)
    assert asked.count() == 2


def test_focus_ring_is_for_the_keyboard(tree_view: SnapshotView, qtbot: QtBot) -> None:
    accent = current_theme().accent

    def ring() -> bool:
        row = tree_view.visualRect(tree_view.currentIndex()).top()
        image = tree_view.viewport().grab().toImage()
        return all(image.pixelColor(x, row + 1) == accent for x in (60, 400, 800))

    tree_view.activateWindow()
    tree_view.setFocus(Qt.FocusReason.TabFocusReason)
    QApplication.sendEvent(
        tree_view, QFocusEvent(QFocusEvent.Type.FocusIn, Qt.FocusReason.TabFocusReason)
    )
    qtbot.waitUntil(tree_view.hasFocus)
    assert ring()
    place = QPoint(400, 3 * ROW_HEIGHT + 5)
    _click(tree_view, place)
    assert not ring()
    QTest.keyClick(tree_view, Qt.Key.Key_Down)
    assert ring()


def test_sorting_by_a_column_and_back(tree_view: SnapshotView) -> None:
    header = tree_view.horizontalHeader()
    header.setSortIndicator(0, Qt.SortOrder.AscendingOrder)
    assert tree_view.snapshots.name_at(0) == "after"
    assert tree_view.current_name == "load"
    header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
    assert tree_view.snapshots.name_at(0) == "clean"


def test_newest_first_keeps_the_selection(tree_view: SnapshotView) -> None:
    tree_view.set_newest_first(newest_first=True)
    assert tree_view.snapshots.name_at(0) is None
    assert tree_view.selected_names == ("load",)


def test_badges_and_palette_changes_repaint(tree_view: SnapshotView, qapp: QApplication) -> None:
    before = tree_view.viewport().grab().toImage()
    tree_view.show_badges({"tuned": RowBadge("reverting…")})
    assert tree_view.viewport().grab().toImage() != before
    apply_style(qapp, Qt.ColorScheme.Dark)
    image = tree_view.viewport().grab().toImage()
    assert image.pixelColor(800, 2) == current_theme().base
    assert current_theme().is_dark
    apply_style(qapp)
