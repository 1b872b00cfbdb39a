import os
import signal
import threading
from collections.abc import Callable

from snapview.core.errors import NotInstalled
from snapview.core.operations import Progress
from tests.cli.conftest import FakeLab, Terminal


def test_demo_makes_the_lab_and_opens_the_window(snapview: Terminal) -> None:
    answer = snapview("demo")
    assert answer.status == 0
    assert snapview.windows == [("fake:///demo",)]
    assert answer.out == ""
    assert answer.err.splitlines() == ["Making demo-web.", r"Making demo-\x1b[31mdb."]


def test_demo_as_text(snapview: Terminal) -> None:
    answer = snapview("demo", "--no-gui")
    assert answer.status == 0
    assert snapview.windows == []
    assert snapview.asked == ["fake:///demo"]
    for headline in ("db: off, 3 snapshots", "fresh: running, no snapshots", "web (Web server): "):
        assert headline in answer.out
    assert answer.out.count("You are here") == 3
    assert "-c demo" in answer.err


def test_demo_as_json(snapview: Terminal) -> None:
    document = snapview("demo", "--json").document
    assert snapview.windows == []
    assert document["connection"] == "fake:///demo"
    assert [tree["vm"] for tree in document["trees"]] == ["db", "fresh", "web"]


def test_demo_remove(snapview: Terminal) -> None:
    snapview.lab.exists = True
    assert snapview("demo", "--remove").out == "The demo lab is gone.\n"
    assert snapview("demo", "--remove").out == "There is no demo lab here.\n"
    assert snapview("demo", "--remove", "--json").document["removed"] is False


def test_demo_without_libvirt(snapview: Terminal) -> None:
    snapview.lab.error = NotInstalled("There is no libvirt daemon.", advice="Install it.")
    answer = snapview("demo")
    assert answer.status == 4
    assert "Install it." in answer.err
    assert snapview.windows == []


class _SlowLab(FakeLab):
    """Is interrupted while it is made."""

    def __init__(self) -> None:
        super().__init__()
        self._cancelled = threading.Event()

    def ensure(self, report: Callable[[Progress], None]) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        assert self._cancelled.wait(60)
        raise NotInstalled("The demo lab was not made.")

    def cancel(self) -> None:
        self.is_cancelled = True
        self._cancelled.set()


def test_ctrl_c_while_the_lab_is_made(snapview: Terminal) -> None:
    snapview.lab = _SlowLab()
    answer = snapview("demo")
    assert answer.status == 130
    assert snapview.lab.is_cancelled
    assert "taken away again" in answer.err
