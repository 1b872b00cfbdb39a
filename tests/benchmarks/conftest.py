"""What the benchmarks found, said at the end of the run; VMs that several of them read."""

from collections.abc import Callable

import pytest

from tests.benchmarks.records import make_recorded_vm
from tests.lab import Lab

_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def report(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Callable[[object], None]:
    """Return a function that has a line said at the end of the run."""
    figures = pytestconfig.stash.setdefault(_FIGURES, [])
    name = request.node.name.removeprefix("test_")
    return lambda figure: figures.append(f"{name}: {figure}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    figures = terminalreporter.config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section("median (least … largest)")
        for figure in figures:
            terminalreporter.write_line(figure)


@pytest.fixture(scope="session")
def recorded_vm(lab9: Lab) -> Callable[..., str]:
    """Return a function that returns the UUID of a VM with so many snapshots; each made once."""
    made: dict[tuple[int, bool], str] = {}

    def uuid_of(size: int, *, external: bool = False) -> str:
        wanted = (size, external)
        if wanted not in made:
            name = lab9.unique_name(f"recorded-{size}")
            made[wanted] = make_recorded_vm(lab9, name, size, external=external)
            lab9.vm_names.remove(name)  # outlives the test: it ends with the lab
        return made[wanted]

    return uuid_of
