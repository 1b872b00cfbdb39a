"""The quick reader: what it reads must be what the parser reads, of whatever document."""

from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.vm import Snapshot, SnapshotKind
from snapview.virt import snapshot_text
from snapview.virt.snapshot_text import read_snapshot
from snapview.virt.xml import BadXml, parse_snapshot
from tests.lab import Lab

DOMAIN = """\
  <domain type='qemu'>
    <name>web</name>
    <description>{description}</description>
    {metadata}<devices>
      <emulator>/usr/bin/qemu-system-x86_64</emulator>
      <disk type='file' device='disk'>
        <driver name='qemu' type='qcow2' discard='unmap'/>
        <source file={frozen}/>
        <backingStore type='file'>
          <format type='raw'/>
          <source file='/images/base.raw'/>
          <backingStore/>
        </backingStore>
        <target dev='vda' bus='virtio'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>
      </disk>
      <disk type='file' device='cdrom'>
        <driver name='qemu' type='raw'/>
        <target dev='sda' bus='sata'/>
        <readonly/>
      </disk>
    </devices>
  </domain>
  <inactiveDomain type='qemu'>
    <devices>
      <disk type='file' device='disk'>
        <driver name='qemu' type='raw'/>
        <source file='/not/this'/>
        <target dev='vda' bus='virtio'/>
      </disk>
    </devices>
  </inactiveDomain>
  <cookie>
    <cpu mode='custom' match='exact' check='partial'/>
  </cookie>
"""
EXTERNAL = """\
    <disk name='vda' snapshot='external' type='file'>
      <driver type='qcow2'/>
      <source file={overlay}/>
    </disk>
    <disk name='sda' snapshot='no'/>
"""
INTERNAL = """\
    <disk name='vda' snapshot='internal'/>
    <disk name='sda' snapshot='no'/>
"""

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
paths = st.sampled_from(
    ["/images/web.qcow2", "/images/a&b's <new>.qcow2", "/images/\u00e4\n.qcow2"]
)
metadata = st.sampled_from(
    [
        "",
        "<metadata><own:pin xmlns:own='u'>devices</own:pin></metadata>\n    ",
        "<metadata><devices xmlns='u'><disk x='y'/></devices></metadata>\n    ",
        "<metadata xmlns:o='u'><o:disk/></metadata>\n    ",
    ]
)


def document(
    name: str = "s1",
    description: str = "",
    parent: str | None = None,
    *,
    state: str = "running",
    memory: str = "<memory snapshot='internal'/>",
    disks: str = INTERNAL,
    domain: str = DOMAIN,
    overlay: str = "/images/web.s1",
    frozen: str = "/images/web.qcow2",
    metadata: str = "",
) -> str:
    """Return a snapshot's document as libvirt writes it."""
    parts = [f"<domainsnapshot>\n  <name>{escape(name)}</name>\n"]
    if description:
        parts.append(f"  <description>{escape(description)}</description>\n")
    parts.append(f"  <state>{state}</state>\n")
    if parent is not None:
        parts.append(f"  <parent>\n    <name>{escape(parent)}</name>\n  </parent>\n")
    parts.append("  <creationTime>1788199499</creationTime>\n")
    parts.append(f"  {memory}\n" if memory else "")
    parts.append(f"  <disks>\n{disks}  </disks>\n".replace("{overlay}", attribute(overlay)))
    shown = domain.replace("{frozen}", attribute(frozen)).replace("{metadata}", metadata)
    parts.append(shown.replace("{description}", escape(description)))
    return "".join(parts) + "</domainsnapshot>\n"


def attribute(value: str) -> str:
    """Return a value in quotes as libvirt writes them."""
    inner = quoteattr(value)[1:-1].replace("'", "&apos;")
    return f"'{inner}'"


def either(text: str) -> tuple[object, object]:
    """Return what both readers say, an error as words."""
    answers: list[object] = []
    for reader in (read_snapshot, parse_snapshot):
        try:
            answers.append(reader(text))
        except BadXml as error:
            answers.append(str(error))
    return answers[0], answers[1]


@given(texts, texts, st.none() | texts, paths, paths, metadata)
def test_both_readers_agree(
    name: str, description: str, parent: str | None, overlay: str, frozen: str, metadata: str
) -> None:
    for disks, memory in ((INTERNAL, ""), (EXTERNAL, "<memory snapshot='external' file='/m'/>")):
        text = document(
            name,
            description,
            parent,
            disks=disks,
            memory=memory,
            overlay=overlay,
            frozen=frozen,
            metadata=metadata,
        )
        quick, parsed = either(text)
        assert quick == parsed


ODD = {
    "cut off": document()[:-30],
    "cut off in the domain": document()[:700],
    "without a domain": document(domain=""),
    "no disks": document(disks=""),
    "a document type": document().replace("<name>", "<!DOCTYPE x><name>", 1),
    "an unknown entity": document().replace("<name>s1", "<name>&x;s1", 1),
    "a numeric entity": document().replace("<name>s1", "<name>&#x73;1", 1),
    "a carriage return": document("s1", "one\r\ntwo"),
    "other quotes": document().replace("snapshot='internal'", 'snapshot="internal"'),
    "an unknown state": document(state="dreaming"),
    "an unknown element": document().replace("  <creationTime>", "  <new/>\n  <creationTime>"),
    "a block device": document(disks=EXTERNAL.replace("type='file'", "type='block'")),
    "an overlay without file": document(disks=EXTERNAL, overlay=""),
    "overlays of reverts": document(disks=EXTERNAL).replace(
        "  </disks>\n", "  </disks>\n  <revertDisks>\n" + EXTERNAL + "  </revertDisks>\n"
    ),
    "another kind of disk": document().replace("<disk type='file' d", "<disk type='nvme' d", 1),
    "an encrypted disk": document().replace(
        "/web.qcow2'/>", "/web.qcow2'>\n<encryption format='luks'/>\n</source>", 1
    ),
    "nothing": "",
    "no snapshot": "<domain/>",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_what_does_not_fit_is_parsed(text: str) -> None:
    quick, parsed = either(text)
    assert quick == parsed


def test_the_image_of_the_first_domain_is_the_frozen_one() -> None:
    disk = read_snapshot(document(disks=EXTERNAL)).disks[0]
    assert disk.frozen is not None
    assert disk.overlay is not None
    assert (disk.frozen.path, disk.overlay.path) == ("/images/web.qcow2", "/images/web.s1")


@pytest.fixture
def no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the quick reader have nobody to ask."""

    def refuse(text: str) -> Snapshot:
        raise AssertionError(f"libvirt writes it otherwise now:\n{text[:1500]}")

    monkeypatch.setattr(snapshot_text, "parse_snapshot", refuse)


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize("disks", [INTERNAL, EXTERNAL])
def test_usual_documents_need_no_parser(disks: str) -> None:
    assert read_snapshot(document("s1", "Tests & <trials>", "s0", disks=disks)).name == "s1"


@pytest.mark.usefixtures("no_parser")
def test_what_libvirt_writes_needs_no_parser(lab: Lab) -> None:
    name = lab.unique_name("text")
    lab.make_vm(name)
    lab.virsh("snapshot-create-as", name, "with-memory", "Before & after")
    folder = Path(lab.vm_folder(name))
    lab.virsh("snapshot-create-as", name, "disks", "--disk-only")
    memory = ("--memspec", f"file={folder}/m,snapshot=external")
    lab.virsh("snapshot-create-as", name, "outside", "<b>", *memory, "--live")
    kinds = [SnapshotKind.INTERNAL, SnapshotKind.EXTERNAL, SnapshotKind.EXTERNAL]
    for known, kind in zip(("with-memory", "disks", "outside"), kinds, strict=True):
        text = lab.virsh("snapshot-dumpxml", name, known)
        assert read_snapshot(text) == parse_snapshot(text)
        assert read_snapshot(text).kind is kind
