"""What the empty pages say; how they look is tested with ``pages``."""

import pytest

from snapview.core.errors import HostError
from snapview.session import ConnectionState, ConnectionView
from snapview.ui.page_contents import (
    PageAction,
    PageContent,
    connection_page,
    gone_page,
    unreadable_page,
)

pytestmark = pytest.mark.usefixtures("qapp")
ERROR = HostError("It is broken.", advice="Mend it.", detail="raw")


def page(state: ConnectionState, *, demo: bool = True) -> PageContent:
    return connection_page(ConnectionView("qemu:///system", state, ERROR), can_make_demo=demo)


def test_each_state_leads_on() -> None:
    for state in ConnectionState:
        content = page(state)
        assert content.title
        ways = [each.action for each in content.buttons]
        assert ways or state is ConnectionState.CONNECTING


def test_installing_is_said_for_each_family() -> None:
    commands = [command for _, command in page(ConnectionState.NOT_INSTALLED).commands]
    assert [command.split()[1] for command in commands] == ["apt", "dnf", "pacman", "zypper"]


def test_permission_is_given_by_the_group() -> None:
    content = page(ConnectionState.NOT_PERMITTED)
    assert content.commands[0][1] == "sudo usermod -aG libvirt $USER"
    assert PageAction.OPEN_SESSION in [tip.action for tip in content.tips]


def test_errors_keep_their_words() -> None:
    for content in (page(ConnectionState.FAILED), unreadable_page("web", ERROR)):
        assert content.text == "It is broken.\nMend it."
        assert content.said == "raw"


def test_without_demo_lab_nothing_offers_it() -> None:
    for state in ConnectionState:
        content = page(state, demo=False)
        assert PageAction.MAKE_DEMO not in [each.action for each in content.buttons]
        assert PageAction.MAKE_DEMO not in [each.action for each in content.tips]


def test_endless_names_are_shortened() -> None:
    assert len(gone_page("x" * 500).title) < 80
