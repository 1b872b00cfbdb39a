"""Plans worked out beside the GUI thread: a short one at once, a long one later, none too late."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from pytestqt.qtbot import QtBot

from snapview.core.operations import CreateSnapshot, EditDescription, Operation
from snapview.core.planning import Plan, Refusal, plan
from snapview.core.vm import Vm
from snapview.session import planner
from snapview.session.planner import Planner, plan_at_once
from tests.trees import branching_tree, make_vm

VM = make_vm(tree=branching_tree())
TAKE = CreateSnapshot(VM.uuid, "x")
DESCRIBE = EditDescription(VM.uuid, "tuned", "fast", "")
REFUSED = EditDescription(VM.uuid, "nowhere", "", "")
LONG = 60.0  # how long a test is patient that wants an answer at once


@dataclass
class SlowPlanning:
    """Planning that ends when the test says so; remembers the threads it was done on."""

    may_end: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def plan(self, vm: Vm, operation: Operation) -> Plan | Refusal:
        self.threads.append(threading.current_thread())
        self.may_end.wait(LONG)
        return plan(vm, operation)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowPlanning]:
    made = SlowPlanning()
    monkeypatch.setattr(planner, "plan", made.plan)
    yield made
    made.may_end.set()


@pytest.fixture
def make(qapp: object) -> Iterator[Callable[[float], Planner]]:
    made: list[Planner] = []

    def make(patience_seconds: float) -> Planner:
        made.append(Planner(patience_seconds))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_short_plan_is_there_at_once(make: Callable[[float], Planner]) -> None:
    found: list[Plan | Refusal] = []
    asked = make(LONG)
    for operation in (DESCRIBE, REFUSED):
        asked.ask(VM, operation, found.append)
    assert found == [plan(VM, DESCRIBE), plan(VM, REFUSED)]
    plan_at_once(VM, DESCRIBE, found.append)
    assert found[2] == found[0]


def test_a_long_one_comes_later_in_order_on_the_thread_that_asked(
    make: Callable[[float], Planner], slow: SlowPlanning, qtbot: QtBot
) -> None:
    found: list[tuple[Plan | Refusal, threading.Thread]] = []
    asked = make(0)

    def answered(planned: Plan | Refusal) -> None:
        found.append((planned, threading.current_thread()))

    for operation in (DESCRIBE, REFUSED):
        asked.ask(VM, operation, answered)
    assert found == []
    slow.may_end.set()
    qtbot.waitUntil(lambda: len(found) == 2)
    here = threading.current_thread()
    assert found == [(plan(VM, DESCRIBE), here), (plan(VM, REFUSED), here)]
    assert here not in slow.threads


def test_what_was_taken_back_is_not_answered(
    make: Callable[[float], Planner], slow: SlowPlanning, qtbot: QtBot
) -> None:
    found: list[Plan | Refusal] = []
    asked = make(0)
    takes = [asked.ask(VM, each, found.append) for each in (DESCRIBE, TAKE, REFUSED)]
    takes[0]()  # is being worked out
    takes[1]()  # waits, and is never begun
    slow.may_end.set()
    qtbot.waitUntil(lambda: bool(found))
    assert found == [plan(VM, REFUSED)]
    assert len(slow.threads) == 2
    takes[2]()  # too late, and harmless


def test_after_the_end_nothing_is_answered(
    make: Callable[[float], Planner], slow: SlowPlanning, qtbot: QtBot
) -> None:
    found: list[Plan | Refusal] = []
    asked = make(0)
    asked.ask(VM, DESCRIBE, found.append)
    asked.close()
    asked.close()
    slow.may_end.set()
    asked.ask(VM, DESCRIBE, found.append)
    for thread in slow.threads:
        thread.join(LONG)
    qtbot.wait(1)
    assert found == []
