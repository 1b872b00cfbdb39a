"""Merging a chain, against the tools that merge and do nothing else, on equal copies in one run.

Off: ``qemu-img commit``, which empties the overlay. Running: ``virsh blockcommit --active --pivot``
and the removal of the overlay, which it leaves full. So all end with one image and its space.
snapview plans, journals and verifies besides, and for a VM that is off it starts and ends a QEMU of
its own.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from snapview.core.operations import Consolidate, Done
from snapview.virt.host import LibvirtHost
from snapview.virt.job import run
from tests.benchmarks.duel import Duel, seconds_of
from tests.lab import Lab

ROUNDS = 3
BAR = 1.1
DATA_MIB = 8192  # starting and ending a QEMU takes libvirt 0.6 s, however much is merged
DISK_MIB = 16384

_DISK = """\
<disk type='file' device='disk'>
  <driver name='qemu' type='qcow2'/>
  <source file='{file}'/>
  <target dev='vdb' bus='virtio'/>
</disk>"""


class Chains:
    """Makes VMs whose second disk is an overlay full of data."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def make(self, *, running: bool) -> tuple[str, str, Path]:
        """Return a new VM's name, UUID and the overlay of its second disk."""
        name = self.lab.unique_name("merge")
        folder = self.lab.vm_folder(name)
        base, top = folder / "data.qcow2", folder / "data.top.qcow2"
        disk = _DISK.format(file=top)
        uuid = self.lab.make_vm(name, running=False, extra_devices=disk)
        self._image("create", "-q", "-f", "qcow2", str(base), f"{DISK_MIB}M")
        options = ["-f", "qcow2", "-F", "qcow2", "-b", str(base)]
        self._image("create", "-q", *options, str(top))
        for start in range(0, DATA_MIB, 64):
            command = f"write -q -P {start // 64 % 255 + 1} {start}M 64M"
            self._run("qemu-io", "-f", "qcow2", "-c", command, str(top))
        subprocess.run(["sync"], check=True)
        if running:
            self.lab.start_vm(name)
        return name, uuid, top

    def _image(self, *arguments: str) -> None:
        self._run("qemu-img", *arguments)

    def _run(self, *command: str) -> None:
        subprocess.run(self.lab.daemon.as_account(command), check=True, capture_output=True)

    def commit(self, top: Path) -> float:
        """Merge with qemu-img and return the seconds."""
        command = self.lab.daemon.as_account(["qemu-img", "commit", "-q", str(top)])
        return seconds_of(lambda: subprocess.run(command, check=True, capture_output=True))


@pytest.fixture
def host(lab9: Lab) -> Iterator[LibvirtHost]:
    opened = LibvirtHost(lab9.uri, lab9.journal)
    opened.connect()
    yield opened
    opened.close()


@pytest.mark.parametrize("running", [False, True], ids=["off", "running"])
def test_consolidate(
    lab9: Lab,
    host: LibvirtHost,
    benchmark: BenchmarkFixture,
    report: Callable[[object], None],
    running: bool,
) -> None:
    chains = Chains(lab9)

    def ours() -> float:
        name, uuid, _top = chains.make(running=running)

        def act() -> None:
            outcome = run(host.start(Consolidate(uuid, ("vdb",))), lambda _: None)
            assert isinstance(outcome, Done), outcome

        seconds = seconds_of(act)
        lab9.destroy_vm(name)
        return seconds

    def floor() -> float:
        name, _uuid, top = chains.make(running=running)
        if running:
            options = ["--active", "--pivot", "--wait"]
            seconds = seconds_of(lambda: lab9.virsh("blockcommit", name, "vdb", *options))
            seconds += seconds_of(top.unlink)
        else:
            seconds = chains.commit(top)
        lab9.destroy_vm(name)
        return seconds

    duel = Duel(floor, ours, pids=(lab9.daemon.pid or os.getpid(),), most_foreign=1.0)
    benchmark.pedantic(duel.run, args=(ROUNDS,), rounds=1)  # type: ignore[no-untyped-call]
    report(duel)
    assert duel.ratio <= BAR, str(duel)
