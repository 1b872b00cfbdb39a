"""A line across the window for what the user has to know now: stale data, a VM that is gone."""

from dataclasses import dataclass
from datetime import datetime

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from snapview.ui.buttons import button
from snapview.ui.colours import Severity
from snapview.ui.icons import icon
from snapview.ui.theme import GAP, INSET, TINY
from snapview.ui.widgets import (
    IconLabel,
    clear,
    column,
    label,
    literal,
    panel,
    row,
    set_style_property,
)


@dataclass(frozen=True, slots=True)
class BannerAction:
    """A button; ``why_not`` disables it and is its tooltip."""

    text: str
    why_not: str = ""


class Banner(QWidget):
    """One sentence with a severity's shape, and buttons. Hidden while there is none."""

    action_clicked = Signal(int)  # which, from the left

    def __init__(self) -> None:
        super().__init__()
        self._severity = Severity.NOTE
        self._actions: tuple[BannerAction, ...] = ()
        self._surface = panel(self._severity.value)
        self._icon = IconLabel(icon(self._severity.value))
        self._text = label("", wraps=True)
        self._buttons = row(spacing=GAP)
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
        line.addLayout(self._buttons)
        line.addWidget(self._close)
        self._close.clicked.connect(self.clear)
        self.hide()

    def show_message(self, severity: Severity, text: str, *actions: BannerAction) -> None:
        """Show a sentence; with buttons it cannot be dismissed, else it has a cross."""
        self._severity = severity
        set_style_property(self._surface, "panel", severity.value)
        self._icon.set_icon(icon(severity.value))
        self._text.setText(text)
        self._set_actions(actions)
        self._close.setVisible(not actions)
        self.setAccessibleName(text)
        self.show()

    def clear(self) -> None:
        """Show nothing."""
        self._text.setText("")
        self._set_actions(())
        self.hide()

    def text(self) -> str:
        """Return the sentence shown; empty when there is none."""
        return self._text.text()

    @property
    def has_action(self) -> bool:
        """Whether there is a button to act on what the sentence says."""
        return bool(self._actions)

    def restyle(self) -> None:
        """Draw the shapes in the colours of now."""
        self._icon.set_icon(icon(self._severity.value))
        self._close.setIcon(icon("close"))

    def _set_actions(self, actions: tuple[BannerAction, ...]) -> None:
        if actions == self._actions:  # else a button that has the focus would lose it
            return
        self._actions = actions
        clear(self._buttons)
        for number, action in enumerate(actions):
            made = button(action.text, "small")
            made.setEnabled(not action.why_not)
            made.setToolTip(literal(action.why_not))
            made.clicked.connect(lambda _checked=False, at=number: self.action_clicked.emit(at))
            self._buttons.addWidget(made)


def clock_text(moment: datetime) -> str:
    """Return the local time of day."""
    return f"{moment.astimezone():%H:%M}"
