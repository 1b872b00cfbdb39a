from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.moves import (
    CommitImages,
    EndJob,
    MakeOverlay,
    Move,
    PullImages,
    RemoveFile,
    RestoreMemory,
    StartVm,
    TakeSnapshot,
)
from snapview.core.operations import (
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    EndBlockJob,
    Operation,
    Recover,
    RevertSnapshot,
)
from snapview.core.phrases import move_sentence, operation_phrase
from snapview.core.vm import DiskLayer, SnapshotKind

BASE, MIDDLE, TOP = (DiskLayer(f"/images/{name}.qcow2", "qcow2") for name in ("a", "b", "c"))
CHAIN = (TOP, MIDDLE, BASE)


@pytest.mark.parametrize(
    ("operation", "phrase"),
    [
        (CreateSnapshot("u", "Before the update"), "the snapshot “Before the update”"),
        (CreateSnapshot("u"), "the snapshot"),
        (RevertSnapshot("u", "x"), "the revert to “x”"),
        (DeleteSnapshot("u", ("x",)), "the deletion of “x”"),
        (DeleteSnapshot("u", ("x", "y", "z")), "the deletion of “x”, “y” and “z”"),
        (DeleteSnapshot("u", ("w", "x", "y", "z")), "the deletion of 4 snapshots"),
        (EditDescription("u", "x", "", ""), "the new description of “x”"),
        (Consolidate("u"), "the consolidation of all disks"),
        (Consolidate("u", ("vda", "vdb")), "the consolidation of vda and vdb"),
        (EndBlockJob("u", "vda", finish=True), "the end of the job on vda"),
        (Recover("u", "7", finish=True), "the recovery"),
    ],
)
def test_an_operation_is_a_noun_phrase(operation: Operation, phrase: str) -> None:
    assert operation_phrase(operation) == phrase


@pytest.mark.parametrize(
    ("move", "sentence"),
    [
        (TakeSnapshot("x", "", SnapshotKind.INTERNAL), "The snapshot “x” is taken."),
        (
            CommitImages("vda", TOP.path, BASE.path, CHAIN, in_vm=True),
            "vda: c.qcow2 is merged into a.qcow2.",
        ),
        (
            PullImages("vda", None, CHAIN, in_vm=True),
            "vda: b.qcow2 and a.qcow2 is copied up into c.qcow2.",
        ),
        (
            PullImages("vda", BASE.path, CHAIN, in_vm=True),
            "vda: b.qcow2 is copied up into c.qcow2.",
        ),
        (
            MakeOverlay("vda", "/images/new", BASE),
            "vda: the new image new is put on a.qcow2.",
        ),
        (RemoveFile(TOP.path), "The file c.qcow2 is removed, unless something still refers to it."),
        (EndJob("vda", pivot=False), "The block job on vda is aborted."),
        (StartVm(), "The VM is started, if it is off."),
        (StartVm(paused=True), "The VM is started and paused, if it is off."),
        (RestoreMemory("x", "/m", ()), "The VM is started with its memory of “x”."),
    ],
)
def test_a_move_is_a_sentence(move: Move, sentence: str) -> None:
    assert move_sentence(move) == sentence


@given(st.one_of(*(st.from_type(kind) for kind in get_args(Move))))
def test_every_move_has_a_sentence(move: Move) -> None:
    assert move_sentence(move).endswith(".")


@given(st.one_of(*(st.from_type(kind) for kind in get_args(Operation))))
def test_every_operation_has_a_phrase(operation: Operation) -> None:
    assert operation_phrase(operation)
