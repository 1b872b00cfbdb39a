"""What rows say: states, notes, sort keys and tooltips of unusual snapshots."""

from dataclasses import replace

import pytest

from snapview.core.layout import LayoutRow
from snapview.core.vm import EPOCH, RunState, Snapshot, SnapshotState, SnapshotTree
from snapview.ui.snapshot_columns import (
    COLUMNS,
    Column,
    RowFacts,
    note_text,
    spoken_text,
    tooltip_text,
)
from tests.trees import make_vm
from tests.ui.views import NOW, snapshot

pytestmark = pytest.mark.usefixtures("qapp")


def _facts(shown: Snapshot | None, *, cut_off: bool = False) -> RowFacts:
    tree = SnapshotTree([shown] if shown else [], shown.name if shown else None)
    name = shown.name if shown else None
    row = LayoutRow(name, 0, 0, is_live=not cut_off, is_cut_off=cut_off)
    return RowFacts(row, shown, make_vm("web", tree, run_state=RunState.RUNNING), NOW)


def _text(shown: Snapshot | None, column: Column) -> str:
    spec = next(spec for spec in COLUMNS if spec.id is column)
    return spec.text(_facts(shown))


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (SnapshotState.RUNNING, "Running"),
        (SnapshotState.DISK_ONLY, "Running"),
        (SnapshotState.PAUSED, "Paused"),
        (SnapshotState.SHUTOFF, "Off"),
        (SnapshotState.UNKNOWN, "unknown"),
    ],
)
def test_states(state: SnapshotState, text: str) -> None:
    assert _text(replace(snapshot("x"), state=state), Column.STATE) == text


def test_unreadable_snapshots_say_so_everywhere() -> None:
    broken = replace(snapshot("x", problem="Its metadata cannot be read."), created_at=EPOCH)
    assert _text(broken, Column.STATE) == "unreadable"
    assert _text(broken, Column.AGE) == "unknown"
    assert "Its metadata cannot be read." in tooltip_text(_facts(broken))
    assert spoken_text(_facts(broken)).endswith("Its metadata cannot be read.")


def test_descriptions_become_one_line() -> None:
    assert _text(snapshot("x", description="one\n\n two"), Column.DESCRIPTION) == "one two"
    assert _text(None, Column.DESCRIPTION) == "no snapshot behind it"


def test_live_row_is_named_and_explained() -> None:
    facts = _facts(None)
    assert tooltip_text(facts) == "You are here: the state of web now\nno snapshot behind it"
    assert spoken_text(facts) == "You are here, no snapshot behind it, Running"


def test_cut_off_rows_name_the_missing_parent() -> None:
    facts = _facts(snapshot("x", "gone"), cut_off=True)
    assert note_text(facts) == "parent is missing"
    assert "“gone”" in tooltip_text(facts)
    assert "without a parent" in spoken_text(facts)


def test_kept_states_say_how_long() -> None:
    marked = "Before the upgrade.\nConsistency: crash-consistent\nKept until 2026-12-06"
    facts = _facts(snapshot("x", description=marked))
    assert note_text(facts) == "kept until 6 Dec"
    assert _text(facts.snapshot, Column.DESCRIPTION) == "Before the upgrade."
    said = tooltip_text(facts).split("\n")
    assert "As after a power cut" in said
    assert "kept until 6 December" in said
    assert said[-1] == "Before the upgrade."
    assert not any("Consistency:" in line for line in said)
    assert "kept until 6 December" in spoken_text(facts)
    over = _facts(snapshot("x", description="Kept until 2026-11-20"))
    assert note_text(over) == "may go"
    assert "may go since 20 November" in tooltip_text(over)


def test_live_row_sorts_after_all_snapshots() -> None:
    for spec in COLUMNS:
        assert spec.sort_key(_facts(snapshot("zz"))) < spec.sort_key(_facts(None))
