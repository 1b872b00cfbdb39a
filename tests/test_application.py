"""The application around the window, in a process of its own, on libvirt's test driver."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtGui import QImage

from snapview.application import keep_glib_for_libvirt

READY = """
import sys
from PySide6.QtCore import QTimer
import snapview.application as application
from snapview.__main__ import main
make = application.make_application
def made():
    app = make()
    QTimer.singleShot(300, lambda: print("ready", flush=True))
    return app
application.make_application = made
sys.exit(main())
"""

# The second fault comes while the dialog about the first one is open.
CRASH = """
import sys
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
import snapview.application as application
from snapview.__main__ import main
make = application.make_application
def crash():
    QTimer.singleShot(50, look)
    raise ZeroDivisionError("a fault")
def count():
    print(sum(w.inherits("QDialog") for w in QApplication.topLevelWidgets()), flush=True)
def look():
    count()
    QTimer.singleShot(0, again)
def again():
    QTimer.singleShot(0, count)
    raise ZeroDivisionError("once more")
def made():
    app = make()
    QTimer.singleShot(100, crash)
    return app
application.make_application = made
sys.exit(main())
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    folders = {f"XDG_{name}_HOME": str(tmp_path) for name in ("DATA", "STATE", "CONFIG", "CACHE")}
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "QT_QPA_PLATFORM": "offscreen",
        **folders,
    }


def start(
    environment: dict[str, str], *arguments: str, code: str | None = None
) -> subprocess.Popen[str]:
    begin = ["-m", "snapview"] if code is None else ["-c", code]
    return subprocess.Popen(
        [sys.executable, *begin, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def finish(running: subprocess.Popen[str]) -> tuple[int, str, str]:
    with running:
        out, err = running.communicate(timeout=120)
    assert "Traceback" not in out + err
    return running.returncode, out, err


def test_a_picture_of_the_window(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "window.png"
    running = start(environment, "-c", "test:///default", "--screenshot", str(path))
    assert finish(running) == (0, "", "")
    image = QImage(str(path))
    assert image.width() >= 800
    assert len({image.pixel(x, y) for x in range(0, 800, 8) for y in range(0, 600, 8)}) > 10
    assert (tmp_path / "snapview" / "settings.json").exists()


def test_a_picture_without_a_tree(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "window.png"
    away = f"qemu+unix:///session?socket={tmp_path}/none"
    assert finish(start(environment, "-c", away, "--screenshot", str(path))) == (0, "", "")
    assert not QImage(str(path)).isNull()


def test_a_picture_that_cannot_be_saved(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "missing" / "window.png"
    running = start(environment, "-c", "test:///default", "--screenshot", str(path))
    status, _, err = finish(running)
    assert status == 1
    assert "cannot be saved" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_the_window(environment: dict[str, str], number: int) -> None:
    running = start(environment, "-c", "test:///default", code=READY)
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    running.send_signal(number)
    assert finish(running) == (128 + number, "", "")


def test_a_fault_is_a_dialog_and_a_sentence(environment: dict[str, str], tmp_path: Path) -> None:
    running = start(environment, "-c", "test:///default", code=CRASH)
    assert running.stdout is not None
    assert running.stdout.readline() == "1\n"
    assert running.stdout.readline() == "1\n"
    running.send_signal(signal.SIGTERM)
    _, _, err = finish(running)
    assert "snapview: Something went wrong that should not have: ZeroDivisionError" in err
    log = (tmp_path / "snapview" / "log" / "snapview.log").read_text()
    assert "a fault" in log
    assert "once more" in log


def test_a_display_that_is_not_there_is_a_sentence(environment: dict[str, str]) -> None:
    environment |= {"QT_QPA_PLATFORM": "xcb", "DISPLAY": ":4999"}
    status, out, err = finish(start(environment))
    assert (status, out) == (1, "")
    assert err.startswith("snapview: the window cannot be opened.\n")
    assert "snapview list" in err


def test_verbose_shows_the_log(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "missing" / "window.png"
    away = f"qemu+unix:///session?socket={tmp_path}/none"
    _, _, err = finish(start(environment, "-v", "-c", away, "--screenshot", str(path)))
    assert "cannot be saved" in err


@pytest.mark.parametrize(
    ("environment", "theme"),
    [
        ({}, None),
        ({"XDG_CURRENT_DESKTOP": "KDE"}, None),
        ({"XDG_CURRENT_DESKTOP": "ubuntu:GNOME"}, "gnome"),
        ({"XDG_CURRENT_DESKTOP": "XFCE"}, "gnome"),
        ({"XDG_CURRENT_DESKTOP": "XFCE", "QT_QPA_PLATFORMTHEME": "qt6ct"}, "qt6ct"),
        ({"QT_QPA_PLATFORMTHEME": "gtk3"}, "gnome"),
    ],
)
def test_glib_is_left_to_libvirt(environment: dict[str, str], theme: str | None) -> None:
    """GTK on libvirt's thread would crash; where Qt takes its GTK theme it gets another."""
    keep_glib_for_libvirt(environment)
    assert environment["QT_NO_GLIB"] == "1"
    assert environment.get("QT_QPA_PLATFORMTHEME") == theme
