"""The lanes of a tree drawn with characters. Pure."""

from dataclasses import dataclass

from snapview.core.layout import LayoutRow, TreeLayout
from snapview.core.vm import Snapshot, SnapshotKind


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters to draw with; the shapes of nodes are those of the window."""

    vertical: str = "│"
    horizontal: str = "─"
    crossing: str = "┼"
    fork_right: str = "├"
    fork_left: str = "┤"
    external: str = "●"
    external_memory: str = "◉"
    internal: str = "■"
    internal_memory: str = "▣"
    mixed: str = "◆"
    broken: str = "✖"
    here: str = "◎"
    ellipsis: str = "…"

    def node(self, snapshot: Snapshot | None) -> str:
        """Return the node of a snapshot; None is "You are here"."""
        if snapshot is None:
            return self.here
        if snapshot.problem:
            return self.broken
        if snapshot.kind is SnapshotKind.MIXED:
            return self.mixed
        if snapshot.kind is SnapshotKind.INTERNAL:
            return self.internal_memory if snapshot.has_memory else self.internal
        return self.external_memory if snapshot.has_memory else self.external

    def can_be_written_as(self, encoding: str) -> bool:
        """Whether a terminal or file of that encoding has all the characters."""
        everything = "".join(getattr(self, name) for name in self.__dataclass_fields__)
        try:
            everything.encode(encoding)
        except (UnicodeEncodeError, LookupError):
            return False
        return True


BOX = Glyphs()
ASCII = Glyphs(
    vertical="|",
    horizontal="-",
    crossing="+",
    fork_right="+",
    fork_left="+",
    external="o",
    external_memory="O",
    internal="x",
    internal_memory="X",
    mixed="%",
    broken="!",
    here="@",
    ellipsis="...",
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One character of a lane with the branch colour it has; None: the reader's own colour."""

    text: str
    colour: int | None = None


def draw_row(row: LayoutRow, layout: TreeLayout, node: str, glyphs: Glyphs) -> tuple[Cell, ...]:
    """Draw one row: a column for each lane and one between two lanes.

    Edges bend only in the row of the child (the layout puts them there), so one line of text is
    enough for each snapshot.
    """
    cells = [Cell(" ") for _ in range(2 * layout.lanes - 1)]
    through = {
        int(line.top_lane): line.colour for line in row.upper if line.top_lane == line.bottom_lane
    }
    for lane, colour in through.items():
        cells[2 * lane] = Cell(glyphs.vertical, colour)
    for line in row.upper:
        if line.top_lane != line.bottom_lane:
            _draw_bend(cells, start=round(2 * line.top_lane) - row.lane, row=row, glyphs=glyphs)
    cells[2 * row.lane] = Cell(node, row.colour)
    return tuple(cells)


def _draw_bend(cells: list[Cell], *, start: int, row: LayoutRow, glyphs: Glyphs) -> None:
    """Draw the edge from lane ``start``, which goes on downwards, across to the row's node."""
    step = 1 if row.lane > start else -1
    for column in range(2 * start + step, 2 * row.lane, step):
        is_free = cells[column].text == " "
        cells[column] = Cell(glyphs.horizontal if is_free else glyphs.crossing, row.colour)
    fork = glyphs.fork_right if step > 0 else glyphs.fork_left
    cells[2 * start] = Cell(fork, cells[2 * start].colour)
