"""The jobs strip: rows come, report through it, and go."""

import pytest
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from snapview.core.errors import HostError
from snapview.core.operations import CreateSnapshot, Done, Failed
from snapview.session import JobState, JobView, VmKey
from snapview.ui.job_row import DONE_SECONDS
from snapview.ui.jobs_strip import MOST_ROWS, JobsStrip
from snapview.ui.theme import JOB_ROW
from tests.trees import branching_tree, make_vm
from tests.ui.windows import says

VM = make_vm(tree=branching_tree())
KEY = VmKey("test:///", VM.uuid)
TAKE = CreateSnapshot(VM.uuid, "before <b>x</b>")
SIGNALS = ("cancel_clicked", "undo_clicked", "dismiss_clicked", "again_clicked", "upwards_clicked")


@pytest.fixture
def strip(qapp: QApplication, qtbot: QtBot) -> JobsStrip:
    made = JobsStrip()
    qtbot.addWidget(made)
    made.resize(1200, 100)
    return made


def job(state: JobState, number: int = 1, **more: object) -> JobView:
    return JobView(number, KEY, "web", TAKE, state, **more)  # type: ignore[arg-type]


def test_strip_is_there_only_with_jobs(strip: JobsStrip) -> None:
    assert strip.isHidden()
    strip.show_job(job(JobState.QUEUED), VM)
    assert not strip.isHidden()
    strip.remove_job(1)
    assert strip.isHidden()
    strip.remove_job(1)


def test_many_jobs_scroll(strip: JobsStrip, qtbot: QtBot) -> None:
    for number in range(MOST_ROWS + 3):
        strip.show_job(job(JobState.QUEUED, number), VM)
    with qtbot.waitExposed(strip):
        strip.show()
    assert strip.sizeHint().height() <= MOST_ROWS * JOB_ROW


def test_what_rows_report_is_passed_on(strip: JobsStrip) -> None:
    strip.show_job(job(JobState.QUEUED), VM)
    row = strip.row_of(1)
    assert row is not None
    error = HostError("No.")
    spies = [QSignalSpy(getattr(strip, name)) for name in SIGNALS]
    limit, details = QSignalSpy(strip.limit_chosen), QSignalSpy(strip.details_clicked)
    for name in SIGNALS:
        getattr(row, name).emit(1)
    row.limit_chosen.emit(1, 5)
    row.details_clicked.emit(error)
    assert [spy.at(0) for spy in spies] == [[1]] * len(SIGNALS)
    assert limit.at(0) == [1, 5]
    assert details.at(0) == [error]


def test_finished_rows_are_dismissed_and_failed_ones_are_not(
    strip: JobsStrip, qtbot: QtBot
) -> None:
    spy = QSignalSpy(strip.dismiss_clicked)
    strip.show_job(job(JobState.DONE, 1, outcome=Done()), VM)
    strip.show_job(job(JobState.FAILED, 2, outcome=Failed(HostError("No."))), VM)
    for number in (1, 2):
        row = strip.row_of(number)
        assert row is not None
        row.shown_at -= 10 * DONE_SECONDS
    qtbot.waitUntil(lambda: spy.count() > 1)
    assert {spy.at(at)[0] for at in range(spy.count())} == {1}
    strip.remove_job(1)
    strip.remove_job(2)


def test_hostile_names_are_literal(strip: JobsStrip) -> None:
    strip.show_job(job(JobState.QUEUED), VM)
    assert says(strip, "<b>x</b>")
    strip.restyle()
