"""The column header of the snapshot tree: its look, and how wide columns are.

Hides that columns share the room by themselves until the user has chosen widths, that columns
give way one after the other when the window is narrow, and how both are remembered.
"""

import json
import logging
from functools import partial

from PySide6.QtCore import QPoint, QPointF, QRect, QSize, Qt, Slot
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPolygonF
from PySide6.QtWidgets import QHeaderView, QMenu, QWidget

from snapview.ui.snapshot_columns import COLUMNS, Column, tr
from snapview.ui.snapshot_delegate import CELL_LEFT, CELL_RIGHT
from snapview.ui.snapshot_model import column_number
from snapview.ui.theme import COLUMN_HEADER, INSET, caption_font, current_theme, text_font

_log = logging.getLogger(__name__)

NAME_LEAST = 230  # lanes and a readable name; others give way before
DESCRIPTION_SHARE = 0.45  # of the room that Name and Description have together
LEAST_WIDTH = 40
_GIVING_WAY = (Column.DESCRIPTION, Column.STATE, Column.KIND)  # in this order
_SORT_ARROW = 12


class TreeHeader(QHeaderView):
    """Column titles with a hairline below; a third click on a title goes back to the tree."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._chosen_px: dict[Column, int] = {}
        self._unwanted: set[Column] = set()
        self._is_fitting = False
        self._room_px = 0
        self.setSectionsClickable(True)
        self.setSortIndicatorShown(True)
        self.setSortIndicatorClearable(True)
        self.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setHighlightSections(False)
        self.setMinimumSectionSize(LEAST_WIDTH)
        self.setFixedHeight(COLUMN_HEADER)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._on_menu_requested)
        self.sectionResized.connect(self._on_section_resized)

    def fit(self, room_px: int) -> None:
        """Share the room among the columns: Name takes what the others leave."""
        self._room_px = room_px
        if self.count() != len(COLUMNS) or room_px <= 0:
            return
        self._is_fitting = True
        try:
            widths = self._widths(room_px)
            for number, spec in enumerate(COLUMNS):
                self.setSectionHidden(number, spec.id not in widths)
                if spec.id in widths:
                    self.resizeSection(number, widths[spec.id])
        finally:
            self._is_fitting = False

    def widths(self) -> str:
        """Return the widths and columns that the user chose, to be stored."""
        return json.dumps(
            {
                "widths": {column.name.lower(): px for column, px in self._chosen_px.items()},
                "hidden": sorted(column.name.lower() for column in self._unwanted),
            }
        )

    def restore_widths(self, state: str) -> None:
        """Take up what ``widths`` returned once; what cannot be read is left out."""
        try:
            stored = json.loads(state) if state else {}
            widths, hidden = dict(stored.get("widths", {})), list(stored.get("hidden", []))
        except (ValueError, TypeError, AttributeError):
            _log.warning("The stored column widths cannot be read; the usual ones are used.")
            return
        columns = {column.name.lower(): column for column in Column}
        self._chosen_px = {
            columns[name]: max(LEAST_WIDTH, px)
            for name, px in widths.items()
            if name in columns and isinstance(px, int)
        }
        self._unwanted = {columns[name] for name in hidden if name in columns} - {Column.NAME}
        self.fit(self._room_px)

    def sizeHint(self) -> QSize:
        """Return the header's height; it is as wide as its view."""
        return QSize(super().sizeHint().width(), COLUMN_HEADER)

    def paintSection(self, painter: QPainter, rect: QRect, section: int) -> None:
        """Paint one title."""
        theme, font = current_theme(), caption_font()
        painter.fillRect(rect, theme.base)
        painter.fillRect(rect.left(), rect.bottom(), rect.width(), 1, theme.hairline)
        spec = COLUMNS[section]
        left = INSET if spec.id is Column.NAME else CELL_LEFT
        place = rect.adjusted(left, 0, -CELL_RIGHT, -1)
        metrics = QFontMetrics(font)
        is_sorted = self.sortIndicatorSection() == section
        room = place.width() - (_SORT_ARROW if is_sorted else 0)
        title = metrics.elidedText(tr(spec.title), Qt.TextElideMode.ElideRight, room)
        painter.setFont(font)
        painter.setPen(theme.text if is_sorted else theme.secondary)
        painter.drawText(place, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, title)
        if is_sorted:
            self._paint_arrow(painter, place.left() + metrics.horizontalAdvance(title) + 5, rect)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the titles, and the surface beyond the last column."""
        painter = QPainter(self.viewport())
        theme, rect = current_theme(), self.viewport().rect()
        painter.fillRect(rect, theme.base)
        painter.fillRect(0, rect.bottom(), rect.width(), 1, theme.hairline)
        painter.end()
        super().paintEvent(event)

    def _paint_arrow(self, painter: QPainter, left: int, rect: QRect) -> None:
        is_up = self.sortIndicatorOrder() is Qt.SortOrder.AscendingOrder
        middle = rect.center().y()
        base, tip = (middle + 2, middle - 2) if is_up else (middle - 2, middle + 2)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(current_theme().text)
        painter.drawPolygon(
            QPolygonF([QPointF(left, base), QPointF(left + 7, base), QPointF(left + 3.5, tip)])
        )

    def _widths(self, room_px: int) -> dict[Column, int]:
        """Return the width of each column there is room for."""
        wanted = [spec.id for spec in COLUMNS if spec.id not in self._unwanted]
        widths = {column: self._natural_px(column) for column in wanted}
        for column in (None, *_GIVING_WAY):
            if column is not None:
                widths.pop(column, None)
            others = sum(px for at, px in widths.items() if at is not Column.NAME)
            if room_px - others >= NAME_LEAST:
                break
        others = sum(px for at, px in widths.items() if at is not Column.NAME)
        is_free = Column.DESCRIPTION in widths and Column.DESCRIPTION not in self._chosen_px
        if is_free:
            shared = room_px - others + widths[Column.DESCRIPTION]
            least = widths[Column.DESCRIPTION]
            share = min(round(shared * DESCRIPTION_SHARE), shared - NAME_LEAST)
            share = max(least, share)
            others += share - least
            widths[Column.DESCRIPTION] = share
        widths[Column.NAME] = max(LEAST_WIDTH, room_px - others)
        return widths

    def _natural_px(self, column: Column) -> int:
        """Return the width that the user chose, or that the usual texts need."""
        if column in self._chosen_px:
            return self._chosen_px[column]
        spec = COLUMNS[column_number(column)]
        if not spec.sample:
            return spec.least_width
        metrics = QFontMetrics(text_font())
        return CELL_LEFT + metrics.horizontalAdvance(tr(spec.sample)) + CELL_RIGHT + 4

    @Slot(int, int, int)
    def _on_section_resized(self, section: int, old_px: int, new_px: int) -> None:
        if self._is_fitting or not 0 <= section < len(COLUMNS) or new_px == 0:
            return
        column = COLUMNS[section].id
        if column is not Column.NAME:
            self._chosen_px[column] = new_px
        elif old_px != new_px:  # the edge of Name moves: its right neighbour gives or takes
            self._give_to_neighbour(old_px - new_px)
        self.fit(self._room_px)

    def _give_to_neighbour(self, change_px: int) -> None:
        shown = [spec.id for at, spec in enumerate(COLUMNS) if not self.isSectionHidden(at)]
        if len(shown) > 1:
            neighbour = shown[1]
            width = self.sectionSize(column_number(neighbour)) + change_px
            self._chosen_px[neighbour] = max(LEAST_WIDTH, width)

    @Slot(QPoint)
    def _on_menu_requested(self, place: QPoint) -> None:
        menu = self.make_menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.mapToGlobal(place))

    def make_menu(self) -> QMenu:
        """Return the menu that shows and hides columns."""
        menu = QMenu(self)
        for spec in COLUMNS:
            if spec.id is Column.NAME:
                continue
            action = menu.addAction(tr(spec.title))
            action.setCheckable(True)
            action.setChecked(spec.id not in self._unwanted)
            action.toggled.connect(partial(self._on_column_toggled, spec.id))
        menu.addSeparator()
        menu.addAction(tr("Usual widths"), self._on_widths_reset)
        return menu

    def _on_column_toggled(self, column: Column, is_wanted: bool) -> None:  # noqa: FBT001 - Qt's signal
        if is_wanted:
            self._unwanted.discard(column)
        else:
            self._unwanted.add(column)
        self.fit(self._room_px)

    @Slot()
    def _on_widths_reset(self) -> None:
        self._chosen_px.clear()
        self.fit(self._room_px)
