"""Scrolling and updating a tree of 10,000 rows: sixty frames a second, and no stutter."""

import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytest_benchmark.fixture import BenchmarkFixture
from pytestqt.qtbot import QtBot

from snapview.core.vm import SnapshotTree
from snapview.session.views import VmView
from snapview.ui.snapshot_view import SnapshotView
from snapview.ui.theme import apply_style
from tests.benchmarks.scrolling import ROUNDS, ROWS, round_ms, shown_tree
from tests.e2e.desktop import screen
from tests.trees import make_snapshot, random_tree
from tests.ui.views import view_of

FRAME_MS = 16.0
BUSY_MS = 50.0  # the GUI thread is never busy for longer
Report = Callable[[object], None]


def _figures(times_ms: list[float]) -> str:
    middle = statistics.median(times_ms)
    return f"{middle:.1f} ms ({min(times_ms):.1f} … {max(times_ms):.1f})"


def _measure(
    benchmark: BenchmarkFixture, measure_ms: Callable[[], float], rounds: int
) -> list[float]:
    """Return what ``measure_ms`` found in so many rounds, after one to warm up."""
    found: list[float] = []
    benchmark.pedantic(  # type: ignore[no-untyped-call] # pytest-benchmark has no types here
        lambda: found.append(measure_ms()), rounds=rounds, warmup_rounds=1
    )
    benchmark.extra_info["ms"] = found[1:]
    return found[1:]


def _ms_of(act: Callable[[], None]) -> float:
    """Run it once and return the milliseconds it took, beginning without garbage."""
    gc.collect()
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


@pytest.fixture
def tree_view(qapp: QApplication, qtbot: QtBot) -> Iterator[SnapshotView]:
    apply_style(qapp)
    view = shown_tree()
    qtbot.addWidget(view)
    yield view
    view.show_vm(None)
    qapp.setStyleSheet("")


def test_scroll_offscreen(
    benchmark: BenchmarkFixture, report: Report, tree_view: SnapshotView
) -> None:
    means_ms = _measure(benchmark, lambda: round_ms(tree_view), ROUNDS)
    report(_figures(means_ms))
    assert min(means_ms) <= FRAME_MS


@pytest.mark.window
def test_scroll_on_x11(benchmark: BenchmarkFixture, report: Report) -> None:
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")

    rounds_ms: list[float] = []

    def measure() -> float:
        with screen() as display:
            found = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.scrolling"],
                env={**os.environ, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb"},
                cwd=Path(__file__).parents[2],
                check=True,
                capture_output=True,
                timeout=120,
            )
        said = json.loads(found.stdout)
        assert said["platform"] == "xcb"
        rounds_ms[:] = said["rounds_ms"]
        return min(rounds_ms)

    least_ms = _measure(benchmark, measure, 1)
    report(_figures(rounds_ms))
    assert min(least_ms) <= FRAME_MS


def _changed(kind: str) -> VmView:
    """Return the tree read again: equal, with one snapshot edited, or with one more."""
    snapshots = list(random_tree(ROWS))
    if kind == "edited":
        snapshots[ROWS // 2] = replace(snapshots[ROWS // 2], title="edited by somebody")
    if kind == "one-more":
        snapshots.append(make_snapshot("new", snapshots[-1].name, number=ROWS))
    return view_of(SnapshotTree(snapshots, snapshots[-1].name))


@pytest.mark.parametrize("kind", ["equal", "edited", "one-more"])
def test_update(
    benchmark: BenchmarkFixture, report: Report, tree_view: SnapshotView, kind: str
) -> None:
    both = [_changed("equal"), _changed(kind)]

    def update() -> None:
        both.reverse()
        tree_view.show_vm(both[0])
        tree_view.viewport().repaint()

    times_ms = _measure(benchmark, lambda: _ms_of(update), 12)
    report(_figures(times_ms))
    assert statistics.median(times_ms) <= BUSY_MS


def test_other_vm(benchmark: BenchmarkFixture, report: Report, tree_view: SnapshotView) -> None:
    both = [view_of(random_tree(ROWS), name="db"), view_of(random_tree(ROWS), name="web")]

    def show() -> None:
        both.reverse()
        tree_view.show_vm(both[0])
        tree_view.viewport().repaint()

    times_ms = _measure(benchmark, lambda: _ms_of(show), 8)
    report(_figures(times_ms))
    assert statistics.median(times_ms) <= BUSY_MS
