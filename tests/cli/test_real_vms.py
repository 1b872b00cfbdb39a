"""The command line as users start it, on real VMs; virsh is the independent witness."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from snapview.demo.processes import processes
from tests.lab import Lab


class RealTerminal:
    """Runs ``snapview`` as a process on the lab's daemon."""

    def __init__(self, lab: Lab, home: Path) -> None:
        folders = {f"XDG_{name}_HOME": str(home) for name in ("DATA", "STATE", "CONFIG", "CACHE")}
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "LIBVIRT_DEFAULT_URI": lab.uri,
            **folders,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "snapview", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def __call__(self, *arguments: str, status: int = 0) -> str:
        with self.start(*arguments) as running:
            out, err = running.communicate(timeout=120)
        assert running.returncode == status, err
        assert "Traceback" not in out + err
        return out if status in {0, 3} and "--json" in arguments else out + err

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", status=status))


@pytest.fixture
def snapview(lab9: Lab, tmp_path: Path) -> RealTerminal:
    return RealTerminal(lab9, tmp_path)


def names(lab: Lab, vm: str) -> list[str]:
    return sorted(lab.virsh("snapshot-list", vm, "--name").split())


def current(lab: Lab, vm: str) -> str:
    return lab.virsh("snapshot-current", vm, "--name").strip()


def test_take_revert_describe_and_delete(lab9: Lab, snapview: RealTerminal) -> None:
    vm = lab9.unique_name("cli")
    uuid = lab9.make_vm(vm)
    lab9.wait_for_count(vm, 1)
    taken = snapview.json("snapshot", vm, "before the “upgrade”", "--internal")
    assert (taken["outcome"], taken["created"]) == ("done", "before-the-upgrade")
    assert current(lab9, vm) == "before-the-upgrade"
    at_snapshot = lab9.disk_counter(lab9.active_disk(vm), "before-the-upgrade")
    assert at_snapshot is not None
    later = lab9.wait_for_count(vm, at_snapshot.count + 2)

    said = snapview("revert", uuid, "before the “upgrade”")
    assert "Reverted to" in said
    assert f"“{vm}” has 2 snapshots" in said
    back = lab9.counter_from_serial(vm)
    assert at_snapshot.count <= back.count < later.count + 1
    assert back.boots == at_snapshot.boots
    (safety,) = set(names(lab9, vm)) - {"before-the-upgrade"}
    assert current(lab9, vm) == "before-the-upgrade"

    snapview("describe", vm, "before-the-upgrade", "one\ntwo")
    text = "before the “upgrade”\none\ntwo\nConsistency: with memory"
    record = lab9.virsh("snapshot-dumpxml", vm, "before-the-upgrade")
    assert f"<description>{text}</description>" in record
    tree = snapview.json("tree", vm)
    assert {s["name"]: s["description"] for s in tree["snapshots"]}["before-the-upgrade"] == (
        "one\ntwo\nConsistency: with memory"
    )
    assert tree["live"] == {"parent": "before-the-upgrade", "differs": True}

    snapview("delete", vm, safety)
    assert names(lab9, vm) == ["before-the-upgrade"]
    snapview("delete", vm, "before the “upgrade”")
    assert names(lab9, vm) == []


def test_external_snapshots(lab9: Lab, snapview: RealTerminal) -> None:
    vm = lab9.unique_name("cli")
    lab9.make_vm(vm)
    base = lab9.active_disk(vm)
    made = snapview.json("snapshot", vm, "one", "--external", "--disk-only", "--dry-run")["plan"]
    assert [step["action"] for step in made["steps"]] == ["create"]
    assert names(lab9, vm) == []
    snapview("snapshot", vm, "one", "--external", "--disk-only")
    assert str(lab9.active_disk(vm)) == made["steps"][0]["files"][0]
    listed = snapview.json("list")["vms"]
    assert next(v for v in listed if v["name"] == vm)["chain_depth"] == {"vda": 1}
    assert "plan" in snapview.json("revert", vm, "one", "--dry-run")
    assert snapview.json("snapshot", vm, "two", "--internal", status=3)["refusal"]["code"] == (
        "mixed-kinds"
    )
    snapview("delete", vm, "one")
    assert lab9.active_disk(vm) == base


def test_what_another_client_did_in_between_is_seen(lab9: Lab, snapview: RealTerminal) -> None:
    vm = lab9.unique_name("cli")
    lab9.make_vm(vm, running=False)
    lab9.virsh("snapshot-create-as", vm, "by virsh", "--description", "a foreign one")
    (entry,) = snapview.json("tree", vm)["snapshots"]
    assert (entry["name"], entry["title"]) == ("by virsh", "by virsh")
    assert entry["description"] == "a foreign one"
    assert "Did you mean “by virsh”?" in snapview("delete", vm, "by-virsh", status=1)
    snapview("delete", vm, "by virsh")
    assert names(lab9, vm) == []


@pytest.mark.parametrize("typed", ["../x", "a/b", "n" * 255, "quo\"te's", "Größe", "two\nlines"])
def test_odd_names_are_taken_by_libvirt(lab9: Lab, snapview: RealTerminal, typed: str) -> None:
    vm = lab9.unique_name("cli")
    lab9.make_vm(vm, running=False)
    created = snapview.json("snapshot", vm, typed)["created"]
    assert names(lab9, vm) == [created]
    assert snapview.json("tree", vm)["snapshots"][0]["title"] == " ".join(typed.split())
    assert snapview.json("snapshot", vm, typed, status=3)["refusal"]["code"] == "name-exists"


def qemu_of(lab: Lab, vm: str) -> int:
    """Return the process that runs a VM."""
    inside = f"{lab.folder}/"
    (found,) = (
        process.pid
        for process in processes()
        if process.program.startswith("qemu")
        and any(inside in argument for argument in process.arguments)
        and any(argument.startswith(f"guest={vm},") for argument in process.arguments)
    )
    return found


def test_ctrl_c_while_libvirt_is_busy(lab9: Lab, snapview: RealTerminal) -> None:
    """Whether it was in time or not, what is said in the end agrees with virsh."""
    vm = lab9.unique_name("cli")
    lab9.make_vm(vm)
    qemu = qemu_of(lab9, vm)
    with snapview.start("-v", "snapshot", vm, "--external", "in time") as running:
        assert running.stderr is not None
        said = next(line for line in running.stderr if "begins" in line)
        os.kill(qemu, signal.SIGSTOP)  # so that libvirt waits for it
        try:
            running.send_signal(signal.SIGINT)
            threading.Event().wait(0.3)
        finally:
            os.kill(qemu, signal.SIGCONT)
        out, err = running.communicate(timeout=60)
    assert "CreateSnapshot" in said
    assert "Traceback" not in out + err
    taken = names(lab9, vm)
    assert running.returncode == (0 if taken else 130)
    assert f"“{vm}” has {'1 snapshot' if taken else 'no snapshots'}" in out + err
    assert lab9.virsh("domstate", vm).strip() == "running"


def test_unknown_vms_and_snapshots(lab9: Lab, snapview: RealTerminal) -> None:
    vm = lab9.unique_name("cli")
    lab9.make_vm(vm, running=False)
    assert f"Did you mean “{vm}”?" in snapview("tree", vm.upper(), status=1)
    assert "no snapshots at all" in snapview("revert", vm, "x", status=1)
    assert snapview.environment["LIBVIRT_DEFAULT_URI"] not in snapview("tree", vm)
