"""What others write into definitions and records: it is kept, whatever snapview does to the VM."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest

from snapview.core.operations import (
    Afterwards,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    RevertSnapshot,
)
from snapview.core.vm import SnapshotKind
from tests.lab import Lab
from tests.virt.machine import FIRST_CHUNK, Machine
from tests.virt.outcomes import take

EXTERNAL = SnapshotKind.EXTERNAL
METADATA = """\
  <metadata>
    <a:app xmlns:a="urn:example:app" version="1"><a:disk file="/x"><snapshot/></a:disk></a:app>
    <plain xmlns="urn:example:plain">text &amp; <b>more</b><domain>no</domain></plain>
  </metadata>
"""
UNKNOWN = "<future when='12.9'><source file='/nowhere'/></future>"


@pytest.fixture
def machine(lab: Lab) -> Iterator[Machine]:
    made = Machine(lab)
    made.switch("off")
    text = lab.virsh("dumpxml", made.vm.name, "--inactive")
    define(made, "define", text.replace("</uuid>", f"</uuid>\n{METADATA}"))
    yield made
    made.close()


def define(machine: Machine, command: str, text: str) -> None:
    path = machine.lab.folder / "document.xml"
    path.write_text(text, encoding="utf-8")
    if command == "define":
        machine.lab.virsh("define", str(path))
    else:
        machine.lab.virsh("snapshot-create", machine.vm.name, str(path), "--redefine")
    path.unlink()


def metadata_in(text: str) -> list[str]:
    """Return all that stands in the metadata, in a form that can be compared."""
    found = re.search(r"<metadata>.*?</metadata>", text, re.DOTALL)
    assert found, text
    return [ET.canonicalize(ET.tostring(each), strip_text=True) for each in ET.fromstring(found[0])]


def record(machine: Machine, name: str) -> str:
    return machine.lab.virsh("snapshot-dumpxml", machine.vm.name, name)


def check(machine: Machine) -> None:
    machine.check()
    wanted = metadata_in(METADATA)
    assert metadata_in(machine.lab.virsh("dumpxml", machine.vm.name, "--inactive")) == wanted
    for name in machine.states:
        assert metadata_in(record(machine, name)) == wanted


@pytest.mark.parametrize("power", ["paused", "off"])
def test_what_others_wrote_into_the_definition_lives_through_everything(
    machine: Machine, power: str
) -> None:
    machine.switch(power)
    uuid = machine.vm.uuid
    for number, name in enumerate(("one", "two", "three")):
        machine.write("vda", FIRST_CHUNK + number, number + 1)
        take(machine, name)
    check(machine)
    machine.vm.done(EditDescription(uuid, "two", "two", "other <words>"))
    check(machine)
    machine.vm.done(DeleteSnapshot(uuid, ("two",)))
    machine.lost("two")
    check(machine)
    created = machine.vm.done(RevertSnapshot(uuid, "one", afterwards=Afterwards.OFF)).created
    assert created is not None
    machine.took(created, EXTERNAL)
    machine.reverted("one", Afterwards.OFF, had_memory=None)
    check(machine)
    machine.vm.done(CreateSnapshot(uuid, "side", "", EXTERNAL, memory=False))
    machine.took("side", EXTERNAL)
    machine.vm.done(Consolidate(uuid))
    for name in set(machine.states) - set(machine.vm.other.parents()):
        machine.lost(name)
    check(machine)


def test_records_with_elements_that_nobody_knows_yet_are_read_and_changed(
    machine: Machine,
) -> None:
    """libvirt drops them from a record; in an answer of a newer one they may be."""
    for number, name in enumerate(("one", "two")):
        machine.write("vda", FIRST_CHUNK + number, number + 1)
        take(machine, name)
    for name in ("one", "two"):
        text = record(machine, name)
        text = re.sub("(<disk [^>]*type='file'[^>]*>)", rf"\1{UNKNOWN}", text)
        text = text.replace(
            "</domainsnapshot>", f"{UNKNOWN}<x:y xmlns:x='urn:x'/></domainsnapshot>"
        )
        assert text.count("12.9") >= 3
        define(machine, "snapshot-create", text)
    check(machine)
    machine.vm.done(EditDescription(machine.vm.uuid, "one", "one", "other words"))
    assert machine.vm.vm().tree["one"].description.startswith("other words")
    machine.vm.done(DeleteSnapshot(machine.vm.uuid, ("one",)))
    machine.lost("one")
    check(machine)
