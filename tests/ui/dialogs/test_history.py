"""What was done to a VM, read off the GUI thread and shown as a table."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from snapview.core.operations import CreateSnapshot
from snapview.history import History, OperationRecord
from snapview.session import Session, VmKey
from snapview.ui.actions import ActionId
from snapview.ui.dialogs.history import HistoryDialog, HistoryModel
from snapview.ui.format import GIB, MIB
from tests.fakes import FakeWorld
from tests.trees import branching_tree, make_vm, vm_uuid
from tests.ui.conftest import OpenWindow
from tests.ui.windows import ONE, says

KEY = VmKey(ONE, vm_uuid("web"))
MERGED = OperationRecord(
    at=datetime(2026, 11, 22, 19, 40, tzinfo=UTC),
    uri=ONE,
    vm_uuid=KEY.uuid,
    vm_name="web",
    operation="DeleteSnapshot",
    what="the deletion of “<b>x</b>”",
    outcome="done",
    planned_bytes=2 * GIB,
    planned_seconds=15.0,
    planned_freed_bytes=None,
    actual_bytes=3 * GIB // 2,
    actual_seconds=12.0,
    actual_freed_bytes=70 * MIB,
)
FAILED = replace(
    MERGED,
    what="the revert to “y”",
    outcome="failed",
    message="The <disk> is full.",
    planned_bytes=None,
    planned_seconds=None,
    actual_bytes=None,
    actual_seconds=2.0,
    actual_freed_bytes=-3 * MIB,
)
Show = Callable[[VmKey], HistoryDialog]


@pytest.fixture
def history(tmp_path: Path) -> History:
    made = History(tmp_path / "history.sqlite")
    made.record(MERGED)
    made.record(FAILED)
    return made


@pytest.fixture
def show(qtbot: QtBot, history: History) -> Iterator[Show]:
    session = Session(FakeWorld().make_host, history=history)

    def open_(key: VmKey) -> HistoryDialog:
        dialog = HistoryDialog(session, key, "web")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, on=False)
        qtbot.addWidget(dialog)
        with qtbot.waitExposed(dialog):
            dialog.show()
        return dialog

    yield open_
    assert session.close()


def row(model: HistoryModel, number: int, role: int = Qt.ItemDataRole.DisplayRole) -> list[object]:
    return [model.data(model.index(number, at), role) for at in range(model.columnCount())]


def test_planned_stands_beside_actual(show: Show, qtbot: QtBot) -> None:
    dialog = show(KEY)
    qtbot.waitUntil(lambda: dialog.model.rowCount() == 2)
    newest, oldest = row(dialog.model, 0), row(dialog.model, 1)
    assert newest[1:] == ["The revert to “y”", "failed", "", "2 s", "3 MiB more"]
    assert oldest[1:] == [
        "The deletion of “<b>x</b>”",
        "done",
        "1.5 GiB of 2.0 GiB",
        "12 s of 15 s",
        "70 MiB",
    ]
    tips = row(dialog.model, 0, Qt.ItemDataRole.ToolTipRole)
    assert "The &lt;disk&gt; is full." in str(tips[1])
    exact = str(row(dialog.model, 1, Qt.ItemDataRole.ToolTipRole)[3])
    assert "1\N{NARROW NO-BREAK SPACE}610\N{NARROW NO-BREAK SPACE}612" in exact
    assert dialog.note.text() == "2 operations"


def test_nothing_was_done_yet(show: Show, qtbot: QtBot) -> None:
    dialog = show(VmKey(ONE, vm_uuid("other")))
    qtbot.waitUntil(lambda: says(dialog, "nothing to this VM yet"))
    assert not dialog.table.isVisible()


def test_a_damaged_history_says_so(show: Show, qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_text("this is no database, and long enough to be none")
    dialog = show(KEY)
    qtbot.waitUntil(lambda: says(dialog, "history of operations cannot be used"))


def test_more_appears_while_it_is_open(open_window: OpenWindow, tmp_path: Path) -> None:
    history = History(tmp_path / "history.sqlite")
    shown = open_window(FakeWorld(make_vm("web", branching_tree())), history=history)
    shown.wait_for_tree("web")
    shown.window.action_set[ActionId.HISTORY].trigger()
    dialog = shown.dialog()
    assert isinstance(dialog, HistoryDialog)
    shown.wait(lambda: says(dialog, "nothing to this VM yet"))
    shown.session.submit(KEY, CreateSnapshot(KEY.uuid, "new"))
    shown.wait(lambda: dialog.model.rowCount() == 1)
    assert "the snapshot “new”" in str(row(dialog.model, 0)[1]).lower()
    assert dialog.table.isVisible()
