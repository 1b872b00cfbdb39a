"""What each move does to one VM, its records and a graph of image files."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from snapview.core.errors import HostError, NotFound
from snapview.core.moves import (
    CommitImages,
    DefineAsAt,
    DeleteByLibvirt,
    EndJob,
    ForgetSnapshot,
    MakeOverlay,
    Move,
    PointTo,
    PullImages,
    RemoveFile,
    RestoreDefinition,
    RestoreMemory,
    RevertByLibvirt,
    SetActive,
    SetCurrent,
    SetDescription,
    SetFrozen,
    StartVm,
    StopVm,
    TakeSnapshot,
)
from snapview.core.operations import Afterwards, split_description
from snapview.core.storage import ImageFile
from snapview.core.vm import (
    DiskLayer,
    RunState,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotState,
    SnapshotTree,
    Vm,
)

NEW_IMAGE_BYTES = 196_608  # what an empty qcow2 image takes


@dataclass
class Machine:
    """One VM while moves are made on it.

    ``files`` are the host's and are changed; ``vm`` is replaced.
    """

    vm: Vm
    files: dict[str, ImageFile]
    now: datetime
    needed_by_others: frozenset[str] = frozenset()
    copied_bytes: int = 0

    def make(self, move: Move) -> None:
        """Make a move, and see the chains of all disks again."""
        self._make(move)
        disks = tuple(
            replace(disk, layers=self._chain(disk.layers[0])) if disk.layers else disk
            for disk in self.vm.disks
        )
        self.vm = replace(self.vm, disks=disks)

    def _make(self, move: Move) -> None:  # noqa: C901 - a case for each move
        match move:
            case TakeSnapshot():
                self._take(move)
            case RevertByLibvirt():
                self._revert(move)
            case DeleteByLibvirt(snapshot=name) | ForgetSnapshot(snapshot=name):
                self._forget(name)
            case SetDescription(snapshot=name, description=text):
                title, description = split_description(name, text)
                self._record(replace(self._find(name), title=title, description=description))
            case SetFrozen():
                self._set_frozen(move)
            case SetCurrent(snapshot=name):
                self._find(name)
                self.vm = replace(self.vm, tree=SnapshotTree(self.vm.tree, name))
            case StopVm():
                self.vm = replace(self.vm, run_state=RunState.SHUTOFF)
            case StartVm(paused=paused) | RestoreMemory(paused=paused):
                state = RunState.PAUSED if paused else RunState.RUNNING
                self.vm = replace(self.vm, run_state=state)
            case DefineAsAt(images=images):
                self._put_on(dict(images))
            case RestoreDefinition(xml=text):
                self._put_on(dict(word.split("=", 1) for word in text.split()))
            case SetActive(target=target, new_path=path):
                self._put_on({target: path})
            case _:
                self._make_with_images(move)

    def _make_with_images(
        self, move: CommitImages | PullImages | PointTo | MakeOverlay | RemoveFile | EndJob
    ) -> None:
        match move:
            case MakeOverlay(path=path, base=base):
                if path not in self.files:
                    self._overlay(path, base)
            case CommitImages():
                self._commit(move)
            case PullImages():
                self._pull(move)
            case PointTo(image=image, chain=chain):
                self._point(image.path, chain[0])
            case RemoveFile(path=path):
                self._remove(path)
            case EndJob():
                self._end_job(move)
            case _:
                assert_never(move)

    # Records

    def _find(self, name: str) -> Snapshot:
        snapshot = self.vm.tree.get(name)
        if snapshot is None:
            raise NotFound(f"{self.vm.name} has no snapshot named {name}.")
        return snapshot

    def _record(self, snapshot: Snapshot, *, is_current: bool = False) -> None:
        others = [each for each in self.vm.tree if each.name != snapshot.name]
        current = snapshot.name if is_current else self.vm.tree.current
        self.vm = replace(self.vm, tree=SnapshotTree([*others, snapshot], current))

    def _forget(self, name: str) -> None:
        gone = self._find(name)
        left = [
            replace(each, parent=gone.parent) if each.parent == name else each
            for each in self.vm.tree
            if each.name != name
        ]
        current = gone.parent if self.vm.tree.current == name else self.vm.tree.current
        self.vm = replace(self.vm, tree=SnapshotTree(left, current))

    def _set_frozen(self, move: SetFrozen) -> None:
        old = self._find(move.snapshot)

        def moved(disk: SnapshotDisk) -> SnapshotDisk:
            if disk.target != move.target or disk.frozen is None:
                return disk
            format_ = move.new_format or disk.frozen.format
            return replace(disk, frozen=DiskLayer(move.new_path, format_))

        self._record(replace(old, disks=tuple(moved(disk) for disk in old.disks)))

    def _take(self, move: TakeSnapshot) -> None:
        if move.name in self.vm.tree:
            raise HostError(f"There is a snapshot named {move.name} already.")
        is_external = move.kind is SnapshotKind.EXTERNAL
        is_on = self.vm.run_state.is_active
        has_memory = move.memory_path is not None if is_external else is_on
        state = SnapshotState.DISK_ONLY
        if has_memory or not is_on:
            state = SnapshotState(self.vm.run_state.value)
        inside = (
            SnapshotDisk(disk.target, "internal", disk.layers[0]) for disk in self.vm.state_disks
        )
        title, description = split_description(move.name, move.description)
        snapshot = Snapshot(
            name=move.name,
            title=title,
            description=description,
            parent=self.vm.tree.current,
            kind=move.kind,
            state=state,
            has_memory=has_memory,
            memory_path=move.memory_path,
            created_at=self.now,
            disks=move.disks if is_external else tuple(inside),
        )
        for disk in move.disks:
            if disk.overlay is not None and disk.frozen is not None:
                self._overlay(disk.overlay.path, disk.frozen)
        self._put_on({disk.target: disk.overlay.path for disk in move.disks if disk.overlay})
        if move.memory_path is not None:
            memory_bytes = self.vm.hardware.memory_bytes
            memory = ImageFile(move.memory_path, "raw", allocation_bytes=memory_bytes)
            self.files[move.memory_path] = memory
        self._record(snapshot, is_current=True)

    def _revert(self, move: RevertByLibvirt) -> None:
        """As libvirt 9.9 and newer: the overlays of the current snapshot are unlinked."""
        target = self._find(move.snapshot)
        current = self.vm.tree.get(self.vm.tree.current) if self.vm.tree.current else None
        if target.kind is SnapshotKind.INTERNAL:
            self._put_on({disk.target: disk.frozen.path for disk in target.disks if disk.frozen})
        else:
            made = []
            for disk in target.disks:
                if disk.mode == "external" and disk.frozen is not None:
                    path = self._unused(f"{self.vm.name}-{disk.target}")
                    self._overlay(path, disk.frozen)
                    overlay = DiskLayer(path, "qcow2")
                    made.append(SnapshotDisk(disk.target, "external", overlay=overlay))
            self._put_on({disk.target: disk.overlay.path for disk in made if disk.overlay})
            if current is not None:
                for disk in current.revert_overlays or current.disks:
                    if disk.overlay is not None:
                        self.files.pop(disk.overlay.path, None)
                self._record(replace(current, revert_overlays=()))
            self._record(replace(self._find(target.name), revert_overlays=tuple(made)))
        self.vm = replace(
            self.vm,
            tree=SnapshotTree(self.vm.tree, target.name),
            run_state=_state_after(target, move.afterwards),
        )

    def _unused(self, stem: str) -> str:
        number = 1
        while (path := f"/images/{stem}.{int(self.now.timestamp())}-{number}") in self.files:
            number += 1
        return path

    # Images

    def _chain(self, top: DiskLayer) -> tuple[DiskLayer, ...]:
        layers = [top]
        while (file := self.files.get(layers[-1].path)) is not None and file.backing is not None:
            layers.append(DiskLayer(file.backing, file.backing_format))
        return tuple(layers)

    def _put_on(self, images: Mapping[str, str]) -> None:
        """Let disks write to other images."""
        disks = [
            replace(disk, layers=(self._layer(images[disk.target]),))
            if disk.target in images
            else disk
            for disk in self.vm.disks
        ]
        self.vm = replace(self.vm, disks=tuple(disks))

    def _layer(self, path: str) -> DiskLayer:
        return DiskLayer(path, self.files[path].format)

    def _overlay(self, path: str, base: DiskLayer) -> None:
        assert path not in self.files, f"{path} is there already"
        capacity = self.files[base.path].capacity_bytes
        self.files[path] = ImageFile(
            path, "qcow2", base.path, base.format, capacity, NEW_IMAGE_BYTES
        )

    def _point(self, path: str, base: DiskLayer | None) -> None:
        self.files[path] = replace(
            self.files[path],
            backing=base.path if base else None,
            backing_format=base.format if base else None,
        )

    def _commit(self, move: CommitImages) -> None:
        paths = [layer.path for layer in move.chain]
        above, below = paths.index(move.top), paths.index(move.base)
        for path in paths[above:below]:
            self._copy(path, move.base)
        if above > 0:
            self._point(paths[above - 1], self._layer(move.base))
        elif move.in_vm:  # the pivot
            self._put_on({move.target: move.base})

    def _pull(self, move: PullImages) -> None:
        first, *lower = move.chain
        stop = next((i for i, each in enumerate(lower) if each.path == move.base), len(lower))
        for layer in lower[:stop]:
            self._copy(layer.path, first.path)
        self._point(first.path, lower[stop] if stop < len(lower) else None)

    def _copy(self, source: str, to: str) -> None:
        copied = self.files[source].allocation_bytes or 0
        lower = self.files[to]
        total = min((lower.allocation_bytes or 0) + copied, lower.capacity_bytes or 1 << 60)
        self.files[to] = replace(lower, allocation_bytes=total)
        self.copied_bytes += copied

    def _remove(self, path: str) -> None:
        refers = {layer.path for disk in self.vm.disks for layer in disk.layers}
        refers |= {d.frozen.path for s in self.vm.tree for d in s.disks if d.frozen}
        refers |= {s.memory_path for s in self.vm.tree if s.memory_path}
        refers |= {file.backing for file in self.files.values() if file.backing}
        if path in refers | self.needed_by_others:
            raise HostError(f"{path} is still needed.")
        self.files.pop(path, None)

    def _end_job(self, move: EndJob) -> None:
        found = [job for job in self.vm.block_jobs if job.disk == move.target]
        left = tuple(job for job in self.vm.block_jobs if job.disk != move.target)
        self.vm = replace(self.vm, block_jobs=left)
        if move.pivot and found and found[0].type.needs_pivot:
            layers = next(disk.layers for disk in self.vm.disks if disk.target == move.target)
            if len(layers) > 1:
                self._put_on({move.target: layers[1].path})


def _state_after(target: Snapshot, afterwards: Afterwards) -> RunState:
    match afterwards:
        case Afterwards.RUNNING:
            return RunState.RUNNING
        case Afterwards.PAUSED:
            return RunState.PAUSED
        case Afterwards.OFF:
            return RunState.SHUTOFF
        case Afterwards.AS_IT_WAS:
            return RunState(target.state.value) if target.has_memory else RunState.SHUTOFF
