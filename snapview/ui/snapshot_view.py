"""The snapshot tree of the shown VM: one row for each snapshot, and "You are here".

Hides model, delegate and header, the walk from parent to child by keys, and which snapshot is
selected after the tree has changed. It is a table rather than a tree view: a ``QTreeView`` makes
an item for every row on each insertion, which takes 80 ms for 10,000 rows.
"""

from collections.abc import Mapping

from PySide6.QtCore import (
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPoint,
    QRect,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTableView, QWidget

from snapview.session.views import VmKey, VmView
from snapview.ui.snapshot_columns import tr
from snapview.ui.snapshot_delegate import SnapshotDelegate
from snapview.ui.snapshot_model import RowBadge, SnapshotModel
from snapview.ui.snapshot_search import SnapshotSearch
from snapview.ui.theme import FOCUS_RING, ROW_HEIGHT, current_theme
from snapview.ui.tree_header import TreeHeader

LIVE_ROW = ""  # stands for "You are here" where a row is named; no snapshot has an empty name

_SELECT = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows


class SnapshotView(QTableView):
    """Shows a VM's snapshots; selection, hover and search go by snapshot name."""

    snapshot_selected = Signal(object)  # name of the current row, LIVE_ROW, or None for no row
    selection_changed = Signal(object)  # tuple of the selected snapshots' names, top to bottom
    hovered = Signal(object)  # name under the pointer, LIVE_ROW, or None
    menu_requested = Signal(QPoint)  # global place for the menu of the selected rows
    activated_row = Signal(object)  # name of a row that was double-clicked or entered

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.snapshots = SnapshotModel(self)
        self._search = SnapshotSearch()
        self._selected_in: dict[VmKey, str] = {}  # last current row of VMs shown before
        self._current: str | None = None
        self._hovered: str | None = None
        self._shows_focus = False
        self._delegate = SnapshotDelegate(self.snapshots, self._search, self)
        self._header = TreeHeader(self)
        self._set_up()
        self._connect()

    def _set_up(self) -> None:
        self.setModel(self.snapshots)
        self.setItemDelegate(self._delegate)
        self.setHorizontalHeader(self._header)
        rows = self.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMinimumSectionSize(ROW_HEIGHT)
        rows.setDefaultSectionSize(ROW_HEIGHT)
        self.setShowGrid(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setCornerButtonEnabled(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMouseTracking(True)
        self.setAccessibleName(tr("Snapshots"))
        self.setAccessibleDescription(
            tr("Left and Right go to parent and child, End goes to “You are here”.")
        )

    def _connect(self) -> None:
        self.selectionModel().currentChanged.connect(self._on_current_changed)
        self.selectionModel().selectionChanged.connect(self._on_selection_changed)
        self.doubleClicked.connect(self._on_activated)
        self._header.sortIndicatorChanged.connect(self._on_sort_changed)

    # What is shown

    def show_vm(self, view: VmView | None) -> None:
        """Show a VM as last read; selection and scroll position stay where they can."""
        old = self.snapshots.view
        is_other = old is None or view is None or view.key != old.key
        if old is not None and self._current is not None:
            self._selected_in[old.key] = self._current
        survivors = self._survivors()
        self.snapshots.set_view(view)
        if self._search.text:
            self._search.repeat(view)
        if is_other:
            self._header.fit(self.viewport().width())
            self._select_first(view)
        elif survivors[0] is not None and self.snapshots.row_of(survivors[0] or None) is None:
            self._select_any(survivors)
        self.viewport().update()

    def show_badges(self, badges: Mapping[str | None, RowBadge]) -> None:
        """Show what jobs are doing to rows, by snapshot name (None: "You are here")."""
        self.snapshots.set_badges(badges)

    def set_newest_first(self, *, newest_first: bool) -> None:
        """Turn the tree round, so that "You are here" is on top."""
        self.snapshots.set_newest_first(newest_first=newest_first)
        self.scrollTo(self.currentIndex())

    def column_state(self) -> str:
        """Return the columns' widths and visibility, to be stored."""
        return self._header.widths()

    def restore_column_state(self, state: str) -> None:
        """Take up what ``column_state`` returned once."""
        self._header.restore_widths(state)

    # Selection

    @property
    def current_name(self) -> str | None:
        """The current row's snapshot, ``LIVE_ROW``, or None when no row is current."""
        return self._current

    @property
    def selected_names(self) -> tuple[str, ...]:
        """The selected snapshots from top to bottom, without "You are here"."""
        # By ranges: Qt looks at each column of each row to say which whole rows are selected.
        found = self.selectionModel().selection()
        ranges = [found.at(place) for place in range(found.count())]
        rows = sorted({row for each in ranges for row in range(each.top(), each.bottom() + 1)})
        names = (self.snapshots.name_at(row) for row in rows)
        return tuple(name for name in names if name is not None)

    def select_name(self, name: str | None) -> bool:
        """Select a row alone and show it (``LIVE_ROW`` or None: "You are here").

        Returns:
            Whether there is such a row.
        """
        row = self.snapshots.row_of(name or None)
        if row is None:
            return False
        index = self.snapshots.index(row, 0)
        self.selectionModel().setCurrentIndex(index, _SELECT)
        self.scrollTo(index)
        return True

    def _select_first(self, view: VmView | None) -> None:
        """Select what was selected when this VM was last shown, else the latest state."""
        if view is None:
            self._on_current_changed(QModelIndex(), QModelIndex())
            return
        known = self._selected_in.get(view.key)
        candidates = [view.vm.tree.current, LIVE_ROW]
        self._select_any([known, *candidates] if known is not None else candidates)
        live = self.snapshots.row_of(None)
        if known is None and live is not None:
            self.scrollTo(self.snapshots.index(live, 0))
            self.scrollTo(self.currentIndex())

    def _select_any(self, names: list[str | None]) -> None:
        for name in names:
            if name is not None and self.select_name(name):
                return

    def _survivors(self) -> list[str | None]:
        """Return what to select if the current row goes: itself, else its ancestors, or live."""
        view, name = self.snapshots.view, self._current
        if view is None or not name or name not in view.vm.tree:
            return [name, LIVE_ROW]
        return [name, *view.vm.tree.ancestors(name), LIVE_ROW]

    # Search

    def set_search(self, text: str) -> int:
        """Highlight the snapshots that contain ``text``, dim the others, go to the first found.

        Returns:
            How many snapshots were found; 0 also when ``text`` is empty.
        """
        count = self._search.search(text, self.snapshots.view)
        self.viewport().update()
        if count and not self._search.finds(self._current or None):
            self.next_match()
        return count

    def next_match(self) -> bool:
        """Select the next found snapshot, from the end again from the top."""
        return self._go_to_match(1)

    def previous_match(self) -> bool:
        """Select the found snapshot before, from the top again from the end."""
        return self._go_to_match(-1)

    def _go_to_match(self, step: int) -> bool:
        count = self.snapshots.rowCount()
        start = self.currentIndex().row() if self.currentIndex().isValid() else -max(0, step)
        for distance in range(1, count + 1):
            row = (start + step * distance) % count
            name = self.snapshots.name_at(row)
            if name is not None and self._search.finds(name):
                return self.select_name(name)
        return False

    # Keyboard

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go to parent, child, the first row or "You are here"; all else as in any table."""
        self._show_focus(shown=True)
        relatives = {
            Qt.Key.Key_Left: self._parent_row,
            Qt.Key.Key_Right: self._child_row,
            Qt.Key.Key_Home: self._first_row,
            Qt.Key.Key_End: self._live_row,
        }
        find = relatives.get(Qt.Key(event.key()))
        plain = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier
        if find is None or event.modifiers() not in plain:
            if event.key() in {Qt.Key.Key_Return, Qt.Key.Key_Enter} and self._current is not None:
                self.activated_row.emit(self._current)
                return
            super().keyPressEvent(event)
            return
        row = find()
        if row is not None:
            self.select_name(self.snapshots.name_at(row))

    def _parent_row(self) -> int | None:
        view, name = self.snapshots.view, self._current
        if view is None or name is None:
            return None
        tree = view.vm.tree
        parent = tree.current if name == LIVE_ROW else tree.parent(name)
        return self.snapshots.row_of(parent) if parent is not None else None

    def _child_row(self) -> int | None:
        """Return the row of the child on the live path, else of the oldest child."""
        view, name = self.snapshots.view, self._current
        if view is None or not name:
            return None
        tree = view.vm.tree
        if name == tree.current:
            return self.snapshots.row_of(None)
        children = tree.children(name)
        live = set(tree.live_path())
        child = next((child for child in children if child in live), None)
        if child is None and children:
            child = children[0]
        return self.snapshots.row_of(child) if child is not None else None

    def _first_row(self) -> int | None:
        return 0 if self.snapshots.rowCount() else None

    def _live_row(self) -> int | None:
        return self.snapshots.row_of(None)

    # Pointer, focus and painting

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tint the row under the pointer."""
        super().mouseMoveEvent(event)
        self._hover(self.rowAt(round(event.position().y())))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Select as in any table; whoever uses the mouse needs no focus ring."""
        self._show_focus(shown=False)
        super().mousePressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        """Take the tint away."""
        super().leaveEvent(event)
        self._hover(-1)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Ask for a menu: at the pointer, or below the current row when a key asked."""
        if event.reason() is QContextMenuEvent.Reason.Keyboard:
            below = self.visualRect(self.currentIndex()).bottomLeft() + QPoint(ROW_HEIGHT, 0)
            self.menu_requested.emit(self.viewport().mapToGlobal(below))
        elif self.indexAt(event.pos()).isValid():
            self.menu_requested.emit(event.globalPos())

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show the focus ring when a key brought the focus."""
        super().focusInEvent(event)
        by_key = {
            Qt.FocusReason.TabFocusReason,
            Qt.FocusReason.BacktabFocusReason,
            Qt.FocusReason.ShortcutFocusReason,
        }
        if event.reason() in by_key:
            self._show_focus(shown=True)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Share the new width among the columns."""
        super().resizeEvent(event)
        self._header.fit(self.viewport().width())

    def changeEvent(self, event: QEvent) -> None:
        """Take on new colours and fonts."""
        super().changeEvent(event)
        if event.type() in {QEvent.Type.PaletteChange, QEvent.Type.FontChange}:
            self._delegate.refresh_theme()
            self.viewport().update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the rows, then the focus ring around the current one."""
        super().paintEvent(event)
        index = self.currentIndex()
        if not (self._shows_focus and self.hasFocus() and index.isValid()):
            return
        ring = self._row_rect(index.row()).adjusted(1, 1, -1, -1)
        painter = QPainter(self.viewport())
        pen = QPen(current_theme().accent, FOCUS_RING)
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        painter.setPen(pen)
        painter.drawRect(ring)
        painter.end()

    def _row_rect(self, row: int) -> QRect:
        top = self.rowViewportPosition(row)
        return QRect(0, top, self.viewport().width(), self.rowHeight(row))

    def _show_focus(self, *, shown: bool) -> None:
        if shown != self._shows_focus:
            self._shows_focus = shown
            self.viewport().update()

    def _hover(self, row: int) -> None:
        if row == self._delegate.hovered_row:
            return
        for touched in (row, self._delegate.hovered_row):
            if touched >= 0:
                self.viewport().update(self._row_rect(touched))
        self._delegate.hovered_row = row
        name = self.snapshots.name_at(row) or LIVE_ROW if row >= 0 else None
        if name != self._hovered:
            self._hovered = name
            self.hovered.emit(name)

    # Slots

    @Slot(QModelIndex, QModelIndex)
    def _on_current_changed(self, current: QModelIndex, previous: QModelIndex) -> None:
        is_row = current.isValid() and current.row() < self.snapshots.rowCount()
        name = self.snapshots.name_at(current.row()) or LIVE_ROW if is_row else None
        self.viewport().update()  # the focus ring moves
        if name != self._current:
            self._current = name
            self.snapshot_selected.emit(name)

    @Slot(QItemSelection, QItemSelection)
    def _on_selection_changed(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        self.selection_changed.emit(self.selected_names)

    @Slot(QModelIndex)
    def _on_activated(self, index: QModelIndex) -> None:
        self.activated_row.emit(self.snapshots.name_at(index.row()) or LIVE_ROW)

    @Slot(int, Qt.SortOrder)
    def _on_sort_changed(self, section: int, order: Qt.SortOrder) -> None:
        self.snapshots.sort(section, order)
        self.scrollTo(self.currentIndex())
