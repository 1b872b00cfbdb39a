"""The head of a VM's page."""

from dataclasses import replace

from pytestqt.qtbot import QtBot

from snapview.core.vm import DiskChain, DiskLayer, RunState, SnapshotTree
from snapview.ui.vm_header import VmHeader
from tests.ui.views import pictured_tree, view_of
from tests.ui.windows import texts


def test_name_state_hardware_and_figures(qtbot: QtBot) -> None:
    header = VmHeader()
    qtbot.addWidget(header)
    header.resize(900, 72)
    header.show_vm(view_of(pictured_tree()))
    header.show()
    said = texts(header)
    for text in ("web", "2 vCPU · 2 GiB memory · vda", "9", "snapshots", "1 layer", "chain depth"):
        assert text in said
    header.grab()


def test_one_none_and_unknown(qtbot: QtBot) -> None:
    header = VmHeader()
    qtbot.addWidget(header)
    view = view_of(SnapshotTree())
    header.show_vm(view)
    assert "0" in texts(header)
    broken = replace(view.vm, problem="It cannot be read.", disks=())
    header.show_vm(replace(view, vm=broken))
    assert texts(header).count("–") == 2
    chain = DiskChain("vda", tuple(DiskLayer(str(n)) for n in range(3)))
    header.show_vm(replace(view, vm=replace(view.vm, disks=(chain,)), is_stale=True))
    assert "3 layers" in texts(header)
    for state in RunState:
        header.show_vm(replace(view, vm=replace(view.vm, run_state=state)))
        header.grab()
