"""Put disks on other images in libvirt's documents, everything else untouched. Pure.

Edits of the text, because these documents hold more than we know of, and libvirt must get back
what it wrote. Hides where in a document a disk is: an element of foreign metadata that looks like
one is left alone.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from xml.parsers import expat

from snapview.core.vm import DiskLayer
from snapview.virt.xml import BadXml

_DOMAINS = ("domain", "inactiveDomain")
_TAG = re.compile(rb"<[^\s<>/]+(?:\s+[^\s=<>]+\s*=\s*(?:'[^']*'|\"[^\"]*\"))*\s*/?>")
_ATTRIBUTE = re.compile(rb"(\s)([^\s=<>]+)(\s*=\s*)('[^']*'|\"[^\"]*\")")
_SOURCES = {"file": "file", "block": "dev"}


@dataclass(slots=True)
class _Element:
    """An element with the places, in bytes, where it and its start tag begin and end."""

    name: str
    attributes: dict[str, str]
    start: int
    tag_end: int
    end: int = 0
    children: list["_Element"] = field(default_factory=list)

    def find(self, name: str) -> "_Element | None":
        return next((child for child in self.children if child.name == name), None)

    def all(self, path: str) -> Iterator["_Element"]:
        name, _, rest = path.partition("/")
        for child in self.children:
            if child.name == name:
                yield from child.all(rest) if rest else (child,)


def with_images(text: str, images: Mapping[str, DiskLayer]) -> str:
    """Return a domain's or a snapshot's document with disks on other images.

    Args:
        text: the document; of a snapshot all domains inside are changed.
        images: for each target its image, a file or block device. What is said of the images
            below is removed: libvirt then follows the headers.

    Raises:
        BadXml: the document cannot be read, or no domain in it has one of the disks.
    """
    data, root = _parse(text)
    cuts: list[tuple[int, int, bytes]] = []
    disks = [disk for domain in _domains_of(root) for disk in domain.all("devices/disk")]
    for target, image in images.items():
        found = [disk for disk in disks if _target(disk) == target]
        if not found:
            raise BadXml(f"there is no disk {target}")
        for disk in found:
            cuts += _edits(data, disk, image)
    return _cut(data, cuts)


def without_chains(text: str, paths: Collection[str]) -> str:
    """Return a document in which no disk says any more that one of the paths lies below it.

    Raises:
        BadXml: the document cannot be read.
    """
    data, root = _parse(text)
    disks = (disk for domain in _domains_of(root) for disk in domain.all("devices/disk"))
    chains = (disk.find("backingStore") for disk in disks)
    return _cut(
        data,
        [
            (_with_space(data, chain.start), chain.end, b"")
            for chain in chains
            if chain is not None and not _names_below(chain).isdisjoint(paths)
        ],
    )


def with_overlays(text: str, overlays: Mapping[str, str]) -> str:
    """Return a snapshot's document with other names for the images it created (target, path).

    Raises:
        BadXml: the document cannot be read.
    """
    data, root = _parse(text)
    sources = (
        (disk.attributes.get("name", ""), disk.find("source")) for disk in root.all("disks/disk")
    )
    return _cut(
        data,
        [
            _attributes(data, source, {"file": overlays[target]})
            for target, source in sources
            if source is not None and target in overlays
        ],
    )


def with_revert_overlays(text: str, overlays: Mapping[str, str]) -> str:
    """Return a snapshot's document with the images that a revert to it has made (target, path).

    Raises:
        BadXml: the document cannot be read.
    """
    data, root = _parse(text)
    disks = "".join(
        f"    <disk name={_quoted(target)} snapshot='external' type='file'>\n"
        f"      <driver type='qcow2'/>\n      <source file={_quoted(path)}/>\n    </disk>\n"
        for target, path in overlays.items()
    )
    made = f"\n  <revertDisks>\n{disks}  </revertDisks>".encode()
    old, before = root.find("revertDisks"), root.find("disks")
    if old is not None:
        return _cut(data, [(_with_space(data, old.start), old.end, made)])
    if before is None:
        raise BadXml("the snapshot does not say what it did to the disks")
    return _cut(data, [(before.end, before.end, made)])


def domain_in(text: str, *, is_live: bool) -> str:
    """Return the domain inside a snapshot's document, as a document of its own.

    Args:
        text: the snapshot's document.
        is_live: the VM as it ran; else as it is started the next time, where libvirt keeps both.

    Raises:
        BadXml: the document cannot be read, or holds no domain.
    """
    data, root = _parse(text)
    wanted = _DOMAINS if is_live else tuple(reversed(_DOMAINS))
    found = next((d for name in wanted if (d := root.find(name)) is not None), None)
    if found is None:
        raise BadXml("the snapshot does not record the machine")
    inside = data[found.start : found.end].decode()
    if found.name == "domain":
        return inside
    return f"<domain{inside.removeprefix('<inactiveDomain').removesuffix('inactiveDomain>')}domain>"


def _edits(data: bytes, disk: _Element, image: DiskLayer) -> Iterator[tuple[int, int, bytes]]:
    """Yield what to replace so that a disk lies on another image."""
    source, driver, chain = disk.find("source"), disk.find("driver"), disk.find("backingStore")
    is_plain = source is not None and not source.attributes.keys().isdisjoint(_SOURCES.values())
    if source is None or not is_plain or image.type not in _SOURCES:
        raise BadXml(f"the disk {_target(disk)} cannot be put on another image")
    kind = _SOURCES[image.type]
    yield _attributes(data, disk, {"type": image.type})
    gone = {name: None for name in source.attributes if name in _SOURCES.values() and name != kind}
    yield _attributes(data, source, {**gone, "index": None, kind: image.path})
    if image.format is not None and driver is not None:
        yield _attributes(data, driver, {"type": image.format})
    if chain is not None:
        yield _with_space(data, chain.start), chain.end, b""


def _attributes(
    data: bytes, element: _Element, wanted: Mapping[str, str | None]
) -> tuple[int, int, bytes]:
    """Return the replacement of a start tag; None drops an attribute."""
    left = {name: value for name, value in wanted.items() if value is not None}

    def change(match: re.Match[bytes]) -> bytes:
        space, name, equals = match[1], match[2].decode(), match[3]
        if name not in wanted:
            return match[0]
        value = left.pop(name, None)
        return b"" if value is None else space + match[2] + equals + _quoted(value).encode()

    tag = _ATTRIBUTE.sub(change, data[element.start : element.tag_end])
    added = "".join(f" {name}={_quoted(value)}" for name, value in left.items()).encode()
    name_end = 1 + len(element.name.encode())
    return element.start, element.tag_end, tag[:name_end] + added + tag[name_end:]


def _quoted(value: str) -> str:
    text = escape(value)
    for space in "\t\n\r":  # or a reader takes them for blanks
        text = text.replace(space, f"&#{ord(space)};")
    return f"'{text}'"


def _names_below(chain: _Element) -> set[str]:
    """Return the images that a chain names."""
    names: set[str] = set()
    at: _Element | None = chain
    while at is not None:
        source = at.find("source")
        names |= set(source.attributes.values()) if source is not None else set()
        at = at.find("backingStore")
    return names


def _target(disk: _Element) -> str:
    target = disk.find("target")
    return target.attributes.get("dev", "") if target is not None else ""


def _domains_of(root: _Element) -> list[_Element]:
    if root.name in _DOMAINS:
        return [root]
    return [child for child in root.children if child.name in _DOMAINS]


def _with_space(data: bytes, start: int) -> int:
    """Return where the white space before a place begins."""
    return len(data[:start].rstrip())


def _cut(data: bytes, cuts: list[tuple[int, int, bytes]]) -> str:
    for start, end, instead in sorted(cuts, reverse=True):
        data = data[:start] + instead + data[end:]
    return data.decode()


def _parse(text: str) -> tuple[bytes, _Element]:
    """Return a document as bytes, and its root."""
    try:
        data = text.encode()
    except UnicodeError as error:
        raise BadXml(str(error)) from error
    top = _Element("", {}, 0, 0)
    open_elements = [top]
    parser = expat.ParserCreate("utf-8")

    def begin(name: str, attributes: dict[str, str]) -> None:
        start = parser.CurrentByteIndex
        element = _Element(name, attributes, start, _tag_end(data, start))
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_name: str) -> None:
        element = open_elements.pop()
        is_empty = data[element.start : element.tag_end].endswith(b"/>")
        close = data.find(b">", parser.CurrentByteIndex)
        element.end = element.tag_end if is_empty else close + 1

    def refuse(*_: object) -> None:
        raise BadXml("document types are not accepted")

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise BadXml(str(error)) from error
    return data, top.children[0]


def _tag_end(data: bytes, start: int) -> int:
    """Return where the start tag that begins at ``start`` ends; values may hold a ``>``."""
    match = _TAG.match(data, start)
    if match is None:
        raise BadXml("a tag cannot be read")
    return match.end()
