"""Disks as files, and what reverts do to them: the second opinion on planned reverts.

Written from what libvirt and QEMU do, without looking at planning. An image is what was written
to it, on top of a backing file; an internal state is a copy of that, kept in the image. Every move
of a plan is carried out with open eyes; what somebody needs must be there afterwards.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

from snapview.core.moves import (
    DefineAsAt,
    MakeOverlay,
    Move,
    RemoveFile,
    RestoreMemory,
    RevertByLibvirt,
    SetCurrent,
    StartVm,
    StopVm,
    TakeSnapshot,
)
from snapview.core.operations import Afterwards
from snapview.core.planning import Plan
from snapview.core.storage import ImageFile, Storage
from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    RunState,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotState,
    SnapshotTree,
    Vm,
)
from tests.core.planning.cases import vm_of
from tests.trees import START, make_vm

Content = tuple[int, ...]


@dataclass
class File:
    """An image: its backing file, what was written to it, and the states kept inside."""

    backing: str | None
    writes: Content
    inside: dict[str, Content] = field(default_factory=dict)


@dataclass
class Record:
    """What libvirt's metadata say of one snapshot."""

    parent: str | None
    kind: SnapshotKind
    state: SnapshotState
    definition: dict[str, str]  # disk -> image, of the VM at that time
    held: tuple[str, ...]  # the disks whose state it holds
    overlays: dict[str, str] = field(default_factory=dict)  # may name files that are gone
    after_revert: dict[str, str] = field(default_factory=dict)
    memory: int | None = None
    memory_file: str | None = None
    number: int = 0


@dataclass
class World:
    """One VM with its images, its snapshots, and other VMs that use some of the images."""

    files: dict[str, File] = field(default_factory=lambda: {"/i/a.qcow2": File(None, (0,))})
    memory_files: dict[str, int] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    active: dict[str, str] = field(default_factory=lambda: {"vda": "/i/a.qcow2"})
    current: str | None = None
    memory: int | None = 0  # None: the VM is off
    is_paused: bool = False
    clones: list[str] = field(default_factory=list)  # images of other VMs
    clock: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    removed: list[str] = field(default_factory=list)

    # What is there

    def content(self, path: str) -> Content:
        """What a guest reads from an image."""
        assert path in self.files, f"{path} is gone"
        file = self.files[path]
        return (*(self.content(file.backing) if file.backing else ()), *file.writes)

    def state(self, name: str) -> dict[str, object]:
        """What a snapshot holds: each of its disks, and the memory."""
        record = self.records[name]
        held: dict[str, object] = {}
        for target in record.held:
            path = record.definition[target]
            assert path in self.files, f"{path} of {name} is gone"
            held[target] = self.content(path)
            if record.kind is SnapshotKind.INTERNAL:
                file = self.files[path]
                below = self.content(file.backing) if file.backing else ()
                assert name in file.inside, f"{name} inside {path} is gone"
                held[target] = (*below, *file.inside[name])
        if record.memory is not None:
            held["memory"] = record.memory
            if record.memory_file is not None:
                assert self.memory_files[record.memory_file] == record.memory
        return held

    def states(self) -> dict[str, dict[str, object]]:
        return {name: self.state(name) for name in self.records}

    def live(self) -> dict[str, Content]:
        return {target: self.content(path) for target, path in self.active.items()}

    def chain(self, path: str) -> list[str]:
        found = [path]
        while (below := self.files[found[-1]].backing) is not None:
            found.append(below)
        return found

    def needed(self, *, with_live: bool = True) -> set[str]:
        """The files without which a state, a record, the VM, or another VM is not whole."""
        tops = [*(self.active.values() if with_live else ()), *self.clones]
        tops += [path for record in self.records.values() for path in record.definition.values()]
        return {path for top in tops for path in self.chain(top)}

    # What users and other programs do

    def write(self) -> None:
        for path in self.active.values():
            self.files[path].writes += (next(self.clock),)
        if self.memory is not None:
            self.memory = next(self.clock)

    def take(self, kind: SnapshotKind, *, memory: bool = False, leaving_out: str = "") -> str:
        """Take a snapshot as virsh does."""
        name = f"s{next(self.clock):03}"
        held = tuple(target for target in self.active if target != leaving_out)
        overlays = {target: f"/i/{target}-{name}" for target in held}
        memory = memory or kind is SnapshotKind.INTERNAL
        self._take(name, kind, overlays, memory=memory and self.memory is not None)
        return name

    def put_layer(self, target: str) -> None:
        """Put an overlay on top without a record (virsh snapshot-create --no-metadata)."""
        path = f"/i/bare-{next(self.clock)}"
        self._make(path, self.active[target])
        self.active[target] = path

    def forget(self, name: str) -> None:
        """Drop a record; the images stay, and nobody knows of them any more."""
        gone = self.records.pop(name)
        for record in self.records.values():
            record.parent = gone.parent if record.parent == name else record.parent
        self.current = gone.parent if self.current == name else self.current

    def clone(self, path: str) -> None:
        """Have another VM made on top of an image."""
        made = f"/i/clone-{next(self.clock)}"
        self._make(made, path)
        self.clones.append(made)

    def attach(self, base: str | None) -> None:
        """Attach a second disk: a whole image, or one on somebody's template."""
        path = f"/i/data-{next(self.clock)}.qcow2"
        self.files[path] = File(base, (next(self.clock),))
        self.active["vdb"] = path

    def swap(self) -> None:
        """Put the first disk on a new, whole image, by hand."""
        self.attach(None)
        self.active["vda"] = self.active.pop("vdb")

    def point(self, target: str, path: str) -> None:
        """Have a disk written to another image, by hand."""
        self.active[target] = path

    def can_go_native(self) -> bool:
        """Whether a revert by libvirt alone, external ones only, would be harmless."""
        leaving = self.records.get(self.current or "")
        if leaving is None or any(
            r.kind is not SnapshotKind.EXTERNAL for r in self.records.values()
        ):
            return False
        doomed = set((leaving.after_revert or leaving.overlays).values())
        return doomed == set(self.active.values()) and not doomed & self.needed(with_live=False)

    def go_native(self, name: str) -> None:
        """Revert as libvirt 9.9 and newer do."""
        self._revert(name)

    def turn(self, *, on: bool) -> None:
        self.memory = next(self.clock) if on else None
        self.is_paused = False

    # What libvirt and the moves do

    def _make(self, path: str, base: str | None) -> None:
        assert path not in self.files, f"{path} is there already"
        assert path not in self.memory_files
        assert base is None or base in self.files, f"{base} is gone"
        self.files[path] = File(base, ())

    def _take(
        self, name: str, kind: SnapshotKind, overlays: dict[str, str], *, memory: bool
    ) -> None:
        is_on = self.memory is not None
        state = SnapshotState.DISK_ONLY if is_on else SnapshotState.SHUTOFF
        if memory:
            state = SnapshotState.PAUSED if self.is_paused else SnapshotState.RUNNING
        assert name not in self.records
        held = tuple(overlays) if kind is SnapshotKind.EXTERNAL else tuple(self.active)
        record = Record(self.current, kind, state, dict(self.active), held)
        record.number = next(self.clock)
        record.memory = self.memory if memory else None
        if self.current is not None:
            self.records[self.current].after_revert = {}
        for target in held:
            if kind is SnapshotKind.INTERNAL:
                file = self.files[self.active[target]]
                file.inside[name] = file.writes
                continue
            self._make(overlays[target], self.active[target])
            self.active[target] = record.overlays[target] = overlays[target]
        if kind is SnapshotKind.EXTERNAL and memory:
            record.memory_file = f"/i/{name}.mem"
            self.memory_files[record.memory_file] = self.memory or 0
        self.records[name], self.current = record, name

    def _revert(self, name: str, flag: Afterwards = Afterwards.AS_IT_WAS) -> None:
        target, leaving = self.records[name], self.records.get(self.current or "")
        if target.kind is SnapshotKind.INTERNAL:
            for disk in target.held:
                file = self.files[target.definition[disk]]
                file.writes = file.inside[name]
            self.active = dict(target.definition)
        else:
            assert leaving is not None, "libvirt crashes without a current snapshot"
            doomed = leaving.after_revert or leaving.overlays
            made = {disk: f"/i/{disk}.{next(self.clock)}" for disk in target.definition}
            for disk, path in made.items():
                self._make(path, target.definition[disk])
            self.active = made
            for path in doomed.values():
                self._unlink(path)
            has_children = any(record.parent == name for record in self.records.values())
            leaving.after_revert = {}
            if has_children:
                target.after_revert = made
            else:
                target.overlays = made
        self.current, self.memory = name, target.memory
        self.is_paused = target.state is SnapshotState.PAUSED
        if flag is not Afterwards.AS_IT_WAS:
            self.is_paused = flag is Afterwards.PAUSED
            self.memory = next(self.clock) if self.memory is None else self.memory

    def _unlink(self, path: str) -> None:
        if self.files.pop(path, None) is not None:
            self.removed.append(path)

    def carry_out(self, plan: Plan, *, is_sure: bool) -> None:
        """Make every move. ``is_sure``: a file that is needed must not even be asked to go."""
        for move in plan.moves:
            self._do(move, is_sure=is_sure)

    def _do(self, move: Move, *, is_sure: bool) -> None:  # noqa: C901 - one per move
        match move:
            case TakeSnapshot():
                made = {d.target: d.overlay.path for d in move.disks if d.overlay}
                memory = move.memory_path is not None
                if move.kind is SnapshotKind.INTERNAL:
                    memory = self.memory is not None
                self._take(move.name, move.kind, made, memory=memory)
            case RevertByLibvirt():
                self._revert(move.snapshot, move.afterwards)
            case MakeOverlay():
                self._make(move.path, move.base.path)
            case StopVm():
                self.memory = None
            case DefineAsAt():
                assert self.memory is None, "it is still running"
                self.active = self.records[move.snapshot].definition | dict(move.images)
            case SetCurrent():
                self.current = move.snapshot
            case StartVm():
                assert self.memory is None
                self.memory, self.is_paused = next(self.clock), move.paused
            case RestoreMemory():
                assert self.memory is None
                assert dict(move.images).items() <= self.active.items()
                self.memory = self.memory_files[move.memory_path]
                self.is_paused = move.paused
            case RemoveFile():
                is_needed = move.path in self.needed()
                assert not (is_sure and is_needed), f"{move.path} is needed"
                if not is_needed:  # libvirt's side looks again, and leaves the file
                    self._unlink(move.path)
            case _:
                raise AssertionError(move)

    # What snapview reads

    def vm(self, version: tuple[int, int, int], *, with_storage: bool) -> Vm:
        tree = SnapshotTree((self._snapshot(name) for name in self.records), self.current)
        disks = tuple(
            DiskChain(
                target,
                tuple(map(_layer, self.chain(path))),
                defined=len(self.chain(path)),
                is_complete=True,
            )
            for target, path in self.active.items()
        )
        state = RunState.SHUTOFF
        if self.memory is not None:
            state = RunState.PAUSED if self.is_paused else RunState.RUNNING
        storage = None
        if with_storage:
            images = {
                path: ImageFile(path, "qcow2", file.backing, "qcow2")
                for path, file in self.files.items()
            }
            images |= {path: ImageFile(path, "raw") for path in self.memory_files}
            users = {path: ("other",) for top in self.clones for path in self.chain(top)}
            storage = Storage(images, {"/i": 1 << 40}, users)
        vm = vm_of(make_vm(tree=tree, disks=disks), version=version, run_state=state)
        moment = START + timedelta(seconds=next(self.clock))
        return replace(vm, storage=storage, read_at=moment)

    def _snapshot(self, name: str) -> Snapshot:
        record = self.records[name]
        mode = record.kind.value
        return Snapshot(
            name,
            name,
            parent=record.parent,
            kind=record.kind,
            state=record.state,
            has_memory=record.memory is not None,
            memory_path=record.memory_file,
            created_at=START.replace(microsecond=record.number),
            disks=tuple(
                SnapshotDisk(
                    target,
                    mode if target in record.held else "no",
                    _layer(path),
                    _layer(record.overlays[target]) if target in record.overlays else None,
                )
                for target, path in record.definition.items()
            ),
            revert_overlays=tuple(
                SnapshotDisk(target, "external", None, _layer(path))
                for target, path in record.after_revert.items()
            ),
        )


def _layer(path: str) -> DiskLayer:
    return DiskLayer(path, "qcow2")
