"""What libvirt 9.0 and 11.3 really wrote (``tests/data``), and what somebody hostile might.

The documents are of real VMs of the lab; only their paths were changed.
"""

import random
import re
import xml.etree.ElementTree as ET
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.operations import plain_text
from snapview.core.vm import (
    EPOCH,
    DiskChain,
    DiskLayer,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotState,
    SnapshotTree,
)
from snapview.virt.chains import complete_chain
from snapview.virt.disk_xml import Mirror
from snapview.virt.snapshot_text import read_snapshot
from snapview.virt.xml import (
    BadXml,
    build_snapshot,
    parse_domain,
    parse_snapshot,
    parse_snapshot_hardware,
    parse_xml,
    with_created_at,
    with_description,
)

DATA = Path(__file__).parents[1] / "data"
GENERATIONS = ["9.0", "11.3"]
DOCUMENTS = {
    path: path.read_text(encoding="utf-8") for path in sorted(DATA.glob("libvirt-*/*.xml"))
}
SNAPSHOTS = [text for path, text in DOCUMENTS.items() if path.name.startswith("snapshot")]
DOMAINS = [text for path, text in DOCUMENTS.items() if path.name.startswith("domain")]


def document(generation: str, name: str) -> str:
    return DOCUMENTS[DATA / f"libvirt-{generation}" / f"{name}.xml"]


def names(chain: DiskChain) -> list[str]:
    return [Path(layer.path).name for layer in chain.layers]


def test_there_are_documents_of_both_generations() -> None:
    assert {path.parent.name for path in DOCUMENTS} == {f"libvirt-{each}" for each in GENERATIONS}
    assert not any("/tmp" in text for text in DOCUMENTS.values())


# Domains


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("name", ["domain-plain-live", "domain-plain-inactive"])
def test_a_plain_vm(generation: str, name: str) -> None:
    facts = parse_domain(document(generation, name))
    hardware = facts.hardware
    assert re.fullmatch(r"[0-9a-f-]{36}", facts.uuid)
    assert facts.name.startswith("contract-")
    assert facts.title == "Web server & <shop>"
    assert (hardware.vcpus, hardware.memory_bytes) == (1, 16 << 20)
    assert hardware.machine.startswith("pc-i440fx-")
    assert (hardware.firmware, hardware.nvram_format) == ("bios", None)
    assert hardware.has_guest_agent
    assert hardware.interfaces == 1
    assert hardware.blockers == ()
    assert hardware.os_name == "Debian 13"
    assert facts.mirrors == ()
    disks = {disk.target: disk for disk in hardware.disks}
    assert set(disks) == {"vda", "vdb", "hda"}
    assert names(disks["vda"]) == ["vda.qcow2"]
    assert disks["vda"].layers[0].format == "qcow2"
    assert disks["vda"].is_complete is name.endswith("live")
    assert disks["hda"] == DiskChain("hda", (), "cdrom", is_readonly=True)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_chain_on_and_off(generation: str) -> None:
    live = parse_domain(document(generation, "domain-chain-live")).hardware.disks[0]
    saved = parse_domain(document(generation, "domain-chain-inactive")).hardware.disks[0]
    assert names(live) == ["vda.two.qcow2", "vda.one.qcow2", "vda.qcow2"]
    assert {layer.format for layer in live.layers} == {"qcow2"}
    assert (live.defined, live.is_complete) == (3, True)
    assert not saved.is_complete
    assert names(saved) == names(live)[: saved.defined]
    assert saved.layers == live.layers[: saved.defined]
    tree = SnapshotTree(
        parse_snapshot(document(generation, f"snapshot-external-{kind}"))
        for kind in ("disk-only", "memory")
    )
    short = replace(saved, layers=saved.layers[:1], defined=1)
    assert names(complete_chain(short, tree)) == names(live)
    assert complete_chain(live, SnapshotTree()) is live


def test_after_a_revert_the_chain_of_a_vm_that_is_off_is_known() -> None:
    """The definition names only the overlay that the revert made; ``<revertDisks>`` the rest."""
    saved = parse_domain(document("11.3", "domain-reverted-inactive")).hardware.disks[0]
    live = parse_domain(document("11.3", "domain-reverted-live")).hardware.disks[0]
    reverted = parse_snapshot(document("11.3", "snapshot-reverted"))
    assert saved.depth == 0
    assert complete_chain(saved, SnapshotTree([reverted])).layers == live.layers


UEFI = """<domain><os firmware='efi'><loader type='pflash'>/code</loader>{nvram}</os></domain>"""


@pytest.mark.parametrize(
    ("nvram", "found"),
    [("", "raw"), ("<nvram>/v</nvram>", "raw"), ("<nvram format='qcow2'>/v</nvram>", "qcow2")],
)
def test_uefi(nvram: str, found: str) -> None:
    for text in (UEFI, UEFI.replace(" firmware='efi'", ""), UEFI.replace(" type='pflash'", "")):
        hardware = parse_domain(text.format(nvram=nvram)).hardware
        assert (hardware.firmware, hardware.nvram_format) == ("uefi", found)


@pytest.mark.parametrize(
    ("disk", "layer"),
    [
        ("<disk type='block'><source dev='/dev/x'/>", DiskLayer("/dev/x", None, "block")),
        ("<disk><source file='/x'/>", DiskLayer("/x")),
        ("<disk type='dir'><source dir='/d'/>", DiskLayer("/d", None, "dir")),
        ("<disk type='volume'><source pool='p' volume='v'/>", DiskLayer("p/v", None, "volume")),
        (
            "<disk type='network'><driver type='raw'/><source protocol='rbd' name='p/v'/>",
            DiskLayer("rbd:p/v", "raw", "network"),
        ),
        (
            "<disk type='nvme'><driver type='raw'/><source type='pci' namespace='1'/>",
            DiskLayer("nvme", "raw", "nvme"),
        ),
        ("<disk type='vhostuser'><source path='/s'/>", DiskLayer("vhostuser", None, "vhostuser")),
        ("<disk><source/>", None),
        ("<disk>", None),
    ],
)
def test_a_disk_of_any_kind_is_known_to_be_there(disk: str, layer: DiskLayer | None) -> None:
    text = f"<domain><devices>{disk}<target dev='vda'/></disk></devices></domain>"
    (chain,) = parse_domain(text).hardware.disks
    assert chain.active == layer
    assert chain.holds_state is (layer is not None)


def test_what_is_missing_is_unknown() -> None:
    facts = parse_domain("<domain/>")
    assert (facts.uuid, facts.name, facts.title, facts.mirrors) == ("", "", "", ())
    hardware = facts.hardware
    assert (hardware.vcpus, hardware.memory_bytes, hardware.disks) == (None, None, ())
    for size in ("x", "", "-1", "9" * 5000, "１" * 3):
        text = f"<domain><memory>{size}</memory><vcpu>{size}</vcpu></domain>"
        assert parse_domain(text).hardware == hardware
    odd = "<domain><memory unit='furlong'>1</memory></domain>"
    assert parse_domain(odd).hardware.memory_bytes is None
    gib = "<domain><memory unit='GiB'>2</memory><currentMemory unit='b'>5</currentMemory></domain>"
    assert parse_domain(gib).hardware.memory_bytes == 5


def test_what_forbids_saving_the_memory_is_named_once() -> None:
    text = "<domain><devices><hostdev/><hostdev/><filesystem/>{}</devices></domain>"
    blockers = parse_domain(text.format("<filesystem><driver type='virtiofs'/></filesystem>"))
    assert len(blockers.hardware.blockers) == 3


def test_a_tpm_is_seen() -> None:
    text = "<domain><devices>{}</devices></domain>"
    assert parse_domain(text.format("<tpm model='tpm-crb'/>")).hardware.has_tpm
    assert not parse_domain(text.format("")).hardware.has_tpm


def test_a_copy_under_way_is_seen() -> None:
    disk = "<disk><target dev='vda'/><mirror type='file' job='copy'/></disk>"
    mirrors = parse_domain(f"<domain><devices>{disk}</devices></domain>").mirrors
    assert mirrors == (Mirror("vda", "copy"),)


# Snapshots


@pytest.mark.parametrize("generation", GENERATIONS)
def test_an_internal_snapshot_with_memory(generation: str) -> None:
    snapshot = parse_snapshot(document(generation, "snapshot-internal-memory"))
    assert snapshot.name == "Two-words"
    assert snapshot.title == "Two words ✓"
    assert snapshot.description == (
        "First line.\n\n<b>bold</b> & \"quotes\" 'single' ]]> 東京\n  indented\tTab"
    )
    assert snapshot.parent == "while-off"
    assert snapshot.kind is SnapshotKind.INTERNAL
    assert snapshot.state is SnapshotState.RUNNING
    assert snapshot.has_memory
    assert snapshot.memory_path is None
    assert snapshot.created_at > datetime(2020, 1, 1, tzinfo=UTC)
    disks = {disk.target: disk for disk in snapshot.disks}
    assert disks["vda"].mode == "internal"
    assert disks["vda"].frozen is not None
    assert disks["vda"].frozen.path.endswith("/vda.qcow2")
    assert disks["vda"].overlay is None
    assert disks["hda"].mode == "no"


@pytest.mark.parametrize("generation", GENERATIONS)
def test_an_internal_snapshot_of_a_vm_that_was_off(generation: str) -> None:
    snapshot = parse_snapshot(document(generation, "snapshot-internal-off"))
    assert (snapshot.name, snapshot.title, snapshot.parent) == ("while-off", "while off", None)
    assert snapshot.kind is SnapshotKind.INTERNAL
    assert snapshot.state is SnapshotState.SHUTOFF
    assert not snapshot.has_memory


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("which", ["disk-only", "memory"])
def test_an_external_snapshot(generation: str, which: str) -> None:
    snapshot = parse_snapshot(document(generation, f"snapshot-external-{which}"))
    has_memory = which == "memory"
    assert snapshot.kind is SnapshotKind.EXTERNAL
    assert snapshot.has_memory is has_memory
    assert (snapshot.memory_path or "").endswith(".mem") is has_memory
    state = SnapshotState.RUNNING if has_memory else SnapshotState.DISK_ONLY
    assert snapshot.state is state
    disk = snapshot.disks[0]
    assert disk.frozen is not None
    assert disk.overlay is not None
    pair = (Path(disk.frozen.path).name, Path(disk.overlay.path).name)
    expected = ("vda.one.qcow2", "vda.two.qcow2") if has_memory else ("vda.qcow2", "vda.one.qcow2")
    assert pair == expected
    assert [each.mode for each in snapshot.disks] == ["external", "external", "no"]


def test_a_snapshot_reverted_to_names_the_reverts_overlay() -> None:
    snapshot = parse_snapshot(document("11.3", "snapshot-reverted"))
    assert [d.target for d in snapshot.revert_overlays if d.overlay] == ["vda", "vdb"]
    overlay = snapshot.revert_overlays[0].overlay
    assert overlay is not None
    assert re.fullmatch(r"vda\.\d+", Path(overlay.path).name)
    assert snapshot.disks[0].overlay != overlay


@pytest.mark.parametrize("text", SNAPSHOTS)
def test_the_hardware_of_that_time(text: str) -> None:
    hardware = parse_snapshot_hardware(text)
    assert hardware.vcpus == 1
    assert {disk.target for disk in hardware.disks} == {"vda", "vdb", "hda"}


@pytest.mark.parametrize("text", SNAPSHOTS)
def test_cutting_the_domains_off_changes_nothing(text: str) -> None:
    """A comment makes the whole document be parsed."""
    whole = text.replace("<domainsnapshot>", "<domainsnapshot><!-- x -->", 1)
    assert parse_snapshot(text) == parse_snapshot(whole) == read_snapshot(text)


def test_a_snapshot_of_which_little_is_known() -> None:
    snapshot = parse_snapshot("<domainsnapshot><name>x</name></domainsnapshot>")
    assert snapshot == Snapshot("x", "x", has_memory=False)
    for when in ("", "soon", "9" * 5000, "-9" * 30, "99999999999999999"):
        text = f"<domainsnapshot><name>x</name><creationTime>{when}</creationTime></domainsnapshot>"
        assert parse_snapshot(text).created_at == EPOCH
    with pytest.raises(BadXml):
        parse_snapshot("<domainsnapshot/>")
    with pytest.raises(BadXml):
        parse_snapshot_hardware("<domainsnapshot><name>x</name></domainsnapshot>")


# Hostile documents


FOREIGN = [
    "<devices><disk type='file'><source file='/evil'/><target dev='vda'/></disk></devices>",
    "<domain><devices><disk><source file='/evil'/><target dev='vda'/></disk></devices></domain>",
    "<x></x><domain></domain>",
    "<devices><disk><source file='/evil'/><target dev='vda'/></disk></devices><domain></domain>",
    "<metadata></metadata><devices></devices>",
    "<inactiveDomain></inactiveDomain>",
    "<disk type='file'><source file='/evil'/><target dev='vda'/></disk>",
    "<parent><name>evil</name></parent><memory snapshot='external' file='/evil'/>",
]


@pytest.mark.parametrize("foreign", FOREIGN)
@pytest.mark.parametrize("text", SNAPSHOTS)
def test_nothing_in_foreign_metadata_is_taken_for_the_vms_own(text: str, foreign: str) -> None:
    spoilt = text.replace("<metadata>", f"<metadata><e xmlns=''>{foreign}</e>")
    assert spoilt != text
    assert parse_snapshot(spoilt) == parse_snapshot(text)
    assert read_snapshot(spoilt) == parse_snapshot(text)
    assert parse_snapshot_hardware(spoilt) == parse_snapshot_hardware(text)


@pytest.mark.parametrize("text", [DOMAINS[0], SNAPSHOTS[0]])
@pytest.mark.parametrize(
    "evil",
    [
        "<!DOCTYPE x>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]>",
        "<!DOCTYPE x SYSTEM 'file:///etc/passwd'>",
        "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY % p SYSTEM 'http://h/'> %p;]>",
    ],
)
def test_a_document_type_is_refused(text: str, evil: str) -> None:
    for parse in (parse_domain, parse_snapshot, read_snapshot, parse_snapshot_hardware, parse_xml):
        with pytest.raises(BadXml):
            parse(evil + text)


def test_cdata_and_comments_are_text_and_nothing() -> None:
    text = SNAPSHOTS[0].replace("</name>", "</name><!-- <description>no</description> -->", 1)
    assert parse_snapshot(text) == parse_snapshot(SNAPSHOTS[0])
    inner = "<![CDATA[<domain><devices/></domain>]]>"
    text = f"<domainsnapshot><name>x</name><description>{inner}</description></domainsnapshot>"
    assert parse_snapshot(text).description == "<domain><devices/></domain>"


@given(st.randoms(use_true_random=False), st.sampled_from(list(DOCUMENTS.values())))
def test_mutated_documents_are_read_or_refused(chance: random.Random, text: str) -> None:
    pieces = re.split(r"(<[^>]*>)", text)
    for _ in range(chance.randint(1, 6)):
        at, other = chance.randrange(len(pieces)), chance.randrange(len(pieces))
        match chance.randrange(4):
            case 0:
                pieces[at] = ""
            case 1:
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case 2:
                pieces[at] = pieces[at][: len(pieces[at]) // 2]
            case _:
                pieces[at] = chance.choice(
                    ["<", "\ud800", "\0", "<domain>", "</domain>", "&#1;", "9" * 5000]
                )
    read_all("".join(pieces))


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    read_all(text)
    read_all(f"<domainsnapshot><name>x</name>{text}</domainsnapshot>")


def read_all(text: str) -> None:
    for parse in (parse_domain, parse_snapshot, parse_snapshot_hardware, read_snapshot):
        with suppress(BadXml):
            parse(text)
    with_description(text, "x")
    with_created_at(text, EPOCH)


# Building and editing


DISKS = (
    SnapshotDisk("vda", "external", overlay=DiskLayer("/a'\"<&>.qcow2", "qcow2")),
    SnapshotDisk("sda", "no"),
)


@given(st.text().map(plain_text), st.sampled_from([None, "/x'\"<&>.mem"]))
def test_what_is_built_is_what_is_read(description: str, memory: str | None) -> None:
    text = build_snapshot("x", f"x\n{description}", memory_path=memory, disks=DISKS)
    snapshot = parse_snapshot(text)
    assert snapshot.description == description
    assert snapshot.memory_path == memory
    assert snapshot.disks == DISKS
    assert parse_snapshot(build_snapshot("x", "", memory_path=None, disks=())).disks == ()


def heads(text: str) -> dict[str, str]:
    """Every element of the document but the description, as it stands."""
    root = ET.fromstring(text)
    return {
        f"{number} {element.tag}": ET.tostring(element, encoding="unicode").strip()
        for number, element in enumerate(e for e in root if e.tag != "description")
    }


@given(st.text().map(plain_text), st.sampled_from(SNAPSHOTS))
def test_an_edited_description_comes_back_and_nothing_else_changes(
    description: str, text: str
) -> None:
    edited = with_description(text, description)
    assert ET.fromstring(edited).findtext("description") == description
    assert heads(edited) == heads(text)
    start, end = text.index("<domain "), len(text)
    assert edited.endswith(text[start:end])
    assert with_description(edited, "other") == with_description(text, "other")


@pytest.mark.parametrize("text", SNAPSHOTS)
def test_another_time_of_creation_changes_nothing_else(text: str) -> None:
    when = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    edited = parse_snapshot(with_created_at(text, when))
    assert edited == replace(parse_snapshot(text), created_at=when)


def test_a_description_is_put_into_the_head_and_not_into_the_vm() -> None:
    vm = "<domain><description>vm</description></domain>"
    text = f"<domainsnapshot>\n  <name>x</name>\n  {vm}\n</domainsnapshot>"
    edited = ET.fromstring(with_description(text, "a \\1 \\g<0> & b"))
    assert edited.findtext("description") == "a \\1 \\g<0> & b"
    assert edited.findtext("domain/description") == "vm"
