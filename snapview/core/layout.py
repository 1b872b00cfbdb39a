"""Where each snapshot of a tree is drawn: rows and lanes, no pixels.

Oldest on top. The path to the live state runs straight down lane 0 and ends in the row "You are
here"; side branches stand beside it, each whole before the path goes on. Lanes are reused.

Of several children the one with the largest subtree goes on in its parent's lane (a heavy path),
so that no tree of n snapshots needs more than log2(n) + 2 lanes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from snapview.core.vm import SnapshotTree

BRANCH_COLOURS = 5  # the first is the live path's


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


def layout_tree(tree: SnapshotTree, *, newest_first: bool = False) -> TreeLayout:
    """Lay out a tree in O(n log n), without recursion.

    Args:
        tree: any tree, also one with orphans and cut cycles.
        newest_first: turn the picture upside down.
    """
    live = set(tree.live_path())
    main = _main_children(tree, live)
    rows = _place(tree, live, main)
    lanes = 1 + max(row.lane for row in rows)
    if newest_first:
        rows = [_mirror(row) for row in reversed(rows)]
    return TreeLayout(tuple(rows), lanes)


def _main_children(tree: SnapshotTree, live: set[str]) -> dict[str, str]:
    """Return for each snapshot the child that goes on in its lane; none for the current one."""
    sizes: dict[str, int] = {}
    main: dict[str, str] = {}
    for root in tree.roots:
        for name in reversed(tree.subtree(root)):  # children before parents
            children = tree.children(name)
            sizes[name] = 1 + sum(sizes[child] for child in children)
            if name == tree.current or not children:
                continue  # "You are here" goes on in the current one's lane
            on_path = next((child for child in children if child in live), None)
            main[name] = on_path or max(reversed(children), key=lambda child: sizes[child])
    return main


def _order(tree: SnapshotTree, live: set[str], main: dict[str, str]) -> Iterator[str | None]:
    """Yield names from top to bottom: side branches first, the main child last; None: live."""
    roots = sorted(tree.roots, key=lambda name: name in live)  # stable: the live root comes last
    stack: list[str | None] = [None] if tree.current is None else []
    stack.extend(reversed(roots))
    while stack:
        name = stack.pop()
        yield name
        if name is None:
            continue
        if name == tree.current:
            stack.append(None)
        elif name in main:
            stack.append(main[name])
        stack.extend(child for child in reversed(tree.children(name)) if child != main.get(name))


def _place(tree: SnapshotTree, live: set[str], main: dict[str, str]) -> list[LayoutRow]:
    """Give each row its lane and its lines."""
    has_path = tree.current is not None
    lane_of: dict[str | None, int] = {}
    active: dict[int, Line] = {}  # the vertical lines that cross the border below the last row
    rows: list[LayoutRow] = []
    for name in _order(tree, live, main):
        is_live = has_path and (name is None or name in live)
        parent = tree.current if name is None else tree.parent(name)
        is_main = parent is not None and (name is None or main.get(parent) == name)
        lane = lane_of[parent] if is_main else _free_lane(active, is_live, has_path)
        lane_of[name] = lane
        colour = _colour(lane, is_live, has_path)
        upper = list(active.values())
        if parent is not None and not is_main:
            start, middle = lane_of[parent], (lane_of[parent] + lane) / 2
            bend = Line(start, middle, colour)
            rows[-1] = replace(rows[-1], lower=(*rows[-1].lower, bend))
            upper.append(Line(middle, lane, colour))
        active.pop(lane, None)
        if name is not None and (name == tree.current or name in main):
            active[lane] = Line(lane, lane, colour, is_live)
        cut_off = name in tree.orphans or name in tree.cut
        lower = tuple(active.values())
        rows.append(LayoutRow(name, lane, colour, tuple(upper), lower, is_live, cut_off))
    return rows


def _free_lane(active: dict[int, Line], is_live: bool, has_path: bool) -> int:  # noqa: FBT001 - private, two facts
    """Return the lowest lane that no line runs through; lane 0 belongs to the live path."""
    if is_live:
        return 0
    lane = 1 if has_path else 0
    while lane in active:
        lane += 1
    return lane


def _colour(lane: int, is_live: bool, has_path: bool) -> int:  # noqa: FBT001 - private, two facts
    """Return the branch colour: by lane, so that it stays when other branches come and go."""
    if is_live:
        return 0
    return 1 + (lane - 1) % (BRANCH_COLOURS - 1) if has_path else lane % BRANCH_COLOURS


def _mirror(row: LayoutRow) -> LayoutRow:
    """Turn one row upside down."""

    def turn(lines: tuple[Line, ...]) -> tuple[Line, ...]:
        return tuple(
            replace(line, top_lane=line.bottom_lane, bottom_lane=line.top_lane) for line in lines
        )

    return replace(row, upper=turn(row.lower), lower=turn(row.upper))
