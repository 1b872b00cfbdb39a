"""Opening dialogs: one at a time, true to the VM, submitting what was planned."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from snapview.core.errors import HostError
from snapview.core.operations import DeleteSnapshot, Operation
from snapview.core.planning import Plan
from snapview.core.vm import SnapshotTree
from snapview.session import Session, VmKey
from snapview.settings import Settings
from snapview.ui.dialog_opener import DialogOpener
from snapview.ui.dialogs.error_dialog import ErrorDialog
from snapview.ui.dialogs.revert import RevertDialog
from tests.fakes import FakeWorld
from tests.trees import branching_tree, make_vm
from tests.ui.views import view_of
from tests.ui.windows import click

VIEW = view_of(branching_tree())


class Heard(Session):
    """A session that only notes down what is submitted."""

    def __init__(self) -> None:
        super().__init__(FakeWorld().make_host)
        self.submitted: list[tuple[VmKey, Operation, float]] = []

    def submit(
        self,
        key: VmKey,
        operation: Operation,
        *,
        planned: Plan | None = None,
        grace_seconds: float = 0,
    ) -> int:
        """Note it down."""
        assert planned is not None
        assert planned.operation == operation
        self.submitted.append((key, operation, grace_seconds))
        return len(self.submitted)


@pytest.fixture
def session(qtbot: QtBot) -> Iterator[Heard]:
    made = Heard()
    yield made
    assert made.close()


@pytest.fixture
def opener(qtbot: QtBot, session: Heard, tmp_path: Path) -> Iterator[DialogOpener]:
    window = QWidget()
    qtbot.addWidget(window)
    window.show()
    settings = Settings(tmp_path / "s.json")
    settings.delete_grace_seconds = 7
    settings.safety_snapshot = False
    yield DialogOpener(window, session, settings)
    window.close()


def test_one_dialog_at_a_time(opener: DialogOpener) -> None:
    opener.take(VIEW)
    first = opener.open_dialog
    opener.describe(VIEW, "tuned")
    assert opener.open_dialog is first
    assert first is not None
    first.reject()
    assert opener.open_dialog is None


def test_only_deletes_wait(opener: DialogOpener, session: Heard) -> None:
    opener.remove(VIEW, ("caddy-tls",))
    assert opener.open_dialog is not None
    click(opener.open_dialog.go_button)
    opener.take(VIEW, memory=True)
    assert opener.open_dialog is not None
    click(opener.open_dialog.go_button)
    (key, removal, grace), (_, _, none) = session.submitted
    assert key == VIEW.key
    assert removal == DeleteSnapshot(VIEW.vm.uuid, ("caddy-tls",))
    assert (grace, none) == (7, 0)


def test_settings_say_whether_the_state_of_now_is_kept(opener: DialogOpener) -> None:
    opener.revert(VIEW, "updated")
    assert isinstance(opener.open_dialog, RevertDialog)
    assert not opener.open_dialog.safety.isChecked()
    opener.open_dialog.reject()


def test_dialogs_follow_their_vm_and_no_other(opener: DialogOpener) -> None:
    opener.revert(VIEW, "updated")
    dialog = opener.open_dialog
    assert dialog is not None
    other = replace(VIEW, key=VmKey("test:///", "other"), vm=make_vm("other"))
    opener.show_vm(other)
    assert dialog.go_button.isEnabled()
    opener.show_vm(replace(VIEW, vm=replace(VIEW.vm, tree=SnapshotTree())))
    assert not dialog.go_button.isEnabled()
    spy = QSignalSpy(opener.closed_by_vm)
    opener.vm_is_gone(other.key)
    assert opener.open_dialog is dialog
    opener.vm_is_gone(VIEW.key)
    assert spy.at(0)[0] == "web"
    assert not dialog.isVisible()


def test_errors_are_shown(opener: DialogOpener, qtbot: QtBot) -> None:
    opener.show_error(HostError("It failed."))
    window = opener.parent()
    assert isinstance(window, QWidget)
    shown = window.findChildren(ErrorDialog)
    assert len(shown) == 1
    shown[0].close()
