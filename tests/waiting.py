"""Waiting for something to become so, never for a time."""

import threading
import time
from collections.abc import Callable

PATIENCE_SECONDS = 30.0


def eventually(holds: Callable[[], object], otherwise: str) -> None:
    """Wait until something holds; fail with ``otherwise`` when it never does."""
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, threading.Event()
    while not holds():
        assert time.monotonic() < deadline, otherwise
        pause.wait(0.01)
