"""What forbids a new snapshot: each row of the table, by a case that triggers exactly it."""

from dataclasses import replace
from typing import Any

import pytest

from snapview.core.operations import CreateSnapshot
from snapview.core.planning import RefusalCode
from snapview.core.planning.create_rules import CHAIN_LIMIT, RULES
from snapview.core.storage import ImageFile, Storage
from snapview.core.under_way import BlockJob, Interruption
from snapview.core.vm import DiskChain, DiskLayer, RunState, Vm
from tests.core.planning.cases import (
    EXTERNAL,
    TEST_DRIVER,
    VERSIONS,
    Case,
    capabilities,
    check_case,
    check_coverage,
    disk,
    external_vm,
    internal_vm,
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


STOPPED = Interruption("x1", "the revert to “one”", START)


def deep(overlays: int) -> tuple[DiskChain, ...]:
    return (disk(*[f"n{number}" for number in range(overlays + 1)]),)


def without(*disks: DiskChain) -> Vm:
    return vm_of(make_vm(disks=disks))


def stored(*names: str, backing: str | None = None, free_bytes: int = 100 << 30) -> Storage:
    """A folder in which these images lie, the last one on ``backing``."""
    paths = [f"/images/{name}.qcow2" for name in names]
    below: list[str | None] = [*paths[1:], backing]
    images = {path: ImageFile(path, "qcow2", base) for path, base in zip(paths, below, strict=True)}
    return Storage(images, {"/images": free_bytes})


CASES = [
    Case(0, vm_of(problem="It is broken."), IN, {"problem": None}),
    Case(1, internal_vm(), replace(IN, title="one"), instead=IN, label="name"),
    Case(1, internal_vm(), replace(IN, title=" two\n"), instead=replace(IN, title="Two")),
    Case(2, without(DiskChain("sda", (), "cdrom")), IN, {"disks": PLAIN}),
    Case(2, without(replace(disk("x"), is_readonly=True)), DISK_ONLY, {"disks": PLAIN}),
    Case(3, vm_of(interruption=STOPPED), IN, {"interruption": None}),
    Case(4, vm_of(block_jobs=(BlockJob("vda"),)), IN, {"block_jobs": ()}),
    Case(5, vm_of(has_backup_job=True), EX, {"has_backup_job": False}),
    Case(
        6,
        vm_of(has_managed_save=True, run_state=OFF),
        IN,
        {"run_state": RunState.RUNNING},
        label="trap 4",
    ),
    Case(7, vm_of(), replace(IN, memory=False), instead=IN),
    Case(7, vm_of(run_state=PAUSED), replace(IN, memory=False), {"run_state": OFF}),
    Case(8, without(*RAW), IN, instead=EX),
    Case(8, without(disk("base"), *RAW), IN, {"disks": PLAIN}, label="second disk"),
    Case(9, vm_of(without(*NETWORK), run_state=OFF), IN, {"run_state": RunState.RUNNING}),
    Case(10, without(*NETWORK), DISK_ONLY, instead=IN, label="trap 15"),
    Case(10, without(*BLOCK), DISK_ONLY, {"disks": PLAIN}),
    Case(11, vm_of(**UEFI), IN, instead=EX, label="nvram raw"),
    Case(11, vm_of(**UEFI), IN, {"hardware__nvram_format": "qcow2"}, label="trap 17"),
    Case(11, vm_of(version=(10, 9, 0), **UEFI), IN, {"run_state": OFF}, label="too old"),
    Case(12, vm_of(version=(9, 0, 0), run_state=OFF, **UEFI), IN, instead=EX),
    Case(
        12,
        vm_of(version=(9, 2, 0), run_state=OFF, **UEFI),
        IN,
        {"capabilities": capabilities((9, 3, 0))},
        label="trap 16",
    ),
    Case(13, vm_of(hardware__blockers=("a device",)), EX, instead=DISK_ONLY),
    Case(13, vm_of(hardware__blockers=("a device",)), IN, {"run_state": OFF}),
    Case(14, vm_of(capabilities=TEST_DRIVER), EX, instead=IN),
    Case(15, vm_of(disks=deep(CHAIN_LIMIT)), DISK_ONLY, {"disks": deep(CHAIN_LIMIT - 1)}),
    Case(16, internal_vm(), DISK_ONLY, instead=IN, label="traps 1 2 3"),
    Case(16, external_vm(), IN, instead=EX, label="traps 1 2 3"),
    Case(16, internal_vm(), EX, instead=replace(EX, mix=True), label="told"),
    Case(16, external_vm(), IN, instead=replace(IN, mix=True), label="told"),
    Case(17, vm_of(run_state=OFF, hardware__has_guest_agent=True), QUIESCED, instead=DISK_ONLY),
    Case(
        17,
        vm_of(run_state=PAUSED, hardware__has_guest_agent=True),
        QUIESCED,
        {"run_state": RunState.RUNNING},
        label="its agent does not answer",
    ),
    Case(
        18,
        vm_of(hardware__has_guest_agent=True),
        replace(QUIESCED, memory=True),
        instead=QUIESCED,
    ),
    Case(19, vm_of(), QUIESCED, {"hardware__has_guest_agent": True}),
    Case(20, vm_of(run_state=OFF, checkpoints=("c1", "c2")), EX, instead=IN),
    Case(20, vm_of(run_state=OFF, checkpoints=("c1",)), EX, {"run_state": RunState.RUNNING}),
    Case(
        20,
        vm_of(run_state=OFF, checkpoints=("c1",)),
        EX,
        {"capabilities": capabilities((10, 0, 0))},
        label="forgotten there",
    ),
    Case(
        21,
        vm_of(disks=PLAIN, storage=stored("base", backing="/images/gone.qcow2")),
        EX,
        {"storage": stored("base")},
    ),
    Case(
        21,
        vm_of(disks=PLAIN, storage=stored("base", backing="json:{}")),
        IN,
        {"storage": stored("base", backing="/elsewhere/x.qcow2")},
        label="hostile name",
    ),
    Case(
        22,
        vm_of(disks=PLAIN, storage=stored("base", free_bytes=100 << 10)),
        DISK_ONLY,
        {"storage": stored("base", free_bytes=200 << 10)},
    ),
    Case(
        22,
        vm_of(disks=PLAIN, storage=stored("base", free_bytes=1 << 20)),
        IN,
        {"run_state": OFF},
        label="memory",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_row_refuses_exactly_its_case(case: Case) -> None:
    check_case(RULES, case)


def test_every_row_has_a_case() -> None:
    check_coverage(RULES, CASES)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", [OFF, RunState.UNKNOWN])
def test_trap_4_a_managed_save_forbids_every_kind(
    version: tuple[int, int, int], state: RunState
) -> None:
    saved = vm_of(version=version, has_managed_save=True, run_state=state)
    for operation in (IN, EX, DISK_ONLY):
        assert refusal_of(saved, operation) is RefusalCode.MANAGED_SAVE
