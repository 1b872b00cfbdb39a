"""A picture of a line of states or images, now and after an operation.

Hides the painting; it is told labels and knows nothing of plans.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QFontMetrics,
    QHelpEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from snapview.ui.colours import current_theme
from snapview.ui.theme import (
    CONTROL_RADIUS,
    LIVE_BRANCH_LINE,
    caption_font,
    secondary_font,
    text_font,
)
from snapview.ui.widgets import literal

BOX_HEIGHT = 32
TALL_BOX_HEIGHT = 42  # with a second line
ROW_SPACE = 20
ARROW_SPACE = 40  # between the lines when an arrow leads from one to the other
HEAD_WIDTH = 46
LINK_WIDTH = 18
END_WIDTH = 60
WIDEST_BOX = 170
LEAST_BOX = 40.0
ARROW_HEAD = 5
MOST_BOXES = 5


@dataclass(frozen=True, slots=True)
class Box:
    """One state or image; ``is_marked`` for those it is about.

    ``span``: how many places it takes: one that others were merged into takes theirs as well.
    """

    text: str
    small: str = ""
    is_marked: bool = False
    is_gone: bool = False  # drawn as an empty, dashed place
    span: int = 1


@dataclass(frozen=True, slots=True)
class Chain:
    """What is drawn: boxes from the oldest to the newest, and what the line leads to.

    ``arrow`` leads from a place in the upper line to one in the lower line; ``caption`` is
    written beside it.
    """

    now: tuple[Box, ...] = ()
    then: tuple[Box, ...] = ()
    end: str = ""
    arrow: tuple[int, int] | None = None
    caption: str = ""

    @property
    def places(self) -> int:
        """How many boxes stand beside one another."""
        return max(sum(box.span for box in line) for line in (self.now, self.then, (Box(""),)))

    @property
    def is_tall(self) -> bool:
        """Whether a box has a second line."""
        return any(box.small for box in (*self.now, *self.then))


class ChainPicture(QWidget):
    """Two lines of boxes: "now" and "then"."""

    def __init__(self) -> None:
        super().__init__()
        self._chain = Chain()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_chain(self, chain: Chain) -> None:
        """Show another chain."""
        self._chain = chain
        words = ", ".join(box.text for box in chain.now)
        later = ", ".join(box.text for box in chain.then if not box.is_gone)
        said = self.tr("Now: {now}. Then: {then}.").format(now=words, then=later)
        self.setAccessibleName(f"{said} {chain.caption}".strip())
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Return room for two lines."""
        return QSize(480, 2 * self._box_height() + self._row_space() + 4)

    def minimumSizeHint(self) -> QSize:
        """Return the same height, but little width."""
        return QSize(240, self.sizeHint().height())

    def event(self, event: QEvent) -> bool:
        """Say the whole label of the box below the mouse."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            box = self.box_at(event.pos())
            text = " · ".join(filter(None, (box.text, box.small))) if box else ""
            QToolTip.showText(event.globalPos(), literal(text), self)
            return True
        return super().event(event)

    def box_at(self, place: QPoint) -> Box | None:
        """Return the box at a place of the widget."""
        for top, boxes in ((2, self._chain.now), (self._lower_top(), self._chain.then)):
            at = 0
            for box in boxes:
                if self._frame_of(at, box, top).contains(QPointF(place)):
                    return box
                at += box.span
        return None

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw both lines, and the arrow."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_line(painter, 2, self.tr("now"), self._chain.now)
        self._paint_line(painter, self._lower_top(), self.tr("then"), self._chain.then)
        if self._chain.arrow is not None:
            self._paint_arrow(painter, *self._chain.arrow)

    # -- places

    def _box_height(self) -> int:
        return TALL_BOX_HEIGHT if self._chain.is_tall else BOX_HEIGHT

    def _row_space(self) -> int:
        return ARROW_SPACE if self._chain.arrow is not None else ROW_SPACE

    def _box_width(self) -> float:
        places = self._chain.places
        end = END_WIDTH + LINK_WIDTH if self._chain.end else 0
        room = self.width() - HEAD_WIDTH - end - LINK_WIDTH * (places - 1) - 4
        return min(WIDEST_BOX, max(LEAST_BOX, room / places))

    def _left_of(self, place: int) -> float:
        return HEAD_WIDTH + place * (self._box_width() + LINK_WIDTH)

    def _lower_top(self) -> int:
        return 2 + self._box_height() + self._row_space()

    def _frame_of(self, place: int, box: Box, top: int) -> QRectF:
        left = self._left_of(place)
        width = self._left_of(place + box.span) - LINK_WIDTH - left
        return QRectF(left, top, width, self._box_height())

    # -- painting

    def _paint_line(self, painter: QPainter, top: int, head: str, boxes: Sequence[Box]) -> None:
        theme, height = current_theme(), self._box_height()
        painter.setFont(secondary_font())
        painter.setPen(theme.secondary)
        middle = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(0, top, HEAD_WIDTH, height), middle, head)
        place = 0
        for box in boxes:
            if place:
                self._paint_link(painter, self._left_of(place) - LINK_WIDTH, top)
            self._paint_box(painter, self._frame_of(place, box, top), box)
            place += box.span
        if self._chain.end:
            left = self._left_of(place) - LINK_WIDTH
            self._paint_link(painter, left, top)
            painter.setFont(secondary_font())
            painter.setPen(theme.secondary)
            room = QRectF(left + LINK_WIDTH + 6, top, END_WIDTH, height)
            painter.drawText(room, middle, self._chain.end)

    def _paint_link(self, painter: QPainter, left: float, top: int) -> None:
        painter.setPen(QPen(current_theme().branch(0), LIVE_BRANCH_LINE))
        middle = top + self._box_height() / 2
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
        room = place.adjusted(8, 0, -8, 0)
        if box.small:
            upper = room.adjusted(0, 4, 0, -room.height() / 2 + 1)
            lower = room.adjusted(0, room.height() / 2, 0, -4)
            painter.setPen(theme.secondary)
            painter.setFont(caption_font())
            _draw_elided(painter, lower, box.small)
            room = upper
        painter.setPen(theme.secondary if box.is_gone else theme.text)
        painter.setFont(font)
        _draw_elided(painter, room, box.text)

    def _paint_arrow(self, painter: QPainter, start: int, end: int) -> None:
        theme, height = current_theme(), self._box_height()
        half = self._box_width() / 2
        from_ = QPointF(self._left_of(start) + half, 2 + height + 3)
        to = QPointF(self._left_of(end) + half, 2 + height + self._row_space() - 3)
        bend = (to.y() - from_.y()) * 0.8
        path = QPainterPath(from_)
        tip = QPointF(to.x(), to.y() - ARROW_HEAD)
        path.cubicTo(from_ + QPointF(0, bend), tip - QPointF(0, bend), tip)
        painter.setPen(QPen(theme.branch(0), 1.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPath(path)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.branch(0))
        wide = QPointF(ARROW_HEAD, 0)
        painter.drawPolygon(QPolygonF([to, tip - wide, tip + wide]))
        if self._chain.caption:
            painter.setFont(secondary_font())
            painter.setPen(theme.text)
            self._paint_caption(painter, *sorted((from_.x(), to.x())))

    def _paint_caption(self, painter: QPainter, left: float, right: float) -> None:
        """Write beside the arrow, which lies between two places: at the right if there is room."""
        caption, top = self._chain.caption, 2 + self._box_height()
        is_narrow = painter.fontMetrics().horizontalAdvance(caption) > self.width() - right - 14
        room = QRectF(right + 14, top, self.width() - right - 14, self._row_space())
        alignment = Qt.AlignmentFlag.AlignLeft
        if is_narrow:
            room = QRectF(0, top, left - 14, self._row_space())
            alignment = Qt.AlignmentFlag.AlignRight
        painter.drawText(room, alignment | Qt.AlignmentFlag.AlignVCenter, caption)


def _draw_elided(painter: QPainter, room: QRectF, text: str) -> None:
    metrics = QFontMetrics(painter.font())
    line = " ".join(text.split())
    shown = metrics.elidedText(line, Qt.TextElideMode.ElideRight, int(room.width()))
    flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextSingleLine
    painter.drawText(room, flags, shown)


def shortened(boxes: Sequence[Box], more: str) -> tuple[Box, ...]:
    """Return boxes that fit: of too many the middle ones become one.

    Args:
        boxes: from the oldest to the newest.
        more: what to call the ones left out, with ``{number}``.
    """
    if len(boxes) <= MOST_BOXES:
        return tuple(boxes)
    keep = MOST_BOXES - 1
    first, last = boxes[: keep // 2], boxes[len(boxes) - (keep - keep // 2) :]
    left_out = boxes[len(first) : len(boxes) - len(last)]
    is_marked = any(box.is_marked for box in left_out)
    middle = Box(more.format(number=len(left_out)), is_marked=is_marked)
    return (*first, middle, *last)
