"""What libvirt's storage driver says of the files of a folder, and what to make of it. Pure.

Hides libvirt's volume documents, and two ways in which headers deceive: a guest can write what
looks like a header into its raw disk, and a folder may be known by two names.
"""

import posixpath
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from snapview.core.errors import HostError
from snapview.core.storage import ImageFile
from snapview.core.vm import DiskChain, DiskLayer
from snapview.virt.xml import parse_xml

# Listing a folder opens every file in it, and opening a device can do things. A hostile header may
# name a file of the system; nobody keeps images beside these.
FORBIDDEN_FOLDERS = ("/dev", "/proc", "/sys", "/etc", "/boot", "/usr", "/bin", "/sbin", "/lib")


@dataclass(frozen=True, slots=True)
class Volume:
    """One file of a folder. ``stamp`` tells whether two names are of one unchanged file."""

    image: ImageFile
    stamp: str = ""
    permissions: tuple[str, str, str] | None = None  # mode (octal), owner, group


@dataclass(frozen=True, slots=True)
class Folder:
    """What libvirt says of one folder: its plain files by name."""

    path: str
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    free_bytes: int = 0


def split_path(path: str) -> tuple[str, str]:
    """Return folder and name of a file.

    Raises:
        HostError: it is no plain path, or lies where no images can.
    """
    folder, name = posixpath.split(path)
    is_plain = path.startswith("/") and posixpath.normpath(path) == path and bool(name)
    if not is_plain or not path.isprintable() or is_forbidden(folder):
        raise HostError(f"“{path}” is no path of an image file.")
    return folder, name


def is_forbidden(folder: str) -> bool:
    """Whether a folder must not be listed."""
    return any(folder == each or folder.startswith(f"{each}/") for each in FORBIDDEN_FOLDERS)


def folder_of(path: str) -> str | None:
    """Return the folder of a path that may be anything; None: not one to look into."""
    try:
        return split_path(path)[0]
    except HostError:
        return None


def parse_volume(text: str, folder: str) -> tuple[str, Volume] | None:
    """Read a volume's XML; None for what is no plain file.

    Args:
        text: libvirt's document.
        folder: its real folder, by whatever name libvirt knows it.

    Raises:
        BadXml: the document cannot be read.
    """
    root = parse_xml(text)
    name = root.findtext("name", "")
    if root.get("type", "file") != "file" or not name or "/" in name or name in {".", ".."}:
        return None
    backing = root.findtext("backingStore/path") or None
    backing_format = root.find("backingStore/format")
    own_format = root.find("target/format")
    permissions = _permissions(root.find("target/permissions"))
    image = ImageFile(
        path=posixpath.join(folder, name),
        format=own_format.get("type") if own_format is not None else None,
        backing=_without_dots(backing) if backing else None,
        backing_format=backing_format.get("type") if backing_format is not None else None,
        capacity_bytes=_bytes(root.find("capacity")),
        allocation_bytes=_bytes(root.find("allocation")),
        is_open_to_all=permissions is not None and bool(int(permissions[0], 8) & 0o004),
    )
    times = [root.findtext(f"target/timestamps/{which}", "") for which in ("mtime", "ctime")]
    stamp = f"{image.capacity_bytes}/{'/'.join(times)}" if all(times) else ""
    return name, Volume(image, stamp, permissions)


def build_volume(name: str, base: DiskLayer, permissions: tuple[str, str, str] | None) -> str:
    """Build the document of an empty qcow2 image on another one.

    Nobody but owner and group may read it, whatever the base allows (CVE-2025-13193).

    Args:
        name: of the file.
        base: what it lies on; its format must be known.
        permissions: those of the base, None: libvirt's own choice of owner and group.
    """
    root = ET.Element("volume", type="file")
    ET.SubElement(root, "name").text = name
    target = ET.SubElement(root, "target")
    ET.SubElement(target, "format", type="qcow2")
    given = ET.SubElement(target, "permissions")
    mode = int(permissions[0], 8) & 0o660 if permissions else 0
    ET.SubElement(given, "mode").text = f"0{mode | 0o600:o}"
    if permissions:
        ET.SubElement(given, "owner").text = permissions[1]
        ET.SubElement(given, "group").text = permissions[2]
    ET.SubElement(target, "compat").text = "1.1"  # libvirt 9.0 makes 0.10 otherwise
    store = ET.SubElement(root, "backingStore")
    ET.SubElement(store, "path").text = base.path
    ET.SubElement(store, "format", type=base.format or "")
    return ET.tostring(root, encoding="unicode")


def images_of(
    folders: Iterable[Folder], said: Iterable[DiskLayer], known: Iterable[str]
) -> dict[str, ImageFile]:
    """Return the images of all folders, by path, with headers that can be believed.

    Args:
        folders: what libvirt told.
        said: images as definitions name them, with their formats.
        known: the paths by which definitions and records name images.
    """
    folders = list(folders)
    other_names = aliases(folders, {folder_of(path) for path in known})
    images: dict[str, ImageFile] = {}
    for folder in folders:
        if folder.path not in other_names:
            for volume in folder.volumes.values():
                image = volume.image
                images[image.path] = replace(image, backing=_renamed(image.backing, other_names))
    return _without_false_headers(images, said)


def aliases(folders: Iterable[Folder], known: Iterable[str | None]) -> dict[str, str]:
    """Find folders that are listed twice, behind a symbolic link; other name -> the usual name.

    Of such a pair, the name that definitions and records use is the usual one. Where they use
    both, neither is replaced: see ``doubtful``.
    """
    known, found = set(known), dict[str, str]()
    for paths in _same_folders(folders):
        usual = next((path for path in paths if path in known), paths[0])
        found |= {path: usual for path in paths if path != usual and path not in known}
    return found


def doubtful(folders: Iterable[Folder], known: Iterable[str | None]) -> frozenset[str]:
    """Return folders that definitions and records know by two names: nothing is proven there."""
    usual = [set(known).intersection(paths) for paths in _same_folders(folders)]
    return frozenset(path for paths in usual if len(paths) > 1 for path in paths if path)


def to_follow(
    images: Mapping[str, ImageFile], roots: Iterable[str], seen: Iterable[str]
) -> set[str]:
    """Return the folders, not looked into yet, in which chains go on.

    Args:
        images: what is known so far.
        roots: the images whose chains count.
        seen: the folders that were looked into.
    """
    seen, found = set(seen), set()
    names = {posixpath.basename(path) for path in images}
    for image in images.values():
        # An overlay that names our image by another path: perhaps the same folder by another name.
        if image.backing and posixpath.basename(image.backing) in names:
            found.add(folder_of(image.backing))
    walked: set[str] = set()
    for root in roots:
        at: str | None = root
        while at is not None and at in images and at not in walked:
            walked.add(at)
            image = images[at]
            at = image.backing if image.has_plain_backing else None
        if at is not None:
            found.add(folder_of(at))
    return {folder for folder in found if folder is not None and folder not in seen}


def layers_of(disks: Iterable[DiskChain]) -> tuple[DiskLayer, ...]:
    """Return all image files that disks name, at any depth."""
    return tuple(layer for disk in disks for layer in disk.layers if layer.type == "file")


def _same_folders(folders: Iterable[Folder]) -> list[list[str]]:
    """Return the names of folders that have several; at least one file must be the same."""
    found: list[list[Folder]] = []
    for folder in folders:
        for group in found:
            if _is_same(group[0], folder):
                group.append(folder)
                break
        else:
            found.append([folder])
    return [[folder.path for folder in group] for group in found if len(group) > 1]


def _is_same(one: Folder, other: Folder) -> bool:
    """Whether two folders hold the same names, and an unchanged file in common."""
    return one.volumes.keys() == other.volumes.keys() and any(
        volume.stamp and volume.stamp == other.volumes[name].stamp
        for name, volume in one.volumes.items()
    )


def _renamed(path: str | None, other_names: Mapping[str, str]) -> str | None:
    """Return a path by the usual name of its folder."""
    if path is None or not path.startswith("/"):
        return path
    folder, name = posixpath.split(path)
    return posixpath.join(other_names.get(folder, folder), name)


def _without_false_headers(
    images: dict[str, ImageFile], said: Iterable[DiskLayer]
) -> dict[str, ImageFile]:
    """Take an image that everybody calls raw as raw, whatever its guest wrote into it.

    libvirt's storage driver looks into the files and believes them; QEMU goes by what definitions
    and the headers above record. Headers to which no definition leads say nothing of others.
    """
    formats: dict[str, set[str]] = {}
    queue = [layer for layer in said if layer.format is not None]
    for layer in queue:  # grows while it is walked
        told = formats.setdefault(layer.path, set())
        if layer.format is None or layer.format in told:
            continue
        told.add(layer.format)
        image = images.get(layer.path)
        if layer.format != "raw" and image and image.backing and image.backing_format:
            queue.append(DiskLayer(image.backing, image.backing_format))
    return {
        path: replace(image, format="raw", backing=None, backing_format=None)
        if formats.get(path) == {"raw"}
        else image
        for path, image in images.items()
    }


def _without_dots(path: str) -> str:
    """Return a path without what changes nothing in it; ``..`` stays, as it may follow a link."""
    if not path.startswith("/"):
        return path
    return "/" + "/".join(part for part in path.split("/") if part not in {"", "."})


def _permissions(element: ET.Element | None) -> tuple[str, str, str] | None:
    if element is None:
        return None
    mode, owner, group = (element.findtext(tag, "") for tag in ("mode", "owner", "group"))
    is_plain = re.fullmatch("[0-7]{1,5}", mode) and owner.isdecimal() and group.isdecimal()
    return (mode, owner, group) if is_plain else None


def _bytes(element: ET.Element | None) -> int | None:
    """Read a size; libvirt writes volumes' sizes in bytes."""
    text = (element.text or "").strip() if element is not None else ""
    is_number = re.fullmatch("[0-9]{1,20}", text) is not None
    return int(text) if is_number and _unit(element) == "bytes" else None


def _unit(element: ET.Element | None) -> str:
    return element.get("unit", "bytes") if element is not None else ""
