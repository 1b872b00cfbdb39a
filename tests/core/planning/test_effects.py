"""What merges and deletes mean besides, as sentences."""

from dataclasses import replace

from snapview.core.planning.effects import (
    kept_states,
    little_room,
    lost_points,
    no_room,
    warnings_of,
)
from snapview.core.planning.figures import Figures
from snapview.core.planning.images import Images
from snapview.core.planning.merging import Commit, Pull
from snapview.core.planning.plans import RefusalCode
from snapview.core.vm import RunState, Vm
from tests.core.planning.cases import external_vm, image, stored
from tests.trees import linear_tree

MIB = 1 << 20
HEADERS = {"b2": "b1", "b1": "base", "base": None}
B1, B2, BASE = (image(name).path for name in ("b1", "b2", "base"))


def test_five_points_are_named_and_the_rest_counted() -> None:
    removed = list(linear_tree(7))
    assert lost_points(removed[:5])[-1] == "The point “s4”: no more revert to it"
    assert lost_points(removed)[5:] == ("and 2 more",)
    assert lost_points(()) == ()


def test_one_that_stays_is_named_and_several_are_counted() -> None:
    vm = external_vm()
    assert kept_states(vm, {"one", "two"}) == ("The VM as it is now",)
    assert kept_states(vm, {"one"})[1:] == ("“two”",)
    assert kept_states(vm, ())[1:] == ("2 other snapshots",)


def said(vm: Vm, job: Commit | Pull) -> list[str]:
    return list(warnings_of(vm, Images(vm), job))


def test_only_a_merge_of_the_live_chain_of_a_vm_that_is_off_holds_it_up() -> None:
    commit, pull = Commit("vda", (B2,), B1), Pull("vda", B2, (B1,))
    on = external_vm(checkpoints=("monday",))
    off = replace(on, run_state=RunState.SHUTOFF)
    assert said(on, commit) == said(on, pull) == []
    for job in (commit, pull):
        held_up, checkpoints = said(off, job)
        assert "cannot be started" in held_up
        assert "monday" in checkpoints
    assert said(off, Commit("vda", ("/elsewhere/x",), "/elsewhere/y")) == []
    assert len(said(replace(off, checkpoints=()), commit)) == 1


def test_what_surely_does_not_fit_is_refused_and_what_may_not_is_said() -> None:
    def figures(free: int) -> tuple[Vm, Figures]:
        sizes = {"b2": 90 * MIB, "b1": 10 * MIB}
        vm = stored(external_vm(), HEADERS, sizes=sizes, free_bytes={"/images": free * MIB})
        made = Figures(vm.storage)
        made.copy((B2,), B1)
        return vm, made

    refusal = no_room(*figures(79))
    assert refusal is not None
    assert refusal.code is RefusalCode.NO_SPACE
    assert no_room(*figures(81)) is None
    assert len(little_room(*figures(81))) == 1
    assert little_room(*figures(500)) == ()
