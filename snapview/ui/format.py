"""Figures, times and states as words for the screen. What is unknown is "unknown", never 0."""

import math
from datetime import UTC, date, datetime, timedelta

from PySide6.QtCore import QCoreApplication, QLocale

from snapview.core.vm import EPOCH, RunState, Snapshot, SnapshotKind, SnapshotState

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_WEEK = 7 * _DAY
_MONTH = 30.44 * _DAY
_YEAR = 365.25 * _DAY


def tr(text: str, count: int = -1) -> str:
    """Translate a text of this module; ``%n`` becomes ``count``."""
    return QCoreApplication.translate("format", text, None, count)


def size_text(size_bytes: int | None) -> str:
    """Return a size: MiB below 100 MiB, else GiB with one decimal."""
    if size_bytes is None:
        return tr("unknown")
    if 0 < size_bytes < MIB:
        return tr("under 1 MiB")
    if size_bytes < 100 * MIB:
        return f"{round(size_bytes / MIB)} MiB"
    return f"{size_bytes / GIB:.1f} GiB"


def exact_size_text(size_bytes: int | None) -> str:
    """Return a size in bytes with digits grouped, for tooltips."""
    if size_bytes is None:
        return tr("unknown")
    return tr("{number} bytes").format(
        number=f"{size_bytes:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    )


def age_text(moment: datetime, now: datetime | None = None) -> str:
    """Return how old something is, short: "now", "3 min", "2 h", "13 d", "11 wk", "3 mo", "2 y"."""
    if moment == EPOCH:
        return tr("unknown")
    seconds = _seconds_since(moment, now)
    steps = (
        (_MINUTE, 1, tr("now")),
        (_HOUR, _MINUTE, tr("{number} min")),
        (2 * _DAY, _HOUR, tr("{number} h")),
        (3 * _WEEK, _DAY, tr("{number} d")),
        (3 * _MONTH, _WEEK, tr("{number} wk")),
        (2 * _YEAR, _MONTH, tr("{number} mo")),
        (math.inf, _YEAR, tr("{number} y")),
    )
    for limit, unit, text in steps:
        if seconds < limit:
            return text.format(number=int(seconds / unit))
    return tr("unknown")


def relative_text(moment: datetime, now: datetime | None = None) -> str:
    """Return how long ago something was, as words: "11 days ago"."""
    if moment == EPOCH:
        return tr("unknown")
    seconds = _seconds_since(moment, now)
    if seconds < _MINUTE:
        return tr("just now")
    if seconds < _HOUR:
        return plural(int(seconds / _MINUTE), tr("1 minute ago"), tr("{number} minutes ago"))
    if seconds < 2 * _DAY:
        return plural(int(seconds / _HOUR), tr("1 hour ago"), tr("{number} hours ago"))
    if seconds < 3 * _WEEK:
        return plural(int(seconds / _DAY), tr("1 day ago"), tr("{number} days ago"))
    if seconds < 3 * _MONTH:
        return plural(int(seconds / _WEEK), tr("1 week ago"), tr("{number} weeks ago"))
    if seconds < 2 * _YEAR:
        return plural(int(seconds / _MONTH), tr("1 month ago"), tr("{number} months ago"))
    return plural(int(seconds / _YEAR), tr("1 year ago"), tr("{number} years ago"))


def time_text(moment: datetime) -> str:
    """Return an absolute local time: "Wed 11 Nov 2026, 19:40"."""
    if moment == EPOCH:
        return tr("unknown")
    local, locale = moment.astimezone(), QLocale()
    short = QLocale.FormatType.ShortFormat
    day, month = locale.dayName(local.isoweekday(), short), locale.monthName(local.month, short)
    return tr("{day} {date} {month} {year}, {time}").format(
        day=day, date=local.day, month=month, year=local.year, time=f"{local:%H:%M}"
    )


def date_text(day: date, today: date | None = None, *, is_short: bool = False) -> str:
    """Return a day: "6 December", "6 Dec"; with the year where it is another one than today's."""
    width = QLocale.FormatType.ShortFormat if is_short else QLocale.FormatType.LongFormat
    month = QLocale().monthName(day.month, width)
    if day.year == (today or datetime.now().astimezone().date()).year:
        return tr("{date} {month}").format(date=day.day, month=month)
    return tr("{date} {month} {year}").format(date=day.day, month=month, year=day.year)


def exact_time_text(moment: datetime) -> str:
    """Return an absolute local time with seconds and the offset from UTC, for tooltips."""
    if moment == EPOCH:
        return tr("unknown")
    local = moment.astimezone()
    offset = f"{local:%z}"
    return f"{time_text(moment)}:{local:%S} (UTC{offset[:3]}:{offset[3:5]})"


def duration_text(seconds: float | None) -> str:
    """Return a duration: "0.4 s", "17 s", "5 min 30 s", "2 h 5 min", "3 d 4 h"."""
    if seconds is None:
        return tr("unknown")
    if seconds < 9.95:
        return tr("{number} s").format(number=f"{max(0.0, seconds):.1f}".removesuffix(".0"))
    whole = round(seconds)
    if whole < _MINUTE:
        return tr("{number} s").format(number=whole)
    if whole < _HOUR:
        return _two(whole, _MINUTE, tr("{number} min"), 1, tr("{number} s"))
    if whole < 2 * _DAY:
        return _two(whole, _HOUR, tr("{number} h"), _MINUTE, tr("{number} min"))
    return _two(whole, _DAY, tr("{number} d"), _HOUR, tr("{number} h"))


def rate_text(bytes_per_second: float | None) -> str:
    """Return a transfer rate: "198 MiB/s", "2.5 MiB/s", "under 0.1 MiB/s"."""
    if bytes_per_second is None:
        return tr("unknown")
    if 0 < bytes_per_second < MIB / 10:
        return tr("under 0.1 MiB/s")
    if bytes_per_second >= 9.95 * MIB:
        return f"{bytes_per_second / MIB:.0f} MiB/s"
    return f"{bytes_per_second / MIB:.1f}".removesuffix(".0") + " MiB/s"


def kind_text(snapshot: Snapshot) -> str:
    """Return the short words for a snapshot's kind: "External + memory"."""
    words = {
        SnapshotKind.INTERNAL: (tr("Internal"), tr("Internal + memory")),
        SnapshotKind.EXTERNAL: (tr("External"), tr("External + memory")),
        SnapshotKind.MIXED: (tr("Mixed"), tr("Mixed + memory")),
    }
    return words[snapshot.kind][snapshot.has_memory]


def kind_sentence(snapshot: Snapshot) -> str:
    """Return a snapshot's kind in the words of the detail pane: "External, disk only"."""
    words = {
        SnapshotKind.INTERNAL: (tr("Internal, disk only"), tr("Internal, disk and memory")),
        SnapshotKind.EXTERNAL: (tr("External, disk only"), tr("External, disk and memory")),
        SnapshotKind.MIXED: (tr("Mixed, disk only"), tr("Mixed, disk and memory")),
    }
    return words[snapshot.kind][snapshot.has_memory]


def snapshot_state_text(state: SnapshotState) -> str:
    """Return what the VM was doing when the snapshot was taken."""
    return {
        SnapshotState.RUNNING: tr("Running"),
        SnapshotState.PAUSED: tr("Paused"),
        SnapshotState.SHUTOFF: tr("Off"),
        SnapshotState.DISK_ONLY: tr("Running, disk only"),
        SnapshotState.UNKNOWN: tr("unknown"),
    }[state]


def run_state_text(state: RunState) -> str:
    """Return what the VM is doing."""
    return {
        RunState.RUNNING: tr("Running"),
        RunState.PAUSED: tr("Paused"),
        RunState.SHUTOFF: tr("Off"),
        RunState.CRASHED: tr("Crashed"),
        RunState.SUSPENDED: tr("Asleep"),
        RunState.UNKNOWN: tr("unknown"),
    }[state]


def plural(count: int, one: str, many: str) -> str:
    """Return ``one``, or ``many`` with ``{number}`` filled in. Both are already translated.

    Works without a translation file, unlike Qt's ``%n``, whose English needs one.
    """
    return one if count == 1 else many.format(number=count)


def count_text(count: int | None) -> str:
    """Return a number of snapshots: "1 snapshot", "9 snapshots"."""
    if count is None:
        return tr("unknown")
    return plural(count, tr("1 snapshot"), tr("{number} snapshots"))


def _seconds_since(moment: datetime, now: datetime | None) -> float:
    """Return the age, 0 for moments in the future: clocks of hosts differ."""
    passed: timedelta = (now or datetime.now(tz=UTC)) - moment
    return max(0.0, passed.total_seconds())


def _two(whole: int, large: int, large_text: str, small: int, small_text: str) -> str:
    """Return a duration in two units, the smaller one only when it is not 0."""
    first = large_text.format(number=whole // large)
    rest = whole % large // small
    return f"{first} {small_text.format(number=rest)}" if rest else first
