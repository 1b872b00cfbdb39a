"""Where each snapshot of a tree is drawn: rows and lanes, no pixels.

Oldest on top. The path to the live state runs straight down lane 0 and ends in the row "You are
here"; side branches stand beside it, each whole before the path goes on. Lanes are reused.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of an edge within one half of a row.

    Lanes are counted from 0; where an edge bends, it crosses the border between two rows half-way
    between its lanes, so these are floats. ``colour`` is an index into the branch colours.
    """

    top_lane: float
    bottom_lane: float
    colour: int
    is_live: bool = False  # part of the path to "You are here"


@dataclass(frozen=True, slots=True)
class LayoutRow:
    """One row: its node and the lines through its upper and its lower half."""

    name: str | None  # None: "You are here"
    lane: int
    colour: int
    upper: tuple[Line, ...] = ()
    lower: tuple[Line, ...] = ()
    is_live: bool = False  # on the path to "You are here"
    is_cut_off: bool = False  # its parent is missing, or a cycle was cut here


@dataclass(frozen=True, slots=True)
class TreeLayout:
    """All rows, and how many lanes they need."""

    rows: tuple[LayoutRow, ...] = ()
    lanes: int = 1
