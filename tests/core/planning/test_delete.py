"""Deleting: each row of the table, the order, the words, and an oracle that sees every file."""

import copy
import itertools
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapview.core.moves import (
    CommitImages,
    DeleteByLibvirt,
    ForgetSnapshot,
    PointTo,
    PullImages,
    RemoveFile,
    SetActive,
    SetFrozen,
)
from snapview.core.operations import DeleteSnapshot, MergeBy
from snapview.core.planning import Act, Plan, RefusalCode, plan
from snapview.core.planning.delete import RULES, VM_RULES
from snapview.core.under_way import BlockJob, Interruption
from snapview.core.vm import (
    EPOCH,
    RunState,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotTree,
    Vm,
)
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
    stored,
    vm_of,
)
from tests.core.planning.stories import (
    BY_HAND,
    MIXED,
    OTHERS,
    PLAIN,
    WHOLE,
    Chosen,
    choices,
    worlds,
)
from tests.core.planning.worlds import FileWorld, prove
from tests.trees import linear_tree, make_vm, random_tree, vm_uuid

OFF = RunState.SHUTOFF
UUID = vm_uuid("web")
ONE, TWO = DeleteSnapshot(UUID, ("one",)), DeleteSnapshot(UUID, ("two",))


def tree_vm(*snapshots: Snapshot, current: str, chain: tuple[str, ...]) -> Vm:
    tree = SnapshotTree(snapshots, current)
    return vm_of(make_vm(tree=tree, disks=(disk(*chain),)))


def inside(name: str, parent: str | None, where: str) -> Snapshot:
    """An internal snapshot in an image."""
    disks = (SnapshotDisk("vda", "internal", image(where)),)
    return internal(name, parent, disks=disks)


ONE_EXTERNAL = external("one", None, "base", "b1")
TWO_EXTERNAL = external("two", "one", "b1", "b2")
ABOVE_INTERNAL = tree_vm(
    internal("one"), external("two", "one", "base", "b1"), current="two", chain=("b1", "base")
)
BELOW_INTERNAL = tree_vm(
    ONE_EXTERNAL, inside("two", "one", "b1"), current="two", chain=("b1", "base")
)
# one; two is a dead branch on it; three goes on after a revert to one (which made r1)
BRANCHED = tree_vm(
    ONE_EXTERNAL,
    TWO_EXTERNAL,
    external("three", "one", "r1", "b3"),
    current="three",
    chain=("b3", "r1", "base"),
)
# one; two lies inside b1, three froze it; then back to one (which made r1)
BURIED = tree_vm(
    ONE_EXTERNAL,
    inside("two", "one", "b1"),
    external("three", "two", "b1", "b3"),
    current="one",
    chain=("r1", "base"),
)
# four froze the base by hand, beside one
TWINS = tree_vm(
    ONE_EXTERNAL,
    external("four", None, "base", "b4"),
    current="one",
    chain=("b1", "base"),
)

VM_CASES = [
    Case(
        0,
        internal_vm(interruption=Interruption("7", "the revert to “x”", EPOCH)),
        TWO,
        {"interruption": None},
    ),
    Case(1, internal_vm(block_jobs=(BlockJob("vda"),)), TWO, {"block_jobs": ()}),
    Case(2, internal_vm(has_backup_job=True), TWO, {"has_backup_job": False}),
    Case(
        3,
        internal_vm(has_managed_save=True, run_state=OFF),
        TWO,
        {"run_state": RunState.PAUSED},
        label="trap 4",
    ),
]
CASES = [
    Case(
        0,
        internal_vm(disks=(disk("base", target="vdb"),)),
        TWO,
        {"disks": (disk("base"),)},
        label="trap 8",
    ),
    Case(1, ABOVE_INTERNAL, ONE, {"disks": (disk("base"),)}, label="trap 2"),
    Case(1, BURIED, TWO, instead=DeleteSnapshot(UUID, ("three", "two")), label="with a state"),
    Case(
        2,
        internal_vm(version=(10, 9, 0), hardware__firmware="uefi"),
        TWO,
        {"run_state": OFF},
    ),
    Case(
        2,
        internal_vm(version=(9, 3, 0), hardware__firmware="uefi"),
        TWO,
        {"version": (10, 10, 0)},
    ),
    Case(
        3,
        tree_vm(
            replace(ONE_EXTERNAL, kind=SnapshotKind.MIXED), current="one", chain=("b1", "base")
        ),
        ONE,
        {"tree": SnapshotTree([ONE_EXTERNAL], "one")},
    ),
    Case(
        4,
        tree_vm(
            replace(ONE_EXTERNAL, disks=(SnapshotDisk("vda", "external"),)),
            current="one",
            chain=("b1", "base"),
        ),
        ONE,
        {"tree": SnapshotTree([ONE_EXTERNAL], "one")},
    ),
]


@pytest.mark.parametrize("case", VM_CASES, ids=str)
def test_a_row_about_the_vm_refuses_exactly_its_case(case: Case) -> None:
    check_case(VM_RULES, case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_row_about_the_snapshot_refuses_exactly_its_case(case: Case) -> None:
    check_case(RULES, case)


def test_every_row_has_a_case() -> None:
    check_coverage(VM_RULES, VM_CASES)
    check_coverage(RULES, CASES)


def test_what_is_missing_broken_or_nothing_is_refused() -> None:
    assert refusal_of(internal_vm(), DeleteSnapshot(UUID, ("two", "x"))) is RefusalCode.NOT_FOUND
    assert refusal_of(internal_vm(), DeleteSnapshot(UUID, ())) is RefusalCode.NOTHING_TO_DO
    broken = tree_vm(internal("one", problem="Broken."), current="one", chain=("base",))
    assert refusal_of(broken, ONE) is RefusalCode.UNREADABLE


# Traps


@pytest.mark.parametrize("version", VERSIONS)
def test_trap_1_the_base_below_an_internal_snapshot_is_kept(version: tuple[int, int, int]) -> None:
    """libvirt 9.9 to 10.10 would unlink it."""
    vm = vm_of(ABOVE_INTERNAL, version=version)
    assert RemoveFile("/images/base.qcow2") not in plan_of(vm, TWO).moves
    off_branch = replace(vm, tree=SnapshotTree(ABOVE_INTERNAL.tree, "one"), disks=(disk("base"),))
    assert plan_of(off_branch, TWO).moves == (ForgetSnapshot("two"),)


@pytest.mark.parametrize("version", VERSIONS)
def test_trap_3_a_layer_that_holds_internal_snapshots_is_never_merged(
    version: tuple[int, int, int],
) -> None:
    vm = vm_of(BELOW_INTERNAL, version=version)
    assert refusal_of(vm, ONE) is RefusalCode.MIXED
    both = plan_of(vm, DeleteSnapshot(UUID, ("one", "two")))
    assert both.moves[0] == DeleteByLibvirt("two")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", list(RunState))
def test_trap_8_a_detached_disk_is_refused_whatever_the_state(
    version: tuple[int, int, int], state: RunState
) -> None:
    gone = internal_vm(version=version, run_state=state, disks=(disk("x", target="vdb"),))
    assert refusal_of(gone, TWO) is RefusalCode.DISK_GONE


def test_a_whole_disk_that_is_detached_now_is_never_removed() -> None:
    vm = replace(TWINS, tree=SnapshotTree([ONE_EXTERNAL], "one"), disks=(disk("x", target="vdb"),))
    assert plan_of(vm, ONE).moves == (ForgetSnapshot("one"),)


@pytest.mark.parametrize("version", VERSIONS)
def test_trap_19_the_memory_file_goes_as_well(version: tuple[int, int, int]) -> None:
    one = replace(ONE_EXTERNAL, has_memory=True, memory_path="/images/one.mem")
    planned = plan_of(
        vm_of(tree_vm(one, current="one", chain=("b1", "base")), version=version), ONE
    )
    assert planned.moves[-1] == RemoveFile("/images/one.mem")
    assert "memory file" in planned.steps[-1].what


def test_a_memory_file_that_another_snapshot_names_stays() -> None:
    one, two = (
        replace(each, has_memory=True, memory_path="/images/both.mem")
        for each in (ONE_EXTERNAL, TWO_EXTERNAL)
    )
    vm = tree_vm(one, two, current="two", chain=("b2", "b1", "base"))
    memory = RemoveFile("/images/both.mem")
    assert memory not in plan_of(vm, ONE).moves
    assert plan_of(vm, DeleteSnapshot(UUID, ("one", "two"))).moves.count(memory) == 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", [OFF, RunState.RUNNING, RunState.PAUSED])
def test_traps_20_and_30_all_versions_do_the_same(
    version: tuple[int, int, int], state: RunState
) -> None:
    for name in ("one", "two", "three"):
        operation = DeleteSnapshot(UUID, (name,))
        newest = plan_of(vm_of(BRANCHED, run_state=state), operation)
        assert plan_of(vm_of(BRANCHED, version=version, run_state=state), operation) == newest


def test_trap_20_what_two_snapshots_froze_stays_while_one_is_left() -> None:
    planned = plan_of(TWINS, ONE)
    assert planned.moves == (ForgetSnapshot("one"),)
    assert planned.acts == {Act.DISCARD}


def test_on_the_test_driver_everything_is_deleted_by_libvirt() -> None:
    vm = vm_of(BRANCHED, capabilities=TEST_DRIVER)
    planned = plan_of(vm, replace(ONE, subtree=True))
    assert {step.act for step in planned.steps} == {Act.DISCARD}
    assert {type(move) for move in planned.moves} == {DeleteByLibvirt}


# Shapes, move by move

B1, B2, B3, R1, BASE = (image(name).path for name in ("b1", "b2", "b3", "r1", "base"))
CHAIN = tuple(map(image, ("b2", "b1", "base")))


def test_the_newest_on_the_live_path_takes_up_what_came_after_it() -> None:
    assert plan_of(external_vm(), TWO).moves == (
        CommitImages("vda", B2, B1, CHAIN, in_vm=True),
        SetActive("vda", B2, B1),
        RemoveFile(B2),
        ForgetSnapshot("two"),
    )


def test_one_below_it_takes_up_the_image_of_the_next() -> None:
    assert plan_of(external_vm(run_state=OFF), ONE).moves == (
        CommitImages("vda", B1, BASE, CHAIN, in_vm=False),
        SetFrozen("two", "vda", B1, BASE),
        RemoveFile(B1),
        ForgetSnapshot("one"),
    )


def test_the_speed_limit_is_that_of_every_job() -> None:
    operation = DeleteSnapshot(UUID, ("one", "two"), bandwidth_bytes_per_second=5)
    jobs = [m for m in plan_of(external_vm(), operation).moves if isinstance(m, CommitImages)]
    assert [job.bandwidth_bytes_per_second for job in jobs] == [5, 5]


def test_a_dead_leaf_loses_its_image() -> None:
    planned = plan_of(BRANCHED, TWO)
    assert planned.moves == (ForgetSnapshot("two"), RemoveFile(B1))
    assert planned.acts == {Act.DISCARD}
    assert planned.steps[0].files == (B1,)


def test_the_branch_that_is_not_live_gets_a_copy_of_what_it_needs() -> None:
    live = tuple(map(image, ("b3", "r1", "base")))
    planned = plan_of(BRANCHED, ONE)
    assert planned.moves == (
        PullImages("vda", None, (image("b1"), image("base")), in_vm=False),
        CommitImages("vda", R1, BASE, live, in_vm=True),
        SetFrozen("three", "vda", R1, BASE),
        RemoveFile(R1),
        ForgetSnapshot("one"),
    )
    assert planned.steps[0].files == (BASE, B1)
    assert "for “two”" in planned.steps[0].what
    assert planned.steps[1].files == (R1, BASE)
    assert planned.acts == {Act.MERGE}


def test_what_lies_on_the_image_that_goes_is_put_on_the_one_that_stays() -> None:
    """one; two froze b1, on which three and the live image lie, after a revert to two."""
    vm = tree_vm(
        ONE_EXTERNAL,
        TWO_EXTERNAL,
        external("three", "two", "b2", "b3"),
        current="two",
        chain=("r1", "b1", "base"),
    )
    chain = (image("base"),)
    assert PointTo("vda", image("b2"), chain) in plan_of(vm, ONE).moves


def test_merging_upwards_leaves_the_lower_image_unwritten() -> None:
    upwards = replace(TWO, merge_by=MergeBy.PULL)
    assert plan_of(external_vm(), upwards).moves == (
        PullImages("vda", BASE, CHAIN, in_vm=True),
        ForgetSnapshot("two"),
        RemoveFile(B1),
    )
    below = replace(ONE, merge_by=MergeBy.PULL)
    assert refusal_of(external_vm(), below) is RefusalCode.RUNNING
    assert plan_of(external_vm(run_state=OFF), below).moves == (
        PullImages("vda", None, CHAIN[1:], in_vm=False),
        ForgetSnapshot("one"),
        RemoveFile(BASE),
    )


def test_layers_without_a_record_go_with_the_merge() -> None:
    """one froze the base; somebody put l1 in between without metadata."""
    vm = tree_vm(
        ONE_EXTERNAL,
        external("two", "one", "l1", "b2"),
        current="two",
        chain=("b2", "l1", "b1", "base"),
    )
    moves = plan_of(vm, ONE).moves
    assert isinstance(moves[0], CommitImages)
    assert (moves[0].top, moves[0].base) == (image("l1").path, BASE)
    assert moves[-3:-1] == (RemoveFile(image("l1").path), RemoveFile(B1))


def test_internal_snapshots_in_a_dead_image_go_with_it() -> None:
    planned = plan_of(BURIED, DeleteSnapshot(UUID, ("one",), subtree=True))
    assert planned.moves[:3] == (ForgetSnapshot("three"), ForgetSnapshot("two"), RemoveFile(B1))


def test_a_base_in_another_format_is_noted_with_it() -> None:
    raw = replace(image("base"), format="raw")
    one = external("one", None, "base", "b1", disks=(SnapshotDisk("vda", "external", raw),))
    chain = replace(disk("b1", "base"), layers=(image("b1"), raw))
    vm = vm_of(make_vm(tree=SnapshotTree([one], "one"), disks=(chain,)))
    assert SetActive("vda", B1, BASE, "raw") in plan_of(vm, ONE).moves


def test_a_transient_vm_has_no_definition_to_change() -> None:
    moves = plan_of(external_vm(is_persistent=False), TWO).moves
    assert not any(isinstance(move, SetActive) for move in moves)


def test_each_disk_is_done_with_before_the_next_so_that_a_cancel_leaves_nothing_over() -> None:
    disks = (
        SnapshotDisk("vda", "external", image("base"), image("b1")),
        SnapshotDisk("vdb", "external", image("data"), image("d1")),
        SnapshotDisk("sda", "no"),
    )
    one = external("one", None, "base", "b1", disks=disks)
    chains = (disk("b1", "base"), disk("d1", "data", target="vdb"))
    moves = plan_of(vm_of(make_vm(tree=SnapshotTree([one], "one"), disks=chains)), ONE).moves
    kinds = [type(move) for move in moves]
    assert kinds == [CommitImages, SetActive, RemoveFile] * 2 + [ForgetSnapshot]


# Words and figures


def test_merging_and_discarding_are_told_apart() -> None:
    assert plan_of(external_vm(), ONE).acts == {Act.MERGE}
    assert plan_of(internal_vm(), ONE).acts == {Act.DISCARD}
    with_memory = replace(ONE_EXTERNAL, has_memory=True, memory_path="/images/one.mem")
    merged = plan_of(tree_vm(with_memory, current="one", chain=("b1", "base")), ONE)
    assert merged.acts == {Act.MERGE}
    dead = plan_of(tree_vm(with_memory, current="one", chain=("x",)), ONE)
    assert [step.files for step in dead.steps] == [(BASE,), ("/images/one.mem",)]


def test_a_merge_of_a_vm_that_is_off_says_that_it_stays_off() -> None:
    warnings = plan_of(external_vm(run_state=OFF), TWO).warnings
    assert any("cannot be started" in text for text in warnings)
    assert plan_of(external_vm(), TWO).warnings == ()
    assert plan_of(vm_of(BRANCHED, run_state=OFF), TWO).warnings == ()
    assert plan_of(internal_vm(run_state=OFF), TWO).warnings == ()


def test_checkpoints_that_break_are_named() -> None:
    kept = external_vm(checkpoints=("monday", "tuesday"))
    assert plan_of(kept, TWO).warnings == ()  # libvirt carries the bitmaps over
    broken = plan_of(replace(kept, run_state=OFF), TWO).warnings
    assert any("monday, tuesday" in text for text in broken)


def test_the_first_five_points_are_named_and_the_rest_counted() -> None:
    vm = vm_of(make_vm(tree=linear_tree(8)), disks=(disk("base"),))
    vm = replace(vm, tree=unhung(vm.tree))
    planned = plan_of(vm, DeleteSnapshot(UUID, ("s0",), subtree=True))
    assert len(planned.lost) == 6
    assert planned.lost[-1] == "and 3 more"
    assert plan_of(vm, DeleteSnapshot(UUID, ("s7",))).kept[-1] == "7 other snapshots"


HEADERS = {"b2": "b1", "b1": "base", "base": None}
MIB = 1 << 20


def test_a_merge_costs_a_copy_of_what_is_merged() -> None:
    vm = stored(external_vm(), HEADERS, copy_bytes_per_second=10 * MIB)
    planned = plan_of(vm, TWO)
    assert planned.bytes_to_copy == 30 * MIB
    assert planned.extra_bytes_needed == 30 * MIB
    assert planned.freed_bytes is None  # nobody knows how far the two overlap
    assert planned.estimated_seconds == 3


def test_merging_a_line_copies_each_image_once() -> None:
    planned = plan_of(stored(external_vm(), HEADERS), DeleteSnapshot(UUID, ("one", "two")))
    assert planned.bytes_to_copy == 60 * MIB
    tops = [move.top for move in planned.moves if isinstance(move, CommitImages)]
    assert tops == [B1, B2]


def test_what_a_discard_frees_is_exact() -> None:
    headers = {"b3": "r1", "r1": "base", "b1": "base", "base": None}
    planned = plan_of(stored(BRANCHED, headers, sizes={"b1": 7 * MIB}), TWO)
    assert planned.freed_bytes == 7 * MIB
    assert planned.bytes_to_copy == 0
    assert planned.extra_bytes_needed == 0


def test_what_certainly_does_not_fit_is_refused_and_what_may_not_is_said() -> None:
    sizes = {"b2": 90 * MIB, "b1": 10 * MIB}
    vm = stored(external_vm(), HEADERS, sizes=sizes, free_bytes={"/images": 79 * MIB})
    assert refusal_of(vm, TWO) is RefusalCode.NO_SPACE
    vm = stored(external_vm(), HEADERS, sizes=sizes, free_bytes={"/images": 81 * MIB})
    assert any("free" in text for text in plan_of(vm, TWO).warnings)


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
def test_each_goes_once_and_discards_go_leaf_by_leaf(
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

CRASHES = st.tuples(st.integers(0, 99), st.floats(0, 1))


@settings(max_examples=250, deadline=None)
@given(worlds(PLAIN), choices(), st.booleans(), CRASHES)
def test_whatever_shape_it_has_an_external_snapshot_can_be_deleted(
    world: FileWorld, chosen: Chosen, subtree: bool, crash: tuple[int, float]
) -> None:
    names = chosen.of(world)
    if names:
        vm = world.vm()
        operation = DeleteSnapshot(vm.uuid, names, subtree)
        check_idempotent(vm, operation)
        prove(world, plan_of(vm, operation), crash=crash)
        assert set(world.records) == {s.name for s in vm.tree} - closure(vm.tree, operation)


@settings(max_examples=40, deadline=None)
@given(worlds(PLAIN), choices(), st.floats(0, 1))
def test_in_whichever_move_it_is_interrupted_the_rest_brings_it_to_its_end(
    world: FileWorld, chosen: Chosen, part: float
) -> None:
    planned = plan(world.vm(), DeleteSnapshot(UUID, chosen.of(world)))
    if isinstance(planned, Plan):
        for at in range(len(planned.moves)):
            prove(copy.deepcopy(world), planned, crash=(at, part))


@settings(max_examples=120, deadline=None)
@given(worlds(PLAIN))
def test_when_all_are_deleted_each_disk_is_one_image(world: FileWorld) -> None:
    if world.records:
        vm = world.vm()
        prove(world, plan_of(vm, DeleteSnapshot(vm.uuid, tuple(world.records))))
        assert world.files() == {f"/images/{target}-base.qcow2" for target in world.targets}


@pytest.mark.parametrize("acts", [BY_HAND, MIXED, OTHERS], ids=["by hand", "mixed", "others"])
@settings(max_examples=150, deadline=None)
@given(st.data(), choices(), st.booleans(), st.sampled_from(MergeBy), CRASHES)
def test_what_is_not_refused_spoils_nothing(
    acts: dict[str, int],
    data: st.DataObject,
    chosen: Chosen,
    subtree: bool,
    merge_by: MergeBy,
    crash: tuple[int, float],
) -> None:
    """Also beside other programs, other VMs, in mixed trees, and merging upwards."""
    world = data.draw(worlds(acts))
    for _ in range(2):
        names = chosen.of(world)
        vm = world.vm()
        planned = plan(vm, DeleteSnapshot(vm.uuid, names, subtree, merge_by))
        if isinstance(planned, Plan):
            prove(world, planned, crash=crash)


@settings(max_examples=120, deadline=None)
@given(worlds(PLAIN), choices(), st.integers(0, 99), st.floats(0, 1))
def test_after_a_merge_that_was_cancelled_everything_can_still_be_deleted(
    world: FileWorld, chosen: Chosen, at: int, part: float
) -> None:
    """What is needed of its image stays, half overwritten, without a record."""
    planned = plan(world.vm(), DeleteSnapshot(UUID, chosen.of(world)))
    moves = planned.moves if isinstance(planned, Plan) else ()
    commits = [n for n, move in enumerate(moves) if isinstance(move, CommitImages)]
    if not commits:
        return
    stop = commits[at % len(commits)]
    for move in moves[:stop]:
        world.do(move)
    world.do(moves[stop], part=part)
    forget = next(n for n in range(stop, len(moves)) if isinstance(moves[n], ForgetSnapshot))
    world.do(moves[forget])
    for move in itertools.takewhile(lambda m: isinstance(m, RemoveFile), moves[forget + 1 :]):
        assert isinstance(move, RemoveFile)
        if not world.is_referred(move.path):
            world.do(move)
    if world.records:
        prove(world, plan_of(world.vm(), DeleteSnapshot(UUID, tuple(world.records))))
    left = world.files() - world.needed()
    # What was copied up as a whole and lost its record looks like somebody's template.
    assert all(world.images[path].backing is None for path in left)
    assert not left or any(isinstance(m, PullImages) and m.base is None for m in moves[:stop])


@settings(max_examples=120, deadline=None)
@given(worlds(WHOLE), choices(), st.sampled_from(VERSIONS))
def test_without_headers_the_records_lead_to_the_same_plan(
    world: FileWorld, chosen: Chosen, version: tuple[int, int, int]
) -> None:
    names = chosen.of(world)
    if names:
        operation = DeleteSnapshot(UUID, names)
        known = plan_of(world.vm(version), operation)
        guessed = plan_of(world.vm(version, with_storage=False), operation)
        assert guessed.moves == known.moves
        assert guessed.gist == known.gist
        figures = (guessed.bytes_to_copy, guessed.extra_bytes_needed, guessed.freed_bytes)
        assert figures == (None, None, None)
