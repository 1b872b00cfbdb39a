"""The composition root as users start it: in a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from snapview import __version__
from snapview.__main__ import WindowOptions, has_display, window_options

CRASH = """
import sys, snapview.__main__ as main
from snapview.cli.invocation import Invocation
def crash(self): raise ZeroDivisionError("first\\nsecond")
Invocation.list_all = crash
sys.argv[0] = "snapview"
sys.exit(main.main())
"""
LOADED = """
import sys
import snapview.__main__ as main
main._open_window = main._run_command_line = lambda *arguments: 0
main.main()
big = {"click", "rich", "PySide6", "libvirt", "numpy", "argparse"}
print(*big & {name.partition(".")[0] for name in sys.modules})
print(any(name.startswith("snapview.cli") for name in sys.modules))
"""


def run(
    *arguments: str, code: str | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    start = ["-m", "snapview"] if code is None else ["-c", code]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        env=environment or dict(os.environ),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment without a display, whose user has nothing yet."""
    folders = {f"XDG_{name}_HOME": str(tmp_path) for name in ("DATA", "STATE", "CONFIG", "CACHE")}
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", **folders}


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ("", WindowOptions()),
        ("-c qemu:///session", WindowOptions(uris=("qemu:///session",))),
        ("--connect=a --connect b -v", WindowOptions(uris=("a", "b"), is_verbose=True)),
        ("--demo --screenshot x.png", WindowOptions(is_demo=True, picture=Path("x.png"))),
        ("--screenshot=x.png --verbose", WindowOptions(picture=Path("x.png"), is_verbose=True)),
        ("--version", WindowOptions(is_version=True)),
        ("list", None),
        ("-c qemu:///session list", None),
        ("--json", None),
        ("--help", None),
        ("-c", None),
        ("--screenshot=", None),
        ("--no-such-option", None),
    ],
)
def test_what_is_for_the_window_and_what_for_the_command_line(
    arguments: str, options: WindowOptions | None
) -> None:
    assert window_options(arguments.split()) == options


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"snapview {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "modules", "has_commands"),
    [(["--version"], "", "False"), ([], "", "False"), (["list"], "", "False")],
)
def test_the_root_itself_loads_nothing_big(
    arguments: list[str], modules: str, has_commands: str
) -> None:
    lines = run(*arguments, code=LOADED).stdout.splitlines()
    assert lines[-2:] == [modules, has_commands]


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ""}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"QT_QPA_PLATFORM": "offscreen"}, "linux", True),
        ({}, "darwin", True),
    ],
)
def test_whether_there_is_a_display(
    environment: dict[str, str], platform: str, expected: bool
) -> None:
    assert has_display(environment, platform) is expected


def test_without_a_display_it_says_what_to_do(home: dict[str, str]) -> None:
    done = run(environment=home)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no display" in done.stderr
    assert "snapview list" in done.stderr
    assert list(Path(home["HOME"]).iterdir()) == []


def test_usage_errors_are_those_of_the_command_line(home: dict[str, str]) -> None:
    done = run("--no-such-option", environment=home)
    assert done.returncode == 2
    assert "Usage: snapview" in done.stderr


def test_no_daemon_is_a_sentence(home: dict[str, str]) -> None:
    socket = f"{home['HOME']}/none"
    done = run("-c", f"qemu+unix:///session?socket={socket}", "list", environment=home)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("snapview: ")


def test_a_bad_uri_is_a_sentence(home: dict[str, str]) -> None:
    for uri in ("nonsense", "qemu:///nonsense", "://"):
        done = run("-c", uri, "list", environment=home)
        assert done.returncode in {1, 4}, uri
        assert "Traceback" not in done.stderr
        assert done.stderr.startswith("snapview: ")


def test_the_test_driver_can_be_looked_at(home: dict[str, str]) -> None:
    done = run("list", "--json", "-c", "test:///default", environment=home)
    assert done.returncode == 0, done.stderr
    assert '"name": "test"' in done.stdout


def test_a_fault_of_ours_is_a_sentence_and_a_log(home: dict[str, str]) -> None:
    done = run("-c", "test:///default", "list", code=CRASH, environment=home)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "ZeroDivisionError (first second)" in done.stderr
    log = Path(home["HOME"]) / "snapview" / "log" / "snapview.log"
    assert str(log) in done.stderr
    assert "Traceback" in log.read_text()
    assert "Traceback" in run("-v", "list", code=CRASH, environment=home).stderr


def test_ctrl_c_while_a_host_does_not_answer(home: dict[str, str], tmp_path: Path) -> None:
    import socket

    path = str(tmp_path / "deaf")
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(path)
        deaf.listen()
        with subprocess.Popen(
            [sys.executable, "-m", "snapview", "-c", f"qemu+unix:///session?socket={path}", "list"],
            env=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as running:
            client, _ = deaf.accept()
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=30)
            client.close()
    assert running.returncode == 130
    assert said == "snapview: cancelled.\n"
