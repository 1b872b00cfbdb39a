"""What the marks in a snapshot's description say to a person: how long it is kept, how it is.

Hides that descriptions are parsed once, although rows are painted often.
"""

from datetime import UTC, date, datetime
from functools import lru_cache

from PySide6.QtCore import QCoreApplication

from snapview.core.marks import Consistency, Marks, marks_of
from snapview.core.vm import Snapshot
from snapview.ui.format import date_text

KEPT_PREFIX = "before revert to "  # titles of the safety snapshots that a revert takes

_marks = lru_cache(maxsize=16_384)(marks_of)


def marks(snapshot: Snapshot) -> Marks:
    """Return what a snapshot's description notes."""
    return _marks(snapshot.description)


def is_kept(snapshot: Snapshot) -> bool:
    """Whether this is a state kept by a revert, to be shown in the background."""
    return snapshot.label.startswith(KEPT_PREFIX) or marks(snapshot).kept_until is not None


def is_expired(snapshot: Snapshot, now: datetime) -> bool:
    """Whether a kept state has outlived the time for which it was wanted."""
    until = marks(snapshot).kept_until
    return until is not None and local_day(now) > until


def local_day(now: datetime | None = None) -> date:
    """Return the day it is here."""
    return (now or datetime.now(tz=UTC)).astimezone().date()


def retention_text(snapshot: Snapshot, now: datetime, *, is_short: bool = False) -> str:
    """Return how long a kept state is wanted; empty: nobody said.

    "kept until 6 December", "may go since 6 December"; short "kept until 6 Dec", "may go".
    """
    until = marks(snapshot).kept_until
    if until is None:
        return ""
    day = date_text(until, local_day(now), is_short=is_short)
    if not is_expired(snapshot, now):
        return _tr("kept until {day}").format(day=day)
    return _tr("may go") if is_short else _tr("may go since {day}").format(day=day)


def consistency_text(snapshot: Snapshot) -> str:
    """Return what a guest finds when it goes back there; empty: nobody noted it."""
    found = marks(snapshot).consistency
    if found is None:
        return ""
    return {
        Consistency.WITH_MEMORY: _tr("With memory: goes on where it was"),
        Consistency.FROZEN: _tr("File systems were frozen: clean"),
        Consistency.CRASH: _tr("As after a power cut"),
        Consistency.OFF: _tr("The VM was off: clean"),
    }[found]


def _tr(text: str) -> str:
    return QCoreApplication.translate("Retention", text)
