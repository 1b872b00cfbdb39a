"""The pages that stand where there is no tree: each teaches a way on."""

import pytest
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from snapview.core.errors import HostError
from snapview.core.vm import RunState, VmSummary
from snapview.session import ConnectionState, ConnectionView
from snapview.ui.illustrations import Illustration
from snapview.ui.page_contents import (
    PageAction,
    PageContent,
    connection_page,
    gone_page,
    loading_page,
    no_connection_page,
    unreadable_page,
)
from snapview.ui.pages import TeachingPage
from tests.ui.windows import button_of, click, texts

ERROR = HostError("It is broken.", advice="Mend it.", detail="raw <b>words</b>")


def view(state: ConnectionState) -> ConnectionView:
    return ConnectionView("qemu:///system", state, ERROR)


def all_pages() -> list[PageContent]:
    pages = [
        connection_page(view(state), can_make_demo=demo)
        for state in ConnectionState
        for demo in (True, False)
    ]
    some = ConnectionView(
        "x", ConnectionState.CONNECTED, vms=(VmSummary("u", "n", RunState.RUNNING, 1),)
    )
    return [
        *pages,
        connection_page(some, can_make_demo=True),
        no_connection_page(can_make_demo=True),
        no_connection_page(can_make_demo=False),
        loading_page("Reading", "web"),
        gone_page("<b>web</b>" + "x" * 300),
        unreadable_page("web", ERROR),
    ]


@pytest.fixture
def page(qapp: QApplication, qtbot: QtBot) -> TeachingPage:
    made = TeachingPage()
    qtbot.addWidget(made)
    made.resize(1000, 800)
    return made


def test_every_page_is_drawn_and_says_its_words(page: TeachingPage, qtbot: QtBot) -> None:
    with qtbot.waitExposed(page):
        page.show()
    for content in all_pages():
        page.show_page(content)
        assert content.title in texts(page)
        assert all(command in texts(page) for _, command in content.commands)
        page.grab()
        page.restyle()


def test_every_picture_is_used() -> None:
    assert {content.illustration for content in all_pages()} == set(Illustration)


def test_buttons_and_links_report(page: TeachingPage, qtbot: QtBot) -> None:
    with qtbot.waitExposed(page):
        page.show()
    spy = QSignalSpy(page.requested)
    page.show_page(connection_page(view(ConnectionState.NOT_PERMITTED), can_make_demo=True))
    for text, wanted in (
        ("Try again", PageAction.RETRY),
        ("Connect", PageAction.OPEN_SESSION),
        ("Make it", PageAction.MAKE_DEMO),
    ):
        click(button_of(page, text))
        assert spy.at(spy.count() - 1)[0] is wanted


def test_without_demo_lab_nothing_offers_it() -> None:
    for state in ConnectionState:
        content = connection_page(view(state), can_make_demo=False)
        assert PageAction.MAKE_DEMO not in [each.action for each in content.buttons]
        assert PageAction.MAKE_DEMO not in [each.action for each in content.tips]


def test_what_libvirt_said_is_folded_away(page: TeachingPage, qtbot: QtBot) -> None:
    with qtbot.waitExposed(page):
        page.show()
    page.show_page(connection_page(view(ConnectionState.FAILED), can_make_demo=False))
    fold = button_of(page, "What libvirt said")
    said = page.said()
    assert said is not None
    assert not said.isVisible()
    click(fold)
    assert said.isVisible()
    assert said.toPlainText() == "raw <b>words</b>"
