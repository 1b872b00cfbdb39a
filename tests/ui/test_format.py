"""Words for sizes, times and states."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.vm import EPOCH, RunState, SnapshotKind, SnapshotState
from snapview.ui import format as words
from tests.ui.views import NOW, snapshot

pytestmark = pytest.mark.usefixtures("qapp")
MIB, GIB = words.MIB, words.GIB


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "unknown"),
        (0, "0 MiB"),
        (1, "under 1 MiB"),
        (112 * MIB, "0.1 GiB"),
        (99 * MIB, "99 MiB"),
        (100 * MIB - 1, "100 MiB"),
        (6 * GIB + 400 * MIB, "6.4 GiB"),
        (64 * GIB, "64.0 GiB"),
    ],
)
def test_sizes(size: int | None, text: str) -> None:
    assert words.size_text(size) == text


def test_exact_sizes() -> None:
    assert (
        words.exact_size_text(1234567)
        == "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567 bytes"
    )
    assert words.exact_size_text(None) == "unknown"


@pytest.mark.parametrize(
    ("age", "short", "long"),
    [
        (timedelta(seconds=-30), "now", "just now"),
        (timedelta(seconds=59), "now", "just now"),
        (timedelta(minutes=1), "1 min", "1 minute ago"),
        (timedelta(minutes=3), "3 min", "3 minutes ago"),
        (timedelta(hours=2), "2 h", "2 hours ago"),
        (timedelta(hours=47), "47 h", "47 hours ago"),
        (timedelta(days=2), "2 d", "2 days ago"),
        (timedelta(days=13), "13 d", "13 days ago"),
        (timedelta(days=77), "11 wk", "11 weeks ago"),
        (timedelta(days=92), "3 mo", "3 months ago"),
        (timedelta(days=731), "2 y", "2 years ago"),
    ],
)
def test_ages(age: timedelta, short: str, long: str) -> None:
    assert words.age_text(NOW - age, NOW) == short
    assert words.relative_text(NOW - age, NOW) == long


def test_unknown_times() -> None:
    assert words.age_text(EPOCH, NOW) == words.time_text(EPOCH) == "unknown"
    assert words.relative_text(EPOCH, NOW) == words.exact_time_text(EPOCH) == "unknown"


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=9000)))
def test_ages_never_say_zero(age: timedelta) -> None:
    assert not words.age_text(NOW - age, NOW).startswith("0")


def test_times_are_local() -> None:
    moment = datetime(2026, 11, 11, 19, 40, 5, tzinfo=UTC)
    local = moment.astimezone()
    text = words.time_text(moment)
    assert f"{local.day} " in text
    assert text.endswith(f"{local:%Y, %H:%M}")
    assert f":{local:%S} (UTC" in words.exact_time_text(moment)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "unknown"),
        (0, "0 s"),
        (0.42, "0.4 s"),
        (9.96, "10 s"),
        (17, "17 s"),
        (60, "1 min"),
        (330, "5 min 30 s"),
        (7500, "2 h 5 min"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert words.duration_text(seconds) == text


def test_rates() -> None:
    assert words.rate_text(198 * MIB) == "198 MiB/s"
    assert words.rate_text(9.97 * MIB) == "10 MiB/s"
    assert words.rate_text(2.5 * MIB) == "2.5 MiB/s"
    assert words.rate_text(1000) == "under 0.1 MiB/s"
    assert words.rate_text(0) == "0 MiB/s"
    assert words.rate_text(None) == "unknown"


@pytest.mark.parametrize("kind", list(SnapshotKind))
@pytest.mark.parametrize("memory", [False, True])
def test_kinds(kind: SnapshotKind, memory: bool) -> None:
    shown = snapshot("x", kind=kind, memory=memory)
    assert words.kind_text(shown) == kind.value.capitalize() + (" + memory" if memory else "")
    assert words.kind_sentence(shown).endswith("disk and memory" if memory else "disk only")


def test_every_state_has_words() -> None:
    assert all(words.snapshot_state_text(state) for state in SnapshotState)
    assert all(words.run_state_text(state) for state in RunState)


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "unknown"), (0, "0 snapshots"), (1, "1 snapshot"), (9, "9 snapshots")],
)
def test_counts(count: int | None, text: str) -> None:
    assert words.count_text(count) == text


def test_days() -> None:
    today = date(2026, 11, 22)
    assert words.date_text(date(2026, 12, 6), today) == "6 December"
    assert words.date_text(date(2026, 12, 6), today, is_short=True) == "6 Dec"
    assert words.date_text(date(2027, 1, 6), today) == "6 January 2027"
    assert words.date_text(date(2025, 12, 6), today) == "6 December 2025"
