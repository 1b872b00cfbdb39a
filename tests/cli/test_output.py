"""What a terminal can show."""

import io
import os
import pty
import subprocess
import sys
import threading

import pytest

from snapview.cli import output
from snapview.cli.lanes import ASCII, BOX, Cell
from snapview.cli.output import Meter, Styled
from snapview.core.operations import Progress
from tests.cli.conftest import Terminal

ROWS = """
from snapview.cli.output import Styled, prepare_streams, print_table, say
from snapview.cli.lanes import Cell
prepare_streams()
say("日本")
print_table(
    ("", "NAME", "KIND"),
    [[[Cell("●", 1)], Styled("a rather long name of a snapshot", "bold"), Styled("internal")]],
)
"""


def test_a_dumb_terminal_gets_ascii(snapview: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "TERM", "dumb")
    assert snapview("tree", "web").out.isascii()
    assert output.glyphs() is ASCII
    monkeypatch.setitem(os.environ, "TERM", "xterm")
    assert output.glyphs() is BOX


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_without_box_drawing_gets_ascii(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    assert output.glyphs() is ASCII


def test_characters_that_the_encoding_lacks_are_no_error() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ROWS],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        encoding="ascii",
        check=True,
    )
    assert done.stdout.startswith(r"\u65e5\u672c")


def on_a_terminal(columns: int) -> str:
    """Run ``ROWS`` on a real pseudo-terminal."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    done: list[bytes] = []

    def read() -> None:
        while True:
            try:
                done.append(os.read(master, 4096))
            except OSError:  # the other end was closed
                return

    reader = threading.Thread(target=read)
    reader.start()
    subprocess.run([sys.executable, "-c", ROWS], stdout=slave, env=environment, check=True)
    os.close(slave)
    reader.join(30)
    os.close(master)
    return b"".join(done).decode()


def test_colours_and_shortening_are_for_terminals_only() -> None:
    shown = on_a_terminal(30)
    assert "\x1b[" in shown
    assert "a rather long na…" in shown
    assert "internal" in shown
    assert "a rather long name of a snapshot" in on_a_terminal(80)


def test_tables_elsewhere_are_whole_and_plain(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    output.print_table(("", "NAME"), [[[Cell("●", 1)], Styled(long, "bold")]])
    assert capsys.readouterr().out == f"   NAME\n●  {long}\n"


def test_names_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("NAME",), [[Styled("[red]x[/red] :smile: 1.5")]])
    assert capsys.readouterr().out == "NAME\n[red]x[/red] :smile: 1.5\n"


def test_the_meter_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with output.meter() as shown:
        shown.show(Progress("copying", 1, 2))
        assert not shown.is_drawing
    assert capsys.readouterr() == ("", "")


def test_the_meter_shows_bytes() -> None:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TextColumn

    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    columns = TextColumn("{task.description}"), TextColumn("{task.fields[figures]}")
    with Bar(*columns, console=console, auto_refresh=False) as bar:
        shown = Meter(bar)
        shown.show(None)
        assert not bar.tasks
        shown.show(Progress("copying"))
        shown.show(Progress("copying \x1b[31m", 1 << 20, 4 << 20))
        (task,) = bar.tasks  # each phase has its own
        assert task.description == r"copying \x1b[31m"
        assert task.fields["figures"] == "1 MiB of 4 MiB"
        assert (task.completed, task.total) == (1 << 20, 4 << 20)


def test_the_meter_shows_the_time_left_of_a_phase() -> None:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TextColumn

    clock = [0.0]
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    bar = Bar(
        TextColumn("{task.fields[left]}"),
        console=console,
        auto_refresh=False,
        get_time=lambda: clock[0],
    )
    with bar:
        shown = Meter(bar)
        for second in range(5):  # 10 MiB a second, of 100 MiB
            clock[0] = second
            shown.show(Progress("merging", second * (10 << 20), 100 << 20))
        assert bar.tasks[0].fields["left"] == "6.0 s left"
        clock[0] = 60
        shown.show(Progress("another", 10 << 20, 100 << 20))
        assert bar.tasks[0].fields["left"] == "", "the speed of another phase says nothing"
        shown.show(Progress("another", 10 << 20))
        assert bar.tasks[0].fields["left"] == ""
