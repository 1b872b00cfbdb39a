"""The values of planning, and the tables as tables: codes, sentences, first row wins."""

import itertools
import re

import pytest

from snapview.core.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    Operation,
    RevertSnapshot,
)
from snapview.core.planning import Act, Plan, Refusal, RefusalCode, plan
from snapview.core.planning.create_rules import RULES as CREATE
from snapview.core.planning.delete import RULES as DELETE
from snapview.core.planning.plans import GetBack, Rule, Step, first_refusal
from snapview.core.planning.revert import RULES as REVERT
from snapview.core.vm import RunState, SnapshotKind, Vm
from tests.core.planning.cases import VERSIONS, external_vm, internal_vm

UUID = internal_vm().uuid
OPERATIONS: list[Operation] = [
    CreateSnapshot(UUID, "new"),
    CreateSnapshot(UUID, "new", kind=SnapshotKind.EXTERNAL),
    RevertSnapshot(UUID, "one"),
    RevertSnapshot(UUID, "one", safety_snapshot=False),
    DeleteSnapshot(UUID, ("one",)),
    DeleteSnapshot(UUID, ("one",), subtree=True),
    EditDescription(UUID, "one", "title", "words"),
]
VMS = [
    make(version=version, run_state=state)
    for make, version, state in itertools.product(
        (internal_vm, external_vm), VERSIONS, (RunState.RUNNING, RunState.SHUTOFF)
    )
]


def rule(code: RefusalCode, limit: int) -> Rule[int]:
    return Rule(code, lambda n: n > limit, lambda n: f"{n} is more than {limit}.", "Take less.")


def test_the_first_row_that_holds_wins() -> None:
    rules = [rule(RefusalCode.NO_DISK, 5), rule(RefusalCode.RUNNING, 1)]
    assert first_refusal(rules, 0) is None
    assert first_refusal(rules, 2) == Refusal(
        RefusalCode.RUNNING, "2 is more than 1.", "Take less."
    )
    refusal = first_refusal(rules, 6)
    assert refusal is not None
    assert refusal.code is RefusalCode.NO_DISK
    assert first_refusal([], 6) is None


def test_getting_back_is_certain_when_both_work() -> None:
    for revert, remove in itertools.product((True, False), repeat=2):
        assert GetBack(revert, "", remove, "").is_certain is (revert and remove)


def test_a_plan_tells_its_acts() -> None:
    steps = (Step(Act.MERGE, "x"), Step(Act.MERGE, "y"), Step(Act.STOP, "z"))
    assert Plan(OPERATIONS[0], steps).acts == {Act.MERGE, Act.STOP}


def test_codes_are_words_for_programs_and_every_row_has_one() -> None:
    codes = [code.value for code in RefusalCode]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)
    for rules in (CREATE, REVERT, DELETE):
        assert all(isinstance(row.code, RefusalCode) for row in rules)
        assert all(row.advice.endswith(".") for row in rules)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: type(o).__name__)
def test_whatever_is_asked_it_is_answered_in_sentences(operation: Operation) -> None:
    for vm in VMS:
        answer = plan(vm, operation)
        if isinstance(answer, Refusal):
            assert answer.reason.endswith(".")
            assert answer.advice.endswith(".")
            continue
        assert type(answer.operation) is type(operation)
        assert answer.steps
        assert all(step.what.endswith(".") for step in answer.steps)
        assert all(text.endswith((".", "qcow2", ".mem")) for text in answer.warnings)
        check_steps(vm, answer)


def check_steps(vm: Vm, answer: Plan) -> None:
    """Steps name snapshots that exist or come to be, disks of the VM, and absolute files."""
    known = {s.name for s in vm.tree} | {answer.new_name}
    for step in answer.steps:
        assert step.snapshot is None or step.snapshot in known
        assert step.disk is None or step.disk in {disk.target for disk in vm.disks}
        assert all(file.startswith("/") for file in step.files)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: type(o).__name__)
def test_unknown_figures_are_unknown_and_never_zero(operation: Operation) -> None:
    for answer in (plan(vm, operation) for vm in VMS):
        if isinstance(answer, Plan):
            figures = (answer.bytes_to_copy, answer.extra_bytes_needed, answer.freed_bytes)
            assert 0 not in figures
