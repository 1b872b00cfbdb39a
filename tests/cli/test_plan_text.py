"""A plan as text."""

import pytest

from snapview.cli.plan_text import plan_lines
from snapview.core.operations import CreateSnapshot
from snapview.core.planning import Act, GetBack, Plan, Step
from tests.cli.conftest import Terminal, add_layers
from tests.fakes import FakeWorld

DRY_RUNS = [
    ("snapshot", "web", "x"),
    ("revert", "web", "updated"),
    ("delete", "web", "tuned", "updated"),
    ("describe", "web", "tuned", "text"),
    ("consolidate", "layered"),
]


@pytest.mark.parametrize("command", DRY_RUNS)
def test_a_dry_run_changes_nothing(
    snapview: Terminal, world: FakeWorld, command: tuple[str, ...]
) -> None:
    add_layers(world)
    before = dict(world.simulation.vms)
    answer = snapview(*command, "--dry-run")
    assert answer.status == 0
    assert answer.out.startswith("Nothing has been changed. This is what would happen:\n  1. ")
    assert world.simulation.vms == before
    assert world.calls["start"] == 0


def test_a_plan_says_everything_it_knows() -> None:
    made = Plan(
        operation=CreateSnapshot("uuid"),
        steps=(Step(Act.MERGE, "Merge.", "vda", ("/a\x1b[31m", "/b")), Step(Act.START, "Start.")),
        kept=("The VM",),
        lost=("A point",),
        warnings=("Careful.",),
        undo="Take it again.",
        get_back=GetBack(
            revert=True, revert_text="You can.", remove=False, remove_text="Not removed."
        ),
        bytes_to_copy=5 << 20,
        extra_bytes_needed=0,
        freed_bytes=3 << 29,
        estimated_seconds=7.4,
    )
    assert list(plan_lines(made)) == [
        "  1. Merge.",
        r"       /a\x1b[31m",
        "       /b",
        "  2. Start.",
        "Kept:",
        "  The VM",
        "Lost:",
        "  A point",
        "Careful:",
        "  Careful.",
        "Can I get back?",
        "  Revert: You can.",
        "  Remove: Not removed.",
        "To copy: 5 MiB.",
        "Extra space needed meanwhile: 0 MiB.",
        "Freed: 1.5 GiB.",
        "Estimated time: 7.4 s.",
        "Undo: Take it again.",
    ]


def test_what_cannot_be_undone_is_said() -> None:
    assert list(plan_lines(Plan(CreateSnapshot("uuid"), ())))[-1] == "This cannot be taken back."
