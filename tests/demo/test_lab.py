"""The demo lab, really made: its trees by virsh's word, and what is left after every accident."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from snapview.core.errors import Conflict, HostError
from snapview.core.marks import words_of
from snapview.core.operations import Progress
from snapview.core.vm import RunState, Snapshot, SnapshotState, Vm
from snapview.demo.lab import DemoLab, lab_folder
from snapview.demo.lab_vm import LabCancelled
from snapview.demo.processes import processes
from snapview.demo.recipes import RECIPES, GoBack, Take, VmRecipe
from snapview.virt.host import LibvirtHost
from tests.journals import new_journal
from tests.lab import Lab
from tests.lab_fixtures import REAPER

SMALL = (
    VmRecipe(
        "demo-a",
        "A",
        "",
        is_running=True,
        deeds=(
            Take("first state", "", timedelta(days=3)),
            Take("second state", "", timedelta(days=2)),
            GoBack("first state"),
        ),
    ),
    VmRecipe("demo-b", "B", "", is_running=False),
)


def open_host(uri: str) -> LibvirtHost:
    return LibvirtHost(uri, new_journal())


# Makes the small lab in a process of its own, and says each step on stdout.
MAKE_SMALL = """
import sys
from pathlib import Path
from snapview.demo.lab import DemoLab
from tests.demo.test_lab import SMALL, REAPER, open_host
lab = DemoLab(open_host, Path(sys.argv[1]), recipes=SMALL, launcher=REAPER)
lab.ensure(lambda progress: print(progress.phase, flush=True))
"""


@pytest.fixture
def folder(lab9: Lab) -> Iterator[Path]:
    """A place for a lab; lab9 says whether there can be one at all."""
    with tempfile.TemporaryDirectory(prefix="sv-", dir="/var/tmp") as path:
        Path(path).chmod(0o755)
        yield Path(path) / "state" / "demo"


@pytest.fixture
def lab(folder: Path) -> Iterator[DemoLab]:
    made = DemoLab(open_host, folder, recipes=SMALL, launcher=REAPER)
    yield made
    made.remove()


def running_in(folder: Path) -> list[str]:
    """Return the programs that have to do with the folder, apart from the reaper."""
    return sorted(
        process.program
        for process in processes()
        if any(str(folder) in argument for argument in process.arguments)
        and process.program.startswith(("libvirtd", "qemu"))
    )


def virsh(uri: str, *arguments: str) -> str:
    done = subprocess.run(
        ["virsh", "--quiet", "--connect", uri, *arguments],
        capture_output=True,
        encoding="utf-8",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        timeout=60,
        check=True,
    )
    return done.stdout


def silent(_progress: Progress) -> None:
    """Report to nobody."""


def read_all(uri: str) -> dict[str, Vm]:
    host = open_host(uri)
    host.connect()
    try:
        return {vm.name: host.read_vm(vm.uuid) for vm in host.list_vms()}
    finally:
        host.close()


def parents_of(recipe: VmRecipe) -> dict[str, str | None]:
    """Return the parent of each title, as the recipe's deeds say."""
    parents: dict[str, str | None] = {}
    at: str | None = None
    for deed in recipe.deeds:
        if isinstance(deed, Take):
            parents[deed.title] = at
        at = deed.title
    return parents


def test_the_whole_lab(folder: Path, lab9: Lab) -> None:
    lab = DemoLab(open_host, folder, launcher=REAPER)
    phases: list[str] = []
    try:
        uri = lab.ensure(lambda progress: phases.append(progress.phase))
        assert lab.exists
        assert any("clean install" in phase for phase in phases)
        vms = read_all(uri)
        assert list(vms) == ["demo-build", "demo-db", "demo-fresh", "demo-web"]
        for recipe in RECIPES:
            check_vm(uri, recipe, vms[recipe.name])
        check_that_guests_wrote(lab9, vms)
        for image in (folder / "images").rglob("*.qcow2"):
            subprocess.run(
                ["qemu-img", "check", "-U", str(image)], check=True, capture_output=True, timeout=60
            )
        assert lab.ensure(silent) == uri
        assert read_all(uri).keys() == vms.keys()
    finally:
        assert lab.remove()
    assert running_in(folder) == []
    assert not folder.parent.exists()


def check_vm(uri: str, recipe: VmRecipe, vm: Vm) -> None:
    """Compare what snapview reads, and what virsh says, with the recipe."""
    titles = {snapshot.name: snapshot.title for snapshot in vm.tree}
    parents = {s.title: titles.get(s.parent or "") for s in vm.tree}
    assert parents == parents_of(recipe)
    assert vm.title == recipe.title
    assert vm.run_state is (RunState.RUNNING if recipe.is_running else RunState.SHUTOFF)
    now = datetime.now(tz=UTC)
    for deed in (d for d in recipe.deeds if isinstance(d, Take)):
        (snapshot,) = vm.tree.find(deed.title)
        assert snapshot.kind is deed.kind
        assert snapshot.has_memory == (deed.memory and not deed.is_off)
        if deed.is_off:
            assert snapshot.state is SnapshotState.SHUTOFF
        assert words_of(snapshot.description) == deed.description
        assert abs(now - snapshot.created_at - deed.age) < timedelta(minutes=5)
        said = virsh(uri, "snapshot-info", vm.name, snapshot.name)
        assert (f"Parent:         {snapshot.parent or '-'}\n") in said
    names = virsh(uri, "snapshot-list", vm.name, "--name").split()
    assert sorted(names) == sorted(titles)
    if names:
        current = virsh(uri, "snapshot-current", vm.name, "--name").strip()
        assert titles[current] == [d for d in recipe.deeds if isinstance(d, Take)][-1].title
        assert vm.tree.current == current
    overlays = sum(isinstance(d, Take) and d.kind.value == "external" for d in recipe.deeds)
    assert vm.chain_depth == {"vda": overlays}


def check_that_guests_wrote(lab9: Lab, vms: dict[str, Vm]) -> None:
    """Each state holds what the guest had written by then, and nothing of other branches."""
    for boots, snapshot in enumerate(sorted(vms["demo-build"].tree, key=_age), 1):
        frozen = snapshot.disks[0].frozen
        assert frozen is not None
        counters = lab9.disk_counter(Path(frozen.path))
        assert counters is not None
        assert counters.boots == boots
    web = vms["demo-web"]
    image = Path(web.disks[0].layers[0].path)
    counts = {s.name: lab9.disk_counter(image, s.name) for s in web.tree}
    for snapshot in web.tree:
        count = counts[snapshot.name]
        assert count is not None
        assert count.boots == 1
        before = counts[snapshot.parent] if snapshot.parent else None
        assert before is None or count.count > before.count


def _age(snapshot: Snapshot) -> datetime:
    return snapshot.created_at


def test_what_was_made_is_found_and_started_again(lab: DemoLab, folder: Path) -> None:
    uri = lab.ensure(silent)
    before = read_all(uri)
    virsh(uri, "destroy", "demo-a")
    virsh(uri, "snapshot-create-as", "demo-b", "mine")
    assert DemoLab(open_host, folder, recipes=SMALL).ensure(silent) == uri
    after = read_all(uri)
    assert after["demo-a"].run_state is RunState.RUNNING
    assert after["demo-a"].tree == before["demo-a"].tree
    assert "mine" in after["demo-b"].tree
    assert running_in(folder) == ["libvirtd", "qemu-system-x86_64"]


def test_a_lab_that_was_killed_half_way_is_made_anew(lab: DemoLab, folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAKE_SMALL, str(folder)], stdout=subprocess.PIPE, encoding="utf-8"
    ) as maker:
        assert maker.stdout is not None
        for line in maker.stdout:
            if "second state" in line:
                break
        maker.send_signal(signal.SIGKILL)
    assert "libvirtd" in running_in(folder), "the test must leave something running"
    assert not lab.exists
    vms = read_all(lab.ensure(silent))
    assert {s.title for s in vms["demo-a"].tree} == {"first state", "second state"}
    assert running_in(folder) == ["libvirtd", "qemu-system-x86_64"]
    assert sorted(p.name for p in folder.parent.iterdir()) == ["demo"]


def test_a_half_made_lab_can_be_removed(lab: DemoLab, folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAKE_SMALL, str(folder)], stdout=subprocess.PIPE, encoding="utf-8"
    ) as maker:
        assert maker.stdout is not None
        for line in maker.stdout:
            if "first state" in line:
                break
        maker.send_signal(signal.SIGKILL)
    assert lab.remove()
    assert running_in(folder) == []
    assert not folder.parent.exists()
    assert not lab.remove()


def test_two_at_once_make_one_lab(lab: DemoLab, folder: Path) -> None:
    other = DemoLab(open_host, folder, recipes=SMALL, launcher=REAPER)
    phases: list[str] = []

    def make(one: DemoLab) -> str:
        return one.ensure(lambda progress: phases.append(progress.phase))

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(make, (lab, other)))) == 1
    assert phases.count("demo-a: taking “first state” (1 of 3)") == 1
    assert any(phase.startswith("Waiting for another snapview") for phase in phases)
    assert running_in(folder) == ["libvirtd", "qemu-system-x86_64"]


def test_cancelling_leaves_nothing(lab: DemoLab, folder: Path) -> None:
    def cancel_soon(progress: Progress) -> None:
        if "second state" in progress.phase:
            lab.cancel()

    with pytest.raises(LabCancelled):
        lab.ensure(cancel_soon)
    assert running_in(folder) == []
    assert not folder.parent.exists()


def test_a_failure_leaves_nothing_and_says_its_cause(folder: Path) -> None:
    bad = VmRecipe("demo-bad/name", "", "", is_running=False)
    lab = DemoLab(open_host, folder, recipes=(*SMALL, bad), launcher=REAPER)
    with pytest.raises(HostError) as caught:
        lab.ensure(silent)
    assert not isinstance(caught.value, LabCancelled)
    assert running_in(folder) == []
    assert not folder.parent.exists()


def test_a_folder_of_somebody_else_is_left_alone(lab: DemoLab, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "precious").write_text("mine")
    with pytest.raises(Conflict):
        lab.ensure(silent)
    with pytest.raises(Conflict):
        lab.remove()
    assert (folder / "precious").read_text() == "mine"
    assert sorted(p.name for p in folder.parent.iterdir()) == ["demo"]
    (folder / "precious").unlink()
    folder.rmdir()


def test_waiting_for_the_lock_can_be_cancelled(lab: DemoLab, folder: Path) -> None:
    is_locked, release = threading.Event(), threading.Event()

    def hold(progress: Progress) -> None:
        is_locked.set()
        release.wait(60)
        other.cancel()

    other = DemoLab(open_host, folder, recipes=SMALL, launcher=REAPER)
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(other.ensure, hold)
        assert is_locked.wait(60)
        with pytest.raises(LabCancelled):
            lab.ensure(lambda _progress: lab.cancel())
        release.set()
        with pytest.raises(LabCancelled):
            making.result()


def test_remove_without_a_lab_makes_nothing(tmp_path: Path) -> None:
    lab = DemoLab(open_host, tmp_path / "state" / "demo")
    assert not lab.exists
    assert not lab.remove()
    assert not (tmp_path / "state").exists()


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert lab_folder() == tmp_path / "snapview" / "demo"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert lab_folder() == Path("/var/lib/snapview/demo")
