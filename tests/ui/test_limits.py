"""The speeds that are offered."""

import pytest
from PySide6.QtWidgets import QApplication

from snapview.ui.limits import NO_LIMIT, PAUSE, SPEEDS, limit_text


@pytest.mark.parametrize(
    ("speed", "words"),
    [
        (0, "no limit"),
        (1, "paused"),
        (100 * 1024**2, "100 MiB/s"),
        (10 * 1024**2, "10 MiB/s"),
        (5 * 1024**2 // 2, "2.5 MiB/s"),
    ],
)
def test_words(qapp: QApplication, speed: int, words: str) -> None:
    assert limit_text(speed) == words


def test_all_that_is_offered_differs(qapp: QApplication) -> None:
    words = {limit_text(speed) for speed in (*SPEEDS, PAUSE)}
    assert len(words) == len(SPEEDS) + 1
    assert SPEEDS[0] == NO_LIMIT
    assert list(SPEEDS[1:]) == sorted(SPEEDS[1:], reverse=True)
