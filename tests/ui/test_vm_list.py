"""The sidebar: its model under Qt's tester, the selection, the filter, the painting."""

from dataclasses import replace

from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtTest import QSignalSpy, QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from snapview.core.vm import RunState, VmSummary
from snapview.session import ConnectionState, ConnectionView, VmKey
from snapview.ui.vm_list import MANY_VMS, VmList

ONE, TWO = "qemu:///system", "qemu+ssh://mira@lab2/system"
CONNECTED = ConnectionState.CONNECTED


def vms(*names: str, state: RunState = RunState.RUNNING) -> tuple[VmSummary, ...]:
    return tuple(VmSummary(name, name, state, 1) for name in names)


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
