"""What is said of something that is under way and was not begun in this window."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from snapview.core.operations import EndBlockJob, Recover
from snapview.core.under_way import BlockJob, BlockJobType, Interruption
from snapview.ui.colours import Severity
from snapview.ui.format import GIB
from snapview.ui.under_way_words import job_noun, under_way
from tests.trees import branching_tree, make_vm

pytestmark = pytest.mark.usefixtures("qapp")

VM = make_vm(tree=branching_tree())
CUT_OFF = Interruption(
    "7",
    "the revert to “<b>x</b>”",
    datetime.now(tz=UTC) - timedelta(days=3, hours=2),
    finish=("The VM is started.",),
    undo=("The VM's settings become again what they were before.",),
)
MERGE = BlockJob("vda", BlockJobType.ACTIVE_COMMIT, GIB, 4 * GIB)


def test_nothing_is_nothing() -> None:
    assert under_way(VM, is_ours=False) is None


def test_our_own_work_is_in_the_strip() -> None:
    vm = replace(VM, interruption=CUT_OFF, block_jobs=(MERGE,))
    assert under_way(vm, is_ours=True) is None


def test_an_interruption_can_be_settled() -> None:
    found = under_way(replace(VM, interruption=CUT_OFF, block_jobs=(MERGE,)), is_ours=False)
    assert found is not None
    assert found.severity is Severity.ERROR
    assert found.text == "Interrupted: the revert to “<b>x</b>”, 3 days ago."
    assert [offer.operation for offer in found.offers] == [
        Recover(VM.uuid, "7", finish=True),
        Recover(VM.uuid, "7", finish=False),
    ]
    assert [offer.why_not for offer in found.offers] == ["", ""]


def test_what_is_too_late_says_so() -> None:
    late = replace(CUT_OFF, undo=None)
    found = under_way(replace(VM, interruption=late), is_ours=False)
    assert found is not None
    assert "too late" in found.offers[1].why_not


def test_another_snapview_is_left_alone() -> None:
    alive = replace(CUT_OFF, is_alive=True)
    found = under_way(replace(VM, interruption=alive), is_ours=False)
    assert found is not None
    assert found.severity is Severity.NOTE
    assert "Another snapview" in found.text
    assert found.offers == ()


def test_a_job_of_somebody_else_says_how_far_it_is() -> None:
    found = under_way(replace(VM, block_jobs=(MERGE,)), is_ours=False)
    assert found is not None
    assert found.text == "A merge that was not begun here runs on vda · 25 %, 1.0 GiB of 4.0 GiB"
    finish, abort = found.offers
    assert finish.operation == EndBlockJob(VM.uuid, "vda", finish=True)
    assert "not ready" in finish.why_not
    assert abort.operation == EndBlockJob(VM.uuid, "vda", finish=False)
    assert abort.why_not == ""


def test_a_job_that_has_caught_up_can_be_finished() -> None:
    ready = replace(MERGE, done_bytes=4 * GIB, is_ready=True)
    others = (ready, BlockJob("vdb"), BlockJob("vdc"))
    found = under_way(replace(VM, block_jobs=others), is_ours=False)
    assert found is not None
    assert "has caught up on vda and waits" in found.text
    assert "%" not in found.text
    assert found.text.endswith("and 2 more")
    assert found.offers[0].why_not == ""


def test_without_a_total_no_percentage_is_made_up() -> None:
    found = under_way(replace(VM, block_jobs=(BlockJob("vda"),)), is_ours=False)
    assert found is not None
    assert found.text == "A job that was not begun here runs on vda"


def test_each_kind_has_words() -> None:
    assert all(job_noun(kind) for kind in BlockJobType)
