"""A terminal whose command line talks to a ``FakeWorld`` instead of libvirt."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from snapview.cli.app import main
from snapview.cli.invocation import Services
from snapview.core.errors import SnapviewError
from snapview.core.operations import CreateSnapshot, Host, Progress
from snapview.core.vm import RunState, SnapshotKind
from snapview.history import History
from tests.fakes import FakeWorld
from tests.trees import branching_tree, linear_tree, make_vm

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


@dataclass
class FakeLab:
    """The demo lab without VMs."""

    uri: str = "fake:///demo"
    exists: bool = False
    error: SnapviewError | None = None
    is_interrupted: bool = False
    is_cancelled: bool = False

    def ensure(self, report: Callable[[Progress], None]) -> str:
        if self.error is not None:
            raise self.error
        report(Progress("Making demo-web."))
        report(Progress("Making demo-web."))
        report(Progress("Making demo-\x1b[31mdb."))
        self.exists = True
        return self.uri

    def cancel(self) -> None:
        self.is_cancelled = True

    def remove(self) -> bool:
        was_there, self.exists = self.exists, False
        return was_there


@dataclass(frozen=True)
class Answer:
    """What one run printed, and how it ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON on stdout: exactly one document of our schema."""
        parsed = json.loads(self.out)
        assert parsed["schema"] == 1
        return parsed


@dataclass
class Terminal:
    """Runs ``snapview …`` on the fakes."""

    capsys: pytest.CaptureFixture[str]
    world: FakeWorld
    history: History
    lab: FakeLab = field(default_factory=FakeLab)
    environment: dict[str, str] = field(
        default_factory=lambda: {"LIBVIRT_DEFAULT_URI": "fake:///one"}
    )
    windows: list[tuple[str, ...]] = field(default_factory=list)
    worlds: dict[str, FakeWorld | SnapviewError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, *arguments: str) -> Answer:
        services = Services(
            make_host=self._make_host,
            make_lab=lambda: self.lab,
            open_window=self._open_window,
            make_history=lambda: self.history,
            environment=self.environment,
            now=lambda: NOW,
        )
        self.capsys.readouterr()
        status = main(arguments, services)
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        return Answer(status, out, err)

    def _make_host(self, uri: str) -> Host:
        self.asked.append(uri)
        world = self.worlds.get(uri, self.world)
        if isinstance(world, SnapviewError):
            raise world
        return world.make_host(uri)

    def _open_window(self, uris: Sequence[str]) -> int:
        self.windows.append(tuple(uris))
        return 0


def add_layers(world: FakeWorld, *names: str) -> str:
    """Add the VM “layered” with external snapshots in a line; return its UUID."""
    layered = make_vm("layered")
    world.define(layered)
    for name in names or ("one", "two", "three"):
        kind = SnapshotKind.EXTERNAL
        world.act(CreateSnapshot(layered.uuid, name, kind=kind, memory=False))
    return layered.uuid


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld(
        replace(make_vm("web", branching_tree()), title="Web server"),
        make_vm("db", linear_tree(3), run_state=RunState.SHUTOFF),
        make_vm("fresh"),
    )


@pytest.fixture
def snapview(capsys: pytest.CaptureFixture[str], world: FakeWorld, tmp_path: Path) -> Terminal:
    return Terminal(capsys, world, History(tmp_path / "history.sqlite"))


@pytest.fixture(autouse=True)
def _on_a_terminal_that_can_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test depend on where the tests run; a dumb terminal has tests of its own."""
    monkeypatch.setenv("TERM", "xterm")
