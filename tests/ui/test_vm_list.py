"""The sidebar: its model under Qt's tester, the selection, the filter, the painting."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtTest import QAbstractItemModelTester, QSignalSpy, QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from snapview.core.vm import RunState, VmSummary
from snapview.session import ConnectionState, ConnectionView, VmKey
from snapview.ui.vm_list import MANY_VMS, VmList
from snapview.ui.vm_list_model import ListRole, RowKind, VmListModel, host_name

ONE, TWO = "qemu:///system", "qemu+ssh://mira@lab2/system"
CONNECTED = ConnectionState.CONNECTED


def vms(*names: str, state: RunState = RunState.RUNNING) -> tuple[VmSummary, ...]:
    return tuple(VmSummary(name, name, state, 1) for name in names)


def names(model: VmListModel, uri: str) -> list[str]:
    parent = model.index_of_connection(uri)
    rows = range(model.rowCount(parent))
    return [str(model.index(row, 0, parent).data()) for row in rows]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8), max_size=6))
def test_any_series_of_lists_ends_up_shown(qapp: QApplication, series: list[list[str]]) -> None:
    model = VmListModel()
    QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    for each in series:
        model.show_connection(ConnectionView(TWO, CONNECTED, vms=vms("z")))
        model.show_connection(ConnectionView(ONE, CONNECTED, vms=vms(*each)))
        assert names(model, ONE) == (each or ["no virtual machines"])
        assert names(model, TWO) == ["z"]
    model.remove_connection(ONE)
    assert not model.index_of_connection(ONE).isValid()


def test_unchanged_rows_stay(qapp: QApplication) -> None:
    model = VmListModel()
    model.show_connection(ConnectionView(ONE, CONNECTED, vms=vms("a", "b", "c")))
    removed, inserted = QSignalSpy(model.rowsRemoved), QSignalSpy(model.rowsInserted)
    changed = QSignalSpy(model.dataChanged)
    off = vms("b", state=RunState.SHUTOFF)
    model.show_connection(ConnectionView(ONE, CONNECTED, vms=vms("a") + off + vms("c")))
    assert (removed.count(), inserted.count(), changed.count()) == (0, 0, 2)
    assert model.index_of(VmKey(ONE, "b")).data(ListRole.RUN_STATE) is RunState.SHUTOFF


def test_connections_say_how_they_are(qapp: QApplication) -> None:
    model = VmListModel()
    for state in ConnectionState:
        model.show_connection(ConnectionView(ONE, state))
        index = model.index_of_connection(ONE)
        assert index.data() == "This computer"
        note = model.index(0, 0, index)
        assert note.data(ListRole.KIND) is RowKind.NOTE
        assert note.data()
        assert not note.flags() & Qt.ItemFlag.ItemIsSelectable
        assert ONE in index.data(Qt.ItemDataRole.AccessibleTextRole)


def test_hosts_of_uris() -> None:
    assert host_name(TWO) == "lab2"
    assert host_name(ONE) == ""
    assert host_name("http://[broken") == ""


def test_choosing_by_mouse_and_keys(qapp: QApplication, qtbot: QtBot) -> None:
    sidebar = VmList()
    qtbot.addWidget(sidebar)
    sidebar.show_connection(ConnectionView(ONE, CONNECTED, vms=vms("a", "b")))
    sidebar.show_connection(ConnectionView(TWO, ConnectionState.LOST))
    chosen, connections = QSignalSpy(sidebar.vm_chosen), QSignalSpy(sidebar.connection_chosen)
    sidebar.resize(232, 500)
    with qtbot.waitExposed(sidebar):
        sidebar.show()
    assert sidebar.select_vm(VmKey(ONE, "a"))
    QTest.keyClick(sidebar.view, Qt.Key.Key_Down)
    assert [chosen.at(at)[0] for at in range(chosen.count())] == [VmKey(ONE, "a"), VmKey(ONE, "b")]
    QTest.keyClick(sidebar.view, Qt.Key.Key_Down)
    assert connections.at(0)[0] == TWO
    assert not sidebar.select_vm(VmKey(ONE, "none"))
    assert sidebar.current() == TWO
    for state in RunState:
        sidebar.show_connection(ConnectionView(ONE, CONNECTED, vms=vms("a", state=state)))
        sidebar.grab()


def test_chosen_row_that_goes_leaves_no_other_chosen(qapp: QApplication, qtbot: QtBot) -> None:
    sidebar = VmList()
    qtbot.addWidget(sidebar)
    sidebar.show_connection(ConnectionView(ONE, CONNECTED, vms=vms("a", "b", "c")))
    sidebar.select_vm(VmKey(ONE, "b"))
    chosen = QSignalSpy(sidebar.vm_chosen)
    sidebar.show_connection(ConnectionView(ONE, CONNECTED, vms=vms("a", "c")))
    assert sidebar.current() is None
    assert chosen.count() == 0


def test_filter_hides_rows_and_keeps_the_choice(qapp: QApplication, qtbot: QtBot) -> None:
    sidebar = VmList()
    qtbot.addWidget(sidebar)
    many = vms(*(f"vm-{n:02}" for n in range(MANY_VMS)), "other")
    view = ConnectionView(ONE, CONNECTED, vms=many)
    sidebar.show_connection(replace(view, vms=many[:3]))
    assert not sidebar.filter.isVisibleTo(sidebar)
    sidebar.show_connection(view)
    assert sidebar.filter.isVisibleTo(sidebar)
    sidebar.select_vm(VmKey(ONE, "other"))
    sidebar.filter.setText("VM-0")
    parent: QModelIndex = sidebar.model.index_of_connection(ONE)
    hidden = [sidebar.view.isRowHidden(row, parent) for row in range(len(many))]
    assert hidden == [not vm.name.startswith("vm-0") for vm in many]
    assert sidebar.current() == VmKey(ONE, "other")
