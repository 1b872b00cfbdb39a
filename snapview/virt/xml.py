"""Read and build libvirt's XML for domains and snapshots. Pure; knows no connection.

Hides libvirt's document formats. Documents come from a daemon that may belong to somebody else,
so they are taken as hostile: no document types, no entities, and whatever is missing is unknown.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape  # that of xml.sax loads urllib, ssl and email: 20 ms

from snapview.core.operations import split_description
from snapview.core.vm import (
    EPOCH,
    DiskChain,
    DiskLayer,
    Hardware,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotState,
)
from snapview.virt.disk_xml import Mirror, chains_of, layer_of, mirrors_of, target_of

AGENT_CHANNEL = "org.qemu.guest_agent.0"

STATES = {
    "running": SnapshotState.RUNNING,
    "blocked": SnapshotState.RUNNING,
    "paused": SnapshotState.PAUSED,
    "pmsuspended": SnapshotState.PAUSED,
    "shutoff": SnapshotState.SHUTOFF,
    "shutdown": SnapshotState.SHUTOFF,
    "crashed": SnapshotState.SHUTOFF,
    "disk-snapshot": SnapshotState.DISK_ONLY,
}

_UNITS = {"b": 1, "bytes": 1, "kib": 1 << 10, "k": 1 << 10, "kb": 1000, "mib": 1 << 20}
_UNITS |= {"m": 1 << 20, "mb": 10**6, "gib": 1 << 30, "g": 1 << 30, "gb": 10**9, "tib": 1 << 40}


class BadXml(ValueError):
    """The document cannot be read."""


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """What one domain document says."""

    uuid: str
    name: str
    title: str
    hardware: Hardware
    mirrors: tuple[Mirror, ...]


def parse_xml(text: str) -> ET.Element:
    """Parse a document from libvirt.

    Raises:
        BadXml: not well-formed, or with a document type (libvirt never writes one).
    """
    if "<!" in text and re.search(r"<!(DOCTYPE|ENTITY)", text):
        raise BadXml("document types are not accepted")
    try:
        return ET.fromstring(text)
    except (ET.ParseError, ValueError) as error:  # ValueError: text that is no Unicode
        raise BadXml(str(error)) from error


def parse_domain(text: str) -> DomainFacts:
    """Read a domain's XML, live or inactive.

    Raises:
        BadXml: the document cannot be read.
    """
    root = parse_xml(text)
    devices = root.find("devices")
    disks = devices.findall("disk") if devices is not None else []
    return DomainFacts(
        uuid=root.findtext("uuid", ""),
        name=root.findtext("name", ""),
        title=" ".join(root.findtext("title", "").split()),
        hardware=_hardware(root),
        mirrors=tuple(mirrors_of(disks)),
    )


def parse_disks(text: str) -> tuple[DiskChain, ...]:
    """Read only the disks of a domain's XML: several times faster for hundreds of VMs.

    Raises:
        BadXml: the document cannot be read.
    """
    is_plain = "<!" not in text and text.count("<devices>") == 1
    if is_plain:
        return tuple(_quick_disks(text))
    return parse_domain(text).hardware.disks


def find_disk(text: str, target: str) -> ET.Element | None:
    """Return a disk's element in a domain's XML.

    Raises:
        BadXml: the document cannot be read.
    """
    disks = parse_xml(text).findall("devices/disk")
    return next((disk for disk in disks if target_of(disk) == target), None)


def parse_snapshot(text: str) -> Snapshot:
    """Read a snapshot's XML.

    The domains inside are cut off before parsing, which makes it ten times faster; of an external
    snapshot the disks of the domain inside are read, because they name the frozen images.

    Raises:
        BadXml: the document cannot be read.
    """
    head, domain = _split_domain(text)
    root = parse_xml(head)
    chains = _quick_disks(domain) if domain else chains_of(root.findall("domain/devices/disk"))
    name = root.findtext("name")
    if not name:
        raise BadXml("the snapshot has no name")
    state = STATES.get(root.findtext("state", ""), SnapshotState.UNKNOWN)
    memory = root.find("memory")
    where = memory.get("snapshot") if memory is not None else None
    has_memory = where in {"internal", "external"}
    frozen = {chain.target: chain.active for chain in chains}
    disks = _snapshot_disks(root.find("disks"), frozen)
    title, description = split_description(name, root.findtext("description", ""))
    return Snapshot(
        name=name,
        title=title,
        description=description,
        parent=root.findtext("parent/name"),
        kind=kind_of(where, disks, state),
        state=state,
        has_memory=has_memory,
        memory_path=memory.get("file") if memory is not None and where == "external" else None,
        created_at=moment(root.findtext("creationTime")),
        disks=disks,
        revert_overlays=_snapshot_disks(root.find("revertDisks"), {}),
    )


def parse_snapshot_hardware(text: str) -> Hardware:
    """Read the VM's hardware at the time of a snapshot from the snapshot's XML.

    Raises:
        BadXml: the document cannot be read, or holds no domain.
    """
    domain = parse_xml(text).find("domain")
    if domain is None:
        raise BadXml("the snapshot does not record the machine's hardware")
    return _hardware(domain)


def build_snapshot(
    name: str,
    description: str,
    *,
    memory_path: str | None,
    disks: Iterable[SnapshotDisk],
) -> str:
    """Build the document for ``snapshotCreateXML``.

    Args:
        name: a plain name.
        description: title and description, joined.
        memory_path: the memory file of an external snapshot with memory, else None.
        disks: what happens to each disk; empty for internal snapshots, where libvirt's default
            is right. Overlays are always qcow2, with their file named.
    """
    root = ET.Element("domainsnapshot")
    ET.SubElement(root, "name").text = name
    if description:
        ET.SubElement(root, "description").text = description
    if memory_path is not None:
        ET.SubElement(root, "memory", snapshot="external", file=memory_path)
    parts = [_build_disk(disk) for disk in disks]
    if parts:
        ET.SubElement(root, "disks").extend(parts)
    return ET.tostring(root, encoding="unicode")


def _build_disk(disk: SnapshotDisk) -> ET.Element:
    """Build the element that says what happens to one disk."""
    element = ET.Element("disk", name=disk.target, snapshot=disk.mode)
    if disk.overlay is not None:
        ET.SubElement(element, "driver", type="qcow2")
        ET.SubElement(element, "source", file=disk.overlay.path)
    return element


def with_description(text: str, description: str) -> str:
    """Return a snapshot's XML with another description, everything else untouched.

    An edit of the text, because libvirt's documents hold more than we know of.
    """
    return _with_element(text, "description", escape(description, quote=False))


def with_created_at(text: str, created_at: datetime) -> str:
    """Return a snapshot's XML with another time of creation, everything else untouched."""
    return _with_element(text, "creationTime", str(int(created_at.timestamp())))


def _with_element(text: str, tag: str, content: str) -> str:
    """Set one element of the document's head."""
    end = _domain_start(text)
    head, rest = (text, "") if end is None else (text[:end], text[end:])
    element = f"<{tag}>{content}</{tag}>"
    found = re.search(rf"<{tag}>.*?</{tag}>|<{tag}\s*/>", head, re.DOTALL)
    if found:
        head = head[: found.start()] + element + head[found.end() :]
    else:
        head = head.replace("</name>", f"</name>\n  {element}", 1)
    return head + rest


def _domain_start(text: str) -> int | None:
    """Return where the first domain inside a snapshot's document begins."""
    found = re.search(r"<domain[\s>]", text)
    return found.start() if found else None


def _split_domain(text: str) -> tuple[str, str]:
    """Return a snapshot's document without the domains inside, and the first of these domains.

    libvirt writes the domains in one block behind everything that is read here, and escapes every
    ``<`` in texts. A document that does not look so is parsed whole, and so is one in which
    foreign ``<metadata>`` hold elements that could be taken for the domain's own.
    """
    start = _domain_start(text)
    domains = 1 + text.count("</inactiveDomain>")
    is_plain = text.count("</domain>") == 1 and text.count("<devices>") == domains
    if start is None or "<!" in text or not is_plain:
        return text, ""
    end = max(text.rfind("</domain>"), text.rfind("</inactiveDomain>"))
    close = text.find(">", end)
    first = text.find("</domain>", start)
    if first < 0 or close < 0:
        return text, ""
    return text[:start] + text[close + 1 :], text[start:first]


def _quick_disks(domain: str) -> list[DiskChain]:
    """Read only the disks of the domain inside a snapshot."""
    blocks = re.findall(r"<disk[\s>].*?</disk>", domain[domain.find("<devices>") :], re.DOTALL)
    return chains_of(parse_xml(f"<devices>{''.join(blocks)}</devices>").findall("disk"))


def _snapshot_disks(
    parent: ET.Element | None, frozen: dict[str, DiskLayer | None]
) -> tuple[SnapshotDisk, ...]:
    """Read ``<disks>`` or ``<revertDisks>``."""
    if parent is None:
        return ()
    found = []
    for element in parent.findall("disk"):
        target, mode = element.get("name", ""), element.get("snapshot", "internal")
        overlay = layer_of(element) if mode == "external" else None
        found.append(SnapshotDisk(target, mode, frozen.get(target), overlay))
    return tuple(found)


def kind_of(
    memory: str | None, disks: tuple[SnapshotDisk, ...], state: SnapshotState
) -> SnapshotKind:
    """Say where the state lies, by the disks and the memory together."""
    where = {disk.mode for disk in disks} & {"internal", "external"}
    where |= {memory} & {"internal", "external"} if memory else set()
    if len(where) > 1:
        return SnapshotKind.MIXED
    if where == {"external"} or (not where and state is SnapshotState.DISK_ONLY):
        return SnapshotKind.EXTERNAL
    return SnapshotKind.INTERNAL


def moment(text: str | None) -> datetime:
    """Read libvirt's seconds since 1970; the epoch when unknown."""
    try:
        return datetime.fromtimestamp(int(text or 0), tz=UTC)
    except (ValueError, OverflowError, OSError):
        return EPOCH


def _hardware(domain: ET.Element) -> Hardware:
    """Read the hardware from a ``<domain>`` element."""
    devices = domain.find("devices")
    devices = devices if devices is not None else ET.Element("devices")
    machine = domain.find("os/type")
    firmware, nvram_format = _firmware(domain)
    vcpu = domain.find("vcpu")
    return Hardware(
        vcpus=_number(vcpu.get("current") or vcpu.text) if vcpu is not None else None,
        memory_bytes=_bytes(domain.find("currentMemory")) or _bytes(domain.find("memory")),
        machine=machine.get("machine", "") if machine is not None else "",
        firmware=firmware,
        nvram_format=nvram_format,
        disks=tuple(chains_of(devices.findall("disk"))),
        interfaces=len(devices.findall("interface")),
        blockers=_blockers(devices),
        has_guest_agent=any(
            target.get("name") == AGENT_CHANNEL for target in devices.findall("channel/target")
        ),
        has_tpm=devices.find("tpm") is not None,
        os_name=_os_name(domain),
    )


def _firmware(domain: ET.Element) -> tuple[str, str | None]:
    """Return bios or uefi, and the format of the file with its variables."""
    system = domain.find("os")
    loader = domain.find("os/loader")
    if system is None:
        return "bios", None
    is_uefi = system.get("firmware") == "efi" or (
        loader is not None and loader.get("type") == "pflash"
    )
    nvram = domain.find("os/nvram")
    recorded = nvram.get("format") if nvram is not None else None
    return ("uefi", recorded or "raw") if is_uefi else ("bios", None)


def _bytes(element: ET.Element | None) -> int | None:
    """Read a size with libvirt's units; KiB when none is given."""
    number = _number(element.text) if element is not None else None
    unit = _UNITS.get(element.get("unit", "KiB").lower()) if element is not None else None
    return number * unit if number is not None and unit else None


def _number(text: str | None) -> int | None:
    """Read a whole number; None for anything else, also one that is too long to be true."""
    found = re.fullmatch(r"\s*([0-9]{1,20})\s*", text or "")
    return int(found[1]) if found else None


def _blockers(devices: ET.Element) -> tuple[str, ...]:
    """Name the devices with which QEMU cannot save the memory, as far as XML shows them."""
    found = []
    if devices.findall("hostdev"):
        found.append("a device of the host is passed through")
    for folder in devices.findall("filesystem"):
        driver = folder.find("driver")
        kind = driver.get("type", "path") if driver is not None else "path"
        found.append(
            f"a folder of the host is shared ({'virtiofs' if kind == 'virtiofs' else '9p'})"
        )
    return tuple(dict.fromkeys(found))


def _os_name(domain: ET.Element) -> str:
    """Return the guest's system as libosinfo's identifier ends: ``debian/13`` is Debian 13."""
    space = "{http://libosinfo.org/xmlns/libvirt/domain/1.0}"
    system = domain.find(f"metadata/{space}libosinfo/{space}os")
    if system is None:
        return ""
    parts = system.get("id", "").removeprefix("http://").split("/")[1:]
    return " ".join(parts).title() if len(parts) == 2 else ""
