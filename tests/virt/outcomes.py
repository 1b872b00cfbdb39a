"""What tests of faults do with a ``Machine`` again and again: do something, and see how it ends."""

import re

from snapview.core.errors import SnapviewError
from snapview.core.operations import CreateSnapshot, Failed, Operation, Outcome
from snapview.core.planning import Refusal
from snapview.core.vm import SnapshotKind
from tests.virt.machine import Machine


def take(machine: Machine, name: str, kind: SnapshotKind = SnapshotKind.EXTERNAL) -> None:
    with_memory = kind is SnapshotKind.INTERNAL and machine.power != "off"
    machine.vm.done(CreateSnapshot(machine.vm.uuid, name, "", kind, with_memory))
    machine.took(name, kind)


def is_sentence(error: SnapviewError) -> bool:
    """Whether it says what happened, and what to do, in words for people."""
    is_whole = re.fullmatch(r"[A-Z“/a-z].*\.", error.message, re.DOTALL) is not None
    text = f"{error.message} {error.advice}"
    return (
        is_whole and bool(error.advice) and not re.search("Traceback|None|Error[(]|vir[A-Z]", text)
    )


def failure(outcome: Outcome) -> SnapviewError:
    assert isinstance(outcome, Failed), outcome
    assert is_sentence(outcome.error), (outcome.error.message, outcome.error.advice)
    return outcome.error


def refused(machine: Machine, operation: Operation) -> Refusal:
    """See that it is refused, in the plan and in the act."""
    planned, outcome = machine.attempt(operation)
    assert isinstance(planned, Refusal), planned
    assert failure(outcome).message == planned.reason
    return planned


def folder_of(machine: Machine) -> str:
    """Return the folder in which all files of the VM lie."""
    return str(machine.lab.vm_folder(machine.vm.name))
