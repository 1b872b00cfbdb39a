"""Disks as libvirt 9.0 and 11.3 wrote them (``tests/data``), and with jobs on them.

Chains and layers are tested in ``test_xml``, as parts of whole documents.
"""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from snapview.virt.disk_xml import Mirror, image_indexes, mirrors_of, target_of

DATA = Path(__file__).parents[1] / "data"


def disks_of(generation: str, name: str) -> list[ET.Element]:
    text = (DATA / f"libvirt-{generation}" / f"{name}.xml").read_text(encoding="utf-8")
    return ET.fromstring(text).findall("devices/disk")


@pytest.mark.parametrize("generation", ["9.0", "11.3"])
def test_every_open_image_has_its_index(generation: str) -> None:
    by_target = {target_of(disk): disk for disk in disks_of(generation, "domain-chain-live")}
    found = image_indexes(by_target["vda"])
    assert [Path(path).name for path in found] == ["vda.two.qcow2", "vda.one.qcow2", "vda.qcow2"]
    assert len({*found.values(), *image_indexes(by_target["vdb"]).values()}) == 6
    assert image_indexes(by_target["hda"]) == {}


@pytest.mark.parametrize("generation", ["9.0", "11.3"])
def test_without_qemu_nothing_is_open(generation: str) -> None:
    assert [image_indexes(disk) for disk in disks_of(generation, "domain-chain-inactive")] == [
        {},
        {},
        {},
    ]


def test_an_image_that_occurs_twice_counts_where_it_lies_highest() -> None:
    text = """<disk><source file='/a' index='1'/><backingStore type='file' index='2'>
        <source file='/b'/><backingStore type='file' index='3'><source file='/a'/></backingStore>
        </backingStore></disk>"""
    assert image_indexes(ET.fromstring(text)) == {"/a": "1", "/b": "2"}


@pytest.mark.parametrize(
    ("mirror", "found"),
    [
        ("<mirror/>", Mirror("vda", "copy")),
        (
            "<mirror type='file' job='active-commit'><source file='/b' index='2'/></mirror>",
            Mirror("vda", "active-commit", "/b"),
        ),
        (
            "<mirror job='active-commit' ready='yes'><source file='/b'/></mirror>",
            Mirror("vda", "active-commit", "/b", is_ready=True),
        ),
        ("<mirror file='/old' job='copy' ready='pivot'/>", Mirror("vda", "copy", "/old")),
        (
            "<mirror type='block' job='copy' ready='abort'><source dev='/dev/x'/></mirror>",
            Mirror("vda", "copy", "/dev/x"),
        ),
    ],
)
def test_a_mirror_and_whether_it_is_ready(mirror: str, found: Mirror) -> None:
    disk = ET.fromstring(f"<disk><target dev='vda'/>{mirror}</disk>")
    assert mirrors_of([ET.fromstring("<disk/>"), disk]) == [found]
