"""Words and figures for a terminal, from names and texts that may be hostile.

Pure. What comes from a VM or another program can hold escape sequences that repaint the
terminal or turn the direction of writing; here they become visible instead.
"""

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime

from snapview.core.vm import EPOCH, RunState, Snapshot, SnapshotKind, SnapshotState

_JOINERS = "\u200c\u200d"  # emoji and some scripts need them; they move nothing
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_MINUTE_SECONDS = 60
_UNITS = ((31_557_600, "year"), (2_629_800, "month"), (604_800, "week"), (86_400, "day"))
_SHORT_UNITS = ((3_600, "hour"), (60, "minute"))


def neutral(text: str) -> str:
    """Return ``text`` on one line, with control, direction and hidden characters made visible."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(char) for char in text)


def neutral_lines(text: str) -> list[str]:
    """Return the lines of a description, each neutral."""
    return [neutral(line) for line in re.split(r"\r\n|\r|\n", text)]


def _visible(char: str) -> str:
    if unicodedata.category(char) not in _HIDDEN_CATEGORIES or char in _JOINERS:
        return char
    return char.encode("unicode_escape").decode("ascii")


def quoted(text: str) -> str:
    """Return a name or title for the middle of a sentence."""
    text = neutral(text)
    return f'"{text}"' if "“" in text else f"“{text}”"


def listing(items: Iterable[str]) -> str:
    """Return ``a, b and c``."""
    found = list(items)
    if len(found) < 2:
        return "".join(found)
    return f"{', '.join(found[:-1])} and {found[-1]}"


def counted(count: int, noun: str) -> str:
    """Return ``1 snapshot``, ``2 snapshots``, ``no snapshots``."""
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def age(created_at: datetime, now: datetime) -> str:
    """Return how long ago, in its largest unit that is at least two, down to minutes."""
    if created_at == EPOCH:
        return "unknown"
    seconds = (now - created_at).total_seconds()
    if seconds < -_MINUTE_SECONDS:
        return "in the future"
    for unit_seconds, word in (*_UNITS, *_SHORT_UNITS):
        if seconds >= 2 * unit_seconds or (seconds >= unit_seconds and word in {"day", "minute"}):
            return f"{counted(int(seconds // unit_seconds), word)} ago"
    return "just now"


def local_time(moment: datetime) -> str:
    """Return a moment in the reader's own time zone."""
    return "unknown" if moment == EPOCH else f"{moment.astimezone():%Y-%m-%d %H:%M}"


def iso_time(moment: datetime) -> str | None:
    """Return a moment as JSON has it: ISO 8601 in UTC, None when unknown."""
    if moment == EPOCH:
        return None
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def size(size_bytes: int) -> str:
    """Return bytes as MiB below 100 MiB, else as GiB with one decimal."""
    if size_bytes < 0:
        return f"-{size(-size_bytes)}"
    mebibytes = size_bytes / 2**20
    if 0 < mebibytes < 1:
        return f"{size_bytes / 2**10:.0f} KiB"
    return f"{mebibytes:.0f} MiB" if mebibytes < 100 else f"{size_bytes / 2**30:.1f} GiB"


def duration(seconds: float) -> str:
    """Return how long something takes: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE_SECONDS:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def run_state(state: RunState) -> str:
    """Return what a VM is doing, in a user's words."""
    return {RunState.SHUTOFF: "off", RunState.SUSPENDED: "asleep"}.get(state, state.value)


def kind(snapshot: Snapshot) -> str:
    """Return kind, and memory where it was kept."""
    words = {
        SnapshotKind.INTERNAL: "internal",
        SnapshotKind.EXTERNAL: "external",
        SnapshotKind.MIXED: "mixed",
    }
    return words[snapshot.kind] + (" + memory" if snapshot.has_memory else "")


def snapshot_state(state: SnapshotState) -> str:
    """Return what the VM was doing when the snapshot was taken."""
    return {SnapshotState.SHUTOFF: "off"}.get(state, state.value)
