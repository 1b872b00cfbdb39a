"""A line across the window for what the user has to know now: stale data, a VM that is gone."""

from datetime import datetime

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from snapview.ui.buttons import button
from snapview.ui.colours import Severity
from snapview.ui.icons import icon
from snapview.ui.theme import GAP, INSET, TINY
from snapview.ui.widgets import IconLabel, column, label, panel, row, set_style_property


class Banner(QWidget):
    """One sentence with a severity's shape; at most one button. Hidden while there is none."""

    action_clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._severity = Severity.NOTE
        self._surface = panel(self._severity.value)
        self._icon = IconLabel(icon(self._severity.value))
        self._text = label("", wraps=True)
        self._action = button("", "small")
        self._close = button("", "icon", icon("close"))
        self._close.setAccessibleName(self.tr("Dismiss"))
        self._close.setToolTip(self.tr("Dismiss"))
        outer = column(self, spacing=0)
        outer.setContentsMargins(GAP, GAP, GAP, 0)
        outer.addWidget(self._surface)
        line = row(self._surface, spacing=10)
        line.setContentsMargins(INSET - GAP, TINY, GAP, TINY)
        line.addWidget(self._icon)
        line.addWidget(self._text, 1)
        line.addWidget(self._action)
        line.addWidget(self._close)
        self._action.clicked.connect(self.action_clicked)
        self._close.clicked.connect(self.clear)
        self.hide()

    def show_message(self, severity: Severity, text: str, action: str = "") -> None:
        """Show a sentence; with ``action`` a button that cannot be dismissed instead of a cross."""
        self._severity = severity
        set_style_property(self._surface, "panel", severity.value)
        self._icon.set_icon(icon(severity.value))
        self._text.setText(text)
        self._action.setText(action)
        self._action.setVisible(bool(action))
        self._close.setVisible(not action)
        self.setAccessibleName(text)
        self.show()

    def clear(self) -> None:
        """Show nothing."""
        self._text.setText("")
        self.hide()

    def text(self) -> str:
        """Return the sentence shown; empty when there is none."""
        return self._text.text()

    @property
    def has_action(self) -> bool:
        """Whether there is a button to act on what the sentence says."""
        return bool(self._action.text()) and bool(self.text())

    def restyle(self) -> None:
        """Draw the shapes in the colours of now."""
        self._icon.set_icon(icon(self._severity.value))
        self._close.setIcon(icon("close"))


def clock_text(moment: datetime) -> str:
    """Return the local time of day."""
    return f"{moment.astimezone():%H:%M}"
