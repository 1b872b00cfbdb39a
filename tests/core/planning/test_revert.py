"""Going back: each row of the table, each trap it is there for, what is kept and what is lost."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.marks import Consistency, Marks, marks_of
from snapview.core.moves import RemoveFile, TakeSnapshot
from snapview.core.operations import Afterwards, RevertSnapshot, split_description
from snapview.core.planning import Act, Plan, RefusalCode, plan
from snapview.core.planning.revert import RULES, safety_of
from snapview.core.storage import ImageFile, Storage
from snapview.core.under_way import BlockJob, Interruption
from snapview.core.vm import (
    RunState,
    SnapshotDisk,
    SnapshotKind,
    SnapshotState,
    SnapshotTree,
    Vm,
)
from tests.core.planning.cases import (
    TEST_DRIVER,
    VERSIONS,
    Case,
    capabilities,
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
from tests.trees import START, make_vm, vm_uuid

OFF = RunState.SHUTOFF
UUID = vm_uuid("web")
BACK = RevertSnapshot(UUID, "one", safety_snapshot=False)
SAFELY = RevertSnapshot(UUID, "one")
RUN = Afterwards.RUNNING


def with_tree(vm: Vm, *changed: Any, current: str | None = "two") -> Vm:
    """The VM with some of its snapshots replaced or added."""
    kept = [s for s in vm.tree if s.name not in {c.name for c in changed}]
    return replace(vm, tree=SnapshotTree([*kept, *changed], current))


def above_the_internal() -> Vm:
    """Trap 2: an external snapshot stands on an internal one."""
    tree = SnapshotTree([internal("one"), external("two", "one", "base", "b1")], "two")
    return vm_of(make_vm(tree=tree, disks=(disk("b1", "base"),)))


UEFI: dict[str, Any] = {"hardware__firmware": "uefi", "hardware__nvram_format": "qcow2"}
BASE = {"disks": (disk("base"),)}
STOPPED = Interruption("x1", "the revert to “one”", START)


def stored(*names: str, backing: str | None = None, **changes: Any) -> Storage:
    """A folder in which these images lie, each on the next, the last one on ``backing``."""
    paths = [f"/images/{name}.qcow2" for name in names]
    below: list[str | None] = [*paths[1:], backing]
    images = {path: ImageFile(path, "qcow2", base) for path, base in zip(paths, below, strict=True)}
    return replace(Storage(images, {"/images": 100 << 30}), **changes)


LIVE = stored("b2", "b1", "base")
MIXED = internal("one", kind=SnapshotKind.MIXED)

CASES = [
    Case(0, internal_vm(interruption=STOPPED), SAFELY, {"interruption": None}),
    Case(1, internal_vm(block_jobs=(BlockJob("vda"),)), SAFELY, {"block_jobs": ()}),
    Case(2, external_vm(has_backup_job=True), BACK, {"has_backup_job": False}),
    Case(
        3,
        internal_vm(has_managed_save=True, run_state=OFF),
        BACK,
        {"has_managed_save": False},
        label="trap 4",
    ),
    Case(
        3, internal_vm(has_managed_save=True, run_state=OFF), SAFELY, {"run_state": RunState.PAUSED}
    ),
    Case(
        3,
        external_vm(has_managed_save=True, run_state=OFF, version=(9, 0, 0)),
        SAFELY,
        {"has_managed_save": False},
        label="own way",
    ),
    Case(4, with_tree(internal_vm(), MIXED), BACK, instead=replace(BACK, snapshot="two")),
    Case(5, above_the_internal(), BACK, {"tree": internal_vm().tree, **BASE}, label="trap 2"),
    Case(6, internal_vm(disks=(disk("base", target="vdb"),)), BACK, BASE, label="trap 8"),
    Case(
        7,
        vm_of(internal_vm(), version=(10, 9, 0), **UEFI),
        BACK,
        {"capabilities": capabilities((10, 10, 0))},
    ),
    Case(8, internal_vm(version=(11, 2, 0)), BACK, {"version": (11, 3, 0)}, label="trap 9"),
    Case(8, internal_vm(version=(11, 2, 0)), SAFELY, {"version": (11, 1, 0)}, label="trap 9"),
    Case(9, external_vm(is_persistent=False), SAFELY, instead=replace(SAFELY, afterwards=RUN)),
    Case(
        9,
        internal_vm(is_persistent=False),
        replace(BACK, afterwards=Afterwards.OFF),
        {"is_persistent": True},
    ),
    Case(10, external_vm(storage=stored("b2", "b1")), SAFELY, {"storage": LIVE}),
    Case(
        10,
        external_vm(storage=stored("b2", "b1", "base", backing="/images/gone.qcow2")),
        BACK,
        {"storage": stored("b2", "b1", "base", backing="/elsewhere/x.qcow2")},
        label="deeper",
    ),
    Case(
        11,
        internal_vm(storage=stored("base", users={"/images/base.qcow2": ("other",)})),
        BACK,
        {"storage": stored("base")},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_row_refuses_exactly_its_case(case: Case) -> None:
    check_case(RULES, case)


def test_every_row_has_a_case() -> None:
    check_coverage(RULES, CASES)


def test_what_is_missing_or_broken_is_refused() -> None:
    assert refusal_of(internal_vm(), replace(BACK, snapshot="x")) is RefusalCode.NOT_FOUND
    broken = with_tree(internal_vm(), internal("one", problem="It is broken."))
    assert refusal_of(broken, BACK) is RefusalCode.UNREADABLE


# Traps


@pytest.mark.parametrize("version", VERSIONS)
def test_trap_2_an_internal_snapshot_below_an_overlay_is_never_reverted_to(
    version: tuple[int, int, int],
) -> None:
    vm = vm_of(above_the_internal(), version=version)
    for operation in (BACK, SAFELY):
        assert refusal_of(vm, operation) is RefusalCode.MIXED


@pytest.mark.parametrize("version", VERSIONS)
def test_trap_9_and_nothing_else_forbids_an_internal_revert_by_version(
    version: tuple[int, int, int],
) -> None:
    too_old = RefusalCode.HOST_TOO_OLD if version[:2] == (11, 2) else None
    assert refusal_of(internal_vm(version=version), BACK) is too_old
    assert refusal_of(external_vm(version=version), SAFELY) is None


def on_another_branch() -> Vm:
    """The internal ``one`` lies in an image that the VM has left, and nothing stands on that."""
    tree = SnapshotTree(
        [external("root", None, "base", "b1"), internal("one", "root", disks=_inside("b1"))], "root"
    )
    return vm_of(make_vm(tree=tree, disks=(disk("r1", "base"),)), storage=stored("r1", "base"))


def _inside(name: str) -> tuple[SnapshotDisk, ...]:
    return (SnapshotDisk("vda", "internal", image(name)),)


def test_an_internal_snapshot_that_the_vm_has_left_can_be_gone_back_to() -> None:
    vm = on_another_branch()
    images = dict(stored("b1", "base").images) | dict(stored("r1", "base").images)
    vm = replace(vm, storage=Storage(images, {"/images": 100 << 30}))
    assert refusal_of(vm, SAFELY) is None
    removed = [move for move in plan_of(vm, BACK).moves if isinstance(move, RemoveFile)]
    assert removed == [RemoveFile("/images/r1.qcow2")]


def test_without_headers_what_came_after_an_internal_state_counts_as_standing_on_it() -> None:
    later = internal("two", "one", disks=_inside("other"))
    vm = with_tree(internal_vm(), later)
    assert refusal_of(vm, BACK) is RefusalCode.MIXED
    read = stored("base")
    images = dict(read.images) | dict(stored("other").images)
    assert refusal_of(replace(vm, storage=replace(read, images=images)), BACK) is None


def test_two_disks_do_not_stand_on_each_other() -> None:
    disks = (*_inside("base"), SnapshotDisk("vdb", "internal", image("data")))
    tree = SnapshotTree([internal("one", disks=disks), internal("two", "one", disks=disks)], "two")
    vm = vm_of(make_vm(tree=tree, disks=(disk("base"), disk("data", target="vdb"))))
    assert refusal_of(vm, SAFELY) is None


# Words and steps


@pytest.mark.parametrize(
    ("state", "wanted", "last"),
    [
        (SnapshotState.RUNNING, Afterwards.AS_IT_WAS, Act.START),
        (SnapshotState.PAUSED, Afterwards.AS_IT_WAS, Act.PAUSE),
        (SnapshotState.SHUTOFF, Afterwards.AS_IT_WAS, Act.STOP),
        (SnapshotState.DISK_ONLY, Afterwards.AS_IT_WAS, Act.STOP),
        (SnapshotState.UNKNOWN, Afterwards.AS_IT_WAS, Act.STOP),
        (SnapshotState.SHUTOFF, Afterwards.RUNNING, Act.START),
        (SnapshotState.RUNNING, Afterwards.OFF, Act.STOP),
        (SnapshotState.RUNNING, Afterwards.PAUSED, Act.PAUSE),
    ],
)
def test_the_vm_ends_as_asked(state: SnapshotState, wanted: Afterwards, last: Act) -> None:
    vm = with_tree(internal_vm(), internal("one", state=state))
    assert plan_of(vm, replace(BACK, afterwards=wanted)).steps[-1].act is last


@pytest.mark.parametrize("vm", [internal_vm(), external_vm(), internal_vm(run_state=OFF)])
def test_with_safety_nothing_is_lost_and_without_it_is_said(vm: Vm) -> None:
    safe, unsafe = plan_of(vm, SAFELY), plan_of(vm, BACK)
    assert safe.lost == ()
    assert "before revert to ‘one’" in safe.undo
    assert safe.new_name == "before-revert-to-one"
    assert Act.CREATE in safe.acts
    assert unsafe.lost
    assert unsafe.undo == ""
    assert unsafe.new_name is None
    assert any("memory" in text for text in unsafe.lost) is vm.run_state.is_active


def test_the_safety_snapshot_is_of_the_kind_of_its_target() -> None:
    assert safety_of(internal_vm(), SAFELY).kind is SnapshotKind.INTERNAL
    assert safety_of(external_vm(), SAFELY).kind is SnapshotKind.EXTERNAL


def test_when_the_state_of_now_cannot_be_kept_the_reason_is_said() -> None:
    blocked = internal_vm(hardware__blockers=("a device of the host is passed through",))
    planned = plan(blocked, SAFELY)
    assert not isinstance(planned, Plan)
    assert planned.code is RefusalCode.DEVICE
    assert planned.reason.startswith("The state of now cannot be kept: ")
    assert "without the safety snapshot" in planned.advice
    assert refusal_of(blocked, BACK) is None
    assert refusal_of(vm_of(internal_vm(), capabilities=TEST_DRIVER), SAFELY) is None


def test_a_taken_safety_title_gets_a_number() -> None:
    taken = internal("x", title="before revert to ‘one’")
    also = internal("before revert to ‘one’ 2", title="another")
    vm = with_tree(internal_vm(), taken, also)
    operation = plan_of(vm, SAFELY).operation
    assert isinstance(operation, RevertSnapshot)
    assert operation.safety_title == "before revert to ‘one’ 3"


def test_what_stays_as_it_is_is_warned_of() -> None:
    vm = internal_vm(disks=(disk("base"), disk("new", target="vdb")), run_state=OFF)
    kept = SnapshotDisk("vdb", "no", image("new"))
    one = internal("one", disks=(*vm.tree["one"].disks, kept))
    (warning,) = plan_of(with_tree(vm, one), BACK).warnings
    assert "stays as it is: vdb" in warning


def test_a_disk_that_is_detached_is_warned_of_and_its_image_stays() -> None:
    vm = internal_vm(disks=(disk("base"), disk("new", target="vdb")), run_state=OFF)
    warnings = plan_of(vm, BACK).warnings
    assert any("detached: vdb" in text for text in warnings)
    assert any("/images/new.qcow2" in text for text in warnings)
    assert not any("new.qcow2" in text for text in plan_of(vm, SAFELY).warnings)


@pytest.mark.parametrize(
    ("nvram", "memory", "version", "warned"),
    [
        ("raw", False, (11, 3, 0), True),
        ("qcow2", False, (11, 3, 0), False),
        ("qcow2", False, (10, 0, 0), True),
        ("raw", True, (11, 3, 0), False),
    ],
)
def test_variables_of_the_firmware_that_do_not_go_back(
    nvram: str, memory: bool, version: tuple[int, int, int], warned: bool
) -> None:
    vm = internal_vm(hardware__firmware="uefi", hardware__nvram_format=nvram, version=version)
    vm = replace(vm, run_state=OFF)
    vm = with_tree(vm, internal("one", has_memory=memory, state=SnapshotState.SHUTOFF))
    running = replace(BACK, afterwards=Afterwards.RUNNING)
    assert any("NVRAM" in text for text in plan_of(vm, running).warnings) is warned


def test_what_a_tpm_holds_goes_back_only_with_the_memory() -> None:
    vm = internal_vm(hardware__has_tpm=True)
    assert not any("TPM" in text for text in plan_of(vm, SAFELY).warnings)
    off = replace(SAFELY, afterwards=Afterwards.OFF)
    assert any("TPM" in text for text in plan_of(vm, off).warnings)


def test_checkpoints_are_named_before_they_are_void() -> None:
    for vm in (internal_vm(checkpoints=("c1",)), external_vm(checkpoints=("c1",))):
        assert any("full" in text for text in plan_of(vm, SAFELY).warnings)
    assert not any("full" in text for text in plan_of(internal_vm(), SAFELY).warnings)


def test_an_unneeded_file_on_the_image_that_changes_is_named() -> None:
    images = dict(stored("base").images) | dict(stored("stray", "base").images)
    vm = internal_vm(storage=Storage(images, {"/images": 100 << 30}))
    assert any("/images/stray.qcow2" in text for text in plan_of(vm, BACK).warnings)


# The safety snapshot


def test_the_safety_snapshot_notes_how_long_it_is_kept() -> None:
    for days, noted in ((14, date(2026, 1, 15)), (None, None)):
        vm = replace(external_vm(), read_at=START)
        planned = plan_of(vm, replace(SAFELY, keep_days=days))
        take = planned.moves[0]
        assert isinstance(take, TakeSnapshot)
        description = split_description(take.name, take.description)[1]
        assert marks_of(description) == Marks(Consistency.WITH_MEMORY, noted)
        assert any("2026-01-15" in text for text in planned.kept) is (noted is not None)


def test_memory_that_cannot_be_kept_is_lost_even_with_a_safety_snapshot() -> None:
    blocked = external_vm(hardware__blockers=("a device of the host is passed through",))
    planned = plan_of(blocked, SAFELY)
    assert any("memory" in text for text in planned.lost)
    assert not any("Memory" in text for text in planned.kept)


def test_in_a_mixed_tree_the_safety_snapshot_needs_no_leave() -> None:
    vm = on_another_branch()
    assert refusal_of(vm, replace(SAFELY, snapshot="root")) is None


def test_too_little_room_for_the_memory_is_warned_of_beforehand() -> None:
    vm = external_vm(storage=stored("b2", "b1", "base", free_bytes={"/images": 2 << 30}))
    planned = plan_of(vm, SAFELY)
    assert any("2.0 GiB" in text for text in planned.warnings)
    assert planned.extra_bytes_needed == 2 << 30


def test_what_goes_without_a_safety_snapshot_is_named_and_counted() -> None:
    read = stored("b2", "b1", "base")
    images = {path: replace(each, allocation_bytes=5 << 20) for path, each in read.images.items()}
    for version in ((9, 0, 0), (11, 3, 0)):
        vm = external_vm(storage=replace(read, images=images), version=version)
        planned = plan_of(vm, BACK)
        (step,) = (step for step in planned.steps if step.act is Act.REVERT)
        assert (step.files, step.snapshot) == (("/images/b2.qcow2",), "one")
        assert planned.freed_bytes == 5 << 20
        safely = plan_of(vm, SAFELY)
        assert all(not s.files for s in safely.steps if s.act is Act.REVERT)
        assert safely.freed_bytes is None


VMS = st.builds(
    lambda make, version, changes: make(version=version, **changes),
    st.sampled_from([internal_vm, external_vm]),
    st.sampled_from(VERSIONS),
    st.fixed_dictionaries(
        {},
        optional={
            "run_state": st.sampled_from(RunState),
            "has_managed_save": st.booleans(),
            "hardware__blockers": st.just(("a device",)),
            "hardware__firmware": st.just("uefi"),
            "block_jobs": st.just((BlockJob("vda"),)),
            "tree": st.sampled_from([internal_vm().tree, external_vm().tree, SnapshotTree()]),
            "is_persistent": st.booleans(),
            "checkpoints": st.just(("c1",)),
            "storage": st.sampled_from([LIVE, stored("base"), Storage()]),
        },
    ),
)
OPERATIONS = st.builds(
    RevertSnapshot,
    st.just(UUID),
    st.sampled_from(["one", "two", "nowhere"]),
    st.booleans(),
    st.text(max_size=10),
    st.none() | st.integers(1, 400),
    st.sampled_from(Afterwards),
)


@given(VMS, OPERATIONS)
def test_a_plan_is_complete_and_never_raises(vm: Vm, operation: RevertSnapshot) -> None:
    if isinstance(plan(vm, operation), Plan):
        check_idempotent(vm, operation)
