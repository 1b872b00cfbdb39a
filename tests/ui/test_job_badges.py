"""What jobs say beside the rows of the tree."""

from dataclasses import replace

import pytest
from PySide6.QtWidgets import QApplication

from snapview.core.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    Operation,
    Progress,
    RevertSnapshot,
)
from snapview.core.planning import Act, Plan, Step
from snapview.session import JobState, JobView, VmKey
from snapview.ui.job_badges import job_badges
from tests.trees import branching_tree, make_vm

VM = make_vm(tree=branching_tree())
TAKE = CreateSnapshot(VM.uuid, "x")
DELETE = DeleteSnapshot(VM.uuid, ("caddy-tls",))


def job(
    state: JobState, operation: Operation = TAKE, *, progress: Progress | None = None
) -> JobView:
    return JobView(1, VmKey("test:///", VM.uuid), "web", operation, state, progress)


def test_badges(qapp: QApplication) -> None:
    running = job(JobState.RUNNING, progress=Progress("", 1, 4))
    assert job_badges([running], VM)[None].fraction == 0.25
    reverting = job(JobState.QUEUED, RevertSnapshot(VM.uuid, "tuned"))
    assert job_badges([reverting], VM)["tuned"].text == "reverting to it"
    assert job_badges([job(JobState.DONE), job(JobState.FAILED)], VM) == {}


@pytest.mark.parametrize(
    ("acts", "waiting", "running"),
    [
        ((Act.DISCARD,), "to be discarded", "discarding"),
        ((Act.MERGE, Act.DISCARD), "to be discarded", "discarding"),
        ((Act.MERGE,), "to be merged", "merging"),
        (None, "to be removed", "removing"),  # an undo: nobody was asked
    ],
)
def test_merging_and_discarding_are_two_words(
    qapp: QApplication, acts: tuple[Act, ...] | None, waiting: str, running: str
) -> None:
    made = Plan(DELETE, tuple(Step(act, "") for act in acts)) if acts else None
    for state, word in ((JobState.WAITING, waiting), (JobState.RUNNING, running)):
        shown = replace(job(state, DELETE), planned=made)
        assert job_badges([shown], VM)["caddy-tls"].text == word


def test_words_and_other_vms_have_no_badges(qapp: QApplication) -> None:
    assert job_badges([job(JobState.RUNNING, EditDescription(VM.uuid, "tuned", "", ""))], VM) == {}
    assert job_badges([job(JobState.RUNNING)], make_vm("other")) == {}
