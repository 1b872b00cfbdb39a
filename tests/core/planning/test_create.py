"""Taking a snapshot: names, files, steps, warnings, and what is offered."""

import re
from dataclasses import replace
from datetime import date
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.marks import Consistency, Marks, marks_of, words_of
from snapview.core.moves import TakeSnapshot
from snapview.core.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    RevertSnapshot,
    split_description,
)
from snapview.core.planning import (
    Act,
    Plan,
    RefusalCode,
    default_snapshot,
    plan,
    recommended_kind,
)
from snapview.core.planning.create import LONG_CHAIN, disk_actions
from snapview.core.planning.taken import after_taking
from snapview.core.storage import ImageFile, Storage
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
from tests.trees import START, make_vm, vm_uuid

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


# Traps


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


# The move


def take_of(vm: Vm, operation: CreateSnapshot) -> TakeSnapshot:
    (take,) = plan_of(vm, operation).moves
    assert isinstance(take, TakeSnapshot)
    return take


@pytest.mark.parametrize(
    ("vm", "operation", "noted"),
    [
        (vm_of(), IN, Consistency.WITH_MEMORY),
        (vm_of(), EX, Consistency.WITH_MEMORY),
        (vm_of(), DISK_ONLY, Consistency.CRASH),
        (vm_of(hardware__has_guest_agent=True), QUIESCED, Consistency.FROZEN),
        (vm_of(run_state=OFF), IN, Consistency.OFF),
        (vm_of(run_state=OFF), EX, Consistency.OFF),
    ],
)
def test_the_description_notes_what_the_state_is_worth(
    vm: Vm, operation: CreateSnapshot, noted: Consistency
) -> None:
    asked = replace(operation, title="A title", description="words")
    take = take_of(vm, asked)
    title, description = split_description(take.name, take.description)
    assert title == "A title"
    assert (words_of(description), marks_of(description)) == ("words", Marks(noted))
    kept = take_of(replace(vm, read_at=START), replace(asked, keep_days=30))
    assert marks_of(kept.description) == Marks(noted, date(2026, 1, 31))


def test_the_move_is_the_whole_snapshot() -> None:
    vm = vm_of(disks=(disk("base"), DiskChain("sda", (), "cdrom")), hardware__has_guest_agent=True)
    for operation, memory, disks in ((IN, False, 0), (EX, True, 2), (QUIESCED, False, 2)):
        take = take_of(vm, operation)
        assert (take.name, take.kind) == ("new", operation.kind)
        assert (take.memory_path is not None) is memory
        assert len(take.disks) == disks
        assert take.quiesce is operation.quiesce
    (step,) = (s for s in plan_of(vm, EX).steps if s.act is Act.SAVE_MEMORY)
    assert step.files == (take_of(vm, EX).memory_path,)


# What it costs


def stored(size_bytes: int | None = None, **changes: Any) -> Storage:
    path = "/images/base.qcow2"
    images = {path: ImageFile(path, "qcow2", capacity_bytes=size_bytes)}
    return replace(Storage(images, {"/images": 100 << 30}), **changes)


@pytest.mark.parametrize("operation", [IN, EX])
def test_the_memory_needs_room_and_time(operation: CreateSnapshot) -> None:
    vm = vm_of(disks=PLAIN, storage=stored(copy_bytes_per_second=float(1 << 30)))
    planned = plan_of(vm, operation)
    assert planned.extra_bytes_needed == 2 << 30
    assert planned.estimated_seconds == 2.0
    assert planned.warnings == ()
    tight = plan_of(replace(vm, storage=stored(free_bytes={"/images": 2 << 30})), operation)
    assert any("2.0 GiB" in text for text in tight.warnings)
    assert tight.estimated_seconds is None


def test_a_disk_alone_needs_next_to_nothing_at_once_and_grows_later() -> None:
    planned = plan_of(vm_of(disks=PLAIN, storage=stored(20 << 30)), DISK_ONLY)
    assert planned.extra_bytes_needed is None
    assert planned.steps[0].what.endswith("can grow up to 20.0 GiB.")
    assert "grow" not in plan_of(vm_of(disks=PLAIN), DISK_ONLY).steps[0].what


def test_another_vm_that_writes_to_the_image_is_warned_of() -> None:
    storage = stored(users={"/images/base.qcow2": ("other", "third")})
    warnings = plan_of(vm_of(disks=PLAIN, storage=storage), DISK_ONLY).warnings
    assert any("vda is used by “other”, “third” as well" in text for text in warnings)


@pytest.mark.parametrize("version", [(8, 0, 0), (9, 0, 0), (10, 0, 0)])
def test_checkpoints_that_an_overlay_would_lose_are_warned_of(
    version: tuple[int, int, int],
) -> None:
    vm = vm_of(version=version, checkpoints=("c1",), run_state=OFF)
    assert any("full" in text for text in plan_of(vm, EX).warnings)
    for kept, operation in ((vm, IN), (vm_of(version=version, checkpoints=("c1",)), EX)):
        assert not any("full" in text for text in plan_of(kept, operation).warnings)


@pytest.mark.parametrize(
    ("state", "operation", "warned"),
    [
        (PAUSED, EX, True),
        (PAUSED, DISK_ONLY, False),
        (PAUSED, IN, False),
        (RunState.RUNNING, EX, False),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_trap_14_images_that_stay_read_only_until_the_vm_runs_again(
    version: tuple[int, int, int], state: RunState, operation: CreateSnapshot, warned: bool
) -> None:
    planned = plan_of(vm_of(version=version, run_state=state), operation)
    assert any("has run again" in text for text in planned.warnings) is warned


@pytest.mark.parametrize(
    ("nvram", "version", "operation", "warned"),
    [
        ("raw", (11, 3, 0), IN, True),
        ("qcow2", (11, 3, 0), IN, False),
        ("qcow2", (10, 0, 0), IN, True),
        ("qcow2", (11, 3, 0), EX, True),
    ],
)
def test_variables_of_the_firmware_that_are_not_kept(
    nvram: str, version: tuple[int, int, int], operation: CreateSnapshot, warned: bool
) -> None:
    uefi: dict[str, Any] = {"hardware__firmware": "uefi", "hardware__nvram_format": nvram}
    vm = vm_of(version=version, run_state=OFF, **uefi)
    assert any("NVRAM" in text for text in plan_of(vm, operation).warnings) is warned


def test_what_a_tpm_holds_is_kept_only_with_the_memory() -> None:
    vm = vm_of(hardware__has_tpm=True)
    for operation, warned in ((IN, False), (EX, False), (DISK_ONLY, True)):
        assert any("TPM" in text for text in plan_of(vm, operation).warnings) is warned


# Mixing the kinds

MIX_IN, MIX_EX = replace(IN, mix=True), replace(EX, mix=True)


@pytest.mark.parametrize(
    ("version", "trap_1"),
    [
        ((9, 0, 0), False),
        ((9, 9, 0), True),
        ((10, 0, 0), True),
        ((10, 10, 0), True),
        ((11, 0, 0), False),
    ],
)
def test_an_external_one_above_says_which_internal_ones_it_locks_away(
    version: tuple[int, int, int], trap_1: bool
) -> None:
    (warning,) = plan_of(internal_vm(version=version), MIX_EX).warnings
    assert "“one”, “two”" in warning
    assert ("base image" in warning) is trap_1
    many = SnapshotTree([internal(f"s{number}") for number in range(9)], "s8")
    (warning,) = plan_of(vm_of(make_vm(tree=many, disks=PLAIN)), MIX_EX).warnings
    assert "and 4 more" in warning


def test_what_mixing_says_is_what_happens() -> None:
    """The internal ones are refused as long as the external one is there, and not before."""
    vm = internal_vm()
    back = RevertSnapshot(UUID, "one")
    assert refusal_of(vm, back) is None
    after = after_taking(vm, take_of(vm, MIX_EX), memory=True)
    assert refusal_of(after, back) is RefusalCode.MIXED
    assert refusal_of(after, replace(back, snapshot="new")) is None


def test_an_internal_one_above_says_what_it_keeps_from_being_merged() -> None:
    vm = external_vm()
    (warning,) = plan_of(vm, MIX_IN).warnings
    assert "“two”" in warning
    after = after_taking(vm, take_of(vm, MIX_IN), memory=True)
    assert refusal_of(vm, DeleteSnapshot(UUID, ("two",))) is None
    assert refusal_of(after, DeleteSnapshot(UUID, ("two",))) is RefusalCode.MIXED


def test_leave_to_mix_costs_nothing_where_there_is_nothing_to_mix() -> None:
    for vm, operation in ((internal_vm(), MIX_IN), (external_vm(), MIX_EX), (vm_of(), MIX_EX)):
        assert plan_of(vm, operation).warnings == ()


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
    assert not [text for text in offered.warnings if "before the VM has run again" not in text]
