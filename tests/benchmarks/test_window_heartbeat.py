"""The window stays awake while large trees are read: the longest time its thread was busy.

A timer of 5 ms beats on the GUI thread. Between two beats the thread was busy for as long as it
used the processor, which other programs do not lengthen; the time on the clock is said besides.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtWidgets import QApplication
from pytest_benchmark.fixture import BenchmarkFixture
from pytestqt.qtbot import QtBot

from snapview.core.operations import CreateSnapshot
from snapview.session import Session, VmKey
from snapview.settings import Settings
from snapview.ui.icons import load_icons
from snapview.ui.main_window import MainWindow
from snapview.ui.theme import apply_style
from tests.fakes import FakeWorld
from tests.trees import linear_tree, make_vm, random_tree, vm_uuid

URI = "qemu:///system"
LARGE = VmKey(URI, vm_uuid("large"))
SIZE = 3000
LONGEST_MS = 50


class Heartbeat(QObject):
    """Measures the longest gap between two beats."""

    def __init__(self) -> None:
        super().__init__()
        self.busy_ms = self.clock_ms = 0.0
        self._busy, self._clock = time.thread_time(), time.perf_counter()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(5)

    def _beat(self) -> None:
        busy, clock = time.thread_time(), time.perf_counter()
        self.busy_ms = max(self.busy_ms, 1000 * (busy - self._busy))
        self.clock_ms = max(self.clock_ms, 1000 * (clock - self._clock) - 5)
        self._busy, self._clock = busy, clock

    def reset(self) -> None:
        self.busy_ms = self.clock_ms = 0.0
        self._busy, self._clock = time.thread_time(), time.perf_counter()


@pytest.fixture
def window(
    qapp: QApplication, qtbot: QtBot, tmp_path: Path
) -> Iterator[tuple[MainWindow, FakeWorld]]:
    apply_style(qapp)
    load_icons()
    world = FakeWorld(make_vm("a-small", linear_tree(3)), make_vm("large", random_tree(SIZE)))
    session = Session(world.make_host)
    made = MainWindow(session, Settings(tmp_path / "s.json"), lambda _: None)
    qtbot.addWidget(made)
    made.resize(1280, 800)
    with qtbot.waitExposed(made):
        made.show()
    session.open(URI)
    stage = made.stage
    qtbot.waitUntil(lambda: stage.view is not None and stage.view.vm.name == "a-small")
    qtbot.wait(300)
    yield made, world
    made.hide()
    assert session.close()


def test_longest_busy_time_while_a_large_tree_is_shown(
    window: tuple[MainWindow, FakeWorld],
    qtbot: QtBot,
    benchmark: BenchmarkFixture,
    report: Callable[[object], None],
) -> None:
    made, world = window
    beat, tree = Heartbeat(), made.stage.vm_page.tree
    busy: dict[str, float] = {}
    clock: dict[str, float] = {}

    def measure(what: str, act: Callable[[], object], rows: int) -> None:
        beat.reset()
        act()
        qtbot.waitUntil(lambda: tree.snapshots.rowCount() == rows, timeout=20_000)
        qtbot.wait(200)
        busy[what], clock[what] = beat.busy_ms, beat.clock_ms

    def walk() -> None:
        for name in ("n00000", "n01500", "n02999"):
            tree.select_name(name)
            qtbot.wait(100)

    def run() -> None:
        measure("nothing", lambda: None, 4)
        measure("shown", lambda: made.vm_list.select_vm(LARGE), SIZE + 1)
        another = CreateSnapshot(LARGE.uuid, "by another client")
        measure("one more", lambda: world.act(another), SIZE + 2)
        measure("selected", walk, SIZE + 2)

    benchmark.pedantic(run, rounds=1)  # type: ignore[no-untyped-call]  # has no annotations
    for head, found in (("busy", busy), ("on the clock", clock)):
        report(f"{head}: " + ", ".join(f"{what} {gap:.0f} ms" for what, gap in found.items()))
    assert max(busy.values()) <= LONGEST_MS
