"""Disks on other images in libvirt's documents, read back by a parser that is none of ours."""

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.vm import DiskLayer
from snapview.virt.xml import BadXml
from snapview.virt.xml_edits import (
    domain_in,
    with_images,
    with_overlays,
    with_revert_overlays,
    without_chains,
)

DISK = """    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='/images/{path}' index='3'>
        <seclabel model='dac' relabel='no'/>
      </source>
      <backingStore type='file' index='4'>
        <format type='qcow2'/>
        <source file='/images/below.qcow2'/>
        <backingStore type='file'>
          <format type='raw'/>
          <source file='/images/base.raw'/>
          <backingStore/>
        </backingStore>
      </backingStore>
      <target dev='{target}' bus='virtio'/>
    </disk>
"""
DEVICES = f"""  <devices>
{DISK.format(path="a&amp;b.qcow2", target="vda")}{DISK.format(path="c.qcow2", target="vdb")}    \
<disk type='file' device='cdrom'>
      <target dev='sda' bus='sata'/>
    </disk>
  </devices>
"""
DOMAIN = f"""<domain type='qemu' xmlns:q='http://example.org/q'>
  <name>wäb</name>
  <metadata>
    <x:y xmlns:x='http://example.org/x' note='a > b'><devices>
{DISK.format(path="trap", target="vda")}</devices></x:y>
  </metadata>
{DEVICES}</domain>
"""
INACTIVE = DOMAIN.replace("<domain ", "<inactiveDomain ").replace("</domain>", "</inactiveDomain>")
INACTIVE = INACTIVE.replace("wäb", "next")
SNAPSHOT = f"""<domainsnapshot>
  <name>s</name>
  <description>&lt;disk/&gt; äöü</description>
  <disks>
    <disk name='vda' snapshot='external' type='file'>
      <driver type='qcow2'/>
      <source file='/images/over.qcow2'/>
    </disk>
  </disks>
{DOMAIN}{INACTIVE}  <cookie/>
</domainsnapshot>
"""
HOSTILE = "/images/it's <\"&amp;\n> ä.qcow2"


def disk_of(domain: ET.Element, target: str) -> ET.Element:
    """The real one, not that of the metadata."""
    (found,) = (
        disk
        for disk in domain.findall("devices/disk")
        if disk.find("target[@dev]") is not None
        and disk.find(f"target[@dev='{target}']") is not None
    )
    return found


def source_of(disk: ET.Element) -> dict[str, str]:
    source = disk.find("source")
    assert source is not None
    return dict(source.attrib)


# With other names for what a snapshot created


@pytest.mark.parametrize("path", ["/images/gone", HOSTILE])
def test_a_record_names_other_overlays(path: str) -> None:
    root = ET.fromstring(with_overlays(SNAPSHOT, {"vda": path, "vdz": "/nothing"}))
    (disk,) = root.findall("disks/disk")
    assert source_of(disk) == {"file": path}
    assert with_overlays(SNAPSHOT, {"vdz": "/nothing"}) == SNAPSHOT
    changed = with_overlays(SNAPSHOT, {"vda": "/images/gone"})
    assert changed.replace("/images/gone", "/images/over.qcow2") == SNAPSHOT
    with pytest.raises(BadXml):
        with_overlays("<domainsnapshot", {})


# With images


@pytest.mark.parametrize("path", ["/images/new.qcow2", HOSTILE])
@pytest.mark.parametrize("text", [DOMAIN, SNAPSHOT], ids=["domain", "snapshot"])
def test_a_disk_is_put_on_another_image(text: str, path: str) -> None:
    root = ET.fromstring(with_images(text, {"vda": DiskLayer(path, "raw")}))
    domains = [root] if root.tag == "domain" else [*root.findall("domain"), root[-2]]
    assert [domain.tag for domain in domains][1:] in ([], ["inactiveDomain"])
    for domain in domains:
        disk = disk_of(domain, "vda")
        assert source_of(disk) == {"file": path}
        driver = disk.find("driver")
        assert driver is not None
        assert driver.attrib == {"name": "qemu", "type": "raw", "discard": "unmap"}
        assert disk.find("backingStore") is None
        assert disk.find("source/seclabel") is not None


@pytest.mark.parametrize("text", [DOMAIN, SNAPSHOT], ids=["domain", "snapshot"])
def test_nothing_else_is_touched(text: str) -> None:
    changed = with_images(text, {"vdb": DiskLayer("/images/new.qcow2", "qcow2")})
    assert changed.count("/images/new.qcow2") == text.count("/images/c.qcow2")
    back = changed.replace("/images/new.qcow2", "/images/c.qcow2")
    chain = DISK[DISK.index("\n      <backingStore") : DISK.index("\n      <target")]
    at = "      </source>\n      <target dev='vdb'"
    back = back.replace(at, at.replace("</source>", "</source>" + chain))
    back = back.replace("c.qcow2'>", "c.qcow2' index='3'>")
    assert back == text


def test_a_block_device_gives_way_to_a_file() -> None:
    block = "<disk type='block' device='disk'><driver type='raw'/><source dev='/dev/vg/a'/>"
    text = f"<domain><devices>{block}<target dev='vda'/></disk></devices></domain>"
    disk = disk_of(ET.fromstring(with_images(text, {"vda": DiskLayer("/x", "qcow2")})), "vda")
    assert disk.attrib == {"type": "file", "device": "disk"}
    assert source_of(disk) == {"file": "/x"}
    back = with_images(
        ET.tostring(disk_in(disk), encoding="unicode"),
        {"vda": DiskLayer("/dev/vg/a", "raw", "block")},
    )
    assert source_of(disk_of(ET.fromstring(back), "vda")) == {"dev": "/dev/vg/a"}


def disk_in(disk: ET.Element) -> ET.Element:
    domain = ET.Element("domain")
    ET.SubElement(domain, "devices").append(disk)
    return domain


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("type='file' device='disk'>", "type='network' device='disk'>"),
        ("<source file='/images/c.qcow2'", "<source protocol='nbd'"),
        ("dev='vdb'", "dev='vdz'"),
        ("</domain>", ""),
        ("<name>wäb</name>", "<!DOCTYPE x>"),
        ("wäb", "\udcff"),
    ],
)
def test_what_is_no_plain_disk_is_refused(old: str, new: str) -> None:
    text = DOMAIN.replace(old, new)
    if "network" in new:
        text = text.replace("<source file=", "<source protocol='nbd' name=")
    with pytest.raises(BadXml):
        with_images(text, {"vdb": DiskLayer("/images/new.qcow2", "qcow2")})


# Without chains


@pytest.mark.parametrize("path", ["/images/below.qcow2", "/images/base.raw"])
def test_a_chain_that_names_an_image_is_cut(path: str) -> None:
    root = ET.fromstring(without_chains(SNAPSHOT, {path}))
    for domain in (root.find("domain"), root.find("inactiveDomain")):
        assert domain is not None
        for target, image in (("vda", "/images/a&b.qcow2"), ("vdb", "/images/c.qcow2")):
            disk = disk_of(domain, target)
            assert disk.find("backingStore") is None
            assert source_of(disk)["file"] == image


@pytest.mark.parametrize("path", ["/images/other", "/images/c.qcow2", "/images/trap"])
def test_other_chains_stay(path: str) -> None:
    assert without_chains(SNAPSHOT, {path}) == SNAPSHOT


# The images that a revert made


def test_overlays_of_a_revert_are_noted_and_noted_anew() -> None:
    once = with_revert_overlays(SNAPSHOT, {"vda": HOSTILE, "vdb": "/images/z"})
    for text in (once, with_revert_overlays(once, {"vda": HOSTILE, "vdb": "/images/z"})):
        found = ET.fromstring(text).findall("revertDisks/disk")
        assert [(d.get("name"), source_of(d)["file"]) for d in found] == [
            ("vda", HOSTILE),
            ("vdb", "/images/z"),
        ]
    gone = re.sub(r"\n  <revertDisks>.*</revertDisks>", "", once, flags=re.DOTALL)
    assert gone == SNAPSHOT


def test_without_disks_there_is_nothing_to_note_them_beside() -> None:
    with pytest.raises(BadXml):
        with_revert_overlays("<domainsnapshot><name>x</name></domainsnapshot>", {"vda": "/x"})


# The domain inside


def test_the_domain_inside_is_a_document_of_its_own() -> None:
    live = ET.fromstring(domain_in(SNAPSHOT, is_live=True))
    after = ET.fromstring(domain_in(SNAPSHOT, is_live=False))
    assert (live.tag, live.findtext("name")) == ("domain", "wäb")
    assert (after.tag, after.findtext("name")) == ("domain", "next")
    assert live.get("type") == after.get("type") == "qemu"
    inside = ET.fromstring(SNAPSHOT).find("inactiveDomain")
    assert inside is not None
    assert [ET.tostring(child) for child in after] == [ET.tostring(child) for child in inside]


def test_of_a_vm_that_was_off_there_is_one_domain() -> None:
    text = SNAPSHOT.replace(INACTIVE, "")
    assert ET.fromstring(domain_in(text, is_live=False)).findtext("name") == "wäb"


def test_a_snapshot_without_a_domain() -> None:
    with pytest.raises(BadXml):
        domain_in("<domainsnapshot><name>x</name></domainsnapshot>", is_live=True)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1))
def test_any_path_comes_back_as_it_was(path: str) -> None:
    text = with_images(DOMAIN, {"vda": DiskLayer(path, "qcow2")})
    assert source_of(disk_of(ET.fromstring(text), "vda"))["file"] == path
