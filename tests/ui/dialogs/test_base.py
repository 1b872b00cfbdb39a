"""Dialogs whose plans take a while: nothing can be agreed to that is not yet on the screen."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QSignalSpy
from pytestqt.qtbot import QtBot

from snapview.core.operations import Consolidate, DeleteSnapshot, RevertSnapshot
from snapview.core.planning import Plan
from snapview.core.vm import SnapshotKind, Vm
from snapview.session import AskPlan
from snapview.ui.dialogs.base import OperationDialog
from snapview.ui.dialogs.consolidate import ConsolidateDialog
from snapview.ui.dialogs.describe import DescribeDialog
from snapview.ui.dialogs.remove import RemoveDialog
from snapview.ui.dialogs.revert import RevertDialog
from snapview.ui.dialogs.take_snapshot import TakeSnapshotDialog
from tests.trees import branching_tree, make_vm
from tests.ui.dialogs.worlds import line_of_externals
from tests.ui.questions import Questions
from tests.ui.windows import click, says

pytestmark = pytest.mark.usefixtures("qapp")

INSIDE = make_vm(tree=branching_tree())
LINE = line_of_externals()
WAITING = "Working out what will happen…"


def opened(qtbot: QtBot, dialog: OperationDialog) -> OperationDialog:
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, on=False)
    qtbot.addWidget(dialog)
    with qtbot.waitExposed(dialog):
        dialog.show()
    return dialog


def revert(vm: Vm, ask: AskPlan) -> OperationDialog:
    return RevertDialog(vm, RevertSnapshot(vm.uuid, "s1", safety_snapshot=True), None, ask)


def remove(vm: Vm, ask: AskPlan) -> OperationDialog:
    return RemoveDialog(vm, DeleteSnapshot(vm.uuid, ("s1",)), None, ask, grace_seconds=10)


def consolidate(vm: Vm, ask: AskPlan) -> OperationDialog:
    return ConsolidateDialog(vm, Consolidate(vm.uuid), None, ask)


def take(vm: Vm, ask: AskPlan) -> OperationDialog:
    return TakeSnapshotDialog(vm, None, ask)


def describe(vm: Vm, ask: AskPlan) -> OperationDialog:
    return DescribeDialog(vm, "s1", None, ask)


ALL = pytest.mark.parametrize("make", [revert, remove, consolidate, take, describe])
Make = Callable[[Vm, AskPlan], OperationDialog]


@ALL
def test_nothing_can_be_done_before_the_plan_is_there(qtbot: QtBot, make: Make) -> None:
    questions = Questions()
    dialog = opened(qtbot, make(LINE, questions.ask))
    assert not dialog.go_button.isEnabled()
    qtbot.waitUntil(lambda: dialog.note.text() == WAITING)
    questions.answer()
    assert dialog.go_button.isEnabled()
    assert isinstance(dialog.planned, Plan)
    assert dialog.note.text() != WAITING


@ALL
def test_it_is_worked_out_once_more_before_it_is_done(qtbot: QtBot, make: Make) -> None:
    questions = Questions()
    dialog = opened(qtbot, make(LINE, questions.ask))
    questions.answer()
    spy = QSignalSpy(dialog.submitted)
    click(dialog.go_button)
    assert (spy.count(), dialog.isVisible()) == (0, True)
    questions.answer()
    assert (spy.count(), dialog.isVisible()) == (1, False)


@ALL
def test_a_change_meanwhile_is_shown_and_not_done(qtbot: QtBot, make: Make) -> None:
    questions = Questions()
    dialog = opened(qtbot, make(LINE, questions.ask))
    questions.answer()
    spy = QSignalSpy(dialog.submitted)
    click(dialog.go_button)
    dialog.show_vm(replace(LINE, has_backup_job=True))
    questions.answer()
    assert spy.count() == 0
    assert dialog.isVisible()


@ALL
def test_nobody_is_told_when_it_was_closed(qtbot: QtBot, make: Make) -> None:
    questions = Questions()
    dialog = opened(qtbot, make(LINE, questions.ask))
    dialog.reject()
    assert questions.open == []


def test_the_button_has_the_focus_as_soon_as_it_can_be_pressed(qtbot: QtBot) -> None:
    questions = Questions()
    dialog = opened(qtbot, revert(LINE, questions.ask))
    assert not dialog.go_button.hasFocus()
    questions.answer()
    qtbot.waitUntil(dialog.go_button.hasFocus)


def test_what_can_only_go_with_its_branch_is_ticked_when_that_is_known(qtbot: QtBot) -> None:
    refused = replace(INSIDE, checkpoints=())
    questions = Questions()
    wanted = DeleteSnapshot(INSIDE.uuid, ("updated",))
    dialog = RemoveDialog(refused, wanted, None, questions.ask, grace_seconds=10)
    opened(qtbot, dialog)
    assert not dialog.subtree.isChecked()
    questions.answer()
    assert isinstance(dialog.planned, Plan)


def test_the_other_kind_is_chosen_when_only_that_works(qtbot: QtBot) -> None:
    at_once, later = TakeSnapshotDialog(INSIDE), Questions()
    dialog = TakeSnapshotDialog(INSIDE, None, later.ask)
    later.answer()
    for each in (at_once, dialog):
        opened(qtbot, each)
    assert dialog.operation() == replace(at_once.operation(), title=dialog.operation().title)
    assert dialog.operation().kind is SnapshotKind.INTERNAL


def test_each_disk_says_later_what_can_be_done_about_it(qtbot: QtBot) -> None:
    questions = Questions()
    dialog = ConsolidateDialog(LINE, Consolidate(LINE.uuid, ("vda",)), None, questions.ask)
    opened(qtbot, dialog)
    assert not any(tick.isEnabled() for tick in dialog.ticks.values())
    dialog.show_vm(replace(LINE, title="meanwhile"))
    questions.answer()
    assert says(dialog, "4 points to revert to are given up")
    planned = dialog.planned
    assert isinstance(planned, Plan)
    assert planned.operation == Consolidate(LINE.uuid, ("vda",))
