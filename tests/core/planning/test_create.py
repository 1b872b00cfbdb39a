"""Taking a snapshot: each row of the table, each trap it is there for, and what is offered."""

import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.operations import CreateSnapshot
from snapview.core.planning import (
    Act,
    Plan,
    RefusalCode,
    default_snapshot,
    plan,
    recommended_kind,
)
from snapview.core.planning.create import CHAIN_LIMIT, LONG_CHAIN, RULES, disk_actions
from snapview.core.under_way import BlockJob
from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    RunState,
    SnapshotKind,
    SnapshotTree,
    Vm,
)
from tests.core.planning.cases import (
    EXTERNAL,
    INTERNAL,
    TEST_DRIVER,
    VERSIONS,
    Case,
    capabilities,
    check_case,
    check_coverage,
    check_idempotent,
    disk,
    external_vm,
    image,
    internal,
    internal_vm,
    plan_of,
    refusal_of,
    vm_of,
)
from tests.trees import make_vm, vm_uuid

OFF, PAUSED = RunState.SHUTOFF, RunState.PAUSED
UUID = vm_uuid("web")
IN = CreateSnapshot(UUID, "new")
EX = CreateSnapshot(UUID, "new", kind=EXTERNAL)
DISK_ONLY = CreateSnapshot(UUID, "new", kind=EXTERNAL, memory=False)
QUIESCED = replace(DISK_ONLY, quiesce=True)

PLAIN = (disk("base"),)
RAW = (replace(disk("base"), layers=(DiskLayer("/images/base.raw", "raw"),)),)
NETWORK = (replace(disk("base"), layers=(DiskLayer("rbd:pool/x", "qcow2", "network"),)),)
BLOCK = (replace(disk("base"), layers=(DiskLayer("/dev/vg/x", "qcow2", "block"),)),)
UEFI: dict[str, Any] = {"hardware__firmware": "uefi", "hardware__nvram_format": "raw"}


def deep(overlays: int) -> tuple[DiskChain, ...]:
    return (disk(*[f"n{number}" for number in range(overlays + 1)]),)


def without(*disks: DiskChain) -> Vm:
    return vm_of(make_vm(disks=disks))


CASES = [
    Case(0, vm_of(problem="It is broken."), IN, {"problem": None}),
    Case(1, internal_vm(), replace(IN, title="one"), instead=IN, label="name"),
    Case(1, internal_vm(), replace(IN, title=" two\n"), instead=replace(IN, title="Two")),
    Case(2, without(DiskChain("sda", (), "cdrom")), IN, {"disks": PLAIN}),
    Case(2, without(replace(disk("x"), is_readonly=True)), DISK_ONLY, {"disks": PLAIN}),
    Case(3, vm_of(block_jobs=(BlockJob("vda"),)), IN, {"block_jobs": ()}),
    Case(
        4,
        vm_of(has_managed_save=True, run_state=OFF),
        IN,
        {"run_state": RunState.RUNNING},
        label="trap 4",
    ),
    Case(5, vm_of(), replace(IN, memory=False), instead=IN),
    Case(5, vm_of(run_state=PAUSED), replace(IN, memory=False), {"run_state": OFF}),
    Case(6, without(*RAW), IN, instead=EX),
    Case(6, without(disk("base"), *RAW), IN, {"disks": PLAIN}, label="second disk"),
    Case(7, vm_of(without(*NETWORK), run_state=OFF), IN, {"run_state": RunState.RUNNING}),
    Case(8, without(*NETWORK), DISK_ONLY, instead=IN, label="trap 15"),
    Case(8, without(*BLOCK), DISK_ONLY, {"disks": PLAIN}),
    Case(9, vm_of(**UEFI), IN, instead=EX, label="nvram raw"),
    Case(9, vm_of(**UEFI), IN, {"hardware__nvram_format": "qcow2"}, label="trap 17"),
    Case(9, vm_of(version=(10, 9, 0), **UEFI), IN, {"run_state": OFF}, label="too old"),
    Case(10, vm_of(version=(9, 0, 0), run_state=OFF, **UEFI), IN, instead=EX),
    Case(
        10,
        vm_of(version=(9, 2, 0), run_state=OFF, **UEFI),
        IN,
        {"capabilities": capabilities((9, 3, 0))},
        label="trap 16",
    ),
    Case(11, vm_of(hardware__blockers=("a device",)), EX, instead=DISK_ONLY),
    Case(11, vm_of(hardware__blockers=("a device",)), IN, {"run_state": OFF}),
    Case(12, vm_of(capabilities=TEST_DRIVER), EX, instead=IN),
    Case(13, vm_of(disks=deep(CHAIN_LIMIT)), DISK_ONLY, {"disks": deep(CHAIN_LIMIT - 1)}),
    Case(14, internal_vm(), DISK_ONLY, instead=IN, label="traps 1 2 3"),
    Case(14, external_vm(), IN, instead=EX, label="traps 1 2 3"),
    Case(15, vm_of(run_state=OFF, hardware__has_guest_agent=True), QUIESCED, instead=DISK_ONLY),
    Case(
        16,
        vm_of(hardware__has_guest_agent=True),
        replace(QUIESCED, memory=True),
        instead=QUIESCED,
    ),
    Case(17, vm_of(), QUIESCED, {"hardware__has_guest_agent": True}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_row_refuses_exactly_its_case(case: Case) -> None:
    check_case(RULES, case)


def test_every_row_has_a_case() -> None:
    check_coverage(RULES, CASES)


# Traps


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", [OFF, RunState.UNKNOWN])
def test_trap_4_a_managed_save_forbids_every_kind(
    version: tuple[int, int, int], state: RunState
) -> None:
    saved = vm_of(version=version, has_managed_save=True, run_state=state)
    for operation in (IN, EX, DISK_ONLY):
        assert refusal_of(saved, operation) is RefusalCode.MANAGED_SAVE


@pytest.mark.parametrize(
    ("version", "depth", "warned"),
    [
        ((10, 0, 0), LONG_CHAIN, False),
        ((10, 8, 0), LONG_CHAIN, True),
        ((11, 3, 0), LONG_CHAIN - 1, False),
        ((11, 3, 0), LONG_CHAIN, True),
        ((11, 10, 0), LONG_CHAIN, True),
        ((12, 0, 0), LONG_CHAIN, False),
    ],
)
def test_trap_11_a_long_chain_is_warned_of_where_the_vm_might_not_start(
    version: tuple[int, int, int], depth: int, warned: bool
) -> None:
    planned = plan_of(vm_of(version=version, disks=deep(depth)), DISK_ONLY)
    assert any(str(depth) in text for text in planned.warnings) is warned


@pytest.mark.parametrize(
    "title", ["a b", "ä/ß", "../../etc", "-rf", "x" * 300, "日本", "…", "\x00"]
)
def test_traps_29_and_31_the_name_is_plain_and_short_and_the_title_is_kept(title: str) -> None:
    planned = plan_of(vm_of(), replace(IN, title=title))
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", planned.new_name or "")
    assert isinstance(planned.operation, CreateSnapshot)
    assert planned.operation.title == title.replace("\x00", "")


def test_trap_31_a_taken_name_gets_a_number_within_the_limit() -> None:
    tree = SnapshotTree([internal("x" * 100, title="other"), internal("a-b", title="another")])
    vm = vm_of(make_vm(tree=tree))
    assert plan_of(vm, replace(IN, title="a b")).new_name == "a-b-2"
    assert plan_of(vm, replace(IN, title="x" * 150)).new_name == "x" * 98 + "-2"


def test_texts_lose_what_xml_cannot_hold() -> None:
    made = plan_of(vm_of(), replace(IN, title="a\x01\tb\r\n c", description="1\r\n2\r3\x00\ud8004"))
    assert isinstance(made.operation, CreateSnapshot)
    assert (made.operation.title, made.operation.description) == ("a b c", "1\n2\n34")


# Files


def test_overlays_lie_beside_the_active_image_and_never_on_another_file() -> None:
    taken = image("base.new")
    other = internal("x").disks[0]
    snapshot = replace(internal("old"), kind=EXTERNAL, disks=(replace(other, overlay=taken),))
    vm = vm_of(make_vm(tree=SnapshotTree([snapshot]), disks=PLAIN))
    step = plan_of(vm, DISK_ONLY).steps[0]
    assert step.files == ("/images/base.new-2.qcow2",)


def test_two_disks_with_one_stem_get_two_files() -> None:
    raw = DiskChain("vdb", (DiskLayer("/images/base.raw", "raw"),))
    planned = plan_of(vm_of(disks=(disk("base"), raw)), DISK_ONLY)
    files = [file for step in planned.steps for file in step.files]
    assert len(files) == len(set(files)) == 2


def test_only_disks_with_state_get_overlays_and_the_others_are_left_out_by_name() -> None:
    disks = (
        disk("base"),
        DiskChain("sda", (image("cd"),), "cdrom", is_readonly=True),
        DiskChain("sdb", (), "cdrom"),
        replace(disk("ro", target="vdb"), is_readonly=True),
    )
    actions = disk_actions(vm_of(disks=disks), DISK_ONLY, "new")
    assert {a.target: a.mode for a in actions} == {
        "vda": "external",
        "sda": "no",
        "sdb": "no",
        "vdb": "no",
    }
    assert disk_actions(vm_of(disks=disks), IN, "new") == ()
    planned = plan_of(vm_of(disks=disks), DISK_ONLY)
    assert any("vdb" in text for text in planned.warnings)


def test_the_memory_file_carries_the_time() -> None:
    planned = plan_of(vm_of(), EX)
    (step,) = (s for s in planned.steps if s.act is Act.SAVE_MEMORY)
    assert re.search(r"\.new\.\d{8}T\d{6}\.mem$", step.files[0])
    assert PurePosixPath(step.files[0]).parent == PurePosixPath("/images")


@pytest.mark.parametrize(
    ("vm", "operation", "acts"),
    [
        (vm_of(), IN, [Act.SAVE_MEMORY, Act.CREATE]),
        (vm_of(run_state=OFF), IN, [Act.CREATE]),
        (vm_of(run_state=OFF), EX, [Act.CREATE]),
        (vm_of(), EX, [Act.SAVE_MEMORY, Act.CREATE]),
        (vm_of(), DISK_ONLY, [Act.CREATE]),
        (vm_of(hardware__has_guest_agent=True), QUIESCED, [Act.FREEZE, Act.CREATE, Act.THAW]),
        (vm_of(capabilities=TEST_DRIVER, disks=()), IN, [Act.SAVE_MEMORY, Act.CREATE]),
    ],
)
def test_the_steps_come_in_order(vm: Vm, operation: CreateSnapshot, acts: list[Act]) -> None:
    planned = plan_of(vm, operation)
    assert [step.act for step in planned.steps] == acts
    assert planned.undo
    assert planned.lost == ()
    check_idempotent(vm, operation)


# What is offered


KINDS = st.sampled_from([INTERNAL, EXTERNAL])
VMS = st.builds(
    lambda version, state, disks, uefi, nvram, blockers, kinds, saved: vm_of(
        make_vm(
            tree=SnapshotTree(
                internal(f"s{n}", None if n == 0 else f"s{n - 1}", kind=kind)
                for n, kind in enumerate(kinds)
            )
        ),
        version=version,
        run_state=state,
        disks=disks,
        hardware__firmware="uefi" if uefi else "bios",
        hardware__nvram_format=nvram,
        hardware__blockers=blockers,
        has_managed_save=saved,
    ),
    st.sampled_from(VERSIONS),
    st.sampled_from(RunState),
    st.lists(st.sampled_from([*PLAIN, *RAW, *NETWORK, *BLOCK, *deep(200)]), max_size=2).map(tuple),
    st.booleans(),
    st.sampled_from(["raw", "qcow2", None]),
    st.sampled_from([(), ("a device",)]),
    st.lists(st.sampled_from(SnapshotKind), max_size=3),
    st.booleans(),
)


@given(VMS)
def test_what_is_offered_is_possible_when_anything_is(vm: Vm) -> None:
    possible = {
        kind
        for kind in (INTERNAL, EXTERNAL)
        for memory in (True, False)
        if isinstance(plan(vm, CreateSnapshot(vm.uuid, kind=kind, memory=memory)), Plan)
    }
    offered = default_snapshot(vm)
    assert offered.kind is recommended_kind(vm)
    assert offered.kind is not SnapshotKind.MIXED
    assert isinstance(plan(vm, offered), Plan) is bool(possible)
    assert not possible or offered.kind in possible


@given(VMS, st.sampled_from([IN, EX, DISK_ONLY, QUIESCED]), st.text(max_size=20))
def test_a_plan_is_complete_and_never_raises(vm: Vm, operation: CreateSnapshot, title: str) -> None:
    operation = replace(operation, title=title)
    planned = plan(vm, operation)
    if isinstance(planned, Plan):
        check_idempotent(vm, operation)
        assert planned.get_back is not None


@pytest.mark.parametrize(
    ("vm", "kind"),
    [
        (vm_of(version=(9, 0, 0)), INTERNAL),
        (vm_of(version=(11, 3, 0)), EXTERNAL),
        (vm_of(version=(9, 0, 0), disks=RAW), EXTERNAL),
        (vm_of(version=(11, 3, 0), disks=NETWORK), INTERNAL),
        (internal_vm(), INTERNAL),
        (external_vm(version=(9, 0, 0)), EXTERNAL),
    ],
)
def test_the_recommended_kind(vm: Vm, kind: SnapshotKind) -> None:
    assert recommended_kind(vm) is kind


def test_an_offered_snapshot_keeps_memory_where_there_is_some() -> None:
    assert default_snapshot(vm_of()).memory
    assert not default_snapshot(vm_of(run_state=OFF)).memory
    assert not default_snapshot(vm_of(hardware__blockers=("x",))).memory


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", [RunState.RUNNING, PAUSED, OFF])
def test_one_can_get_back_from_what_is_offered(
    version: tuple[int, int, int], state: RunState
) -> None:
    vm = vm_of(version=version, run_state=state)
    offered = plan_of(vm, default_snapshot(vm))
    assert offered.get_back is not None
    assert offered.get_back.is_certain
    assert offered.warnings == ()
