"""The list of VMs and the tree of one VM, as rows of a table. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from snapview.cli.lanes import Glyphs, draw_row
from snapview.cli.output import Entry, Styled
from snapview.cli.text import (
    age,
    counted,
    kind,
    listing,
    neutral,
    neutral_lines,
    quoted,
    run_state,
    snapshot_state,
)
from snapview.core.layout import layout_tree
from snapview.core.marks import marks_of, words_of
from snapview.core.operations import plain_name
from snapview.core.vm import RunState, Snapshot, Vm, VmSummary

_TREE_HEADINGS = ("", "SNAPSHOT", "NAME", "AGE", "KIND", "VM WAS", "DESCRIPTION")
LIST_HEADINGS = ("VM", "STATE", "SNAPSHOTS", "AT", "OVERLAYS", "CONNECTION")


def title_line(vm: Vm) -> str:
    """Return the headline above a tree."""
    title = vm.title if vm.title != vm.name else ""
    return f"{_vm_label(vm.name, title)}: {run_state(vm.run_state)}, {_count_text(vm)}"


def _vm_label(name: str, title: str) -> str:
    return neutral(f"{name} ({title})" if title else name)


def _count_text(vm: Vm) -> str:
    if vm.problem is not None:
        return f"snapshots unknown. {neutral(vm.problem)}"
    depths = [f"{target} {counted(depth, 'overlay')}" for target, depth in vm.chain_depth.items()]
    return ", ".join([counted(len(vm.tree), "snapshot"), *(d for d in depths if " no " not in d)])


def tree_table(vm: Vm, glyphs: Glyphs, now: datetime) -> tuple[Sequence[str], list[list[Entry]]]:
    """Return headings and rows, without the columns in which there is nothing to say."""
    rows = _tree_rows(vm, glyphs, now)
    used = [
        index
        for index, heading in enumerate(_TREE_HEADINGS)
        if not heading or any(isinstance(e, Styled) and e.text for e in (r[index] for r in rows))
    ]
    return [_TREE_HEADINGS[i] for i in used], [[row[i] for i in used] for row in rows]


def _tree_rows(vm: Vm, glyphs: Glyphs, now: datetime) -> list[list[Entry]]:
    layout = layout_tree(vm.tree)
    rows: list[list[Entry]] = []
    for row in layout.rows:
        snapshot = None if row.name is None else vm.tree[row.name]
        lanes = draw_row(row, layout, glyphs.node(snapshot), glyphs)
        cells = _here_cells(vm) if snapshot is None else _snapshot_cells(vm, snapshot, now)
        rows.append([lanes, *cells])
    return rows


def _snapshot_cells(vm: Vm, snapshot: Snapshot, now: datetime) -> list[Entry]:
    # A name that is just the title made plain says nothing new; the title works as well.
    says_more = snapshot.name not in {snapshot.label, plain_name(snapshot.label)}
    first_line, *more = neutral_lines(words_of(snapshot.description))
    kept_until = marks_of(snapshot.description).kept_until
    until = f" (kept until {kept_until})" if kept_until else ""
    return [
        Styled(neutral(snapshot.label), "bold" if snapshot.name == vm.tree.current else ""),
        Styled(neutral(snapshot.name) if says_more else "", "dim"),
        Styled(age(snapshot.created_at, now)),
        Styled(kind(snapshot)),
        Styled(snapshot_state(snapshot.state)),
        Styled((first_line + (" …" if more else "") + until).strip(), "dim"),
    ]


def _here_cells(vm: Vm) -> list[Entry]:
    differs = {True: "changed", False: "unchanged", None: ""}[vm.live_differs]
    is_known = vm.run_state is not RunState.UNKNOWN
    return [
        Styled("You are here", "bold"),
        Styled(""),
        Styled("now"),
        Styled(differs if vm.tree.current else ""),
        Styled(run_state(vm.run_state) if is_known else ""),
        Styled(""),
    ]


def problem_lines(vm: Vm) -> Iterator[str]:
    """Yield what is wrong with the tree, as sentences."""
    for snapshot in vm.tree:
        if snapshot.problem:
            yield f"{quoted(snapshot.label)}: {neutral(snapshot.problem)}"
    if vm.tree.orphans:
        names = listing(quoted(name) for name in sorted(vm.tree.orphans))
        yield f"The parent is missing of {names}; shown as the first of a tree."
    if vm.tree.cut:
        names = listing(quoted(name) for name in sorted(vm.tree.cut))
        yield f"The parents of {names} form a circle; shown cut there."


def list_row(uri: str, summary: VmSummary, vm: Vm | None) -> list[Entry]:
    """Return the row of one VM; ``vm`` is None when only the summary could be read."""
    known = vm if vm is not None and vm.problem is None else None
    count = len(known.tree) if known else summary.snapshot_count
    current = known.tree.get(known.tree.current) if known and known.tree.current else None
    depths = vm.chain_depth if vm else {}
    state = vm.run_state if vm else summary.run_state
    return [
        Styled(_vm_label(summary.name, summary.title), "bold"),
        Styled(run_state(state), "green" if state is RunState.RUNNING else ""),
        Styled("unknown" if count is None else str(count)),
        Styled(neutral(current.label) if current else ""),
        Styled(", ".join(f"{target} {depth}" for target, depth in depths.items() if depth)),
        Styled(neutral(uri), "dim"),
    ]
