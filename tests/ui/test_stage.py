"""The stage: which of tree, page and banner is shown for what the session knows.

What a person does on it is tested with ``main_window``.
"""

from collections.abc import Iterator

import pytest
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from snapview.core.errors import HostError
from snapview.session import Session, VmKey
from snapview.ui.stage import Stage
from tests.fakes import FakeWorld
from tests.trees import branching_tree, make_vm, vm_uuid
from tests.ui.conftest import QUICK
from tests.ui.windows import ONE, says

WEB = VmKey(ONE, vm_uuid("web"))


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld(make_vm("web", branching_tree()))


@pytest.fixture
def stage(qapp: QApplication, qtbot: QtBot, world: FakeWorld) -> Iterator[Stage]:
    session = Session(world.make_host, QUICK)
    made = Stage(session, can_make_demo=False)
    qtbot.addWidget(made)
    made.resize(1000, 700)
    made.show()
    session.open(ONE)
    yield made
    world.release_reads()
    made.hide()
    assert session.close()


def test_nothing_at_all(stage: Stage) -> None:
    stage.show_subject(None)
    assert not stage.shows_vm
    assert stage.view is None
    assert stage.context().vm is None
    assert stage.uri is None


def test_reading_then_the_tree(stage: Stage, qtbot: QtBot, world: FakeWorld) -> None:
    qtbot.waitUntil(lambda: world.calls["list_vms"] > 0)
    world.hold_reads()
    stage.show_subject(WEB)
    assert not stage.shows_vm
    world.release_reads()
    qtbot.waitUntil(lambda: stage.shows_vm)
    assert stage.uri == ONE
    assert stage.context().selected == ("tuned",)


def test_context_is_said_once_a_turn_or_at_once(stage: Stage, qtbot: QtBot) -> None:
    stage.show_subject(WEB)
    qtbot.waitUntil(lambda: stage.shows_vm)
    qtbot.wait(50)
    spy = QSignalSpy(stage.context_changed)
    stage.vm_page.tree.select_name("updated")
    stage.vm_page.tree.select_name("installed")
    assert spy.count() == 0
    stage.settle()
    stage.settle()
    assert spy.count() == 1
    assert stage.context().selected == ("installed",)


def test_a_vm_that_becomes_unreadable_stays_with_a_banner(
    stage: Stage, qtbot: QtBot, world: FakeWorld
) -> None:
    stage.show_subject(WEB)
    qtbot.waitUntil(lambda: stage.shows_vm)
    world.read_errors[WEB.uuid] = HostError("libvirt is confused.")
    world.define(world.vm(WEB.uuid))
    qtbot.waitUntil(lambda: "libvirt is confused." in stage.banner.text())
    assert stage.shows_vm
    world.read_errors.clear()
    stage.retry()
    qtbot.waitUntil(stage.banner.isHidden)


def test_a_connection_s_page(stage: Stage, qtbot: QtBot, world: FakeWorld) -> None:
    stage.show_subject(ONE)
    qtbot.waitUntil(lambda: says(stage.page, "Choose a virtual machine"))
    world.undefine(WEB.uuid)
    qtbot.waitUntil(lambda: says(stage.page, "No virtual machines yet"))
    stage.restyle()
