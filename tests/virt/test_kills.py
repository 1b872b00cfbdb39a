"""kill -9 in the middle: of snapview, of libvirtd, of QEMU, at random moments of long operations.

Each time every state that was not being given up is whole, the message is a sentence, and the next
start of snapview says what was under way and brings it to an end. ``SNAPVIEW_KILLS`` sets how many.
"""

import json
import os
import random
import signal
import subprocess
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from snapview.core.operations import Afterwards, CreateSnapshot, Done
from snapview.core.vm import SnapshotKind
from snapview.virt.storage import POOL_PREFIX
from tests.cli.test_real_vms import RealTerminal
from tests.lab import Lab
from tests.virt.machine import FIRST_CHUNK, LAST_CHUNK, Machine, chain_of, read
from tests.waiting import eventually

KILLS = int(os.environ.get("SNAPVIEW_KILLS", "6"))
EACH = KILLS // 6  # three victims, two generations
SLOW = "2097152"  # bytes per second: what is merged here takes two to three seconds
EXTERNAL = SnapshotKind.EXTERNAL


@dataclass(frozen=True)
class Long:
    """A long operation: its command line, what it gives up, and what is true when it is done."""

    arguments: tuple[str, ...]
    doubtful: frozenset[str]
    finished: Callable[[Machine], None]
    longest_seconds: float


def fill(machine: Machine, rng: random.Random, byte: int) -> None:
    """Write about 5 MiB, so that merging it takes a while."""
    for chunk in rng.sample(range(FIRST_CHUNK, LAST_CHUNK - 8, 8), 10):
        machine.write_all("vda", range(chunk, chunk + 8), byte)


def take(machine: Machine, name: str, *, memory: bool = False) -> None:
    operation = CreateSnapshot(machine.vm.uuid, name, "", EXTERNAL, memory)
    assert isinstance(machine.vm.do(operation), Done)
    machine.took(name, EXTERNAL)


def line_of_three(machine: Machine, rng: random.Random) -> None:
    for number, name in enumerate(("one", "two", "three"), start=1):
        fill(machine, rng, number)
        take(machine, name, memory=name == "two" and machine.power != "off")
    fill(machine, rng, 9)


def deleting(name: str) -> Long:
    def finished(machine: Machine) -> None:
        machine.lost(name)

    arguments = ("delete", "VM", name, "--bandwidth", SLOW)
    return Long(arguments, frozenset({name}), finished, 3.5)


def consolidating() -> Long:
    names = frozenset({"one", "two", "three"})

    def finished(machine: Machine) -> None:
        for name in sorted(names):
            machine.lost(name)

    return Long(("consolidate", "VM", "--all", "--bandwidth", SLOW), names, finished, 5.0)


def reverting(name: str) -> Long:
    def finished(machine: Machine) -> None:
        (made,) = set(machine.vm.other.parents()) - set(machine.states)
        machine.took(made, EXTERNAL)
        # Its disks are those of the moment before; the model's guest writes nothing in between.
        machine.reverted(name, Afterwards.OFF, had_memory=None)

    return Long(("revert", "VM", name, "--off"), frozenset(), finished, 2.0)


LONG = (deleting("one"), deleting("two"), deleting("three"), consolidating(), reverting("one"))


@pytest.fixture
def snapview(lab: Lab, tmp_path: Path) -> RealTerminal:
    return RealTerminal(lab, tmp_path)


@pytest.fixture(params=range(EACH))
def rng(request: pytest.FixtureRequest) -> random.Random:
    seed = f"{os.environ.get('SNAPVIEW_ORACLE_SEED', '1')}-{request.node.name}"
    return random.Random(seed)


def test_killed_snapview(lab: Lab, snapview: RealTerminal, rng: random.Random) -> None:
    def victim(_machine: Machine, running: subprocess.Popen[str]) -> int | None:
        return running.pid

    live_through(lab, snapview, rng, victim)


def test_killed_libvirtd(lab: Lab, snapview: RealTerminal, rng: random.Random) -> None:
    def victim(machine: Machine, _running: subprocess.Popen[str]) -> int | None:
        return machine.lab.daemon.pid

    live_through(lab, snapview, rng, victim)
    assert lab.daemon.is_running


def test_killed_qemu(lab: Lab, snapview: RealTerminal, rng: random.Random) -> None:
    def victim(machine: Machine, _running: subprocess.Popen[str]) -> int | None:
        return qemu_pid(machine)

    live_through(lab, snapview, rng, victim)


def qemu_pid(machine: Machine) -> int | None:
    """Return the process that has the VM's images open: its own QEMU, or a workbench's."""
    for file in sorted((machine.lab.folder / "run/libvirt/qemu/run").glob("*.pid")):
        if file.stem == machine.vm.name or "workbench" in file.stem:
            try:
                return int(file.read_text())
            except (FileNotFoundError, ValueError):
                continue
    return None


def live_through(
    lab: Lab,
    snapview: RealTerminal,
    rng: random.Random,
    victim: Callable[[Machine, subprocess.Popen[str]], int | None],
) -> None:
    machine = Machine(lab)
    try:
        machine.switch(rng.choice(["running", "paused", "off"]))
        line_of_three(machine, rng)
        machine.check()
        long = rng.choice(LONG)
        name, active = machine.vm.name, machine.lab.active_disk(machine.vm.name)
        arguments = [name if word == "VM" else word for word in long.arguments]
        with snapview.start(*arguments) as running:
            threading.Event().wait(0.3 + rng.random() * long.longest_seconds)
            pid = victim(machine, running)
            if pid is not None and running.poll() is None:
                with suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(pid, signal.SIGKILL)
            out, err = running.communicate(timeout=120)
        assert "Traceback" not in out + err, err
        bring_back(machine)
        see_power(machine)
        if images_can_be_read(machine):
            check_whole(machine, long, active)
        settle(machine, snapview, rng, long)
        see_power(machine)
        end_pools(lab)
        machine.check()
    finally:
        bring_back(machine)
        machine.close()


def bring_back(machine: Machine) -> None:
    """Start the daemon again where it was killed."""
    lab = machine.lab
    if lab.daemon.is_running:
        return
    lab.daemon.start()
    eventually(lambda: "error" not in lab.virsh("list", check=False), "libvirtd is not back")
    machine.vm.host.close()
    machine.vm.host.connect()


def check_whole(machine: Machine, long: Long, active: Path) -> None:
    """See that all that is not given up is as it was; a revert may have got to its state."""
    now = machine.lab.active_disk(machine.vm.name)
    if long.arguments[0] != "revert" or str(active) in chain_of(now):
        machine.check_whole(long.doubtful)
        return
    left, reached = machine.live, machine.states[long.arguments[2]].content
    machine._compare("the state left behind", read(active), "vda", left["vda"])
    machine.live = reached
    machine.check_whole(long.doubtful)
    machine.live = left


def images_can_be_read(machine: Machine) -> bool:
    """Wait until the QEMU that merges, which goes on by itself, lets others read the images.

    It does not while a merge of several images is ready and waits for its end.
    """

    def is_ready() -> bool:
        said = machine.lab.virsh("dumpxml", machine.vm.name, check=False)
        return machine.power != "off" and "ready='yes'" in said

    def is_readable(image: str) -> bool:
        command = ["qemu-io", "-U", "-r", "-f", "qcow2", "-c", "read 0 512", image]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def can_be_read() -> bool:
        active = str(machine.lab.active_disk(machine.vm.name))
        return all(map(is_readable, (active, *frozen_images(machine))))

    eventually(lambda: can_be_read() or is_ready(), "the job does not end")
    return can_be_read()


def end_pools(lab: Lab) -> None:
    """End the pools by which the killed one looked into folders; snapview waits an hour with it."""
    for name in lab.virsh("pool-list", "--all", "--name").split():
        assert name.startswith(POOL_PREFIX)
        lab.virsh("pool-destroy", name)


def frozen_images(machine: Machine) -> list[str]:
    """Return the images that the snapshots' records name."""
    documents = (
        ET.fromstring(machine.lab.virsh("snapshot-dumpxml", machine.vm.name, name))
        for name in machine.vm.other.parents()
    )
    sources = (document.find("domain/devices/disk/source") for document in documents)
    return [source.get("file", "") for source in sources if source is not None]


def see_power(machine: Machine) -> None:
    """Take note of how the VM is: a kill may have ended it, a revert may have stopped it."""

    def domstate() -> str:
        return machine.lab.virsh("domstate", machine.vm.name).strip()

    began = time.monotonic()
    while domstate() == "in shutdown" and time.monotonic() < began + 10:
        threading.Event().wait(0.1)
    machine.power = {"shut off": "off"}.get(domstate(), domstate())


def settle(machine: Machine, snapview: RealTerminal, rng: random.Random, long: Long) -> None:
    """Do what snapview offers, and take note of what is then true."""
    shown = snapview("tree", machine.vm.name)
    document = json.loads(snapview("recover", machine.vm.name, "--dry-run", "--json", status=0))
    left = document.get("interruption")
    if left is None:  # it had come to its end, or had not begun
        if is_done(machine, long):
            long.finished(machine)
        return
    assert left["what"].lower() in shown.lower(), "the next start does not say what was under way"
    takes_back = left["undo"] is not None and rng.random() < 0.5
    snapview("recover", machine.vm.name, "--undo" if takes_back else "--finish")
    if not takes_back:
        long.finished(machine)
    elif long.arguments[0] == "revert":
        for made in set(machine.vm.other.parents()) - set(machine.states):
            machine.took(made, EXTERNAL)
            machine.current = machine.vm.other.current()
    else:
        for name in long.doubtful - set(machine.vm.other.parents()):
            machine.lost(name)


def is_done(machine: Machine, long: Long) -> bool:
    names = set(machine.vm.other.parents())
    if long.arguments[0] == "revert":
        return machine.vm.other.current() == long.arguments[2]
    return not long.doubtful & names
