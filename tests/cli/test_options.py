"""The options that every command takes."""

import pytest

from tests.cli.conftest import Terminal


@pytest.mark.parametrize("arguments", [("--json", "list"), ("list", "--json")])
def test_global_options_go_before_or_after_the_command(
    snapview: Terminal, arguments: tuple[str, ...]
) -> None:
    assert len(snapview(*arguments).document["vms"]) == 3


def test_verbose_shows_the_log_and_ends_with_the_command(snapview: Terminal) -> None:
    assert "CreateSnapshot of VM" in snapview("-v", "snapshot", "fresh", "x").err
    assert "DeleteSnapshot of VM" not in snapview("delete", "fresh", "x").err


def test_a_connection_is_counted_once(snapview: Terminal) -> None:
    snapview("-c", "fake:///one", "list", "--connect=fake:///one", "-cfake:///one")
    assert snapview.asked == ["fake:///one"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("snapshot fresh x --internal --external", "--external does not go with --internal."),
        ("revert web tuned --off --start", "does not go with"),
        ("revert web tuned --paused --start --dry-run", "does not go with"),
        ("job web vda --finish --abort", "does not go with"),
        ("recover web --undo --finish", "does not go with"),
    ],
)
def test_what_contradicts_itself_is_not_done(snapview: Terminal, command: str, said: str) -> None:
    answer = snapview(*command.split())
    assert answer.status == 2
    assert said in answer.err
    assert not snapview.asked, "no host was even connected to"
