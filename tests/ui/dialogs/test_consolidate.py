"""Merging chains: which disks, how fast, what is given up; true to the plan at every change."""

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QSignalSpy, QTest
from pytestqt.qtbot import QtBot

from snapview.core.operations import Consolidate, MergeBy
from snapview.core.planning import Plan, Refusal, plan
from snapview.core.vm import DiskChain, SnapshotTree, Vm
from snapview.ui.dialogs.chain_picture import ChainPicture
from snapview.ui.dialogs.consolidate import ConsolidateDialog
from snapview.ui.format import MIB
from tests.ui.dialogs.worlds import PATHS, external, layer, line_of_externals
from tests.ui.windows import click, says

pytestmark = pytest.mark.usefixtures("qapp")

VM = line_of_externals()
WANTED = Consolidate(VM.uuid)


def opened(
    qtbot: QtBot, vm: Vm = VM, wanted: Consolidate = WANTED, *, grace: int = 10
) -> ConsolidateDialog:
    dialog = ConsolidateDialog(vm, wanted, grace_seconds=grace)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, on=False)
    qtbot.addWidget(dialog)
    with qtbot.waitExposed(dialog):
        dialog.show()
    return dialog


def submitted(dialog: ConsolidateDialog) -> Consolidate:
    spy = QSignalSpy(dialog.submitted)
    click(dialog.go_button)
    assert spy.count() == 1
    planned = spy.at(0)[0]
    assert isinstance(planned, Plan)
    assert isinstance(planned.operation, Consolidate)
    return planned.operation


def pictures(dialog: ConsolidateDialog) -> list[str]:
    found = dialog.findChildren(ChainPicture)
    return [each.accessibleName() for each in found if each.isVisible()]


def two_chains() -> Vm:
    """The same VM with a second disk of two images, of which nobody has a record."""
    upper, lower = layer("/images/data.2.qcow2"), layer("/images/data.qcow2")
    data = DiskChain("vdb", (upper, lower), defined=2, is_complete=True)
    vm = line_of_externals(storage=False)
    return replace(vm, disks=(vm.disks[0], data))


def test_what_can_be_merged_is_ticked_and_the_rest_says_why(qtbot: QtBot) -> None:
    dialog = opened(qtbot)
    vda, vdb = dialog.ticks["vda"], dialog.ticks["vdb"]
    assert (vda.isChecked(), vda.isEnabled()) == (True, True)
    assert (vdb.isChecked(), vdb.isEnabled()) == (False, False)
    assert "5 images" in vda.text()
    assert says(dialog, "4 points to revert to are given up")
    assert vdb.accessibleDescription()


def test_many_points_are_counted_though_not_all_are_named(qtbot: QtBot) -> None:
    layers = [layer(f"/images/{n}.qcow2") for n in range(13)]
    points = [
        external(f"s{n}", f"s{n - 1}" if n else None, layers[n].path, layers[n + 1].path, n)
        for n in range(12)
    ]
    chain = DiskChain("vda", tuple(reversed(layers)), defined=13, is_complete=True)
    vm = replace(VM, tree=SnapshotTree(points, "s11"), disks=(chain,), storage=None)
    dialog = opened(qtbot, vm)
    assert says(dialog, "12 points to revert to are given up")
    assert says(dialog, "state s4")
    assert says(dialog, "and 7 more")
    assert not says(dialog, "state s5")


def test_what_is_given_up_is_said_before(qtbot: QtBot) -> None:
    dialog = opened(qtbot)
    for number in range(4):
        assert says(dialog, f"state s{number}")
    assert says(dialog, "It runs on")
    assert "10 s" in dialog.note.text()
    (picture,) = pictures(dialog)
    assert picture.endswith("Then: You are here.")
    assert dialog.go_button.property("kind") == "danger"


def test_it_asks_for_what_is_ticked(qtbot: QtBot) -> None:
    assert submitted(opened(qtbot)).disks == ("vda",)


def test_without_a_tick_nothing_can_be_asked_for(qtbot: QtBot) -> None:
    dialog = opened(qtbot)
    dialog.ticks["vda"].click()
    assert not dialog.go_button.isEnabled()
    assert dialog.planned is None
    assert says(dialog, "Tick a disk")
    assert pictures(dialog) == []
    dialog.ticks["vda"].click()
    assert dialog.go_button.isEnabled()


def test_each_disk_by_itself(qtbot: QtBot) -> None:
    dialog = opened(qtbot, two_chains())
    assert all(tick.isChecked() for tick in dialog.ticks.values())
    assert len(pictures(dialog)) == 2
    dialog.ticks["vda"].click()
    assert len(pictures(dialog)) == 1
    assert not says(dialog, "state s1")
    assert says(dialog, "data.2.qcow2")
    assert dialog.go_button.property("kind") == "filled", "nobody loses a point by this"
    assert submitted(dialog).disks == ("vdb",)


def test_how_fast(qtbot: QtBot) -> None:
    dialog = opened(qtbot)
    assert dialog.operation().bandwidth_bytes_per_second == 0
    dialog.speed.setFocus()
    QTest.keyClick(dialog.speed, Qt.Key.Key_Down)
    assert dialog.operation().bandwidth_bytes_per_second == 100 * MIB
    dialog.speed.setCurrentIndex(dialog.speed.count() - 1)
    assert says(dialog, "at the limit of 10 MiB/s")
    assert submitted(dialog).bandwidth_bytes_per_second == 10 * MIB
    odd = opened(qtbot, wanted=replace(WANTED, bandwidth_bytes_per_second=33 * MIB))
    assert odd.speed.currentText() == "33 MiB/s"


def test_a_branch_stays_and_is_named(qtbot: QtBot) -> None:
    dialog = opened(qtbot, line_of_externals(branch=True))
    assert isinstance(dialog.planned, Plan)
    assert says(dialog, "state side")
    (picture,) = pictures(dialog)
    then = picture.partition("Then: ")[2]
    assert "state s1" in then
    assert "You are here" in then


def test_of_many_warnings_the_first_are_shown(qtbot: QtBot) -> None:
    names = [f"side{n}" for n in range(20)]
    base, live = layer("/images/a.qcow2"), layer("/images/live.qcow2")
    chain = DiskChain("vda", (live, base), defined=2, is_complete=True)
    point = external("s0", None, base.path, live.path, 0)
    vm = replace(VM, tree=SnapshotTree([point], "s0"), disks=(chain,), storage=None)
    planned = plan(vm, WANTED)
    assert isinstance(planned, Plan)
    dialog = opened(qtbot, vm)
    dialog.show_plan(replace(planned, warnings=tuple(f"{name} stays." for name in names)))
    assert says(dialog, "side4 stays.")
    assert not says(dialog, "side5 stays.")
    assert says(dialog, "and 15 more like these")


def test_merging_upwards_is_explained_and_asked_for(qtbot: QtBot) -> None:
    dialog = opened(qtbot, wanted=replace(WANTED, merge_by=MergeBy.PULL))
    assert says(dialog, "Merged upwards")
    assert submitted(dialog).merge_by is MergeBy.PULL


def test_it_follows_the_vm_and_keeps_what_was_chosen(qtbot: QtBot) -> None:
    vm = two_chains()
    dialog = opened(qtbot, vm)
    dialog.ticks["vda"].click()
    dialog.show_vm(replace(vm, title="renamed"))
    assert {target: tick.isChecked() for target, tick in dialog.ticks.items()} == {
        "vda": False,
        "vdb": True,
    }
    flat = DiskChain("vda", (layer(PATHS[4]),), defined=1, is_complete=True)
    dialog.show_vm(replace(vm, disks=(flat,)))
    assert list(dialog.ticks) == ["vda"]
    assert not dialog.go_button.isEnabled()


def test_nothing_to_merge_at_all(qtbot: QtBot) -> None:
    flat = DiskChain("vda", (layer(PATHS[4]),), defined=1, is_complete=True)
    dialog = opened(qtbot, replace(VM, disks=(flat,)))
    assert not dialog.go_button.isEnabled()
    assert not dialog.ticks["vda"].isEnabled()


def test_enter_loses_nothing(qtbot: QtBot) -> None:
    dialog = opened(qtbot)
    spy = QSignalSpy(dialog.submitted)
    qtbot.waitUntil(dialog.cancel_button.hasFocus)
    QTest.keyClick(dialog.cancel_button, Qt.Key.Key_Return)
    assert spy.count() == 0
    assert not dialog.isVisible()


def test_a_vm_that_is_busy_is_refused_with_the_reason(qtbot: QtBot) -> None:
    dialog = opened(qtbot, replace(VM, has_backup_job=True))
    assert says(dialog, "A backup of “web” is running.")
    assert not dialog.go_button.isEnabled()
    dialog.show_vm(VM)
    assert not isinstance(dialog.planned, Refusal)
