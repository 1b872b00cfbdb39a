"""What the snapshot tree says about a row: its columns, tooltips and words for screen readers.

A new column is one more entry in ``COLUMNS``. No Qt classes but for translation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

from snapview.core.layout import LayoutRow
from snapview.core.marks import words_of
from snapview.core.vm import EPOCH, Snapshot, SnapshotKind, SnapshotState, Vm
from snapview.ui.format import (
    age_text,
    exact_time_text,
    kind_text,
    relative_text,
    run_state_text,
    snapshot_state_text,
)
from snapview.ui.retention import consistency_text, retention_text

CONTEXT = "SnapshotTree"

SortKey = tuple[int, float, str]  # class of the row, number, text


class Column(Enum):
    """Names of the columns."""

    NAME = auto()
    AGE = auto()
    KIND = auto()
    STATE = auto()
    DESCRIPTION = auto()


@dataclass(frozen=True, slots=True)
class RowFacts:
    """Everything a cell's text may depend on."""

    layout: LayoutRow
    snapshot: Snapshot | None  # None: "You are here"
    vm: Vm
    now: datetime
    is_stale: bool = False


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column.

    ``sample`` is a text that the column is made wide enough for; empty: it stretches.
    """

    id: Column
    title: str
    text: Callable[[RowFacts], str]
    sort_key: Callable[[RowFacts], SortKey]
    sample: str = ""
    is_secondary: bool = True
    least_width: int = 0


def tr(text: str) -> str:
    """Translate a text of the tree."""
    return QCoreApplication.translate(CONTEXT, text)


def name_text(facts: RowFacts) -> str:
    """Return what the row is called."""
    return tr("You are here") if facts.snapshot is None else facts.snapshot.label


def note_text(facts: RowFacts) -> str:
    """Return the words beside the name: how the live state stands to its snapshot.

    Of a snapshot, what is wrong with its place, or how long it is kept.
    """
    if facts.snapshot is not None:
        if facts.layout.is_cut_off:
            return tr("parent is missing")
        return retention_text(facts.snapshot, facts.now, is_short=True)
    current = facts.vm.tree.get(facts.vm.tree.current) if facts.vm.tree.current else None
    if current is None:
        return tr("no snapshot behind it")
    words = {
        True: tr("changed since “{name}”"),
        False: tr("as “{name}”"),
        None: tr("after “{name}”"),
    }[facts.vm.live_differs]
    return words.format(name=current.label)


def _age(facts: RowFacts) -> str:
    if facts.snapshot is not None:
        return age_text(facts.snapshot.created_at, facts.now)
    return age_text(facts.vm.read_at, facts.now) if facts.is_stale else tr("now")


def _kind(facts: RowFacts) -> str:
    return tr("Live") if facts.snapshot is None else kind_text(facts.snapshot)


def _state(facts: RowFacts) -> str:
    snapshot = facts.snapshot
    if snapshot is None:
        return run_state_text(facts.vm.run_state)
    if snapshot.problem is not None:
        return tr("unreadable")
    if snapshot.state is SnapshotState.DISK_ONLY:  # the kind already says: without memory
        return snapshot_state_text(SnapshotState.RUNNING)
    return snapshot_state_text(snapshot.state)


def _description(facts: RowFacts) -> str:
    if facts.snapshot is None:
        return note_text(facts)  # in full here; beside the name only where it fits
    return " ".join(words_of(facts.snapshot.description).split())


def _by_text(text: Callable[[RowFacts], str]) -> Callable[[RowFacts], SortKey]:
    def key(facts: RowFacts) -> SortKey:
        return (facts.snapshot is None, 0.0, text(facts).casefold())

    return key


def _by_age(facts: RowFacts) -> SortKey:
    moment = facts.snapshot.created_at if facts.snapshot is not None else EPOCH
    return (facts.snapshot is None, moment.timestamp(), "")


COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec(
        Column.NAME,
        str(QT_TRANSLATE_NOOP(CONTEXT, "Name")),
        name_text,
        _by_text(name_text),
        is_secondary=False,
        least_width=180,
    ),
    ColumnSpec(
        Column.AGE,
        str(QT_TRANSLATE_NOOP(CONTEXT, "Age")),
        _age,
        _by_age,
        str(QT_TRANSLATE_NOOP(CONTEXT, "59 min")),
        is_secondary=False,
    ),
    ColumnSpec(
        Column.KIND,
        str(QT_TRANSLATE_NOOP(CONTEXT, "Kind")),
        _kind,
        _by_text(_kind),
        str(QT_TRANSLATE_NOOP(CONTEXT, "External + memory")),
    ),
    ColumnSpec(
        Column.STATE,
        str(QT_TRANSLATE_NOOP(CONTEXT, "State")),
        _state,
        _by_text(_state),
        str(QT_TRANSLATE_NOOP(CONTEXT, "unreadable")),
    ),
    ColumnSpec(
        Column.DESCRIPTION,
        str(QT_TRANSLATE_NOOP(CONTEXT, "Description")),
        _description,
        _by_text(_description),
        least_width=120,
    ),
)


def tooltip_text(facts: RowFacts) -> str:
    """Return the tooltip of a row as plain text: everything that does not fit into it."""
    snapshot = facts.snapshot
    if snapshot is None:
        return "\n".join(
            (
                tr("You are here: the state of {vm} now").format(vm=facts.vm.name),
                note_text(facts),
            )
        )
    lines = [snapshot.label]
    if snapshot.label != snapshot.name:
        lines.append(tr("Name in libvirt: {name}").format(name=snapshot.name))
    lines.append(tr("Taken {time}").format(time=exact_time_text(snapshot.created_at)))
    if snapshot.problem is not None:
        lines.append(snapshot.problem)
    if facts.layout.is_cut_off and snapshot.parent is not None:
        lines.append(
            tr("Its parent “{name}” is missing or cannot be its parent.").format(
                name=snapshot.parent
            )
        )
    lines += filter(None, (consistency_text(snapshot), retention_text(snapshot, facts.now)))
    if words := words_of(snapshot.description):
        lines += ["", words]
    return "\n".join(lines)


def spoken_text(facts: RowFacts) -> str:
    """Return a whole row in words, for screen readers."""
    snapshot, vm = facts.snapshot, facts.vm
    if snapshot is None:
        return ", ".join((name_text(facts), note_text(facts), _state(facts)))
    kinds = {
        SnapshotKind.INTERNAL: (tr("internal"), tr("internal with memory")),
        SnapshotKind.EXTERNAL: (tr("external"), tr("external with memory")),
        SnapshotKind.MIXED: (tr("mixed"), tr("mixed with memory")),
    }
    words = [snapshot.label, kinds[snapshot.kind][snapshot.has_memory]]
    words.append(tr("taken {time}").format(time=relative_text(snapshot.created_at, facts.now)))
    parent = vm.tree.parent(snapshot.name) if snapshot.name in vm.tree else None
    above = vm.tree.get(parent) if parent is not None else None
    words.append(
        tr("child of {name}").format(name=above.label) if above else tr("without a parent")
    )
    if facts.layout.is_live:
        words.append(tr("on the path to the live state"))
    if retention := retention_text(snapshot, facts.now):
        words.append(retention)
    if snapshot.problem is not None:
        words.append(snapshot.problem)
    return ", ".join(words)
