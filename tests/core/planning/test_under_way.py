"""Ending what was begun before: when that is refused, and what it costs."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.moves import EndJob, Move, SetCurrent, StopVm
from snapview.core.operations import EndBlockJob, Recover
from snapview.core.phrases import move_sentence
from snapview.core.planning import Act, Plan, RefusalCode, plan
from snapview.core.planning.under_way import END_JOB_RULES, RECOVER_RULES
from snapview.core.under_way import BlockJob, BlockJobType, Interruption
from snapview.core.vm import RunState, Vm
from tests.core.planning.cases import (
    Case,
    check_case,
    check_coverage,
    check_idempotent,
    external_vm,
    internal_vm,
    plan_of,
    refusal_of,
)
from tests.trees import START, vm_uuid

UUID = vm_uuid("web")
FINISH, ABORT = EndBlockJob(UUID, "vda", finish=True), EndBlockJob(UUID, "vda", finish=False)
STOPPED = Interruption("x1", "the revert to “one”", START, ("It goes on.",), ("It goes back.",))
FORWARD, BACKWARD = Recover(UUID, "x1", finish=True), Recover(UUID, "x1", finish=False)


def job(kind: BlockJobType, *, ready: bool = False) -> tuple[BlockJob, ...]:
    return (BlockJob("vda", kind, 10, 100, is_ready=ready),)


def busy(kind: BlockJobType, *, ready: bool = False) -> Vm:
    return external_vm(block_jobs=job(kind, ready=ready))


ACTIVE = BlockJobType.ACTIVE_COMMIT

JOB_CASES = [
    Case(
        0,
        replace(busy(ACTIVE, ready=True), interruption=STOPPED),
        FINISH,
        {"interruption": None},
    ),
    Case(1, external_vm(), ABORT, {"block_jobs": job(BlockJobType.PULL)}),
    Case(1, busy(ACTIVE), replace(ABORT, disk="vdb"), instead=ABORT, label="other disk"),
    Case(2, busy(BlockJobType.PULL), FINISH, instead=ABORT),
    Case(2, busy(BlockJobType.COMMIT), FINISH, {"block_jobs": job(ACTIVE, ready=True)}),
    Case(3, busy(ACTIVE), FINISH, {"block_jobs": job(ACTIVE, ready=True)}),
    Case(3, busy(BlockJobType.COPY), FINISH, instead=ABORT),
]
RECOVER_CASES = [
    Case(0, external_vm(), FORWARD, {"interruption": STOPPED}),
    Case(
        0, external_vm(interruption=STOPPED), replace(FORWARD, interruption="x2"), instead=FORWARD
    ),
    Case(
        1,
        external_vm(interruption=replace(STOPPED, is_alive=True)),
        FORWARD,
        {"interruption": STOPPED},
    ),
    Case(2, external_vm(interruption=replace(STOPPED, undo=None)), BACKWARD, instead=FORWARD),
]


@pytest.mark.parametrize("case", JOB_CASES, ids=str)
def test_a_row_refuses_exactly_its_job(case: Case) -> None:
    check_case(END_JOB_RULES, case)


@pytest.mark.parametrize("case", RECOVER_CASES, ids=str)
def test_a_row_refuses_exactly_its_recovery(case: Case) -> None:
    check_case(RECOVER_RULES, case)


def test_every_row_has_a_case() -> None:
    check_coverage(END_JOB_RULES, JOB_CASES)
    check_coverage(RECOVER_RULES, RECOVER_CASES)


@pytest.mark.parametrize(
    ("kind", "is_lost"),
    [
        (BlockJobType.PULL, False),
        (BlockJobType.COPY, False),
        (BlockJobType.UNKNOWN, False),
        (BlockJobType.COMMIT, True),  # the lower image holds part of the upper one
        (ACTIVE, True),
        (BlockJobType.BACKUP, True),
    ],
)
def test_an_abort_says_what_it_spoils(kind: BlockJobType, is_lost: bool) -> None:
    planned = plan_of(busy(kind), ABORT)
    assert bool(planned.lost) is is_lost
    assert planned.moves == (EndJob("vda", pivot=False),)
    assert [step.act for step in planned.steps] == [Act.ABORT]


def test_an_abort_of_a_merge_spoils_no_internal_snapshot() -> None:
    vm = internal_vm(block_jobs=job(ACTIVE))
    assert plan_of(vm, ABORT).lost == ()
    assert plan_of(internal_vm(block_jobs=job(ACTIVE, ready=True)), FINISH).warnings == ()


@pytest.mark.parametrize("kind", [ACTIVE, BlockJobType.COPY])
def test_a_pivot_says_what_stays_behind(kind: BlockJobType) -> None:
    planned = plan_of(busy(kind, ready=True), FINISH)
    assert planned.lost == ()
    assert len(planned.warnings) == 1
    assert planned.moves == (EndJob("vda", pivot=True),)


def test_ready_is_the_jobs_own_flag_and_never_worked_out_from_bytes() -> None:
    (caught_up,) = job(ACTIVE)
    vm = external_vm(block_jobs=(replace(caught_up, done_bytes=100),))
    assert refusal_of(vm, FINISH) is RefusalCode.BLOCK_JOB


@pytest.mark.parametrize(
    ("operation", "act", "what"),
    [(FORWARD, Act.FINISH, "It goes on."), (BACKWARD, Act.ABORT, "It goes back.")],
)
def test_a_recovery_says_what_the_journal_says(operation: Recover, act: Act, what: str) -> None:
    (step,) = plan_of(external_vm(interruption=STOPPED), operation).steps
    assert (step.act, step.what) == (act, what)


@pytest.mark.parametrize(
    ("state", "moves", "is_lost"),
    [
        (RunState.RUNNING, (StopVm(), SetCurrent("one")), True),
        (RunState.PAUSED, (StopVm(),), True),
        (RunState.SHUTOFF, (StopVm(),), False),
        (RunState.RUNNING, (SetCurrent("one"),), False),
    ],
)
@pytest.mark.parametrize("operation", [FORWARD, BACKWARD])
def test_what_the_vm_did_since_it_was_interrupted_is_lost_when_it_is_stopped(
    state: RunState, moves: tuple[Move, ...], is_lost: bool, operation: Recover
) -> None:
    sentences = tuple(map(move_sentence, moves))
    interruption = replace(STOPPED, finish=sentences, undo=sentences)
    vm = external_vm(interruption=interruption, run_state=state)
    assert bool(plan_of(vm, operation).lost) is is_lost


def test_a_recovery_goes_past_the_block_job_that_was_left_running() -> None:
    vm = external_vm(interruption=STOPPED, block_jobs=job(ACTIVE))
    assert refusal_of(vm, FORWARD) is None


@given(
    st.sampled_from(BlockJobType),
    st.booleans(),
    st.sampled_from([None, STOPPED, replace(STOPPED, undo=None), replace(STOPPED, is_alive=True)]),
    st.sampled_from([FINISH, ABORT, FORWARD, BACKWARD]),
)
def test_a_plan_is_complete_and_never_raises(
    kind: BlockJobType,
    ready: bool,
    interruption: Interruption | None,
    operation: EndBlockJob | Recover,
) -> None:
    vm = replace(busy(kind, ready=ready), interruption=interruption)
    if isinstance(plan(vm, operation), Plan):
        check_idempotent(vm, operation)
