"""One VM behind libvirt, as ``acts`` wants it. Does not import libvirt: it is given handles."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from enum import IntEnum, IntFlag
from typing import Any, Protocol

from snapview.core.operations import Afterwards
from snapview.core.storage import Storage
from snapview.core.under_way import BlockJob
from snapview.core.vm import DiskLayer, Vm
from snapview.virt.disk_jobs import DiskJobs
from snapview.virt.errormap import Translated
from snapview.virt.storage import LibvirtStorage
from snapview.virt.vm_port import BlockJobPort
from snapview.virt.workbench import open_workbench

XML_SECURE = 1  # VIR_DOMAIN_SNAPSHOT_XML_SECURE, VIR_DOMAIN_XML_SECURE


class CreateFlag(IntFlag):
    """virDomainSnapshotCreateFlags, as far as they are used; part of libvirt's stable interface."""

    REDEFINE = 1
    CURRENT = 2
    DISK_ONLY = 16
    ATOMIC = 128
    LIVE = 256


class DomainFlag(IntEnum):
    """Flags of libvirt's calls on domains; each belongs to another call."""

    SNAPSHOT_DELETE_METADATA_ONLY = 2
    XML_INACTIVE = 2
    START_PAUSED = 1
    SAVE_RUNNING = 2
    SAVE_PAUSED = 4
    RUNNING = 1


REVERT_FLAGS = {  # virDomainSnapshotRevertFlags
    Afterwards.AS_IT_WAS: 0,
    Afterwards.RUNNING: 1,
    Afterwards.PAUSED: 2,
}


class HandleSource(Protocol):
    """What the port needs of its connection."""

    @property
    def uri(self) -> str:
        """The libvirt URI."""
        ...

    def connection(self) -> Any:
        """Return libvirt's handle of the connection."""
        ...

    def domain(self, uuid: str) -> Any:
        """Return libvirt's handle of a VM."""
        ...

    @property
    def translated(self) -> Translated:
        """Turns libvirt's errors into ours."""
        ...

    def read_vm(self, uuid: str) -> Vm:
        """Read everything of one VM."""
        ...

    def read_storage(self, uuid: str) -> Storage:
        """Read the image files around a VM."""
        ...

    def stop_vm(self, uuid: str) -> None:
        """End the VM's QEMU process at once."""
        ...


class LibvirtVm:
    """Implements ``vm_port.VmPort`` over libvirt's handle of a VM. Worker thread; calls block.

    Args:
        host: the connection.
        uuid: the VM.
    """

    def __init__(self, host: HandleSource, uuid: str) -> None:
        self._host = host
        self._uuid = uuid
        self._jobs = DiskJobs(lambda: self._domain, host.translated)
        self._storage = LibvirtStorage(host.connection, host.translated)

    @property
    def _domain(self) -> Any:
        return self._host.domain(self._uuid)

    @property
    def uri(self) -> str:
        """The address of the host, for the journal."""
        return self._host.uri

    def read(self) -> Vm:
        """Read the VM anew, without its storage."""
        return self._host.read_vm(self._uuid)

    def read_storage(self) -> Storage:
        """Read the image files around the VM anew."""
        return self._host.read_storage(self._uuid)

    # Snapshots and their records

    def create_snapshot(self, xml: str, *, disk_only: bool, live: bool) -> None:
        """Take a snapshot."""
        flags = CreateFlag.ATOMIC | CreateFlag.DISK_ONLY if disk_only else CreateFlag(0)
        flags |= CreateFlag.LIVE if live else 0
        with self._host.translated("take the snapshot"):
            self._domain.snapshotCreateXML(xml, int(flags))

    def revert(self, name: str, afterwards: Afterwards) -> None:
        """Revert to a snapshot."""
        with self._host.translated("revert"):
            domain = self._domain
            domain.revertToSnapshot(domain.snapshotLookupByName(name, 0), REVERT_FLAGS[afterwards])

    def delete_snapshot(self, name: str) -> None:
        """Delete one snapshot with its state."""
        with self._host.translated("delete the snapshot"):
            self._domain.snapshotLookupByName(name, 0).delete(0)

    def forget_snapshot(self, name: str) -> None:
        """Drop the record of a snapshot and touch no file; its children go to its parent."""
        with self._host.translated("forget the snapshot"):
            snapshot = self._domain.snapshotLookupByName(name, 0)
            snapshot.delete(int(DomainFlag.SNAPSHOT_DELETE_METADATA_ONLY))

    def snapshot_xml(self, name: str) -> str:
        """Read a snapshot's whole document, passwords included."""
        with self._host.translated("read the snapshot"):
            snapshot = self._domain.snapshotLookupByName(name, 0)
            return str(snapshot.getXMLDesc(XML_SECURE))

    def snapshot_names(self) -> frozenset[str]:
        """Read the names of all snapshots."""
        with self._host.translated("look at the VM"):
            return frozenset(each.getName() for each in self._domain.listAllSnapshots(0))

    def redefine_snapshot(self, xml: str, *, current: bool = False) -> None:
        """Replace a snapshot's record; with ``current`` the VM is said to stand on it.

        With ``current`` libvirt 9.9 and newer forget ``<revertDisks>`` of the one that was
        current, which may be this one (trap 6): never for a mere change of a record.
        """
        flags = CreateFlag.REDEFINE | (CreateFlag.CURRENT if current else 0)
        with self._host.translated("change the snapshot's record"):
            self._domain.snapshotCreateXML(xml, int(flags))

    # The VM

    def definition(self) -> str:
        """Read the document that the VM is started from next time, passwords included."""
        with self._host.translated("read the VM"):
            return str(self._domain.XMLDesc(XML_SECURE | DomainFlag.XML_INACTIVE))

    def define(self, xml: str) -> None:
        """Replace that document."""
        with self._host.translated("define the VM"):
            self._host.connection().defineXML(xml)

    def start(self, *, paused: bool) -> None:
        """Start the VM; one that is on stays as it is."""
        with self._host.translated("start the VM"):
            domain = self._domain
            if not domain.isActive():
                domain.createWithFlags(int(DomainFlag.START_PAUSED) if paused else 0)

    def stop(self) -> None:
        """End the QEMU process at once; a VM that is off stays off."""
        self._host.stop_vm(self._uuid)

    def restore_memory(self, path: str, xml: str, *, paused: bool) -> None:
        """Start the VM from a memory file, with another document of the same hardware."""
        flag = DomainFlag.SAVE_PAUSED if paused else DomainFlag.SAVE_RUNNING
        with self._host.translated("restore the memory"):
            self._host.connection().restoreFlags(path, xml, int(flag))

    def freeze(self) -> None:
        """Have the guest agent freeze all file systems."""
        with self._host.translated("freeze the guest's file systems"):
            self._domain.fsFreeze()

    def thaw(self) -> None:
        """Have the guest agent thaw them; any thread."""
        with self._host.translated("thaw the guest's file systems"):
            self._domain.fsThaw()

    def write_out(self) -> None:
        """Have QEMU write what it holds of the images; a VM that runs stands still for a moment."""
        with self._host.translated("write the images"):
            domain = self._domain
            if domain.state()[0] == DomainFlag.RUNNING:
                domain.suspend()
                domain.resume()

    # Block jobs of the VM's own QEMU

    def commit(self, disk: str, top: str, base: str, bandwidth_bytes_per_second: int) -> None:
        """Begin to merge the images from ``top`` down to ``base`` into ``base``."""
        self._jobs.commit(disk, top, base, bandwidth_bytes_per_second)

    def pull(self, disk: str, base: str | None, bandwidth_bytes_per_second: int) -> None:
        """Begin to copy what lies above ``base`` (None: everything) up into the active image."""
        self._jobs.pull(disk, base, bandwidth_bytes_per_second)

    def block_job(self, disk: str) -> BlockJob | None:
        """Return the job of a disk; None: there is none."""
        return self._jobs.block_job(disk)

    def end_job(self, disk: str, *, pivot: bool) -> None:
        """Pivot to what the job made, or abort it; returns when it is over. No job: nothing."""
        self._jobs.end_job(disk, pivot=pivot)

    def set_bandwidth(self, disk: str, bytes_per_second: int) -> None:
        """Limit the speed of a job; 0: no limit."""
        self._jobs.set_bandwidth(disk, bytes_per_second)

    def chain(self, disk: str) -> tuple[str, ...]:
        """Return the paths of a disk's images as QEMU has them open; none when it is off."""
        return self._jobs.chain(disk)

    # Image files

    def make_overlay(self, path: str, base: DiskLayer) -> None:
        """Make an empty qcow2 image on another one; one that is there already is a Conflict."""
        self._storage.make_overlay(path, base)

    def remove_file(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        self._storage.remove_file(path)

    def internal_tags(self, path: str) -> tuple[str, ...] | None:
        """Return the names of the states inside a qcow2 image; None: cannot be read."""
        return self._storage.internal_tags(path)

    def workbench(
        self, disks: Sequence[tuple[str, tuple[DiskLayer, ...]]]
    ) -> AbstractContextManager[BlockJobPort]:
        """Open images in a paused QEMU that has nothing else, for as long as the context lasts."""
        return open_workbench(self._host, self._uuid, self.definition, disks)
