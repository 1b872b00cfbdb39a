"""Loading a VM with many snapshots: until the model is ready, against libvirt's calls alone."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytest_benchmark.fixture import BenchmarkFixture

from snapview.core.layout import layout_tree
from snapview.session.views import VmKey, VmView
from snapview.ui.snapshot_model import SnapshotModel
from snapview.virt.host import LibvirtHost
from tests.benchmarks.duel import Duel, seconds_of
from tests.lab import Lab

ROUNDS = 9
BAR = 1.0
FLOOR = Path(__file__).with_name("bare_libvirt.py")


@contextmanager
def bare_libvirt(uri: str, uuid: str) -> Iterator[tuple[Callable[[], float], int]]:
    """Give a function that has the calls made by another process, and that process's id."""
    command = [sys.executable, str(FLOOR), uri, uuid]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="ascii"
    ) as child:
        asked, answers = child.stdin, child.stdout
        assert asked is not None
        assert answers is not None

        def seconds() -> float:
            asked.write("go\n")
            asked.flush()
            return float(answers.readline())

        yield seconds, child.pid
        asked.close()


@pytest.fixture
def host(lab9: Lab) -> Iterator[LibvirtHost]:
    opened = LibvirtHost(lab9.uri, lab9.journal)
    opened.connect()
    yield opened
    opened.close()


@pytest.mark.parametrize("size", [1000, 3000])
@pytest.mark.parametrize("external", [False, True], ids=["internal", "external"])
def test_load(
    qapp: QApplication,
    benchmark: BenchmarkFixture,
    report: Callable[[object], None],
    recorded_vm: Callable[..., str],
    lab9: Lab,
    host: LibvirtHost,
    size: int,
    external: bool,
) -> None:
    uuid = recorded_vm(size, external=external)
    shown: list[VmView] = []

    def load() -> None:
        vm = host.read_vm(uuid)
        view = VmView(VmKey(host.uri, uuid), vm, layout_tree(vm.tree))
        model = SnapshotModel()
        model.set_view(view)
        shown[:] = [view]
        rows = model.rowCount()
        model.set_view(None)  # ends its timer
        assert rows == size + 1

    daemon = lab9.daemon.pid
    assert daemon is not None
    with bare_libvirt(host.uri, uuid) as (floor, child):
        duel = Duel(floor, lambda: seconds_of(load), (child, daemon))
        duel.run(1)  # to warm up
        duel = Duel(duel.floor, duel.ours, duel.pids)
        benchmark.pedantic(duel.run, args=(ROUNDS,), rounds=1)  # type: ignore[no-untyped-call] # no types
    report(duel)
    if len(duel.our_seconds) < ROUNDS:
        pytest.skip("other programs kept the machine busy")
    assert all(snapshot.problem is None for snapshot in shown[-1].vm.tree)
    benchmark.extra_info["ratio"] = duel.ratio
    assert duel.ratio <= BAR
