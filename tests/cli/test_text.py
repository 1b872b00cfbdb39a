from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.cli import text
from snapview.core.vm import EPOCH, RunState, Snapshot, SnapshotKind, SnapshotState

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("two\nlines", r"two\nlines"),
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        ("\u2066x\u2069", r"\u2066x\u2069"),
        ("a\u2028b", r"a\u2028b"),
        ("lone \ud800", r"lone \ud800"),
        ("\x9b2J", r"\x9b2J"),
        ("Grüße 日本語", "Grüße 日本語"),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
)
def test_neutral_shows_what_would_act_on_a_terminal(hostile: str, shown: str) -> None:
    assert text.neutral(hostile) == shown


@given(st.text())
def test_neutral_text_is_one_harmless_line(hostile: str) -> None:
    shown = text.neutral(hostile)
    assert shown.splitlines() in ([], [shown])
    assert "\x1b" not in shown
    assert text.neutral(shown) == shown


def test_neutral_lines_keeps_the_lines() -> None:
    assert text.neutral_lines("a\r\nb\x07\nc") == ["a", r"b\x07", "c"]


@pytest.mark.parametrize(
    ("elapsed", "shown"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(seconds=61), "1 minute ago"),
        (timedelta(minutes=90), "90 minutes ago"),
        (timedelta(hours=5), "5 hours ago"),
        (timedelta(hours=25), "1 day ago"),
        (timedelta(days=9), "9 days ago"),
        (timedelta(days=20), "2 weeks ago"),
        (timedelta(days=83), "2 months ago"),
        (timedelta(days=400), "13 months ago"),
        (timedelta(days=800), "2 years ago"),
        (timedelta(hours=-2), "in the future"),
        (timedelta(seconds=-20), "just now"),
    ],
)
def test_age_is_in_its_largest_fitting_unit(elapsed: timedelta, shown: str) -> None:
    assert text.age(NOW - elapsed, NOW) == shown


def test_unknown_moments_are_unknown() -> None:
    assert text.age(EPOCH, NOW) == "unknown"
    assert text.iso_time(EPOCH) is None
    assert text.iso_time(NOW) == "2026-03-01T09:00:00Z"


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 MiB"),
        (2048, "2 KiB"),
        (5 << 20, "5 MiB"),
        (99 << 20, "99 MiB"),
        (3 << 29, "1.5 GiB"),
        (-2048, "-2 KiB"),
        (-(5 << 20), "-5 MiB"),
    ],
)
def test_sizes_are_in_mebibytes_or_gibibytes(size_bytes: int, shown: str) -> None:
    assert text.size(size_bytes) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"),
        (0.36, "0.4 s"),
        (9.94, "9.9 s"),
        (12.4, "12 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_in_their_two_largest_units(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_words() -> None:
    assert text.listing(["a"]) == "a"
    assert text.listing(["a", "b", "c"]) == "a, b and c"
    assert text.counted(0, "snapshot") == "no snapshots"
    assert text.counted(1, "snapshot") == "1 snapshot"
    assert text.quoted("x") == "“x”"
    assert text.quoted("of “x”") == '"of “x”"'
    assert text.run_state(RunState.SHUTOFF) == "off"
    assert text.snapshot_state(SnapshotState.DISK_ONLY) == "disk-only"
    external = Snapshot("s", kind=SnapshotKind.EXTERNAL, has_memory=True)
    assert text.kind(external) == "external + memory"
