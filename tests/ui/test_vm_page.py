"""The page of one VM: where its parts stand."""

from PySide6.QtCore import Qt
from PySide6.QtTest import QSignalSpy
from pytestqt.qtbot import QtBot

from snapview.core.vm import SnapshotTree
from snapview.ui.vm_page import VmPage
from tests.ui.views import pictured_tree, view_of
from tests.ui.windows import click


def test_details_stand_beside_or_below(qtbot: QtBot) -> None:
    page = VmPage()
    qtbot.addWidget(page)
    page.resize(1100, 700)
    with qtbot.waitExposed(page):
        page.show()
    page.show_vm(view_of(pictured_tree()))
    page.restore_pane_sizes([700, 400])
    beside = page.pane_sizes()
    page.set_narrow(is_narrow=True)
    assert page.halves.orientation() == Qt.Orientation.Vertical
    assert page.detail.geometry().top() >= page.tree.geometry().bottom()
    assert page.pane_sizes() == beside
    page.set_narrow(is_narrow=False)
    assert page.pane_sizes() == beside
    page.tree.show_vm(None)


def test_hint_is_there_only_without_snapshots(qtbot: QtBot) -> None:
    page = VmPage()
    qtbot.addWidget(page)
    page.resize(1100, 700)
    with qtbot.waitExposed(page):
        page.show()
    page.show_vm(view_of(SnapshotTree()))
    assert page.hint.isVisible()
    before = page.hint.x()
    page.resize(1300, 700)
    qtbot.waitUntil(lambda: page.hint.x() > before)
    spy = QSignalSpy(page.hint.take_clicked)
    click(page.hint.take)
    assert spy.count() == 1
    page.show_vm(view_of(pictured_tree()))
    assert not page.hint.isVisible()
    page.tree.show_vm(None)
