"""The group as a whole: usage errors, help, what reaches an unexpected end."""

import subprocess
import sys

import pytest

from snapview.core.operations import CreateSnapshot
from tests.cli.conftest import Terminal
from tests.fakes import FakeWorld

COMMANDS = ("list", "tree", "snapshot", "revert", "delete", "describe", "demo")


@pytest.mark.parametrize(
    "arguments",
    [
        ("tree",),
        ("tree", "web", "extra"),
        ("delete", "web"),
        ("describe", "web", "tuned"),
        ("list", "--no-such-option"),
        ("no-such-command",),
        ("--no-such-option",),
        ("-c",),
        ("-c", "", "list"),
        ("--demo", "list"),
        ("--screenshot", "x.png", "list"),
        ("--version", "list"),
    ],
)
def test_wrong_usage_is_status_2(snapview: Terminal, arguments: tuple[str, ...]) -> None:
    answer = snapview(*arguments)
    assert answer.status == 2
    assert answer.out == ""
    assert "Usage: snapview" in answer.err or "requires an argument" in answer.err
    assert snapview.asked == []


def test_a_mistyped_command_is_guessed(snapview: Terminal) -> None:
    assert "list" in snapview("lst").err


def test_help_names_every_command(snapview: Terminal) -> None:
    answer = snapview("--help")
    assert answer.status == 0
    for command in COMMANDS:
        assert f"\n  {command} " in answer.out
        help_of_command = snapview(command, "-h")
        assert help_of_command.status == 0
        assert help_of_command.out.startswith(f"Usage: snapview {command}")
        assert "--json" in help_of_command.out


def test_a_bug_is_not_hidden(snapview: Terminal, world: FakeWorld) -> None:
    world.fail_next(CreateSnapshot, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        snapview("snapshot", "web", "x")


def test_the_command_line_loads_neither_rich_nor_qt_before_it_needs_them() -> None:
    code = (
        "import sys, snapview.cli.app\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*loaded & {'rich', 'PySide6', 'libvirt', 'numpy'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.split() == []
