"""What plans cost and do to the guest, in words: exact, or with where a figure comes from."""

from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot

from snapview.core.moves import (
    CommitImages,
    DefineAsAt,
    DeleteByLibvirt,
    ForgetSnapshot,
    Move,
    PullImages,
    RemoveFile,
    RevertByLibvirt,
    TakeSnapshot,
)
from snapview.core.operations import CreateSnapshot, DeleteSnapshot, RevertSnapshot
from snapview.core.planning import Act, Plan, Step
from snapview.core.vm import RunState, SnapshotDisk, SnapshotKind
from snapview.ui.dialogs.figure_row import FigureRow
from snapview.ui.dialogs.plan_table import MOST_LINES, plan_table
from snapview.ui.dialogs.plan_words import (
    CostFigure,
    cost_figures,
    cost_lines,
    free_bytes,
    guest_effect,
    limit_of,
    way_text,
)
from snapview.ui.widgets import panel
from tests.ui.dialogs.worlds import GIB, MIB, PATHS, files, layer, line_of_externals
from tests.ui.windows import texts

pytestmark = pytest.mark.usefixtures("qapp")

VM = line_of_externals()
CHAIN = tuple(layer(path) for path in reversed(PATHS))
DELETE = DeleteSnapshot(VM.uuid, ("s1",))
COMMIT = CommitImages("vda", PATHS[2], PATHS[1], CHAIN, in_vm=True)


def plan_of(act: Act, *moves: Move, **more: object) -> Plan:
    step = Step(act, "Something happens.", "vda", (PATHS[2], PATHS[1]))
    return Plan(DELETE, (step,), moves, **more)  # type: ignore[arg-type]


def words(figures: tuple[CostFigure, ...]) -> list[tuple[str, str]]:
    return [(figure.value, figure.word) for figure in figures]


def test_all_figures_of_a_merge() -> None:
    merge = plan_of(
        Act.MERGE,
        COMMIT,
        bytes_to_copy=2 * GIB,
        extra_bytes_needed=GIB,
        freed_bytes=GIB // 2,
        estimated_seconds=20.48,
    )
    assert words(cost_figures(merge, VM)) == [
        ("0.5 GiB", "comes back"),
        ("2.0 GiB", "to copy"),
        ("1.0 GiB", "extra at the peak, of 61.0 GiB free"),
        ("about 20 s", "at 100 MiB/s, as measured here"),
    ]
    assert cost_figures(merge, VM)[1].tip.startswith("2")


def test_unknown_is_said_to_be_unknown() -> None:
    unread = line_of_externals(storage=False)
    merge = plan_of(Act.MERGE, COMMIT)
    assert words(cost_figures(merge, unread)) == [
        ("unknown", "to copy"),
        ("unknown", "extra at the peak, free: unknown"),
        ("unknown", "time, until the first merge on this host"),
        ("unknown", "comes back; known when it is done"),
    ]
    first = replace(VM, storage=replace(files(), copy_bytes_per_second=None))
    sized = plan_of(Act.MERGE, COMMIT, bytes_to_copy=GIB)
    assert ("unknown", "time, until the first merge on this host") in words(
        cost_figures(sized, first)
    )
    assert ("unknown", "time: the size is not known") in words(cost_figures(merge, VM))


def test_a_limit_is_what_the_time_comes_from() -> None:
    slow = replace(COMMIT, bandwidth_bytes_per_second=10 * MIB)
    assert limit_of(plan_of(Act.MERGE, slow)) == 10 * MIB
    merge = plan_of(Act.MERGE, slow, bytes_to_copy=GIB, estimated_seconds=102.4)
    assert ("about 1 min 42 s", "at the limit of 10 MiB/s") in words(cost_figures(merge, VM))
    fast = replace(COMMIT, bandwidth_bytes_per_second=900 * MIB)
    merge = plan_of(Act.MERGE, fast, bytes_to_copy=GIB, estimated_seconds=10.2)
    assert ("about 10 s", "at 100 MiB/s, as measured here") in words(cost_figures(merge, VM))


def test_a_discard_copies_nothing() -> None:
    discard = plan_of(
        Act.DISCARD,
        RemoveFile(PATHS[1]),
        freed_bytes=3 * GIB,
        bytes_to_copy=0,
        extra_bytes_needed=0,
        estimated_seconds=0.0,
    )
    assert words(cost_figures(discard, VM)) == [("3.0 GiB", "comes back")]
    assert words(cost_figures(plan_of(Act.DISCARD), VM)) == [], "an unknown alone says nothing"
    assert words(cost_figures(plan_of(Act.EDIT), VM)) == []


def test_free_is_the_least_of_the_places() -> None:
    elsewhere = replace(files(), free_bytes={"/images": 61 * GIB, "/mnt": 3 * GIB, "/full": 1})
    vm = replace(VM, storage=elsewhere)
    both = Plan(DELETE, (Step(Act.MERGE, "", "vda", ("/mnt/a", PATHS[0])),))
    assert free_bytes(both, vm) == 3 * GIB
    assert free_bytes(Plan(DELETE, (Step(Act.MERGE, "", files=("/odd/a",)),)), vm) is None
    assert free_bytes(both, line_of_externals(storage=False)) is None


@pytest.mark.parametrize(
    ("move", "state", "words"),
    [
        (COMMIT, RunState.RUNNING, "a little slower"),
        (COMMIT, RunState.PAUSED, "stays paused"),
        (replace(COMMIT, in_vm=False), RunState.RUNNING, "branches that it does not use"),
        (replace(COMMIT, in_vm=False), RunState.SHUTOFF, "stays off"),
        (PullImages("vda", None, CHAIN, in_vm=True), RunState.RUNNING, "a little slower"),
        (DeleteByLibvirt("s1"), RunState.RUNNING, "stand still for a moment"),
        (DeleteByLibvirt("s1"), RunState.SHUTOFF, "stays off"),
        (RemoveFile(PATHS[0]), RunState.RUNNING, "notices nothing"),
    ],
)
def test_what_the_guest_notices(move: Move, state: RunState, words: str) -> None:
    assert words in guest_effect(plan_of(Act.MERGE, move), replace(VM, run_state=state))


def test_who_reverts() -> None:
    revert = Plan(RevertSnapshot(VM.uuid, "s1"), ())
    assert way_text(revert, VM) == ""
    assert way_text(replace(revert, moves=(RevertByLibvirt("s1"),)), VM) == "by libvirt 11.3 itself"
    assert "own way" in way_text(replace(revert, moves=(DefineAsAt("s1", ()),)), VM)


def taking(act: Act, *, kind: SnapshotKind, needed: int | None = None) -> Plan:
    disks = (SnapshotDisk("vda", "external"),) if kind is SnapshotKind.EXTERNAL else ()
    move = TakeSnapshot("new", "", kind, disks=disks)
    step = Step(act, "", "vda", (PATHS[0],))
    operation = CreateSnapshot(VM.uuid, kind=kind)
    return Plan(operation, (step,), (move,), extra_bytes_needed=needed)


def test_what_a_snapshot_costs() -> None:
    memory = taking(Act.SAVE_MEMORY, kind=SnapshotKind.EXTERNAL, needed=4 * GIB)
    assert cost_lines(memory, VM) == (
        ("VM stands still", "shortly, when nearly all of its memory is written"),
        ("Space now", "at most 4.0 GiB of 61.0 GiB free"),
        ("Grows", "by whatever is written from now on"),
    )
    inside = taking(Act.SAVE_MEMORY, kind=SnapshotKind.INTERNAL)
    assert cost_lines(inside, VM) == (
        ("VM stands still", "until its memory is written"),
        ("Space free", "61.0 GiB"),
    )
    disk = taking(Act.CREATE, kind=SnapshotKind.EXTERNAL)
    assert cost_lines(disk, VM)[0] == ("VM stands still", "for an instant only")
    off = replace(line_of_externals(storage=False), run_state=RunState.SHUTOFF)
    assert cost_lines(disk, off) == (("Grows", "by whatever is written from now on"),)


def test_figures_are_shown_beside_one_another(qtbot: QtBot) -> None:
    row = FigureRow()
    qtbot.addWidget(row)
    assert row.isHidden()
    row.show_figures((CostFigure("1.0 GiB", "to copy"), CostFigure("unknown", "comes back")))
    assert not row.isHidden()
    assert texts(row) == ["1.0 GiB", "to copy", "unknown", "comes back"]
    row.show_figures(())
    assert row.isHidden()


def table_texts(qtbot: QtBot, planned: Plan) -> list[str]:
    widget = panel("base")
    qtbot.addWidget(widget)
    widget.setLayout(plan_table(planned, VM))
    return texts(widget)


def test_the_table_says_which_file_goes_where(qtbot: QtBot) -> None:
    pull = PullImages("vda", PATHS[0], CHAIN[2:], in_vm=False)
    merge = plan_of(
        Act.MERGE,
        COMMIT,
        pull,
        ForgetSnapshot("s1"),
        RemoveFile(PATHS[2]),
        lost=("The point “s1”",),
        kept=("The VM as it is now",),
    )
    said = " ".join(table_texts(qtbot, merge))
    assert "two.qcow2 into one.qcow2" in said
    assert "one.qcow2 copied up into two.qcow2" in said
    assert "two.qcow2 is removed" in said
    for part in ("Goes The point “s1”", "Stays The VM as it is now", "Guest It runs on"):
        assert part in said


def test_long_tables_are_cut_short(qtbot: QtBot) -> None:
    many = tuple(f"The point “{n}”" for n in range(MOST_LINES + 4))
    said = table_texts(qtbot, plan_of(Act.DISCARD, lost=many))
    assert sum(text.startswith("The point") for text in said) == MOST_LINES
    assert "and 4 more" in said
