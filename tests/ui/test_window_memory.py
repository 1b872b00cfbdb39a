"""What the window remembers of its looks."""

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSplitter, QWidget
from pytestqt.qtbot import QtBot

from snapview.settings import Settings
from snapview.ui.vm_page import VmPage
from snapview.ui.widgets import column
from snapview.ui.window_memory import FIRST_HEIGHT, FIRST_WIDTH, WindowMemory


def made(qtbot: QtBot, settings: Settings) -> tuple[QWidget, QSplitter, WindowMemory]:
    window, panes, page = QWidget(), QSplitter(Qt.Orientation.Horizontal), VmPage()
    qtbot.addWidget(window)
    panes.addWidget(QWidget())
    panes.addWidget(page)
    column(window).addWidget(panes)
    return window, panes, WindowMemory(window, panes, page, settings)


def test_first_time(qtbot: QtBot, tmp_path: Path) -> None:
    window, _, memory = made(qtbot, Settings(tmp_path / "s.json"))
    memory.restore()
    assert (window.width(), window.height()) == (FIRST_WIDTH, FIRST_HEIGHT)


def test_looks_come_back(qtbot: QtBot, tmp_path: Path) -> None:
    settings = Settings(tmp_path / "s.json")
    window, panes, memory = made(qtbot, settings)
    memory.restore()
    with qtbot.waitExposed(window):
        window.show()
    window.resize(700, 500)
    panes.setSizes([200, 480])
    memory.remember()
    kept = panes.sizes()
    again, other, memory = made(qtbot, settings)
    memory.restore()
    with qtbot.waitExposed(again):
        again.show()
    assert again.size() == window.size()
    assert other.sizes() == kept
