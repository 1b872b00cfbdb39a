import gc
import threading
import weakref

import pytest
from pytestqt.qtbot import QtBot

from snapview.core.operations import CreateSnapshot
from snapview.session.garbage import GuiThreadGarbage
from tests.fakes import FakeWorld
from tests.session.witness import WEB, Witness


class Cycle:
    """Garbage that says in which thread it is collected."""

    def __init__(self, collected_in: list[int]) -> None:
        self.me = self
        weakref.finalize(self, lambda: collected_in.append(threading.get_ident()))


def test_a_worker_that_allocates_collects_nothing(
    world: FakeWorld, shown: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected_in: list[int] = []
    summaries = world.summaries
    allocated: list[object] = []

    def allocate_much() -> object:
        allocated.extend([] for _ in range(100_000))
        return summaries()

    monkeypatch.setattr(world, "summaries", allocate_much)
    for _ in range(100):
        Cycle(collected_in)
    shown.do(CreateSnapshot(WEB.uuid, "new"))
    assert len(allocated) >= 100_000
    gc.collect()
    assert set(collected_in) == {threading.get_ident()}


def test_it_is_collected_on_the_gui_thread(qtbot: QtBot) -> None:
    garbage = GuiThreadGarbage(seconds=0.01)
    collected_in: list[int] = []
    for _ in range(1000):
        Cycle(collected_in)
    assert not gc.isenabled()
    qtbot.waitUntil(lambda: bool(collected_in))
    garbage.stop()
    garbage.stop()
    assert gc.isenabled()


def test_closing_gives_it_back(shown: Witness) -> None:
    assert not gc.isenabled()
    assert shown.session.close()
    assert gc.isenabled()


def test_what_the_start_made_is_left_out_until_the_end(qtbot: QtBot) -> None:
    garbage = GuiThreadGarbage(seconds=0.01)
    qtbot.waitUntil(lambda: gc.get_freeze_count() > 0)
    garbage.stop()
    assert gc.get_freeze_count() == 0
