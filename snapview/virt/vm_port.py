"""What has to be asked of libvirt for one VM, as a protocol: the edge where the fakes begin."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from snapview.core.operations import Afterwards
from snapview.core.storage import Storage
from snapview.core.under_way import BlockJob
from snapview.core.vm import DiskLayer, Vm


class BlockJobPort(Protocol):
    """The block jobs of one QEMU: the VM's own, or that of a workbench.

    Every call may block or raise SnapviewError. Jobs go on when nobody looks.
    """

    def commit(self, disk: str, top: str, base: str, bandwidth_bytes_per_second: int) -> None:
        """Begin to merge the images from ``top`` down to ``base`` into ``base``.

        Where ``top`` is the active image, the job stays ready until ``end_job(pivot=True)``.

        Raises:
            ImageNotWritable: QEMU may not write to one of them.
        """
        ...

    def pull(self, disk: str, base: str | None, bandwidth_bytes_per_second: int) -> None:
        """Begin to copy what lies above ``base`` (None: everything) up into the active image."""
        ...

    def block_job(self, disk: str) -> BlockJob | None:
        """Return the job of a disk; None: there is none."""
        ...

    def end_job(self, disk: str, *, pivot: bool) -> None:
        """Pivot to what the job made, or abort it; returns when it is over. No job: nothing."""
        ...

    def set_bandwidth(self, disk: str, bytes_per_second: int) -> None:
        """Limit the speed of a job; 0: no limit."""
        ...

    def chain(self, disk: str) -> tuple[str, ...]:
        """Return the paths of a disk's images as QEMU has them open, the active one first."""
        ...


class VmPort(BlockJobPort, Protocol):
    """One VM behind libvirt. Every call may block or raise SnapviewError."""

    @property
    def uri(self) -> str:
        """The address of the host, for the journal."""
        ...

    def read(self) -> Vm:
        """Read the VM anew, without its storage."""
        ...

    def read_storage(self) -> Storage:
        """Read the image files around the VM anew."""
        ...

    # Snapshots and their records

    def create_snapshot(self, xml: str, *, disk_only: bool, live: bool) -> None:
        """Take a snapshot; ``live`` lets the VM run while its memory is written to a file."""
        ...

    def revert(self, name: str, afterwards: Afterwards) -> None:
        """Revert; ``afterwards`` is RUNNING, PAUSED or AS_IT_WAS."""
        ...

    def delete_snapshot(self, name: str) -> None:
        """Delete one snapshot with its state."""
        ...

    def forget_snapshot(self, name: str) -> None:
        """Drop the record of a snapshot and touch no file; its children go to its parent."""
        ...

    def snapshot_xml(self, name: str) -> str:
        """Read a snapshot's whole document, passwords included."""
        ...

    def snapshot_names(self) -> frozenset[str]:
        """Read the names of all snapshots; cheap."""
        ...

    def redefine_snapshot(self, xml: str, *, current: bool = False) -> None:
        """Replace a snapshot's record; with ``current`` the VM is said to stand on it."""
        ...

    # The VM

    def definition(self) -> str:
        """Read the document that the VM is started from next time, passwords included."""
        ...

    def define(self, xml: str) -> None:
        """Replace that document."""
        ...

    def start(self, *, paused: bool) -> None:
        """Start the VM; one that is on stays as it is."""
        ...

    def stop(self) -> None:
        """End the QEMU process at once; a VM that is off stays off."""
        ...

    def restore_memory(self, path: str, xml: str, *, paused: bool) -> None:
        """Start the VM from a memory file, with another document of the same hardware."""
        ...

    def freeze(self) -> None:
        """Have the guest agent freeze all file systems."""
        ...

    def thaw(self) -> None:
        """Have the guest agent thaw them; any thread."""
        ...

    def write_out(self) -> None:
        """Have QEMU write what it holds of the images; a VM that runs stands still for a moment.

        QEMU 7.2 keeps in memory where it has put what it copied up, until the guest or a pause
        flushes its disk: were it killed, an image without its old base would be empty. Of a VM
        that is paused nothing can be written out so.
        """
        ...

    # Image files

    def make_overlay(self, path: str, base: DiskLayer) -> None:
        """Make an empty qcow2 image on another one; one that is there already is a Conflict."""
        ...

    def remove_file(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        ...

    def internal_tags(self, path: str) -> tuple[str, ...] | None:
        """Return the names of the states inside a qcow2 image; None: cannot be read."""
        ...

    def workbench(
        self, disks: Sequence[tuple[str, tuple[DiskLayer, ...]]]
    ) -> AbstractContextManager[BlockJobPort]:
        """Open images in a paused QEMU that has nothing else, for as long as the context lasts.

        Args:
            disks: for each, its target and its chain, the image to be opened for writing first.
        """
        ...
