"""What was under way when nobody finished it, and which moves finish it or take it back. Pure.

Each destructive move is written down before it is made, so that after a crash of anybody the
journal knows how far things got, at most one move in doubt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from snapview.core.moves import Move
from snapview.core.operations import Operation
from snapview.core.under_way import Interruption

NO_NOTE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Begun:
    """A move that was begun. ``note`` holds what its undo needs, such as the old definition."""

    move: Move
    note: Mapping[str, str] = NO_NOTE
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
    raise NotImplementedError
