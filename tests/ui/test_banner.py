"""The banner: one sentence, and at most one button."""

from datetime import UTC, datetime

from PySide6.QtTest import QSignalSpy
from pytestqt.qtbot import QtBot

from snapview.ui.banner import Banner, clock_text
from snapview.ui.colours import Severity
from tests.ui.windows import button_of, click


def test_with_an_action_it_stays(qtbot: QtBot) -> None:
    banner = Banner()
    qtbot.addWidget(banner)
    assert banner.isHidden()
    banner.show_message(Severity.WARNING, "<b>lost</b>", "Try now")
    spy = QSignalSpy(banner.action_clicked)
    click(button_of(banner, "Try now"))
    assert spy.count() == 1
    assert banner.text() == "<b>lost</b>"
    assert banner.has_action
    banner.clear()
    assert banner.isHidden()
    assert not banner.has_action


def test_without_one_it_can_be_dismissed(qtbot: QtBot) -> None:
    banner = Banner()
    qtbot.addWidget(banner)
    for severity in Severity:
        banner.show_message(severity, severity.value)
        banner.restyle()
        click(button_of(banner, ""))
        assert banner.isHidden()


def test_time_of_day_is_local() -> None:
    moment = datetime(2026, 11, 22, 19, 40, tzinfo=UTC)
    assert clock_text(moment) == f"{moment.astimezone():%H:%M}"
