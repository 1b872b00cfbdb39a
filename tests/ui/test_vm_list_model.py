"""The sidebar's model under Qt's tester: any list after any other."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester, QSignalSpy
from PySide6.QtWidgets import QApplication

from snapview.core.vm import RunState, VmSummary
from snapview.demo.daemon import PrivateDaemon
from snapview.session import ConnectionState, ConnectionView, VmKey
from snapview.ui.vm_list_model import ListRole, RowKind, VmListModel, host_name, is_demo_lab

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


def test_the_demo_lab_is_called_so() -> None:
    folder = Path("/home/me/.local/share/snapview/demo")
    assert is_demo_lab(PrivateDaemon(folder).uri)
    assert not is_demo_lab("qemu+unix:///session?socket=/run/user/1000/libvirt/libvirt-sock")
