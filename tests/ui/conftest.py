"""A window over in-memory hosts, closed with its session after each test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from snapview.session import History, Session, Timing
from snapview.settings import Settings
from snapview.ui.main_window import MainWindow
from snapview.ui.theme import apply_style
from tests.fakes import FakeWorld
from tests.ui.windows import ONE, Shown

QUICK = Timing(
    list_seconds=0.05,
    fingerprint_seconds=0.05,
    sample_seconds=0.05,
    back_off_seconds=(0.05,),
    close_seconds=5,
    plan_seconds=5,  # so that every plan is there at once, however busy the machine is
)


class OpenWindow(Protocol):
    """Opens a window on worlds by URI."""

    def __call__(
        self,
        worlds: dict[str, FakeWorld] | FakeWorld,
        *,
        make_demo: Callable[[], str] | None = None,
        settings: Settings | None = None,
        history: History | None = None,
    ) -> Shown: ...


@pytest.fixture
def open_window(qapp: QApplication, qtbot: QtBot, tmp_path: Path) -> Iterator[OpenWindow]:
    """Return a function that opens a window and waits until it is there."""
    apply_style(qapp)
    opened: list[Shown] = []

    def open_(
        worlds: dict[str, FakeWorld] | FakeWorld,
        *,
        make_demo: Callable[[], str] | None = None,
        settings: Settings | None = None,
        history: History | None = None,
    ) -> Shown:
        by_uri = worlds if isinstance(worlds, dict) else {ONE: worlds}
        session = Session(lambda uri: by_uri[uri].make_host(uri), QUICK, history)
        saved: list[Settings] = []
        known = settings or Settings(tmp_path / "settings.json")
        window = MainWindow(session, known, saved.append, make_demo)
        qtbot.addWidget(window)
        shown = Shown(window, session, by_uri, saved, qtbot)
        opened.append(shown)
        with qtbot.waitExposed(window):
            window.show()
        for uri in by_uri:
            session.open(uri)
        return shown

    yield open_
    for shown in opened:
        shown.end()
    qapp.setStyleSheet("")
