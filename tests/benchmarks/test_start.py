"""From the start of the process to a window with the tree of a local VM, and what it weighs."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.duel import Duel, spread
from tests.benchmarks.records import make_recorded_vm
from tests.e2e.desktop import screen
from tests.lab import Lab

ROUNDS = 9
SNAPSHOTS = 12
BAR_SECONDS = 1.0
BAR_MIB = 250.0
ROOT = Path(__file__).parents[2]


@pytest.fixture
def display() -> Iterator[str]:
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")
    with screen() as found:
        yield found


class Starter:
    """Starts programs on a display, with settings of their own, and ends them."""

    def __init__(self, display: str, home: Path) -> None:
        folders = {f"XDG_{kind}_HOME": str(home / kind) for kind in ("CONFIG", "STATE", "CACHE")}
        self._environment = {
            **os.environ,
            **folders,
            "DISPLAY": display,
            "QT_QPA_PLATFORM": "xcb",
        }
        self.weights_mib: list[float] = []

    def seconds(self, *arguments: str) -> float:
        """Start; return the seconds until something is to be seen, and end it."""
        command = [sys.executable, "-m", "tests.benchmarks.start_watch", *arguments]
        begin = time.perf_counter()
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment,
            cwd=ROOT,
            encoding="utf-8",
        ) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            said = child.stdout.readline()
            seconds = time.perf_counter() - begin
            self.weights_mib.append(_resident_mib(child.pid) if said else 0)
            child.send_signal(signal.SIGTERM)
            assert said == "shown\n", child.stderr.read()
        return seconds


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s*(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


@pytest.mark.window
def test_start(
    benchmark: BenchmarkFixture,
    report: Callable[[object], None],
    lab9: Lab,
    display: str,
    tmp_path: Path,
) -> None:
    make_recorded_vm(lab9, "a-start", SNAPSHOTS)  # the first in the list is shown
    bare, ours = Starter(display, tmp_path), Starter(display, tmp_path)
    duel = Duel(
        lambda: bare.seconds("bare"),
        lambda: ours.seconds("snapview", "-c", lab9.uri),
        most_foreign=1,  # the start needs one processor, and the bar is no ratio
    )
    benchmark.pedantic(duel.run, args=(ROUNDS,), rounds=1)  # type: ignore[no-untyped-call] # no types
    benchmark.extra_info["seconds"] = duel.our_seconds
    report(duel)
    report(
        f"resident: ours {spread(ours.weights_mib, 'MiB', 0)}, "
        f"floor {spread(bare.weights_mib, 'MiB', 0)}"
    )
    assert max(ours.weights_mib) <= BAR_MIB
    assert min(duel.our_seconds) <= BAR_SECONDS  # the round least disturbed by other programs
