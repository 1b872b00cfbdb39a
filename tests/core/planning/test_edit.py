"""A new title or description: only the words change, and the words stay readable."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.marks import Consistency, Marks, with_marks
from snapview.core.moves import SetDescription
from snapview.core.operations import EditDescription, split_description
from snapview.core.planning import Act, Plan, RefusalCode, plan
from snapview.core.under_way import BlockJob
from snapview.core.vm import RunState, SnapshotTree
from tests.core.planning.cases import (
    check_idempotent,
    internal,
    internal_vm,
    plan_of,
    refusal_of,
    vm_of,
)
from tests.trees import make_vm

UUID = internal_vm().uuid
EDIT = EditDescription(UUID, "one", "A title", "words")


def edited(title: str, description: str = "") -> EditDescription:
    operation = plan_of(
        internal_vm(), replace(EDIT, title=title, description=description)
    ).operation
    assert isinstance(operation, EditDescription)
    return operation


def test_only_the_words_change() -> None:
    planned = plan_of(internal_vm(), EDIT)
    assert [step.act for step in planned.steps] == [Act.EDIT]
    assert planned.steps[0].snapshot == "one"
    assert planned.lost == ()
    assert planned.undo


def test_a_busy_or_saved_vm_can_be_edited() -> None:
    busy = (BlockJob("vda"),)
    vm = internal_vm(block_jobs=busy, has_managed_save=True, run_state=RunState.SHUTOFF)
    assert refusal_of(vm, EDIT) is None


def test_a_title_that_another_snapshot_has_is_refused() -> None:
    titled = internal("s3", title="nightly")
    vm = vm_of(make_vm(tree=SnapshotTree([*internal_vm().tree, titled])))
    for title in ("two", "nightly", "s3", " nightly\n"):
        assert refusal_of(vm, replace(EDIT, title=title)) is RefusalCode.NAME_EXISTS
    for title in ("one", "Two", "nightly 2"):
        assert refusal_of(vm, replace(EDIT, title=title)) is None


def test_a_title_that_is_there_twice_already_may_stay() -> None:
    twice = [internal("a", title="x"), internal("b", title="x")]
    vm = vm_of(make_vm(tree=SnapshotTree(twice)))
    assert refusal_of(vm, EditDescription(UUID, "a", "x", "new words")) is None


def test_what_is_missing_or_broken_is_refused() -> None:
    assert refusal_of(internal_vm(), replace(EDIT, snapshot="x")) is RefusalCode.NOT_FOUND
    broken = vm_of(make_vm(tree=SnapshotTree([internal("one", problem="It is broken.")])))
    assert refusal_of(broken, EDIT) is RefusalCode.UNREADABLE


@pytest.mark.parametrize("title", ["", "  ", "\n", "\x00"])
def test_without_a_title_it_is_called_by_its_name(title: str) -> None:
    assert edited(title).title == "one"


def test_texts_lose_what_xml_cannot_hold() -> None:
    operation = edited("a\x0bb \r c", "\x001\r\n2\r3\ud800")
    assert (operation.title, operation.description) == ("ab c", "1\n2\n3")


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_plan_is_complete_and_comes_back_from_libvirts_description(
    title: str, description: str
) -> None:
    operation = replace(EDIT, title=title, description=description)
    planned = plan(internal_vm(), operation)
    if not isinstance(planned, Plan):
        return
    check_idempotent(internal_vm(), operation)
    complete = planned.operation
    assert isinstance(complete, EditDescription)
    (move,) = planned.moves
    assert isinstance(move, SetDescription)
    assert move.snapshot == "one"
    assert split_description("one", move.description) == (complete.title, complete.description)


def test_what_is_noted_of_the_state_outlives_new_words() -> None:
    old = with_marks("old words", Marks(Consistency.FROZEN))
    vm = vm_of(make_vm(tree=SnapshotTree([internal("one", description=old)])))
    complete = plan_of(vm, EDIT).operation
    assert isinstance(complete, EditDescription)
    assert complete.description == "words\nConsistency: file systems frozen"
    check_idempotent(vm, EDIT)
