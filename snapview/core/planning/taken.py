"""A VM as it will be right after a snapshot was taken. Pure.

So that what comes next, the revert after a safety snapshot or the way back to a new one, is
planned by the same rules as if it were there already.
"""

from dataclasses import replace

from snapview.core.marks import Consistency
from snapview.core.moves import TakeSnapshot
from snapview.core.operations import split_description
from snapview.core.storage import ImageFile, Storage
from snapview.core.vm import (
    DiskChain,
    RunState,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotState,
    SnapshotTree,
    Vm,
)


def after_taking(vm: Vm, take: TakeSnapshot, *, memory: bool) -> Vm:
    """Return the VM as it will be when ``take`` is done.

    Args:
        vm: as it is now.
        take: the move.
        memory: whether it keeps the memory of the VM that is on.
    """
    is_external = take.kind is SnapshotKind.EXTERNAL
    title, description = split_description(take.name, take.description)
    snapshot = Snapshot(
        take.name,
        title,
        description,
        parent=vm.tree.current,
        kind=take.kind,
        state=state_of(vm, memory=memory),
        has_memory=memory,
        memory_path=take.memory_path,
        created_at=vm.read_at,
        disks=take.disks if is_external else _inside(vm),
    )
    overlays = {disk.target: disk for disk in take.disks if disk.overlay is not None}
    return replace(
        vm,
        tree=SnapshotTree([*vm.tree, snapshot], take.name),
        disks=tuple(_on_top(disk, overlays.get(disk.target)) for disk in vm.disks),
        storage=_with_files(vm.storage, take) if vm.storage is not None else None,
    )


def state_of(vm: Vm, *, memory: bool) -> SnapshotState:
    """Return the state that libvirt will note in a new snapshot."""
    if not vm.run_state.is_active:
        return SnapshotState.SHUTOFF
    if not memory:
        return SnapshotState.DISK_ONLY
    return SnapshotState.RUNNING if vm.run_state is RunState.RUNNING else SnapshotState.PAUSED


def consistency_of(vm: Vm, *, memory: bool, quiesce: bool) -> Consistency:
    """Return what a guest will find when it goes back to the state of now."""
    if memory:
        return Consistency.WITH_MEMORY
    if not vm.run_state.is_active:
        return Consistency.OFF
    return Consistency.FROZEN if quiesce else Consistency.CRASH


def _inside(vm: Vm) -> tuple[SnapshotDisk, ...]:
    """Return the disks of an internal snapshot, as libvirt chooses them by itself."""
    return tuple(
        SnapshotDisk(disk.target, "internal" if disk.holds_state else "no", disk.active)
        for disk in vm.disks
    )


def _on_top(chain: DiskChain, made: SnapshotDisk | None) -> DiskChain:
    if made is None or made.overlay is None:
        return chain
    return replace(chain, layers=(made.overlay, *chain.layers), defined=chain.defined + 1)


def _with_files(storage: Storage, take: TakeSnapshot) -> Storage:
    """Add the overlays and the memory file."""
    images = dict(storage.images)
    for disk in take.disks:
        if disk.overlay is not None and disk.frozen is not None:
            path, base = disk.overlay.path, disk.frozen
            lower = images.get(base.path)
            images[path] = ImageFile(
                path,
                disk.overlay.format,
                base.path,
                base.format,
                lower.capacity_bytes if lower is not None else None,
            )
    if take.memory_path is not None:
        images[take.memory_path] = ImageFile(take.memory_path)
    return replace(storage, images=images)
