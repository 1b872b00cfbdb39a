"""The jobs strip: its words, buttons, bars, and how long a row stays."""

import time

import pytest
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from snapview.core.errors import HostError
from snapview.core.operations import (
    Cancelled,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    EditDescription,
    Failed,
    Operation,
    Progress,
    RevertSnapshot,
)
from snapview.session import JobState, JobView, VmKey
from snapview.ui.jobs_strip import (
    DONE_SECONDS,
    UNDO_SECONDS,
    JobsStrip,
    detail_text,
    sentence,
    summary,
)
from tests.trees import branching_tree, make_vm
from tests.ui.windows import button_of, click, says

VM = make_vm(tree=branching_tree())
KEY = VmKey("test:///", VM.uuid)
TAKE = CreateSnapshot(VM.uuid, "before <b>x</b>")
DELETE = DeleteSnapshot(VM.uuid, ("caddy-tls",))


@pytest.fixture
def strip(qapp: QApplication, qtbot: QtBot) -> JobsStrip:
    made = JobsStrip()
    qtbot.addWidget(made)
    made.resize(1200, 100)
    return made


def job(state: JobState, operation: Operation = TAKE, **more: object) -> JobView:
    return JobView(1, KEY, "web", operation, state, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (TAKE, "Taking “before <b>x</b>” on web"),
        (CreateSnapshot(VM.uuid), "Taking a snapshot of web"),
        (RevertSnapshot(VM.uuid, "tuned"), "Reverting web to “tuned”"),
        (DELETE, "Discarding “caddy-tls” on web"),
        (DeleteSnapshot(VM.uuid, ("caddy-tls", "tuned")), "Discarding 2 snapshots on web"),
        (DeleteSnapshot(VM.uuid, ("gone",)), "Removing “gone” on web"),
        (EditDescription(VM.uuid, "tuned", "fast", ""), "Describing “fast” on web"),
    ],
)
def test_sentences(qapp: QApplication, operation: Operation, words: str) -> None:
    assert sentence(operation, "web", VM) == words


def test_details_of_each_state(qapp: QApplication) -> None:
    waiting = job(JobState.WAITING, DELETE, starts_at=100.0, grace_seconds=10)
    assert detail_text(waiting, 92.0) == "in 8 s · nothing has been touched yet"
    half = Progress("copying", 512 * 1024**2, 1024**3)
    assert detail_text(job(JobState.RUNNING, progress=half, started_at=10.0), 10.5).startswith(
        "50 % · 0.5 GiB of 1.0 GiB · copying"
    )
    assert detail_text(job(JobState.RUNNING, started_at=10.0), 15.2) == "5 s"
    failed = job(JobState.FAILED, outcome=Failed(HostError("The disk is full.")))
    assert detail_text(failed, 0) == "The disk is full."
    for state in (JobState.QUEUED, JobState.DONE, JobState.CANCELLED):
        assert detail_text(job(state), 0)


def test_strip_is_there_only_with_jobs(strip: JobsStrip) -> None:
    assert strip.isHidden()
    strip.show_job(job(JobState.QUEUED), VM)
    assert not strip.isHidden()
    strip.remove_job(1)
    assert strip.isHidden()
    strip.remove_job(1)


def test_bar_waits_and_knows_what_it_does_not_know(strip: JobsStrip, qtbot: QtBot) -> None:
    now = time.monotonic()
    strip.show_job(job(JobState.RUNNING, started_at=now), VM)
    row = strip.row_of(1)
    assert row is not None
    with qtbot.waitExposed(strip):
        strip.show()
    assert not row.progress_bar.isVisible()
    row.tick(now + 1)
    assert row.progress_bar.isVisible()
    assert row.progress_bar.maximum() == 0
    strip.show_job(job(JobState.RUNNING, started_at=now - 2, progress=Progress("", 1, 4)), VM)
    assert row.progress_bar.value() == 250


def test_buttons_report(strip: JobsStrip, qtbot: QtBot) -> None:
    with qtbot.waitExposed(strip):
        strip.show()
    cancel, undo = QSignalSpy(strip.cancel_clicked), QSignalSpy(strip.undo_clicked)
    dismiss, details = QSignalSpy(strip.dismiss_clicked), QSignalSpy(strip.details_clicked)

    def press(text: str) -> None:
        row = strip.row_of(1)
        assert row is not None
        qtbot.waitUntil(lambda: text in [b.text() for b in row.buttons() if b.isVisible()])
        click(button_of(row, text.rstrip("…")))

    strip.show_job(job(JobState.RUNNING), VM)
    press("Cancel")
    strip.show_job(job(JobState.WAITING, DELETE, starts_at=time.monotonic() + 9), VM)
    press("Undo")
    error = HostError("No.")
    strip.show_job(job(JobState.FAILED, outcome=Failed(error)), VM)
    press("Details…")
    press("Dismiss")
    assert [each.at(0)[0] for each in (cancel, undo, details, dismiss)] == [1, 1, error, 1]
    strip.show_job(job(JobState.RUNNING, can_cancel=False), VM)
    row = strip.row_of(1)
    assert row is not None
    assert row.buttons() == []


def test_how_long_rows_stay(strip: JobsStrip) -> None:
    strip.show_job(job(JobState.DONE, outcome=Done()), VM)
    row = strip.row_of(1)
    assert row is not None
    start = row.shown_at
    assert not row.is_over(start + DONE_SECONDS - 1)
    assert row.is_over(start + DONE_SECONDS + 1)
    row.show_job(job(JobState.DONE, outcome=Done(), undo=DELETE))
    assert not row.is_over(start + DONE_SECONDS + 1)
    assert row.is_over(start + UNDO_SECONDS + 1)
    row.show_job(job(JobState.CANCELLED, outcome=Cancelled()))
    assert row.is_over(time.monotonic() + DONE_SECONDS + 1)
    row.show_job(job(JobState.FAILED, outcome=Failed(HostError("No."))))
    assert not row.is_over(start + 10_000)


def test_finished_rows_are_dismissed(strip: JobsStrip, qtbot: QtBot) -> None:
    spy = QSignalSpy(strip.dismiss_clicked)
    strip.show_job(job(JobState.DONE, outcome=Done()), VM)
    row = strip.row_of(1)
    assert row is not None
    row.shown_at -= DONE_SECONDS
    qtbot.waitUntil(lambda: spy.count() > 0)
    strip.remove_job(1)


def test_hostile_names_are_literal(strip: JobsStrip) -> None:
    strip.show_job(job(JobState.QUEUED), VM)
    assert says(strip, "<b>x</b>")
    strip.restyle()


def test_summary(qapp: QApplication) -> None:
    assert summary(1) == "1 job is under way"
    assert summary(3) == "3 jobs are under way"
