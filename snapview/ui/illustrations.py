"""The pictures on empty pages, painted in the theme's colours; nothing but painting."""

from enum import Enum, auto

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from snapview.ui.colours import Theme, current_theme
from snapview.ui.theme import secondary_font

WIDTH, HEIGHT = 260, 140


class Illustration(Enum):
    """What a picture shows."""

    TREE = auto()  # snapshots, branches and "you are here"
    LOCKED = auto()  # a computer, a lock and the VMs
    MISSING = auto()  # a computer and an empty place to be filled
    GONE = auto()  # a computer and an empty place
    BROKEN = auto()  # a computer, a cut line and the VMs
    WAITING = auto()  # a computer, a dotted line and the VMs


class IllustrationView(QWidget):
    """Paints one picture; screen readers skip it, the words say the same."""

    def __init__(self) -> None:
        super().__init__()
        self._shown = Illustration.TREE
        self.setFixedSize(WIDTH, HEIGHT)

    def show_picture(self, picture: Illustration) -> None:
        """Paint another picture."""
        self._shown = picture
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the picture."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme = current_theme()
        if self._shown is Illustration.TREE:
            _paint_tree(painter, theme, self.tr("you are here"))
            return
        _paint_computer(painter, theme)
        match self._shown:
            case Illustration.LOCKED:
                _paint_servers(painter, theme)
                _paint_link(painter, theme)
                _paint_lock(painter, theme)
            case Illustration.MISSING:
                _paint_link(painter, theme)
                _paint_place(painter, theme)
                _paint_arrow(painter, theme)
            case Illustration.GONE:
                _paint_link(painter, theme)
                _paint_place(painter, theme)
            case Illustration.BROKEN:
                _paint_servers(painter, theme)
                _paint_cut(painter, theme)
            case _:
                _paint_servers(painter, theme)
                _paint_dots(painter, theme)


def _paint_tree(painter: QPainter, theme: Theme, caption: str) -> None:
    live, side = theme.branch(0), theme.branch(1)
    middle, top, low = 66.0, 22.0, 108.0
    painter.setPen(QPen(live, 3))
    painter.drawLine(QLineF(14, middle, 226, middle))
    path = QPainterPath(QPointF(70, middle))
    path.cubicTo(100, middle, 84, top, 118, top)
    path.lineTo(166, top)
    painter.setPen(QPen(side, 3))
    painter.drawPath(path)
    kept = QPainterPath(QPointF(122, middle))
    kept.cubicTo(146, middle, 130, low, 168, low)
    pen = QPen(theme.kept, 2, Qt.PenStyle.CustomDashLine)
    pen.setDashPattern([2.0, 2.0])
    painter.setPen(pen)
    painter.drawPath(kept)
    for x, y, colour in (
        (14.0, middle, live),
        (122.0, middle, live),
        (174.0, middle, live),
        (118.0, top, side),
        (166.0, top, side),
    ):
        _disc(painter, QPointF(x, y), colour, theme)
    _ring(painter, QPointF(66, middle), live, theme, 8, 3)
    _ring(painter, QPointF(230, middle), live, theme, 12, 5)
    painter.setPen(QPen(theme.kept, 2.5))
    painter.setBrush(theme.base)
    painter.drawEllipse(QPointF(174, low), 7, 7)
    painter.setFont(secondary_font())
    painter.setPen(theme.secondary)
    room = QRectF(180, middle + 18, 80, 20)
    painter.drawText(room, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, caption)


def _disc(painter: QPainter, at: QPointF, colour: QColor, theme: Theme) -> None:
    painter.setPen(QPen(theme.base, 2))
    painter.setBrush(colour)
    painter.drawEllipse(at, 7.5, 7.5)


def _ring(
    painter: QPainter, at: QPointF, colour: QColor, theme: Theme, radius: float, dot: float
) -> None:
    painter.setPen(QPen(colour, 2.5))
    painter.setBrush(theme.base)
    painter.drawEllipse(at, radius, radius)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawEllipse(at, dot, dot)


def _outline(theme: Theme) -> QPen:
    return QPen(theme.control_edge, 2.2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap)


def _paint_computer(painter: QPainter, theme: Theme) -> None:
    painter.setPen(_outline(theme))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(QRectF(16, 40, 66, 46), 5, 5)
    painter.drawLine(QLineF(49, 87, 49, 100))
    painter.drawLine(QLineF(36, 101, 62, 101))


def _paint_servers(painter: QPainter, theme: Theme) -> None:
    for number in range(3):
        top = 31.0 + number * 27
        painter.setPen(_outline(theme))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(QRectF(192, top, 46, 22), 4, 4)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.control_edge)
        painter.drawEllipse(QPointF(203, top + 11), 2, 2)


def _paint_link(painter: QPainter, theme: Theme) -> None:
    pen = QPen(theme.control_edge, 2, Qt.PenStyle.CustomDashLine)
    pen.setDashPattern([2.5, 2.0])
    painter.setPen(pen)
    painter.drawLine(QLineF(92, 66, 182, 66))


def _paint_lock(painter: QPainter, theme: Theme) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.base)
    painter.drawRect(QRectF(112, 36, 50, 62))
    painter.setPen(QPen(theme.warning.fill, 4))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawArc(QRectF(126, 42, 22, 28), 0, 180 * 16)
    painter.drawLine(QLineF(126, 56, 126, 64))
    painter.drawLine(QLineF(148, 56, 148, 64))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.warning.fill)
    painter.drawRoundedRect(QRectF(119, 61, 36, 30), 4, 4)
    painter.setBrush(QColor("#3a2c00"))
    painter.drawRoundedRect(QRectF(135.5, 70, 3.4, 11), 1.7, 1.7)


def _paint_place(painter: QPainter, theme: Theme) -> None:
    pen = QPen(theme.control_edge, 2, Qt.PenStyle.CustomDashLine)
    pen.setDashPattern([3.0, 2.5])
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(QRectF(190, 36, 52, 60), 6, 6)


def _paint_arrow(painter: QPainter, theme: Theme) -> None:
    painter.setPen(QPen(theme.accent, 3, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
    painter.drawLine(QLineF(216, 52, 216, 74))
    painter.drawLine(QLineF(207, 66, 216, 75))
    painter.drawLine(QLineF(225, 66, 216, 75))
    painter.drawLine(QLineF(205, 83, 227, 83))


def _paint_cut(painter: QPainter, theme: Theme) -> None:
    painter.setPen(_outline(theme))
    painter.drawLine(QLineF(92, 66, 120, 66))
    painter.drawLine(QLineF(154, 66, 182, 66))
    painter.setPen(QPen(theme.error.fill, 3, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
    painter.drawLine(QLineF(129, 58, 145, 74))
    painter.drawLine(QLineF(145, 58, 129, 74))


def _paint_dots(painter: QPainter, theme: Theme) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.accent)
    for number in range(5):
        painter.drawEllipse(QPointF(101 + number * 18, 66), 3, 3)
