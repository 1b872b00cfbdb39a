"""Paints the rows of the snapshot tree from the ``Theme``.

Hides what makes 10,000 rows scroll smoothly: it asks the model directly rather than through
``QVariant``, and keeps pens, fonts and shortened texts.
"""

from dataclasses import dataclass

from PySide6.QtCore import (
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPen, QStaticText, QTransform
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from snapview.core.layout import Line
from snapview.ui.lane_painter import LaneGeometry, LanePainter, NodeShape, RowPicture, node_shape
from snapview.ui.retention import is_kept
from snapview.ui.snapshot_columns import COLUMNS, Column
from snapview.ui.snapshot_model import RowBadge, SnapshotModel
from snapview.ui.snapshot_search import SnapshotSearch
from snapview.ui.theme import (
    ACCENT_BAR,
    BAR_RADIUS,
    GAP,
    ROW_HEIGHT,
    SMALL_INSET,
    TAG_RADIUS,
    current_theme,
    secondary_font,
    text_font,
)

Index = QModelIndex | QPersistentModelIndex

CELL_LEFT = 8  # of every column but the first
CELL_RIGHT = 8
NOTE_LEAST = 44  # a note with less room is left out
NAME_BESIDE_TAG = 56  # the name gives way to a tag, but not further
TAG_INSET = 6
BADGE_BAR = 64
_KEPT_TEXTS = 4096


@dataclass(frozen=True, slots=True)
class _ShownText:
    """A text as far as it fits, already laid out."""

    text: str
    width: int
    height: float
    static: QStaticText


class SnapshotDelegate(QStyledItemDelegate):
    """Paints every cell of the tree: branches, name and notes in the first, text in the others."""

    def __init__(
        self, model: SnapshotModel, search: SnapshotSearch, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.hovered_row = -1
        self._model = model
        self._search = search
        self.refresh_theme()

    def refresh_theme(self) -> None:
        """Take colours and fonts from the application again."""
        self._theme = current_theme()
        self._lanes = LanePainter(self._theme)
        self._plain, self._strong = text_font(), text_font(strong=True)
        self._small = secondary_font()
        self._metrics = {
            id(font): QFontMetrics(font) for font in (self._plain, self._strong, self._small)
        }
        self._shown: dict[tuple[str, int, int], _ShownText] = {}

    def geometry(self, column_width: int) -> LaneGeometry:
        """Return where the lanes lie in a first column of that width."""
        return LaneGeometry.fit(self._model.lanes, column_width)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Paint one cell."""
        row, column = index.row(), index.column()
        rect = option.rect
        is_selected = bool(option.state & QStyle.StateFlag.State_Selected)
        theme = self._theme
        background = theme.base  # which the view has already painted
        if is_selected or row == self.hovered_row:
            background = theme.selected if is_selected else theme.hover
            painter.fillRect(rect, background)
        if COLUMNS[column].id is Column.NAME:
            self._paint_name(painter, rect, row, background, is_selected=is_selected)
        else:
            self._paint_text(painter, rect, row, column)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return the room that a cell needs to show everything."""
        row, column = index.row(), index.column()
        text = self._model.text_at(row, column)
        if COLUMNS[column].id is not Column.NAME:
            width = CELL_LEFT + self._width(text, self._plain) + CELL_RIGHT
            return QSize(width, ROW_HEIGHT)
        note = self._model.note_at(row)
        width = round(LaneGeometry(lanes=self._model.lanes).text_x)
        width += self._width(text, self._strong) + SMALL_INSET
        return QSize(width + (GAP + self._width(note, self._small) if note else 0), ROW_HEIGHT)

    def _paint_text(self, painter: QPainter, rect: QRect, row: int, column: int) -> None:
        text = self._model.text_at(row, column)
        if not text:
            return
        theme, name = self._theme, self._model.name_at(row)
        is_secondary = COLUMNS[column].is_secondary or name is None
        colour = theme.secondary if is_secondary else theme.text
        if self._search.dims(name):
            colour = theme.disabled
        place = rect.adjusted(CELL_LEFT, 0, -CELL_RIGHT, 0)
        shown = self._fitting(text, place.width(), self._plain)
        if COLUMNS[column].id is Column.DESCRIPTION and self._search.finds(name):
            self._mark_found(painter, place, shown, self._plain)
        _draw_text(painter, place, shown, self._plain, colour)

    def _paint_name(
        self, painter: QPainter, rect: QRect, row: int, background: QColor, *, is_selected: bool
    ) -> None:
        model, theme, search = self._model, self._theme, self._search
        name, snapshot = model.name_at(row), model.snapshot_at(row)
        is_dimmed = search.dims(name)
        geometry = self.geometry(rect.width())
        picture = self._picture(row, is_dimmed=is_dimmed)
        self._lanes.paint(painter, QRectF(rect), picture, geometry, background)
        if is_selected:
            painter.fillRect(rect.left(), rect.top(), ACCENT_BAR, rect.height(), theme.accent)
        colour = theme.text
        if is_dimmed:
            colour = theme.disabled
        elif picture.shape in {NodeShape.KEPT, NodeShape.BROKEN}:
            colour = theme.secondary
        font = self._strong if is_selected or snapshot is None else self._plain
        place = rect.adjusted(round(geometry.text_x), 0, -CELL_RIGHT, 0)
        note, badge = model.note_at(row), model.badge_at(row)
        is_tag = snapshot is not None and badge is None and bool(note)
        room = place.width() - (self._tag_room(note) if is_tag else 0)
        shown = self._fitting(model.text_at(row, 0), max(NAME_BESIDE_TAG, room), font)
        if search.finds(name):
            self._mark_found(painter, place, shown, font)
        _draw_text(painter, place, shown, font, colour)
        place.setLeft(place.left() + shown.width + SMALL_INSET)
        if badge is not None:
            self._paint_badge(painter, place, badge)
            return
        note_colour = theme.secondary
        if is_tag and model.is_expired_at(row):
            note_colour = theme.warning.text
        if is_dimmed:
            note_colour = theme.disabled
        self._paint_note(painter, place, note, note_colour, is_tag=is_tag)

    def _tag_room(self, note: str) -> int:
        """Return the room that a tag beside the name needs."""
        return self._width(note, self._small) + SMALL_INSET + 2 * TAG_INSET

    def _picture(self, row: int, *, is_dimmed: bool) -> RowPicture:
        """Return what to draw of a row, with the kept states its bends lead to."""
        layout = self._model.layout_at(row)
        shape = node_shape(self._model.snapshot_at(row))
        own = layout.lane if shape is NodeShape.KEPT else None
        if self._model.is_newest_first:
            upper = self._kept_lane(row - 1) if _has_bend(layout.upper) else None
            return RowPicture(layout, shape, upper, own, is_dimmed)
        lower = self._kept_lane(row + 1) if _has_bend(layout.lower) else None
        return RowPicture(layout, shape, own, lower, is_dimmed)

    def _kept_lane(self, row: int) -> int | None:
        """Return the lane of a row if a revert kept it; bends lead to the row next to theirs."""
        if not 0 <= row < self._model.rowCount():
            return None
        snapshot = self._model.snapshot_at(row)
        is_dashed = snapshot is not None and is_kept(snapshot)
        return self._model.layout_at(row).lane if is_dashed else None

    def _paint_note(
        self, painter: QPainter, place: QRect, note: str, colour: QColor, *, is_tag: bool
    ) -> None:
        """Paint words beside the name, in a frame if they are a tag; nothing without room."""
        if not note or place.width() < NOTE_LEAST:
            return
        if not is_tag and self._width(note, self._small) > place.width():
            return  # the description says it too
        inset = TAG_INSET if is_tag else 0
        shown = self._fitting(note, place.width() - 2 * inset, self._small)
        if is_tag:
            width = shown.width + 2 * inset
            frame = QRectF(place.left() + 0.5, place.center().y() - 8.5, width, 18)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(self._theme.control_edge, 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(frame, TAG_RADIUS, TAG_RADIUS)
        _draw_text(painter, place.adjusted(inset, 0, 0, 0), shown, self._small, colour)

    def _paint_badge(self, painter: QPainter, place: QRect, badge: RowBadge) -> None:
        """Paint a job's progress: a bar if it is known how far it is, and the words."""
        room = place.width() - BADGE_BAR - GAP
        if badge.fraction is not None and room >= self._width(badge.text, self._small):
            bar = QRectF(place.left(), place.center().y() - 1.5, BADGE_BAR, 4)
            done = QRectF(bar)
            done.setWidth(BADGE_BAR * min(1.0, max(0.0, badge.fraction)))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            for part, colour in ((bar, self._theme.hairline), (done, self._theme.accent)):
                painter.setBrush(colour)
                painter.drawRoundedRect(part, BAR_RADIUS, BAR_RADIUS)
            place = place.adjusted(BADGE_BAR + GAP, 0, 0, 0)
        self._paint_note(painter, place, badge.text, self._theme.secondary, is_tag=False)

    def _mark_found(self, painter: QPainter, place: QRect, shown: _ShownText, font: QFont) -> None:
        """Paint the background of the searched words in a text."""
        metrics = self._metrics[id(font)]
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.match)
        height = metrics.height() + 2
        for start, length in self._search.spans(shown.text):
            left = metrics.horizontalAdvance(shown.text[:start])
            width = metrics.horizontalAdvance(shown.text[: start + length]) - left
            top = place.center().y() - height / 2 + 0.5
            mark = QRectF(place.left() + left - 1, top, width + 2, height)
            painter.drawRoundedRect(mark, BAR_RADIUS, BAR_RADIUS)

    def _width(self, text: str, font: QFont) -> int:
        return self._metrics[id(font)].horizontalAdvance(text)

    def _fitting(self, text: str, width: int, font: QFont) -> _ShownText:
        """Return a text, shortened to a width; remembered, as laying text out takes longest."""
        key = (text, width, id(font))
        shown = self._shown.get(key)
        if shown is None:
            if len(self._shown) > _KEPT_TEXTS:
                self._shown.clear()
            metrics = self._metrics[id(font)]
            elided = metrics.elidedText(text, Qt.TextElideMode.ElideRight, max(0, width))
            static = QStaticText(elided)
            static.setTextFormat(Qt.TextFormat.PlainText)  # names are hostile
            static.setPerformanceHint(QStaticText.PerformanceHint.AggressiveCaching)
            static.prepare(QTransform(), font)
            advance = metrics.horizontalAdvance(elided)
            shown = _ShownText(elided, advance, static.size().height(), static)
            self._shown[key] = shown
        return shown


def _has_bend(lines: tuple[Line, ...]) -> bool:
    return any(line.top_lane != line.bottom_lane for line in lines)


def _draw_text(
    painter: QPainter, place: QRect, shown: _ShownText, font: QFont, colour: QColor
) -> None:
    painter.setFont(font)
    painter.setPen(colour)
    top = place.top() + round((place.height() - shown.height) / 2)
    painter.drawStaticText(QPointF(place.left(), top), shown.static)
