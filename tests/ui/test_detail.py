"""The detail pane: one snapshot, the live state, several; links; hostile words."""

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from snapview.core.errors import NotFound
from snapview.core.vm import Hardware, SnapshotDetail, SnapshotTree
from snapview.ui.detail import TWO_COLUMNS, DetailPane
from snapview.ui.facts import LIVE
from snapview.ui.widgets import LiteralText
from tests.ui.views import pictured_tree, snapshot, view_of
from tests.ui.windows import button_of, click, says, texts


@pytest.fixture
def pane(qapp: QApplication, qtbot: QtBot) -> DetailPane:
    made = DetailPane()
    qtbot.addWidget(made)
    made.resize(336, 700)
    with qtbot.waitExposed(made):
        made.show()
    return made


def test_a_snapshot(pane: DetailPane) -> None:
    pane.show_selection(view_of(pictured_tree()), ("after",))
    said = texts(pane)
    assert "after upgrade" in said
    assert any("11 days ago" in text or "Wed 11 Nov 2026" in text for text in said)
    assert "External, disk only" in said


def test_links_lead_to_relatives(pane: DetailPane) -> None:
    spy = QSignalSpy(pane.snapshot_chosen)
    pane.show_selection(view_of(pictured_tree()), ("load",))
    QApplication.sendPostedEvents()
    click(button_of(pane, "tuned"))
    click(button_of(pane, "You are here"))
    assert [spy.at(at)[0] for at in range(spy.count())] == ["tuned", LIVE]


def test_the_pencil_edits(pane: DetailPane) -> None:
    spy = QSignalSpy(pane.edit_requested)
    pane.show_selection(view_of(pictured_tree()), ("load",))
    QApplication.sendPostedEvents()
    click(button_of(pane, ""))
    assert spy.count() == 1


def test_the_live_state_and_several(pane: DetailPane) -> None:
    view = view_of(pictured_tree())
    pane.show_selection(view, ())
    assert says(pane, "You are here")
    pane.show_selection(view, ("load", "tuned"))
    assert says(pane, "2 snapshots")
    assert says(pane, "selected of 9")
    pane.show_selection(view, ("gone", "tuned"))
    assert says(pane, "tuned")
    pane.show_selection(None, ())
    assert says(pane, "Nothing is selected.")


def test_hardware_arrives_later_and_only_where_it_belongs(pane: DetailPane) -> None:
    view = view_of(pictured_tree())
    pane.show_selection(view, ("tuned",))
    pane.show_detail(view.key, SnapshotDetail("load", Hardware(vcpus=1)))
    assert not says(pane, "Hardware at that time")
    pane.show_detail(view.key, SnapshotDetail("tuned", Hardware(vcpus=1)))
    assert says(pane, "1 vCPU (now 2 vCPU)")
    pane.show_detail_error("tuned", NotFound("It is not there any more."))
    assert says(pane, "It is not there any more.")


def test_broken_snapshots_say_why(pane: DetailPane) -> None:
    tree = SnapshotTree([snapshot("bad", problem="Its record cannot be read.")])
    pane.show_selection(view_of(tree), ("bad",))
    assert says(pane, "Its record cannot be read.")
    vm = view_of(tree)
    pane.show_selection(replace(vm, vm=replace(vm.vm, problem="No list.")), ())
    assert says(pane, "No list.")


def test_hostile_words_stay_literal_and_narrow(pane: DetailPane) -> None:
    hostile = "<b>x</b>" + "y" * 300
    tree = SnapshotTree([snapshot("a", title=hostile, description=hostile)])
    pane.show_selection(view_of(tree), ("a",))
    QApplication.sendPostedEvents()
    assert pane.findChildren(LiteralText)[0].toPlainText() == hostile
    for each in pane.findChildren(QLabel):
        assert each.textFormat() is Qt.TextFormat.PlainText
        assert each.width() <= pane.width()


def test_wide_panes_have_two_columns(pane: DetailPane, qtbot: QtBot) -> None:
    pane.show_selection(view_of(pictured_tree()), ())
    narrow = pane.grab()
    pane.resize(TWO_COLUMNS + 50, 300)
    qtbot.waitUntil(lambda: pane.width() > TWO_COLUMNS)
    assert pane.grab().size() != narrow.size()
    pane.restyle()
