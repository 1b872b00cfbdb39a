"""The window's buttons: in all kinds of the style, links, and those that follow an action.

Hides how Qt is brought to leave space between an icon and words, and to cut long links short.
"""

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QGuiApplication, QIcon, QPainter, QPixmap, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from snapview.ui.widgets import ICON_PX, literal, row

ICON_GAP = 6  # between an icon and the words of its button
LINK_EDGE_PX = 4  # border and padding of a link, both sides


def beside_text(icon: QIcon) -> QIcon:
    """Return an icon with space at its right, for a button with words: Qt leaves hardly any."""
    made = QIcon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Disabled):
        for ratio in sorted({screen.devicePixelRatio() for screen in QGuiApplication.screens()}):
            drawn = QPixmap(round((ICON_PX + ICON_GAP) * ratio), round(ICON_PX * ratio))
            drawn.setDevicePixelRatio(ratio)
            drawn.fill(Qt.GlobalColor.transparent)
            painter = QPainter(drawn)
            icon.paint(painter, 0, 0, ICON_PX, ICON_PX, Qt.AlignmentFlag.AlignCenter, mode)
            painter.end()
            made.addPixmap(drawn, mode)
    return made


def set_icon(made: QAbstractButton, icon: QIcon) -> None:
    """Give a button an icon, at the right distance from its words."""
    has_text = bool(made.text())
    made.setIconSize(QSize(ICON_PX + (ICON_GAP if has_text else 0), ICON_PX))
    made.setIcon(beside_text(icon) if has_text else icon)


def button(text: str, kind: str = "normal", icon: QIcon | None = None) -> QPushButton:
    """Return a push button: ``normal``, ``filled``, ``small``, ``link`` or ``plain``."""
    made = QPushButton(text)
    made.setProperty("kind", kind)
    made.setAutoDefault(False)
    if icon is not None:
        set_icon(made, icon)
    if kind == "link":
        made.setCursor(Qt.CursorShape.PointingHandCursor)
        made.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
    return made


class LinkButton(QPushButton):
    """A link that gives way: elided where it does not fit, whole as tooltip."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._whole = text
        self.setProperty("kind", "link")
        self.setAutoDefault(False)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(text)
        self._elide()

    def sizeHint(self) -> QSize:
        """Return room for the whole text."""
        line = self._whole.replace("\n", " ")
        width = self.fontMetrics().horizontalAdvance(line) + LINK_EDGE_PX
        return QSize(width, self.fontMetrics().height() + 4)

    def minimumSizeHint(self) -> QSize:
        """Return room for a few letters."""
        return QSize(self.fontMetrics().averageCharWidth() * 4, self.fontMetrics().height() + 4)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Elide anew."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        line = self._whole.replace("\n", " ")
        room = max(0, self.width())
        shown = self.fontMetrics().elidedText(line, Qt.TextElideMode.ElideRight, room)
        self.setText(shown.replace("&", "&&"))  # a name has no mnemonic
        self.setToolTip(literal(self._whole) if shown != line else "")


class ActionButton(QToolButton):
    """A flat button for an action. Qt's own default action would take the icon's space away."""

    def __init__(self, action: QAction) -> None:
        super().__init__()
        self._action = action
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.clicked.connect(action.trigger)
        action.changed.connect(self._follow)
        self._follow()

    def _follow(self) -> None:
        action = self._action
        self.setText(action.text())
        self.setEnabled(action.isEnabled())
        self.setToolTip(action.toolTip())
        self.setAccessibleName(action.text())
        set_icon(self, action.icon())


class SplitButton(QWidget):
    """A filled button with a narrow second one that opens a menu."""

    clicked = Signal()

    def __init__(self, action: QAction, menu: QMenu, icon: QIcon, arrow: QIcon) -> None:
        super().__init__()
        self._action = action
        self._main = button(action.text(), "filled", icon)
        self._main.setProperty("side", "left")
        self._more = button("", "filled", arrow)
        self._more.setProperty("side", "right")
        self._more.setMenu(menu)
        self._more.setAccessibleName(self.tr("What to keep"))
        layout = row(self, spacing=0)
        layout.addWidget(self._main)
        layout.addWidget(self._more)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._main.clicked.connect(action.trigger)
        action.changed.connect(self._follow)
        self._follow()

    def set_icons(self, icon: QIcon, arrow: QIcon) -> None:
        """Show other icons, after the palette has changed."""
        set_icon(self._main, icon)
        set_icon(self._more, arrow)

    def _follow(self) -> None:
        for each in (self._main, self._more):
            each.setEnabled(self._action.isEnabled())
            each.setToolTip(self._action.toolTip())
