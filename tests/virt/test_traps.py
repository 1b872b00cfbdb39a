"""libvirt's known traps, each walked into: snapview refuses, goes another way, or warns.

The numbers are those of the project's list of traps (31 of them); ``N`` numbers were found while
this was built, and are described where they are tested. Where a trap can be sprung on the two
generations at hand, it is sprung there for real, by virsh, and the daemon and every state have to
live on. The others are planned for with the version that has them. What cannot be provoked at
all is listed with the reason, and a test sees that no number is missing.
"""

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from snapview.core.errors import HostError, NotFound
from snapview.core.moves import (
    CommitImages,
    MakeOverlay,
    RemoveFile,
    RevertByLibvirt,
)
from snapview.core.operations import (
    Afterwards,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    EditDescription,
    Failed,
    MergeBy,
    Operation,
    Progress,
    RevertSnapshot,
)
from snapview.core.planning import Plan, Refusal, RefusalCode, plan
from snapview.core.vm import RunState, SnapshotKind, SnapshotState, Vm
from snapview.virt.host import LibvirtHost
from tests.core.planning.cases import external_vm, internal_vm, vm_of
from tests.lab import Lab
from tests.virt.machine import Machine, read
from tests.waiting import eventually

EXTERNAL, INTERNAL = SnapshotKind.EXTERNAL, SnapshotKind.INTERNAL

NOT_PROVOKED = {
    "21": (
        "A frozen guest that hangs or crashes needs a Linux guest with the agent, which the "
        "guest of 512 bytes is not; that the freeze is ended after ten seconds, after a failure "
        "and after a crash is tested with a libvirt in memory (test_moves, test_course)."
    ),
    "23": (
        "The labs run without AppArmor, so parallel merges lose no access there; that disks are "
        "merged one after the other is seen in test_trap_23_disks_are_merged_one_by_one."
    ),
    "24": "Only QEMU 8.1's release candidates write memory so slowly; the labs have 7.2 and 10.0.",
    "27": (
        "The labs hide /dev/kvm from libvirt, as else every define would take a minute there; "
        "snapview defines a VM once in a revert of its own, and never in a read."
    ),
}


@pytest.fixture
def machine(lab: Lab) -> Iterator[Machine]:
    made = Machine(lab)
    yield made
    made.close()


@pytest.fixture
def machine11(lab11: Lab) -> Iterator[Machine]:
    made = Machine(lab11)
    yield made
    made.close()


def take(
    machine: Machine, name: str, kind: SnapshotKind = EXTERNAL, *, memory: bool | None = None
) -> None:
    """Write something and take a snapshot."""
    number = len(machine.states) + 40
    machine.write("vda", number, number)
    with_memory = machine.power != "off" and kind is INTERNAL if memory is None else memory
    operation = CreateSnapshot(machine.vm.uuid, name, "", kind, with_memory, mix=True)
    assert machine.vm.done(operation).created == name
    machine.took(name, kind)


def delete(machine: Machine, *names: str, by: MergeBy = MergeBy.COMMIT) -> None:
    machine.vm.done(DeleteSnapshot(machine.vm.uuid, names, merge_by=by))
    for name in names:
        machine.lost(name)


def revert(machine: Machine, name: str, *, safety: bool = False) -> None:
    snapshot = machine.vm.vm().tree[name]
    had_memory = snapshot.state.value if snapshot.has_memory else None
    done = machine.vm.done(RevertSnapshot(machine.vm.uuid, name, safety))
    if done.created is not None:
        machine.took(done.created, machine.states[name].kind)
    machine.reverted(name, Afterwards.AS_IT_WAS, had_memory=had_memory)


def refused(machine: Machine, operation: Operation) -> Refusal:
    """See that it is refused, in the plan and in the act, and that nothing is touched."""
    planned, outcome = machine.attempt(operation)
    assert isinstance(planned, Refusal), planned
    assert isinstance(outcome, Failed), outcome
    assert outcome.error.message == planned.reason
    assert planned.reason.endswith(".")
    machine.check()
    return planned


def daemon_of(machine: Machine) -> int:
    pid = machine.lab.daemon.pid
    assert pid is not None
    return pid


def virsh(machine: Machine, command: str, *arguments: str) -> str:
    return machine.lab.virsh(command, machine.vm.name, *arguments)


def moves_of(vm: Vm, operation: Operation) -> set[type]:
    planned = plan(vm, operation)
    assert isinstance(planned, Plan), planned
    return {type(move) for move in planned.moves}


def refusal_code(vm: Vm, operation: Operation) -> RefusalCode | None:
    planned = plan(vm, operation)
    return planned.code if isinstance(planned, Refusal) else None


# Accounting


def test_every_trap_is_accounted_for() -> None:
    tests = (name for name in globals() if name.startswith("test_trap"))
    sprung = {number for name in tests for number in re.findall(r"(?<=_)n?\d+(?=_)", name)}
    numbers = {str(number) for number in range(1, 32)} | {f"n{number}" for number in range(1, 9)}
    assert sprung | set(NOT_PROVOKED) == numbers
    assert all(reason.endswith(".") for reason in NOT_PROVOKED.values())


# 1 to 3: both kinds in one tree


def test_trap_1_deleting_above_an_internal_one_keeps_the_base(machine: Machine) -> None:
    """libvirt 9.9 to 10.10 unlink the base; 9.0 and 11.3 refuse. snapview merges on its own."""
    take(machine, "inner", INTERNAL)
    take(machine, "outer")
    for version in ((9, 9, 0), (10, 0, 0), (10, 10, 0), (11, 0, 0)):
        capabilities = replace(
            machine.vm.vm().capabilities, libvirt_version=version, reverts_external=True
        )
        vm = replace(machine.vm.vm(), capabilities=capabilities)
        assert CommitImages in moves_of(vm, DeleteSnapshot(vm.uuid, ("outer",)))
    delete(machine, "outer")
    machine.check()
    revert(machine, "inner")
    machine.check()


def test_trap_2_there_is_no_way_to_below_an_overlay(machine: Machine) -> None:
    """libvirt does it, and what lies on the image is silently wrong from then on."""
    take(machine, "inner", INTERNAL)
    take(machine, "outer")
    refusal = refused(machine, RevertSnapshot(machine.vm.uuid, "inner", safety_snapshot=False))
    assert refusal.code is RefusalCode.MIXED
    delete(machine, "outer")
    revert(machine, "inner")
    machine.check()


@pytest.mark.parametrize("has_record", [True, False])
def test_trap_3_no_layer_with_states_inside_is_merged_away(
    machine: Machine, has_record: bool
) -> None:
    """QEMU drops them without a word; also those that libvirt has no record of."""
    take(machine, "outer")
    take(machine, "inner", INTERNAL)
    overlay = str(machine.lab.active_disk(machine.vm.name))
    if not has_record:
        virsh(machine, "snapshot-delete", "inner", "--metadata")
        machine.lost("inner")
    for operation in (
        DeleteSnapshot(machine.vm.uuid, ("outer",)),
        Consolidate(machine.vm.uuid),
    ):
        _, outcome = machine.attempt(operation)
        assert isinstance(outcome, Failed), outcome
        assert "inside" in outcome.error.message, outcome
        machine.check()
    assert read(overlay, "inner")


def test_trap_3_no_file_with_states_inside_is_removed(machine: Machine) -> None:
    take(machine, "one")
    take(machine, "inner", INTERNAL)
    image = machine.lab.active_disk(machine.vm.name)
    take(machine, "two")
    virsh(machine, "snapshot-delete", "inner", "--metadata")
    machine.lost("inner")
    revert(machine, "one", safety=False)
    outcome = machine.vm.do(DeleteSnapshot(machine.vm.uuid, ("two",)))
    assert isinstance(outcome, Failed), outcome
    assert "inside" in outcome.error.message
    assert read(image, "inner")


# 4 to 8


def test_trap_4_what_a_saved_state_would_spoil_is_refused(machine: Machine) -> None:
    take(machine, "one")
    virsh(machine, "managedsave")
    machine.power = "off"
    uuid = machine.vm.uuid
    operations: list[Operation] = [
        CreateSnapshot(uuid, "two", "", EXTERNAL, memory=False),
        RevertSnapshot(uuid, "one"),
        DeleteSnapshot(uuid, ("one",)),
        Consolidate(uuid),
    ]
    for operation in operations:
        assert refused(machine, operation).code is RefusalCode.MANAGED_SAVE


def test_trap_5_where_the_base_must_not_be_written_to_the_merge_goes_upwards(
    machine: Machine,
) -> None:
    """AppArmor's doing on Debian and Ubuntu; a file that is read-only does the same here."""
    take(machine, "one")
    machine.write("vda", 90, 9)
    base = machine.lab.vm_folder(machine.vm.name) / "vda.qcow2"
    base.chmod(0o400)
    outcome = machine.vm.do(DeleteSnapshot(machine.vm.uuid, ("one",)))
    assert isinstance(outcome, Failed), outcome
    assert "may not write" in outcome.error.message + outcome.error.advice
    machine.check()
    delete(machine, "one", by=MergeBy.PULL)
    machine.switch("paused")  # or QEMU has the newest of its tables in memory only
    machine.check()
    assert not base.exists()


def test_trap_6_a_new_description_keeps_what_libvirt_will_unlink(machine11: Machine) -> None:
    """With CURRENT libvirt forgets which overlays its revert made, and unlinks others' images."""
    machine = machine11
    machine.switch("off")
    for name in ("one", "two"):
        take(machine, name)
    revert(machine, "one", safety=False)
    made = re.findall("<revertDisks>.*</revertDisks>", virsh_xml(machine, "one"), re.DOTALL)
    assert made, "libvirt does not note what its revert made"
    machine.vm.done(EditDescription(machine.vm.uuid, "one", "one", "in other words"))
    assert made[0] in virsh_xml(machine, "one")
    machine.check()
    revert(machine, "two", safety=False)
    machine.check()


def virsh_xml(machine: Machine, name: str) -> str:
    return virsh(machine, "snapshot-dumpxml", name)


@pytest.mark.parametrize("safety", [True, False])
def test_trap_7_and_n4_without_a_current_one_the_daemon_lives(
    machine: Machine, safety: bool
) -> None:
    """libvirt's own external revert then ends the daemon (seen on 11.3), the VM stopped."""
    for name in ("one", "two"):
        take(machine, name)
    texts = [virsh_xml(machine, name) for name in ("one", "two")]
    for name in ("two", "one"):
        virsh(machine, "snapshot-delete", name, "--metadata")
    for text in texts:
        define_snapshot(machine, text)
    machine.current = None
    assert machine.vm.other.current() is None
    pid = daemon_of(machine)
    revert(machine, "one", safety=safety)
    assert daemon_of(machine) == pid
    machine.check()


def define_snapshot(machine: Machine, text: str) -> None:
    """Write a record as another program would."""
    path = machine.lab.folder / "record.xml"
    path.write_text(text, encoding="utf-8")
    virsh(machine, "snapshot-create", str(path), "--redefine")
    path.unlink()


@pytest.mark.parametrize("power", ["running", "off"])
def test_trap_8_of_a_disk_that_is_gone_no_state_is_deleted(lab: Lab, power: str) -> None:
    """libvirt 9.0 and 10.0 crash when the VM runs."""
    machine = Machine(lab, disks=2)
    take(machine, "one", INTERNAL)
    machine.switch("off")
    virsh(machine, "detach-disk", "vdb", "--config")
    machine.switch(power)
    pid = daemon_of(machine)
    machine.disks = 1
    delete_it = DeleteSnapshot(machine.vm.uuid, ("one",))
    for operation in (delete_it, RevertSnapshot(machine.vm.uuid, "one")):
        planned, outcome = machine.attempt(operation)
        assert isinstance(planned, Refusal)
        assert planned.code is RefusalCode.DISK_GONE
        assert isinstance(outcome, Failed)
    assert daemon_of(machine) == pid
    assert machine.vm.tree() == {"one": None}
    machine.close()


# 9 to 18


def test_trap_9_where_internal_reverts_fail_they_are_refused() -> None:
    back = RevertSnapshot(internal_vm().uuid, "one")
    assert refusal_code(internal_vm(version=(11, 2, 0)), back) is RefusalCode.HOST_TOO_OLD
    taking = plan(vm_of(version=(11, 2, 0)), CreateSnapshot(vm_of().uuid, "x"))
    assert isinstance(taking, Plan)
    assert taking.get_back is not None
    assert not taking.get_back.revert, "the user is told before there is a snapshot"


def test_trap_9_debians_11_3_has_the_fault_mended(machine11: Machine) -> None:
    take(machine11, "one", INTERNAL)
    revert(machine11, "one")
    machine11.check()


def test_trap_10_where_reverts_crash_snapview_does_it_itself() -> None:
    vm = external_vm(version=(9, 9, 0))
    moves = moves_of(vm, RevertSnapshot(vm.uuid, "one"))
    assert RevertByLibvirt not in moves
    assert MakeOverlay in moves
    newer = external_vm(version=(10, 10, 0))
    assert RevertByLibvirt in moves_of(newer, RevertSnapshot(newer.uuid, "one"))


def test_trap_11_a_chain_that_the_vm_would_not_start_with_is_warned_of(
    machine11: Machine,
) -> None:
    """Debian 13's libvirt fails at about 25; nothing may be lost when it does."""
    machine, names = machine11, [f"s{number}" for number in range(30)]
    machine.switch("off")
    take_by_virsh = f"snapshot-create-as {machine.vm.name} {{}} --disk-only --atomic"
    machine.lab.virsh("; ".join(map(take_by_virsh.format, names[:19])))
    uuid = machine.vm.uuid
    asked = CreateSnapshot(uuid, "x", "", EXTERNAL, memory=False)
    assert not any("may not start" in text for text in warnings(machine, asked))
    machine.lab.virsh("; ".join(map(take_by_virsh.format, names[19:])))
    for name in names:
        machine.took(name, EXTERNAL)
    assert any("may not start" in text for text in warnings(machine, asked))
    assert "nesting too deep" in machine.lab.virsh("start", machine.vm.name, check=False)
    outcome = machine.vm.do(DeleteSnapshot(uuid, ("s3",)))
    if isinstance(outcome, Done):
        machine.lost("s3")
    else:
        assert isinstance(outcome, Failed)
        assert outcome.error.message.endswith(".")
    machine.check()


def warnings(machine: Machine, operation: Operation) -> tuple[str, ...]:
    planned = plan(with_storage(machine), operation)
    assert isinstance(planned, Plan), planned
    return planned.warnings


def with_storage(machine: Machine) -> Vm:
    return machine.vm.vm().with_storage(machine.vm.host.read_storage(machine.vm.uuid))


def test_trap_12_where_disk_only_reverts_are_refused_snapview_does_it_itself() -> None:
    vm = external_vm(version=(10, 0, 0))
    one = replace(vm.tree["one"], state=SnapshotState.DISK_ONLY)
    vm = replace(vm, tree=type(vm.tree)([one, vm.tree["two"]], "two"))
    moves = moves_of(vm, RevertSnapshot(vm.uuid, "one"))
    assert RevertByLibvirt not in moves
    assert MakeOverlay in moves


@pytest.mark.parametrize("was_open", [True, False])
def test_trap_13_an_overlay_that_everybody_may_read_is_told_of(
    machine: Machine, was_open: bool
) -> None:
    """CVE-2025-13193: libvirt 9.0 makes it so while the VM is off; Debian's 11.3 is mended."""
    machine.switch("off")
    machine.lab.active_disk(machine.vm.name).chmod(0o644 if was_open else 0o600)
    operation = CreateSnapshot(machine.vm.uuid, "one", "", EXTERNAL, memory=False)
    done = machine.vm.done(operation)
    machine.took("one", EXTERNAL)
    is_old = machine.vm.vm().capabilities.libvirt_version < (11, 0, 0)
    overlay = machine.lab.active_disk(machine.vm.name)
    assert is_open_to_all(overlay) == is_old
    told = [text for text in done.remarks if str(overlay) in text and "can read" in text]
    assert bool(told) == (is_old and not was_open)
    revert(machine, "one", safety=False)
    if not machine.vm.vm().capabilities.reverts_external:  # an overlay of our own
        assert not is_open_to_all(machine.lab.active_disk(machine.vm.name))
    machine.check()


def is_open_to_all(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IROTH)


@pytest.mark.parametrize("memory", [True, False])
def test_trap_14_what_was_taken_of_a_paused_vm_is_merged_or_it_says_what_to_do(
    machine: Machine, memory: bool
) -> None:
    """QEMU lets go of the images when the memory of a paused VM is saved: "read-only", it says."""
    machine.switch("paused")
    operation = CreateSnapshot(machine.vm.uuid, "one", "", EXTERNAL, memory)
    assert any("has run again" in text for text in warnings(machine, operation)) is memory
    take(machine, "one", memory=memory)
    if memory:
        outcome = machine.vm.do(DeleteSnapshot(machine.vm.uuid, ("one",)))
        assert isinstance(outcome, Failed), outcome
        assert "let go of the images" in outcome.error.message
        assert "Let the VM run" in outcome.error.advice
        machine.check()
        again = machine.vm.do(CreateSnapshot(machine.vm.uuid, "two", "", EXTERNAL, memory=True))
        assert isinstance(again, Failed), again
        assert "Let the VM run" in again.error.advice
        machine.check()
        for power in ("running", "paused"):
            machine.switch(power)
    machine.write("vda", 91, 1)
    delete(machine, "one")
    machine.check()


def test_trap_15_disks_that_are_volumes_get_no_overlay(lab: Lab) -> None:
    machine = Machine(lab)
    folder, name = lab.vm_folder(machine.vm.name), machine.vm.name
    machine.switch("off")
    lab.virsh("pool-create-as", name, "dir", "--target", str(folder))
    try:
        text = virsh(machine, "dumpxml", "--inactive")
        disk_xml = f"<source pool='{name}' volume='vda.qcow2'/>"
        text = re.sub(r"<source file='[^']*vda.qcow2'/>", disk_xml, text)
        text = re.sub(r"type='file' device='disk'", "type='volume' device='disk'", text)
        path = lab.folder / "volume.xml"
        path.write_text(text, encoding="utf-8")
        lab.virsh("define", str(path))
        asked = CreateSnapshot(machine.vm.uuid, "x", "", EXTERNAL, memory=False)
        planned, outcome = machine.attempt(asked)
        assert isinstance(planned, Refusal)
        assert planned.code is RefusalCode.DISK_FORMAT
        assert isinstance(outcome, Failed)
        assert machine.vm.tree() == {}
        lab.virsh("start", name)
        machine.vm.take("inside", kind=INTERNAL)
        machine.vm.done(DeleteSnapshot(machine.vm.uuid, ("inside",)))
        machine.vm.take("inside", kind=INTERNAL)
        machine.vm.done(RevertSnapshot(machine.vm.uuid, "inside", safety_snapshot=False))
    finally:
        machine.close()
        lab.virsh("pool-destroy", name, check=False)


@pytest.mark.parametrize(
    ("version", "code"),
    [((9, 0, 0), RefusalCode.FIRMWARE), ((9, 2, 0), RefusalCode.FIRMWARE), ((9, 3, 0), None)],
)
def test_trap_16_uefi_and_internal_while_off(
    version: tuple[int, int, int], code: RefusalCode | None
) -> None:
    vm = vm_of(version=version, run_state=RunState.SHUTOFF, hardware__firmware="uefi")
    assert refusal_code(vm, CreateSnapshot(vm.uuid, "x")) is code


@pytest.mark.parametrize(
    ("version", "nvram", "code"),
    [
        ((10, 0, 0), "qcow2", RefusalCode.FIRMWARE),
        ((11, 3, 0), "raw", RefusalCode.FIRMWARE),
        ((11, 3, 0), "qcow2", None),
    ],
)
def test_trap_17_uefi_and_internal_while_on(
    version: tuple[int, int, int], nvram: str, code: RefusalCode | None
) -> None:
    vm = vm_of(version=version, hardware__firmware="uefi", hardware__nvram_format=nvram)
    assert refusal_code(vm, CreateSnapshot(vm.uuid, "x")) is code


def test_trap_18_a_state_that_stays_inside_the_image_is_not_forgotten(machine: Machine) -> None:
    """While the VM is off, libvirt drops the record whatever QEMU says."""
    machine.switch("off")
    take(machine, "one", INTERNAL)
    image = machine.lab.active_disk(machine.vm.name)
    image.chmod(0o400)
    outcome = machine.vm.do(DeleteSnapshot(machine.vm.uuid, ("one",)))
    assert isinstance(outcome, Failed), outcome
    assert outcome.error.message.endswith(".")
    machine.check()
    image.chmod(0o600)
    delete(machine, "one")
    machine.check()


# 19 to 25


def test_trap_19_the_memory_file_goes_with_its_snapshot(machine: Machine) -> None:
    """libvirt 9.0 leaves it behind."""
    take(machine, "one", memory=True)
    (memory,) = machine.lab.vm_folder(machine.vm.name).glob("*.mem")
    delete(machine, "one")
    assert not memory.exists()
    machine.check()


@pytest.mark.parametrize("power", ["paused", "off"])
def test_trap_20_below_branches_made_by_hand_no_image_is_removed(
    machine: Machine, power: str
) -> None:
    """libvirt 9.0 removes the overlay that the branches share."""
    machine.switch("off")
    take(machine, "one")
    take(machine, "two")
    folder = machine.lab.vm_folder(machine.vm.name)
    branch = folder / "branch.qcow2"
    make = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2"]
    command = machine.lab.daemon.as_account([*make, "-b", f"{folder}/vda.one.qcow2", str(branch)])
    subprocess.run(command, check=True)
    text = virsh(machine, "dumpxml", "--inactive")
    path = machine.lab.folder / "branch.xml"
    path.write_text(text.replace(f"{folder}/vda.two.qcow2", str(branch)), encoding="utf-8")
    machine.lab.virsh("define", str(path))
    (folder / "vda.two.qcow2").unlink()  # nobody's
    machine.live = {target: dict(held) for target, held in machine.states["two"].content.items()}
    machine.write("vda", 77, 7)
    machine.switch(power)
    delete(machine, "one")
    machine.check()


def test_trap_22_what_backups_lose_is_said_first(machine: Machine) -> None:
    """Merges by the VM's own QEMU carry the bitmaps over; elsewhere they are lost."""
    take(machine, "one")
    take(machine, "two")
    virsh(machine, "checkpoint-create-as", "weekly")
    assert machine.vm.vm().checkpoints == ("weekly",)
    uuid = machine.vm.uuid
    delete(machine, "two")
    checkpoint = virsh(machine, "checkpoint-dumpxml", "weekly")
    path = machine.lab.folder / "checkpoint.xml"
    path.write_text(checkpoint, encoding="utf-8")
    virsh(machine, "checkpoint-create", str(path), "--redefine", "--redefine-validate")
    assert speaks_of_backups(machine, RevertSnapshot(uuid, "one"))
    machine.switch("off")
    operations: list[Operation] = [
        DeleteSnapshot(uuid, ("one",)),
        Consolidate(uuid),
        RevertSnapshot(uuid, "one"),
        CreateSnapshot(uuid, "three", "", EXTERNAL, memory=False),
    ]
    for operation in operations:
        assert speaks_of_backups(machine, operation), operation
    machine.check()


def speaks_of_backups(machine: Machine, operation: Operation) -> bool:
    planned = plan(with_storage(machine), operation)
    said = (planned.reason,) if isinstance(planned, Refusal) else planned.warnings
    return any("backup" in text for text in said)


def test_trap_23_disks_are_merged_one_by_one(lab: Lab) -> None:
    """Two merges at once cost each other their access under AppArmor."""
    machine = Machine(lab, disks=2)
    take(machine, "one")
    for chunk in range(60, 90):
        machine.write("vda", chunk, 3)
        machine.write("vdb", chunk, 3)
    operation = DeleteSnapshot(machine.vm.uuid, ("one",), bandwidth_bytes_per_second=2 << 20)
    job = machine.vm.host.start(operation)
    seen: set[str] = set()
    while isinstance(outcome := job.step(), Progress):
        script = "; ".join(f"blockjob {machine.vm.name} {t} --raw" for t in machine.targets)
        running = [line for line in lab.virsh(f"{script}; echo").splitlines() if "Commit" in line]
        assert len(running) <= 1
        seen.update(running)
    assert isinstance(outcome, Done)
    assert seen, "no merge was seen at work"
    machine.lost("one")
    machine.check()
    machine.close()


def test_trap_25_a_vm_with_snapshots_is_undefined_by_others_only(machine: Machine) -> None:
    """Without the flags for metadata libvirt refuses; snapview undefines and migrates no VM."""
    take(machine, "one", INTERNAL)
    name, lab = machine.vm.name, machine.lab
    lab.virsh("destroy", name)
    assert "cannot delete" in lab.virsh("undefine", name, check=False)
    assert machine.vm.tree() == {"one": None}
    lab.virsh("undefine", name, "--snapshots-metadata")
    with pytest.raises(NotFound):
        machine.vm.vm()


# 26 to 31


def test_trap_26_two_reverts_within_a_second(machine: Machine) -> None:
    machine.switch("off")
    take(machine, "one")
    for _ in range(3):
        revert(machine, "one")
    machine.check()


def test_trap_28_what_nobody_may_read_is_read_through_libvirt(machine: Machine) -> None:
    """As another account it is tried in test_desktop_user; here no file is ever opened."""
    take(machine, "one")
    opened: list[str] = []
    folder = str(machine.lab.vm_folder(machine.vm.name))

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "open" and folder in str(arguments[0]):
            opened.append(str(arguments[0]))

    watching = True
    sys.addaudithook(watch)
    try:
        storage = machine.vm.host.read_storage(machine.vm.uuid)
    finally:
        watching = False
    assert len(storage.chain(str(machine.lab.active_disk(machine.vm.name)))) == 2
    assert not opened


@pytest.mark.parametrize("title", ["before the update, take 2 (wörk)", "x" * 300, "a\tb"])
@pytest.mark.parametrize("kind", [INTERNAL, EXTERNAL])
def test_trap_29_and_31_any_title_gets_a_name_that_libvirt_takes(
    machine: Machine, title: str, kind: SnapshotKind
) -> None:
    operation = CreateSnapshot(machine.vm.uuid, title, "", kind, kind is INTERNAL)
    name = machine.vm.done(operation).created
    assert name is not None
    assert re.fullmatch("[A-Za-z0-9._-]{1,100}", name)
    assert machine.vm.vm().tree[name].title == " ".join(title.split())
    machine.took(name, kind)
    machine.check()


@pytest.mark.parametrize("which", ["one", "two", "three"])
def test_trap_30_while_the_vm_is_off_any_external_one_goes(machine: Machine, which: str) -> None:
    """libvirt 9.0 fails at all but the newest."""
    machine.switch("off")
    for name in ("one", "two", "three"):
        take(machine, name)
    delete(machine, which)
    machine.check()


# Found while this was built


def test_trap_n1_what_lies_below_a_disk_is_not_taken_from_an_old_record(machine: Machine) -> None:
    """A source put in place of another, with its chain kept, makes libvirt skip a layer."""
    for name in ("one", "two", "three"):
        take(machine, name)
    delete(machine, "two")
    revert(machine, "three", safety=True)
    machine.switch("off")
    machine.switch("running")
    machine.check()
    revert(machine, "one", safety=False)
    machine.switch("off")
    machine.switch("running")
    machine.check()


def test_trap_n2_a_branch_after_libvirts_own_revert_costs_no_other_branch(
    machine: Machine,
) -> None:
    """libvirt 11.3 forgets what its revert made once a branch begins there, and when that is gone
    takes the image of another branch for it.
    """
    machine.switch("off")
    for name in ("one", "two"):
        take(machine, name)
    revert(machine, "one", safety=False)
    take(machine, "branch")
    delete(machine, "branch")
    machine.check()
    assert machine.current == "one"
    revert(machine, "two", safety=False)
    machine.check()


def test_trap_n3_after_a_revert_of_our_own_libvirts_costs_no_branch(machine: Machine) -> None:
    """The record has to say what our revert made, or libvirt unlinks the image of the child."""
    machine.switch("off")
    for name in ("one", "two"):
        take(machine, name)
    revert(machine, "two", safety=True)
    revert(machine, "one", safety=False)
    if "<revertDisks>" not in virsh_xml(machine, "one"):
        assert not machine.vm.vm().capabilities.reverts_external
        return
    virsh(machine, "snapshot-revert", "two")
    machine.reverted("two", Afterwards.AS_IT_WAS, had_memory=None)
    machine.check()


def test_trap_n5_free_room_is_at_most_what_libvirt_says(machine: Machine) -> None:
    """libvirt counts blocks that are kept for root, so want of room is met in the act as well."""
    folder = machine.lab.vm_folder(machine.vm.name)
    free = machine.vm.host.read_storage(machine.vm.uuid).free_bytes[str(folder)]
    out = subprocess.run(
        ["stat", "--file-system", "--format=%f %a %S", str(folder)], capture_output=True, check=True
    ).stdout
    blocks_free, blocks_available, block_bytes = map(int, out.split())
    assert free >= blocks_available * block_bytes * 0.9
    assert free <= blocks_free * block_bytes * 1.1


def test_trap_n6_an_image_in_use_is_never_removed(machine: Machine) -> None:
    """libvirt's storage driver deletes even the active image of a running VM."""
    import threading

    from snapview.virt.moves import make
    from snapview.virt.moves.site import Site
    from snapview.virt.port import LibvirtVm

    take(machine, "one")
    host = machine.vm.host
    assert isinstance(host, LibvirtHost)
    port = LibvirtVm(host, machine.vm.uuid)
    active = str(machine.lab.active_disk(machine.vm.name))
    folder = machine.lab.vm_folder(machine.vm.name)
    for path in (active, str(folder / "vda.qcow2")):
        site = Site(port, threading.Event(), with_storage(machine))
        with pytest.raises(HostError):
            list(make(RemoveFile(path), site))
    machine.check()


def test_trap_n7_a_record_that_is_dropped_changes_no_other(machine: Machine) -> None:
    """libvirt 9.0 then takes the overlay that the snapshot made for merged, also in the records of
    other branches: they name the image below from then on, and a revert gives other data.
    """
    machine.switch("off")
    take(machine, "one")
    take(machine, "side")
    revert(machine, "one", safety=False)
    take(machine, "two")
    take(machine, "three")
    delete(machine, "one")
    machine.check()
    revert(machine, "side", safety=True)
    machine.check()


def test_trap_n8_what_was_copied_up_is_on_the_disk_before_its_source_goes(
    machine: Machine,
) -> None:
    """QEMU 7.2 keeps its new tables in memory: killed then, it would leave an empty image."""
    take(machine, "one")
    machine.write("vda", 90, 9)
    upwards = DeleteSnapshot(machine.vm.uuid, ("one",), merge_by=MergeBy.PULL)
    machine.switch("paused")
    assert refused(machine, upwards).code is RefusalCode.NOT_RUNNING
    machine.switch("running")
    delete(machine, "one", by=MergeBy.PULL)
    kill_qemu(machine)
    machine.check()


def test_trap_n8_merges_downwards_are_on_the_disk_as_well(machine: Machine) -> None:
    for name in ("one", "two", "three"):
        take(machine, name)
    machine.write("vda", 90, 9)
    machine.switch("paused")
    delete(machine, "two")
    delete(machine, "three")
    kill_qemu(machine)
    machine.check()


def kill_qemu(machine: Machine) -> None:
    """End the VM's QEMU, as a machine that runs out of memory does."""
    folder = machine.lab.folder / "run/libvirt/qemu/run"
    os.kill(int((folder / f"{machine.vm.name}.pid").read_text()), signal.SIGKILL)
    eventually(lambda: "shut off" in virsh(machine, "domstate"), "libvirt does not see it end")
    machine.power = "off"
