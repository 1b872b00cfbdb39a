"""What is going on with a VM, in sentences with the way out."""

from dataclasses import replace

import pytest

from snapview.cli.notices import interruption_lines, notices
from snapview.core.under_way import BlockJob, BlockJobType, Interruption
from snapview.core.vm import EPOCH
from tests.trees import make_vm

MIB = 1 << 20
WEB = make_vm("web")
TORN = Interruption("7", "the revert to “x\x1b[31m”", EPOCH, ("Go on.",), ("Go back.", "Stay."))


def test_a_quiet_vm_has_none() -> None:
    assert list(notices(WEB)) == []
    assert list(interruption_lines(WEB)) == ["Nothing of “web” is left unfinished."]


@pytest.mark.parametrize(
    ("job", "line"),
    [
        (
            BlockJob("vda", BlockJobType.ACTIVE_COMMIT, MIB, 4 * MIB),
            "A block job (active-commit) runs on vda of “web”, 1 MiB of 4 MiB done. "
            "“snapview job web vda --finish” or “--abort” ends it.",
        ),
        (
            BlockJob("vda", BlockJobType.COPY, MIB, MIB, is_ready=True),
            "A block job (copy) runs on vda of “web”, 1 MiB of 1 MiB done, ready to be finished. "
            "“snapview job web vda --finish” or “--abort” ends it.",
        ),
        (
            BlockJob("vdb"),
            "A block job runs on vdb of “web”. “snapview job web vdb --abort” aborts it.",
        ),
    ],
)
def test_a_block_job_is_told_with_its_ways_to_end(job: BlockJob, line: str) -> None:
    assert list(notices(replace(WEB, block_jobs=(job,)))) == [line]


def test_an_interruption_is_told_with_its_ways_out() -> None:
    vm = replace(WEB, interruption=TORN)
    assert list(notices(vm)) == [
        r"The revert to “x\x1b[31m” on “web” was interrupted. "
        "“snapview recover web” says how to go on."
    ]
    assert list(interruption_lines(vm)) == [
        r"The revert to “x\x1b[31m”, begun unknown, was interrupted.",
        "With --finish:",
        "  1. Go on.",
        "With --undo:",
        "  1. Go back.",
        "  2. Stay.",
    ]
    late = replace(WEB, interruption=replace(TORN, finish=(), undo=None))
    assert list(interruption_lines(late))[1:] == [
        "With --finish:",
        "  1. Nothing is left to be done.",
        "It is too late to take it back.",
    ]


def test_what_is_under_way_is_no_alarm_and_neither_are_its_jobs() -> None:
    alive = replace(TORN, is_alive=True)
    vm = replace(WEB, interruption=alive, block_jobs=(BlockJob("vda"),))
    assert list(notices(vm)) == [r"The revert to “x\x1b[31m” on “web” is under way."]
    (line,) = interruption_lines(vm)
    assert line.endswith("is under way.")
