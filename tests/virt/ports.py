"""A VM behind a ``VmPort`` in memory, and a journal: they fail, lie, or die at any call."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from snapview.core.errors import Conflict, NotFound, SnapviewError
from snapview.core.journal import NO_NOTE, Begun, Entry, interruption_of, is_moot
from snapview.core.moves import Move
from snapview.core.operations import Afterwards, Operation
from snapview.core.storage import Storage
from snapview.core.under_way import BlockJob
from snapview.core.vm import DiskLayer, RunState, Vm
from tests.trees import START
from tests.virt.memory_libvirt import MemoryLibvirt, Qemu

T = TypeVar("T")

READS = {"read", "storage", "names", "xml", "definition", "chain", "tags", "look"}


class Killed(BaseException):
    """This snapview was killed: no code of it runs any more, whatever it meant to do."""


@dataclass
class MemoryJournal:
    """Implements ``core.journal.Journal``; survives its snapview."""

    entries: dict[str, Entry] = field(default_factory=dict)  # by VM
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    lines: list[str] = field(default_factory=list)  # what was written, in order
    full: bool = False
    is_dead: bool = False

    def open(
        self, uri: str, vm_uuid: str, vm_name: str, operation: Operation, moves: tuple[Move, ...]
    ) -> "OpenMemory":
        old = self.entries.get(vm_uuid)
        if old is not None and (old.is_alive or not is_moot(old)):
            raise Conflict("Another snapview is at work on it.")
        number = str(next(self.numbers))
        self.entries[vm_uuid] = Entry(
            number, uri, vm_uuid, vm_name, operation, moves, START, is_alive=True
        )
        return OpenMemory(self, vm_uuid)

    def find(self, uri: str, vm_uuid: str) -> Entry | None:
        found = self.entries.get(vm_uuid)
        return None if found is None or is_moot(found) else found

    def resume(self, entry_id: str) -> "OpenMemory":
        for uuid, entry in self.entries.items():
            if entry.id == entry_id:
                if entry.is_alive:
                    raise Conflict("Another snapview is at work on it.")
                self.entries[uuid] = replace(entry, is_alive=True)
                return OpenMemory(self, uuid)
        raise NotFound("It was settled.")

    def outlive(self) -> None:
        """Its snapview has died; the next one begins."""
        self.is_dead = False
        self.entries = {u: replace(e, is_alive=False) for u, e in self.entries.items()}


@dataclass
class OpenMemory:
    """Implements ``core.journal.OpenEntry``."""

    journal: MemoryJournal
    uuid: str

    @property
    def entry(self) -> Entry:
        return self.journal.entries[self.uuid]

    def begin(self, move: Move, note: Mapping[str, str] = NO_NOTE) -> None:
        self._write(f"begin {type(move).__name__}")
        begun = (*self.entry.begun, Begun(move, note))
        self.journal.entries[self.uuid] = replace(self.entry, begun=begun)

    def done(self) -> None:
        self._write("done")
        *before, last = self.entry.begun
        begun = (*before, replace(last, is_done=True))
        self.journal.entries[self.uuid] = replace(self.entry, begun=begun)

    def close(self, *, is_settled: bool) -> None:
        if self.journal.is_dead:
            raise Killed
        if is_settled:
            del self.journal.entries[self.uuid]
        else:
            self.journal.entries[self.uuid] = replace(self.entry, is_alive=False)

    def _write(self, line: str) -> None:
        if self.journal.is_dead:
            raise Killed
        if self.journal.full:
            raise Conflict("It cannot be written down.")
        self.journal.lines.append(line)


@dataclass(frozen=True)
class Trouble:
    """What happens at one call: an error or the end, before it takes effect or right after."""

    at: int
    error: SnapviewError | None = None  # None: killed
    is_after: bool = False
    for_ever: bool = False  # all calls from then on


@dataclass
class MemoryPort:
    """Implements ``vm_port.VmPort`` over a libvirt in memory.

    ``errors`` are raised by every call of a name instead of doing it, ``lies`` are calls that do
    nothing and say they did; ``before`` happens right before a call, as another client's work.
    """

    libvirt: MemoryLibvirt
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    errors: dict[str, SnapviewError] = field(default_factory=dict)
    lies: set[str] = field(default_factory=set)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    trouble: Trouble | None = None
    calls: list[str] = field(default_factory=list)
    changes: Callable[[Vm], Vm] = lambda vm: vm  # what else is read of the VM
    is_dead: bool = False

    @property
    def uri(self) -> str:
        return "memory:///"

    @property
    def acts(self) -> list[str]:
        """The calls that are no mere reads."""
        return [call for call in self.calls if call not in READS]

    def call(self, name: str, act: Callable[[], T], lie: T) -> T:
        """Do what a call asks for, unless there is trouble."""
        if self.is_dead:
            raise Killed
        self.calls.append(name)
        if name in self.before:
            self.before.pop(name)()
        self._meet_trouble(is_after=False)
        if name in self.errors:
            raise self.errors[name]
        result = lie if name in self.lies else act()
        self._meet_trouble(is_after=True)
        return result

    def _meet_trouble(self, *, is_after: bool) -> None:
        trouble, at = self.trouble, len(self.calls) - 1
        if trouble is None or at < trouble.at or (at > trouble.at and not trouble.for_ever):
            return
        if trouble.is_after != is_after and at == trouble.at:
            return
        if trouble.error is not None:
            raise trouble.error
        self.is_dead = self.journal.is_dead = True
        raise Killed

    # Reading

    def read(self) -> Vm:
        return self.call("read", self._read, Vm("", "", RunState.UNKNOWN))

    def _read(self) -> Vm:
        vm = self.changes(self.libvirt.vm())
        entry = self.journal.find(self.uri, vm.uuid)
        return vm if entry is None else replace(vm, interruption=interruption_of(entry))

    def read_storage(self) -> Storage:
        return self.call("storage", self.libvirt.storage, Storage())

    def snapshot_names(self) -> frozenset[str]:
        return self.call("names", lambda: frozenset(self.libvirt.records), frozenset())

    def snapshot_xml(self, name: str) -> str:
        return self.call("xml", lambda: self.libvirt._record(name), "")

    def definition(self) -> str:
        return self.call("definition", lambda: self.libvirt.definition, "")

    def internal_tags(self, path: str) -> tuple[str, ...] | None:
        image = self.libvirt.files.get(path)
        is_read = image is not None and image.format == "qcow2"
        return self.call("tags", lambda: tuple(image.tags) if image and is_read else None, None)

    # Changing

    def create_snapshot(self, xml: str, *, disk_only: bool, live: bool) -> None:
        self.call("create", lambda: self.libvirt.create(xml, disk_only=disk_only), None)

    def revert(self, name: str, afterwards: Afterwards) -> None:
        self.call("revert", lambda: self.libvirt.revert(name, afterwards), None)

    def delete_snapshot(self, name: str) -> None:
        self.call("delete", lambda: self.libvirt.delete(name), None)

    def forget_snapshot(self, name: str) -> None:
        self.call("forget", lambda: self.libvirt.forget(name), None)

    def redefine_snapshot(self, xml: str, *, current: bool = False) -> None:
        self.call("redefine", lambda: self.libvirt.redefine(xml, current=current), None)

    def define(self, xml: str) -> None:
        self.call("define", lambda: setattr(self.libvirt, "definition", xml), None)

    def start(self, *, paused: bool) -> None:
        self.call("start", lambda: self.libvirt.start(paused=paused), None)

    def stop(self) -> None:
        self.call("stop", self.libvirt.stop, None)

    def restore_memory(self, path: str, xml: str, *, paused: bool) -> None:
        def act() -> None:
            assert self.libvirt.qemu is None, "already active"
            memory = self.libvirt.memory_files[path]
            self.libvirt.start(paused=paused, text=xml, memory=memory)

        self.call("restore", act, None)

    def freeze(self) -> None:
        self.call("freeze", lambda: setattr(self.libvirt, "is_frozen", True), None)

    def thaw(self) -> None:
        self.call("thaw", lambda: setattr(self.libvirt, "is_frozen", False), None)

    def write_out(self) -> None:
        self.call("write out", lambda: None, None)

    def make_overlay(self, path: str, base: DiskLayer) -> None:
        def act() -> None:
            if path in self.libvirt.files:
                raise Conflict("It exists already.")
            assert self.libvirt.files[base.path].format == base.format, "the format is guessed"
            self.libvirt.put(path, base.path)

        self.call("overlay", act, None)

    def remove_file(self, path: str) -> None:
        def act() -> None:
            self.libvirt.files.pop(path, None)
            self.libvirt.memory_files.pop(path, None)

        self.call("remove", act, None)

    # Block jobs of the VM's own QEMU

    def commit(self, disk: str, top: str, base: str, bandwidth_bytes_per_second: int) -> None:
        self._own("commit", lambda q: q.commit(disk, top, base, bandwidth_bytes_per_second))

    def pull(self, disk: str, base: str | None, bandwidth_bytes_per_second: int) -> None:
        self._own("pull", lambda q: q.pull(disk, base, bandwidth_bytes_per_second))

    def block_job(self, disk: str) -> BlockJob | None:
        qemu = self.libvirt.qemu
        return self.call("look", lambda: qemu.look(disk) if qemu is not None else None, None)

    def end_job(self, disk: str, *, pivot: bool) -> None:
        self._own("pivot" if pivot else "abort", lambda q: q.end(disk, pivot=pivot))

    def set_bandwidth(self, disk: str, bytes_per_second: int) -> None:
        raise NotImplementedError

    def chain(self, disk: str) -> tuple[str, ...]:
        qemu = self.libvirt.qemu
        return self.call("chain", lambda: tuple(qemu.chains[disk]) if qemu is not None else (), ())

    def _own(self, name: str, act: Callable[[Qemu], None]) -> None:
        def on_own() -> None:
            if self.libvirt.qemu is not None:
                act(self.libvirt.qemu)

        self.call(name, on_own, None)

    @contextmanager
    def workbench(self, disks: Sequence[tuple[str, tuple[DiskLayer, ...]]]) -> Iterator["Bench"]:
        qemu = self.call("open", lambda: self.libvirt.open_bench(disks), None)
        assert qemu is not None, "nobody lies about a workbench"
        try:
            yield Bench(self, qemu)
        finally:
            self.call("close", lambda: self.libvirt.benches.remove(qemu), None)


@dataclass(frozen=True)
class Bench:
    """Implements ``vm_port.BlockJobPort`` over a workbench's QEMU."""

    port: MemoryPort
    qemu: Qemu

    def commit(self, disk: str, top: str, base: str, bandwidth_bytes_per_second: int) -> None:
        speed = bandwidth_bytes_per_second
        self.port.call("commit", lambda: self.qemu.commit(disk, top, base, speed), None)

    def pull(self, disk: str, base: str | None, bandwidth_bytes_per_second: int) -> None:
        speed = bandwidth_bytes_per_second
        self.port.call("pull", lambda: self.qemu.pull(disk, base, speed), None)

    def block_job(self, disk: str) -> BlockJob | None:
        return self.port.call("look", lambda: self.qemu.look(disk), None)

    def end_job(self, disk: str, *, pivot: bool) -> None:
        name = "pivot" if pivot else "abort"
        self.port.call(name, lambda: self.qemu.end(disk, pivot=pivot), None)

    def set_bandwidth(self, disk: str, bytes_per_second: int) -> None:
        raise NotImplementedError

    def chain(self, disk: str) -> tuple[str, ...]:
        return self.port.call("chain", lambda: tuple(self.qemu.chains[disk]), ())


def reborn(port: MemoryPort) -> MemoryPort:
    """The next snapview: workbenches are gone with the connection, the VM's jobs are not."""
    port.journal.outlive()
    port.libvirt.benches.clear()
    return MemoryPort(port.libvirt, port.journal, changes=port.changes)
