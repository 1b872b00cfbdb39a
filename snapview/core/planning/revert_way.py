"""Who reverts to an external snapshot, libvirt or snapview itself, and by which moves. Pure.

libvirt's own way is taken where it is whole. Ours (new overlays on the frozen images, the old
definition, the memory from its file) works on every version, wherever all disks are files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from snapview.core.moves import (
    DefineAsAt,
    MakeOverlay,
    Move,
    RemoveFile,
    RestoreMemory,
    RevertByLibvirt,
    SetCurrent,
    StartVm,
    StopVm,
)
from snapview.core.operations import Afterwards
from snapview.core.planning.plans import RefusalCode, Rule
from snapview.core.planning.revert_facts import RevertFacts, end_of
from snapview.core.planning.space import need_of_overlay, too_small
from snapview.core.vm import RunState, SnapshotState


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A row of the table that says when libvirt's own revert is not whole, and why."""

    when: Callable[[RevertFacts], object]
    why: Callable[[RevertFacts], str]


def _drive(facts: RevertFacts) -> str:
    """Return a disk or drive, of now or of then, that is not an image file."""
    now = ((d.target, d.active) for d in facts.vm.disks)
    then = ((d.target, d.frozen) for d in facts.snapshot.disks)
    odd = (target for target, layer in (*now, *then) if layer and layer.type != "file")
    return next(odd, "")


def _other_disks(facts: RevertFacts) -> bool:
    """Whether the snapshot holds other disks than the VM has now, or leaves one out."""
    drives = {disk.target for disk in facts.vm.disks if not disk.holds_state}
    then = {disk.target for disk in facts.snapshot.disks} - drives
    held = {disk.target for disk in facts.states}
    return not held == then == {disk.target for disk in facts.vm.state_disks}


def _unlinked(facts: RevertFacts) -> dict[str, str]:
    """Return what libvirt will unlink: the overlays of the current snapshot, by disk."""
    current = facts.current
    if current is None:
        return {}
    disks = current.revert_overlays or current.disks
    return {d.target: d.overlay.path for d in disks if d.overlay}


def _other_images(facts: RevertFacts) -> bool:
    """Whether libvirt will unlink other images than may go."""
    return set(_unlinked(facts).items()) != set(facts.left.gone)


OBSTACLES: tuple[Obstacle, ...] = (
    Obstacle(
        lambda f: not f.vm.capabilities.reverts_external,
        lambda f: f"{f.host} cannot revert to external snapshots.",
    ),
    Obstacle(
        lambda f: f.version[:2] == (9, 9),  # trap 10
        lambda f: f"{f.host} may crash when it reverts.",
    ),
    Obstacle(
        lambda f: f.snapshot.state is SnapshotState.DISK_ONLY and f.version < (10, 10, 0),
        lambda f: f"{f.host} cannot revert to a disk-only snapshot of a running VM.",  # trap 12
    ),
    Obstacle(
        _drive,
        lambda f: f"libvirt cannot, as {_drive(f)} is not an image file.",
    ),
    Obstacle(
        lambda f: f.current is None,  # trap 7: the daemon would crash
        lambda _: "libvirt has no record of which snapshot the VM stands on.",
    ),
    Obstacle(
        _other_disks,
        lambda _: "libvirt would put back other disks than the snapshot holds.",
    ),
    Obstacle(
        _other_images,
        lambda _: "libvirt would remove other images than those that only the state of now needs.",
    ),
)


def obstacle(facts: RevertFacts) -> str:
    """Say why libvirt's own revert to an external snapshot is not whole; empty: it is."""
    if not facts.has_files:
        return ""
    return next((row.why(facts) for row in OBSTACLES if row.when(facts)), "")


def _no_record(facts: RevertFacts) -> str:
    """Return a disk of which the record does not say where its state lies."""
    if not facts.states:
        return "any disk"
    return next((d.target for d in facts.states if d.frozen is None), "")


def _no_file(facts: RevertFacts) -> str:
    found = (d.target for d in facts.states if d.frozen and d.frozen.type != "file")
    return next(found, "")


def _unreadable_folder(facts: RevertFacts) -> str:
    """Return a folder into which libvirt's storage driver cannot put an overlay."""
    storage = facts.vm.storage
    if storage is None:
        return ""
    folders = (str(PurePosixPath(o.path).parent) for o in facts.overlays)
    unread = (each for each in folders if storage.is_unread(f"{each}/x"))
    return next(unread, "")


def _no_memory_file(facts: RevertFacts) -> bool:
    path, storage = facts.snapshot.memory_path, facts.vm.storage
    if not facts.loads_memory:
        return False
    if path is None:
        return True
    return storage is not None and not storage.is_unread(path) and path not in storage.images


def _moved_otherwise(facts: RevertFacts) -> str:
    """Return a disk that the snapshot left out and that is on an image we cannot define."""
    odd = (t for t, layer in facts.moved.items() if (layer.type, layer.format) != ("file", "qcow2"))
    return next(odd, "")


def _taken_meanwhile(facts: RevertFacts) -> str:
    """Return a disk that would come back onto an image that others need as it is."""
    images, now = facts.images, {disk.target for disk in facts.vm.disks}
    returning = (d for d in facts.snapshot.disks if d.target not in now and d.mode != "external")
    odd = (d.target for d in returning if d.frozen and images.is_needed(d.frozen.path))
    return next(odd, "")


def _no_room(facts: RevertFacts) -> str:
    return too_small(facts.vm.storage, [need_of_overlay(o.path) for o in facts.overlays])


OWN_RULES: tuple[Rule[RevertFacts], ...] = (
    Rule(
        RefusalCode.TRANSIENT,
        lambda f: not f.vm.is_persistent,
        lambda f: f"“{f.vm.name}” is transient, and snapview would have to stop it: {obstacle(f)}",
        "Define the VM first, for example with virsh define.",
    ),
    Rule(
        RefusalCode.CHAIN_MISMATCH,
        _no_record,
        lambda f: (
            f"The record of “{f.snapshot.label}” does not say which image {_no_record(f)} had."
        ),
        "Look at it with: virsh snapshot-dumpxml.",
    ),
    Rule(
        RefusalCode.DISK_FORMAT,
        _no_file,
        lambda f: f"{_no_file(f)} is not an image file, so no overlay can be put on it.",
        "Restore that disk with the means of its storage.",
    ),
    Rule(
        RefusalCode.DISK_FORMAT,
        lambda f: any(overlay.base.format is None for overlay in f.overlays),
        lambda f: f"In which format “{f.snapshot.label}” is kept is not recorded.",
        "Name the format of its disks in the VM's definition.",
    ),
    Rule(
        RefusalCode.UNREADABLE,
        _unreadable_folder,
        lambda f: f"libvirt cannot look into {_unreadable_folder(f)}, where an overlay has to go.",
        "Make that folder a storage pool of libvirt's.",
    ),
    Rule(
        RefusalCode.BROKEN_CHAIN,
        _no_memory_file,
        lambda f: (
            f"The memory file of “{f.snapshot.label}” is missing: "
            f"{f.snapshot.memory_path or 'its path is not recorded'}."
        ),
        "Have the VM off afterwards: then only its disks go back.",
    ),
    Rule(
        RefusalCode.DISK_FORMAT,
        _moved_otherwise,
        lambda f: (
            f"{_moved_otherwise(f)} is not part of “{f.snapshot.label}”, and is not on a qcow2 "
            "file any more, as it was then."
        ),
        "Detach that disk first.",
    ),
    Rule(
        RefusalCode.CHAIN_MISMATCH,
        _taken_meanwhile,
        lambda f: (
            f"The VM had a disk {_taken_meanwhile(f)} then, whose image other snapshots need now."
        ),
        "Attach that disk again first.",
    ),
    Rule(
        RefusalCode.NO_SPACE,
        _no_room,
        lambda f: f"There is too little room for an overlay: {_no_room(f)}.",
        "Make room first.",
    ),
)


def moves_of(facts: RevertFacts, *, is_own: bool) -> tuple[Move, ...]:
    """Return the moves of a revert that the tables allow, by libvirt or by snapview itself."""
    if is_own:
        return _own_moves(facts)
    moves: list[Move] = [RevertByLibvirt(facts.snapshot.name, _flag(facts))]
    if facts.snapshot.has_memory and facts.ends is Afterwards.OFF:
        moves.append(StopVm())  # from memory libvirt cannot end "off": it is loaded, paused
    if not facts.has_files and facts.vm.capabilities.touches_disks:
        moves += [RemoveFile(path) for _, path in facts.left.gone]
    return tuple(moves)


def _flag(facts: RevertFacts) -> Afterwards:
    """Return what to tell libvirt: only what differs from the snapshot's own state."""
    if facts.ends is Afterwards.OFF:
        return Afterwards.PAUSED if facts.snapshot.has_memory else Afterwards.AS_IT_WAS
    own = end_of(facts.snapshot, Afterwards.AS_IT_WAS)
    return Afterwards.AS_IT_WAS if facts.ends is own else facts.ends


def _own_moves(facts: RevertFacts) -> tuple[Move, ...]:
    """Return snapview's own way: what can fail for want of room or rights comes first."""
    name, overlays = facts.snapshot.name, facts.overlays
    images = tuple((overlay.target, overlay.path) for overlay in overlays)
    images += tuple((target, layer.path) for target, layer in facts.moved.items())
    moves: list[Move] = [MakeOverlay(each.target, each.path, each.base) for each in overlays]
    if facts.vm.run_state is not RunState.SHUTOFF:
        moves.append(StopVm())
    moves += [DefineAsAt(name, images), SetCurrent(name)]
    is_paused = facts.ends is Afterwards.PAUSED
    if facts.loads_memory and facts.snapshot.memory_path is not None:
        moves.append(RestoreMemory(name, facts.snapshot.memory_path, images, is_paused))
    elif facts.ends is not Afterwards.OFF:
        moves.append(StartVm(is_paused))
    moves += [RemoveFile(path) for _, path in facts.left.gone]
    return tuple(moves)
