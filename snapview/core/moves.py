"""The smallest things snapview does to a VM: what a plan is made of, and what the journal holds.

A move is pure data. Each can be done again when nobody knows whether it was done: whoever carries
it out looks first. So after a crash the moves that are left are simply done, in order.
"""

from dataclasses import dataclass

from snapview.core.operations import Afterwards
from snapview.core.vm import DiskLayer, SnapshotDisk, SnapshotKind


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Have libvirt take a snapshot. ``description`` is libvirt's, title and marks in it."""

    name: str
    description: str
    kind: SnapshotKind
    memory_path: str | None = None
    disks: tuple[SnapshotDisk, ...] = ()
    quiesce: bool = False


@dataclass(frozen=True, slots=True)
class RevertByLibvirt:
    """Have libvirt revert to a snapshot."""

    snapshot: str
    afterwards: Afterwards = Afterwards.AS_IT_WAS


@dataclass(frozen=True, slots=True)
class DeleteByLibvirt:
    """Have libvirt delete a snapshot with its state."""

    snapshot: str


@dataclass(frozen=True, slots=True)
class ForgetSnapshot:
    """Drop libvirt's record of a snapshot, no file; its children go to its parent."""

    snapshot: str


@dataclass(frozen=True, slots=True)
class SetDescription:
    """Replace a snapshot's description in libvirt's record."""

    snapshot: str
    description: str


@dataclass(frozen=True, slots=True)
class SetFrozen:
    """Note in a snapshot's record that a disk's state now lies in another image.

    ``new_format`` None: it is of the same format as the old one.
    """

    snapshot: str
    target: str
    old_path: str
    new_path: str
    new_format: str | None = None


@dataclass(frozen=True, slots=True)
class SetActive:
    """Note in the definition that the VM is started from next time that a disk is on another image.

    libvirt does it itself when a block job of the running VM ends; nothing when it is so already.
    ``new_format`` None: it is of the same format as the old one.
    """

    target: str
    old_path: str
    new_path: str
    new_format: str | None = None


@dataclass(frozen=True, slots=True)
class SetCurrent:
    """Note in libvirt's record which snapshot the VM stands on."""

    snapshot: str


@dataclass(frozen=True, slots=True)
class StopVm:
    """End the VM's QEMU process at once; nothing when it is off."""


@dataclass(frozen=True, slots=True)
class StartVm:
    """Start the VM from its disks; nothing when it is on."""

    paused: bool = False


@dataclass(frozen=True, slots=True)
class RestoreMemory:
    """Start the VM from a memory file, its disks on other images (disk target, path)."""

    snapshot: str
    memory_path: str
    images: tuple[tuple[str, str], ...]
    paused: bool = False


@dataclass(frozen=True, slots=True)
class MakeOverlay:
    """Put a new, empty qcow2 image on another one."""

    target: str
    path: str
    base: DiskLayer


@dataclass(frozen=True, slots=True)
class DefineAsAt:
    """Define the VM as it was at a snapshot, its disks on other images (disk target, path)."""

    snapshot: str
    images: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CommitImages:
    """Merge the images of a chain from ``top`` down to ``base`` into ``base``.

    ``chain`` is the whole chain from the image that has to be opened down to the base of all; its
    first member stands on or is ``top``. ``in_vm``: it is the chain on which the VM is running, so
    that its own QEMU does it. Files stay; ``RemoveFile`` follows.
    """

    target: str
    top: str
    base: str
    chain: tuple[DiskLayer, ...]
    in_vm: bool
    bandwidth_bytes_per_second: int = 0


@dataclass(frozen=True, slots=True)
class PullImages:
    """Copy what lies between the first of ``chain`` and ``base`` up into the first.

    ``base`` None: everything, so that the first image needs no other any more.
    """

    target: str
    base: str | None
    chain: tuple[DiskLayer, ...]
    in_vm: bool
    bandwidth_bytes_per_second: int = 0


@dataclass(frozen=True, slots=True)
class PointTo:
    """Write into an image's header that it lies on ``chain[0]``, which reads the same."""

    target: str
    image: DiskLayer
    chain: tuple[DiskLayer, ...]


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """Remove a file that nothing refers to any more; refused when something does."""

    path: str


@dataclass(frozen=True, slots=True)
class EndJob:
    """End the block job of a disk: pivot to what it made, or abort it."""

    target: str
    pivot: bool


@dataclass(frozen=True, slots=True)
class RestoreDefinition:
    """Define the VM as a document of libvirt's says that was kept; the undo of ``DefineAsAt``."""

    xml: str


Move = (
    TakeSnapshot
    | RevertByLibvirt
    | DeleteByLibvirt
    | ForgetSnapshot
    | SetDescription
    | SetFrozen
    | SetActive
    | SetCurrent
    | StopVm
    | StartVm
    | RestoreMemory
    | MakeOverlay
    | DefineAsAt
    | CommitImages
    | PullImages
    | PointTo
    | RemoveFile
    | EndJob
    | RestoreDefinition
)
