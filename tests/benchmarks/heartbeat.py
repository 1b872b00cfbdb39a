"""The real window on a real host with a VM of thousands of snapshots, and how long it is deaf.

Run as a program with a URI and a UUID: opens the window, has the VM shown, changed and changed
back, and prints for each step the longest times between two beats of a timer as JSON. Nothing of
pytest is in this process, whose guards slow the GUI thread.
"""

import json
import sys
import time
from collections.abc import Callable

from PySide6.QtCore import QEventLoop, QObject, Qt, QTimer

from snapview.application import make_application
from snapview.core.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    Operation,
    RevertSnapshot,
)
from snapview.session import JobState, Session, VmKey
from snapview.settings import Settings
from snapview.ui.main_window import MainWindow
from snapview.virt.host import LibvirtHost
from tests.journals import new_journal

BEAT_MS = 5
TAKEN = "taken"
PATIENCE_SECONDS = 120


class Heartbeat(QObject):
    """Measures the longest gap between two beats.

    ``busy_ms`` is what the thread itself used the processor for, which other programs do not
    lengthen; ``clock_ms`` also holds what it waited: for Python's lock, or for a processor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.busy_ms = self.clock_ms = 0.0
        self._busy, self._clock = time.thread_time(), time.perf_counter()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT_MS)

    def _beat(self) -> None:
        busy, clock = time.thread_time(), time.perf_counter()
        self.busy_ms = max(self.busy_ms, 1000 * (busy - self._busy))
        self.clock_ms = max(self.clock_ms, 1000 * (clock - self._clock) - BEAT_MS)
        self._busy, self._clock = busy, clock

    def reset(self) -> None:
        """Begin anew."""
        self.busy_ms = self.clock_ms = 0.0
        self._busy, self._clock = time.thread_time(), time.perf_counter()


class Patient:
    """The window under examination."""

    def __init__(self, uri: str, uuid: str) -> None:
        self.key = VmKey(uri, uuid)
        journal = new_journal()
        self.session = Session(lambda uri: LibvirtHost(uri, journal))
        self.window = MainWindow(self.session, Settings.load(), lambda _settings: None)
        self.heartbeat = Heartbeat()
        self.found: dict[str, dict[str, float]] = {}
        self._reads = 0
        self._states: dict[int, JobState] = {}
        self.session.vm_updated.connect(lambda view: self._on_read(view.key))
        self.session.job_changed.connect(self._on_job)
        self.session.open(uri)
        self.window.show()

    def _on_read(self, key: VmKey) -> None:
        self._reads += key == self.key

    def _on_job(self, job: object) -> None:
        self._states[job.id] = job.state  # type: ignore[attr-defined] # a JobView

    def examine(self) -> None:
        """Go through all steps."""
        session, key, tree = self.session, self.key, self.window.stage.vm_page.tree
        uuid = key.uuid
        wait_until(lambda: bool(session.connections[0].vms), 0.5)
        self._measure("nothing", lambda: None, lambda: True)
        self._read("shown", lambda: self.window.vm_list.select_vm(key))
        names = [snapshot.name for snapshot in tree.snapshots.view.vm.tree]  # type: ignore[union-attr] # shown
        self._measure(
            "selected",
            lambda: [tree.select_name(name) for name in (names[0], names[len(names) // 2])],
            lambda: True,
        )
        self._read("refreshed", session.refresh)
        self._job("described", EditDescription(uuid, names[0], "another title", "text"))
        self._job("taken", CreateSnapshot(uuid, TAKEN, memory=False))
        self._job("reverted", RevertSnapshot(uuid, TAKEN, safety_snapshot=False))
        self._job("deleted", DeleteSnapshot(uuid, (TAKEN,)))

    def _read(self, step: str, act: Callable[[], object]) -> None:
        before = self._reads
        self._measure(step, act, lambda: self._reads > before)

    def _job(self, step: str, operation: Operation) -> None:
        submitted: list[int] = []

        def is_over() -> bool:
            state = self._states.get(submitted[0])
            assert state not in {JobState.FAILED, JobState.CANCELLED}, self.session.jobs[0]
            return state is JobState.DONE

        self._measure(
            step, lambda: submitted.append(self.session.submit(self.key, operation)), is_over
        )

    def _measure(self, step: str, act: Callable[[], object], is_over: Callable[[], bool]) -> None:
        self.heartbeat.reset()
        started = time.perf_counter()
        act()
        wait_until(is_over, 0.5)
        beat = self.heartbeat
        seconds = time.perf_counter() - started
        self.found[step] = {"busy": beat.busy_ms, "clock": beat.clock_ms, "seconds": seconds}

    def end(self) -> None:
        """Close everything."""
        self.window.hide()
        assert self.session.close()


def wait_until(is_so: Callable[[], bool], settle_seconds: float) -> None:
    """Let Qt's loop run until something is so, and a while longer."""
    loop, timer = QEventLoop(), QTimer()
    deadline = time.monotonic() + PATIENCE_SECONDS

    def look() -> None:
        if is_so():
            timer.stop()
            QTimer.singleShot(round(settle_seconds * 1000), loop.quit)
        elif time.monotonic() > deadline:
            loop.quit()

    timer.timeout.connect(look)
    timer.start(10)
    loop.exec()
    assert is_so()


def main() -> None:
    app = make_application()
    patient = Patient(*sys.argv[1:])
    patient.examine()
    patient.end()
    app.quit()
    sys.stdout.write(json.dumps(patient.found) + "\n")


if __name__ == "__main__":
    main()
