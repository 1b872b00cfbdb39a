"""A VM, a model of what every state of it must hold, and everybody who works on it.

The model is bytes: what was written, by offset, at the moment of each snapshot. What the VM really
holds is read by QEMU's own tools; what libvirt records is read by virsh. Nothing here asks snapview
what is there.
"""

import json
import os
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

from snapview.core.operations import Afterwards, Operation, Outcome
from snapview.core.planning import Plan, Refusal, plan
from snapview.core.vm import SnapshotKind
from tests.backends import Backend, lab_backend
from tests.lab import DISK_MIB, GUEST, Lab

MIB = 1 << 20
GUESTS_OWN = range(MIB, MIB + (64 << 10))  # where the guest's counters lie: not compared
CHUNK_BYTES = 64 << 10
FIRST_CHUNK, LAST_CHUNK = 32, DISK_MIB * 16 - 1  # ours to write to: from 2 MiB on

Content = dict[str, dict[int, int]]  # disk target -> chunk number -> byte it is filled with


@dataclass
class State:
    """What the model knows of one snapshot."""

    content: Content
    parent: str | None
    kind: SnapshotKind


@dataclass
class Machine:
    """One VM on a real libvirt with its model.

    ``within`` are words put before commands that look at its files, where only the daemon sees
    what is mounted there.
    """

    lab: Lab
    disks: int = 1
    within: tuple[str, ...] = ()
    live: Content = field(init=False)
    states: dict[str, State] = field(default_factory=dict)
    current: str | None = None
    power: str = "running"
    vm: Backend = field(init=False)

    def __post_init__(self) -> None:
        self.vm = lab_backend(self.lab, disks=self.disks)
        self.live = {target: {} for target in self.targets}

    @property
    def targets(self) -> list[str]:
        return ["vda", "vdb"][: self.disks]

    def close(self) -> None:
        self.vm.host.close()
        self.lab.destroy_vm(self.vm.name)

    # -- what the user does

    def attempt(self, operation: Operation) -> tuple[Plan | Refusal, Outcome]:
        """Plan on what the host says, then do it."""
        host = self.vm.host
        vm = host.read_vm(self.vm.uuid)
        planned = plan(vm.with_storage(host.read_storage(vm.uuid)), operation)
        return planned, self.vm.do(operation)

    def took(self, name: str, kind: SnapshotKind) -> None:
        self.states[name] = State(_copy(self.live), self.current, kind)
        self.current = name

    def reverted(self, name: str, afterwards: Afterwards, *, had_memory: str | None) -> None:
        """Take note of a revert; ``had_memory`` is how the VM was then, if memory was kept."""
        self.live = _copy(self.states[name].content)
        self.current = name
        as_it_was = had_memory or "off"
        self.power = as_it_was if afterwards is Afterwards.AS_IT_WAS else afterwards.value

    def lost(self, name: str) -> None:
        gone = self.states.pop(name)
        for state in self.states.values():
            if state.parent == name:
                state.parent = gone.parent
        if self.current == name:
            self.current = gone.parent

    def subtree(self, name: str) -> list[str]:
        found = [name]
        for at in found:
            found += [each for each, state in self.states.items() if state.parent == at]
        return found

    # -- what happens to the VM besides

    def write(self, target: str, chunk: int, byte: int) -> None:
        """Fill a chunk of a disk, through whoever has it open."""
        self.write_all(target, range(chunk, chunk + 1), byte)

    def write_all(self, target: str, chunks: range, byte: int) -> None:
        """Fill chunks that lie side by side."""
        what = f"write -P {byte} {chunks.start * CHUNK_BYTES} {len(chunks) * CHUNK_BYTES}"
        if self.power == "off":
            image = self.lab.active_disk(self.vm.name, target)
            # The account that owns the image, so that libvirt's QEMU can still open it.
            command = self.lab.daemon.as_account(["qemu-io", "-f", "qcow2", "-c", what, str(image)])
            subprocess.run([*self.within, *command], check=True, capture_output=True)
        else:
            self.take_images_back()
            self._monitor(target, what)
            self._monitor(target, "flush")
        self.live[target] |= dict.fromkeys(chunks, byte)

    def _monitor(self, target: str, command: str) -> None:
        number = self.targets.index(target)
        device = f"/machine/peripheral/virtio-disk{number}/virtio-backend"
        text = f'qemu-io -d {device} "{command}"'
        said = self.lab.virsh("qemu-monitor-command", self.vm.name, "--hmp", text)
        assert "rror" not in said, said

    def take_images_back(self) -> None:
        """Let a paused VM run for a moment.

        When its memory was saved, QEMU gave up the images, and can neither merge them nor save
        again before that (trap 14; tests/virt/test_traps.py has it).
        """
        if self.power == "paused":
            self.lab.virsh("resume", self.vm.name)
            self.lab.virsh("suspend", self.vm.name)

    def switch(self, power: str) -> None:
        """Bring the VM into another state of power, as somebody with virsh would."""
        name = self.vm.name
        match self.power, power:
            case (("running" | "paused"), "off"):
                self.lab.virsh("destroy", name)
            case "off", "running":
                self.lab.start_vm(name)
            case "off", "paused":
                self.lab.virsh("start", name, "--paused")
            case "running", "paused":
                self.lab.virsh("suspend", name)
            case "paused", "running":
                self.lab.virsh("resume", name)
        self.power = power

    # -- the truth

    def check(self) -> None:
        """Compare everything with the model."""
        self._check_tree()
        documents = {name: self._snapshot(name) for name in self.states}
        reachable: set[str] = set()
        for name, state in self.states.items():
            reachable |= self._check_state(name, state, documents[name])
        for target in self.targets:
            image = self.lab.active_disk(self.vm.name, target)
            self._compare(f"the live {target}", self._content(image), target, self.live[target])
            reachable |= chain_of(image, self.within)
        there = self.files() - {str(self.lab.serial_log(self.vm.name))}
        assert not there - reachable, f"files are left over: {there - reachable}"
        assert not reachable - there, f"files are lost: {reachable - there}"
        domstate = self.lab.virsh("domstate", self.vm.name).strip()
        assert {"shut off": "off"}.get(domstate, domstate) == self.power
        assert self.lab.virsh("list", "--name").count("workbench") == 0
        assert self.lab.virsh("pool-list", "--all", "--name").strip() == ""

    def check_whole(self, doubtful: frozenset[str]) -> None:
        """See that no state is lost save those that were being given up; files may be left over."""
        there = set(self.vm.other.parents())
        assert set(self.states) - doubtful <= there, "a snapshot is lost"
        for name, state in self.states.items():
            if name not in doubtful:
                self._check_state(name, state, self._snapshot(name))
        for target in self.targets:
            image = self.lab.active_disk(self.vm.name, target)
            self._compare(f"the live {target}", self._content(image), target, self.live[target])

    def files(self) -> set[str]:
        """Return the paths of all files in the VM's folder."""
        folder = str(self.lab.vm_folder(self.vm.name))
        command = [*self.within, "find", folder, "-mindepth", "1", "-print0"]
        text = subprocess.run(command, check=True, capture_output=True).stdout
        return {os.fsdecode(path) for path in text.split(b"\0") if path}

    def _content(self, image: Path | str, tag: str | None = None) -> bytes:
        return read(image, tag, self.within)

    def _check_tree(self) -> None:
        assert self.vm.other.parents() == {n: state.parent for n, state in self.states.items()}
        assert self.vm.other.current() == self.current
        read_tree = self.vm.tree()
        assert read_tree == {name: state.parent for name, state in self.states.items()}

    def memory_file(self, name: str) -> str:
        """Return the file in which an external snapshot keeps the memory, if any."""
        return _memory_file(self._snapshot(name))

    def _snapshot(self, name: str) -> ET.Element:
        return ET.fromstring(self.lab.virsh("snapshot-dumpxml", self.vm.name, name))

    def _check_state(self, name: str, state: State, document: ET.Element) -> set[str]:
        """See that a snapshot holds its state; return the files it needs."""
        memory = _memory_file(document)
        needed = {memory} if memory else set()
        for target in self.targets:
            image = _source(document, target)
            tag = name if state.kind is SnapshotKind.INTERNAL else None
            content = state.content[target]
            self._compare(f"{name} {target}", self._content(image, tag), target, content)
            needed |= chain_of(image, self.within)
        return needed

    def _compare(self, what: str, found: bytes, target: str, content: dict[int, int]) -> None:
        wanted = bytearray(DISK_MIB * MIB)
        if target == "vda":
            boot = GUEST.read_bytes()
            wanted[: len(boot)] = boot
        for chunk, byte in content.items():
            start = chunk * CHUNK_BYTES
            wanted[start : start + CHUNK_BYTES] = bytes([byte]) * CHUNK_BYTES
        wanted[GUESTS_OWN.start : GUESTS_OWN.stop] = found[GUESTS_OWN.start : GUESTS_OWN.stop]
        if found != bytes(wanted):
            differs = [
                chunk
                for chunk in range(len(wanted) // CHUNK_BYTES)
                if found[chunk * CHUNK_BYTES :][:CHUNK_BYTES]
                != bytes(wanted[chunk * CHUNK_BYTES :][:CHUNK_BYTES])
            ]
            raise AssertionError(f"{what} differs in chunks {differs}")


def read(image: Path | str, tag: str | None = None, within: tuple[str, ...] = ()) -> bytes:
    """Read what a guest would, from an image through its chain or from a state inside it."""
    with tempfile.NamedTemporaryFile(prefix="snapview-test-") as raw:
        # By its descriptor, as another mount namespace has another /tmp.
        into, select = f"/proc/self/fd/{raw.fileno()}", ["-l", f"snapshot.name={tag}"]
        command = ["qemu-img", "convert", "-U", *(select if tag else []), "-O", "raw"]
        subprocess.run(
            [*within, *command, str(image), into],
            check=True,
            capture_output=True,
            pass_fds=[raw.fileno()],
        )
        return Path(raw.name).read_bytes()


def chain_of(image: Path | str, within: tuple[str, ...] = ()) -> set[str]:
    """Return the files that an image needs, as the headers say."""
    command = ["qemu-img", "info", "-U", "--backing-chain", "--output=json", str(image)]
    text = subprocess.run([*within, *command], check=True, capture_output=True).stdout
    return {layer["filename"] for layer in json.loads(text)}


def _memory_file(document: ET.Element) -> str:
    memory = document.find("memory")
    is_external = memory is not None and memory.get("snapshot") == "external"
    return memory.get("file", "") if memory is not None and is_external else ""


def _source(document: ET.Element, target: str) -> str:
    """Return the image that held a disk at a snapshot."""
    for disk in document.iterfind("domain/devices/disk"):
        where, source = disk.find("target"), disk.find("source")
        if where is not None and where.get("dev") == target and source is not None:
            return source.get("file", "")
    raise AssertionError(f"the record does not tell where {target} lies")


def _copy(content: Content) -> Content:
    return {target: dict(chunks) for target, chunks in content.items()}
