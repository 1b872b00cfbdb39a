"""A window under test: what a person sees of it and does to it, by mouse and keys."""

from collections.abc import Callable
from dataclasses import dataclass, field

from PySide6.QtCore import QModelIndex, QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QDialog, QLabel, QWidget
from pytestqt.qtbot import QtBot

from snapview.session import Session, VmKey
from snapview.settings import Settings
from snapview.ui.main_window import MainWindow
from tests.fakes import FakeWorld
from tests.trees import vm_uuid

ONE = "qemu:///system"
TWO = "qemu+ssh://lab2/system"
LEFT = Qt.MouseButton.LeftButton
NO_MODIFIER = Qt.KeyboardModifier.NoModifier


def click(widget: QWidget, place: QPoint | None = None) -> None:
    """Click a widget with the left button, in its middle."""
    at = place or widget.rect().center()
    QTest.mouseClick(widget, LEFT, Qt.KeyboardModifier.NoModifier, at)


def texts(widget: QWidget) -> list[str]:
    """Return what all labels in a widget say, without the invisible places to break."""
    decided = Qt.WidgetAttribute.WA_WState_ExplicitShowHide  # new ones are shown a moment later
    labels = [
        each
        for each in widget.findChildren(QLabel)
        if not (each.testAttribute(decided) and each.isHidden())
    ]
    return [each.text().replace("\u200b", "") for each in labels]


def says(widget: QWidget, part: str) -> bool:
    """Whether a label in the widget contains the words."""
    return any(part in text for text in texts(widget))


def button_of(widget: QWidget, text: str) -> QAbstractButton:
    """Return the visible button with that text, mnemonic and dots aside."""
    for each in widget.findChildren(QAbstractButton):
        if _reads(each, text):
            return each
    known = [each.text() for each in widget.findChildren(QAbstractButton) if each.isVisible()]
    raise AssertionError(f"no button {text!r} among {known}")


def _reads(each: QAbstractButton, text: str) -> bool:
    return each.isVisible() and each.text().replace("&", "").rstrip("…") == text


@dataclass
class Shown:
    """A window with its session and the worlds behind it."""

    window: MainWindow
    session: Session
    worlds: dict[str, FakeWorld]
    saved: list[Settings]
    qtbot: QtBot
    errors: list[object] = field(default_factory=list)

    @property
    def world(self) -> FakeWorld:
        """The world behind the first connection."""
        return next(iter(self.worlds.values()))

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until something is so."""
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=5000)

    def key(self, name: str, uri: str = ONE) -> VmKey:
        """Return the key of a VM made by ``make_vm``."""
        return VmKey(uri, vm_uuid(name))

    def choose(self, name: str, uri: str = ONE) -> None:
        """Click a VM in the sidebar and wait for its tree."""
        index = self.wait_for_row(name, uri)
        view = self.window.vm_list.view
        click(view.viewport(), view.visualRect(index).center())
        self.wait_for_tree(name)

    def wait_for_row(self, name: str, uri: str = ONE) -> QModelIndex:
        """Wait until a VM is in the sidebar."""
        model = self.window.vm_list.model
        self.wait(lambda: model.index_of(self.key(name, uri)).isValid())
        return model.index_of(self.key(name, uri))

    def wait_for_tree(self, name: str) -> None:
        """Wait until a VM's tree is shown."""
        stage = self.window.stage
        self.wait(lambda: stage.shows_vm and stage.view is not None and stage.view.vm.name == name)

    def names(self) -> list[str | None]:
        """Return the rows of the tree, from top to bottom."""
        rows = self.window.stage.vm_page.tree.snapshots
        return [rows.name_at(row) for row in range(rows.rowCount())]

    def click_row(self, name: str) -> None:
        """Click a snapshot in the tree; an empty name is "You are here"."""
        tree = self.window.stage.vm_page.tree
        row = tree.snapshots.row_of(name or None)
        assert row is not None
        rect = tree.visualRect(tree.snapshots.index(row, 0))
        click(tree.viewport(), rect.center())

    def press(self, key: Qt.Key, *, control: bool = False) -> None:
        """Press a key where the focus is."""
        modifier = Qt.KeyboardModifier.ControlModifier if control else None
        QTest.keyClick(self.window.focusWidget(), key, modifier or NO_MODIFIER)

    def dialog(self) -> QDialog:
        """Wait for an open dialog and return it."""

        def found() -> list[QDialog]:
            return [each for each in self.window.findChildren(QDialog) if each.isVisible()]

        self.wait(found)
        return found()[0]

    def settle(self) -> None:
        """Let what is done a moment later be done."""
        self.qtbot.wait(20)
        self.window.stage.settle()
        self.window.action_set.settle()

    def click_button(self, widget: QWidget, text: str) -> None:
        """Wait for a button and click it."""
        self.wait(lambda: any(_reads(each, text) for each in widget.findChildren(QAbstractButton)))
        click(button_of(widget, text))

    def end(self) -> None:
        """Close everything."""
        for world in self.worlds.values():
            world.release_jobs()
            world.release_reads()
        for dialog in self.window.findChildren(QDialog):
            dialog.close()
        self.window.hide()
        assert self.session.close()
