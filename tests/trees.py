"""Snapshot trees and VMs for tests: in a line, branching, random of any size."""

import random
import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    Hardware,
    RunState,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotState,
    SnapshotTree,
    Vm,
)

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
_NAMESPACE = uuid.UUID("5f1c6e0a-7d58-4b27-9a55-1e1f6f0d2c11")


def vm_uuid(name: str) -> str:
    """Return the UUID that ``make_vm`` gives a VM of that name."""
    return str(uuid.uuid5(_NAMESPACE, name))


def base_layer(vm_name: str = "web", target: str = "vda") -> DiskLayer:
    """Return the base image of a VM's disk."""
    return DiskLayer(f"/images/{vm_name}-{target}.qcow2", "qcow2")


def make_snapshot(
    name: str, parent: str | None = None, *, number: int = 0, vm_name: str = "web"
) -> Snapshot:
    """Return an internal snapshot with memory, taken ``number`` hours after ``START``."""
    return Snapshot(
        name=name,
        title=name,
        description=f"What {name} is for.",
        parent=parent,
        kind=SnapshotKind.INTERNAL,
        state=SnapshotState.RUNNING,
        has_memory=True,
        created_at=START + timedelta(hours=number),
        disks=(SnapshotDisk("vda", "internal", base_layer(vm_name)),),
    )


def tree_of(parents: Iterable[tuple[str, str | None]], current: str | None = None) -> SnapshotTree:
    """Return a tree from ``(name, parent)`` pairs in order of creation."""
    snapshots = [make_snapshot(name, up, number=n) for n, (name, up) in enumerate(parents)]
    return SnapshotTree(snapshots, current)


def linear_tree(length: int) -> SnapshotTree:
    """Return ``s0 - s1 - … `` with the last one current."""
    names = [f"s{n}" for n in range(length)]
    parents = [None, *names[:-1]] if names else []
    return tree_of(zip(names, parents, strict=True), names[-1] if names else None)


def branching_tree() -> SnapshotTree:
    """Return eight snapshots with two side branches; ``tuned`` is current."""
    return tree_of(
        [
            ("installed", None),
            ("updated", "installed"),
            ("try-nginx", "updated"),
            ("nginx-tls", "try-nginx"),
            ("try-caddy", "updated"),
            ("caddy-tls", "try-caddy"),
            ("before-load", "nginx-tls"),
            ("tuned", "before-load"),
        ],
        "tuned",
    )


def random_tree(size: int, seed: int = 1) -> SnapshotTree:
    """Return a tree of ``size`` snapshots, mostly lines with side branches."""
    chance = random.Random(seed)
    pairs: list[tuple[str, str | None]] = []
    for n in range(size):
        near = max(0, n - 5)
        at = n - 1 if chance.random() < 0.6 else chance.randrange(near, n) if n else -1
        pairs.append((f"n{n:05}", f"n{at:05}" if n and chance.random() > 0.002 else None))
    return tree_of(pairs, pairs[-1][0] if pairs else None)


def make_vm(
    name: str = "web",
    tree: SnapshotTree | None = None,
    *,
    run_state: RunState = RunState.RUNNING,
    disks: tuple[DiskChain, ...] | None = None,
) -> Vm:
    """Return a VM with one qcow2 disk and a CD drive without a disc."""
    if disks is None:
        disks = (DiskChain("vda", (base_layer(name),)), DiskChain("sda", (), device="cdrom"))
    hardware = Hardware(
        vcpus=2, memory_bytes=1 << 31, machine="pc-q35-7.2", disks=disks, interfaces=1
    )
    return Vm(
        uuid=vm_uuid(name),
        name=name,
        run_state=run_state,
        tree=_moved(tree, name) if tree is not None else SnapshotTree(),
        disks=disks,
        hardware=hardware,
    )


def _moved(tree: SnapshotTree, vm_name: str) -> SnapshotTree:
    """Return a tree whose internal snapshots lie in the base images of that VM."""

    def move(disk: SnapshotDisk) -> SnapshotDisk:
        is_default = disk.frozen == base_layer(target=disk.target)
        return replace(disk, frozen=base_layer(vm_name, disk.target)) if is_default else disk

    moved = (replace(each, disks=tuple(move(disk) for disk in each.disks)) for each in tree)
    return SnapshotTree(moved, tree.current)
