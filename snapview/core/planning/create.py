"""Planning a new snapshot: what forbids it, which files it makes, and "can I get back?"."""

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from snapview.core.operations import (
    CreateSnapshot,
    plain_name,
    plain_text,
    plain_title,
    unique_name,
)
from snapview.core.planning.getback import get_back
from snapview.core.planning.plans import (
    NO_BLOCK_JOB,
    Act,
    Plan,
    Refusal,
    RefusalCode,
    Rule,
    Step,
    VmFacts,
    first_refusal,
)
from snapview.core.vm import DiskChain, DiskLayer, SnapshotDisk, SnapshotKind, Vm

CHAIN_LIMIT = 200  # libvirt refuses longer chains
LONG_CHAIN = 20  # from about 25 overlays on, libvirt 10.8 to 11.10 cannot start the VM (trap 11)


@dataclass(frozen=True, slots=True)
class _Facts(VmFacts):
    """What the rows of the table look at."""

    operation: CreateSnapshot

    @property
    def is_internal(self) -> bool:
        return self.operation.kind is SnapshotKind.INTERNAL

    @property
    def disks(self) -> tuple[DiskChain, ...]:
        """The disks on which the host really does something."""
        return self.vm.state_disks if self.vm.capabilities.touches_disks else ()

    @property
    def not_qcow2(self) -> list[DiskChain]:
        return [disk for disk in self.disks if disk.layers[0].format != "qcow2"]

    def not_of_type(self, *types: str) -> list[DiskChain]:
        return [disk for disk in self.disks if disk.layers[0].type not in types]


def _names(disks: list[DiskChain]) -> str:
    return ", ".join(disk.target for disk in disks)


def _same_label(facts: _Facts) -> bool:
    title = facts.operation.title
    return bool(title) and any(title in {s.name, s.title} for s in facts.vm.tree)


def _other_kind(facts: _Facts) -> bool:
    return any(s.kind is not facts.operation.kind for s in facts.vm.tree if s.problem is None)


def _uefi_while_on(facts: _Facts) -> bool:
    hardware = facts.vm.hardware
    is_live = facts.is_internal and facts.vm.run_state.is_active
    old = facts.version < (10, 10, 0)  # 10.9 takes them already, but cannot revert to them
    return is_live and hardware.firmware == "uefi" and (old or hardware.nvram_format != "qcow2")


def _uefi_while_off(facts: _Facts) -> bool:
    is_off = facts.is_internal and not facts.vm.run_state.is_active
    return is_off and facts.vm.hardware.firmware == "uefi" and facts.version < (9, 3, 0)


RULES: tuple[Rule[_Facts], ...] = (
    Rule(
        RefusalCode.UNREADABLE,
        lambda f: f.vm.problem,
        lambda f: f"The snapshots of “{f.vm.name}” cannot be read: {f.vm.problem}",
        "Refresh, and look at the VM with virsh if it stays so.",
    ),
    Rule(
        RefusalCode.NAME_EXISTS,
        _same_label,
        lambda f: f"“{f.vm.name}” already has a snapshot called “{f.operation.title}”.",
        "Choose another name.",
    ),
    Rule(
        RefusalCode.NO_DISK,
        lambda f: f.vm.capabilities.touches_disks and not f.vm.state_disks,
        lambda f: f"“{f.vm.name}” has no writable disk, so there is nothing to keep.",
        "Add a disk to the VM first.",
    ),
    NO_BLOCK_JOB,
    Rule(
        RefusalCode.MANAGED_SAVE,
        lambda f: f.vm.has_managed_save and not f.vm.run_state.is_active,
        lambda f: f"“{f.vm.name}” is saved to disk; its saved state would no longer fit its disks.",
        "Start the VM first, then take the snapshot.",
    ),
    Rule(
        RefusalCode.RUNNING,
        lambda f: f.is_internal and f.vm.run_state.is_active and not f.operation.memory,
        lambda _: "An internal snapshot of a VM that is on always holds its memory.",
        "Keep disk and memory, or take it external, or shut the VM down first.",
    ),
    Rule(
        RefusalCode.DISK_FORMAT,
        lambda f: f.is_internal and f.not_qcow2,
        lambda f: (
            f"An internal snapshot needs qcow2 images, and {_names(f.not_qcow2)} "
            "is in another format."
        ),
        "Take it external.",
    ),
    Rule(
        RefusalCode.DISK_FORMAT,
        lambda f: f.is_internal and not f.vm.run_state.is_active and f.not_of_type("file", "block"),
        lambda f: (
            f"While the VM is off, libvirt cannot take an internal snapshot of "
            f"{_names(f.not_of_type('file', 'block'))}, which is not a local image."
        ),
        "Start the VM first.",
    ),
    Rule(
        RefusalCode.DISK_FORMAT,
        lambda f: not f.is_internal and f.not_of_type("file"),
        lambda f: (
            f"{_names(f.not_of_type('file'))} is not an image file, so there is no folder "
            "to put an overlay into."
        ),
        "Take it internal if the image is qcow2.",
    ),
    Rule(
        RefusalCode.FIRMWARE,
        _uefi_while_on,
        lambda f: (
            "This VM starts by UEFI, and "
            + (
                f"{f.vm.capabilities.libvirt_text} cannot go back to internal snapshots of it "
                "while it is on."
                if f.version < (10, 10, 0)
                else "its variables (NVRAM) are not kept in a qcow2 file."
            )
        ),
        "Take it external, or shut the VM down first.",
    ),
    Rule(
        RefusalCode.FIRMWARE,
        _uefi_while_off,
        lambda f: (
            f"{f.vm.capabilities.libvirt_text} cannot take internal snapshots of a VM that starts "
            "by UEFI."
        ),
        "Take it external.",
    ),
    Rule(
        RefusalCode.DEVICE,
        lambda f: f.operation.memory and f.vm.hardware.blockers,
        lambda f: f"The memory cannot be saved: {'; '.join(f.vm.hardware.blockers)}.",
        "Keep the disk only, or remove the device first.",
    ),
    Rule(
        RefusalCode.HOST_TOO_OLD,
        lambda f: not f.is_internal and not f.vm.capabilities.touches_disks,
        lambda _: "This kind of host takes internal snapshots only.",
        "Take it internal.",
    ),
    Rule(
        RefusalCode.CHAIN_LIMIT,
        lambda f: not f.is_internal and max(f.vm.chain_depth.values(), default=0) >= CHAIN_LIMIT,
        lambda _: f"The chain has {CHAIN_LIMIT} overlays, libvirt's limit.",
        "Merge some snapshots first.",
    ),
    Rule(
        RefusalCode.MIXED,
        _other_kind,
        lambda f: (
            f"“{f.vm.name}” has {'external' if f.is_internal else 'internal'} snapshots; mixing "
            "the two kinds in one VM can lose data when one is reverted to or deleted."
        ),
        "Take it of the kind that is there already.",
    ),
    Rule(
        RefusalCode.NOT_RUNNING,
        lambda f: f.operation.quiesce and not f.vm.run_state.is_active,
        lambda _: "Only the file systems of a running guest can be frozen.",
        "Leave it out: a VM that is off is consistent.",
    ),
    Rule(
        RefusalCode.QUIESCE,
        lambda f: f.operation.quiesce and f.operation.memory,
        lambda _: "With memory, the frozen file systems would be frozen again after each revert.",
        "Freeze only for a snapshot without memory.",
    ),
    Rule(
        RefusalCode.NO_AGENT,
        lambda f: f.operation.quiesce and not f.vm.hardware.has_guest_agent,
        lambda f: f"“{f.vm.name}” has no channel to a guest agent, which does the freezing.",
        "Install qemu-guest-agent in the guest and add its channel to the VM.",
    ),
)


def recommended_kind(vm: Vm) -> SnapshotKind:
    """Return the kind that gets back surest: the one already there, else what the host does best.

    Internal where every disk is qcow2 and the host cannot revert to external ones; external
    where libvirt itself reverts to them (from 9.9).
    """
    kinds = {s.kind for s in vm.tree if s.problem is None} - {SnapshotKind.MIXED}
    if len(kinds) == 1:
        return kinds.pop()
    order = [SnapshotKind.INTERNAL, SnapshotKind.EXTERNAL]
    if vm.capabilities.reverts_external:
        order.reverse()
    for kind in order:
        if isinstance(plan_create(vm, default_of(vm, kind)), Plan):
            return kind
    return order[0]


def default_of(vm: Vm, kind: SnapshotKind) -> CreateSnapshot:
    """Return the snapshot of that kind that keeps most: with memory wherever there is some."""
    memory = vm.run_state.is_active and not vm.hardware.blockers
    return CreateSnapshot(vm.uuid, kind=kind, memory=memory)


def default_snapshot(vm: Vm) -> CreateSnapshot:
    """Return what to offer when the user just says "snapshot"."""
    return default_of(vm, recommended_kind(vm))


def plan_create(vm: Vm, operation: CreateSnapshot) -> Plan | Refusal:
    """Plan a snapshot. While the VM is off there is no memory to keep, whatever is asked."""
    title, description = plain_title(operation.title), plain_text(operation.description)
    memory = operation.memory and vm.run_state.is_active
    operation = replace(operation, title=title, description=description, memory=memory)
    facts = _Facts(vm, operation)
    if (refusal := first_refusal(RULES, facts)) is not None:
        return refusal
    name = new_name(vm, title)
    return Plan(
        operation=operation,
        steps=(*_freeze(operation), *_memory(facts, name), *_disks(facts, name), *_thaw(operation)),
        kept=_kept(facts),
        warnings=_warnings(facts),
        undo="Delete the snapshot.",
        get_back=get_back(facts.vm, operation),
        new_name=name,
    )


def new_name(vm: Vm, title: str) -> str:
    """Return libvirt's name for a new snapshot: plain, and not taken."""
    offered = f"snapshot-{vm.read_at:%Y%m%d-%H%M%S}"
    return unique_name(plain_name(title) or offered, {s.name for s in vm.tree})


def _overlay_path(disk: DiskChain, name: str, taken: set[str]) -> str:
    """Return a new overlay's file beside the active image, and add it to those that are taken."""
    active = PurePosixPath(disk.layers[0].path)
    stem = PurePosixPath(disk.layers[-1].path).stem
    path, number = active.with_name(f"{stem}.{name}.qcow2"), 1
    while str(path) in taken:
        number += 1
        path = active.with_name(f"{stem}.{name}-{number}.qcow2")
    taken.add(str(path))
    return str(path)


def memory_path(vm: Vm, name: str) -> str:
    """Return the memory file beside the first disk.

    It carries the time, because libvirt truncates a file that exists already without a word.
    """
    disk = vm.state_disks[0]
    stem = PurePosixPath(disk.layers[-1].path).stem
    file = f"{stem}.{name}.{vm.read_at:%Y%m%dT%H%M%S}.mem"
    return str(PurePosixPath(disk.layers[0].path).with_name(file))


def disk_actions(vm: Vm, operation: CreateSnapshot, name: str) -> tuple[SnapshotDisk, ...]:
    """Return what happens to each disk; empty for internal snapshots (libvirt's default is right).

    Drives and read-only disks are left out by name, or libvirt would try them too.
    """
    if operation.kind is SnapshotKind.INTERNAL:
        return ()
    kept, taken = {disk.target for disk in vm.state_disks}, _paths(vm)
    return tuple(
        SnapshotDisk(
            disk.target,
            "external",
            frozen=disk.active,
            overlay=DiskLayer(_overlay_path(disk, name, taken), "qcow2"),
        )
        if disk.target in kept
        else SnapshotDisk(disk.target, "no")
        for disk in vm.disks
    )


def _paths(vm: Vm) -> set[str]:
    """Every image that the VM or one of its snapshots names."""
    layers = {layer.path for disk in vm.disks for layer in disk.layers}
    for snapshot in vm.tree:
        for disk in (*snapshot.disks, *snapshot.revert_overlays):
            layers |= {layer.path for layer in (disk.frozen, disk.overlay) if layer}
    return layers


def _freeze(operation: CreateSnapshot) -> tuple[Step, ...]:
    what = "The guest agent freezes the guest's file systems."
    return (Step(Act.FREEZE, what),) if operation.quiesce else ()


def _thaw(operation: CreateSnapshot) -> tuple[Step, ...]:
    what = "The guest agent lets the file systems go on."
    return (Step(Act.THAW, what),) if operation.quiesce else ()


def _memory(facts: _Facts, name: str) -> tuple[Step, ...]:
    if not facts.operation.memory:
        return ()
    if facts.is_internal:
        what = "The VM stands still while its memory is written into the first qcow2 image."
        return (Step(Act.SAVE_MEMORY, what, snapshot=name),)
    what = "Memory and processor state are written to a file; the VM stands still shortly."
    return (Step(Act.SAVE_MEMORY, what, files=(memory_path(facts.vm, name),), snapshot=name),)


def _disks(facts: _Facts, name: str) -> tuple[Step, ...]:
    if facts.is_internal:
        return tuple(
            Step(
                Act.CREATE,
                f"The state of {disk.target} is kept inside its image.",
                disk.target,
                (disk.layers[0].path,),
                name,
            )
            for disk in facts.vm.state_disks
        ) or (Step(Act.CREATE, "The state is kept.", snapshot=name),)
    return tuple(
        Step(
            Act.CREATE,
            f"{disk.target} is frozen as it is; from now on the VM writes to a new overlay.",
            disk.target,
            (disk.overlay.path,),
            name,
        )
        for disk in disk_actions(facts.vm, facts.operation, name)
        if disk.overlay
    )


def _kept(facts: _Facts) -> tuple[str, ...]:
    disks = ", ".join(disk.target for disk in facts.vm.state_disks)
    kept = [f"The state of {disks} as it is now" if disks else "The state as it is now"]
    if facts.operation.memory:
        kept.append("Memory and running programs")
    kept.append("The VM's settings of now")
    return tuple(kept)


def _warnings(facts: _Facts) -> tuple[str, ...]:
    found = []
    back = get_back(facts.vm, facts.operation)
    if not back.revert:
        found.append(back.revert_text)
    if not back.remove:
        found.append(back.remove_text)
    depth = max(facts.vm.chain_depth.values(), default=0)
    if not facts.is_internal and depth >= LONG_CHAIN and _breaks_long_chains(facts.version):
        text = facts.vm.capabilities.libvirt_text
        found.append(f"The chain has {depth} overlays; {text} may not start a VM with many more.")
    left_out = [d.target for d in facts.vm.disks if d.device in {"disk", "lun"} and d.is_readonly]
    if left_out:
        found.append(f"Read-only disks are left out: {', '.join(left_out)}.")
    if facts.vm.hardware.firmware == "uefi" and not facts.operation.memory:
        found.append("The firmware's variables (NVRAM) are not kept.")
    return tuple(found)


def _breaks_long_chains(version: tuple[int, int, int]) -> bool:
    return (10, 8, 0) <= version < (11, 11, 0)
