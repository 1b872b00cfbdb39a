"""Consolidating: each row of the table, what is merged and what stays, and the oracle of files."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapview.core.moves import (
    CommitImages,
    ForgetSnapshot,
    PointTo,
    PullImages,
    RemoveFile,
    SetActive,
    SetFrozen,
)
from snapview.core.operations import Consolidate, DeleteSnapshot, MergeBy
from snapview.core.planning import Act, Plan, RefusalCode, plan
from snapview.core.planning.consolidate import RULES
from snapview.core.under_way import BlockJob, Interruption
from snapview.core.vm import (
    EPOCH,
    DiskChain,
    DiskLayer,
    RunState,
    Snapshot,
    SnapshotDisk,
    SnapshotTree,
    Vm,
)
from tests.core.planning.cases import (
    TEST_DRIVER,
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
from tests.core.planning.stories import BY_HAND, MIXED, OTHERS, PLAIN, worlds
from tests.core.planning.worlds import FileWorld, prove
from tests.trees import make_vm, vm_uuid

OFF = RunState.SHUTOFF
UUID = vm_uuid("web")
ALL = Consolidate(UUID)
UPWARDS = Consolidate(UUID, merge_by=MergeBy.PULL)
MIB = 1 << 20
B1, B2, BASE = (image(name).path for name in ("b1", "b2", "base"))
CHAIN = tuple(map(image, ("b2", "b1", "base")))
TWO_STEPS = {"b2": "b1", "b1": "base", "base": None}

CASES = [
    Case(0, external_vm(problem="Broken."), ALL, {"problem": None}),
    Case(1, external_vm(), Consolidate(UUID, ("vdx",)), instead=Consolidate(UUID, ("vda",))),
    Case(2, external_vm(capabilities=TEST_DRIVER), ALL, {"version": (11, 3, 0)}),
    Case(
        3,
        external_vm(interruption=Interruption("7", "the revert to “x”", EPOCH)),
        ALL,
        {"interruption": None},
    ),
    Case(4, external_vm(block_jobs=(BlockJob("vda"),)), ALL, {"block_jobs": ()}),
    Case(5, external_vm(has_backup_job=True), ALL, {"has_backup_job": False}),
    Case(
        6,
        external_vm(has_managed_save=True, run_state=OFF),
        ALL,
        {"run_state": RunState.PAUSED},
        label="trap 4",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_row_refuses_exactly_its_case(case: Case) -> None:
    check_case(RULES, case)


def test_every_row_has_a_case() -> None:
    check_coverage(RULES, CASES)


def line_vm(*snapshots: Snapshot, current: str | None, chain: tuple[str, ...]) -> Vm:
    tree = SnapshotTree(snapshots, current)
    return vm_of(make_vm(tree=tree, disks=(disk(*chain),)))


def test_a_line_becomes_one_image_in_one_job() -> None:
    planned = plan_of(external_vm(), ALL)
    assert planned.moves == (
        CommitImages("vda", B2, BASE, CHAIN, in_vm=True),
        SetActive("vda", B2, BASE),
        ForgetSnapshot("two"),
        ForgetSnapshot("one"),
        RemoveFile(B2),
        RemoveFile(B1),
    )
    assert [(step.act, step.files) for step in planned.steps] == [(Act.MERGE, (B2, BASE))]
    assert len(planned.lost) == 2
    assert planned.operation == Consolidate(UUID, ("vda",))


def test_upwards_only_the_active_image_is_written() -> None:
    planned = plan_of(external_vm(), UPWARDS)
    assert planned.moves == (
        PullImages("vda", None, CHAIN, in_vm=True),
        ForgetSnapshot("two"),
        ForgetSnapshot("one"),
        RemoveFile(B1),
        RemoveFile(BASE),
    )
    assert planned.steps[0].files == (BASE, B2)


def test_one_image_is_nothing_to_do() -> None:
    vm = internal_vm()
    assert refusal_of(vm, ALL) is RefusalCode.NOTHING_TO_DO


def test_layers_of_which_there_is_no_record_are_merged_and_nothing_is_lost() -> None:
    planned = plan_of(line_vm(current=None, chain=("b2", "b1", "base")), ALL)
    assert planned.lost == ()
    assert planned.kept == ("The VM as it is now",)


TEMPLATE = DiskLayer("/templates/base.qcow2", "qcow2")


@pytest.mark.parametrize("operation", [ALL, UPWARDS])
def test_what_only_a_header_names_in_another_folder_is_left_alone(operation: Consolidate) -> None:
    """It may be a template, or whatever a hostile image claims to stand on."""
    vm = vm_of(make_vm(disks=(DiskChain("vda", (image("b2"), image("b1"), TEMPLATE)),)))
    planned = plan_of(vm, operation)
    assert TEMPLATE.path not in {path for step in planned.steps for path in step.files}
    assert RemoveFile(TEMPLATE.path) not in planned.moves
    assert any("another folder" in warning for warning in planned.warnings)
    alone = vm_of(make_vm(disks=(DiskChain("vda", (image("b1"), TEMPLATE)),)))
    assert refusal_of(alone, operation) is RefusalCode.NOTHING_TO_DO


@pytest.mark.parametrize("operation", [ALL, UPWARDS])
def test_what_a_record_names_in_another_folder_is_merged(operation: Consolidate) -> None:
    frozen = SnapshotDisk("vda", "external", TEMPLATE, image("b1"))
    tree = SnapshotTree((external("one", None, "base", "b1", disks=(frozen,)),), "one")
    chain = DiskChain("vda", (image("b1"), TEMPLATE), defined=2, is_complete=True)
    planned = plan_of(vm_of(make_vm(tree=tree, disks=(chain,))), operation)
    assert TEMPLATE.path in planned.steps[0].files
    assert not any("template" in warning for warning in planned.warnings)


def test_a_base_that_no_record_names_is_pointed_out() -> None:
    vm = line_vm(current=None, chain=("b1", "base"))
    for operation, end in ((ALL, "is written to"), (UPWARDS, "is removed")):
        (warning,) = plan_of(vm, operation).warnings
        assert warning.startswith(f"base.qcow2 {end}")


# one froze the base; two lies on a branch; the live image on another one
BRANCHED = line_vm(
    external("one", None, "base", "b1"),
    external("two", "one", "b1", "b2"),
    external("three", "two", "b2", "b3"),
    external("four", "two", "r2", "b4"),
    current="four",
    chain=("b4", "r2", "b1", "base"),
)


def test_a_branch_point_is_the_top_of_a_run_and_keeps_its_state() -> None:
    planned = plan_of(BRANCHED, ALL)
    live = tuple(map(image, ("b4", "r2", "b1", "base")))
    r2, b4 = image("r2").path, image("b4").path
    assert planned.moves == (
        CommitImages("vda", B1, BASE, live, in_vm=True),
        SetFrozen("two", "vda", B1, BASE),
        PointTo("vda", image("b2"), (image("base"),)),
        ForgetSnapshot("one"),
        RemoveFile(B1),
        CommitImages("vda", b4, r2, tuple(map(image, ("b4", "r2", "base"))), in_vm=True),
        SetActive("vda", b4, r2),
        ForgetSnapshot("four"),
        RemoveFile(b4),
    )
    assert any("three" in text for text in planned.warnings)
    assert planned.kept[-1] == "2 other snapshots"


def test_upwards_a_run_below_the_active_one_waits_until_the_vm_is_off() -> None:
    on = plan_of(BRANCHED, UPWARDS)
    assert [m.chain[0] for m in on.moves if isinstance(m, PullImages)] == [image("b4")]
    assert any("merged downwards" in text for text in on.warnings)
    off = plan_of(replace(BRANCHED, run_state=OFF), UPWARDS)
    assert [m.chain[0] for m in off.moves if isinstance(m, PullImages)] == [
        image("b1"),
        image("b4"),
    ]


def test_an_image_with_internal_snapshots_can_only_be_the_lowest() -> None:
    inner = internal("inner", "one", disks=(SnapshotDisk("vda", "internal", image("b1")),))
    vm = line_vm(
        external("one", None, "base", "b1"),
        inner,
        external("two", "inner", "b1", "b2"),
        current="two",
        chain=("b2", "b1", "base"),
    )
    planned = plan_of(vm, ALL)
    assert [m.base for m in planned.moves if isinstance(m, CommitImages)] == [B1]
    assert any("inner" in text for text in planned.warnings)
    assert refusal_of(vm, UPWARDS) is RefusalCode.NOTHING_TO_DO


def test_what_another_vm_needs_stays() -> None:
    shared = stored(external_vm(), TWO_STEPS, users={BASE: ("db",)})
    planned = plan_of(shared, ALL)
    assert [m.base for m in planned.moves if isinstance(m, CommitImages)] == [B1]
    assert any("“db”" in text for text in planned.warnings)


TWO_DISKS = (
    SnapshotDisk("vda", "external", image("base"), image("b1")),
    SnapshotDisk("vdb", "external", image("data"), image("d1")),
)


def test_of_a_point_over_two_disks_the_other_images_stay_and_that_is_said() -> None:
    one = external("one", None, "base", "b1", disks=TWO_DISKS)
    chains = (disk("b1", "base"), disk("d1", "data", target="vdb"))
    vm = vm_of(make_vm(tree=SnapshotTree([one], "one"), disks=chains))
    planned = plan_of(vm, Consolidate(UUID, ("vda",)))
    assert any("vdb" in text for text in planned.warnings)
    assert plan_of(vm, ALL).warnings == ()


def test_memory_files_of_lost_points_go() -> None:
    one = external("one", None, "base", "b1", has_memory=True, memory_path="/images/one.mem")
    planned = plan_of(line_vm(one, current="one", chain=("b1", "base")), ALL)
    assert planned.moves[-1] == RemoveFile("/images/one.mem")


def test_figures_are_those_of_all_runs_together() -> None:
    planned = plan_of(
        stored(external_vm(), TWO_STEPS, copy_bytes_per_second=10 * MIB),
        replace(ALL, bandwidth_bytes_per_second=7),
    )
    assert planned.bytes_to_copy == 60 * MIB
    assert planned.estimated_seconds == 6
    assert planned.freed_bytes is None
    (job,) = (move for move in planned.moves if isinstance(move, CommitImages))
    assert job.bandwidth_bytes_per_second == 7
    full = stored(external_vm(), TWO_STEPS, sizes={"b2": 90 * MIB}, free_bytes={"/images": MIB})
    assert refusal_of(full, ALL) is RefusalCode.NO_SPACE


CRASHES = st.tuples(st.integers(0, 99), st.floats(0, 1))


ACTS = {"plain": PLAIN, "by hand": BY_HAND, "mixed": MIXED, "others": OTHERS}


@pytest.mark.parametrize("acts", ACTS.values(), ids=ACTS)
@settings(max_examples=120, deadline=None)
@given(st.data(), st.booleans(), st.sampled_from(MergeBy), CRASHES)
def test_only_what_the_plan_gives_up_is_lost(
    acts: dict[str, int],
    data: st.DataObject,
    one_disk: bool,
    merge_by: MergeBy,
    crash: tuple[int, float],
) -> None:
    world = data.draw(worlds(acts))
    operation = Consolidate(UUID, world.targets[:1] if one_disk else (), merge_by)
    planned = plan(world.vm(), operation)
    if isinstance(planned, Plan):
        check_idempotent(world.vm(), operation)
        prove(world, planned, crash=crash)


@settings(max_examples=100, deadline=None)
@given(worlds(PLAIN))
def test_without_a_branch_each_disk_becomes_one_image(world: FileWorld) -> None:
    """First the dead branches go, then the rest is merged."""
    live = {name for name in world.records if is_live(world, name)}
    dead = tuple(set(world.records) - live)
    if dead:
        prove(world, plan_of(world.vm(), DeleteSnapshot(UUID, dead)))
    if all(len(world.chain(world.active(target))) == 1 for target in world.targets):
        assert refusal_of(world.vm(), ALL) is RefusalCode.NOTHING_TO_DO
        return
    prove(world, plan_of(world.vm(), ALL))
    assert world.files() == {f"/images/{target}-base.qcow2" for target in world.targets}
    assert world.records == {}


def is_live(world: FileWorld, name: str) -> bool:
    chains = {target: world.chain(world.active(target)) for target in world.targets}
    return all(path in chains[target] for target, path in world.records[name].frozen.items())
