"""Planning a new snapshot: which files it makes, what it keeps and costs, what is offered."""

from dataclasses import replace
from datetime import timedelta

from snapview.core.marks import Marks, with_marks
from snapview.core.moves import TakeSnapshot
from snapview.core.operations import (
    CreateSnapshot,
    join_description,
    plain_name,
    plain_text,
    plain_title,
    unique_name,
)
from snapview.core.planning.create_rules import RULES, CreateFacts
from snapview.core.planning.new_files import known_paths, memory_path, overlay_path
from snapview.core.planning.plans import Act, Plan, Refusal, Step, first_refusal
from snapview.core.planning.space import size_text, tight
from snapview.core.planning.taken import consistency_of
from snapview.core.vm import DiskLayer, RunState, Snapshot, SnapshotDisk, SnapshotKind, Vm

LONG_CHAIN = 20  # from about 25 overlays on, libvirt 10.8 to 11.10 cannot start the VM (trap 11)
_NAMED_AT_MOST = 5


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
    """Plan a snapshot, without the verdict on getting back.

    While the VM is off there is no memory to keep, whatever is asked.
    """
    title, description = plain_title(operation.title), plain_text(operation.description)
    memory = operation.memory and vm.run_state.is_active
    operation = replace(operation, title=title, description=description, memory=memory)
    facts = CreateFacts(vm, operation)
    if (refusal := first_refusal(RULES, facts)) is not None:
        return refusal
    take = _take(vm, operation)
    memory_bytes = vm.hardware.memory_bytes if memory else None
    speed = vm.storage.copy_bytes_per_second if vm.storage is not None else None
    return Plan(
        operation=operation,
        steps=(*_freeze(operation), *_memory(take, operation), *_disks(facts, take)),
        moves=(take,),
        kept=_kept(facts),
        warnings=_warnings(facts),
        undo="Delete the snapshot.",
        new_name=take.name,
        extra_bytes_needed=memory_bytes or None,
        estimated_seconds=memory_bytes / speed if memory_bytes and speed else None,
    )


def _take(vm: Vm, operation: CreateSnapshot) -> TakeSnapshot:
    """Return the move; what the state is worth, and for how long, is noted in the description."""
    name = new_name(vm, operation.title)
    consistency = consistency_of(vm, memory=operation.memory, quiesce=operation.quiesce)
    days = operation.keep_days
    kept_until = (vm.read_at + timedelta(days)).date() if days is not None else None
    text = with_marks(operation.description, Marks(consistency, kept_until))
    is_external = operation.kind is SnapshotKind.EXTERNAL
    return TakeSnapshot(
        name,
        join_description(name, operation.title, text),
        operation.kind,
        memory_path(vm, name) if is_external and operation.memory else None,
        disk_actions(vm, operation, name),
        operation.quiesce,
    )


def new_name(vm: Vm, title: str) -> str:
    """Return libvirt's name for a new snapshot: plain, and not taken."""
    offered = f"snapshot-{vm.read_at:%Y%m%d-%H%M%S}"
    return unique_name(plain_name(title) or offered, {s.name for s in vm.tree})


def disk_actions(vm: Vm, operation: CreateSnapshot, name: str) -> tuple[SnapshotDisk, ...]:
    """Return what happens to each disk; empty for internal snapshots (libvirt's default is right).

    Drives and read-only disks are left out by name, or libvirt would try them too.
    """
    if operation.kind is SnapshotKind.INTERNAL:
        return ()
    kept, taken = {disk.target for disk in vm.state_disks}, known_paths(vm)
    return tuple(
        SnapshotDisk(
            disk.target,
            "external",
            frozen=disk.active,
            overlay=DiskLayer(overlay_path(disk, name, taken), "qcow2"),
        )
        if disk.target in kept
        else SnapshotDisk(disk.target, "no", frozen=disk.active)
        for disk in vm.disks
    )


def _freeze(operation: CreateSnapshot) -> tuple[Step, ...]:
    what = "The guest agent freezes the guest's file systems."
    return (Step(Act.FREEZE, what),) if operation.quiesce else ()


def _memory(take: TakeSnapshot, operation: CreateSnapshot) -> tuple[Step, ...]:
    if not operation.memory:
        return ()
    if take.memory_path is None:
        what = "The VM stands still while its memory is written into the first qcow2 image."
        return (Step(Act.SAVE_MEMORY, what, snapshot=take.name),)
    what = "Memory and processor state are written to a file; the VM stands still shortly."
    return (Step(Act.SAVE_MEMORY, what, files=(take.memory_path,), snapshot=take.name),)


def _disks(facts: CreateFacts, take: TakeSnapshot) -> tuple[Step, ...]:
    steps: tuple[Step, ...]
    if facts.is_internal:
        steps = tuple(
            Step(
                Act.CREATE,
                f"The state of {disk.target} is kept inside its image.",
                disk.target,
                (disk.layers[0].path,),
                take.name,
            )
            for disk in facts.vm.state_disks
        ) or (Step(Act.CREATE, "The state is kept.", snapshot=take.name),)
    else:
        steps = tuple(
            Step(
                Act.CREATE,
                f"{disk.target} is frozen as it is; from now on the VM writes to a new overlay"
                f"{_growth(facts.vm, disk)}.",
                disk.target,
                (disk.overlay.path,),
                take.name,
            )
            for disk in take.disks
            if disk.overlay
        )
    thaw = Step(Act.THAW, "The guest agent lets the file systems go on.")
    return (*steps, thaw) if take.quiesce else steps


def _growth(vm: Vm, disk: SnapshotDisk) -> str:
    """Say how far an overlay can grow, where that is known."""
    image = vm.storage.images.get(disk.frozen.path) if vm.storage and disk.frozen else None
    if image is None or not image.capacity_bytes:
        return ""
    return f", which can grow up to {size_text(image.capacity_bytes)}"


def _kept(facts: CreateFacts) -> tuple[str, ...]:
    disks = ", ".join(disk.target for disk in facts.vm.state_disks)
    kept = [f"The state of {disks} as it is now" if disks else "The state as it is now"]
    if facts.operation.memory:
        kept.append("Memory and running programs")
    kept.append("The VM's settings of now")
    return tuple(kept)


def _warnings(facts: CreateFacts) -> tuple[str, ...]:
    vm = facts.vm
    found = [_mixing(facts), tight(vm.storage, facts.needs), _long_chain(facts)]
    left_out = [d.target for d in vm.disks if d.device in {"disk", "lun"} and d.is_readonly]
    if left_out:
        found.append(f"Read-only disks are left out: {', '.join(left_out)}.")
    if loses_nvram(vm, facts.operation.kind, memory=facts.operation.memory):
        found.append("The firmware's variables (NVRAM) are not kept.")
    if vm.hardware.has_tpm and not facts.operation.memory:
        found.append(
            "What the TPM holds is not kept: a guest that encrypts its disk with it may ask for "
            "its recovery key after a revert."
        )
    found.extend(_shared(facts))
    if vm.checkpoints and not facts.is_internal and not vm.run_state.is_active:
        found.append("The next backup has to be a full one: libvirt loses its checkpoints here.")
    is_paused = vm.run_state is RunState.PAUSED and facts.operation.memory
    if is_paused and not facts.is_internal:  # trap 14
        found.append("Its images cannot be merged before the VM has run again, or is off.")
    return tuple(filter(None, found))


def loses_nvram(vm: Vm, kind: SnapshotKind, *, memory: bool) -> bool:
    """Whether the firmware's variables are no part of such a snapshot."""
    if vm.hardware.firmware != "uefi" or memory:
        return False
    inside = kind is SnapshotKind.INTERNAL and vm.hardware.nvram_format == "qcow2"
    return not (inside and vm.capabilities.libvirt_version >= (10, 10, 0))


def _mixing(facts: CreateFacts) -> str:
    """Say what mixing the kinds costs from now on; empty: nothing that is known."""
    vm = facts.vm
    if facts.is_internal:
        path = (vm.tree[name] for name in vm.tree.live_path())
        below = next((s for s in path if s.kind is not SnapshotKind.INTERNAL), None)
        if below is None:
            return ""
        return (
            f"As long as it is there, what was written since “{below.label}” cannot be merged: "
            "a merge would drop the states inside the image."
        )
    frozen = {disk.layers[0].path for disk in vm.state_disks}
    inside = [
        s
        for s in vm.tree
        if any(d.mode == "internal" and d.frozen and d.frozen.path in frozen for d in s.disks)
    ]
    if not inside:
        return ""
    text = (
        f"As long as it is there, there is no way back to {_labels(inside)}, inside the image "
        "that it freezes."
    )
    if (9, 9, 0) <= facts.version < (11, 0, 0):  # trap 1
        text += f" Delete it with snapview only: by itself, {facts.host} removes the base image."
    return text


def _labels(snapshots: list[Snapshot]) -> str:
    more = len(snapshots) - _NAMED_AT_MOST
    named = ", ".join(f"“{s.label}”" for s in snapshots[:_NAMED_AT_MOST])
    return f"{named} and {more} more" if more > 0 else named


def _shared(facts: CreateFacts) -> list[str]:
    """Say who else may write to an image that is to stay as it is."""
    users = facts.vm.storage.users if facts.vm.storage is not None else {}
    return [
        f"{disk.target} is used by {', '.join(f'“{name}”' for name in names)} as well; what others "
        "write to it is not kept apart."
        for disk in facts.disks
        if (names := users.get(disk.layers[0].path))
    ]


def _long_chain(facts: CreateFacts) -> str:
    depth = max(facts.vm.chain_depth.values(), default=0)
    breaks = (10, 8, 0) <= facts.version < (11, 11, 0)
    if facts.is_internal or depth < LONG_CHAIN or not breaks:
        return ""
    return f"The chain has {depth} overlays; {facts.host} may not start a VM with many more."
