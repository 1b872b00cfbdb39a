"""What the window does about jobs: cancelling, slowing down, asking again, merging upwards."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from snapview.core.errors import HostError, ImageNotWritable, PlanChanged
from snapview.core.operations import (
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    Failed,
    MergeBy,
    Operation,
    Outcome,
    RevertSnapshot,
)
from snapview.core.planning import Act, Plan, Step, plan
from snapview.session import JobState
from snapview.settings import Settings
from snapview.ui.dialogs.cancel import CancelDialog
from snapview.ui.dialogs.remove import RemoveDialog
from snapview.ui.dialogs.revert import RevertDialog
from snapview.ui.dialogs.take_snapshot import TakeSnapshotDialog
from snapview.ui.job_row import JobRow
from tests.fakes import FakeHost, FakeWorld
from tests.trees import branching_tree, linear_tree, make_vm, vm_uuid
from tests.ui.conftest import OpenWindow
from tests.ui.windows import Shown, click, says

WEB = vm_uuid("web")
TAKE = CreateSnapshot(WEB, "before nginx", "why", memory=True)
DELETE = DeleteSnapshot(WEB, ("tuned",))
MERGING = Plan(DELETE, (Step(Act.MERGE, "vda is merged."),))


@pytest.fixture
def web(open_window: OpenWindow, tmp_path: Path) -> Shown:
    settings = Settings(tmp_path / "s.json")
    settings.delete_grace_seconds = 0
    world = FakeWorld(make_vm("web", branching_tree()), make_vm("db", linear_tree(2)))
    shown = open_window(world, settings=settings)
    shown.choose("web")
    return shown


def row(shown: Shown, job_id: int) -> JobRow:
    found = shown.window.jobs_strip.row_of(job_id)
    assert found is not None
    return found


def ends_with(
    monkeypatch: pytest.MonkeyPatch, shown: Shown, outcome: Outcome
) -> Callable[[], None]:
    real = shown.world.perform

    def perform(*_operation_and_gist: object) -> Outcome:
        return outcome

    monkeypatch.setattr(shown.world, "perform", perform)
    return lambda: monkeypatch.setattr(shown.world, "perform", real)


def begin(shown: Shown, operation: Operation, planned: Plan | None = None) -> int:
    """Submit a job that waits for the crank."""
    shown.world.hold_jobs()
    job_id = shown.session.submit(shown.key("web"), operation, planned=planned)
    shown.wait(lambda: shown.world.waiting_jobs == 1)
    shown.wait(lambda: shown.session.jobs[-1].state is JobState.RUNNING)
    return job_id


def test_cancelling_a_merge_is_asked_about(web: Shown) -> None:
    job_id = begin(web, DELETE, MERGING)
    web.click_button(row(web, job_id), "Cancel")
    dialog = web.dialog()
    assert isinstance(dialog, CancelDialog)
    assert says(dialog, "Merging “tuned” on web")
    assert says(dialog, "is lost")
    web.wait(dialog.go_on.hasFocus)
    click(dialog.go_on)
    assert web.session.jobs[-1].can_cancel, "nothing was cancelled"
    web.click_button(row(web, job_id), "Cancel")
    web.click_button(web.dialog(), "Cancel the merge")
    web.wait(lambda: web.session.jobs[-1].state is JobState.CANCELLED)


def test_cancelling_what_loses_nothing_is_not(web: Shown) -> None:
    job_id = begin(web, TAKE)
    web.click_button(row(web, job_id), "Cancel")
    web.wait(lambda: web.session.jobs[-1].state is JobState.CANCELLED)


def test_slowing_down(web: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[int] = []
    monkeypatch.setattr(FakeHost, "limit", lambda _host, _uuid, speed: limits.append(speed))
    job_id = begin(web, DELETE, MERGING)
    web.window.jobs_strip.limit_chosen.emit(job_id, 1)
    web.wait(lambda: row(web, job_id).buttons()[0].text() == "Paused")
    assert limits == [1]


def test_a_limit_that_is_refused_is_said(web: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_host: FakeHost, _uuid: str, _speed: int) -> None:
        raise HostError("No block job runs just now.")

    monkeypatch.setattr(FakeHost, "limit", refuse)
    job_id = begin(web, DELETE, MERGING)
    web.window.jobs_strip.limit_chosen.emit(job_id, 1)
    web.wait(lambda: "No block job runs just now." in web.window.stage.banner.text())
    assert row(web, job_id).buttons()[0].text() == "Slow down"


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        (TAKE, TakeSnapshotDialog),
        (DELETE, RemoveDialog),
        (RevertSnapshot(WEB, "updated", safety_snapshot=False, keep_days=None), RevertDialog),
    ],
)
def test_a_plan_that_has_changed_is_shown_anew_as_it_was_filled_in(
    web: Shown, monkeypatch: pytest.MonkeyPatch, operation: Operation, kind: type
) -> None:
    changed = Failed(PlanChanged("“web” has changed since."))
    undo = ends_with(monkeypatch, web, changed)
    web.session.submit(web.key("web"), operation)
    dialog = web.dialog()
    undo()
    assert isinstance(dialog, kind)
    assert isinstance(dialog, TakeSnapshotDialog | RemoveDialog | RevertDialog)
    assert says(dialog, "“web” has changed since.")
    assert says(dialog, "nothing was touched")
    web.wait(lambda: not web.session.jobs)  # the dialog stands for it
    assert isinstance(dialog.planned, Plan)
    asked = dialog.planned.operation
    assert type(asked) is type(operation)
    if isinstance(operation, CreateSnapshot) and isinstance(asked, CreateSnapshot):
        assert (asked.title, asked.description) == (operation.title, operation.description)
    if isinstance(asked, RevertSnapshot):
        assert not asked.safety_snapshot
    click(dialog.go_button)
    web.wait(lambda: web.session.jobs and web.session.jobs[-1].state is JobState.DONE)


def test_what_changes_during_the_grace_period_is_looked_at_again(web: Shown) -> None:
    planned = plan(web.world.vm(WEB), DELETE)
    assert isinstance(planned, Plan)
    key = web.key("web")
    job_id = web.session.submit(key, planned.operation, planned=planned, grace_seconds=3600)
    web.world.act(EditDescription(WEB, "tuned", "the only copy of the thesis", ""))
    web.session.start_now(job_id)
    dialog = web.dialog()
    assert isinstance(dialog, RemoveDialog)
    assert says(dialog, "nothing was touched")
    web.wait(lambda: says(dialog, "the only copy of the thesis"))
    assert "tuned" in web.world.vm(WEB).tree
    dialog.reject()


def test_of_a_vm_that_is_not_shown_it_waits_in_the_strip(
    web: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.choose("db")
    ends_with(monkeypatch, web, Failed(PlanChanged("“web” has changed since.")))
    job_id = web.session.submit(web.key("web"), TAKE)
    web.wait(lambda: web.session.jobs[-1].state is JobState.FAILED)
    assert web.window.dialogs.open_dialog is None
    web.choose("web")
    web.click_button(row(web, job_id), "Show the new plan")
    assert isinstance(web.dialog(), TakeSnapshotDialog)


def test_an_image_that_must_not_be_written_to_is_merged_upwards(
    web: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_with(monkeypatch, web, Failed(ImageNotWritable("QEMU may not write to web.qcow2.")))
    job_id = web.session.submit(web.key("web"), DELETE)
    web.wait(lambda: web.session.jobs[-1].state is JobState.FAILED)
    assert web.window.dialogs.open_dialog is None
    web.click_button(row(web, job_id), "Merge upwards instead")
    dialog = web.dialog()
    assert isinstance(dialog, RemoveDialog)
    assert dialog.operation() == replace(DELETE, merge_by=MergeBy.PULL)
    web.wait(lambda: not web.session.jobs)


def test_a_failed_consolidation_is_offered_upwards_too(
    web: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_with(monkeypatch, web, Failed(ImageNotWritable("QEMU may not write to web.qcow2.")))
    job_id = web.session.submit(web.key("web"), Consolidate(WEB))
    web.wait(lambda: web.session.jobs[-1].state is JobState.FAILED)
    web.click_button(row(web, job_id), "Merge upwards instead")
    dialog = web.window.dialogs.open_dialog
    assert dialog is not None
    asked = dialog.operation()
    assert isinstance(asked, Consolidate)
    assert asked.merge_by is MergeBy.PULL
    dialog.reject()
