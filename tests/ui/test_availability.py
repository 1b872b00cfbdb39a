"""When each action may be used, and what its tooltip says."""

import itertools

import pytest

from snapview.core.planning import Act
from snapview.core.vm import RunState, SnapshotTree
from snapview.ui.actions import ACTIONS, ActionId, ActionSpec, Needs
from snapview.ui.availability import ActionContext, tooltip, why_not
from tests.trees import branching_tree, make_vm

pytestmark = pytest.mark.usefixtures("qapp")
BY_ID = {spec.id: spec for spec in ACTIONS}


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


def test_tooltips_say_the_key_and_why_not() -> None:
    spec = BY_ID[ActionId.CONSOLIDATE]
    assert tooltip(spec, "").endswith("(Ctrl+Shift+M)")
    assert tooltip(spec, "Nothing to merge.").split("\n")[-1] == "Nothing to merge."
