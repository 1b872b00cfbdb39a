"""The small building blocks of the window: labels, hairlines, panels, layouts; see ``buttons``.

Hides how Qt is kept from reading markup in hostile names, and how a control says to the style
sheet what it is.
"""

import html
import re

from PySide6.QtCore import QEvent, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAction,
    QGuiApplication,
    QIcon,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QTextOption,
)
from PySide6.QtWidgets import (
    QBoxLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QSizePolicy,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from snapview.ui.colours import Severity
from snapview.ui.control_style import control_style

ICON_PX = 16
LONGEST_RUN = 24  # letters without a place to break a line
TOOLTIP_LINE = 90  # letters of a tooltip's line
LONGEST_NAME = 60  # letters of a name within a sentence


def literal(text: str) -> str:
    """Return ``text`` for a tooltip, which Qt would else read as markup if it looks like it."""
    is_long = any(len(line) > TOOLTIP_LINE for line in text.split("\n"))
    if "<" not in text and not is_long:
        return text  # markup is what Qt breaks into lines, so long texts become some too
    return "<qt>" + html.escape(text).replace("\n", "<br>") + "</qt>"


LOOK_CHANGES = frozenset(
    {
        QEvent.Type.ApplicationPaletteChange,
        QEvent.Type.PaletteChange,
        QEvent.Type.ApplicationFontChange,
    }
)


def breakable(text: str) -> str:
    """Return ``text`` with invisible places to break its lines, for words without end."""

    def broken(run: re.Match[str]) -> str:
        return "\u200b".join(run.group())

    return re.sub(rf"\S{{{LONGEST_RUN + 1},}}", broken, text)


def shortened(text: str) -> str:
    """Return a name for a sentence: one line, and not endless."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"


class _WrappingLabel(QLabel):
    """A label of several lines that breaks words without end too."""

    def setText(self, text: str) -> None:
        """Show a text."""
        super().setText(breakable(text))


def label(text: str, role: str = "text", *, wraps: bool = False) -> QLabel:
    """Return a label that shows its text literally, in one of the style's roles."""
    made = _WrappingLabel() if wraps else QLabel()
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setProperty("role", role)
    made.setText(text)
    made.setWordWrap(wraps)
    return made


def hairline(*, vertical: bool = False) -> QWidget:
    """Return a line of one pixel."""
    line = panel("hairline")
    if vertical:
        line.setFixedWidth(1)
    else:
        line.setFixedHeight(1)
    return line


def panel(kind: str) -> QWidget:
    """Return a plain surface: ``window``, ``base``, ``sidebar``, ``accent``, a severity."""
    made = QWidget()
    made.setProperty("panel", kind)
    made.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
    return made


def set_style_property(widget: QWidget, name: str, value: str) -> None:
    """Change a property the style sheet asks for, and have the widget look like it."""
    if widget.property(name) == value:
        return
    widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def set_severity(made: QWidget, severity: Severity | None) -> None:
    """Colour a label as that severity, or as ordinary text."""
    set_style_property(made, "severity", severity.value if severity else "")


def row(parent: QWidget | None = None, *, spacing: int = 8, margin: int = 0) -> QHBoxLayout:
    """Return a horizontal layout."""
    made = QHBoxLayout(parent) if parent else QHBoxLayout()
    _space(made, spacing, margin)
    return made


def column(parent: QWidget | None = None, *, spacing: int = 8, margin: int = 0) -> QVBoxLayout:
    """Return a vertical layout."""
    made = QVBoxLayout(parent) if parent else QVBoxLayout()
    _space(made, spacing, margin)
    return made


def _space(layout: QBoxLayout, spacing: int, margin: int) -> None:
    layout.setSpacing(spacing)
    layout.setContentsMargins(margin, margin, margin, margin)


def clear(layout: QLayout) -> None:
    """Remove everything from a layout and delete it."""
    while (item := layout.takeAt(0)) is not None:
        widget, inner = item.widget(), item.layout()
        if widget is not None:
            widget.hide()
            widget.deleteLater()
        elif inner is not None:
            clear(inner)
            inner.deleteLater()


class ElidedLabel(QFrame):
    """One line of literal text that gives way: elided where it does not fit, whole as tooltip.

    The whole text can be copied by Ctrl+C and by the context menu.
    """

    def __init__(
        self,
        text: str = "",
        role: str = "text",
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        *,
        whole: str = "",
    ) -> None:
        """Make the label.

        Args:
            text: what to show.
            role: of the style.
            mode: where the text gives way.
            whole: a longer form, for the tooltip and for copying: the path of a file.
        """
        super().__init__()
        self._mode = mode
        self._whole = whole
        self._text = ""
        self._label = label("", role)
        self._label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        row(self, spacing=0).addWidget(self._label)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        copy = QAction(self.tr("Copy"), self)
        copy.triggered.connect(self._copy)
        self.addAction(copy)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.set_text(text)

    def text(self) -> str:
        """Return the whole text."""
        return self._text

    def set_text(self, text: str) -> None:
        """Show another text."""
        self._text = text
        self.setAccessibleName(text)
        self.updateGeometry()
        self._elide()

    def set_severity(self, severity: Severity | None) -> None:
        """Colour the text as that severity, or as ordinary text."""
        set_severity(self._label, severity)

    def shown_text(self) -> str:
        """Return what is left of the text at the present width."""
        return self._label.text()

    def sizeHint(self) -> QSize:
        """Return room for the whole text."""
        metrics = self._label.fontMetrics()
        line = self._text.replace("\n", " ")
        return QSize(metrics.horizontalAdvance(line) + 4, metrics.height() + 2)

    def minimumSizeHint(self) -> QSize:
        """Return room for a few letters."""
        metrics = self._label.fontMetrics()
        return QSize(metrics.averageCharWidth() * 4, metrics.height() + 2)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Elide anew."""
        super().resizeEvent(event)
        self._elide()

    def changeEvent(self, event: QEvent) -> None:
        """Elide anew for another font."""
        super().changeEvent(event)
        if event.type() in {QEvent.Type.FontChange, QEvent.Type.StyleChange}:
            self._elide()

    def _elide(self) -> None:
        metrics = self._label.fontMetrics()
        line = self._text.replace("\n", " ")
        shown = metrics.elidedText(line, self._mode, max(0, self.contentsRect().width()))
        self._label.setText(shown)
        whole = self._whole or (self._text if shown != line else "")
        self.setToolTip(literal(whole))

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._whole or self._text)


class LiteralText(QTextEdit):
    """Some lines of literal text that can be selected; breaks words without end where it must."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.setAcceptRichText(False)
        self.setPlainText(text)
        self.setReadOnly(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.viewport().setAutoFillBackground(False)
        self.document().setDocumentMargin(0)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Be as high as the text at the new width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.setFixedHeight(round(self.document().size().height()) + 2)


class StyledWidget(QWidget):
    """A widget that keeps the window's style while the desktop's palette changes."""

    restyled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._style = ""
        # Later, for Qt walks over all widgets while it tells them; none must be deleted then.
        self._restyle_later = QTimer(self)
        self._restyle_later.setSingleShot(True)
        self._restyle_later.setInterval(0)
        self._restyle_later.timeout.connect(self.restyle)
        self.restyle()

    def restyle(self) -> None:
        """Take the look of the palette of now."""
        style = control_style()
        if style != self._style:  # setting it changes palettes again: only when it differs
            self._style = style
            self.setStyleSheet(style)
            self.restyled.emit()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the desktop's palette and font."""
        super().changeEvent(event)
        if event.type() in LOOK_CHANGES and self._style:
            self._restyle_later.start()


def paint_icon(painter: QPainter, icon: QIcon, x: int, y: int, size: int = ICON_PX) -> None:
    """Draw an icon at a place."""
    icon.paint(painter, x, y, size, size)


class IconLabel(QWidget):
    """An icon that is only looked at; its meaning is also said in words beside it."""

    def __init__(self, icon: QIcon, size: int = ICON_PX) -> None:
        super().__init__()
        self._icon = icon
        self._size = size
        self.setFixedSize(size, size)

    def set_icon(self, icon: QIcon) -> None:
        """Show another icon."""
        self._icon = icon
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the icon."""
        paint_icon(QPainter(self), self._icon, 0, 0, self._size)
