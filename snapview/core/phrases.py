"""Operations and moves in words, for sentences on the screen. Pure.

Names of snapshots are given as libvirt has them: the titles may be gone by then.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import assert_never

from snapview.core.moves import (
    CommitImages,
    DefineAsAt,
    DeleteByLibvirt,
    EndJob,
    ForgetSnapshot,
    MakeOverlay,
    Move,
    PointTo,
    PullImages,
    RemoveFile,
    RestoreDefinition,
    RestoreMemory,
    RevertByLibvirt,
    SetActive,
    SetCurrent,
    SetDescription,
    SetFrozen,
    StartVm,
    StopVm,
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

_NAMED_AT_MOST = 3


def operation_phrase(operation: Operation) -> str:
    """Return an operation as a noun phrase in lower case: the revert to “x”."""
    match operation:
        case CreateSnapshot():
            return f"the snapshot “{operation.title}”" if operation.title else "the snapshot"
        case RevertSnapshot():
            return f"the revert to “{operation.snapshot}”"
        case DeleteSnapshot():
            return f"the deletion of {_names(operation.snapshots)}"
        case EditDescription():
            return f"the new description of “{operation.snapshot}”"
        case Consolidate():
            return f"the consolidation of {_listing(operation.disks) or 'all disks'}"
        case EndBlockJob():
            return f"the end of the job on {operation.disk}"
        case Recover():
            return "the recovery"
        case _:
            assert_never(operation)


def move_sentence(move: Move) -> str:
    """Return what a move does, as a sentence."""
    match move:
        case CommitImages() | PullImages() | PointTo() | MakeOverlay() | RemoveFile() | EndJob():
            return _image_sentence(move)
        case StopVm() | StartVm() | RestoreMemory() | DefineAsAt() | RestoreDefinition():
            return _vm_sentence(move)
        case ForgetSnapshot() | SetDescription() | SetFrozen() | SetActive() | SetCurrent():
            return _record_sentence(move)
        case TakeSnapshot():
            return f"The snapshot “{move.name}” is taken."
        case RevertByLibvirt():
            return f"libvirt reverts the VM to “{move.snapshot}”."
        case DeleteByLibvirt():
            return f"libvirt deletes “{move.snapshot}” with its state."
        case _:
            assert_never(move)


def _image_sentence(
    move: CommitImages | PullImages | PointTo | MakeOverlay | RemoveFile | EndJob,
) -> str:
    match move:
        case CommitImages():
            return f"{move.target}: {_file(move.top)} is merged into {_file(move.base)}."
        case PullImages():
            paths = [layer.path for layer in move.chain]
            first, lower = paths[:1], paths[1:]
            above = lower[: lower.index(move.base)] if move.base in lower else lower
            return f"{move.target}: {_files(above)} is copied up into {_files(first)}."
        case PointTo():
            onto = _files([layer.path for layer in move.chain[:1]])
            return f"{move.target}: {_file(move.image.path)} is put on {onto}."
        case MakeOverlay():
            new = _file(move.path)
            return f"{move.target}: the new image {new} is put on {_file(move.base.path)}."
        case RemoveFile():
            return f"The file {_file(move.path)} is removed, unless something still refers to it."
        case EndJob():
            return f"The block job on {move.target} is {'finished' if move.pivot else 'aborted'}."
        case _:
            assert_never(move)


def _record_sentence(
    move: ForgetSnapshot | SetDescription | SetFrozen | SetActive | SetCurrent,
) -> str:
    match move:
        case ForgetSnapshot():
            return f"libvirt's record of “{move.snapshot}” is dropped."
        case SetDescription():
            return f"The description of “{move.snapshot}” is written."
        case SetFrozen():
            where = f"{move.target} at “{move.snapshot}”"
            return f"libvirt is told that the state of {where} lies in {_file(move.new_path)}."
        case SetActive():
            return f"libvirt is told that {move.target} is on {_file(move.new_path)}."
        case SetCurrent():
            return f"libvirt is told that the VM stands at “{move.snapshot}”."
        case _:
            assert_never(move)


def _vm_sentence(
    move: StopVm | StartVm | RestoreMemory | DefineAsAt | RestoreDefinition,
) -> str:
    match move:
        case StopVm():
            return "The VM is switched off, if it is on."
        case StartVm():
            return f"The VM is started{' and paused' * move.paused}, if it is off."
        case RestoreMemory():
            what = f"is started{' and paused' * move.paused} with its memory"
            return f"The VM {what} of “{move.snapshot}”."
        case DefineAsAt():
            return f"The VM's settings and disks become those of “{move.snapshot}”."
        case RestoreDefinition():
            return "The VM's settings and disks become again what they were before."
        case _:
            assert_never(move)


def _names(names: Sequence[str]) -> str:
    if len(names) > _NAMED_AT_MOST:
        return f"{len(names)} snapshots"
    return _listing([f"“{name}”" for name in names])


def _listing(items: Sequence[str]) -> str:
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def _files(paths: Sequence[str]) -> str:
    return _listing([_file(path) for path in paths])


def _file(path: str) -> str:
    """Return the name of a file without its folder."""
    return PurePosixPath(path).name or path
