"""A picture of a path of snapshots now and after one of them is gone.

Hides the painting; it is told labels and knows nothing of plans.
"""

from dataclasses import dataclass

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from snapview.ui.colours import current_theme
from snapview.ui.theme import (
    CONTROL_RADIUS,
    LIVE_BRANCH_LINE,
    secondary_font,
    text_font,
)

BOX_HEIGHT = 32
ROW_SPACE = 20
HEAD_WIDTH = 46
LINK_WIDTH = 18
END_WIDTH = 64
WIDEST_BOX = 170


@dataclass(frozen=True, slots=True)
class Box:
    """One snapshot of the picture; ``is_marked`` for the one it is about."""

    text: str
    is_marked: bool = False
    is_gone: bool = False  # drawn as an empty, dashed place


class ChainPicture(QWidget):
    """Two lines of boxes: "now" and "then"."""

    def __init__(self) -> None:
        super().__init__()
        self._now: tuple[Box, ...] = ()
        self._then: tuple[Box, ...] = ()
        self._end = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_chain(self, now: tuple[Box, ...], then: tuple[Box, ...], end: str) -> None:
        """Show other boxes.

        Args:
            now: from the oldest to the newest.
            then: the same after the operation.
            end: what the line leads to; empty: it ends with the last box.
        """
        self._now, self._then, self._end = now, then, end
        words = ", ".join(box.text for box in now)
        later = ", ".join(box.text for box in then if not box.is_gone)
        self.setAccessibleName(self.tr("Now: {now}. Then: {then}.").format(now=words, then=later))
        self.update()

    def sizeHint(self) -> QSize:
        """Return room for two lines."""
        return QSize(480, 2 * BOX_HEIGHT + ROW_SPACE + 4)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw both lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_line(painter, 2, self.tr("now"), self._now)
        self._paint_line(painter, 2 + BOX_HEIGHT + ROW_SPACE, self.tr("then"), self._then)

    def _paint_line(self, painter: QPainter, top: int, head: str, boxes: tuple[Box, ...]) -> None:
        theme = current_theme()
        painter.setFont(secondary_font())
        painter.setPen(theme.secondary)
        middle = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(0, top, HEAD_WIDTH, BOX_HEIGHT), middle, head)
        left = float(HEAD_WIDTH)
        width = self._box_width()
        for number, box in enumerate(boxes):
            if number:
                self._paint_link(painter, left, top)
                left += LINK_WIDTH
            self._paint_box(painter, QRectF(left, top, width, BOX_HEIGHT), box)
            left += width
        if self._end:
            self._paint_link(painter, left, top)
            painter.setFont(secondary_font())
            painter.setPen(theme.secondary)
            room = QRectF(left + LINK_WIDTH + 6, top, END_WIDTH, BOX_HEIGHT)
            painter.drawText(room, middle, self._end)

    def _box_width(self) -> float:
        count = max(len(self._now), len(self._then), 1)
        end = END_WIDTH + LINK_WIDTH if self._end else 0
        room = self.width() - HEAD_WIDTH - end - LINK_WIDTH * (count - 1) - 4
        return min(WIDEST_BOX, max(40.0, room / count))

    def _paint_link(self, painter: QPainter, left: float, top: int) -> None:
        theme = current_theme()
        painter.setPen(QPen(theme.branch(0), LIVE_BRANCH_LINE))
        middle = top + BOX_HEIGHT / 2
        painter.drawLine(round(left), round(middle), round(left + LINK_WIDTH), round(middle))

    def _paint_box(self, painter: QPainter, place: QRectF, box: Box) -> None:
        theme = current_theme()
        edge = QPen(theme.accent if box.is_marked else theme.control_edge, 1)
        if box.is_gone:
            edge = QPen(theme.control_edge, 1, Qt.PenStyle.DashLine)
        painter.setPen(edge)
        painter.setBrush(theme.accent_tint if box.is_marked else theme.base)
        frame = place.adjusted(0.5, 0.5, -0.5, -0.5)
        painter.drawRoundedRect(frame, CONTROL_RADIUS, CONTROL_RADIUS)
        font = text_font(strong=box.is_marked)
        font.setStrikeOut(box.is_gone)
        painter.setFont(font)
        painter.setPen(theme.secondary if box.is_gone else theme.text)
        room = place.adjusted(10, 0, -10, 0)
        metrics = QFontMetrics(font)
        shown = metrics.elidedText(box.text, Qt.TextElideMode.ElideRight, int(room.width()))
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextSingleLine
        painter.drawText(room, flags, shown)
