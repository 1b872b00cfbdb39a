"""What is printed where: results on stdout, everything said about them on stderr.

Hides Rich, which is imported only when a table or a progress bar is really drawn, and what the
terminal can show: encoding, colours, width.
"""

import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from snapview.cli.documents import SCHEMA, Document
from snapview.cli.lanes import ASCII, BOX, Cell, Glyphs
from snapview.cli.text import duration, neutral, size
from snapview.core.errors import SnapviewError
from snapview.core.operations import Progress

if TYPE_CHECKING:  # Rich takes as long to import as everything else together
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID
    from rich.text import Text

_LANE_STYLES = ("blue", "green", "yellow", "magenta", "cyan")
# On a narrow terminal these are shortened first.
_FLEXIBLE_HEADINGS = {"VM", "AT", "CONNECTION", "SNAPSHOT", "NAME", "DESCRIPTION"}
_UNLIMITED_COLUMNS = 10_000


@dataclass(frozen=True, slots=True)
class Styled:
    """A text of a table with the name of a Rich style."""

    text: str
    style: str = ""


Entry = Styled | Sequence[Cell]


def prepare_streams() -> None:
    """Let no character that the terminal lacks end in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def finish_streams() -> None:
    """Write what is left; a reader that has gone away (``| head``) is no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def glyphs() -> Glyphs:
    """Return the characters for lanes that stdout can show."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    can_draw = os.environ.get("TERM") != "dumb" and BOX.can_be_written_as(encoding)
    return BOX if can_draw else ASCII


def print_document(document: Document) -> None:
    """Print a JSON document; ASCII only, so that nothing in it can act on a terminal."""
    say(json.dumps({"schema": SCHEMA, **document}, indent=2))


def say(text: str) -> None:
    """Print a result."""
    # Not click.echo, which takes an ASCII terminal for a mistake and writes UTF-8.
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """Print something about the result, on stderr."""
    sys.stdout.flush()  # in the order in which it was said
    sys.stderr.write(f"{text}\n")


def complain(error: SnapviewError, *, is_verbose: bool) -> None:
    """Print an error: what happened, what to do and, if asked, what libvirt said."""
    note(f"snapview: {neutral(error.message)}")
    if error.advice:
        note(neutral(error.advice))
    if error.detail and is_verbose:
        note(f"Details: {neutral(error.detail)}")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Entry]]) -> None:
    """Print columns; on a terminal no wider than it, elsewhere never shortened."""
    from rich.table import Table

    console = _console(sys.stdout)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading, no_wrap=heading not in _FLEXIBLE_HEADINGS)
    for row in rows:
        table.add_row(*(_entry(entry) for entry in row))
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        say(line.rstrip())


def _entry(entry: Entry) -> "Text":
    from rich.text import Text

    if isinstance(entry, Styled):
        return Text(entry.text, style=entry.style, no_wrap=True, overflow="ellipsis")
    text = Text()
    for cell in entry:
        style = "" if cell.colour is None else _LANE_STYLES[cell.colour % len(_LANE_STYLES)]
        text.append(cell.text, style)
    return text


def _console(stream: TextIO) -> "Console":
    from rich.console import Console

    width = None if stream.isatty() else _UNLIMITED_COLUMNS
    # A plain Console(): markup, emoji codes and highlighting would act on VM names.
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


class Meter:
    """Shows how far a job is, on a terminal only."""

    def __init__(self, bar: "Bar | None") -> None:
        self._bar = bar
        self._task: TaskID | None = None
        self._phase = ""

    @property
    def is_drawing(self) -> bool:
        """Whether anything is seen of it."""
        return self._bar is not None

    def show(self, progress: Progress | None) -> None:
        """Show the newest progress, if there is any."""
        if self._bar is None or progress is None:
            return
        done = size(progress.done_bytes) if progress.done_bytes else ""
        total = progress.total_bytes
        figures = f"{done} of {size(total)}" if done and total else done
        phase = neutral(progress.phase)
        if self._task is not None and self._phase != phase:  # each copies at a speed of its own
            self._bar.remove_task(self._task)
            self._task = None
        if self._task is None:
            self._phase = phase
            self._task = self._bar.add_task(phase, total=total, figures=figures, left="")
        self._bar.update(self._task, total=total, completed=progress.done_bytes, figures=figures)
        left = next(task.time_remaining for task in self._bar.tasks if task.id == self._task)
        self._bar.update(self._task, left=f"{duration(left)} left" if left and total else "")


@contextmanager
def meter(*, is_shown: bool = True) -> Iterator[Meter]:
    """Give a meter that disappears when the job is over."""
    if not is_shown or not sys.stderr.isatty():
        yield Meter(None)
        return
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=_console(sys.stderr), transient=True) as bar:
        yield Meter(bar)
