"""One VM behind libvirt, as ``acts`` wants it. Does not import libvirt: it is given handles."""

from contextlib import AbstractContextManager
from enum import IntFlag
from typing import Any, Protocol

from snapview.core.operations import Afterwards
from snapview.core.vm import Vm

XML_SECURE = 1  # VIR_DOMAIN_SNAPSHOT_XML_SECURE


class CreateFlag(IntFlag):
    """virDomainSnapshotCreateFlags, as far as they are used; part of libvirt's stable interface."""

    REDEFINE = 1
    DISK_ONLY = 16
    ATOMIC = 128
    LIVE = 256


REVERT_FLAGS = {  # virDomainSnapshotRevertFlags
    Afterwards.AS_IT_WAS: 0,
    Afterwards.RUNNING: 1,
    Afterwards.PAUSED: 2,
}


class HandleSource(Protocol):
    """What the port needs of its connection."""

    def domain(self, uuid: str) -> Any:
        """Return libvirt's handle of a VM."""
        ...

    def translated(self, doing: str = "") -> AbstractContextManager[None]:
        """Turn libvirt's errors into ours."""
        ...

    def read_vm(self, uuid: str) -> Vm:
        """Read everything of one VM."""
        ...

    def stop_vm(self, uuid: str) -> None:
        """End the VM's QEMU process at once."""
        ...


class LibvirtVm:
    """Implements ``acts.VmPort`` over libvirt's handle of a VM. Worker thread; every call blocks.

    Args:
        host: the connection.
        uuid: the VM.
    """

    def __init__(self, host: HandleSource, uuid: str) -> None:
        self._host = host
        self._uuid = uuid

    @property
    def _domain(self) -> Any:
        return self._host.domain(self._uuid)

    def read(self) -> Vm:
        """Read the VM anew."""
        return self._host.read_vm(self._uuid)

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
        """Delete one snapshot."""
        with self._host.translated("delete the snapshot"):
            self._domain.snapshotLookupByName(name, 0).delete(0)

    def snapshot_xml(self, name: str) -> str:
        """Read a snapshot's whole document, passwords included."""
        with self._host.translated("read the snapshot"):
            snapshot = self._domain.snapshotLookupByName(name, 0)
            return str(snapshot.getXMLDesc(XML_SECURE))

    def snapshot_names(self) -> frozenset[str]:
        """Read the names of all snapshots."""
        with self._host.translated("look at the VM"):
            return frozenset(each.getName() for each in self._domain.listAllSnapshots(0))

    def redefine_snapshot(self, xml: str) -> None:
        """Replace a snapshot's record."""
        # Never with CURRENT: libvirt 9.9 and newer then forget <revertDisks> (trap 6).
        with self._host.translated("change the snapshot's record"):
            self._domain.snapshotCreateXML(xml, int(CreateFlag.REDEFINE))

    def freeze(self) -> None:
        """Have the guest agent freeze all file systems."""
        with self._host.translated("freeze the guest's file systems"):
            self._domain.fsFreeze()

    def thaw(self) -> None:
        """Have the guest agent thaw them."""
        with self._host.translated("thaw the guest's file systems"):
            self._domain.fsThaw()

    def stop(self) -> None:
        """End the QEMU process at once."""
        self._host.stop_vm(self._uuid)
