"""The dialogs: what they show follows the plan at every change, and what they ask for is right."""

from dataclasses import replace
from typing import TypeVar

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QSignalSpy, QTest
from PySide6.QtWidgets import QApplication, QLabel, QScrollArea
from pytestqt.qtbot import QtBot

from snapview.core.errors import HostError
from snapview.core.marks import marks_of, words_of
from snapview.core.operations import (
    Afterwards,
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    MergeBy,
    RevertSnapshot,
)
from snapview.core.planning import Plan, Refusal
from snapview.core.vm import HostCapabilities, RunState, SnapshotKind, SnapshotTree
from snapview.ui.dialogs.about import AboutDialog, ShortcutsDialog
from snapview.ui.dialogs.add_connection import (
    AddConnectionDialog,
    host_problem,
    ssh_uri,
    uri_problem,
)
from snapview.ui.dialogs.base import HIGHEST_SHARE, OperationDialog
from snapview.ui.dialogs.describe import DescribeDialog
from snapview.ui.dialogs.error_dialog import ErrorDialog
from snapview.ui.dialogs.remove import RemoveDialog
from snapview.ui.dialogs.revert import RevertDialog
from snapview.ui.dialogs.take_snapshot import TakeSnapshotDialog
from tests.trees import branching_tree, linear_tree, make_snapshot, make_vm
from tests.ui.dialogs.worlds import line_of_externals
from tests.ui.windows import click, says

D = TypeVar("D", bound=OperationDialog)
NEW_HOST = HostCapabilities("QEMU", (11, 3, 0), (10, 0, 2), reverts_external=True)
VM = replace(make_vm(tree=branching_tree()), capabilities=NEW_HOST)
HOSTILE = '<b>x</b> & "y"'


@pytest.fixture(autouse=True)
def _app(qapp: QApplication) -> None:
    """Every test here has widgets."""


def shown(dialog: D, qtbot: QtBot) -> D:
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, on=False)
    qtbot.addWidget(dialog)
    with qtbot.waitExposed(dialog):
        dialog.show()
    return dialog


def submitted(dialog: OperationDialog) -> object:
    spy = QSignalSpy(dialog.submitted)
    click(dialog.go_button)
    assert spy.count() == 1
    planned = spy.at(0)[0]
    assert planned == dialog.planned
    assert isinstance(planned, Plan)
    return planned.operation


# -- taking


def test_take_asks_for_what_is_typed(qtbot: QtBot) -> None:
    dialog = shown(TakeSnapshotDialog(VM), qtbot)
    assert dialog.name.selectedText() == dialog.name.text() != ""
    QTest.keyClicks(dialog.name, "  before   nginx ")
    QTest.keyClicks(dialog.description, "why")
    done = submitted(dialog)
    assert isinstance(done, CreateSnapshot)
    assert (done.title, done.description, done.memory) == ("before nginx", "why", True)


def test_enter_in_the_name_takes(qtbot: QtBot) -> None:
    dialog = shown(TakeSnapshotDialog(VM), qtbot)
    spy = QSignalSpy(dialog.submitted)
    QTest.keyClick(dialog.name, Qt.Key.Key_Return)
    assert spy.count() == 1


def test_take_refuses_a_taken_name_at_once(qtbot: QtBot) -> None:
    dialog = shown(TakeSnapshotDialog(VM), qtbot)
    dialog.name.setText("tuned")
    assert isinstance(dialog.planned, Refusal)
    assert not dialog.go_button.isEnabled()
    assert says(dialog, "already has a snapshot called")
    QTest.keyClicks(dialog.name, "2")
    assert dialog.go_button.isEnabled()


def test_take_offers_a_kind_that_is_possible(qtbot: QtBot) -> None:
    fresh = replace(VM, tree=SnapshotTree())
    dialog = shown(TakeSnapshotDialog(fresh, memory=False), qtbot)
    assert dialog.disk_only.isChecked()
    assert isinstance(dialog.planned, Plan)
    dialog.with_memory.click()
    assert isinstance(dialog.planned, Plan)


def test_take_keeps_the_chosen_kind(qtbot: QtBot) -> None:
    dialog = shown(TakeSnapshotDialog(VM), qtbot)
    dialog.external.click()
    dialog.disk_only.click()
    dialog.with_memory.click()
    assert dialog.operation().kind is SnapshotKind.EXTERNAL


def test_take_says_when_there_is_no_way_back(qtbot: QtBot) -> None:
    faulty = HostCapabilities("QEMU", (11, 2, 0), (10, 0, 2), reverts_external=True)  # trap 9
    dialog = shown(TakeSnapshotDialog(replace(make_vm(), capabilities=faulty)), qtbot)
    dialog.internal.click()
    assert says(dialog, "You cannot get back on this host")
    dialog.external.click()
    assert says(dialog, "You can get back")


def test_take_of_a_vm_that_is_off(qtbot: QtBot) -> None:
    off = replace(VM, run_state=RunState.SHUTOFF)
    dialog = shown(TakeSnapshotDialog(off), qtbot)
    assert not dialog.with_memory.isEnabled()
    assert dialog.disk_only.isChecked()
    assert not dialog.quiesce.isEnabled()
    dialog.show_vm(VM)
    assert dialog.with_memory.isEnabled()


def test_take_freezes_only_with_an_agent(qtbot: QtBot) -> None:
    vm = replace(VM, tree=SnapshotTree())
    dialog = shown(TakeSnapshotDialog(vm, memory=False), qtbot)
    dialog.external.click()
    assert not dialog.quiesce.isEnabled()
    assert says(dialog, "guest agent")
    dialog.show_vm(replace(vm, hardware=replace(vm.hardware, has_guest_agent=True)))
    dialog.quiesce.click()
    assert dialog.operation().quiesce
    dialog.with_memory.click()
    assert not dialog.operation().quiesce


def test_offered_names_are_never_taken(qtbot: QtBot) -> None:
    first = TakeSnapshotDialog(VM)
    qtbot.addWidget(first)
    taken = SnapshotTree([replace(make_snapshot("a"), title=first.name.text())])
    second = TakeSnapshotDialog(replace(VM, tree=taken))
    qtbot.addWidget(second)
    assert isinstance(second.planned, Plan)


# -- reverting


def test_revert_keeps_the_state_of_now(qtbot: QtBot) -> None:
    dialog = shown(RevertDialog(VM, RevertSnapshot(VM.uuid, "updated")), qtbot)
    assert dialog.safety.isChecked()
    assert says(dialog, "Nothing")
    done = submitted(dialog)
    assert isinstance(done, RevertSnapshot)
    assert (done.snapshot, done.safety_snapshot) == ("updated", True)
    assert done.afterwards is Afterwards.AS_IT_WAS


def test_revert_without_safety_says_what_is_lost(qtbot: QtBot) -> None:
    dialog = shown(RevertDialog(VM, RevertSnapshot(VM.uuid, "updated")), qtbot)
    dialog.safety.click()
    assert says(dialog, "Everything written to the disks")
    assert dialog.go_button.text().replace("&", "") == "Revert"
    dialog.choices[Afterwards.OFF].click()
    done = submitted(dialog)
    assert isinstance(done, RevertSnapshot)
    assert (done.safety_snapshot, done.afterwards) == (False, Afterwards.OFF)


def test_revert_remembers_the_setting(qtbot: QtBot) -> None:
    dialog = shown(
        RevertDialog(VM, RevertSnapshot(VM.uuid, "updated", safety_snapshot=False)), qtbot
    )
    assert not dialog.safety.isChecked()


def test_revert_to_what_is_gone_is_refused(qtbot: QtBot) -> None:
    dialog = shown(RevertDialog(VM, RevertSnapshot(VM.uuid, "updated")), qtbot)
    dialog.show_vm(replace(VM, tree=SnapshotTree()))
    assert isinstance(dialog.planned, Refusal)
    assert not dialog.go_button.isEnabled()


# -- removing


def test_remove_uses_the_plan_s_word(qtbot: QtBot) -> None:
    dialog = shown(
        RemoveDialog(VM, DeleteSnapshot(VM.uuid, ("caddy-tls",)), grace_seconds=10), qtbot
    )
    assert dialog.windowTitle().startswith("Discard “caddy-tls”")
    assert "10 s" in dialog.note.text()
    assert dialog.go_button.hasFocus()
    done = submitted(dialog)
    assert isinstance(done, DeleteSnapshot)
    assert done.snapshots == ("caddy-tls",)


def test_enter_loses_nothing_where_it_is_final(qtbot: QtBot) -> None:
    dialog = shown(RemoveDialog(VM, DeleteSnapshot(VM.uuid, ("caddy-tls",))), qtbot)
    spy = QSignalSpy(dialog.submitted)
    assert dialog.cancel_button.hasFocus()
    QTest.keyClick(dialog.cancel_button, Qt.Key.Key_Return)
    assert spy.count() == 0
    assert not dialog.isVisible()


def test_remove_with_all_that_stands_on_it(qtbot: QtBot) -> None:
    dialog = shown(RemoveDialog(VM, DeleteSnapshot(VM.uuid, ("try-caddy",))), qtbot)
    assert dialog.subtree.isVisible()
    dialog.subtree.click()
    assert dialog.go_button.text().replace("&", "") == "Discard 2"
    done = submitted(dialog)
    assert isinstance(done, DeleteSnapshot)
    assert set(done.snapshots) == {"try-caddy", "caddy-tls"}


def test_remove_of_several(qtbot: QtBot) -> None:
    vm = replace(make_vm(tree=linear_tree(12)), capabilities=NEW_HOST)
    dialog = shown(
        RemoveDialog(vm, DeleteSnapshot(vm.uuid, tuple(f"s{n}" for n in range(12)))), qtbot
    )
    assert "12" in dialog.go_button.text()
    assert says(dialog, "and 6 more")
    dialog.show_vm(replace(vm, tree=linear_tree(3)))
    assert isinstance(dialog.planned, Refusal)


def test_merging_upwards_never_takes_more_along(qtbot: QtBot) -> None:
    vm = line_of_externals()
    wanted = DeleteSnapshot(vm.uuid, ("s1",), merge_by=MergeBy.PULL)
    dialog = shown(RemoveDialog(vm, wanted), qtbot)
    assert isinstance(dialog.planned, Refusal), "a middle image of a VM that runs"
    assert not dialog.subtree.isChecked()
    newest = shown(RemoveDialog(vm, replace(wanted, snapshots=("s3",))), qtbot)
    assert isinstance(newest.planned, Plan)
    assert says(newest, "Merged upwards")


# -- describing


def test_describe_changes_the_words(qtbot: QtBot) -> None:
    dialog = shown(DescribeDialog(VM, "tuned"), qtbot)
    assert dialog.description.hasFocus()
    dialog.title.setText("updated")
    assert isinstance(dialog.planned, Refusal)
    dialog.title.setText(HOSTILE)
    dialog.description.setPlainText("two\nlines")
    done = submitted(dialog)
    assert isinstance(done, EditDescription)
    assert (done.title, done.description) == (HOSTILE, "two\nlines")


def test_describe_leaves_the_notes_alone(qtbot: QtBot) -> None:
    marked = "Why.\nConsistency: crash-consistent\nKept until 2031-01-31"
    tree = SnapshotTree([replace(make_snapshot("a"), description=marked)], "a")
    vm = replace(VM, tree=tree)
    dialog = shown(DescribeDialog(vm, "a"), qtbot)
    assert dialog.description.toPlainText() == "Why."
    assert dialog.keep.isVisible()
    assert "31 January 2031" in dialog.keep.text()
    dialog.description.setPlainText("Because.")
    kept = submitted(dialog)
    assert isinstance(kept, EditDescription)
    assert marks_of(kept.description) == marks_of(marked)
    assert words_of(kept.description) == "Because."
    dialog = shown(DescribeDialog(vm, "a"), qtbot)
    dialog.keep.click()
    for_ever = submitted(dialog)
    assert isinstance(for_ever, EditDescription)
    assert marks_of(for_ever.description) == replace(marks_of(marked), kept_until=None)
    assert shown(DescribeDialog(VM, "tuned"), qtbot).keep.isHidden()


# -- hostile names, keys


def hostile_dialogs() -> list[OperationDialog]:
    long = "x" * 300
    tree = SnapshotTree(
        [
            replace(make_snapshot("a"), title=HOSTILE, description="<img src=x>"),
            replace(make_snapshot("b", "a", number=1), title=long),
            replace(make_snapshot("c", "b", number=2), title="\u202eעברית"),
        ],
        "c",
    )
    vm = replace(make_vm(HOSTILE + long, tree), capabilities=NEW_HOST)
    made: list[OperationDialog] = [TakeSnapshotDialog(vm)]
    for name in ("a", "b", "c"):
        made += [
            RevertDialog(vm, RevertSnapshot(vm.uuid, name)),
            RemoveDialog(vm, DeleteSnapshot(vm.uuid, (name,))),
            DescribeDialog(vm, name),
        ]
    return made


def test_hostile_names_are_literal_and_do_not_widen(qtbot: QtBot) -> None:
    for dialog in hostile_dialogs():
        shown(dialog, qtbot)
        assert isinstance(dialog.planned, Plan)
        assert dialog.width() <= 800
        for each in dialog.findChildren(QLabel):
            assert each.textFormat() is Qt.TextFormat.PlainText
            assert each.width() <= dialog.width()


def test_escape_closes_without_doing_anything(qtbot: QtBot) -> None:
    for dialog in hostile_dialogs()[:3]:
        shown(dialog, qtbot)
        spy = QSignalSpy(dialog.submitted)
        QTest.keyClick(dialog, Qt.Key.Key_Escape)
        assert not dialog.isVisible()
        assert spy.count() == 0


# -- the others


@pytest.mark.parametrize(
    "uri", ["qemu:///system", "qemu:///session", "qemu+ssh://u@h:22/system", "test:///default"]
)
def test_uris_that_may_be_one(uri: str) -> None:
    assert uri_problem(uri) == ""


@pytest.mark.parametrize(
    "uri", ["", "qemu", "qemu:/system", "qemu+ssh://host", "ftp//x", "qemu:///sys tem", "http://[x"]
)
def test_uris_that_are_none(uri: str) -> None:
    assert uri_problem(uri).endswith(".")


def test_hosts_and_users() -> None:
    assert host_problem("", "lab2") == host_problem("mira", "fe80::1") == ""
    assert ssh_uri("mira", "lab2") == "qemu+ssh://mira@lab2/system"
    for user, host in (("", ""), ("", "-oProxy"), ("a b", "h"), ("", "h/x")):
        assert host_problem(user, host)


def test_add_connection_says_what_is_wrong_after_typing(qtbot: QtBot) -> None:
    dialog = AddConnectionDialog(("qemu:///system", "qemu:///session"))
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, on=False)
    qtbot.addWidget(dialog)
    dialog.show()
    assert dialog.remote.isChecked()
    assert not dialog.go_button.isEnabled()
    assert not says(dialog, "Type the name")
    spy = QSignalSpy(dialog.chosen)
    QTest.keyClicks(dialog.host, "lab 2")
    assert says(dialog, "not the name of a machine")
    dialog.host.setText("lab2")
    click(dialog.go_button)
    assert spy.at(0)[0] == "qemu+ssh://lab2/system"


def test_known_connections_are_not_added_again(qtbot: QtBot) -> None:
    dialog = AddConnectionDialog(("qemu:///system",))
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, on=False)
    qtbot.addWidget(dialog)
    assert dialog.session.isChecked()
    dialog.system.click()
    assert "already" in dialog.problem()


def test_errors_unfold(qtbot: QtBot) -> None:
    dialog = ErrorDialog(HostError("It failed.", advice="Try again.", detail="<b>raw</b>"))
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, on=False)
    qtbot.addWidget(dialog)
    dialog.show()
    assert dialog.details.isHidden()
    click(dialog.fold)
    assert dialog.details.toPlainText() == "<b>raw</b>"
    assert not dialog.details.isHidden()
    click(dialog.copy_button)
    assert QApplication.clipboard().text() == "It failed.\nTry again.\n<b>raw</b>"


def test_keys_are_listed(qtbot: QtBot) -> None:
    dialog, about = ShortcutsDialog(), AboutDialog()
    qtbot.addWidget(dialog)
    qtbot.addWidget(about)
    assert ("F2", "Edit name and description…") in dialog.shortcuts()
    assert says(about, "snapview")


@pytest.mark.parametrize("kind", ["revert", "remove"])
def test_a_dialog_opens_high_enough_for_its_plan(qtbot: QtBot, kind: str) -> None:
    long = replace(VM, hardware=replace(VM.hardware, firmware="uefi", nvram_format="qcow2"))
    names = tuple(snapshot.name for snapshot in long.tree)
    dialog: OperationDialog = (
        RevertDialog(long, RevertSnapshot(long.uuid, names[0]))
        if kind == "revert"
        else RemoveDialog(long, DeleteSnapshot(long.uuid, names))
    )
    shown(dialog, qtbot)
    area = dialog.findChild(QScrollArea)
    assert area is not None
    room = dialog.screen().availableGeometry().height() * HIGHEST_SHARE
    is_whole = area.verticalScrollBar().maximum() == 0
    assert is_whole or dialog.height() == pytest.approx(room, abs=1)
