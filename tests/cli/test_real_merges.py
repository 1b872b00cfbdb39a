"""Merging from the command line on real VMs, held against a model of what every state holds."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapview.core.operations import CreateSnapshot, Done
from snapview.core.vm import SnapshotKind
from tests.cli.test_real_vms import RealTerminal
from tests.lab import Lab
from tests.virt.machine import FIRST_CHUNK, LAST_CHUNK, Machine
from tests.waiting import eventually

NAMES = ("one", "two", "three")
EXTERNAL = SnapshotKind.EXTERNAL
CHUNKS = 12  # of 64 KiB, in each image
SLOW = "100K"  # bytes per second, so that there is time to do something meanwhile


@pytest.fixture
def snapview(lab9: Lab, tmp_path: Path) -> RealTerminal:
    return RealTerminal(lab9, tmp_path)


@pytest.fixture
def machine(lab9: Lab) -> Iterator[Machine]:
    """A running VM with three external snapshots in a line, something written after each."""
    made = Machine(lab9)
    rng = random.Random(1)
    for number, name in enumerate(NAMES, 1):
        _fill(made, rng, number)
        snapshot = CreateSnapshot(made.vm.uuid, name, "", EXTERNAL, memory=False)
        assert isinstance(made.vm.do(snapshot), Done)
        made.took(name, EXTERNAL)
    _fill(made, rng, 9)
    yield made
    made.close()


def _fill(machine: Machine, rng: random.Random, byte: int) -> None:
    for chunk in rng.sample(range(FIRST_CHUNK, LAST_CHUNK), CHUNKS):
        machine.write("vda", chunk, byte)


def _lose(machine: Machine, *names: str) -> None:
    for name in names:
        machine.lost(name)


def test_figures_come_true_and_are_kept(machine: Machine, snapview: RealTerminal) -> None:
    name = machine.vm.name
    planned = snapview.json("consolidate", name, "--dry-run")["plan"]
    assert len(planned["lost"]) == 3
    assert len(planned["lost_snapshots"]) == 3
    assert planned["bytes_to_copy"] > 3 * CHUNKS * 64 << 10
    machine.check()
    done = snapview.json("consolidate", name)
    _lose(machine, *NAMES)
    machine.check()
    assert done["outcome"] == "done"
    copied = done["actual"]["copied_bytes"]
    assert planned["bytes_to_copy"] * 0.8 < copied < planned["bytes_to_copy"] * 1.2
    assert done["actual"]["seconds"] > 0
    (kept,) = snapview.json("history", name)["operations"]
    assert kept["actual"] == done["actual"]
    assert kept["planned"] == done["planned"]
    assert snapview.json("consolidate", name, status=3)["refusal"]["code"] == "nothing-to-do"


def test_upwards_and_downwards_give_the_same(machine: Machine, snapview: RealTerminal) -> None:
    name = machine.vm.name
    snapview("delete", name, "three", "--pull")
    _lose(machine, "three")
    machine.check()
    snapview("consolidate", name, "--pull", "--disk", "vda")
    _lose(machine, "one", "two")
    machine.check()


def test_ctrl_c_stops_a_merge_and_says_what_it_cost(
    machine: Machine, snapview: RealTerminal
) -> None:
    name = machine.vm.name

    def job() -> str:
        return machine.lab.virsh("blockjob", name, "vda", "--raw", check=False)

    with snapview.start("delete", name, "three", "--bandwidth", SLOW) as running:
        eventually(lambda: "Commit" in job() or running.poll() is not None, "no job")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "Traceback" not in out + err
    assert "“three” is lost" in err
    assert f"Cancelled. “{name}” has 2 snapshots" in err
    assert "Commit" not in job()
    _lose(machine, "three")
    machine.check_whole(frozenset())
    assert snapview.json("recover", name)["interruption"] is None
    snapview("consolidate", name)
    _lose(machine, "one", "two")
    machine.check()


@pytest.mark.parametrize("way", ["finish", "abort"])
def test_a_merge_that_virsh_has_begun_is_seen_and_ended(
    machine: Machine, snapview: RealTerminal, way: str
) -> None:
    name, lab = machine.vm.name, machine.lab
    top, base = lab.active_disk(name), lab.vm_folder(name) / "vda.qcow2"
    lab.virsh("blockcommit", name, "vda", "--active", "--base", str(base))
    eventually(lambda: "ready='yes'" in lab.virsh("dumpxml", name), "the job does not get on")
    assert f"“snapview job {name} vda --finish”" in snapview("tree", name)
    refused = snapview.json("delete", name, "three", status=3)["refusal"]
    assert refused["code"] == "block-job"
    snapview("job", name, "vda", f"--{way}")
    assert "type=" not in lab.virsh("blockjob", name, "vda", "--raw", check=False)
    assert lab.active_disk(name) == (base if way == "finish" else top)
    assert "notice" not in snapview("tree", name)
