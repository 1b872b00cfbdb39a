"""How each move of a plan is made, seen to be done, and told to the user.

A move can be made again when nobody knows whether it was made: each looks first, or does nothing
the second time. None trusts libvirt's "done": each reads anew what it was to change.
"""

from collections.abc import Generator, Mapping
from pathlib import PurePosixPath
from typing import assert_never

from snapview.core.journal import NO_NOTE
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
from snapview.core.operations import Progress
from snapview.virt.moves import by_libvirt, records
from snapview.virt.moves.by_libvirt import NativeMove, is_native_so, make_native
from snapview.virt.moves.files import FileMove, is_file_so, make_file
from snapview.virt.moves.merges import MergeMove, is_merge_so, make_merge
from snapview.virt.moves.records import RecordMove, is_record_so, make_record
from snapview.virt.moves.site import Site

__all__ = ["is_made", "make", "note_of", "phase_of"]


def make(move: Move, site: Site) -> Generator[Progress, None, None]:
    """Make a move and see that it is so; long ones tell how far they are.

    Raises:
        Stopped: the user cancelled, and the move has let go of what it was at.
        SnapviewError: it failed, or is not so although libvirt said so.
    """
    match move:
        case CommitImages() | PullImages() | PointTo() | EndJob():
            yield from make_merge(move, site)
        case _:
            _make_at_once(move, site)


def _make_at_once(move: RecordMove | FileMove | NativeMove, site: Site) -> None:
    match move:
        case ForgetSnapshot() | SetDescription() | SetFrozen() | SetCurrent():
            make_record(move, site)
        case SetActive() | DefineAsAt() | RestoreDefinition():
            make_record(move, site)
        case MakeOverlay() | RemoveFile():
            make_file(move, site)
        case _:
            make_native(move, site)


def is_made(move: Move, site: Site, note: Mapping[str, str] = NO_NOTE) -> bool:
    """Look whether a move that was begun is made; False also when that cannot be seen."""
    match move:
        case CommitImages() | PullImages() | PointTo() | EndJob():
            return is_merge_so(move, site)
        case ForgetSnapshot() | SetDescription() | SetFrozen() | SetCurrent():
            return is_record_so(move, site)
        case SetActive() | DefineAsAt() | RestoreDefinition():
            return is_record_so(move, site)
        case MakeOverlay() | RemoveFile():
            return is_file_so(move, site)
        case _:
            return is_native_so(move, site, note)


def note_of(move: Move, site: Site) -> Mapping[str, str]:
    """Read what has to be written down before a move: for its undo, or to know it made."""
    match move:
        case SetCurrent() | DefineAsAt():
            return records.note_of(move, site)
        case RevertByLibvirt():
            return by_libvirt.note_of(move, site)
        case _:
            return NO_NOTE


def phase_of(move: Move, site: Site) -> str:
    """Return what the user reads while a move is made."""
    match move:
        case DeleteByLibvirt(snapshot=name) | ForgetSnapshot(snapshot=name):
            return f"Deleting “{site.label(name)}”"
        case CommitImages() | PullImages() | PointTo() | EndJob() | MakeOverlay() | RemoveFile():
            return _phase_of_images(move)
        case TakeSnapshot():
            return "Taking the snapshot"
        case RevertByLibvirt():
            return "Reverting"
        case SetDescription():
            return "Changing the description"
        case SetFrozen() | SetCurrent() | SetActive():
            return "Updating libvirt's records"
        case StopVm() | StartVm() | RestoreMemory() | DefineAsAt() | RestoreDefinition():
            return _phase_of_vm(move)
        case _:
            assert_never(move)


def _phase_of_images(move: MergeMove | FileMove) -> str:
    match move:
        case CommitImages() | PullImages():
            return f"Merging {move.target}"
        case PointTo():
            return f"Updating the header of {PurePosixPath(move.image.path).name}"
        case EndJob():
            return f"{'Finishing' if move.pivot else 'Aborting'} the job on {move.target}"
        case MakeOverlay():
            return f"Making a new image for {move.target}"
        case RemoveFile():
            return f"Removing {PurePosixPath(move.path).name}"
        case _:
            assert_never(move)


def _phase_of_vm(
    move: StopVm | StartVm | RestoreMemory | DefineAsAt | RestoreDefinition,
) -> str:
    match move:
        case StopVm():
            return "Switching the VM off"
        case StartVm():
            return "Starting the VM"
        case RestoreMemory():
            return "Starting the VM with its memory"
        case DefineAsAt():
            return "Putting the VM's settings back"
        case RestoreDefinition():
            return "Putting the VM's settings back as they were"
        case _:
            assert_never(move)
