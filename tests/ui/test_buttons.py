"""Buttons: icons beside words, links that give way, and followers of actions."""

import pytest
from PySide6.QtGui import QAction, QIcon
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QMenu, QWidget
from pytestqt.qtbot import QtBot

from snapview.ui.buttons import ICON_GAP, ActionButton, LinkButton, SplitButton, button, set_icon
from snapview.ui.icons import icon
from snapview.ui.widgets import ICON_PX, column
from tests.ui.windows import click

pytestmark = pytest.mark.usefixtures("qapp")


def test_links_show_ampersands_and_give_way(qtbot: QtBot) -> None:
    made = LinkButton("R&D " + "x" * 200)
    qtbot.addWidget(made)
    made.resize(120, 20)
    with qtbot.waitExposed(made):
        made.show()
    assert made.text().startswith("R&&D")
    assert made.text().endswith("…")
    assert made.accessibleName().startswith("R&D x")


def test_buttons_follow_their_action(qtbot: QtBot) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    action = QAction("Do", parent)
    action.setToolTip("why")
    menu = QMenu(parent)
    split = SplitButton(action, menu, icon("camera"), icon("chevron-down"))
    flat = ActionButton(action)
    layout = column(parent)
    layout.addWidget(split)
    layout.addWidget(flat)
    with qtbot.waitExposed(parent):
        parent.show()
    spy = QSignalSpy(action.triggered)
    click(flat)
    assert spy.count() == 1
    action.setEnabled(False)
    assert not flat.isEnabled()
    assert flat.toolTip() == "why"
    assert all(not child.isEnabled() for child in split.findChildren(QWidget) if child.toolTip())
    split.set_icons(QIcon(), QIcon())


def test_icons_keep_their_distance_from_words(qtbot: QtBot) -> None:
    with_words, alone = button("Do", icon=icon("camera")), button("")
    set_icon(alone, icon("camera"))
    for each, width in ((with_words, ICON_PX + ICON_GAP), (alone, ICON_PX)):
        qtbot.addWidget(each)
        assert each.iconSize().width() == width
        assert not each.icon().isNull()
