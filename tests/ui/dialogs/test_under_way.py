"""Settling what is under way already: an interrupted operation, somebody's block job."""

from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QSignalSpy, QTest
from pytestqt.qtbot import QtBot

from snapview.core.operations import EndBlockJob, Operation, Recover
from snapview.core.planning import Plan, Refusal
from snapview.core.under_way import BlockJob, BlockJobType, Interruption
from snapview.ui.dialogs.base import OperationDialog
from snapview.ui.dialogs.under_way import EndJobDialog, RecoverDialog
from tests.trees import branching_tree, make_vm
from tests.ui.dialogs.worlds import GIB, NOW
from tests.ui.windows import click, says

pytestmark = pytest.mark.usefixtures("qapp")
D = TypeVar("D", bound=OperationDialog)

CUT_OFF = Interruption(
    "7",
    "the revert to “<b>x</b>”",
    NOW - timedelta(days=3, hours=2),
    finish=("The VM is started, if it is off.",),
    undo=("The VM's settings become again what they were before.",),
)
PLAIN = make_vm(tree=branching_tree())
CUT = replace(PLAIN, interruption=CUT_OFF)
RUNNING = BlockJob("vda", BlockJobType.COPY, GIB, 4 * GIB)
BUSY = replace(PLAIN, block_jobs=(RUNNING,))
READY = replace(PLAIN, block_jobs=(replace(RUNNING, done_bytes=4 * GIB, is_ready=True),))


def shown(dialog: D, qtbot: QtBot) -> D:
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, on=False)
    qtbot.addWidget(dialog)
    with qtbot.waitExposed(dialog):
        dialog.show()
    return dialog


def submitted(dialog: OperationDialog) -> Operation:
    spy = QSignalSpy(dialog.submitted)
    click(dialog.go_button)
    assert spy.count() == 1
    planned = spy.at(0)[0]
    assert isinstance(planned, Plan)
    return planned.operation


def recover(*, finish: bool, qtbot: QtBot) -> RecoverDialog:
    return shown(RecoverDialog(CUT, Recover(CUT.uuid, "7", finish=finish)), qtbot)


@pytest.mark.parametrize("finish", [True, False])
def test_what_the_banner_offered_is_chosen(qtbot: QtBot, *, finish: bool) -> None:
    dialog = recover(finish=finish, qtbot=qtbot)
    assert says(dialog, "The revert to “<b>x</b>” began 3 days ago")
    assert says(dialog, "The VM is started, if it is off.") is finish
    assert says(dialog, "become again what they were") is not finish
    assert submitted(dialog) == Recover(CUT.uuid, "7", finish=finish)


def test_the_other_way_is_a_click_away(qtbot: QtBot) -> None:
    dialog = recover(finish=True, qtbot=qtbot)
    dialog.back.click()
    assert says(dialog, "become again what they were")
    assert dialog.go_button.text().replace("&", "") == "Take back"
    assert submitted(dialog) == Recover(CUT.uuid, "7", finish=False)


def test_enter_settles_nothing_by_accident(qtbot: QtBot) -> None:
    dialog = recover(finish=True, qtbot=qtbot)
    spy = QSignalSpy(dialog.submitted)
    qtbot.waitUntil(dialog.cancel_button.hasFocus)
    QTest.keyClick(dialog.cancel_button, Qt.Key.Key_Return)
    assert spy.count() == 0
    assert not dialog.isVisible()


def test_what_is_too_late_cannot_be_chosen(qtbot: QtBot) -> None:
    late = replace(CUT, interruption=replace(CUT_OFF, undo=None))
    dialog = shown(RecoverDialog(late, Recover(late.uuid, "7", finish=True)), qtbot)
    assert not dialog.back.isEnabled()
    assert says(dialog, "too late")
    assert dialog.finish.isEnabled()


def test_what_was_settled_meanwhile_is_refused(qtbot: QtBot) -> None:
    dialog = recover(finish=True, qtbot=qtbot)
    dialog.show_vm(PLAIN)
    assert isinstance(dialog.planned, Refusal)
    assert not dialog.go_button.isEnabled()
    dialog.show_vm(CUT)
    assert dialog.go_button.isEnabled()


def test_a_job_that_has_not_caught_up_can_only_be_aborted(qtbot: QtBot) -> None:
    dialog = shown(EndJobDialog(BUSY, EndBlockJob(BUSY.uuid, "vda", finish=False)), qtbot)
    assert not dialog.finish.isEnabled()
    assert says(dialog, "A copy runs on vda, 1.0 GiB of 4.0 GiB so far.")
    assert says(dialog, "not ready")
    assert says(dialog, "leave it alone")
    assert submitted(dialog) == EndBlockJob(BUSY.uuid, "vda", finish=False)


def test_a_job_that_has_caught_up_can_be_finished(qtbot: QtBot) -> None:
    dialog = shown(EndJobDialog(BUSY, EndBlockJob(BUSY.uuid, "vda", finish=False)), qtbot)
    dialog.show_vm(READY)
    assert says(dialog, "has caught up, and waits to be finished")
    dialog.finish.click()
    assert submitted(dialog) == EndBlockJob(BUSY.uuid, "vda", finish=True)


def test_a_job_that_has_ended_is_refused(qtbot: QtBot) -> None:
    dialog = shown(EndJobDialog(READY, EndBlockJob(READY.uuid, "vda", finish=True)), qtbot)
    dialog.show_vm(PLAIN)
    assert isinstance(dialog.planned, Refusal)
    assert not dialog.go_button.isEnabled()
