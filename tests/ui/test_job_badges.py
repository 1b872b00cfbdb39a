"""What jobs say beside the rows of the tree."""

from PySide6.QtWidgets import QApplication

from snapview.core.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    Operation,
    Progress,
    RevertSnapshot,
)
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
    waiting = job_badges([job(JobState.WAITING, DELETE)], VM)
    assert waiting["caddy-tls"].text == "to be discarded"
    reverting = job(JobState.QUEUED, RevertSnapshot(VM.uuid, "tuned"))
    assert job_badges([reverting], VM)["tuned"].text == "reverting to it"
    assert job_badges([job(JobState.DONE), job(JobState.FAILED)], VM) == {}


def test_words_and_other_vms_have_no_badges(qapp: QApplication) -> None:
    assert job_badges([job(JobState.RUNNING, EditDescription(VM.uuid, "tuned", "", ""))], VM) == {}
    assert job_badges([job(JobState.RUNNING)], make_vm("other")) == {}
