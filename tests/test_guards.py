"""The guards guard: each one is shown what it must catch, and what it must let pass."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QThread, QTimer
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from snapview.settings import Settings
from tests import guards
from tests.conftest import AllowLog
from tests.fakes import FakeHost, FakeWorld

Touches = Callable[[], list[str]]


def in_event_loop(qtbot: QtBot, act: Callable[[], object]) -> None:
    timer = QTimer()
    timer.setSingleShot(True)
    timer.timeout.connect(act)
    with qtbot.waitSignal(timer.timeout):
        timer.start(0)


def test_saving_on_the_gui_thread_is_caught(
    qtbot: QtBot, tmp_path: Path, gui_thread_touches: Touches
) -> None:
    settings = Settings(tmp_path / "settings.json")
    in_event_loop(qtbot, settings.save)
    assert any("settings.json" in each or ".settings-" in each for each in gui_thread_touches())


def test_loading_before_the_event_loop_is_let_pass(
    qtbot: QtBot, tmp_path: Path, gui_thread_touches: Touches
) -> None:
    Settings.load(tmp_path / "settings.json")
    assert gui_thread_touches() == []


def test_saving_on_another_thread_is_let_pass(
    qtbot: QtBot, tmp_path: Path, gui_thread_touches: Touches
) -> None:
    settings = Settings(tmp_path / "settings.json")
    thread = threading.Thread(target=settings.save)
    thread.start()
    thread.join()
    assert settings.path.exists()
    assert gui_thread_touches() == []


def test_the_tests_own_files_are_let_pass(
    qtbot: QtBot, tmp_path: Path, gui_thread_touches: Touches
) -> None:
    in_event_loop(qtbot, lambda: (tmp_path / "mine").write_text("x"))
    in_event_loop(qtbot, lambda: subprocess.run([sys.executable, "-c", ""], check=True))
    assert gui_thread_touches() == []


def test_a_host_called_by_the_window_is_caught(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, gui_thread_touches: Touches
) -> None:
    host = FakeWorld().make_host()
    code = compile("host.connect()", guards.PACKAGE + "ui/invented.py", "exec")
    exec(code, {"host": host})
    assert [each.split(" at ")[0] for each in gui_thread_touches()] == ["FakeHost.connect"]


def test_a_host_called_by_a_test_is_let_pass(qtbot: QtBot, gui_thread_touches: Touches) -> None:
    host: FakeHost = FakeWorld().make_host()
    host.connect()
    assert gui_thread_touches() == []


def test_windows_timers_and_threads_that_stay_are_found(qtbot: QtBot) -> None:
    before = guards.qt_objects()
    window, timer, thread = QWidget(), QTimer(), QThread()
    window.setObjectName("left-open")
    timer.start(100_000)
    thread.start()
    leaked = guards.leaked_qt_objects(before)
    thread.quit()
    thread.wait()
    timer.stop()
    window.deleteLater()
    assert sorted(leaked) == ["QThread ''", "QTimer ''", "QWidget 'left-open'"]
    assert guards.leaked_qt_objects(before) == []


def test_a_window_that_only_a_cycle_kept_is_no_leak(qtbot: QtBot) -> None:
    before = guards.qt_objects()
    window = QWidget()
    window.setProperty("cycle", 1)
    window.__dict__["me"] = window
    del window
    assert guards.leaked_qt_objects(before) == []


def test_a_thread_that_stays_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "PATIENCE_SECONDS", 0.01)
    before = set(threading.enumerate())
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="stays")
    thread.start()
    assert guards.leaked_threads(before) == ["thread stays"]
    end.set()
    thread.join()
    assert guards.leaked_threads(before) == []


def test_a_log_record_nobody_expected_is_found(allow_log: AllowLog) -> None:
    allow_log("")  # the test's own watch shall not mind
    watch = guards.LogWatch()
    logger = logging.getLogger("some.module")
    logger.addHandler(watch)
    logger.info("fine")
    logger.warning("number %d", 1)
    logger.warning("number %d", 2)
    logger.removeHandler(watch)
    watch.allow("number 1$")
    assert watch.unexpected() == ["WARNING some.module: number 2"]
