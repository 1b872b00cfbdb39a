"""What snapview notes in a snapshot's description: how consistent it is, how long to keep it. Pure.

The notes are the last lines of the description, in plain words, so that virsh and others show them
too. Everything here speaks of the description without its title line.
"""

import re
from dataclasses import dataclass
from datetime import date
from enum import Enum


class Consistency(Enum):
    """What a guest finds when it goes back to a snapshot; the values are what is written."""

    WITH_MEMORY = "with memory"  # it goes on where it was
    FROZEN = "file systems frozen"  # by the guest agent: they are clean
    CRASH = "crash-consistent"  # as after a power cut
    OFF = "VM was off"


@dataclass(frozen=True, slots=True)
class Marks:
    """What a description notes; None: nothing is noted."""

    consistency: Consistency | None = None
    kept_until: date | None = None  # of a safety snapshot: from then on it may go


_CONSISTENCY = "Consistency: "
_KEPT_UNTIL = "Kept until "
_LINE = re.compile(
    rf"{_CONSISTENCY}({'|'.join(each.value for each in Consistency)})"
    rf"|{_KEPT_UNTIL}([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})"
)


def marks_of(description: str) -> Marks:
    """Return what a description notes; of two notes of one sort the last counts."""
    return _split(description)[1]


def words_of(description: str) -> str:
    """Return a description without its notes."""
    return _split(description)[0]


def with_marks(description: str, marks: Marks) -> str:
    """Return a description with these notes instead of those it has."""
    words = words_of(description)
    lines = []
    if marks.consistency is not None:
        lines.append(f"{_CONSISTENCY}{marks.consistency.value}")
    if marks.kept_until is not None:
        lines.append(f"{_KEPT_UNTIL}{marks.kept_until.isoformat()}")
    return "\n".join([words, *lines] if words else lines)


def with_consistency_of(old: str, new: str) -> str:
    """Return a new description that notes the same consistency as the old one.

    What a snapshot holds is a fact, which new words do not change. How long it is kept is a wish,
    and goes with the old words.
    """
    consistency = marks_of(old).consistency
    marks = marks_of(new)
    if consistency is None or marks.consistency is consistency:
        return new
    return with_marks(new, Marks(consistency, marks.kept_until))


def _split(description: str) -> tuple[str, Marks]:
    """Return the words and the notes; empty lines between and below the notes are nobody's."""
    lines = description.split("\n")
    marks, start = Marks(), len(lines)
    for at in range(len(lines) - 1, -1, -1):
        found = _mark(lines[at])
        if found is not None:
            start = at
            marks = Marks(
                marks.consistency or found.consistency, marks.kept_until or found.kept_until
            )
        elif lines[at].strip():
            break
    if start == len(lines):
        return description, marks
    return "\n".join(lines[:start]), marks


def _mark(line: str) -> Marks | None:
    """Read one line; None: it is no note."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    if found[1]:
        return Marks(consistency=Consistency(found[1]))
    try:
        return Marks(kept_until=date.fromisoformat(found[2]))
    except ValueError:  # the 30th of February
        return None
