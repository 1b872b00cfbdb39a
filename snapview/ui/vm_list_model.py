"""The item model behind the sidebar: connections, and under each its VMs or a note.

Hides the difference between two lists of VMs: what did not change keeps its row, so that the
selection stays. Indices carry the number of their connection, never a Python object.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum
from urllib.parse import urlsplit

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from snapview.core.vm import RunState, VmSummary
from snapview.session import ConnectionState, ConnectionView, VmKey
from snapview.ui.format import count_text, run_state_text

Index = QModelIndex | QPersistentModelIndex


class RowKind(Enum):
    """What a row of the sidebar is."""

    CONNECTION = "connection"
    VM = "vm"
    NOTE = "note"  # why a connection has no VMs to show


class ListRole(IntEnum):
    """The data of a row besides its text."""

    KIND = Qt.ItemDataRole.UserRole + 1
    KEY = Qt.ItemDataRole.UserRole + 2  # VmKey of a VM
    URI = Qt.ItemDataRole.UserRole + 3
    RUN_STATE = Qt.ItemDataRole.UserRole + 4
    COUNT = Qt.ItemDataRole.UserRole + 5  # snapshots; None: unknown
    CONNECTION_STATE = Qt.ItemDataRole.UserRole + 6
    IS_STALE = Qt.ItemDataRole.UserRole + 7
    ADDRESS = Qt.ItemDataRole.UserRole + 8  # the URI as far as a person wants to see it


@dataclass(frozen=True, slots=True)
class _Child:
    """A row under a connection; ``uuid`` is empty for the note."""

    uuid: str
    text: str
    run_state: RunState = RunState.UNKNOWN
    count: int | None = None


@dataclass(slots=True)
class _Connection:
    """A connection with its rows. ``number`` is never used twice."""

    number: int
    view: ConnectionView
    children: list[_Child]


def host_name(uri: str) -> str:
    """Return the machine of a libvirt URI; empty for this one."""
    try:
        return urlsplit(uri).hostname or ""
    except ValueError:  # not a URI at all; the connection will say so
        return ""


DEMO_SOCKET = "/snapview/demo/run/libvirt/libvirt-sock"


def is_demo_lab(uri: str) -> bool:
    """Whether a libvirt URI is that of the demo lab."""
    return uri.endswith(DEMO_SOCKET)


class VmListModel(QAbstractItemModel):
    """Connections and their VMs. GUI thread."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._connections: list[_Connection] = []
        self._next_number = 1

    # -- what the window tells it

    def show_connection(self, view: ConnectionView) -> None:
        """Add the connection, or take over its changes."""
        children = self._children_of(view)
        row = self._row_of(view.uri)
        if row is None:
            row = len(self._connections)
            self.beginInsertRows(QModelIndex(), row, row)
            self._connections.append(_Connection(self._next_number, view, children))
            self._next_number += 1
            self.endInsertRows()
            return
        connection = self._connections[row]
        if connection.view != view:
            connection.view = view
            index = self.index(row, 0)
            self.dataChanged.emit(index, index)
        self._merge(connection, children)

    def remove_connection(self, uri: str) -> None:
        """Take a connection and its VMs away."""
        row = self._row_of(uri)
        if row is not None:
            self.beginRemoveRows(QModelIndex(), row, row)
            del self._connections[row]
            self.endRemoveRows()

    def index_of(self, key: VmKey) -> QModelIndex:
        """Return where a VM is; invalid when it is not there."""
        row = self._row_of(key.uri)
        if row is None:
            return QModelIndex()
        for at, child in enumerate(self._connections[row].children):
            if child.uuid == key.uuid:
                return self.index(at, 0, self.index(row, 0))
        return QModelIndex()

    def index_of_connection(self, uri: str) -> QModelIndex:
        """Return where a connection is; invalid when it is not there."""
        row = self._row_of(uri)
        return QModelIndex() if row is None else self.index(row, 0)

    def vm_count(self) -> int:
        """Return how many VMs there are in all."""
        return sum(len(each.view.vms) for each in self._connections)

    # -- what Qt asks

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: B008  # Qt's own signature
        """Return the index of a row."""
        if not self.hasIndex(row, column, parent):
            return QModelIndex()
        number = self._connections[parent.row()].number if parent.isValid() else 0
        return self.createIndex(row, column, number)

    def parent(self, child: Index = QModelIndex()) -> QModelIndex:  # type: ignore[override]  # noqa: B008  # QObject.parent has the same name
        """Return the connection of a VM's index."""
        if not child.isValid() or not child.internalId():
            return QModelIndex()
        for row, each in enumerate(self._connections):
            if each.number == child.internalId():
                return self.createIndex(row, 0, 0)
        return QModelIndex()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008  # Qt's own signature
        """Return the number of connections, or of rows under one."""
        if not parent.isValid():
            return len(self._connections)
        if parent.internalId() or parent.column():
            return 0
        return len(self._connections[parent.row()].children)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008  # Qt's own signature
        """Return 1."""
        return 1

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Return what can be done with a row; notes cannot be selected."""
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        if index.data(ListRole.KIND) is RowKind.NOTE:
            return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemNeverHasChildren
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Return the data of a row."""
        if not index.isValid():
            return None
        if not index.internalId():
            return self._connection_data(self._connections[index.row()], role)
        row = self.parent(index).row()
        connection = self._connections[row]
        return self._child_data(connection, connection.children[index.row()], role)

    def _connection_data(self, connection: _Connection, role: int) -> object:
        view = connection.view
        is_demo = is_demo_lab(view.uri)
        name = host_name(view.uri) or self.tr("This computer")
        name = self.tr("Demo lab") if is_demo else name
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return name
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"{name}, {view.uri}, {self._state_text(view)}"
            case Qt.ItemDataRole.ToolTipRole:
                return "\n".join(filter(None, (view.uri, self._state_text(view))))
            case ListRole.KIND:
                return RowKind.CONNECTION
            case ListRole.URI:
                return view.uri
            case ListRole.ADDRESS:
                return self.tr("a libvirt of its own") if is_demo else view.uri.partition("?")[0]
            case ListRole.CONNECTION_STATE:
                return view.state
            case ListRole.IS_STALE:
                return view.is_stale
        return None

    def _child_data(self, connection: _Connection, child: _Child, role: int) -> object:
        kind = RowKind.VM if child.uuid else RowKind.NOTE
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return child.text
            case Qt.ItemDataRole.AccessibleTextRole:
                return self._spoken(child)
            case ListRole.KIND:
                return kind
            case ListRole.KEY:
                return VmKey(connection.view.uri, child.uuid) if child.uuid else None
            case ListRole.URI:
                return connection.view.uri
            case ListRole.RUN_STATE:
                return child.run_state
            case ListRole.COUNT:
                return child.count
            case ListRole.IS_STALE:
                return connection.view.is_stale
        return None

    # -- the difference of two lists

    def _merge(self, connection: _Connection, wanted: list[_Child]) -> None:
        row = self._row_of(connection.view.uri)
        if row is None or connection.children == wanted:
            return
        parent = self.index(row, 0)
        kept = {child.uuid for child in wanted}
        for at in range(len(connection.children) - 1, -1, -1):
            if connection.children[at].uuid not in kept:
                self._remove(parent, connection, at)
        for at, child in enumerate(wanted):
            self._place(parent, connection, at, child)

    def _place(self, parent: QModelIndex, connection: _Connection, at: int, child: _Child) -> None:
        """Bring ``child`` to row ``at``; the rows above are already right."""
        rows = connection.children
        found = next((i for i in range(at, len(rows)) if rows[i].uuid == child.uuid), None)
        if found is None:
            self.beginInsertRows(parent, at, at)
            rows.insert(at, child)
            self.endInsertRows()
            return
        if found != at:
            self.beginMoveRows(parent, found, found, parent, at)
            rows.insert(at, rows.pop(found))
            self.endMoveRows()
        if rows[at] != child:
            rows[at] = child
            index = self.index(at, 0, parent)
            self.dataChanged.emit(index, index)

    def _remove(self, parent: QModelIndex, connection: _Connection, at: int) -> None:
        self.beginRemoveRows(parent, at, at)
        del connection.children[at]
        self.endRemoveRows()

    def _row_of(self, uri: str) -> int | None:
        return next((i for i, c in enumerate(self._connections) if c.view.uri == uri), None)

    # -- words

    def _children_of(self, view: ConnectionView) -> list[_Child]:
        if not view.vms:
            return [_Child("", self._state_text(view))]
        return [_child(vm) for vm in view.vms]

    def _state_text(self, view: ConnectionView) -> str:
        if view.state is ConnectionState.CONNECTED:
            return "" if view.vms else self.tr("no virtual machines")
        return {
            ConnectionState.CONNECTING: self.tr("connecting…"),
            ConnectionState.LOST: self.tr("connection lost"),
            ConnectionState.NOT_PERMITTED: self.tr("not permitted"),
            ConnectionState.NOT_INSTALLED: self.tr("no libvirt here"),
            ConnectionState.FAILED: self.tr("no connection"),
        }[view.state]

    def _spoken(self, child: _Child) -> str:
        if not child.uuid:
            return child.text
        return f"{child.text}, {run_state_text(child.run_state)}, {count_text(child.count)}"


def _child(vm: VmSummary) -> _Child:
    return _Child(vm.uuid, vm.name, vm.run_state, vm.snapshot_count)
