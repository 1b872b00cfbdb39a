"""A paused, otherwise empty QEMU that opens images so that libvirt's block jobs can work on them.

So images of a VM that is off, or of branches on which it does not run, are merged over libvirt
alone, with progress, limit and cancel, also by somebody who may not open the files himself. The
domain is transient and ends with our connection, however that ends; but a daemon that was started
anew has forgotten that. So each workbench says whose it is, and its owner ends what was left.
"""

import hashlib
import logging
import os
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntFlag
from pathlib import Path
from typing import Any, Protocol

from snapview.core.errors import (
    Conflict,
    ConnectionLost,
    HostError,
    NotFound,
    SnapviewError,
    Unsupported,
)
from snapview.core.vm import DiskLayer
from snapview.virt.disk_jobs import DiskJobs
from snapview.virt.errormap import Translated
from snapview.virt.xml import BadXml, parse_xml

_log = logging.getLogger(__name__)

NAME_PREFIX = "snapview-workbench-"
MEMORY_KIB = 32 << 10

_DESCRIPTION = "snapview merges images here. This goes away by itself. Owner:"
_MACHINE_ID = Path("/etc/machine-id")
_SOURCES = {"file": "file", "block": "dev"}


class StartFlag(IntFlag):
    """virDomainCreateFlags."""

    PAUSED = 1
    AUTODESTROY = 2


class ListFlag(IntFlag):
    """virConnectListAllDomainsFlags."""

    ACTIVE = 1
    TRANSIENT = 8


class Connection(Protocol):
    """What a workbench needs of its connection."""

    @property
    def uri(self) -> str:
        """The libvirt URI."""
        ...

    def connection(self) -> Any:
        """Return libvirt's handle of the connection."""
        ...

    @property
    def translated(self) -> Translated:
        """Turns libvirt's errors into ours."""
        ...


def workbench_name(uuid: str) -> str:
    """Return the name of a VM's workbench; there is one at a time."""
    return f"{NAME_PREFIX}{uuid}"


def is_workbench(name: str) -> bool:
    """Whether a domain is a workbench, which is no VM for anybody's eyes."""
    return name.startswith(NAME_PREFIX)


def owner(uri: str) -> str:
    """Return a mark of this account on this machine, as far as it uses that address."""
    try:
        machine = _MACHINE_ID.read_text(encoding="ascii")
    except (OSError, UnicodeError):
        machine = os.uname().nodename
    return hashlib.sha256(f"{machine} {os.getuid()} {uri}".encode()).hexdigest()[:16]


def end_left_behind(host: Connection, is_at_work: Callable[[str], bool]) -> None:
    """End the workbenches of this account that nobody works on any more.

    Args:
        host: the connection.
        is_at_work: whether a snapview of this account is at work on the VM of that UUID.
    """
    with host.translated("look for merges"):
        flags = ListFlag.ACTIVE | ListFlag.TRANSIENT
        domains = host.connection().listAllDomains(int(flags))
        benches = [domain for domain in domains if is_workbench(domain.name())]
    for domain in benches:
        uuid = domain.name().removeprefix(NAME_PREFIX)
        if not is_at_work(uuid) and _is_ours(host, domain):
            _log.info("ending the workbench of %s, which was left behind", uuid)
            _close(host, domain, None)


def find_jobs(host: Connection, uuid: str) -> DiskJobs | None:
    """Return the jobs of a VM's workbench, whoever opened it; None: there is none."""
    domain = _find(host, uuid)
    return None if domain is None else DiskJobs(lambda: domain, host.translated)


@contextmanager
def open_workbench(
    host: Connection,
    uuid: str,
    definition: Callable[[], str],
    disks: Sequence[tuple[str, tuple[DiskLayer, ...]]],
) -> Iterator[DiskJobs]:
    """Open images for as long as the context lasts.

    The caller is the only one of this account who is at work on the VM: a workbench of ours that is
    there already was left behind.

    Args:
        host: the connection; when it ends, so does the workbench.
        uuid: the VM the images belong to.
        definition: reads the VM's definition, for the kind of QEMU that knows its images.
        disks: for each, its target and its chain, the image to be opened for writing first.

    Raises:
        Unsupported: an image that is no file, or whose format is not recorded.
        Conflict: something else has one of the images open, or somebody else has a workbench.
        SnapviewError: whatever libvirt refused.
    """
    xml = build_workbench(definition(), uuid, disks, owner(host.uri))
    left = _find(host, uuid)
    if left is not None and not _is_ours(host, left):
        raise _taken(uuid)
    if left is not None:
        _close(host, left, None)
    try:
        with host.translated("open the images"):
            flags = StartFlag.PAUSED | StartFlag.AUTODESTROY
            domain = host.connection().createXML(xml, int(flags))
    except ConnectionLost:
        raise
    except SnapviewError as error:
        if _find(host, uuid) is not None:  # somebody was quicker
            raise _taken(uuid) from error
        raise
    failure: BaseException | None = None
    try:
        yield DiskJobs(lambda: domain, host.translated)
    except BaseException as error:
        failure = error
        raise
    finally:
        _close(host, domain, failure)


def _taken(uuid: str) -> Conflict:
    return Conflict(
        "Somebody else is merging images of this VM.",
        advice=f"Wait. If nobody is: virsh destroy {workbench_name(uuid)}",
    )


def _close(host: Connection, domain: Any, failure: BaseException | None) -> None:
    """End the workbench; it must not hide why the work itself failed."""
    try:
        with host.translated("close the images"):
            domain.destroy()
    except (NotFound, ConnectionLost):  # it has ended
        return
    except SnapviewError as error:
        if failure is None and _is_active(host, domain):
            raise
        _log.debug("the workbench is gone: %s", error.detail)


def _is_active(host: Connection, domain: Any) -> bool:
    try:
        with host.translated():
            return bool(domain.isActive())
    except NotFound:
        return False


def _find(host: Connection, uuid: str) -> Any:
    try:
        with host.translated("look for a merge"):
            return host.connection().lookupByName(workbench_name(uuid))
    except NotFound:
        return None


def _is_ours(host: Connection, domain: Any) -> bool:
    try:
        with host.translated("look at a merge"):
            text = domain.XMLDesc(0)
        description = parse_xml(text).findtext("description", "")
    except (NotFound, BadXml):
        return False
    return description == f"{_DESCRIPTION} {owner(host.uri)}"


def build_workbench(
    definition: str,
    uuid: str,
    disks: Sequence[tuple[str, tuple[DiskLayer, ...]]],
    whose: str = "",
) -> str:
    """Build the document of a workbench.

    Kind, machine, emulator and security labels are those of the VM, so that what may open its
    images may open them here. Chains are written out with their formats: nothing is probed.

    Raises:
        Unsupported: an image that is no file, or whose format is not recorded.
        HostError: the definition cannot be read.
    """
    try:
        vm = parse_xml(definition)
    except BadXml as error:
        raise HostError(f"The VM's definition cannot be read: {error}.") from error
    root = ET.Element("domain", type=vm.get("type", "qemu"))
    ET.SubElement(root, "name").text = workbench_name(uuid)
    ET.SubElement(root, "description").text = f"{_DESCRIPTION} {whose}"
    ET.SubElement(root, "memory", unit="KiB").text = str(MEMORY_KIB)
    ET.SubElement(root, "vcpu").text = "1"
    system = ET.SubElement(root, "os")
    kind = vm.find("os/type")
    named = {} if kind is None else {k: v for k, v in kind.items() if k in {"arch", "machine"}}
    ET.SubElement(system, "type", named).text = "hvm"
    devices = ET.SubElement(root, "devices")
    emulator = vm.findtext("devices/emulator")
    if emulator:
        ET.SubElement(devices, "emulator").text = emulator
    for target, chain in disks:
        devices.append(_build_disk(target, chain))
    ET.SubElement(devices, "controller", type="usb", model="none")
    ET.SubElement(devices, "memballoon", model="none")
    root.extend(vm.findall("seclabel"))
    return ET.tostring(root, encoding="unicode")


def _build_disk(target: str, chain: tuple[DiskLayer, ...]) -> ET.Element:
    if not chain:
        raise Unsupported(f"There is no image for {target}.")
    for layer in chain:
        if layer.type not in _SOURCES or not layer.path.startswith("/"):
            raise Unsupported(f"“{layer.path}” is no file, so it cannot be opened by itself.")
        if layer.format is None:
            raise Unsupported(
                f"Nobody has recorded the format of “{layer.path}”.",
                advice="snapview does not guess it: what a guest wrote could pass for a format.",
            )
    top, *below = chain
    disk = ET.Element("disk", type=top.type, device="disk")
    ET.SubElement(disk, "driver", name="qemu", type=top.format or "")
    ET.SubElement(disk, "source", {_SOURCES[top.type]: top.path})
    at = disk
    for layer in below:
        at = ET.SubElement(at, "backingStore", type=layer.type)
        ET.SubElement(at, "format", type=layer.format or "")
        ET.SubElement(at, "source", {_SOURCES[layer.type]: layer.path})
    ET.SubElement(at, "backingStore")
    ET.SubElement(disk, "target", dev=target, bus="virtio")
    return disk
