"""The disks in libvirt's documents: their chains, and what QEMU does with them. Pure."""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from snapview.core.vm import DiskChain, DiskLayer


@dataclass(frozen=True, slots=True)
class Mirror:
    """A job that writes to another image as well, until somebody ends it.

    ``path`` is that image; ``is_ready``: it has caught up, and the disk can be pivoted to it.
    """

    disk: str
    job: str  # copy, active-commit
    path: str = ""
    is_ready: bool = False


def target_of(disk: ET.Element) -> str:
    """Return a disk's target, such as vda; empty when it has none."""
    target = disk.find("target")
    return target.get("dev", "") if target is not None else ""


def chains_of(disks: Iterable[ET.Element]) -> list[DiskChain]:
    """Read disks with their chains, the active image first."""
    chains = []
    for disk in disks:
        layers: list[DiskLayer] = []
        at: ET.Element | None = disk
        while at is not None and (layer := layer_of(at)) is not None:
            layers.append(layer)
            at = at.find("backingStore")
        chains.append(
            DiskChain(
                target=target_of(disk),
                layers=tuple(layers),
                device=disk.get("device", "disk"),
                is_readonly=disk.find("readonly") is not None,
                defined=len(layers),
                # libvirt ends a chain that it has walked with an empty <backingStore/>
                is_complete=at is not None and bool(layers),
            )
        )
    return chains


def layer_of(element: ET.Element) -> DiskLayer | None:
    """Read the image of a disk or of a backing store; None for an empty drive."""
    source = element.find("source")
    if source is None or not source.attrib:
        return None
    kind = element.get("type", "file")
    name: dict[str, Callable[[], str]] = {
        "file": lambda: source.get("file", ""),
        "volume": lambda: f"{source.get('pool', '')}/{source.get('volume', '')}",
        "network": lambda: f"{source.get('protocol', '')}:{source.get('name', '')}",
        "block": lambda: source.get("dev", ""),
        "dir": lambda: source.get("dir", ""),
    }
    # Of a kind that is not known here, such as nvme, it is known that there is a disk.
    path = name.get(kind, lambda: kind)()
    driver = element.find("driver")
    of_format = element.find("format")
    recorded = driver if driver is not None else of_format
    layer_format = recorded.get("type") if recorded is not None else None
    return DiskLayer(path, layer_format, kind) if path else None


def mirrors_of(disks: Iterable[ET.Element]) -> list[Mirror]:
    """Read the jobs that mirror a disk; jobs of other kinds are not in the document."""
    found = []
    for disk in disks:
        mirror = disk.find("mirror")
        if mirror is not None:
            layer = layer_of(mirror)
            path = layer.path if layer is not None else mirror.get("file", "")
            is_ready = mirror.get("ready") == "yes"  # also "abort" and "pivot": about to end
            found.append(Mirror(target_of(disk), mirror.get("job", "copy"), path, is_ready))
    return found


def image_indexes(disk: ET.Element) -> dict[str, str]:
    """Return libvirt's index of each image that QEMU has open for a disk, by its path.

    Empty for a VM that is off. An image that occurs twice counts where it lies highest.
    """
    found: dict[str, str] = {}
    at: ET.Element | None = disk
    while at is not None and (layer := layer_of(at)) is not None:
        source = at.find("source")
        index = source.get("index") if source is not None else None
        index = index or at.get("index")  # of a backing store it is the element's own
        if index:
            found.setdefault(layer.path, index)
        at = at.find("backingStore")
    return found
