"""The banner: one sentence, and what can be done about it."""

from datetime import UTC, datetime

from PySide6.QtTest import QSignalSpy
from pytestqt.qtbot import QtBot

from snapview.ui.banner import Banner, BannerAction, clock_text
from snapview.ui.colours import Severity
from tests.ui.windows import button_of, click


def test_with_an_action_it_stays(qtbot: QtBot) -> None:
    banner = Banner()
    qtbot.addWidget(banner)
    assert banner.isHidden()
    actions = (BannerAction("Try now"), BannerAction("Give up", "It <b>is</b> too late."))
    banner.show_message(Severity.WARNING, "<b>lost</b>", *actions)
    spy = QSignalSpy(banner.action_clicked)
    click(button_of(banner, "Try now"))
    assert spy.count() == 1
    assert spy.at(0) == [0]
    other = button_of(banner, "Give up")
    assert not other.isEnabled()
    assert "&lt;b&gt;" in other.toolTip()
    banner.show_message(Severity.NOTE, "still lost", *actions)
    assert button_of(banner, "Give up") is other, "it would lose the focus"
    banner.show_message(Severity.WARNING, "<b>lost</b>", *actions)
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
