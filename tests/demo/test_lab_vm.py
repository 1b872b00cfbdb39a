import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from snapview.core.errors import HostError
from snapview.core.vm import SnapshotKind
from snapview.demo.lab_vm import LabCancelled, LabVm, run_as_account
from snapview.demo.recipes import Take, VmRecipe
from snapview.virt.host import LibvirtHost
from tests.lab import Lab

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
FIRST = Take("first", "", timedelta(days=2))


@pytest.fixture
def host(lab9: Lab) -> Iterator[LibvirtHost]:
    opened = LibvirtHost(lab9.uri, lab9.journal)
    opened.connect()
    yield opened
    opened.close()


def make(
    lab9: Lab,
    host: LibvirtHost,
    *deeds: Take,
    is_running: bool = False,
    stop: threading.Event | None = None,
) -> tuple[str, list[str]]:
    """Make a VM that ends with the test; return its name and what was said."""
    name, said = lab9.unique_name("recipe"), list[str]()
    recipe = VmRecipe(name, "A title", "", is_running, deeds)
    lab9.vm_names.append(name)
    LabVm(lab9.daemon, host, recipe, stop or threading.Event()).make(said.append, NOW)
    return name, said


def test_states_are_made_while_the_guest_writes(lab9: Lab, host: LibvirtHost) -> None:
    later = Take("later on", "Why.", timedelta(days=1))
    name, said = make(lab9, host, FIRST, later, is_running=True)
    assert said == ["taking “first”", "taking “later on”"]
    image = lab9.active_disk(name)
    first, second = (lab9.disk_counter(image, snapshot) for snapshot in ("first", "later-on"))
    assert first is not None
    assert second is not None
    assert first.count < second.count
    assert "running" in lab9.virsh("domstate", name)


def test_what_plan_refuses_is_said(lab9: Lab, host: LibvirtHost) -> None:
    mixed = Take("mixed", "", timedelta(days=1), SnapshotKind.EXTERNAL)
    with pytest.raises(HostError, match=r"cannot be made here: .* internal snapshots"):
        make(lab9, host, FIRST, mixed)


def test_it_stops_when_told(lab9: Lab, host: LibvirtHost) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(LabCancelled):
        make(lab9, host, FIRST, stop=stop)


def test_a_command_that_fails_is_said(lab9: Lab) -> None:
    with pytest.raises(HostError, match="files of the demo lab cannot be made") as caught:
        run_as_account(lab9.daemon, ("ls", "/no/such/folder"))
    assert "No such file" in caught.value.detail
    with pytest.raises(HostError):
        run_as_account(lab9.daemon, ("no-such-command",))
