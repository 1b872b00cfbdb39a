"""Makes every test fail that logs, leaks, or lets the GUI thread touch files or hosts."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["QT_NO_GLIB"] = "1"  # as the application has it: GLib's main loop is libvirt's

from tests import guards

pytest_plugins = ["tests.lab_fixtures"]

_TOUCHES = pytest.StashKey[guards.TouchWatch]()


class AllowLog(Protocol):
    """Says that a test provokes log records that match a regular expression."""

    def __call__(self, pattern: str) -> None: ...


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TOUCHES] = guards.TouchWatch()
    # Shells start background jobs with Ctrl-C ignored, and so would be whatever the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _log_watch() -> Iterator[guards.LogWatch]:
    watch = guards.LogWatch()
    logging.getLogger().addHandler(watch)
    yield watch
    logging.getLogger().removeHandler(watch)
    unexpected = watch.unexpected()
    if unexpected:
        pytest.fail("logged without being expected to:\n" + "\n".join(unexpected), pytrace=False)


@pytest.fixture
def allow_log(_log_watch: guards.LogWatch) -> AllowLog:
    """Allow the log records that the test provokes, by a regular expression."""
    return _log_watch.allow


@pytest.fixture(autouse=True)
def _no_leaked_threads() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    leaked = guards.leaked_threads(before)
    if leaked:
        pytest.fail("left behind: " + ", ".join(leaked), pytrace=False)


@pytest.fixture(autouse=True)
def _watched_gui_thread(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """In tests with Qt: no leaks of Qt's, and a GUI thread that only computes and paints."""
    if "qapp" not in request.fixturenames:
        yield
        return
    request.getfixturevalue("qapp")
    touches = request.config.stash[_TOUCHES]
    before = guards.qt_objects()
    guards.guard_hosts(monkeypatch, touches.seen)
    with touches.armed():
        yield
    leaked = guards.leaked_qt_objects(before)
    if touches.seen:
        pytest.fail("the GUI thread must not:\n" + "\n".join(touches.seen), pytrace=False)
    if leaked:
        pytest.fail("left behind: " + ", ".join(leaked), pytrace=False)


@pytest.fixture
def gui_thread_touches(request: pytest.FixtureRequest) -> Callable[[], list[str]]:
    """Return what the GUI thread was caught at so far, and forget it; for tests of the guard."""
    seen = request.config.stash[_TOUCHES].seen

    def take() -> list[str]:
        caught = list(seen)
        seen.clear()
        return caught

    return take
