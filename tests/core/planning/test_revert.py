"""Going back: each row of the table, each trap it is there for, what is kept and what is lost."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.operations import Afterwards, RevertSnapshot
from snapview.core.planning import Act, Plan, RefusalCode, plan
from snapview.core.planning.revert import RULES, ends, safety_of
from snapview.core.under_way import BlockJob
from snapview.core.vm import (
    DiskChain,
    DiskLayer,
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
from tests.trees import make_vm, vm_uuid

OFF = RunState.SHUTOFF
UUID = vm_uuid("web")
BACK = RevertSnapshot(UUID, "one", safety_snapshot=False)
SAFELY = RevertSnapshot(UUID, "one")


def drive(layer: DiskLayer | None) -> DiskChain:
    return DiskChain("sda", (layer,) if layer else (), "cdrom", is_readonly=True)


WITH_DISC = (*external_vm().disks, drive(DiskLayer("/dev/sr0", "raw", "block")))
WITHOUT_DISC = (*external_vm().disks, drive(None))
WITH_ISO = (*external_vm().disks, drive(DiskLayer("/iso/x.iso", "raw")))


def with_tree(vm: Vm, *changed: Any, current: str | None = "two") -> Vm:
    """The VM with some of its snapshots replaced or added."""
    kept = [s for s in vm.tree if s.name not in {c.name for c in changed}]
    return replace(vm, tree=SnapshotTree([*kept, *changed], current))


def disk_only_vm(version: tuple[int, int, int]) -> Vm:
    vm = external_vm(version=version)
    return with_tree(vm, replace(vm.tree["one"], state=SnapshotState.DISK_ONLY))


def above_the_internal() -> Vm:
    """Trap 2: an external snapshot stands on an internal one."""
    tree = SnapshotTree([internal("one"), external("two", "one", "base", "b1")], "two")
    return vm_of(make_vm(tree=tree, disks=(disk("b1", "base"),)))


UEFI: dict[str, Any] = {"hardware__firmware": "uefi", "hardware__nvram_format": "qcow2"}
BASE = {"disks": (disk("base"),)}

CASES = [
    Case(0, internal_vm(block_jobs=(BlockJob("vda"),)), SAFELY, {"block_jobs": ()}),
    Case(
        1,
        internal_vm(has_managed_save=True, run_state=OFF),
        BACK,
        {"has_managed_save": False},
        label="trap 4",
    ),
    Case(
        1, internal_vm(has_managed_save=True, run_state=OFF), SAFELY, {"run_state": RunState.PAUSED}
    ),
    Case(
        2,
        with_tree(internal_vm(), internal("one", kind=SnapshotKind.MIXED)),
        BACK,
        instead=replace(BACK, snapshot="two"),
    ),
    Case(3, above_the_internal(), BACK, BASE, label="trap 2"),
    Case(4, internal_vm(disks=(disk("base", target="vdb"),)), BACK, BASE, label="trap 8"),
    Case(
        5,
        vm_of(internal_vm(), version=(10, 9, 0), **UEFI),
        BACK,
        {"capabilities": capabilities((10, 10, 0))},
    ),
    Case(6, internal_vm(version=(11, 2, 0)), BACK, {"version": (11, 3, 0)}, label="trap 9"),
    Case(6, internal_vm(version=(11, 2, 0)), SAFELY, {"version": (11, 1, 0)}, label="trap 9"),
    Case(7, external_vm(version=(9, 0, 0)), SAFELY, {"version": (9, 10, 0)}),
    Case(8, disk_only_vm((10, 0, 0)), SAFELY, {"version": (10, 10, 0)}, label="trap 12"),
    Case(
        9,
        with_tree(external_vm(), current=None),
        SAFELY,
        {"tree": external_vm().tree},
        label="trap 7",
    ),
    Case(10, external_vm(disks=WITH_DISC), SAFELY, {"disks": WITHOUT_DISC}),
    Case(10, external_vm(disks=WITH_DISC), BACK, {"disks": WITH_ISO}),
    Case(11, external_vm(disks=(disk("other", "b1", "base"),)), BACK, instead=SAFELY),
    Case(11, with_tree(external_vm(), current="one"), BACK, {"tree": external_vm().tree}),
    Case(
        11,
        with_tree(external_vm(), external("three", "two", "b2", "b3")),
        BACK,
        instead=SAFELY,
        label="trap 6",
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


@pytest.mark.parametrize("version", [(9, 9, 0), (10, 0, 0), (11, 3, 0), (12, 1, 0)])
def test_trap_7_without_a_current_snapshot_the_daemon_would_crash(
    version: tuple[int, int, int],
) -> None:
    vm = with_tree(external_vm(version=version), current=None)
    for operation in (BACK, SAFELY):
        assert refusal_of(vm, operation) is RefusalCode.CHAIN_MISMATCH


@pytest.mark.parametrize("version", VERSIONS)
def test_traps_9_and_12_and_the_capability_by_version(version: tuple[int, int, int]) -> None:
    too_old = RefusalCode.HOST_TOO_OLD
    assert refusal_of(internal_vm(version=version), BACK) is (
        too_old if version[:2] == (11, 2) else None
    )
    assert refusal_of(external_vm(version=version), SAFELY) is (
        None if version >= (9, 9, 0) else too_old
    )
    assert refusal_of(disk_only_vm(version), SAFELY) is (None if version >= (10, 1, 0) else too_old)


def test_what_a_host_can_is_asked_before_its_version() -> None:
    """RHEL backports: an old number may revert."""
    backported = replace(capabilities((9, 0, 0)), reverts_external=True)
    assert refusal_of(external_vm(capabilities=backported), SAFELY) is None
    without = replace(capabilities((11, 3, 0)), reverts_external=False)
    assert refusal_of(external_vm(capabilities=without), SAFELY) is RefusalCode.HOST_TOO_OLD


# What libvirt unlinks


def test_without_safety_the_plan_names_the_files_that_go() -> None:
    step = plan_of(external_vm(), BACK).steps[0]
    assert (step.act, step.files, step.snapshot) == (Act.REVERT, ("/images/b2.qcow2",), "one")
    assert plan_of(external_vm(), SAFELY).steps[-2].files == ()


def reverted_vm() -> Vm:
    """After a revert to ``one``: libvirt made ``r1`` on the base for it."""
    vm = external_vm()
    overlay = (SnapshotDisk("vda", "external", None, image("r1")),)
    one = replace(vm.tree["one"], revert_overlays=overlay)
    return replace(with_tree(vm, one, current="one"), disks=(disk("r1", "base"),))


def test_after_a_revert_its_own_overlay_goes_and_no_other() -> None:
    back_again = plan_of(reverted_vm(), BACK)
    assert back_again.steps[0].files == ("/images/r1.qcow2",)
    elsewhere = plan_of(reverted_vm(), replace(BACK, snapshot="two"))
    assert elsewhere.steps[0].files == ("/images/r1.qcow2",)


def test_a_second_disk_that_libvirt_would_forget_is_seen() -> None:
    vm = external_vm(disks=(*external_vm().disks, disk("x", target="vdb")))
    assert refusal_of(vm, BACK) is RefusalCode.CHAIN_MISMATCH
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
    snapshot = internal("one", state=state)
    vm = with_tree(internal_vm(), snapshot)
    assert plan_of(vm, replace(BACK, afterwards=wanted)).steps[-1].act is last
    assert ends(snapshot, wanted) in {Afterwards.RUNNING, Afterwards.PAUSED, Afterwards.OFF}


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
    vm = internal_vm(disks=(disk("base"), disk("new", target="vdb")), run_state=OFF, **UEFI)
    one = internal("one", has_memory=False, state=SnapshotState.SHUTOFF)
    warnings = plan_of(with_tree(vm, one), BACK).warnings
    assert any("vdb" in text for text in warnings)
    assert any("NVRAM" in text for text in warnings)


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
        },
    ),
)
OPERATIONS = st.builds(
    RevertSnapshot,
    st.just(UUID),
    st.sampled_from(["one", "two", "nowhere"]),
    st.booleans(),
    st.text(max_size=10),
    st.sampled_from(Afterwards),
)


@given(VMS, OPERATIONS)
def test_a_plan_is_complete_and_never_raises(vm: Vm, operation: RevertSnapshot) -> None:
    if isinstance(plan(vm, operation), Plan):
        check_idempotent(vm, operation)
