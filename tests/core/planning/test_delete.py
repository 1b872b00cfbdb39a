"""Deleting: each row of the table, the order, and an oracle that sees every file."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapview.core.operations import DeleteSnapshot
from snapview.core.planning import Act, Plan, Refusal, RefusalCode, plan
from snapview.core.planning.delete import RULES
from snapview.core.under_way import BlockJob
from snapview.core.vm import RunState, Snapshot, SnapshotDisk, SnapshotKind, SnapshotTree, Vm
from tests.core.planning.cases import (
    TEST_DRIVER,
    VERSIONS,
    Case,
    check_case,
    check_coverage,
    check_idempotent,
    disk,
    external,
    external_vm,
    image,
    internal,
    internal_vm,
    plan_of,
    refusal_of,
    vm_of,
)
from tests.core.planning.worlds import FileWorld
from tests.trees import linear_tree, make_vm, random_tree, vm_uuid

OFF = RunState.SHUTOFF
UUID = vm_uuid("web")
ONE, TWO = DeleteSnapshot(UUID, ("one",)), DeleteSnapshot(UUID, ("two",))


def tree_vm(*snapshots: Snapshot, current: str, chain: tuple[str, ...], version: int = 11) -> Vm:
    tree = SnapshotTree(snapshots, current)
    return vm_of(make_vm(tree=tree, disks=(disk(*chain),)), version=(version, 3, 0))


ONE_EXTERNAL = external("one", None, "base", "b1")
TWO_EXTERNAL = external("two", "one", "b1", "b2")
ABOVE_INTERNAL = tree_vm(
    internal("one"), external("two", "one", "base", "b1"), current="two", chain=("b1", "base")
)
BELOW_INTERNAL = tree_vm(
    ONE_EXTERNAL,
    replace(internal("two", "one"), disks=(SnapshotDisk("vda", "internal", image("b1")),)),
    current="two",
    chain=("b1", "base"),
)
# one; two is a dead branch on it; three goes on after a revert to one (which made r1)
BRANCHED = tree_vm(
    ONE_EXTERNAL,
    TWO_EXTERNAL,
    external("three", "one", "r1", "b3"),
    current="three",
    chain=("b3", "r1", "base"),
)
DEAD_LINE = tree_vm(
    ONE_EXTERNAL,
    TWO_EXTERNAL,
    external("two-b", "two", "b2", "b4"),
    external("three", "one", "r1", "b3"),
    current="three",
    chain=("b3", "r1", "base"),
)
# four froze the base by hand, beside one
SHARED = tree_vm(
    ONE_EXTERNAL,
    external("four", None, "base", "b4"),
    external("five", "four", "b4", "b5"),
    current="one",
    chain=("b1", "base"),
)
SHORT_RECORD = replace(disk("b2", "b1", "base"), defined=1)

CASES = [
    Case(0, internal_vm(block_jobs=(BlockJob("vda"),)), TWO, {"block_jobs": ()}),
    Case(
        1,
        internal_vm(has_managed_save=True, run_state=OFF),
        TWO,
        {"run_state": RunState.PAUSED},
        label="trap 4",
    ),
    Case(
        2,
        internal_vm(disks=(disk("base", target="vdb"),)),
        TWO,
        {"disks": (disk("base"),)},
        label="trap 8",
    ),
    Case(3, ABOVE_INTERNAL, ONE, {"disks": (disk("base"),)}),
    Case(
        4,
        internal_vm(version=(10, 9, 0), hardware__firmware="uefi"),
        TWO,
        {"run_state": OFF},
    ),
    Case(
        4,
        internal_vm(version=(9, 3, 0), hardware__firmware="uefi"),
        TWO,
        {"version": (10, 10, 0)},
    ),
    Case(5, external_vm(version=(8, 0, 0)), TWO, {"version": (9, 0, 0)}),
    Case(
        6,
        tree_vm(
            replace(ONE_EXTERNAL, kind=SnapshotKind.MIXED), current="one", chain=("b1", "base")
        ),
        ONE,
        {"tree": SnapshotTree([ONE_EXTERNAL], "one")},
    ),
    Case(7, ABOVE_INTERNAL, TWO, {"tree": external_vm().tree}, label="trap 1"),
    Case(8, BELOW_INTERNAL, ONE, instead=TWO, label="trap 3"),
    Case(9, BRANCHED, ONE, instead=DeleteSnapshot(UUID, ("three",))),
    Case(
        9,
        tree_vm(ONE_EXTERNAL, TWO_EXTERNAL, current="one", chain=("r1", "base")),
        ONE,
        instead=TWO,
        label="current with a child",
    ),
    Case(10, vm_of(BRANCHED, version=(9, 0, 0)), TWO, {"version": (9, 9, 0)}, label="trap 20"),
    Case(11, DEAD_LINE, TWO, instead=DeleteSnapshot(UUID, ("two-b",))),
    Case(11, SHARED, DeleteSnapshot(UUID, ("four",)), instead=DeleteSnapshot(UUID, ("five",))),
    Case(
        12,
        SHARED,
        ONE,
        {"tree": SnapshotTree([ONE_EXTERNAL], "one")},
        label="trap 20",
    ),
    Case(
        13,
        external_vm(version=(9, 0, 0), run_state=OFF, disks=(SHORT_RECORD,)),
        ONE,
        instead=TWO,
        label="trap 30",
    ),
    Case(
        13,
        external_vm(version=(9, 0, 0), run_state=OFF, disks=(SHORT_RECORD,)),
        ONE,
        {"run_state": RunState.PAUSED},
        label="trap 30 paused",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_row_refuses_exactly_its_case(case: Case) -> None:
    check_case(RULES, case)


def test_every_row_has_a_case() -> None:
    check_coverage(RULES, CASES)


def test_what_is_missing_broken_or_nothing_is_refused() -> None:
    assert refusal_of(internal_vm(), DeleteSnapshot(UUID, ("two", "x"))) is RefusalCode.NOT_FOUND
    assert refusal_of(internal_vm(), DeleteSnapshot(UUID, ())) is RefusalCode.NOTHING_TO_DO
    broken = tree_vm(internal("one", problem="Broken."), current="one", chain=("base",))
    assert refusal_of(broken, ONE) is RefusalCode.UNREADABLE


# Traps


@pytest.mark.parametrize("version", VERSIONS)
def test_trap_1_the_base_below_an_internal_snapshot_is_never_unlinked(
    version: tuple[int, int, int],
) -> None:
    for current in ("one", "two"):
        vm = vm_of(ABOVE_INTERNAL, version=version, tree=SnapshotTree(ABOVE_INTERNAL.tree, current))
        for operation in (TWO, replace(ONE, subtree=True)):
            assert isinstance(plan(vm, operation), Refusal)


@pytest.mark.parametrize("version", VERSIONS)
def test_trap_3_a_layer_that_holds_internal_snapshots_is_never_merged(
    version: tuple[int, int, int],
) -> None:
    vm = vm_of(BELOW_INTERNAL, version=version)
    assert isinstance(plan(vm, ONE), Refusal)
    assert refusal_of(vm, DeleteSnapshot(UUID, ("one", "two"))) is (
        None if version >= (9, 0, 0) else RefusalCode.HOST_TOO_OLD
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", list(RunState))
def test_trap_8_a_detached_disk_is_refused_whatever_the_state(
    version: tuple[int, int, int], state: RunState
) -> None:
    gone = internal_vm(version=version, run_state=state, disks=(disk("x", target="vdb"),))
    assert refusal_of(gone, TWO) is RefusalCode.DISK_GONE


@pytest.mark.parametrize("version", VERSIONS)
def test_trap_19_the_memory_file_that_stays_is_named(version: tuple[int, int, int]) -> None:
    one = replace(ONE_EXTERNAL, has_memory=True, memory_path="/images/one.mem")
    vm = vm_of(tree_vm(one, current="one", chain=("b1", "base")), version=version)
    planned = plan(vm, ONE)
    if isinstance(planned, Plan):
        stays = any("/images/one.mem" in text for text in planned.warnings)
        assert stays is (version < (9, 9, 0))


@pytest.mark.parametrize("version", VERSIONS)
def test_trap_20_a_branch_made_by_hand_keeps_its_base(version: tuple[int, int, int]) -> None:
    assert isinstance(plan(vm_of(SHARED, version=version), ONE), Refusal)


def test_after_the_dead_branch_is_gone_its_root_can_be_merged() -> None:
    """libvirt goes on naming ``b1`` as the overlay of ``one``, but the file is gone."""
    cleared = tree_vm(
        ONE_EXTERNAL,
        external("three", "one", "r1", "b3"),
        current="three",
        chain=("b3", "r1", "base"),
    )
    assert plan_of(cleared, ONE).steps[0].files == ("/images/r1.qcow2", "/images/base.qcow2")


def test_on_the_test_driver_everything_can_be_deleted() -> None:
    vm = vm_of(BRANCHED, capabilities=TEST_DRIVER)
    assert {step.act for step in plan_of(vm, replace(ONE, subtree=True)).steps} == {Act.DISCARD}


def test_the_parent_of_a_deleted_current_one_is_current_and_may_have_a_branch() -> None:
    operation = DeleteSnapshot(UUID, ("three", "one"))
    assert refusal_of(BRANCHED, operation) is RefusalCode.HAS_CHILDREN
    assert refusal_of(BRANCHED, replace(operation, snapshots=("three", "two", "one"))) is None


# Words


def test_merging_and_discarding_are_told_apart() -> None:
    assert plan_of(external_vm(), ONE).acts == {Act.MERGE}
    assert plan_of(internal_vm(), ONE).acts == {Act.DISCARD}
    assert plan_of(BRANCHED, TWO).acts == {Act.DISCARD}
    assert plan_of(BRANCHED, TWO).steps[0].files == ("/images/b1.qcow2",)


def test_an_external_delete_says_that_a_vm_that_is_off_is_started() -> None:
    warnings = plan_of(external_vm(run_state=OFF), TWO).warnings
    assert any("started paused" in text for text in warnings)
    assert plan_of(internal_vm(run_state=OFF), TWO).warnings == ()


def test_the_first_five_points_are_named_and_the_rest_counted() -> None:
    vm = vm_of(make_vm(tree=linear_tree(8)), disks=(disk("base"),))
    vm = replace(vm, tree=SnapshotTree(replace(s, disks=()) for s in vm.tree))
    planned = plan_of(vm, DeleteSnapshot(UUID, ("s0",), subtree=True))
    assert len(planned.lost) == 6
    assert planned.lost[-1] == "and 3 more"
    assert plan_of(vm, DeleteSnapshot(UUID, ("s7",))).kept[-1] == "7 other snapshots"


# The order


def unhung(tree: SnapshotTree) -> SnapshotTree:
    """The same tree of internal snapshots of no particular image."""
    return SnapshotTree((replace(s, disks=()) for s in tree), tree.current)


def closure(tree: SnapshotTree, operation: DeleteSnapshot) -> set[str]:
    """Everything an operation asks for, found by walking up from each snapshot."""
    wanted = set(operation.snapshots)
    if operation.subtree:
        wanted |= {s.name for s in tree if wanted & set(tree.ancestors(s.name))}
    return wanted


@given(st.integers(1, 40), st.integers(0, 1000), st.data(), st.booleans())
def test_each_goes_once_and_children_before_their_parents(
    size: int, seed: int, data: st.DataObject, subtree: bool
) -> None:
    tree = unhung(random_tree(size, seed))
    vm = vm_of(make_vm(tree=tree), run_state=OFF)
    names = data.draw(st.lists(st.sampled_from([s.name for s in tree]), min_size=1, max_size=10))
    operation = DeleteSnapshot(UUID, tuple(names), subtree)
    planned = plan_of(vm, operation)
    assert isinstance(planned.operation, DeleteSnapshot)
    order = planned.operation.snapshots
    assert len(order) == len(set(order))
    assert set(order) == closure(tree, operation)
    assert [step.snapshot for step in planned.steps] == list(order)
    for name in order:
        assert not set(order[order.index(name) :]) & (set(tree.subtree(name)) - {name})
    check_idempotent(vm, operation)


def test_a_subtree_of_thousands_is_planned_in_a_moment() -> None:
    for tree in (linear_tree(3000), random_tree(3000)):
        vm = vm_of(make_vm(tree=unhung(tree)))
        everything = DeleteSnapshot(UUID, tree.roots, subtree=True)
        began = time.perf_counter()
        planned = plan_of(vm, everything)
        assert time.perf_counter() - began < 1.0
        assert len(planned.steps) == 3000


# The files


WORLDS = st.lists(st.tuples(st.sampled_from("tttrd"), st.integers(0, 1000)), max_size=25)


@settings(max_examples=300)
@given(
    WORLDS,
    st.sampled_from([(10, 0, 0), (11, 3, 0), (12, 1, 0)]),
    st.sampled_from([OFF, RunState.RUNNING]),
)
def test_no_file_that_anybody_needs_is_ever_merged_into_or_discarded(
    story: list[tuple[str, int]], version: tuple[int, int, int], state: RunState
) -> None:
    world = FileWorld()
    for act, number in story:
        names = sorted(world.records)
        if act == "t" or not names:
            world.take()
        elif act == "r":
            world.revert(names[number % len(names)])
        else:
            delete_some(world, world.vm(version, state), names, number)


def delete_some(world: FileWorld, vm: Vm, names: list[str], number: int) -> None:
    chosen = {names[number % len(names)], names[number // 7 % len(names)]}
    operation = DeleteSnapshot(UUID, tuple(chosen), subtree=number % 3 == 0)
    planned = plan(vm, operation)
    if isinstance(planned, Refusal):
        return
    check_idempotent(vm, operation)
    expected = set(names) - closure(vm.tree, operation)
    world.carry_out(planned)
    assert set(world.records) == expected


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=6))
def test_any_tree_can_be_emptied_again(choices: list[int]) -> None:
    """Leaf by leaf, wherever the VM stands: planning must not paint itself into a corner."""
    world = FileWorld()
    world.take()
    for number in choices:
        names = sorted(world.records)
        world.revert(names[number % len(names)]) if number % 3 else world.take()
    for _ in range(len(world.records)):
        vm = world.vm((11, 3, 0), RunState.RUNNING)
        possible = [plan(vm, DeleteSnapshot(UUID, (name,))) for name in sorted(world.records)]
        plans = [planned for planned in possible if isinstance(planned, Plan)]
        assert plans, f"stuck with {world.records}, on {world.current}"
        world.carry_out(plans[0])
    assert world.records == {}
    assert set(world.backing) == {world.active}, "files are left over"
