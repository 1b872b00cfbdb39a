"""Headers of images that lead astray: to what is not there, round in a ring, by names of their own.

snapview says which image it is and what to do, touches nothing, and goes on when it is mended.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapview.core.operations import (
    Afterwards,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    MergeBy,
    Operation,
    RevertSnapshot,
)
from snapview.core.planning import RefusalCode
from snapview.core.vm import SnapshotKind
from tests.lab import Lab
from tests.virt.machine import FIRST_CHUNK, Machine
from tests.virt.outcomes import folder_of, refused, take

EXTERNAL = SnapshotKind.EXTERNAL


@pytest.fixture
def machine(lab: Lab) -> Iterator[Machine]:
    made = Machine(lab)
    made.switch("off")
    for name in ("one", "two"):
        made.write("vda", FIRST_CHUNK, len(made.states) + 1)
        take(made, name)
    yield made
    made.close()


def point(machine: Machine, name: str, backing: str) -> None:
    """Write another backing file into a header, as somebody with qemu-img would."""
    command = ["qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", backing]
    image = f"{folder_of(machine)}/{name}"
    subprocess.run(machine.lab.daemon.as_account([*command, image]), check=True)


def everything(machine: Machine) -> list[Operation]:
    """Every operation for which all images of the VM have to be whole."""
    uuid = machine.vm.uuid
    return [
        CreateSnapshot(uuid, "x", "", EXTERNAL, memory=False),
        RevertSnapshot(uuid, "two"),
        RevertSnapshot(uuid, "two", safety_snapshot=False),
        DeleteSnapshot(uuid, ("one",)),
        DeleteSnapshot(uuid, ("two",)),
        DeleteSnapshot(uuid, ("one",), subtree=True),
        DeleteSnapshot(uuid, ("two",), merge_by=MergeBy.PULL),
        Consolidate(uuid),
        Consolidate(uuid, merge_by=MergeBy.PULL),
    ]


def held(machine: Machine) -> dict[str, bytes]:
    """All files of the VM, byte by byte."""
    return {path: Path(path).read_bytes() for path in sorted(machine.files())}


def break_header(machine: Machine, fault: str) -> None:
    folder = folder_of(machine)
    match fault:
        case "missing":
            point(machine, "vda.one.qcow2", f"{folder}/gone.qcow2")
        case "moved":
            Path(f"{folder}/vda.qcow2").rename(machine.lab.folder / "moved.qcow2")
        case "loop":
            point(machine, "vda.one.qcow2", f"{folder}/vda.two.qcow2")
        case "json":
            inner = f'{{"driver":"file","filename":"{folder}/vda.qcow2"}}'
            point(machine, "vda.one.qcow2", f'json:{{"driver":"qcow2","file":{inner}}}')
        case "json nbd":
            inner = '{"driver":"nbd","host":"127.0.0.1","port":"1"}'
            point(machine, "vda.one.qcow2", f'json:{{"driver":"raw","file":{inner}}}')


FAULTS = {
    "missing": "which is missing",
    "moved": "which is missing",
    "loop": "form a loop",
    "json": "no plain path: json:",
    "json nbd": "no plain path: json:",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_header_that_leads_astray_is_told_of_and_nothing_is_touched(
    machine: Machine, fault: str
) -> None:
    break_header(machine, fault)
    tree, before = machine.vm.tree(), held(machine)
    for operation in everything(machine):
        refusal = refused(machine, operation)
        assert refusal.code is RefusalCode.BROKEN_CHAIN, refusal
        may_need = "may need the image of “one”"  # by its record, or by the name in the header
        assert FAULTS[fault] in refusal.reason or may_need in refusal.reason
        assert "qemu-img rebase -u" in refusal.advice
    assert held(machine) == before
    assert machine.vm.tree() == machine.vm.other.parents() == tree
    if fault == "moved":
        (machine.lab.folder / "moved.qcow2").rename(f"{folder_of(machine)}/vda.qcow2")
    else:
        point(machine, "vda.one.qcow2", f"{folder_of(machine)}/vda.qcow2")
    machine.check()
    machine.vm.done(DeleteSnapshot(machine.vm.uuid, ("one",)))
    machine.lost("one")
    machine.check()


def test_an_active_image_that_lies_on_itself_can_be_left_by_a_revert(machine: Machine) -> None:
    point(machine, "vda.two.qcow2", f"{folder_of(machine)}/vda.two.qcow2")
    before = held(machine)
    way_out = RevertSnapshot(machine.vm.uuid, "two", safety_snapshot=False)
    for operation in everything(machine):
        if operation == way_out:
            continue
        refusal = refused(machine, operation)
        if isinstance(operation, Consolidate):
            assert refusal.code is RefusalCode.BROKEN_CHAIN, refusal
    assert held(machine) == before
    machine.vm.done(way_out)
    machine.reverted("two", Afterwards.AS_IT_WAS, had_memory=None)
    broken = Path(f"{folder_of(machine)}/vda.two.qcow2")
    assert broken.exists(), "it is not proven what is in it"
    broken.unlink()
    machine.check()


def test_below_a_vm_that_runs_a_base_that_was_moved_away_forbids_all_merges(
    machine: Machine,
) -> None:
    machine.switch("running")
    base, away = Path(f"{folder_of(machine)}/vda.qcow2"), machine.lab.folder / "moved.qcow2"
    base.rename(away)
    for operation in everything(machine):
        if isinstance(operation, DeleteSnapshot | Consolidate):
            refused(machine, operation)
    away.rename(base)
    machine.check()
    machine.vm.done(Consolidate(machine.vm.uuid))
    machine.lost("one")
    machine.lost("two")
    machine.check()
