"""What was under way when nobody finished it, and which moves finish it or take it back. Pure.

Each destructive move is written down before it is made, so that after a crash of anybody the
journal knows how far things got, at most one move in doubt.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from snapview.core.moves import (
    DefineAsAt,
    EndJob,
    MakeOverlay,
    Move,
    PullImages,
    RemoveFile,
    RestoreDefinition,
    RestoreMemory,
    SetCurrent,
    StartVm,
    StopVm,
    TakeSnapshot,
)
from snapview.core.operations import Operation
from snapview.core.phrases import move_sentence, operation_phrase
from snapview.core.under_way import Interruption

NO_NOTE: Mapping[str, str] = MappingProxyType({})

# Keys of notes: what has to be read before a move, so that it can be taken back.
OLD_DEFINITION = "definition"  # DefineAsAt: libvirt's document of before
OLD_CURRENT = "current"  # SetCurrent: the name of the current snapshot of before, if any


@dataclass(frozen=True, slots=True)
class Begun:
    """A move that was begun. ``note`` holds what its undo needs, such as the old definition."""

    move: Move
    note: Mapping[str, str] = field(default_factory=lambda: NO_NOTE)
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation on one VM: what was planned, and how far it got."""

    id: str
    uri: str
    vm_uuid: str
    vm_name: str
    operation: Operation
    moves: tuple[Move, ...]
    began_at: datetime
    begun: tuple[Begun, ...] = ()
    is_alive: bool = False  # its snapview still works on it


class OpenEntry(Protocol):
    """An entry that this process writes to. Worker thread; each call is on the disk when it ends.

    Raises:
        NoSpace, HostError: it cannot be written, so the move must not be made.
    """

    @property
    def entry(self) -> Entry:
        """What is written so far."""
        ...

    def begin(self, move: Move, note: Mapping[str, str] = NO_NOTE) -> None:
        """Write down that a move is about to be made."""
        ...

    def done(self) -> None:
        """Write down that the move begun last is done and verified."""
        ...

    def close(self, *, is_settled: bool) -> None:
        """Let go of the entry; a settled one is forgotten, another one stays for recovery."""
        ...


class Journal(Protocol):
    """Where entries are kept between runs of the program. Any thread."""

    def open(
        self, uri: str, vm_uuid: str, vm_name: str, operation: Operation, moves: tuple[Move, ...]
    ) -> OpenEntry:
        """Begin an entry.

        Raises:
            Conflict: this or another snapview is at work on the VM.
        """
        ...

    def find(self, uri: str, vm_uuid: str) -> Entry | None:
        """Return the entry of a VM that was not settled; cheap when there is none."""
        ...

    def resume(self, entry_id: str) -> OpenEntry:
        """Go on with an entry; its snapview is gone.

        Raises:
            NotFound: it was settled meanwhile.
            Conflict: another snapview is at work on it.
        """
        ...


def interruption_of(entry: Entry) -> Interruption:
    """Return what the screen and planning have to know of an entry."""
    back = undo_moves(entry)
    return Interruption(
        id=entry.id,
        what=operation_phrase(entry.operation),
        began_at=entry.began_at,
        finish=tuple(move_sentence(move) for move in moves_left(entry)),
        undo=None if back is None else (*map(move_sentence, back), *_not_undone(entry)),
        is_alive=entry.is_alive,
    )


def moves_left(entry: Entry) -> tuple[Move, ...]:
    """Return the moves that bring an entry to its end, the one in doubt first.

    When taking it back had begun, that is every move: each looks whether it is already so.
    """
    course = _course(entry)
    return entry.moves if course.taken_back else entry.moves[course.done :]


def undo_moves(entry: Entry) -> tuple[Move, ...] | None:
    """Return the moves that take back what was begun, in their order; None: it is too late.

    They too can be done again. A snapshot that was taken stays, and so does a VM that is off.
    """
    back: list[Move] = []
    for begun in reversed(_course(entry).begun):
        inverse = _inverse(begun)
        if inverse is None:
            return None
        back.extend(inverse)
    return tuple(back)


def is_moot(entry: Entry) -> bool:
    """Whether nothing was begun, or everything is done or taken back: there is no more to do."""
    course = _course(entry)
    if not course.taken_back:
        return not course.begun or course.done == len(entry.moves)
    back = undo_moves(entry) or ()
    last = course.taken_back[-len(back) :]
    return tuple(begun.move for begun in last if begun.is_done) == back


def needs_thaw(entry: Entry) -> bool:
    """Whether the guest's file systems may have been left frozen."""
    frozen = (isinstance(b.move, TakeSnapshot) and b.move.quiesce for b in entry.begun)
    return not entry.is_alive and any(frozen)


@dataclass(frozen=True, slots=True)
class _Course:
    """How far an entry got. ``begun`` are planned moves, each once, with its first note."""

    begun: tuple[Begun, ...] = ()
    done: int = 0  # so many of the planned moves are done
    taken_back: tuple[Begun, ...] = ()  # the moves of an undo that was itself interrupted


def _course(entry: Entry) -> _Course:
    """Work out from all moves begun, several times over perhaps, how far an entry got.

    What is neither the next planned move, nor the last one again, belongs to an undo. After an
    undo that was interrupted, the planned moves may begin anew.
    """
    begun: list[Begun] = []
    at = done = 0
    taken_back: list[Begun] = []
    for each in entry.begun:
        if taken_back and each.move == entry.moves[0]:
            at = done = 0
            taken_back.clear()
        is_again = at > done and each.move == entry.moves[at - 1]
        if taken_back or (not is_again and entry.moves[at : at + 1] != (each.move,)):
            taken_back.append(each)
            continue
        at += not is_again
        done = at if each.is_done else at - 1
        if at > len(begun):
            begun.append(each)
        elif each.is_done:  # the first note tells of the time before
            begun[at - 1] = Begun(each.move, begun[at - 1].note, is_done=True)
    return _Course(tuple(begun), done, tuple(taken_back))


def _inverse(begun: Begun) -> tuple[Move, ...] | None:
    """Return what takes a move back, done or in doubt; None: nothing does.

    =======================  ====================================================
    TakeSnapshot             stays; it can be deleted like any other
    StopVm                   stays; the memory is gone
    StartVm, RestoreMemory   StopVm
    MakeOverlay              RemoveFile
    DefineAsAt               RestoreDefinition, with the document that was noted
    SetCurrent               SetCurrent, to the one that was noted
    PullImages               the job is aborted; what was copied up reads the same
    all others               change what cannot be had back, or are of libvirt's own
    =======================  ====================================================
    """
    match begun.move:
        case TakeSnapshot() | StopVm():
            return ()
        case StartVm() | RestoreMemory():
            return (StopVm(),)
        case MakeOverlay(path=path):
            return (RemoveFile(path),)
        case DefineAsAt():
            old = begun.note.get(OLD_DEFINITION)
            return (RestoreDefinition(old),) if old else None
        case SetCurrent():
            name = begun.note.get(OLD_CURRENT)
            return (SetCurrent(name),) if name else ()
        case PullImages(target=target, in_vm=in_vm):
            return (EndJob(target, pivot=False),) if in_vm and not begun.is_done else ()
        case _:
            return None


def _not_undone(entry: Entry) -> tuple[str, ...]:
    """Say what stays as it is although the rest is taken back."""
    found = []
    for begun in _course(entry).begun:
        match begun.move:
            case TakeSnapshot(name=name):
                found.append(f"The snapshot “{name}” stays, if it was taken.")
            case StopVm():
                found.append("The VM stays off; what was in its memory alone is lost.")
            case PullImages() if begun.is_done:
                found.append("What was copied up stays there; it takes space, and does no harm.")
            case SetCurrent(snapshot=name) if not begun.note.get(OLD_CURRENT):
                found.append(f"libvirt goes on to say that the VM stands at “{name}”.")
            case _:
                pass
    return tuple(found)
