"""Merging images of VMs that are off, in a QEMU of its own; what came of it is read by qemu-img."""

import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapview.core.errors import (
    Conflict,
    ConnectionLost,
    HostError,
    SnapviewError,
    Unsupported,
)
from snapview.core.operations import Consolidate, HostEvent, VmEvent
from snapview.core.vm import DiskLayer
from snapview.virt import workbench
from snapview.virt.host import LibvirtHost
from snapview.virt.port import LibvirtVm
from snapview.virt.vm_port import BlockJobPort
from snapview.virt.workbench import build_workbench, is_workbench, owner, workbench_name
from tests.journals import new_journal
from tests.lab import Lab
from tests.virt.images import Images
from tests.waiting import eventually

UUID = "0793871d-4874-47d3-812c-342ed73097ac"
DEFINITION = """<domain type='kvm'><name>x</name><os>
    <type arch='aarch64' machine='virt-9.2'>hvm</type><loader>/f</loader></os>
    <seclabel type='none' model='dac'/><devices><emulator>/usr/bin/q</emulator>
    <disk><source file='/not/this'/></disk><interface/><hostdev/></devices></domain>"""


@pytest.fixture
def host(lab: Lab) -> Iterator[LibvirtHost]:
    opened = LibvirtHost(lab.uri, new_journal())
    opened.connect()
    yield opened
    opened.close()


@pytest.fixture
def off(lab: Lab, host: LibvirtHost) -> LibvirtVm:
    """A VM that is off."""
    return LibvirtVm(host, lab.make_vm(lab.unique_name("bench"), running=False))


@pytest.fixture
def images(lab: Lab) -> Images:
    return Images.beside(lab, lab.unique_name("chain"))


def settle(jobs: BlockJobPort, disk: str = "vda") -> None:
    """Wait until a job is over, or ready to pivot."""

    def is_settled() -> bool:
        job = jobs.block_job(disk)
        return job is None or job.is_ready

    eventually(is_settled, "the job does not end")


# The document


def test_a_workbench_is_the_vms_kind_of_qemu_with_nothing_but_the_disks() -> None:
    chain = (DiskLayer("/i/a&<'>.qcow2", "qcow2"), DiskLayer("/dev/vg/lv", "raw", "block"))
    root = ET.fromstring(build_workbench(DEFINITION, UUID, [("vda", chain), ("sdb", chain[1:])]))
    kind = root.find("os/type")
    assert root.get("type") == "kvm"
    assert kind is not None
    assert dict(kind.items()) == {"arch": "aarch64", "machine": "virt-9.2"}
    assert root.find("os/loader") is None
    assert root.findtext("devices/emulator") == "/usr/bin/q"
    assert root.find("seclabel") is not None
    assert {each.tag for each in root.findall("devices/*")} == {
        "emulator",
        "disk",
        "controller",
        "memballoon",
    }
    first, second = root.findall("devices/disk")
    assert [each.get("file") for each in first.findall("source")] == ["/i/a&<'>.qcow2"]
    below = first.find("backingStore")
    assert below is not None
    assert below.get("type") == "block"
    assert [each.get("type") for each in below.findall("format")] == ["raw"]
    end = below.find("backingStore")
    assert end is not None
    assert len(end) == 0
    assert second.get("type") == "block"


@pytest.mark.parametrize(
    "layer",
    [
        DiskLayer("/i/unknown"),
        DiskLayer("rbd:pool/volume", "raw", "network"),
        DiskLayer("pool/volume", "qcow2", "volume"),
        DiskLayer('json:{"driver":"qcow2"}', "qcow2"),
        DiskLayer("-x", "qcow2"),
    ],
)
def test_what_is_no_file_or_of_unknown_format_is_not_opened(layer: DiskLayer) -> None:
    with pytest.raises(Unsupported):
        build_workbench(DEFINITION, UUID, [("vda", (DiskLayer("/i/top", "qcow2"), layer))])
    with pytest.raises(Unsupported):
        build_workbench(DEFINITION, UUID, [("vda", ())])
    with pytest.raises(HostError):
        build_workbench("<domain", UUID, [])


def test_a_workbench_is_known_by_its_name() -> None:
    assert is_workbench(workbench_name(UUID))
    assert not is_workbench("vm")


# The real thing


def test_a_middle_image_is_merged_and_all_states_above_stay(off: LibvirtVm, images: Images) -> None:
    chain = images.make_line("a.qcow2", "b.qcow2", "c.qcow2", "d.qcow2")
    want = {name: images.content(name) for name in ("c.qcow2", "d.qcow2")}
    with off.workbench([("vda", chain)]) as bench:
        assert bench.chain("vda") == tuple(layer.path for layer in chain)
        bench.commit("vda", images.path("c.qcow2"), images.path("b.qcow2"), 0)
        settle(bench)
        assert [path.rpartition("/")[2] for path in bench.chain("vda")] == [
            "d.qcow2",
            "b.qcow2",
            "a.qcow2",
        ]
    assert images.content("b.qcow2") == want["c.qcow2"]
    assert images.content("d.qcow2") == want["d.qcow2"]
    assert images.info("d.qcow2")["backing-filename"] == images.path("b.qcow2")
    assert images.info("d.qcow2")["backing-filename-format"] == "qcow2"


def test_the_top_image_is_merged_into_a_raw_base(off: LibvirtVm, images: Images) -> None:
    chain = images.make_line("a.raw", "b.qcow2")
    want = images.content("b.qcow2")
    with off.workbench([("sda", chain)]) as bench:
        bench.commit("sda", chain[0].path, chain[1].path, 0)
        settle(bench, "sda")
        bench.end_job("sda", pivot=True)
        assert bench.chain("sda") == (chain[1].path,)
        assert bench.block_job("sda") is None
    assert images.content("a.raw") == want
    assert images.content("b.qcow2") == want  # it stays until somebody removes it


@pytest.mark.parametrize("base", ["a.qcow2", None])
def test_images_are_pulled_up_and_nothing_below_changes(
    off: LibvirtVm, images: Images, base: str | None
) -> None:
    chain = images.make_line("a.qcow2", "b.qcow2", "c.qcow2")
    want = {layer.path: images.content(layer.path.rpartition("/")[2]) for layer in chain}
    with off.workbench([("vda", chain)]) as bench:
        bench.pull("vda", images.path(base) if base else None, 0)
        settle(bench)
    for name in ("a.qcow2", "b.qcow2", "c.qcow2"):
        assert images.content(name) == want[images.path(name)]
    expected = images.path(base) if base else None
    assert images.info("c.qcow2").get("backing-filename") == expected


def test_two_disks_at_once(off: LibvirtVm, images: Images) -> None:
    one = images.make_line("a.qcow2", "b.qcow2", "c.qcow2")
    other = images.make_line("x.qcow2", "y.qcow2", "z.qcow2")
    want = images.content("b.qcow2"), images.content("y.qcow2")
    with off.workbench([("vda", one), ("vdb", other)]) as bench:
        for disk, chain in (("vda", one), ("vdb", other)):
            bench.commit(disk, chain[1].path, chain[2].path, 0)
        for disk in ("vda", "vdb"):
            settle(bench, disk)
    assert (images.content("a.qcow2"), images.content("x.qcow2")) == want


def test_a_job_that_is_aborted_leaves_every_state_above_whole(
    off: LibvirtVm, images: Images
) -> None:
    chain = images.make_line("a.qcow2", "b.qcow2", "c.qcow2", mib=16)
    want = images.content("c.qcow2")
    with off.workbench([("vda", chain)]) as bench:
        bench.commit("vda", images.path("b.qcow2"), images.path("a.qcow2"), 1 << 20)
        job = bench.block_job("vda")
        assert job is not None
        assert job.bandwidth_bytes_per_second == 1 << 20
        assert not job.is_ready
        bench.end_job("vda", pivot=False)
        assert bench.block_job("vda") is None
        assert bench.chain("vda") == tuple(layer.path for layer in chain)
    assert images.content("c.qcow2") == want


def test_nothing_of_it_stays_and_nobody_sees_it(
    lab: Lab, host: LibvirtHost, off: LibvirtVm, images: Images
) -> None:
    chain = images.make_line("a.qcow2", "b.qcow2")
    seen, events = {vm.uuid for vm in host.list_vms()}, list[HostEvent]()
    host.subscribe(events.append)

    def work() -> None:
        with off.workbench([("vda", chain)]):
            assert workbench_name(off.read().uuid) in lab.virsh("list", "--name")
            assert {vm.uuid for vm in host.list_vms()} == seen
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert "workbench" not in lab.virsh("list", "--all", "--name")
    assert images.files() == {"a.qcow2", "b.qcow2"}
    assert {each.uuid for each in events if isinstance(each, VmEvent)} <= seen


def test_a_workbench_of_somebody_else_is_left_alone(
    lab: Lab, off: LibvirtVm, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = images.make_line("a.qcow2", "b.qcow2")
    with off.workbench([("vda", chain)]) as bench:
        ours = workbench.owner
        monkeypatch.setattr(workbench, "owner", lambda uri: f"not {ours(uri)}")
        other = LibvirtHost(lab.uri, new_journal())
        other.connect()
        with (
            pytest.raises(Conflict, match="Somebody else"),
            LibvirtVm(other, off.read().uuid).workbench([("vda", chain)]),
        ):
            pass
        other.close()
        assert bench.chain("vda") == tuple(layer.path for layer in chain)


def test_an_owner_is_an_account_on_a_machine_at_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [owner("qemu:///system"), owner("qemu:///session")]
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    found.append(owner("qemu:///system"))
    monkeypatch.setattr(workbench, "_MACHINE_ID", tmp_path / "none")
    found.append(owner("qemu:///system"))
    assert len(set(found)) == 4
    assert owner("qemu:///system") == found[3]


@pytest.fixture
def restarted(lab: Lab) -> Iterator[Callable[[], None]]:
    """Returns what kills the daemon and starts it again; its QEMU processes live on."""

    def restart() -> None:
        pid = lab.daemon.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: lab.daemon.pid is None, "the daemon does not die")
        lab.daemon.start()

    yield restart
    lab.daemon.start()


def test_what_a_restarted_daemon_leaves_behind_is_ended_by_its_owner_alone(
    lab: Lab,
    host: LibvirtHost,
    off: LibvirtVm,
    images: Images,
    restarted: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """libvirt forgets that the domain was to end with its connection."""
    chain = images.make_line("a.qcow2", "b.qcow2", "c.qcow2", mib=16)
    want, uuid = images.content("c.qcow2"), off.read().uuid

    def work() -> None:
        with off.workbench([("vda", chain)]) as bench:
            bench.commit("vda", chain[1].path, chain[2].path, 1)
            restarted()
            bench.block_job("vda")

    with pytest.raises(ConnectionLost):
        work()

    def is_there() -> bool:
        return workbench_name(uuid) in lab.virsh("list", "--name")

    assert is_there()
    ours = workbench.owner
    monkeypatch.setattr(workbench, "owner", lambda uri: f"not {ours(uri)}")
    stranger = LibvirtHost(lab.uri, new_journal())
    stranger.connect()
    stranger.close()
    assert is_there()
    monkeypatch.setattr(workbench, "owner", ours)
    journal = new_journal()
    entry = journal.open(lab.uri, uuid, "x", Consolidate(uuid), ())
    at_work = LibvirtHost(lab.uri, journal)
    at_work.connect()
    assert is_there()
    with LibvirtVm(at_work, uuid).workbench([("vda", chain)]) as bench:
        assert bench.block_job("vda") is None
    assert not is_there()
    entry.close(is_settled=True)
    assert images.content("c.qcow2") == want
    at_work.close()


def test_what_a_restarted_daemon_left_behind_is_gone_with_the_next_connection(
    lab: Lab, off: LibvirtVm, images: Images, restarted: Callable[[], None]
) -> None:
    chain = images.make_line("a.qcow2", "b.qcow2")
    uuid = off.read().uuid

    def work() -> None:
        with off.workbench([("vda", chain)]) as bench:
            restarted()
            bench.block_job("vda")

    with pytest.raises(ConnectionLost):
        work()
    assert workbench_name(uuid) in lab.virsh("list", "--name")
    again = LibvirtHost(lab.uri, new_journal())
    again.connect()
    assert workbench_name(uuid) not in lab.virsh("list", "--all", "--name")
    again.close()


def test_images_that_a_running_vm_writes_to_are_not_opened(
    lab: Lab, host: LibvirtHost, off: LibvirtVm
) -> None:
    name = lab.unique_name("busy")
    lab.make_vm(name)
    busy = DiskLayer(str(lab.active_disk(name)), "qcow2")
    with (
        pytest.raises(Conflict, match="has one of the images open"),
        off.workbench([("vda", (busy,))]),
    ):
        pass


def test_a_base_that_another_vm_needs_is_not_written_to(
    lab: Lab, host: LibvirtHost, off: LibvirtVm, images: Images
) -> None:
    """QEMU's own locks are the last guard, when nobody knew of the other VM."""
    chain = images.make_line("a.qcow2", "b.qcow2")
    images.make("other.qcow2", "a.qcow2")
    want = images.content("a.qcow2")
    name = lab.unique_name("other")
    uuid = lab.make_vm(name, running=False)
    other = LibvirtVm(host, uuid)
    with (
        other.workbench([("vda", images.chain("other.qcow2", "a.qcow2"))]),
        off.workbench([("vda", chain)]) as bench,
        pytest.raises(Conflict, match="has one of the images open"),
    ):
        bench.commit("vda", chain[0].path, chain[1].path, 0)
    assert images.content("a.qcow2") == want


@pytest.mark.parametrize("missing", ["a.qcow2", "b.qcow2"])
def test_a_missing_image_is_an_error_and_nothing_stays(
    lab: Lab, off: LibvirtVm, images: Images, missing: str
) -> None:
    chain = images.make_line("a.qcow2", "b.qcow2")
    (images.folder / missing).unlink()
    with pytest.raises(SnapviewError), off.workbench([("vda", chain)]):
        pass
    assert "workbench" not in lab.virsh("list", "--all", "--name")


_OPEN = """
import sys
from pathlib import Path
from snapview.core.vm import DiskLayer
from snapview.journal import FileJournal
from snapview.virt.host import LibvirtHost
from snapview.virt.port import LibvirtVm
uri, uuid, top, middle, base = sys.argv[1:]
host = LibvirtHost(uri, FileJournal(Path("/nowhere")))
host.connect()
layers = tuple(DiskLayer(path, "qcow2") for path in (top, middle, base))
with LibvirtVm(host, uuid).workbench([("vda", layers)]) as bench:
    bench.commit("vda", middle, base, 1 << 20)
    print("begun", flush=True)
    sys.stdin.readline()
"""


def test_when_snapview_is_killed_the_workbench_ends_and_the_states_above_are_whole(
    lab: Lab, host: LibvirtHost, off: LibvirtVm, images: Images
) -> None:
    chain = images.make_line("a.qcow2", "b.qcow2", "c.qcow2", mib=16)
    want = images.content("c.qcow2")
    uuid = off.read().uuid
    words = [sys.executable, "-c", _OPEN, lab.uri, uuid, *(layer.path for layer in chain)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        assert workbench_name(uuid) in lab.virsh("list", "--name")
        os.kill(child.pid, signal.SIGKILL)
    eventually(
        lambda: workbench_name(uuid) not in lab.virsh("list", "--all", "--name"),
        "the workbench stays",
    )
    assert images.content("c.qcow2") == want
    with off.workbench([("vda", chain)]) as bench:
        bench.commit("vda", chain[1].path, chain[2].path, 0)
        settle(bench)
    assert images.content("c.qcow2") == want
    assert images.info("c.qcow2")["backing-filename"] == images.path("a.qcow2")


def test_the_limit_reaches_the_workbench_from_another_connection(
    lab: Lab, host: LibvirtHost, off: LibvirtVm, images: Images
) -> None:
    chain = images.make_line("a.qcow2", "b.qcow2", "c.qcow2", mib=16)
    uuid = off.read().uuid
    other = LibvirtHost(lab.uri, new_journal())
    other.connect()
    with off.workbench([("vda", chain)]) as bench:
        bench.commit("vda", chain[1].path, chain[2].path, 1)
        other.limit(uuid, 123456)
        job = bench.block_job("vda")
        assert job is not None
        assert job.bandwidth_bytes_per_second == 123456
        other.limit(uuid, 0)
        settle(bench)
        assert bench.block_job("vda") is None
        other.limit(uuid, 1 << 20)  # nothing to limit: no error
    other.limit(uuid, 1 << 20)
    other.close()
