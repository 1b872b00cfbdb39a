"""How branches and nodes of the snapshot tree are drawn: lines, bends and node shapes.

Knows pixels, nothing of models or views. The shape of a node says the kind of its snapshot, so
that colour only tells branches apart.
"""

from dataclasses import dataclass
from enum import Enum, auto

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPainterPath, QPen, QPixmap, QPolygonF

from snapview.core.layout import LayoutRow, Line
from snapview.core.vm import Snapshot, SnapshotKind
from snapview.ui.colours import Theme
from snapview.ui.retention import is_kept
from snapview.ui.theme import BRANCH_LINE, FIRST_LANE, LANE_WIDTH, LIVE_BRANCH_LINE

LEAST_LANE_WIDTH = 2.0
GRAPH_SHARE = 0.42  # of the Name column that lanes may take before they move together
HALO = 2.0
NODE_BOX = 22  # has room for every shape and its halo
DIMMED = 0.4  # opacity of nodes that a search does not find

_CUT = 0.4142  # of an octagon's half side


class NodeShape(Enum):
    """The shapes of nodes."""

    EXTERNAL = auto()
    EXTERNAL_MEMORY = auto()
    INTERNAL = auto()
    INTERNAL_MEMORY = auto()
    MIXED = auto()
    MIXED_MEMORY = auto()
    KEPT = auto()
    BROKEN = auto()
    HERE = auto()


def node_shape(snapshot: Snapshot | None) -> NodeShape:
    """Return the shape of a snapshot's node; None is "You are here"."""
    if snapshot is None:
        return NodeShape.HERE
    if snapshot.problem is not None:
        return NodeShape.BROKEN
    if is_kept(snapshot):
        return NodeShape.KEPT
    shapes = {
        SnapshotKind.EXTERNAL: (NodeShape.EXTERNAL, NodeShape.EXTERNAL_MEMORY),
        SnapshotKind.INTERNAL: (NodeShape.INTERNAL, NodeShape.INTERNAL_MEMORY),
        SnapshotKind.MIXED: (NodeShape.MIXED, NodeShape.MIXED_MEMORY),
    }
    return shapes[snapshot.kind][snapshot.has_memory]


@dataclass(frozen=True, slots=True)
class LaneGeometry:
    """Where lanes lie from left to right."""

    step: float = LANE_WIDTH
    lanes: int = 1

    @classmethod
    def fit(cls, lanes: int, column_width: int) -> "LaneGeometry":
        """Return the drawn distance, or a smaller one where names would lose their room."""
        if lanes <= 1:
            return cls()
        room = (column_width * GRAPH_SHARE - FIRST_LANE) / (lanes - 1)
        return cls(max(LEAST_LANE_WIDTH, min(LANE_WIDTH, room)), lanes)

    def x(self, lane: float) -> float:
        """Return the centre of a lane from the left edge of the column."""
        return FIRST_LANE + lane * self.step

    @property
    def text_x(self) -> float:
        """Return where names begin."""
        return self.x(self.lanes - 1) + LANE_WIDTH


@dataclass(frozen=True, slots=True)
class RowPicture:
    """What to draw of one row.

    ``kept_upper`` and ``kept_lower`` are the lanes of kept states to which a bend of that half
    leads; such edges are dashed.
    """

    layout: LayoutRow
    shape: NodeShape
    kept_upper: int | None = None
    kept_lower: int | None = None
    is_dimmed: bool = False


class LanePainter:
    """Draws one row's lines and node. Pens and nodes are made once for a theme."""

    def __init__(self, theme: Theme) -> None:
        self._theme = theme
        self._pens: dict[tuple[int, bool], QPen] = {}
        self._nodes: dict[tuple[int, int, int, bool, float], QPixmap] = {}
        self._kept_pen = QPen(theme.kept, BRANCH_LINE, Qt.PenStyle.CustomDashLine)
        self._kept_pen.setDashPattern([1.2, 1.4])
        self._kept_pen.setCapStyle(Qt.PenCapStyle.FlatCap)

    def paint(
        self,
        painter: QPainter,
        rect: QRectF,
        picture: RowPicture,
        geometry: LaneGeometry,
        background: QColor,
    ) -> None:
        """Draw a row into ``rect``; ``background`` is the row's colour, for the node's halo."""
        is_too_wide = geometry.text_x > rect.width()
        if is_too_wide:
            painter.save()
            painter.setClipRect(rect)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        row, left = picture.layout, rect.left()
        top, middle, bottom = rect.top(), rect.center().y(), rect.bottom()
        for line in row.upper:
            is_kept_edge = _leads_to(picture.kept_upper, line.bottom_lane, line.top_lane, row.lane)
            painter.setPen(self._kept_pen if is_kept_edge else self._pen(line))
            start, end = left + geometry.x(line.bottom_lane), left + geometry.x(line.top_lane)
            _draw_half(painter, QPointF(start, middle), QPointF(end, top))
        for line in row.lower:
            is_kept_edge = _leads_to(picture.kept_lower, line.top_lane, line.bottom_lane, row.lane)
            painter.setPen(self._kept_pen if is_kept_edge else self._pen(line))
            start, end = left + geometry.x(line.top_lane), left + geometry.x(line.bottom_lane)
            _draw_half(painter, QPointF(start, middle), QPointF(end, bottom))
        corner = QPointF(round(left + geometry.x(row.lane)) - NODE_BOX / 2, middle - NODE_BOX / 2)
        ratio = painter.device().devicePixelRatio()
        painter.drawPixmap(corner, self._node(picture, background, ratio))
        if is_too_wide:
            painter.restore()

    def _pen(self, line: Line) -> QPen:
        key = (line.colour, line.is_live)
        pen = self._pens.get(key)
        if pen is None:
            width = LIVE_BRANCH_LINE if line.is_live else BRANCH_LINE
            pen = QPen(self._theme.branch(line.colour), width)
            pen.setCapStyle(Qt.PenCapStyle.FlatCap)
            self._pens[key] = pen
        return pen

    def _node(self, picture: RowPicture, background: QColor, ratio: float) -> QPixmap:
        """Return the picture of a node with its halo, drawn once for all rows like it."""
        shape, colour = picture.shape, picture.layout.colour
        key = (shape.value, colour, background.rgb(), picture.is_dimmed, ratio)
        drawn = self._nodes.get(key)
        if drawn is None:
            drawn = QPixmap(round(NODE_BOX * ratio), round(NODE_BOX * ratio))
            drawn.setDevicePixelRatio(ratio)
            drawn.fill(Qt.GlobalColor.transparent)
            painter = QPainter(drawn)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            centre = QPointF(NODE_BOX / 2, NODE_BOX / 2)
            painter.setPen(QPen(background, 2 * HALO))
            painter.setBrush(background)
            _draw_outline(painter, centre, shape)
            if picture.is_dimmed:
                painter.setOpacity(DIMMED)
            _draw_shape(painter, centre, shape, self._node_colour(shape, colour), background)
            painter.end()
            self._nodes[key] = drawn
        return drawn

    def _node_colour(self, shape: NodeShape, branch: int) -> QColor:
        own = {
            NodeShape.KEPT: self._theme.kept,
            NodeShape.BROKEN: self._theme.broken,
            NodeShape.HERE: self._theme.branch(0),
        }
        return own.get(shape) or self._theme.branch(branch)


def _leads_to(kept_lane: int | None, near: float, far: float, lane: int) -> bool:
    """Whether a line of a half row is half of the edge between ``lane`` and a kept state.

    At the border between two rows an edge is half-way between its lanes.
    """
    if kept_lane is None or near == far:
        return False
    if near == kept_lane == lane:
        return True
    return far == (near + kept_lane) / 2


def _draw_half(painter: QPainter, centre: QPointF, border: QPointF) -> None:
    """Draw a line from a row's middle to its border: straight, or half of an S-shaped bend."""
    if centre.x() == border.x():
        painter.drawLine(QLineF(centre, border))
        return
    height = border.y() - centre.y()
    path = QPainterPath(centre)
    path.cubicTo(  # half of a cubic that leaves its nodes vertically
        QPointF(centre.x(), centre.y() + height / 2),
        QPointF((centre.x() + border.x()) / 2, centre.y() + height * 0.75),
        border,
    )
    painter.strokePath(path, painter.pen())


def _draw_outline(painter: QPainter, centre: QPointF, shape: NodeShape) -> None:
    """Draw a shape's outline with the painter's pen and brush, for the halo around it."""
    match shape:
        case NodeShape.EXTERNAL:
            painter.drawEllipse(centre, 5.0, 5.0)
        case NodeShape.EXTERNAL_MEMORY | NodeShape.KEPT:
            painter.drawEllipse(centre, 6.0, 6.0)
        case NodeShape.HERE:
            painter.drawEllipse(centre, 7.5, 7.5)
        case NodeShape.INTERNAL:
            painter.drawRect(_square(centre, 4.5))
        case NodeShape.INTERNAL_MEMORY:
            painter.drawRect(_square(centre, 5.5))
        case NodeShape.MIXED | NodeShape.MIXED_MEMORY:
            painter.drawPolygon(_diamond(centre, 6.5))
        case NodeShape.BROKEN:
            painter.drawPolygon(_octagon(centre, 6.5))


def _draw_shape(
    painter: QPainter, centre: QPointF, shape: NodeShape, colour: QColor, background: QColor
) -> None:
    """Draw a shape: full ones without, rings with memory."""
    none, ring = QPen(Qt.PenStyle.NoPen), QPen(colour, 2.0)
    ring.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
    is_ring = shape not in {NodeShape.EXTERNAL, NodeShape.INTERNAL, NodeShape.MIXED}
    painter.setPen(ring if is_ring else none)
    painter.setBrush(QBrush(background if is_ring else colour))
    match shape:
        case NodeShape.EXTERNAL:
            painter.drawEllipse(centre, 5.0, 5.0)
        case NodeShape.INTERNAL:
            painter.drawRect(_square(centre, 4.5))
        case NodeShape.MIXED:
            painter.drawPolygon(_diamond(centre, 6.5))
        case NodeShape.EXTERNAL_MEMORY:
            painter.drawEllipse(centre, 5.5, 5.5)
            _draw_dot(painter, centre, 2.5, colour)
        case NodeShape.INTERNAL_MEMORY:
            painter.drawRect(_square(centre, 5.0))
            _draw_dot(painter, centre, 2.2, colour)
        case NodeShape.MIXED_MEMORY:
            painter.drawPolygon(_diamond(centre, 6.5))
            _draw_dot(painter, centre, 2.0, colour)
        case NodeShape.HERE:
            painter.drawEllipse(centre, 7.0, 7.0)
            _draw_dot(painter, centre, 3.5, colour)
        case NodeShape.KEPT:
            painter.setPen(QPen(colour, 1.6))
            painter.drawEllipse(centre, 5.5, 5.5)
        case NodeShape.BROKEN:
            _draw_broken(painter, centre, colour, background)


def _draw_dot(painter: QPainter, centre: QPointF, radius: float, colour: QColor) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawEllipse(centre, radius, radius)


def _draw_broken(painter: QPainter, centre: QPointF, colour: QColor, background: QColor) -> None:
    """Draw a full octagon with a cross."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawPolygon(_octagon(centre, 6.5))
    painter.setPen(QPen(background, 1.6))
    x, y, reach = centre.x(), centre.y(), 2.4
    painter.drawLine(QLineF(x - reach, y - reach, x + reach, y + reach))
    painter.drawLine(QLineF(x - reach, y + reach, x + reach, y - reach))


def _square(centre: QPointF, half: float) -> QRectF:
    return QRectF(centre.x() - half, centre.y() - half, 2 * half, 2 * half)


def _diamond(centre: QPointF, reach: float) -> QPolygonF:
    x, y = centre.x(), centre.y()
    return QPolygonF(
        [QPointF(x, y - reach), QPointF(x + reach, y), QPointF(x, y + reach), QPointF(x - reach, y)]
    )


def _octagon(centre: QPointF, half: float) -> QPolygonF:
    x, y, cut = centre.x(), centre.y(), half * _CUT
    corners = (
        (-cut, -half), (cut, -half), (half, -cut), (half, cut),
        (cut, half), (-cut, half), (-half, cut), (-half, -cut),
    )  # fmt: skip
    return QPolygonF([QPointF(x + dx, y + dy) for dx, dy in corners])
