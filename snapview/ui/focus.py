"""Which widget has the keyboard's focus, and where it goes from pane to pane."""

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QWidget


def focus_next(panes: Sequence[QWidget]) -> None:
    """Give the focus to the pane after the one that has it, from the last to the first."""
    at = next((number for number, pane in enumerate(panes) if has_focus(pane)), -1)
    _target(panes[(at + 1) % len(panes)]).setFocus(Qt.FocusReason.TabFocusReason)


def has_focus(pane: QWidget) -> bool:
    """Whether a pane or something in it has the focus."""
    return pane.hasFocus() or any(each.hasFocus() for each in pane.findChildren(QWidget))


def _target(pane: QWidget) -> QWidget:
    """Return what takes the focus in a pane: itself, or in a row of buttons the first of them."""
    if pane.focusPolicy() is not Qt.FocusPolicy.NoFocus or pane.focusProxy() is not None:
        return pane
    buttons = pane.findChildren(QAbstractButton)
    return next((each for each in buttons if each.isVisible() and each.isEnabled()), pane)
