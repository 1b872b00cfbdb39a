"""Taking and reverting: mixing kinds, the way back, how long the safety snapshot is kept."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from snapview.core.operations import Afterwards, CreateSnapshot, Operation, RevertSnapshot
from snapview.core.planning import Plan, Refusal
from snapview.core.vm import RunState, SnapshotKind, SnapshotTree, Vm
from snapview.ui.dialogs.base import OperationDialog
from snapview.ui.dialogs.revert import RevertDialog
from snapview.ui.dialogs.take_snapshot import TakeSnapshotDialog
from snapview.ui.format import date_text
from tests.trees import branching_tree, make_vm
from tests.ui.dialogs.worlds import NEW_HOST, OLD_HOST, line_of_externals
from tests.ui.windows import click, says

pytestmark = pytest.mark.usefixtures("qapp")
D = TypeVar("D", bound=OperationDialog)

INTERNAL = replace(make_vm(tree=branching_tree()), capabilities=NEW_HOST)
EXTERNAL = line_of_externals()


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


def red_words(dialog: OperationDialog) -> list[str]:
    labels = dialog.findChildren(QLabel)
    return [each.text() for each in labels if each.property("severity") == "critical"]


# -- taking


def test_kinds_are_mixed_only_by_an_explicit_tick(qtbot: QtBot) -> None:
    dialog = shown(TakeSnapshotDialog(INTERNAL), qtbot)
    assert not dialog.mix.isVisible()
    dialog.external.click()
    refused = dialog.planned
    assert isinstance(refused, Refusal)
    assert dialog.mix.isVisible()
    assert not dialog.mix.isChecked()
    assert says(dialog, refused.reason)
    dialog.mix.click()
    assert dialog.go_button.isEnabled()
    assert dialog.mix.isVisible(), "it can be unticked again"
    dialog.internal.click()
    assert not dialog.mix.isVisible()
    asked = dialog.operation()
    assert not asked.mix, "a tick that is not seen does not count"
    dialog.external.click()
    done = submitted(dialog)
    assert isinstance(done, CreateSnapshot)
    assert (done.kind, done.mix) == (SnapshotKind.EXTERNAL, True)


def test_other_refusals_do_not_offer_to_mix(qtbot: QtBot) -> None:
    dialog = shown(TakeSnapshotDialog(replace(INTERNAL, has_backup_job=True)), qtbot)
    dialog.external.click()
    assert isinstance(dialog.planned, Refusal)
    assert not dialog.mix.isVisible()
    assert says(dialog, "A backup of “web” is running.")


def test_snapviews_own_way_back_is_a_way_back(qtbot: QtBot) -> None:
    old = replace(make_vm(), capabilities=OLD_HOST)
    dialog = shown(TakeSnapshotDialog(old, memory=False), qtbot)
    dialog.external.click()
    assert says(dialog, "You can get back")
    assert says(dialog, "own way")


def test_space_needed_stands_beside_space_free(qtbot: QtBot) -> None:
    dialog = shown(TakeSnapshotDialog(EXTERNAL), qtbot)
    assert dialog.with_memory.isChecked()
    assert says(dialog, "of 61.0 GiB free")
    dialog.show_vm(line_of_externals(storage=False))
    assert not says(dialog, "GiB free")


def test_what_was_filled_in_is_there_again(qtbot: QtBot) -> None:
    wanted = CreateSnapshot(
        INTERNAL.uuid, "before nginx", "why", SnapshotKind.EXTERNAL, memory=False, mix=True
    )
    dialog = shown(TakeSnapshotDialog(INTERNAL, wanted=wanted), qtbot)
    assert dialog.operation() == wanted


# -- reverting


def revert(qtbot: QtBot, vm: Vm = EXTERNAL, name: str = "s1", **more: object) -> RevertDialog:
    wanted = RevertSnapshot(vm.uuid, name, **more)  # type: ignore[arg-type]
    return shown(RevertDialog(vm, wanted), qtbot)


def test_how_long_the_state_of_now_is_kept_is_seen_and_chosen(qtbot: QtBot) -> None:
    dialog = revert(qtbot)
    assert dialog.safety.isChecked()
    assert dialog.keep.currentText() == "for 14 days"
    today = datetime.now().astimezone().date()
    assert says(dialog, f"until {date_text(today + timedelta(days=14))}")
    dialog.keep.setCurrentText("for 3 days")
    assert says(dialog, f"until {date_text(today + timedelta(days=3))}")
    done = submitted(dialog)
    assert isinstance(done, RevertSnapshot)
    assert done.keep_days == 3


def test_it_can_be_kept_for_ever(qtbot: QtBot) -> None:
    dialog = revert(qtbot, keep_days=None)
    assert dialog.keep.currentText() == "for ever"
    assert not says(dialog, "until")
    assert dialog.operation().keep_days is None
    odd = revert(qtbot, keep_days=20)
    assert odd.keep.currentText() == "for 20 days"
    assert odd.operation().keep_days == 20


def test_what_is_lost_is_red(qtbot: QtBot) -> None:
    dialog = revert(qtbot)
    assert red_words(dialog) == []
    assert dialog.go_button.property("kind") == "filled"
    dialog.safety.click()
    assert any("Everything written to the disks" in text for text in red_words(dialog))
    assert dialog.go_button.property("kind") == "danger"
    assert not dialog.keep.isEnabled()
    assert says(dialog, "nothing brings it back")


def test_who_does_it_is_said(qtbot: QtBot) -> None:
    old = replace(EXTERNAL, capabilities=OLD_HOST)
    assert says(revert(qtbot, old), "own way")
    assert says(revert(qtbot, INTERNAL, "updated"), "by libvirt 11.3 itself")


def test_without_memory_it_starts_from_its_disk_unless_it_shall_be_off(qtbot: QtBot) -> None:
    dialog = revert(qtbot)
    assert dialog.choices[Afterwards.RUNNING].isChecked()
    assert says(dialog, "as after a power cut")
    assert dialog.operation().afterwards is Afterwards.RUNNING
    dialog.choices[Afterwards.OFF].click()
    assert says(dialog, "stays off")
    assert dialog.operation().afterwards is Afterwards.AS_IT_WAS


def test_with_memory_programs_go_on(qtbot: QtBot) -> None:
    dialog = revert(qtbot, INTERNAL, "updated")
    assert says(dialog, "Programs go on where they were")
    assert dialog.operation().afterwards is Afterwards.AS_IT_WAS
    dialog.choices[Afterwards.OFF].click()
    assert says(dialog, "is not used")


def test_a_vm_that_is_off_and_fresh_can_be_asked_about(qtbot: QtBot) -> None:
    off = replace(EXTERNAL, run_state=RunState.SHUTOFF, tree=SnapshotTree())
    dialog = revert(qtbot, off, "gone")
    assert isinstance(dialog.planned, Refusal)
    assert not dialog.go_button.isEnabled()


def test_why_it_is_asked_once_more_stands_on_top(qtbot: QtBot) -> None:
    dialog = revert(qtbot)
    dialog.set_notice("“web” has changed.", "Look at it again.")
    dialog.set_notice("“web” has changed again.", "Look at it again.")
    assert says(dialog, "“web” has changed again.")
    qtbot.waitUntil(lambda: not says(dialog, "“web” has changed."))
