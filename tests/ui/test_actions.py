"""The table of actions, and when each may be used."""

import itertools

import pytest
from PySide6.QtGui import QKeySequence

from snapview.core.planning import Act
from snapview.core.vm import RunState, SnapshotTree
from snapview.ui.actions import ACTIONS, ActionContext, ActionId, ActionSpec, Needs, why_not
from snapview.ui.icons import icon_names
from tests.trees import branching_tree, make_vm

pytestmark = pytest.mark.usefixtures("qapp")
BY_ID = {spec.id: spec for spec in ACTIONS}


def test_every_action_is_declared_once() -> None:
    assert len(ACTIONS) == len(BY_ID) == len(ActionId)


@pytest.mark.parametrize("spec", ACTIONS, ids=lambda spec: spec.id.value)
def test_every_action_is_complete(spec: ActionSpec) -> None:
    assert spec.text
    assert spec.tooltip
    assert spec.icon in icon_names()
    if spec.shortcut:
        assert QKeySequence(spec.shortcut).toString() == spec.shortcut


def test_no_two_actions_share_a_key() -> None:
    keys = [spec.shortcut for spec in ACTIONS if spec.shortcut]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("spec", ACTIONS, ids=lambda spec: spec.id.value)
def test_without_a_vm_only_the_window_s_own_actions_work(spec: ActionSpec) -> None:
    assert (why_not(spec, ActionContext()) == "") == (spec.needs is Needs.NOTHING)


@pytest.mark.parametrize("spec", ACTIONS, ids=lambda spec: spec.id.value)
def test_stale_vms_are_only_looked_at(spec: ActionSpec) -> None:
    context = ActionContext(make_vm(tree=branching_tree()), ("tuned",), is_stale=True)
    assert bool(why_not(spec, context)) == (spec.operations is not None)


def test_memory_needs_a_running_vm() -> None:
    on = ActionContext(make_vm())
    off = ActionContext(make_vm(run_state=RunState.SHUTOFF))
    assert why_not(BY_ID[ActionId.TAKE_MEMORY], on) == ""
    assert why_not(BY_ID[ActionId.TAKE_MEMORY], off)
    assert why_not(BY_ID[ActionId.TAKE], off) == ""


def test_merge_and_discard_exclude_each_other() -> None:
    vm = make_vm(tree=branching_tree())
    names = [snapshot.name for snapshot in vm.tree]
    for chosen in itertools.chain(((name,) for name in names), itertools.combinations(names, 2)):
        context = ActionContext(vm, chosen)
        merge, discard = (
            why_not(BY_ID[each], context) for each in (ActionId.MERGE, ActionId.DISCARD)
        )
        assert merge or discard
        if why_not(BY_ID[ActionId.REMOVE], context) == "":
            assert "" in {merge, discard}


def test_what_is_gone_cannot_be_acted_on() -> None:
    context = ActionContext(make_vm(tree=SnapshotTree()), ("gone",))
    assert "gone" in why_not(BY_ID[ActionId.REVERT], context)
    assert BY_ID[ActionId.DISCARD].act is Act.DISCARD
