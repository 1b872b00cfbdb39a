"""What the decision tables of a revert look at."""

from dataclasses import dataclass

from snapview.core.operations import Afterwards, RevertSnapshot
from snapview.core.planning.images import Images
from snapview.core.planning.leaving import Leaving, leaving
from snapview.core.planning.new_files import known_paths, revert_overlay_path
from snapview.core.planning.plans import VmFacts
from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotState,
    Vm,
)


@dataclass(frozen=True, slots=True)
class NewOverlay:
    """The overlay on which a disk goes on, above what the snapshot froze of it."""

    target: str
    path: str
    base: DiskLayer


@dataclass(frozen=True, slots=True)
class RevertFacts(VmFacts):
    """A revert at its turn: ``vm`` is as it is right before it.

    Attributes:
        fresh: the overlays that a safety snapshot has made just before; nothing is in them yet.
        images: the picture of the images.
        left: what becomes of the images that the VM leaves.
        overlays: those that snapview makes, if it reverts itself.
    """

    operation: RevertSnapshot
    snapshot: Snapshot
    fresh: frozenset[str]
    images: Images
    left: Leaving
    overlays: tuple[NewOverlay, ...]

    @classmethod
    def of(
        cls,
        vm: Vm,
        operation: RevertSnapshot,
        snapshot: Snapshot,
        fresh: frozenset[str] = frozenset(),
    ) -> "RevertFacts":
        """Work out the facts, in O(snapshots + images)."""
        images = Images(vm)
        left = leaving(vm, images, _carried(vm, snapshot), fresh)
        return cls(vm, operation, snapshot, fresh, images, left, _overlays(vm, snapshot, images))

    @property
    def is_external(self) -> bool:
        """Whether the snapshot's state lies in files of its own."""
        return self.snapshot.kind is SnapshotKind.EXTERNAL

    @property
    def has_files(self) -> bool:
        """Whether somebody has to deal with files of the snapshot's own."""
        return self.is_external and self.vm.capabilities.touches_disks

    @property
    def current(self) -> Snapshot | None:
        """The snapshot on which the live state stands."""
        name = self.vm.tree.current
        return self.vm.tree[name] if name is not None else None

    @property
    def ends(self) -> Afterwards:
        """What the VM does after the revert: running, paused or off."""
        return end_of(self.snapshot, self.operation.afterwards)

    @property
    def loads_memory(self) -> bool:
        """Whether the VM goes on from the snapshot's memory."""
        return self.snapshot.has_memory and self.ends is not Afterwards.OFF

    @property
    def states(self) -> tuple[SnapshotDisk, ...]:
        """The disks whose state the snapshot holds."""
        return tuple(d for d in self.snapshot.disks if d.mode in {"internal", "external"})

    @property
    def moved(self) -> dict[str, DiskLayer]:
        """Disk target -> image of now, of disks that were left out and are on another one now."""
        then = {d.target: d.frozen.path for d in self.snapshot.disks if d.frozen}
        return {
            disk.target: disk.layers[0]
            for disk in _left_out(self.vm, self.snapshot)
            if disk.layers[0].path != then.get(disk.target)
        }


def end_of(snapshot: Snapshot, afterwards: Afterwards) -> Afterwards:
    """Return what the VM does after a revert: running, paused or off."""
    if afterwards is not Afterwards.AS_IT_WAS:
        return afterwards
    return {
        SnapshotState.RUNNING: Afterwards.RUNNING,
        SnapshotState.PAUSED: Afterwards.PAUSED,
    }.get(snapshot.state, Afterwards.OFF)


def _left_out(vm: Vm, snapshot: Snapshot) -> list[DiskChain]:
    """Return the disks that the VM had then and has now, but that the snapshot does not hold."""
    modes = {disk.target: disk.mode for disk in snapshot.disks}
    return [disk for disk in vm.state_disks if modes.get(disk.target) in {"no", "manual"}]


def _carried(vm: Vm, snapshot: Snapshot) -> set[str]:
    """Return the disks that go on as they are.

    libvirt's own revert puts every disk on the image it was on then, also those left out.
    """
    then = {disk.target: disk.frozen.path for disk in snapshot.disks if disk.frozen}
    is_external = snapshot.kind is SnapshotKind.EXTERNAL
    return {
        disk.target
        for disk in _left_out(vm, snapshot)
        if is_external or disk.layers[0].path == then.get(disk.target)
    }


def _overlays(vm: Vm, snapshot: Snapshot, images: Images) -> tuple[NewOverlay, ...]:
    if snapshot.kind is not SnapshotKind.EXTERNAL or not vm.capabilities.touches_disks:
        return ()
    taken = known_paths(vm)
    return tuple(
        NewOverlay(
            disk.target,
            revert_overlay_path(vm, disk.target, disk.frozen.path, snapshot.name, taken),
            disk.frozen if disk.frozen.format else images.layer(disk.frozen.path),
        )
        for disk in snapshot.disks
        if disk.mode == "external" and disk.frozen is not None
    )
