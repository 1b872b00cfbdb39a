"""Going from pane to pane by keys."""

from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from snapview.ui.focus import focus_next, has_focus


def test_the_focus_goes_round(qtbot: QtBot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    line = QHBoxLayout(window)
    field, row = QLineEdit(), QWidget()
    panes = [field, row]
    off, on = QPushButton("off"), QPushButton("on")
    off.setEnabled(False)
    inner = QHBoxLayout(row)
    for each in (off, on):
        inner.addWidget(each)
    for pane in panes:
        line.addWidget(pane)
    with qtbot.waitActive(window):
        window.show()
    window.setFocus()
    focus_next(panes)
    assert field.hasFocus()
    focus_next(panes)
    assert on.hasFocus(), "the first button that can be pressed"
    assert has_focus(row)
    assert not has_focus(field)
    focus_next(panes)
    assert field.hasFocus()
