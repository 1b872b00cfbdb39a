"""The QActions: enabled one a turn, all at once when asked to."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from snapview.core.operations import Operation
from snapview.core.under_way import BlockJob
from snapview.core.vm import Vm
from snapview.session import Answer, TakeBack, plan_at_once
from snapview.ui.action_set import ActionSet
from snapview.ui.actions import ACTIONS, ActionId, Place
from snapview.ui.availability import ActionContext
from tests.trees import branching_tree, make_vm
from tests.ui.questions import Questions


@pytest.fixture
def actions(qtbot: QtBot) -> Iterator[ActionSet]:
    window = QWidget()
    qtbot.addWidget(window)
    yield ActionSet(window)
    window.close()


def test_without_a_vm_nothing_can_be_planned(actions: ActionSet) -> None:
    for spec in ACTIONS:
        if spec.operations is not None:
            assert not actions[spec.id].isEnabled()


def test_all_follow_within_some_turns(actions: ActionSet, qtbot: QtBot) -> None:
    actions.update(ActionContext(make_vm(tree=branching_tree()), ("caddy-tls",)))
    qtbot.waitUntil(actions[ActionId.DISCARD].isEnabled)
    assert actions[ActionId.REVERT].isEnabled()
    assert not actions[ActionId.MERGE].isEnabled()


def test_settled_at_once(actions: ActionSet) -> None:
    actions.update(ActionContext(make_vm(tree=branching_tree()), ("tuned",)))
    actions.settle()
    assert actions[ActionId.REVERT].isEnabled()


def test_hostile_reasons_are_literal(actions: ActionSet) -> None:
    vm = replace(make_vm("<b>x</b>", branching_tree()), block_jobs=(BlockJob("<i>vda</i>"),))
    actions.update(ActionContext(vm, ("tuned",)))
    actions.settle()
    assert "&lt;i&gt;vda" in actions[ActionId.REVERT].toolTip()


def test_what_is_still_being_worked_out_can_be_asked_for(qtbot: QtBot) -> None:
    window, asked = QWidget(), Questions()
    qtbot.addWidget(window)
    actions = ActionSet(window, asked.ask)
    vm = make_vm(tree=branching_tree())
    actions.update(ActionContext(vm, ("caddy-tls",)))
    actions.settle()
    assert actions[ActionId.MERGE].isEnabled()
    assert actions[ActionId.DISCARD].isEnabled()
    asked.answer()
    actions.settle()
    assert actions[ActionId.DISCARD].isEnabled()
    assert not actions[ActionId.MERGE].isEnabled(), "a leaf is discarded, as the plan says"
    assert max(asked.count.values()) == 1


def test_nobody_waits_for_what_was_asked_about_another_selection(qtbot: QtBot) -> None:
    window, asked = QWidget(), Questions()
    qtbot.addWidget(window)
    actions = ActionSet(window, asked.ask)
    vm = make_vm(tree=branching_tree())
    for name in ("updated", "tuned"):
        actions.update(ActionContext(vm, (name,)))
        actions.settle()
    named = {n for _, op, _ in asked.open for n in getattr(op, "snapshots", ())}
    assert named == {"tuned"}


def test_nothing_is_planned_twice(qtbot: QtBot) -> None:
    asked: Counter[Operation] = Counter()

    def counted(vm: Vm, operation: Operation, then: Answer) -> TakeBack:
        asked[operation] += 1
        return plan_at_once(vm, operation, then)

    window = QWidget()
    qtbot.addWidget(window)
    actions = ActionSet(window, counted)
    vm = make_vm(tree=branching_tree())
    for name in ("tuned", "updated", "tuned"):
        actions.update(ActionContext(vm, (name,)))
        actions.settle()
    assert max(asked.values()) == 1
    actions.update(ActionContext(replace(vm), ("tuned",)))
    actions.settle()
    assert max(asked.values()) == 2


def test_triggering_names_the_action(actions: ActionSet) -> None:
    spy = QSignalSpy(actions.requested)
    actions[ActionId.ABOUT].trigger()
    assert spy.at(0)[0] is ActionId.ABOUT


def test_every_place_has_actions(actions: ActionSet) -> None:
    assert all(actions.at(place) for place in Place)
