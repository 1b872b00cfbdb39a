"""A row of the strip: its bar, its buttons, and how long it stays."""

import time
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QSignalSpy, QTest
from PySide6.QtWidgets import QApplication, QPushButton
from pytestqt.qtbot import QtBot

from snapview.core.errors import HostError, ImageNotWritable, PlanChanged
from snapview.core.operations import (
    Actual,
    Cancelled,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    Failed,
    Operation,
    Progress,
)
from snapview.session import JobState, JobView, VmKey
from snapview.ui.job_row import DONE_SECONDS, FIGURES_SECONDS, UNDO_SECONDS, JobRow
from tests.trees import branching_tree, make_vm
from tests.ui.windows import button_of, click, says

VM = make_vm(tree=branching_tree())
KEY = VmKey("test:///", VM.uuid)
TAKE = CreateSnapshot(VM.uuid, "before <b>x</b>")
DELETE = DeleteSnapshot(VM.uuid, ("caddy-tls",))
CHAIN = Consolidate(VM.uuid)
MIB = 1024**2


def job(state: JobState, operation: Operation = TAKE, **more: object) -> JobView:
    return JobView(1, KEY, "web", operation, state, **more)  # type: ignore[arg-type]


@pytest.fixture
def row(qapp: QApplication, qtbot: QtBot) -> JobRow:
    made = JobRow(job(JobState.QUEUED), VM)
    qtbot.addWidget(made)
    made.resize(1400, 36)
    with qtbot.waitExposed(made):
        made.show()
    return made


def words(row: JobRow) -> list[str]:
    return [each.text() for each in row.buttons()]


def test_bar_waits_and_knows_what_it_does_not_know(row: JobRow) -> None:
    now = time.monotonic()
    row.show_job(job(JobState.RUNNING, started_at=now))
    assert not row.progress_bar.isVisible()
    row.tick(now + 1)
    assert row.progress_bar.isVisible()
    assert row.progress_bar.maximum() == 0
    row.show_job(job(JobState.RUNNING, started_at=now - 2, progress=Progress("", 1, 4)))
    assert row.progress_bar.value() == 250


def test_buttons_report(row: JobRow, qtbot: QtBot) -> None:
    cancel, undo = QSignalSpy(row.cancel_clicked), QSignalSpy(row.undo_clicked)
    dismiss, details = QSignalSpy(row.dismiss_clicked), QSignalSpy(row.details_clicked)
    again, upwards = QSignalSpy(row.again_clicked), QSignalSpy(row.upwards_clicked)

    def press(text: str) -> None:
        qtbot.waitUntil(lambda: text in [b.text() for b in row.buttons() if b.isVisible()])
        click(button_of(row, text.rstrip("…")))

    row.show_job(job(JobState.RUNNING))
    press("Cancel")
    row.show_job(job(JobState.WAITING, DELETE, starts_at=time.monotonic() + 9))
    press("Undo")
    error = HostError("No.")
    row.show_job(job(JobState.FAILED, outcome=Failed(error)))
    press("Details…")
    press("Dismiss")
    row.show_job(job(JobState.FAILED, CHAIN, outcome=Failed(ImageNotWritable("No."))))
    press("Merge upwards instead…")
    row.show_job(job(JobState.FAILED, CHAIN, outcome=Failed(PlanChanged("It is another."))))
    press("Show the new plan…")
    heard = [each.at(0)[0] for each in (cancel, undo, details, dismiss, upwards, again)]
    assert heard == [1, 1, error, 1, 1, 1]


def test_a_job_that_was_asked_to_stop_is_not_asked_again(row: JobRow) -> None:
    row.show_job(job(JobState.RUNNING))
    assert words(row) == ["Cancel"]
    assert "not taken" in row.buttons()[0].toolTip()
    row.show_job(job(JobState.RUNNING, can_cancel=False))
    assert row.buttons() == []


def test_merges_are_slowed_down_by_keys(row: JobRow, qtbot: QtBot) -> None:
    row.show_job(job(JobState.RUNNING, CHAIN))
    assert words(row) == ["Slow down", "Cancel"]
    slow = row.buttons()[0]
    assert isinstance(slow, QPushButton)
    menu = slow.menu()
    texts = [action.text() for action in menu.actions() if not action.isSeparator()]
    assert texts == ["No limit", "100 MiB/s", "50 MiB/s", "10 MiB/s", "Pause"]
    spy = QSignalSpy(row.limit_chosen)
    menu.popup(row.mapToGlobal(row.rect().center()))
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Return):
        QTest.keyClick(menu, key)
    assert spy.count() == 1
    assert spy.at(0) == [1, 50 * MIB]


def test_the_limit_of_now_is_shown(row: JobRow) -> None:
    row.show_job(job(JobState.RUNNING, CHAIN, limit_bytes_per_second=50 * MIB))
    slow = row.buttons()[0]
    assert isinstance(slow, QPushButton)
    assert slow.text() == "50 MiB/s"
    row.show_job(job(JobState.RUNNING, CHAIN, limit_bytes_per_second=1))
    assert row.buttons()[0] is slow, "an open menu must not vanish with every progress"
    assert slow.text() == "Paused"
    assert [a.text() for a in slow.menu().actions() if a.isChecked()] == ["Pause"]
    assert "paused" in slow.toolTip()


def test_an_odd_limit_is_offered_as_well(row: JobRow) -> None:
    row.show_job(job(JobState.RUNNING, CHAIN, limit_bytes_per_second=20 * MIB))
    slow = row.buttons()[0]
    assert isinstance(slow, QPushButton)
    texts = [action.text() for action in slow.menu().actions() if not action.isSeparator()]
    assert texts == ["No limit", "100 MiB/s", "50 MiB/s", "20 MiB/s", "10 MiB/s", "Pause"]
    assert [a.text() for a in slow.menu().actions() if a.isChecked()] == ["20 MiB/s"]


def test_after_another_limit_the_speed_is_measured_anew(row: JobRow) -> None:
    started = time.monotonic() - 60
    for done in (100, 200):
        progress = Progress("merging vda", done * MIB, 1000 * MIB)
        row.show_job(job(JobState.RUNNING, CHAIN, started_at=started, progress=progress))
    row.tick(time.monotonic() + 10)
    assert says(row, "left")
    row.show_job(replace(row.job, limit_bytes_per_second=10 * MIB))
    row.tick(time.monotonic() + 10)
    assert not says(row, "left")


def test_how_long_rows_stay(row: JobRow) -> None:
    row.show_job(job(JobState.DONE, outcome=Done()))
    start = row.shown_at
    assert not row.is_over(start + DONE_SECONDS - 1)
    assert row.is_over(start + DONE_SECONDS + 1)
    row.show_job(job(JobState.DONE, outcome=Done(actual=Actual(1.0))))
    assert not row.is_over(start + FIGURES_SECONDS - 1)
    assert row.is_over(start + FIGURES_SECONDS + 1)
    row.show_job(job(JobState.DONE, outcome=Done(), undo=DELETE))
    assert not row.is_over(start + UNDO_SECONDS - 1)
    assert row.is_over(start + UNDO_SECONDS + 1)
    row.show_job(job(JobState.CANCELLED, outcome=Cancelled()))
    assert row.is_over(time.monotonic() + DONE_SECONDS + 1)


@pytest.mark.parametrize(
    "over",
    [
        job(JobState.FAILED, outcome=Failed(HostError("No."))),
        job(JobState.CANCELLED, outcome=Cancelled(remarks=("“x” is lost.",))),
        job(JobState.DONE, outcome=Done(remarks=("It was thawed early.",))),
    ],
)
def test_what_must_be_read_stays(row: JobRow, over: JobView) -> None:
    row.show_job(over)
    assert not row.is_over(time.monotonic() + 10_000)


def test_speed_is_worked_out_from_what_it_is_told(qapp: QApplication, qtbot: QtBot) -> None:
    moments = iter((1000.0, 1000.0, 1060.0, 1070.0))
    row = JobRow(job(JobState.QUEUED, CHAIN), VM, lambda: next(moments))
    qtbot.addWidget(row)
    for done in (100, 200):
        progress = Progress("merging vda", done * MIB, 1000 * MIB)
        row.show_job(job(JobState.RUNNING, CHAIN, started_at=1000.0, progress=progress))
    row.resize(1400, 36)
    with qtbot.waitExposed(row):
        row.show()
    assert says(row, "10 MiB/s · 1 min 20 s left")


def test_another_palette_draws_it_anew(row: JobRow) -> None:
    row.show_job(job(JobState.RUNNING, CHAIN))
    before = row.buttons()
    row.restyle()
    assert words(row) == ["Slow down", "Cancel"]
    assert row.buttons() != before
