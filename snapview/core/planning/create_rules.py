"""What forbids a new snapshot: the table, and what its rows look at."""

from dataclasses import dataclass

from snapview.core.operations import CreateSnapshot
from snapview.core.planning.plans import (
    NO_BACKUP,
    NO_BLOCK_JOB,
    NO_INTERRUPTION,
    RefusalCode,
    Rule,
    VmFacts,
)
from snapview.core.planning.space import Need, need_of_memory, need_of_overlay, too_small
from snapview.core.vm import DiskChain, RunState, SnapshotKind

CHAIN_LIMIT = 200  # libvirt refuses longer chains


@dataclass(frozen=True, slots=True)
class CreateFacts(VmFacts):
    """What the rows of the table look at; the operation is complete."""

    operation: CreateSnapshot

    @property
    def is_internal(self) -> bool:
        """Whether the state is kept inside the images."""
        return self.operation.kind is SnapshotKind.INTERNAL

    @property
    def disks(self) -> tuple[DiskChain, ...]:
        """The disks on which the host really does something."""
        return self.vm.state_disks if self.vm.capabilities.touches_disks else ()

    @property
    def not_qcow2(self) -> list[DiskChain]:
        """The disks that cannot hold an internal state."""
        return [disk for disk in self.disks if disk.layers[0].format != "qcow2"]

    def not_of_type(self, *types: str) -> list[DiskChain]:
        """Return the disks of other libvirt types than these."""
        return [disk for disk in self.disks if disk.layers[0].type not in types]

    @property
    def fault(self) -> str:
        """What is wrong with a chain; empty: nothing that is known."""
        storage = self.vm.storage
        found = (storage.fault(disk.layers[0].path) if storage else "" for disk in self.disks)
        return next(filter(None, found), "")

    @property
    def needs(self) -> list[Need]:
        """What is written at once; the name of a new file does not matter here."""
        if not self.disks:
            return []
        first, memory_bytes = self.disks[0].layers[0].path, self.vm.hardware.memory_bytes
        needs = [need_of_overlay(d.layers[0].path) for d in self.disks if not self.is_internal]
        if self.operation.memory and memory_bytes:
            needs.append(need_of_memory(first, memory_bytes))
        return needs


def _names(disks: list[DiskChain]) -> str:
    return ", ".join(disk.target for disk in disks)


def _same_label(facts: CreateFacts) -> bool:
    title = facts.operation.title
    return bool(title) and any(title in {s.name, s.title} for s in facts.vm.tree)


def _other_kind(facts: CreateFacts) -> bool:
    return any(s.kind is not facts.operation.kind for s in facts.vm.tree if s.problem is None)


def _uefi_while_on(facts: CreateFacts) -> bool:
    hardware = facts.vm.hardware
    is_live = facts.is_internal and facts.vm.run_state.is_active
    old = facts.version < (10, 10, 0)  # 10.9 takes them already, but cannot revert to them
    return is_live and hardware.firmware == "uefi" and (old or hardware.nvram_format != "qcow2")


def _uefi_while_off(facts: CreateFacts) -> bool:
    is_off = facts.is_internal and not facts.vm.run_state.is_active
    return is_off and facts.vm.hardware.firmware == "uefi" and facts.version < (9, 3, 0)


def _checkpoints_while_off(facts: CreateFacts) -> bool:
    """Whether libvirt refuses the bitmaps' move to an overlay; before 10.1 it forgets them."""
    is_off = not facts.is_internal and not facts.vm.run_state.is_active
    return is_off and bool(facts.vm.checkpoints) and facts.version >= (10, 1, 0)


RULES: tuple[Rule[CreateFacts], ...] = (
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
    NO_INTERRUPTION,
    NO_BLOCK_JOB,
    NO_BACKUP,
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
        lambda f: _other_kind(f) and not f.operation.mix,
        lambda f: (
            f"“{f.vm.name}” has {'external' if f.is_internal else 'internal'} snapshots; mixed "
            "with the other kind, some cannot be reverted to or merged until others are deleted."
        ),
        "Take it of the kind that is there already, or say that the kinds may be mixed.",
    ),
    Rule(
        RefusalCode.NOT_RUNNING,
        lambda f: f.operation.quiesce and f.vm.run_state is not RunState.RUNNING,
        lambda _: "Only the file systems of a running guest can be frozen.",
        "Leave it out, or let the VM run first.",
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
    Rule(
        RefusalCode.BACKUP,
        _checkpoints_while_off,
        lambda f: (
            f"{f.host} takes no external snapshot of a VM that is off and has checkpoints of "
            f"backups ({', '.join(f.vm.checkpoints)})."
        ),
        "Start the VM first, or delete the checkpoints: the next backup is then a full one.",
    ),
    Rule(
        RefusalCode.BROKEN_CHAIN,
        lambda f: f.fault,
        lambda f: f"A disk of “{f.vm.name}” is broken: {f.fault}.",
        "Put the missing file back, or write the right path into the header: qemu-img rebase -u.",
    ),
    Rule(
        RefusalCode.NO_SPACE,
        lambda f: too_small(f.vm.storage, f.needs),
        lambda f: f"There is too little room: {too_small(f.vm.storage, f.needs)}.",
        "Make room first.",
    ),
)
