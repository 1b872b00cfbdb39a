"""Lines and nodes, pixel by pixel where it matters."""

import pytest
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter

from snapview.core.layout import LayoutRow, Line
from snapview.core.vm import SnapshotKind
from snapview.ui.colours import Theme
from snapview.ui.lane_painter import (
    GRAPH_SHARE,
    LEAST_LANE_WIDTH,
    LaneGeometry,
    LanePainter,
    NodeShape,
    RowPicture,
    node_shape,
)
from snapview.ui.theme import own_palette
from tests.ui.views import snapshot

pytestmark = pytest.mark.usefixtures("qapp")
WIDTH, HEIGHT, MIDDLE = 80, 32, 16
GROUND = QColor("#ffffff")
THEME = Theme.from_palette(own_palette(is_dark=False))


def _paint(picture: RowPicture, geometry: LaneGeometry | None = None) -> QImage:
    image = QImage(WIDTH, HEIGHT, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(GROUND)
    painter = QPainter(image)
    geometry = geometry or LaneGeometry(lanes=2)
    LanePainter(THEME).paint(painter, QRectF(0, 0, WIDTH, HEIGHT), picture, geometry, GROUND)
    painter.end()
    return image


def _node(shape: NodeShape, *, dimmed: bool = False) -> QImage:
    return _paint(RowPicture(LayoutRow("x", 0, 0), shape, is_dimmed=dimmed))


@pytest.mark.parametrize(
    ("kind", "memory", "shape"),
    [
        (SnapshotKind.EXTERNAL, False, NodeShape.EXTERNAL),
        (SnapshotKind.EXTERNAL, True, NodeShape.EXTERNAL_MEMORY),
        (SnapshotKind.INTERNAL, False, NodeShape.INTERNAL),
        (SnapshotKind.INTERNAL, True, NodeShape.INTERNAL_MEMORY),
        (SnapshotKind.MIXED, False, NodeShape.MIXED),
        (SnapshotKind.MIXED, True, NodeShape.MIXED_MEMORY),
    ],
)
def test_shape_says_the_kind(kind: SnapshotKind, memory: bool, shape: NodeShape) -> None:
    assert node_shape(snapshot("x", kind=kind, memory=memory)) is shape


def test_other_shapes() -> None:
    assert node_shape(None) is NodeShape.HERE
    assert node_shape(snapshot("x", problem="It is unreadable.")) is NodeShape.BROKEN
    assert node_shape(snapshot("x", title="before revert to “y”")) is NodeShape.KEPT


def test_every_shape_looks_different() -> None:
    images = {bytes(_node(shape).constBits()) for shape in NodeShape}
    assert len(images) == len(NodeShape)


@pytest.mark.parametrize(
    ("shape", "centre"),
    [
        (NodeShape.EXTERNAL, "#2b63d1"),
        (NodeShape.EXTERNAL_MEMORY, "#2b63d1"),
        (NodeShape.INTERNAL, "#2b63d1"),
        (NodeShape.HERE, "#2b63d1"),
        (NodeShape.KEPT, "#ffffff"),
        (NodeShape.BROKEN, "#ffffff"),
    ],
)
def test_colour_at_the_centre(shape: NodeShape, centre: str) -> None:
    assert _node(shape).pixelColor(24, MIDDLE).name() == centre


def test_rings_are_hollow_between_ring_and_dot() -> None:
    assert _node(NodeShape.HERE).pixelColor(24 + 4, MIDDLE).lightness() > 200
    assert _node(NodeShape.EXTERNAL).pixelColor(24 + 3, MIDDLE).name() == "#2b63d1"


def test_node_has_a_halo_within_its_line() -> None:
    through = (Line(0, 0, 0, is_live=True),)
    image = _paint(RowPicture(LayoutRow("x", 0, 0, through, through), NodeShape.EXTERNAL))
    assert image.pixelColor(24, 2).name() == "#2b63d1"
    assert image.pixelColor(24, HEIGHT - 2).name() == "#2b63d1"
    assert image.pixelColor(24, MIDDLE - 6) == GROUND


def test_live_line_is_wider_than_others() -> None:
    def ink(is_live: bool) -> int:
        line = (Line(0, 0, 0, is_live=is_live),)
        image = _paint(RowPicture(LayoutRow("x", 1, 1, line, line), NodeShape.EXTERNAL))
        return sum(255 - image.pixelColor(x, 2).red() for x in range(16, 32))

    assert ink(is_live=True) > 1.15 * ink(is_live=False)


def test_bends_of_two_rows_meet_at_the_border() -> None:
    above = LayoutRow("a", 0, 0, lower=(Line(0, 0.5, 1),))
    below = LayoutRow("b", 1, 1, upper=(Line(0.5, 1, 1),))
    border = [
        _paint(RowPicture(above, NodeShape.EXTERNAL)).pixelColor(34, HEIGHT - 1),
        _paint(RowPicture(below, NodeShape.EXTERNAL)).pixelColor(34, 0),
    ]
    assert all(colour.lightness() < 200 for colour in border)


def test_edges_to_kept_states_are_dashed_and_grey() -> None:
    row = LayoutRow("a", 1, 1, upper=(Line(0, 0, 0, is_live=True), Line(0.5, 1, 1)))
    kept = _paint(RowPicture(row, NodeShape.KEPT, kept_upper=1))
    plain = _paint(RowPicture(row, NodeShape.KEPT))
    green = QColor(THEME.branch(1))

    def greenish(image: QImage) -> int:
        return sum(
            abs(image.pixelColor(x, y).hue() - green.hue()) < 12
            and image.pixelColor(x, y).saturation() > 90
            for x in range(28, 46)
            for y in range(8)
        )

    assert greenish(plain) > 5
    assert greenish(kept) == 0
    assert kept.pixelColor(24, 2).name() == "#2b63d1"  # the path beside it stays as it is


def test_nodes_that_a_search_does_not_find_step_back() -> None:
    plain, dimmed = _node(NodeShape.EXTERNAL), _node(NodeShape.EXTERNAL, dimmed=True)
    assert dimmed.pixelColor(24, MIDDLE).lightness() > plain.pixelColor(24, MIDDLE).lightness()


def test_lanes_as_drawn_where_there_is_room() -> None:
    geometry = LaneGeometry.fit(3, 400)
    assert [geometry.x(lane) for lane in range(3)] == [24, 44, 64]
    assert geometry.text_x == 84


def test_many_lanes_move_together_so_that_names_stay_readable() -> None:
    width = 400
    geometry = LaneGeometry.fit(60, width)
    assert LEAST_LANE_WIDTH <= geometry.step < 5
    assert geometry.x(59) <= width * GRAPH_SHARE + 0.01
    image = QImage(width, HEIGHT, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.white)
    lines = tuple(Line(lane, lane, lane % 5) for lane in range(60))
    painter = QPainter(image)
    row = RowPicture(LayoutRow("x", 59, 1, lines, lines), NodeShape.EXTERNAL)
    LanePainter(THEME).paint(painter, QRectF(image.rect()), row, geometry, GROUND)
    painter.end()
    text = image.copy(round(geometry.text_x), 0, width - round(geometry.text_x), HEIGHT)
    assert text.pixelColor(0, MIDDLE) == GROUND
