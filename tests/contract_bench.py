"""One VM on which the cells of the contract's table are carried out, and what is then compared.

After every cell the model is held against the truth: the bytes of the live disk and of the
snapshots as QEMU reads them, the tree and the power as virsh tells them, the guest's memory as
QEMU's monitor shows it, and the files that are there. Where there is no QEMU, it is the tree as
another connection sees it.
"""

import gc
import json
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from snapview.core.moves import DeleteByLibvirt, RevertByLibvirt, StartVm, StopVm, TakeSnapshot
from snapview.core.operations import (
    Afterwards,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    Failed,
    Operation,
    RevertSnapshot,
)
from snapview.core.planning import Plan, Refusal
from snapview.core.vm import DiskChain, DiskLayer, RunState, SnapshotKind
from snapview.virt.host import LibvirtHost
from tests.backends import Backend, SecondConnection, driver_backend, fake_backend
from tests.fakes import FakeWorld
from tests.lab import MAGIC, Lab
from tests.trees import make_vm
from tests.virt.machine import CHUNK_BYTES, FIRST_CHUNK, Machine, read
from tests.waiting import eventually

EXTERNAL, INTERNAL = SnapshotKind.EXTERNAL, SnapshotKind.INTERNAL
POWERS = ("running", "paused", "off")
BY_LIBVIRT = (TakeSnapshot, RevertByLibvirt, DeleteByLibvirt)
BESIDES = (StartVm, StopVm)  # what anybody would do after libvirt's own operation


class Taken(NamedTuple):
    """In which state a snapshot is taken."""

    name: str
    power: str
    memory: bool


RUNNING = Taken("running", "running", memory=True)
DISK_ONLY = Taken("running, disk only", "running", memory=False)
PAUSED = Taken("paused", "paused", memory=True)
OFF = Taken("off", "off", memory=False)


class Cell(NamedTuple):
    """One cell of the table."""

    operation: str
    kind: str
    taken: str  # in which state the snapshots of the tree were taken; empty: it does not matter
    now: str  # how the VM is when the operation begins
    what: str  # the shape, or what is wanted afterwards


@dataclass
class Results:
    """What came of the cells on one host."""

    words: dict[Cell, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)  # a word -> what was said

    def put(self, cell: Cell, word: str, reason: str = "") -> None:
        """Note the word; a cell that is carried out twice has the same both times."""
        if reason:
            self.reasons.setdefault(word, _nameless(reason))
        assert self.words.setdefault(cell, word) == word, f"{cell}: {self.words[cell]}, now {word}"


def _nameless(reason: str) -> str:
    return re.sub(r"/\S*/\S+", "FILE", re.sub("“[^”]*”", "“…”", reason))


class Bench(Machine):
    """A real VM; compares as much as ``check`` does, and faster."""

    starts_what_was_off = True  # when it reverts to it, if that is asked for

    def __init__(self, lab: Lab, kind: SnapshotKind, results: Results, disks: int = 1) -> None:
        super().__init__(lab, disks)
        self._begin(kind, results)

    def _begin(self, kind: SnapshotKind, results: Results) -> None:
        self.kind = kind
        self.results = results
        self.memories: dict[str, bytes] = {}  # snapshot -> the guest's memory when it was taken
        self._numbers = iter(range(1, 10_000))
        self._contents: dict[object, bytes] = {}
        self._backings: dict[object, str | None] = {}

    # -- carrying out a cell

    def carry_out(self, cell: Cell | None, operation: Operation) -> Done | None:
        """Do it, and find the word for it; None when it was refused. Without a cell it must do."""
        planned, outcome = self.attempt(operation)
        if isinstance(planned, Refusal):
            assert cell is not None, planned
            assert isinstance(outcome, Failed), f"{cell} was refused, and done all the same"
            self.results.put(cell, f"refused: {planned.code.value}", planned.reason)
            self.verify(cell)
            return None
        assert isinstance(planned, Plan)
        assert isinstance(outcome, Done), f"{cell}: {outcome!r} of {planned.moves}"
        is_native = all(isinstance(move, (*BY_LIBVIRT, *BESIDES)) for move in planned.moves)
        if cell is not None:
            self.results.put(cell, "works" if is_native else "own path")
        return outcome

    def take(self, name: str, taken: Taken, where: str = "") -> None:
        """Take a snapshot; with ``where`` that is a cell."""
        self.switch(taken.power)
        self.dirty()
        memory = self._booted() if taken.memory else b""
        operation = CreateSnapshot(self.vm.uuid, name, "", self.kind, taken.memory)
        cell = Cell("create", self.kind.value, "", taken.name, where) if where else None
        done = self.carry_out(cell, operation)
        assert done is not None, f"{cell} was refused"
        assert done.created == name
        self.took(name, self.kind)
        self.memories[name] = memory

    def revert(
        self, cell: Cell | None, name: str, taken: Taken, afterwards: Afterwards, *, safety: bool
    ) -> None:
        """Revert, compare, and delete the safety snapshot again."""
        self.dirty()
        operation = RevertSnapshot(self.vm.uuid, name, safety, afterwards=afterwards)
        done = self.carry_out(cell, operation)
        if done is None:
            return
        if safety:
            assert done.created is not None, f"{cell}: no safety snapshot"
            self.took(done.created, self.kind)
        self.reverted(name, afterwards, had_memory=taken.power if taken.memory else None)
        if self.kind is INTERNAL:  # all states lie in one file, and reading them all takes long
            self.verify(cell, {name, done.created or name})
        else:
            self.verify(cell)
        if taken.memory and self.power != "off":
            self._compare_memory(name, exactly=self.power == taken.power == "paused")
        if done.created is not None:
            assert self.carry_out(None, DeleteSnapshot(self.vm.uuid, (done.created,))) is not None
            self.lost(done.created)

    def delete(self, cell: Cell | None, names: tuple[str, ...], *, subtree: bool = False) -> None:
        """Delete and compare; without a cell it only has to be done."""
        done = self.carry_out(cell, DeleteSnapshot(self.vm.uuid, names, subtree))
        if done is None:
            return
        gone = {each for name in names for each in (self.subtree(name) if subtree else [name])}
        for each in gone:
            self.lost(each)
        self.verify(cell)

    def consolidate(self, cell: Cell, disks: tuple[str, ...] = ()) -> None:
        """Merge the live chains and compare; only what lies on the live path may be given up."""
        operation = Consolidate(self.vm.uuid, disks)
        done = self.carry_out(cell, operation)
        if done is None:
            return
        live = self._live_path()
        for name in set(self.states) - set(self.vm.other.parents()):
            assert name in live, f"{cell} gave up {name} of another branch"
            self.lost(name)
        self.verify(cell)

    # -- the VM

    def dirty(self) -> None:
        """Let the live state differ from every other one."""
        number = next(self._numbers)
        self.write("vda", FIRST_CHUNK + number % 64, number % 255 + 1)

    def write(self, target: str, chunk: int, byte: int) -> None:
        """Fill a chunk of a disk; with a QEMU that runs in one go."""
        if self.power != "running":
            super().write(target, chunk, byte)
            return
        number = self.targets.index(target)
        device = f"/machine/peripheral/virtio-disk{number}/virtio-backend"
        command = f"write -P {byte} {chunk * CHUNK_BYTES} {CHUNK_BYTES}"
        said = self._ask(
            {
                word: f"qemu-monitor-command {self.vm.name} --hmp 'qemu-io -d {device} \"{text}\"'"
                for word, text in {"write": command, "flush": "flush"}.items()
            }
        )
        assert "rror" not in said["write"] + said["flush"], said
        self.live[target][chunk] = byte

    def switch(self, power: str) -> None:
        """Bring the VM into another state of power; the guest may still be booting."""
        if self.power == "off" and power == "running":
            self.lab.virsh("start", self.vm.name)
            self.power = power
        super().switch(power)

    def memory(self) -> bytes:
        """Return the guest's mark, count and boots as they are in its memory now."""
        said = self.lab.virsh("qemu-monitor-command", self.vm.name, "--hmp", "xp /16xb 0x7e00")
        return bytes(int(word, 16) for word in re.findall(r"0x([0-9a-f]{2})\b", said))

    def _booted(self) -> bytes:
        """Return the guest's memory, once it has booted."""
        if self.memory()[:8] != MAGIC:
            power = self.power
            self.switch("running")
            eventually(lambda: self.memory()[:8] == MAGIC, "the guest does not boot")
            self.switch(power)
        return self.memory()

    def _compare_memory(self, name: str, *, exactly: bool) -> None:
        """See that the guest goes on where it was: it counts on, and was not booted again."""
        then, now = self.memories[name], self.memory()
        assert len(then) == len(now) == 16
        assert now[:8] == then[:8], "the guest's memory is another"
        assert now[12:] == then[12:], "the guest was booted again"
        if exactly:
            assert now == then
        else:
            assert int.from_bytes(now[8:12], "little") >= int.from_bytes(then[8:12], "little")

    # -- shapes

    def shape(self, name: str) -> str:
        """Say where a snapshot stands in the tree, seen from the live state."""
        children = [each for each, state in self.states.items() if state.parent == name]
        if len(children) > 1:
            return "branch point"
        if self.states[name].parent is None:
            return "root"
        other = "" if name in self._live_path() else "other "
        return other + ("middle" if children else "leaf")

    def find(self, shape: str) -> str:
        """Return a snapshot of that shape."""
        found = [name for name in sorted(self.states) if self.shape(name) == shape]
        assert found, f"there is no {shape} in {self.states}, current {self.current}"
        return found[-1]

    def _live_path(self) -> list[str]:
        path, at = [], self.current
        while at is not None:
            path.append(at)
            at = self.states[at].parent
        return path

    # -- the truth

    def verify(self, cell: object, names: Iterable[str] | None = None) -> None:
        """Compare everything; of what snapshots hold, only that of ``names`` if given."""
        try:
            self._verify(set(self.states) if names is None else set(names))
        except AssertionError as error:
            raise AssertionError(f"after {cell}: {error}") from error

    def _verify(self, names: set[str]) -> None:
        name = self.vm.name
        said = self._ask(
            {
                "tree": f"snapshot-list {name} --parent",
                "current": f"snapshot-current {name} --name",
                "power": f"domstate {name}",
                "disks": f"domblklist {name}",
                "domains": "list --name",
                **{f"of {each}": f"snapshot-dumpxml {name} {each}" for each in self.states},
            }
        )
        parents = _parents(said["tree"])
        assert parents == {each: state.parent for each, state in self.states.items()}
        assert (said["current"].strip() or None) == self.current
        power = said["power"].strip()
        assert {"shut off": "off"}.get(power, power) == self.power
        assert self.vm.uuid not in said["domains"], "the workbench is left over"
        lines = [line.split() for line in said["disks"].splitlines() if line.strip()]
        documents = {each: ET.fromstring(said[f"of {each}"]) for each in self.states}
        self._verify_files({words[0]: words[1] for words in lines}, documents, names)

    def _verify_files(
        self, live: dict[str, str], documents: dict[str, ET.Element], names: set[str]
    ) -> None:
        needed: set[str] = set()
        for name, state in self.states.items():
            document = documents[name]
            memory = document.find("memory")
            if memory is not None and memory.get("snapshot") == "external":
                needed.add(memory.get("file", ""))
            for target in self.targets:
                image = _frozen(document, target)
                needed.update(self._chain(image))
                if name in names:
                    tag = name if state.kind is INTERNAL else None
                    self._compare(
                        f"{name} {target}", self._read(image, tag), target, state.content[target]
                    )
        for target in self.targets:
            needed.update(self._chain(live[target]))
            found = self._read(live[target])
            self._compare(f"the live {target}", found, target, self.live[target])
        folder = self.lab.vm_folder(self.vm.name)
        there = {str(path) for path in folder.iterdir()} - {str(self.lab.serial_log(self.vm.name))}
        assert there - needed == set(), "files are left over"
        assert needed - there == set(), "files are lost"

    def _ask(self, commands: dict[str, str]) -> dict[str, str]:
        """Have one virsh do several commands, each under a word; return what each said."""
        script = "; ".join(f"echo @@{word}@@; {command}" for word, command in commands.items())
        said = self.lab.virsh(f"{script}; echo")  # where one finds nothing, the rest goes on
        parts = re.split("@@(.*?)@@", said)
        return dict(zip(parts[1::2], parts[2::2], strict=True))

    def _chain(self, image: str) -> list[str]:
        """Return the files that an image needs, as their headers say."""
        chain: list[str] = []
        at: str | None = image
        while at is not None:
            assert Path(at).exists(), f"{image} needs {at}, which is missing"
            assert at not in chain, f"{image} stands on itself"
            chain.append(at)
            mark = _mark(at)
            if mark not in self._backings:
                command = ["qemu-img", "info", "-U", "--output=json", at]
                said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                self._backings[mark] = said.get("full-backing-filename")
            at = self._backings[mark]
        return chain

    def _read(self, image: Path | str, tag: str | None = None) -> bytes:
        """Read an image or a state in it; remembered while no file of its chain changes."""
        key = (image, tag, *map(_mark, self._chain(str(image))))
        if key not in self._contents:
            self._contents[key] = read(image, tag)
        return self._contents[key]


class RecordsBench(Bench):
    """A VM without disks of its own: what is compared is the tree, as another connection sees it.

    Args:
        vm: of the fake, or of libvirt's test driver.
        set_power: brings it into another state of power.
    """

    def __init__(
        self, vm: Backend, kind: SnapshotKind, results: Results, set_power: Callable[[str], None]
    ) -> None:
        self.vm = vm
        self.disks = len(vm.vm().state_disks)
        self.states = {}
        self.live = {target: {} for target in self.targets}
        self.current = None
        self.power = "running"
        self._set_power = set_power
        self._begin(kind, results)

    def close(self) -> None:
        self.vm.host.close()
        other = self.vm.other
        assert isinstance(other, SecondConnection)
        other.close()
        gc.collect()  # the test driver forgets its VMs with the last handle only

    def check(self) -> None:
        self._verify(set())

    def dirty(self) -> None:
        pass

    def memory(self) -> bytes:
        return MAGIC + bytes(8)

    def switch(self, power: str) -> None:
        if power != self.power:
            self._set_power(power)
            self.power = power

    def _verify(self, names: set[str]) -> None:
        assert self.vm.other.parents() == {n: state.parent for n, state in self.states.items()}
        assert self.vm.other.current() == self.current
        power = self.vm.vm().run_state.value
        assert {"shutoff": "off"}.get(power, power) == self.power


def fake_bench(kind: SnapshotKind, results: Results, disks: int = 1) -> RecordsBench:
    """Return a VM of the fake."""
    chains = [(DiskLayer(f"/images/vd{letter}.qcow2", "qcow2"),) for letter in "ab"[:disks]]
    drives = tuple(DiskChain(f"vd{'ab'[n]}", chain) for n, chain in enumerate(chains))
    world = FakeWorld(make_vm("contract", disks=drives))
    vm = fake_backend(world)
    states = {"running": RunState.RUNNING, "paused": RunState.PAUSED, "off": RunState.SHUTOFF}

    def set_power(power: str) -> None:
        world.define(replace(world.vm(vm.uuid), run_state=states[power]))

    return RecordsBench(vm, kind, results, set_power)


def driver_bench(kind: SnapshotKind, results: Results, disks: int = 1) -> RecordsBench:
    """Return the VM of libvirt's test driver, which has no disks whatever is asked."""
    vm = driver_backend()
    host = vm.host
    assert isinstance(host, LibvirtHost)

    def set_power(power: str) -> None:
        domain = host.domain(vm.uuid)
        if power == "off":
            domain.destroy()
            return
        if not domain.isActive():
            domain.create()
        is_paused = vm.vm().run_state is RunState.PAUSED
        if power == "paused" and not is_paused:
            domain.suspend()
        elif power == "running" and is_paused:
            domain.resume()

    bench = RecordsBench(vm, kind, results, set_power)
    bench.starts_what_was_off = False  # it sends the events, and that is all
    return bench


def _mark(path: str) -> tuple[object, ...]:
    """Return what changes whenever a file does."""
    status = Path(path).stat()
    return path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _parents(text: str) -> dict[str, str | None]:
    """Read virsh's table: name, time of creation in three words, state, parent."""
    found: dict[str, str | None] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 5:
            found[words[0]] = words[5] if len(words) > 5 else None
    return found


def _frozen(document: ET.Element, target: str) -> str:
    for disk in document.iterfind("domain/devices/disk"):
        where, source = disk.find("target"), disk.find("source")
        if where is not None and where.get("dev") == target and source is not None:
            return source.get("file", "")
    raise AssertionError(f"the record does not tell where {target} lies")
