"""The snapshot tree of one VM as a flat item model, one row for each row of its layout.

Hides how a newly read tree becomes the smallest change of the shown one, so that selection,
scroll position and open editors survive every poll, and that texts are made only for rows that
are looked at. Indices carry row and column alone; rows are identified by the snapshot's name,
"You are here" by None.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    QTimer,
    Slot,
)

from snapview.core.layout import LayoutRow
from snapview.core.vm import Snapshot
from snapview.session.views import VmView
from snapview.ui.retention import is_expired
from snapview.ui.row_changes import RowChanges, ranges, row_changes
from snapview.ui.snapshot_columns import (
    COLUMNS,
    Column,
    RowFacts,
    note_text,
    spoken_text,
    tooltip_text,
    tr,
)
from snapview.ui.tree_rows import ShownKey, index_rows, mirrored, parents
from snapview.ui.widgets import literal

Index = QModelIndex | QPersistentModelIndex

AGE_REFRESH_MS = 60_000
ONE_BY_ONE = 100  # rows are announced so; more at a stroke, with those in between

# Joined once: Qt asks twice for each cell it paints, and joining enums is slow in Python.
_ROW_FLAGS = (
    Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemNeverHasChildren
)
_NO_FLAGS = Qt.ItemFlag.NoItemFlags


class Role(IntEnum):
    """The model's own data roles."""

    LAYOUT_ROW = Qt.ItemDataRole.UserRole + 1  # LayoutRow
    SNAPSHOT = Qt.ItemDataRole.UserRole + 2  # Snapshot, None for "You are here"
    NAME = Qt.ItemDataRole.UserRole + 3  # libvirt's name, None for "You are here"
    NOTE = Qt.ItemDataRole.UserRole + 4  # words beside the name
    SORT = Qt.ItemDataRole.UserRole + 5  # what the column is sorted by


@dataclass(frozen=True, slots=True)
class RowBadge:
    """What a job is doing to a row: "reverting…". ``fraction`` is None while nobody knows."""

    text: str
    fraction: float | None = None


class SnapshotModel(QAbstractTableModel):
    """The rows of a snapshot tree. Read-only; GUI thread."""

    def __init__(
        self, parent: QObject | None = None, *, clock: Callable[[], datetime] | None = None
    ) -> None:
        super().__init__(parent)
        self._clock = clock or (lambda: datetime.now(tz=UTC))
        self._view: VmView | None = None
        self._names: list[str | None] = []
        self._layouts: dict[str | None, LayoutRow] = {}
        self._keys: dict[str | None, ShownKey] = {}
        self._row_of: dict[str | None, int] | None = None
        self._texts: dict[tuple[str | None, int], str] = {}
        self._notes: dict[str | None, str] = {}
        self._badges: Mapping[str | None, RowBadge] = {}
        self._newest_first = False
        self._sort: tuple[int, Qt.SortOrder] | None = None
        self._age_timer = QTimer(self)
        self._age_timer.setInterval(AGE_REFRESH_MS)
        self._age_timer.timeout.connect(self.refresh_ages)

    @property
    def view(self) -> VmView | None:
        """The VM that is shown."""
        return self._view

    @property
    def lanes(self) -> int:
        """How many lanes the rows need; 1 while rows are sorted by a column."""
        return self._view.layout.lanes if self._view is not None and self._sort is None else 1

    @property
    def is_sorted(self) -> bool:
        """Whether rows are in the order of a column, so that no branches can be drawn."""
        return self._sort is not None

    @property
    def is_newest_first(self) -> bool:
        """Whether the tree stands upside down, "You are here" above its path."""
        return self._newest_first

    def set_view(self, view: VmView | None) -> None:
        """Show a VM as last read, by the smallest change from what is shown; None: nothing."""
        old = self._view
        if view is None or old is None or view.key != old.key:
            self._reset(view)
            return
        layouts, keys = index_rows(view)
        names = self._ordered(view, layouts)
        changes = row_changes(self._names, names)
        if changes.is_radical:
            self._reset(view)
            return
        was, old_order = self._keys, list(self._layouts)
        self._remove(changes)
        self._view, self._layouts, self._keys = view, layouts, keys
        self._texts.clear()
        self._notes.clear()
        self._reorder(changes)
        self._insert(changes, names)
        is_reordered = old_order != list(layouts)
        is_equal = keys == was
        if not is_equal:
            self._report(was)
        if is_reordered or (not is_equal and parents(keys) != parents(was)):
            self._report_lanes()

    def set_badges(self, badges: Mapping[str | None, RowBadge]) -> None:
        """Say what jobs are doing to rows, by name (None: "You are here")."""
        touched = {
            name for name in {*self._badges, *badges} if self._badges.get(name) != badges.get(name)
        }
        self._badges = dict(badges)
        rows = [row for name in touched if (row := self.row_of(name)) is not None]
        if len(rows) > ONE_BY_ONE:
            self._emit(min(rows), max(rows))
        else:
            for row in rows:
                self._emit(row, row)

    def set_newest_first(self, *, newest_first: bool) -> None:
        """Turn the tree round, so that "You are here" is on top."""
        if newest_first != self._newest_first:
            self._newest_first = newest_first
            self._order_again()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Put rows in the order of a column; -1 goes back to the tree."""
        wanted = (column, order) if 0 <= column < len(COLUMNS) else None
        if wanted != self._sort:
            self._sort = wanted
            self._order_again()

    @Slot()
    def refresh_ages(self) -> None:
        """Work the ages out anew; happens by itself once a minute."""
        self._texts.clear()
        self._notes.clear()
        if self._names:
            column = column_number(Column.AGE)
            top, bottom = self.index(0, column), self.index(len(self._names) - 1, column)
            self.dataChanged.emit(top, bottom, [Qt.ItemDataRole.DisplayRole])

    def row_of(self, name: str | None) -> int | None:
        """Return the row of a snapshot (None: of "You are here"), or None if it is not shown."""
        if self._row_of is None:
            self._row_of = {known: row for row, known in enumerate(self._names)}
        return self._row_of.get(name)

    def name_at(self, row: int) -> str | None:
        """Return the snapshot's name in a row; None for "You are here"."""
        return self._names[row]

    def snapshot_at(self, row: int) -> Snapshot | None:
        """Return the snapshot of a row; None for "You are here"."""
        name = self._names[row]
        return self._view.vm.tree.get(name) if self._view and name is not None else None

    def layout_at(self, row: int) -> LayoutRow:
        """Return where a row's node and lines are drawn."""
        layout = self._layouts[self._names[row]]
        if self._sort is not None:
            return replace(layout, lane=0, upper=(), lower=())
        if self._newest_first:
            return mirrored(layout)
        return layout

    def badge_at(self, row: int) -> RowBadge | None:
        """Return what a job is doing to a row."""
        return self._badges.get(self._names[row])

    def text_at(self, row: int, column: int) -> str:
        """Return the text of a cell; remembered until the next change."""
        key = (self._names[row], column)
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = COLUMNS[column].text(self._facts(row))
        return text

    def note_at(self, row: int) -> str:
        """Return the words beside a row's name; remembered until the next change."""
        name = self._names[row]
        note = self._notes.get(name)
        if note is None:
            note = self._notes[name] = note_text(self._facts(row))
        return note

    def is_expired_at(self, row: int) -> bool:
        """Whether the row is a kept state that may go."""
        snapshot = self.snapshot_at(row)
        return snapshot is not None and is_expired(snapshot, self._clock())

    def rowCount(self, parent: Index | None = None) -> int:
        """Return the number of rows; rows have no children."""
        return 0 if parent is not None and parent.isValid() else len(self._names)

    def columnCount(self, parent: Index | None = None) -> int:
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Return what a cell shows, says, or is about."""
        row, column = index.row(), index.column()
        if not index.isValid() or row >= len(self._names):
            return None
        roles = Qt.ItemDataRole
        match role:
            case roles.DisplayRole:
                return self.text_at(row, column)
            case roles.ToolTipRole:
                return literal(tooltip_text(self._facts(row)))
            case roles.AccessibleTextRole:
                return self._spoken(row, column)
            case Role.LAYOUT_ROW:
                return self.layout_at(row)
            case Role.SNAPSHOT:
                return self.snapshot_at(row)
            case Role.NAME:
                return self._names[row]
            case Role.NOTE:
                return self.note_at(row)
            case Role.SORT:
                return COLUMNS[column].sort_key(self._facts(row))
        return None

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> object:
        """Return the titles of the columns."""
        is_column = orientation is Qt.Orientation.Horizontal and 0 <= section < len(COLUMNS)
        if is_column and role in {
            Qt.ItemDataRole.DisplayRole,
            Qt.ItemDataRole.AccessibleTextRole,
        }:
            return tr(COLUMNS[section].title)
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Return that every row can be selected."""
        if not index.isValid():
            return _NO_FLAGS
        return _ROW_FLAGS

    def _facts(self, row: int) -> RowFacts:
        name, view = self._names[row], self._view
        assert view is not None  # there are rows
        return RowFacts(
            layout=self._layouts[name],
            snapshot=view.vm.tree.get(name) if name is not None else None,
            vm=view.vm,
            now=self._clock(),
            is_stale=view.is_stale,
        )

    def _spoken(self, row: int, column: int) -> str:
        if COLUMNS[column].id is Column.NAME:
            badge = self.badge_at(row)
            spoken = spoken_text(self._facts(row))
            return f"{spoken}, {badge.text}" if badge else spoken
        text = self.text_at(row, column)
        return f"{tr(COLUMNS[column].title)}: {text}" if text else ""

    def _ordered(self, view: VmView, layouts: Mapping[str | None, LayoutRow]) -> list[str | None]:
        """Return names in the order in which rows are to be shown."""
        names = list(layouts)
        if self._newest_first:
            names.reverse()
        if self._sort is None:
            return names
        column, order = self._sort
        now, key = self._clock(), COLUMNS[column].sort_key
        tree = view.vm.tree
        facts = {
            name: RowFacts(
                layouts[name], tree.get(name) if name is not None else None, view.vm, now
            )
            for name in names
        }
        is_descending = order is Qt.SortOrder.DescendingOrder
        names.sort(key=lambda name: key(facts[name]), reverse=is_descending)
        return names

    def _reset(self, view: VmView | None) -> None:
        self.beginResetModel()
        self._view = view
        self._layouts, self._keys = index_rows(view) if view is not None else ({}, {})
        self._names = self._ordered(view, self._layouts) if view is not None else []
        self._forget_places()
        self.endResetModel()
        if self._names:
            self._age_timer.start()
        else:
            self._age_timer.stop()

    def _order_again(self) -> None:
        if self._view is not None:
            names = self._ordered(self._view, self._layouts)
            self._reorder(row_changes(self._names, names))
            self._report_lanes()

    def _remove(self, changes: RowChanges) -> None:
        for first, last in changes.removals:
            self.beginRemoveRows(QModelIndex(), first, last)
            del self._names[first : last + 1]
            self._forget_places()
            self.endRemoveRows()

    def _reorder(self, changes: RowChanges) -> None:
        if changes.order is None:
            return
        self.layoutAboutToBeChanged.emit()
        new_place = {before: after for after, before in enumerate(changes.order)}
        self._names = [self._names[before] for before in changes.order]
        self._forget_places()
        moved = self.persistentIndexList()
        self.changePersistentIndexList(
            moved, [self.index(new_place[at.row()], at.column()) for at in moved]
        )
        self.layoutChanged.emit()

    def _insert(self, changes: RowChanges, names: Sequence[str | None]) -> None:
        for first, last in changes.insertions:
            self.beginInsertRows(QModelIndex(), first, last)
            self._names[first:first] = names[first : last + 1]
            self._forget_places()
            self.endInsertRows()

    def _report(self, was: Mapping[str | None, ShownKey]) -> None:
        """Announce the rows whose own texts changed."""
        now = self._keys
        changed = (at for at, name in enumerate(self._names) if now[name] != was.get(name))
        for first, last in ranges(changed):
            self._emit(first, last)

    def _report_lanes(self) -> None:
        """Announce that lines may run differently anywhere; only visible rows are repainted."""
        if self._names:
            top, bottom = self.index(0, 0), self.index(len(self._names) - 1, 0)
            self.dataChanged.emit(top, bottom, [Role.LAYOUT_ROW])

    def _emit(self, first: int, last: int) -> None:
        self.dataChanged.emit(self.index(first, 0), self.index(last, len(COLUMNS) - 1))

    def _forget_places(self) -> None:
        self._row_of = None
        self._texts.clear()
        self._notes.clear()


def column_number(column: Column) -> int:
    """Return where a column stands."""
    return next(number for number, spec in enumerate(COLUMNS) if spec.id is column)
