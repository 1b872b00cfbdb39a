"""The window stays awake while removals of thousands of external snapshots are planned.

As in ``test_window_heartbeat``: the longest time the GUI thread used the processor between two
beats of a 5 ms timer; the time on the clock is said besides.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytest_benchmark.fixture import BenchmarkFixture
from pytestqt.qtbot import QtBot

from snapview.core.operations import Consolidate, DeleteSnapshot, Operation, RevertSnapshot
from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotState,
    SnapshotTree,
    Vm,
)
from snapview.session import Session, VmKey
from snapview.settings import Settings
from snapview.ui.icons import load_icons
from snapview.ui.main_window import MainWindow
from snapview.ui.theme import apply_style
from tests.benchmarks.test_window_heartbeat import LONGEST_MS, Heartbeat
from tests.fakes import FakeWorld
from tests.trees import START, linear_tree, make_vm

URI = "qemu:///system"
BRANCHES, DEPTH = 30, 100  # libvirt allows chains of 200


def _image(branch: int, number: int) -> DiskLayer:
    path = "base" if not number else f"{branch}-{number}"
    return DiskLayer(f"/images/{path}.qcow2", "qcow2")


def _snapshot(branch: int, number: int) -> Snapshot:
    frozen, overlay = _image(branch, number), _image(branch, number + 1)
    return Snapshot(
        f"b{branch}-{number}",
        title=f"state {number} of {branch}",
        parent=f"b{branch}-{number - 1}" if number else None,
        kind=SnapshotKind.EXTERNAL,
        state=SnapshotState.DISK_ONLY,
        created_at=START + timedelta(minutes=branch * DEPTH + number),
        disks=(SnapshotDisk("vda", "external", frozen, overlay),),
    )


def make_large() -> Vm:
    """Return a running VM with 3,000 external snapshots in many branches."""
    snapshots = [_snapshot(branch, at) for branch in range(BRANCHES) for at in range(DEPTH)]
    live = [_image(BRANCHES - 1, number) for number in range(DEPTH, -1, -1)]
    chain = DiskChain("vda", tuple(live), defined=len(live), is_complete=True)
    made = make_vm("large", disks=(chain,))
    return replace(made, tree=SnapshotTree(snapshots, snapshots[-1].name))


@pytest.fixture
def window(qapp: QApplication, qtbot: QtBot, tmp_path: Path) -> Iterator[MainWindow]:
    apply_style(qapp)
    load_icons()
    world = FakeWorld(make_vm("a-small", linear_tree(3)), make_large())
    session = Session(world.make_host)
    made = MainWindow(session, Settings(tmp_path / "s.json"), lambda _: None)
    qtbot.addWidget(made)
    made.resize(1280, 800)
    with qtbot.waitExposed(made):
        made.show()
    session.open(URI)
    qtbot.waitUntil(lambda: made.stage.view is not None)
    made.vm_list.select_vm(VmKey(URI, make_large().uuid))
    tree = made.stage.vm_page.tree
    qtbot.waitUntil(lambda: tree.snapshots.rowCount() == BRANCHES * DEPTH + 1, timeout=20_000)
    qtbot.waitUntil(lambda: _shown(made).storage is not None, timeout=20_000)
    qtbot.wait(1500)
    yield made
    made.hide()
    assert session.close()


def _shown(window: MainWindow) -> Vm:
    assert window.stage.view is not None
    return window.stage.view.vm


def test_longest_busy_time_while_thousands_are_planned(
    window: MainWindow,
    qtbot: QtBot,
    benchmark: BenchmarkFixture,
    report: Callable[[object], None],
) -> None:
    vm, beat = _shown(window), Heartbeat()
    names = tuple(snapshot.name for snapshot in vm.tree)
    busy: dict[str, float] = {}
    clock: dict[str, float] = {}

    def offer(what: str, wanted: Operation) -> None:
        beat.reset()
        assert window.stage.view is not None
        window.dialogs.ask(window.stage.view, wanted)
        dialog = window.dialogs.open_dialog
        assert dialog is not None
        qtbot.waitUntil(lambda: dialog.planned is not None, timeout=60_000)
        qtbot.wait(200)
        busy[what], clock[what] = beat.busy_ms, beat.clock_ms
        dialog.reject()
        qtbot.wait(50)

    def run() -> None:
        offer("one removed", DeleteSnapshot(vm.uuid, (names[DEPTH // 2],)))
        offer("a branch removed", DeleteSnapshot(vm.uuid, names[:DEPTH]))
        offer("all removed", DeleteSnapshot(vm.uuid, names))
        offer("reverted", RevertSnapshot(vm.uuid, names[DEPTH // 2]))
        offer("merged", Consolidate(vm.uuid))
        beat.reset()
        window.stage.vm_page.tree.selectAll()
        qtbot.wait(2000)
        busy["all selected"], clock["all selected"] = beat.busy_ms, beat.clock_ms

    benchmark.pedantic(run, rounds=1)  # type: ignore[no-untyped-call]  # has no annotations
    for head, found in (("busy", busy), ("on the clock", clock)):
        report(f"{head}: " + ", ".join(f"{what} {gap:.0f} ms" for what, gap in found.items()))
    assert max(busy.values()) <= LONGEST_MS
