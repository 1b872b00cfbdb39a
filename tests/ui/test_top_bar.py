"""The bar at the top: split button, search field, menu."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QSignalSpy, QTest
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from snapview.ui.action_set import ActionSet
from snapview.ui.actions import ActionId
from snapview.ui.availability import ActionContext
from snapview.ui.top_bar import SearchField, TopBar
from tests.trees import branching_tree, make_vm
from tests.ui.windows import button_of, click, says


@pytest.fixture
def search(qtbot: QtBot) -> SearchField:
    field = SearchField()
    qtbot.addWidget(field)
    with qtbot.waitExposed(field):
        field.show()
    return field


def test_search_says_its_key_then_what_was_found(search: SearchField) -> None:
    assert says(search, "Ctrl+F")
    search.setText("x")
    search.show_count(1)
    assert says(search, "1 found")
    search.show_count(0)
    assert says(search, "0 found")
    search.clear()
    search.show_count(None)
    assert says(search, "Ctrl+F")


def test_search_keys(search: SearchField) -> None:
    following, previous = QSignalSpy(search.next_wanted), QSignalSpy(search.previous_wanted)
    left = QSignalSpy(search.left)
    QTest.keyClicks(search, "web")
    QTest.keyClick(search, Qt.Key.Key_Return)
    QTest.keyClick(search, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClick(search, Qt.Key.Key_Escape)
    assert (following.count(), previous.count(), left.count()) == (1, 1, 1)
    assert search.text() == ""


def test_buttons_follow_the_actions(qtbot: QtBot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    actions = ActionSet(window)
    bar = TopBar(actions)
    qtbot.addWidget(bar)
    bar.resize(1280, 48)
    with qtbot.waitExposed(bar):
        bar.show()
    assert not button_of(bar, "Take snapshot").isEnabled()
    actions.update(ActionContext(make_vm(tree=branching_tree()), ("tuned",)))
    actions.settle()
    spy = QSignalSpy(actions.requested)
    click(button_of(bar, "Take snapshot"))
    click(bar.buttons[ActionId.REVERT])
    assert [spy.at(at)[0] for at in range(spy.count())] == [ActionId.TAKE, ActionId.REVERT]
    assert actions[ActionId.TAKE_DISK] in bar.take_menu.actions()
    assert actions[ActionId.ABOUT] in bar.window_menu.actions()
    assert bar.menu_button.accessibleName() == "Menu"
    bar.restyle()
