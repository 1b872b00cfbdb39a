"""How fast a job is: only what was really said counts."""

import pytest

from snapview.core.operations import Progress
from snapview.ui.pace import WINDOW_SECONDS, Pace

MIB = 1024 * 1024


def copying(done_mib: int, phase: str = "merging vda") -> Progress:
    return Progress(phase, done_mib * MIB, 1000 * MIB)


def test_nothing_is_known_at_first() -> None:
    pace = Pace()
    assert pace.bytes_per_second(5.0) is None
    assert pace.seconds_left(5.0) is None
    pace.note(copying(500), 5.0)
    assert pace.bytes_per_second(60.0) is None, "one look is no speed, however long ago"
    pace.note(copying(510), 5.1)
    assert pace.bytes_per_second(5.2) is None, "a tenth of a second is a guess"


def test_speed_and_what_is_left() -> None:
    pace = Pace()
    for second in range(4):
        pace.note(copying(100 + 50 * second), float(second))
    assert pace.bytes_per_second(3.0) == pytest.approx(50 * MIB)
    assert pace.seconds_left(3.0) == pytest.approx((1000 - 250) / 50)


def test_only_the_last_seconds_count() -> None:
    pace = Pace()
    for second in range(30):
        pace.note(copying(second), float(second))
    for second in range(30, 30 + round(WINDOW_SECONDS) + 1):
        pace.note(copying(30 + 20 * (second - 29)), float(second))
    assert pace.bytes_per_second(30 + WINDOW_SECONDS) == pytest.approx(20 * MIB)


def test_a_job_that_stands_still_has_no_end() -> None:
    pace = Pace()
    for second in range(30):
        pace.note(copying(100), float(second))
    assert pace.bytes_per_second(29.0) == 0
    assert pace.seconds_left(29.0) is None


def test_a_silent_job_gets_slower_and_slower() -> None:
    pace = Pace()
    pace.note(copying(0), 0.0)
    pace.note(copying(100), 2.0)
    assert pace.bytes_per_second(2.0) == pytest.approx(50 * MIB)
    assert pace.bytes_per_second(20.0) == pytest.approx(5 * MIB)


@pytest.mark.parametrize("other", [copying(900, "merging vdb"), copying(10)])
def test_another_file_is_a_new_beginning(other: Progress) -> None:
    pace = Pace()
    pace.note(copying(100), 0.0)
    pace.note(copying(200), 2.0)
    pace.note(other, 3.0)
    assert pace.bytes_per_second(3.0) is None


def test_without_a_total_there_is_no_speed() -> None:
    pace = Pace()
    pace.note(Progress("saving memory", 1), 0.0)
    pace.note(Progress("saving memory", 2), 5.0)
    assert pace.bytes_per_second(5.0) is None
    assert pace.seconds_left(5.0) is None
