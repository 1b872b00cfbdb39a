from collections.abc import Callable, Iterator

import pytest
from pytestqt.qtbot import QtBot

from snapview.session import Session, Timing
from tests.fakes import FakeWorld
from tests.session.witness import ONE, SOON, TWO, WEB, Witness
from tests.trees import branching_tree, linear_tree, make_vm

Open = Callable[..., Witness]


@pytest.fixture
def world() -> FakeWorld:
    """What is behind the first connection."""
    return FakeWorld(make_vm("web", branching_tree()), make_vm("db", linear_tree(3)))


@pytest.fixture
def other_world() -> FakeWorld:
    """What is behind the second connection."""
    return FakeWorld(make_vm("mail", linear_tree(2)))


@pytest.fixture
def start(qtbot: QtBot, world: FakeWorld, other_world: FakeWorld) -> Iterator[Open]:
    """Return a function that starts a session; all of them are closed at the end."""
    worlds = {ONE: world, TWO: other_world}
    sessions: list[Session] = []

    def start(timing: Timing = SOON) -> Witness:
        session = Session(lambda uri: worlds[uri].make_host(uri), timing)
        sessions.append(session)
        return Witness(session, qtbot)

    yield start
    for each in worlds.values():
        each.release_jobs()
        each.release_reads()
    for session in sessions:
        assert session.close()


@pytest.fixture
def shown(start: Open) -> Witness:
    """A connected session that shows the VM ``web``."""
    witness = start()
    witness.session.open(ONE)
    witness.session.select(WEB)
    witness.wait_for_list()
    witness.wait_for_vm()
    return witness
