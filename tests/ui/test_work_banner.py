"""The banner for what is under way elsewhere: shown, chosen, gone."""

from dataclasses import replace

from PySide6.QtTest import QSignalSpy
from pytestqt.qtbot import QtBot

from snapview.core.operations import EndBlockJob
from snapview.core.under_way import BlockJob, BlockJobType
from snapview.ui.format import GIB
from snapview.ui.work_banner import WorkBanner
from tests.trees import make_vm
from tests.ui.windows import button_of, click

READY = BlockJob("vda", BlockJobType.COPY, GIB, GIB, is_ready=True)
VM = replace(make_vm(), block_jobs=(READY,))


def test_buttons_ask_for_what_they_say(qtbot: QtBot) -> None:
    banner = WorkBanner()
    qtbot.addWidget(banner)
    spy = QSignalSpy(banner.chosen)
    banner.show_vm(VM, is_ours=False)
    assert not banner.isHidden()
    banner.show()
    click(button_of(banner, "Finish"))
    click(button_of(banner, "Abort"))
    assert [spy.at(n)[0] for n in range(spy.count())] == [
        EndBlockJob(VM.uuid, "vda", finish=True),
        EndBlockJob(VM.uuid, "vda", finish=False),
    ]


def test_it_goes_when_the_work_is_over_or_ours(qtbot: QtBot) -> None:
    banner = WorkBanner()
    qtbot.addWidget(banner)
    for over in (make_vm(), None):
        banner.show_vm(VM, is_ours=False)
        assert not banner.isHidden()
        banner.show_vm(over, is_ours=False)
        assert banner.isHidden()
    banner.show_vm(VM, is_ours=True)
    assert banner.isHidden()


def test_progress_does_not_take_the_focus_away(qtbot: QtBot) -> None:
    banner = WorkBanner()
    qtbot.addWidget(banner)
    running = BlockJob("vda", BlockJobType.COMMIT, GIB, 4 * GIB)
    banner.show_vm(replace(VM, block_jobs=(running,)), is_ours=False)
    banner.show()
    abort = button_of(banner, "Abort")
    abort.setFocus()
    further = replace(running, done_bytes=2 * GIB)
    banner.show_vm(replace(VM, block_jobs=(further,)), is_ours=False)
    assert "50 %" in banner.text()
    assert button_of(banner, "Abort") is abort
