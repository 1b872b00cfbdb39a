"""What operations do to VMs, in memory: trees, chains and the current snapshot; no threads.

The images are a graph of backing files. Taking an external snapshot puts an overlay on top,
reverting goes back to the frozen image, deleting merges what came after into it.
"""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import assert_never

from snapview.core.errors import NotFound
from snapview.core.operations import (
    Afterwards,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    EndBlockJob,
    Operation,
    Recover,
    RevertSnapshot,
    plain_name,
    unique_name,
)
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


class Simulation:
    """The VMs of one host, and what each operation does to them."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
        self.vms: dict[str, Vm] = {}
        self.versions: Counter[str] = Counter()  # by VM; grows with each change
        self._backing: dict[str, DiskLayer] = {}

    def define(self, vm: Vm) -> None:
        """Add a VM, or replace it."""
        self._put(vm)
        for disk in vm.disks:
            for upper, lower in zip(disk.layers, disk.layers[1:], strict=False):
                self._backing[upper.path] = lower

    def require(self, uuid: str) -> Vm:
        """Return a VM; raises NotFound."""
        if uuid not in self.vms:
            raise NotFound("This virtual machine does not exist any more.")
        return self.vms[uuid]

    def _put(self, vm: Vm) -> None:
        self.vms[vm.uuid] = vm
        self.versions[vm.uuid] += 1

    def apply(self, operation: Operation) -> str | None:
        """Do an operation; return the name of the snapshot it created, if any."""
        vm = self.require(operation.vm_uuid)
        self.now += timedelta(minutes=1)
        match operation:
            case CreateSnapshot():
                return self._create(vm, operation)
            case RevertSnapshot():
                return self._revert(vm, operation)
            case DeleteSnapshot():
                self._delete(vm, operation)
                return None
            case EditDescription():
                old = _find(vm, operation.snapshot)
                new = replace(old, title=operation.title, description=operation.description)
                self._put(replace(vm, tree=_with(vm.tree, new, current=vm.tree.current)))
                return None
            case Consolidate() | EndBlockJob() | Recover():
                raise NotImplementedError
            case _:
                assert_never(operation)

    def _create(self, vm: Vm, operation: CreateSnapshot) -> str:
        offered = plain_name(operation.title) or f"snapshot-{self.now:%Y%m%d-%H%M%S}"
        name = unique_name(offered, {snapshot.name for snapshot in vm.tree})
        has_memory = operation.memory and vm.run_state.is_active
        state = SnapshotState(vm.run_state.value) if has_memory else SnapshotState.DISK_ONLY
        if not vm.run_state.is_active:
            state = SnapshotState.SHUTOFF
        disks: list[SnapshotDisk] = []
        chains: dict[str, DiskChain] = {}
        for chain in vm.state_disks:
            frozen = chain.layers[0]
            if operation.kind is SnapshotKind.INTERNAL:
                disks.append(SnapshotDisk(chain.target, "internal", frozen))
                continue
            overlay = DiskLayer(f"/images/{vm.name}-{chain.target}.{name}", "qcow2")
            self._backing[overlay.path] = frozen
            disks.append(SnapshotDisk(chain.target, "external", frozen, overlay))
            chains[chain.target] = replace(chain, layers=(overlay, *chain.layers))
        external = operation.kind is SnapshotKind.EXTERNAL
        snapshot = Snapshot(
            name=name,
            title=operation.title or name,
            description=operation.description,
            parent=vm.tree.current,
            kind=operation.kind,
            state=state,
            has_memory=has_memory,
            memory_path=f"/images/{vm.name}.{name}.mem" if external and has_memory else None,
            created_at=self.now,
            disks=tuple(disks),
        )
        tree = _with(vm.tree, snapshot, current=name)
        self._put(replace(vm, tree=tree, disks=_rechained(vm, chains)))
        return name

    def _revert(self, vm: Vm, operation: RevertSnapshot) -> str | None:
        created = None
        target = _find(vm, operation.snapshot)
        if operation.safety_snapshot:
            title = operation.safety_title or "Before revert"
            created = self._create(vm, CreateSnapshot(vm.uuid, title, kind=target.kind))
            vm = self.require(vm.uuid)
        chains: dict[str, DiskChain] = {}
        for disk in target.disks:
            old = next((chain for chain in vm.disks if chain.target == disk.target), None)
            if disk.frozen is None or old is None:
                continue
            layers = self._chain(disk.frozen)
            if disk.mode == "external":
                number = len(self._backing)
                overlay = DiskLayer(f"/images/{vm.name}-{disk.target}.revert{number}", "qcow2")
                self._backing[overlay.path] = disk.frozen
                layers = (overlay, *layers)
            chains[disk.target] = replace(old, layers=layers)
        self._put(
            replace(
                vm,
                tree=SnapshotTree(vm.tree, target.name),
                disks=_rechained(vm, chains),
                run_state=_state_after(target, operation.afterwards),
            )
        )
        return created

    def _delete(self, vm: Vm, operation: DeleteSnapshot) -> None:
        for name in operation.snapshots:
            _find(self.require(vm.uuid), name)
            doomed = vm.tree.subtree(name) if operation.subtree else (name,)
            for each in reversed(doomed):
                if each in self.vms[vm.uuid].tree:
                    self._delete_one(self.vms[vm.uuid], each)

    def _delete_one(self, vm: Vm, name: str) -> None:
        """Merge what came after into the frozen image; children move to the parent."""
        gone = vm.tree[name]
        merged = {
            disk.overlay.path: disk.frozen for disk in gone.disks if disk.overlay and disk.frozen
        }
        for upper, lower in list(self._backing.items()):
            if lower.path in merged:
                self._backing[upper] = merged[lower.path]
        left = [
            replace(
                each,
                parent=gone.parent if each.parent == name else each.parent,
                disks=tuple(_refrozen(disk, merged) for disk in each.disks),
            )
            for each in vm.tree
            if each.name != name
        ]
        chains = {
            chain.target: replace(chain, layers=self._chain(_after(chain.layers[0], merged)))
            for chain in vm.state_disks
        }
        current = gone.parent if vm.tree.current == name else vm.tree.current
        self._put(replace(vm, tree=SnapshotTree(left, current), disks=_rechained(vm, chains)))

    def _chain(self, top: DiskLayer) -> tuple[DiskLayer, ...]:
        layers = [top]
        while layers[-1].path in self._backing:
            layers.append(self._backing[layers[-1].path])
        return tuple(layers)


def _find(vm: Vm, name: str) -> Snapshot:
    snapshot = vm.tree.get(name)
    if snapshot is None:
        raise NotFound(f"{vm.name} has no snapshot named {name}.")
    return snapshot


def _with(tree: SnapshotTree, snapshot: Snapshot, current: str | None) -> SnapshotTree:
    others = [each for each in tree if each.name != snapshot.name]
    return SnapshotTree([*others, snapshot], current)


def _rechained(vm: Vm, chains: dict[str, DiskChain]) -> tuple[DiskChain, ...]:
    return tuple(chains.get(chain.target, chain) for chain in vm.disks)


def _after(layer: DiskLayer, merged: dict[str, DiskLayer]) -> DiskLayer:
    return merged.get(layer.path, layer)


def _refrozen(disk: SnapshotDisk, merged: dict[str, DiskLayer]) -> SnapshotDisk:
    return replace(disk, frozen=_after(disk.frozen, merged) if disk.frozen else None)


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
