"""As a desktop user on a system daemon: images of root's, mode 0600, everything through libvirt.

snapview runs in a process of another account; the oracles run as root and look at the files. The
cells of the contract's table come out as on a daemon of one's own.
"""

import json
import os
import pwd
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapview.core.operations import (
    Afterwards,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    Failed,
    Progress,
    Recover,
    RevertSnapshot,
)
from snapview.core.planning import Refusal, RefusalCode
from snapview.core.vm import RunState, SnapshotKind
from tests.contract_bench import (
    DISK_ONLY,
    EXTERNAL,
    INTERNAL,
    OFF,
    RUNNING,
    Bench,
    Results,
    Taken,
)
from tests.contract_table import PAGE, Walks, parse
from tests.desktop_user import ACCOUNT, DesktopUser, command_line
from tests.lab_fixtures import newer_root
from tests.system_lab import SystemLab, system_lab
from tests.virt.machine import Machine

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be the system and somebody else"),
]


@pytest.fixture(scope="module", params=["9.0", pytest.param("11.3", marks=pytest.mark.newer)])
def system(request: pytest.FixtureRequest) -> Iterator[SystemLab]:
    with system_lab(None if request.param == "9.0" else newer_root()) as lab:
        yield lab


@pytest.fixture
def home(system: SystemLab) -> Path:
    return system.folder / "home" / system.unique_name("user")


@pytest.fixture
def user(system: SystemLab, home: Path) -> Iterator[DesktopUser]:
    with DesktopUser(system.uri, home) as made:
        yield made


@pytest.fixture
def machine(system: SystemLab, user: DesktopUser) -> Iterator[Machine]:
    made = of_the_user(Machine(system), user)
    yield made
    made.close()
    user.connect()


def of_the_user(machine: Machine, user: DesktopUser) -> Machine:
    """Let the user do what the machine is told to do."""
    machine.vm.host.close()
    machine.vm.host = user
    return machine


class UsersBench(Bench):
    """A bench on which the desktop user carries out the cells."""

    def __init__(
        self, user: DesktopUser, system: SystemLab, kind: SnapshotKind, results: Results, disks: int
    ) -> None:
        super().__init__(system, kind, results, disks)
        of_the_user(self, user)

    def close(self) -> None:
        super().close()
        user = self.vm.host
        assert isinstance(user, DesktopUser)
        user.connect()  # for the next bench


Walk = Callable[[Walks], None]


def deleting(taken: Taken, now: str) -> Walk:
    return lambda walks: walks.delete_each_shape(taken, now)


def merging(now: str) -> Walk:
    return lambda walks: walks.consolidate(now)


WALKS = [
    pytest.param(INTERNAL, deleting(RUNNING, "running"), id="internal"),
    pytest.param(INTERNAL, deleting(OFF, "off"), id="internal, off"),
    pytest.param(EXTERNAL, deleting(RUNNING, "running"), id="with memory"),
    pytest.param(EXTERNAL, deleting(DISK_ONLY, "paused"), id="disk only, paused"),
    pytest.param(EXTERNAL, deleting(OFF, "off"), id="off"),
    pytest.param(EXTERNAL, merging("running"), id="merging"),
    pytest.param(EXTERNAL, merging("off"), id="merging, off"),
    pytest.param(EXTERNAL, Walks.take_what_is_not_offered, id="not offered"),
]


@pytest.mark.parametrize(("kind", "walk"), WALKS)
def test_the_cells_of_the_table_come_out_as_on_ones_own_daemon(
    system: SystemLab, user: DesktopUser, kind: SnapshotKind, walk: Walk
) -> None:
    results = Results()
    walk(Walks(lambda k, r, disks: UsersBench(user, system, k, r, disks), kind, results))
    version = user.connect().libvirt_version
    own = parse(PAGE.read_text(encoding="utf-8"))[f"libvirt {version[0]}.{version[1]}"].words
    assert results.words
    assert {cell: own.get(cell) for cell in results.words} == results.words


@pytest.mark.parametrize("kind", [INTERNAL, EXTERNAL])
@pytest.mark.parametrize("taken", [RUNNING, OFF], ids=["running", "off"])
def test_there_and_back_again(
    system: SystemLab, user: DesktopUser, kind: SnapshotKind, taken: Taken
) -> None:
    bench = UsersBench(user, system, kind, Results(), disks=2)
    for name in ("one", "two"):
        bench.take(name, taken)
    for name, afterwards in (
        ("one", Afterwards.AS_IT_WAS),
        ("two", Afterwards.RUNNING),
        ("two", Afterwards.OFF),
        ("one", Afterwards.PAUSED),
    ):
        bench.revert(None, name, taken, afterwards, safety=afterwards is not Afterwards.OFF)
    bench.check()
    bench.close()


def test_he_can_read_none_of_it_and_sees_it_all(machine: Machine, user: DesktopUser) -> None:
    vm = machine.vm
    vm.take("one", kind=EXTERNAL, memory=True)
    machine.switch("off")
    folder = machine.lab.vm_folder(vm.name)
    images = [folder / "vda.qcow2", folder / "vda.one.qcow2"]
    (memory,) = folder.glob("*.mem")
    for path in (*images, memory):
        assert not may_read(path), path
    storage = user.read_storage(vm.uuid)
    assert {str(path) for path in images} <= set(storage.images)
    assert storage.images[str(memory)].allocation_bytes == memory.stat().st_blocks * 512
    chain = storage.chain(str(machine.lab.active_disk(vm.name)))
    assert [image.path for image in chain] == [str(path) for path in reversed(images)]
    assert storage.free_beside(str(images[0]))


def may_read(path: Path) -> bool:
    entry = pwd.getpwnam(ACCOUNT)
    ids = [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    command = ["setpriv", *ids, "--", "head", "-c", "1", str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_his_journal_is_his_and_tells_the_next_start(
    machine: Machine, user: DesktopUser, home: Path
) -> None:
    uuid = machine.vm.uuid
    for name in ("one", "two"):
        operation = CreateSnapshot(uuid, name, "", EXTERNAL, memory=False)
        assert machine.vm.done(operation).created == name
        machine.took(name, EXTERNAL)
        for chunk in range(60, 100):
            machine.write("vda", chunk, 8)
    job = user.start(DeleteSnapshot(uuid, ("one",), bandwidth_bytes_per_second=1 << 20))
    while isinstance(progress := job.step(), Progress):
        if progress.done_bytes:
            break
    assert isinstance(progress, Progress), progress
    (file,) = (path for path in home.rglob("*") if path.is_file() and "journal" in str(path))
    status = file.stat()
    assert (status.st_uid, status.st_mode & 0o777) == (pwd.getpwnam(ACCOUNT).pw_uid, 0o600)
    assert user.read_vm(uuid).interruption is not None
    user.kill()
    with DesktopUser(machine.lab.uri, home) as after:
        machine.vm.host = after
        left = after.read_vm(uuid).interruption
        assert left is not None
        assert not left.is_alive
        assert "one" in left.what
        machine.vm.done(Recover(uuid, left.id, finish=True))
        machine.lost("one")
        machine.check()
        assert after.read_vm(uuid).interruption is None
        assert not [path for path in home.rglob("*") if path.is_file() and path.stat().st_size]
        machine.vm.host = user
    user.start_again()


def test_what_libvirt_does_not_show_him_is_refused_with_the_reason(
    machine: Machine, user: DesktopUser
) -> None:
    """libvirt's storage driver is not asked to list folders of the system, such as /etc."""
    machine.switch("off")
    name, lab = machine.vm.name, machine.lab
    inside = Path("/etc/libvirt/images")  # where the daemon sees it
    seen = lab.folder / "etc/libvirt/images"
    seen.mkdir(exist_ok=True)
    lab.vm_folder(name).joinpath("vda.qcow2").rename(seen / "vda.qcow2")
    text = lab.virsh("dumpxml", name, "--inactive")
    path = lab.folder / "elsewhere.xml"
    path.write_text(text.replace(f"{lab.vm_folder(name)}/vda", f"{inside}/vda"), encoding="utf-8")
    lab.virsh("define", str(path))
    for title in ("one", "two"):
        lab.virsh("snapshot-create-as", name, title, "--disk-only", "--atomic")
    before = sorted(each.name for each in seen.iterdir())
    for operation in (
        DeleteSnapshot(machine.vm.uuid, ("one",)),
        RevertSnapshot(machine.vm.uuid, "one", safety_snapshot=False, afterwards=Afterwards.OFF),
    ):
        planned, outcome = machine.attempt(operation)
        if isinstance(planned, Refusal):
            assert planned.code is RefusalCode.UNREADABLE
            assert "libvirt cannot look into" in planned.reason
            assert isinstance(outcome, Failed)
            assert outcome.error.message == planned.reason
        else:  # libvirt reverts by itself from 9.9 on
            assert isinstance(operation, RevertSnapshot)
            assert isinstance(outcome, Done)
    assert machine.vm.tree() == {"one": None, "two": "one"}
    frozen = {"vda.qcow2", "vda.one"}
    assert frozen < set(before)
    assert frozen < {each.name for each in seen.iterdir()}
    subprocess.run(["rm", "-r", str(seen)], check=True)


def test_the_command_line(machine: Machine, home: Path) -> None:
    vm, uri, lab = machine.vm.name, machine.lab.uri, machine.lab

    def snapview(*arguments: str, status: int = 0) -> str:
        found, out, err = command_line(uri, home, *arguments)
        assert found == status, err
        assert "Traceback" not in out + err
        return out

    for name in ("one", "two"):
        snapview("snapshot", vm, name, "--external", "--disk-only")
        machine.took(name, EXTERNAL)
        machine.write("vda", 80, 1)
    vms = json.loads(snapview("--json", "list"))["vms"]
    (listed,) = (each for each in vms if each["name"] == vm)
    assert listed["chain_depth"] == {"vda": 2}
    snapview("revert", vm, "one", "--off")
    (safety,) = set(machine.vm.other.parents()) - {"one", "two"}
    machine.took(safety, EXTERNAL)
    machine.reverted("one", Afterwards.OFF, had_memory=None)
    machine.check()
    snapview("delete", vm, "one")
    machine.lost("one")
    machine.check()
    snapview("delete", vm, "two", safety)
    machine.lost("two")
    machine.lost(safety)
    machine.check()
    assert snapview("consolidate", vm, "--all", status=3) == ""
    assert lab.virsh("snapshot-list", vm, "--name").split() == []
    assert machine.vm.vm().run_state is RunState.SHUTOFF
