"""VMs for the dialogs: a line of external snapshots with a branch, and what their files take."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from snapview.core.storage import ImageFile, Storage
from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    Hardware,
    HostCapabilities,
    RunState,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotState,
    SnapshotTree,
    Vm,
)
from tests.trees import vm_uuid

GIB = 1024**3
MIB = 1024**2
NOW = datetime.now(tz=UTC)
NEW_HOST = HostCapabilities("QEMU", (11, 3, 0), (10, 0, 2), reverts_external=True)
OLD_HOST = HostCapabilities("QEMU", (9, 0, 0), (7, 2, 0))

# The images of vda, the base first, and what lies in each: s0 … s3, then the live state.
PATHS = tuple(f"/images/{name}.qcow2" for name in ("base", "one", "two", "three", "live"))
SIZES = (4 * GIB, 3 * GIB, 2 * GIB, GIB, 100 * MIB)


def layer(path: str) -> DiskLayer:
    """Return a qcow2 image."""
    return DiskLayer(path, "qcow2")


def external(name: str, parent: str | None, frozen: str, overlay: str, number: int) -> Snapshot:
    """Return a disk-only snapshot of a running VM."""
    return Snapshot(
        name,
        title=f"state {name}",
        parent=parent,
        kind=SnapshotKind.EXTERNAL,
        state=SnapshotState.DISK_ONLY,
        created_at=NOW - timedelta(days=30 - number),
        disks=(SnapshotDisk("vda", "external", layer(frozen), layer(overlay)),),
    )


def line_of_externals(*, branch: bool = False, storage: bool = True) -> Vm:
    """Return a running VM whose disk is a chain of five images, four of them snapshots'.

    Args:
        branch: one more snapshot, ``side``, stands on ``s1``.
        storage: whether it is known what the files take.
    """
    names = [f"s{n}" for n in range(4)]
    snapshots = [
        external(name, names[n - 1] if n else None, PATHS[n], PATHS[n + 1], n)
        for n, name in enumerate(names)
    ]
    if branch:
        snapshots.append(external("side", "s1", "/images/side.qcow2", "/images/side2.qcow2", 9))
    chain = DiskChain(
        "vda", tuple(layer(path) for path in reversed(PATHS)), defined=5, is_complete=True
    )
    data = DiskChain("vdb", (layer("/images/data.qcow2"),), defined=1, is_complete=True)
    vm = Vm(
        vm_uuid("web"),
        "web",
        RunState.RUNNING,
        SnapshotTree(snapshots, "s3"),
        (chain, data),
        Hardware(vcpus=2, memory_bytes=4 * GIB, disks=(chain, data)),
        NEW_HOST,
        read_at=NOW,
    )
    return replace(vm, storage=files(branch=branch)) if storage else vm


def files(*, branch: bool = False) -> Storage:
    """Return what the files of that VM take, on a host that copies 100 MiB/s."""
    found = {
        path: ImageFile(path, "qcow2", below, "qcow2", 20 * GIB, size)
        for path, size, below in zip(PATHS, SIZES, (None, *PATHS), strict=False)
    }
    found["/images/data.qcow2"] = ImageFile(
        "/images/data.qcow2", "qcow2", None, None, 20 * GIB, 9 * GIB
    )
    if branch:
        side, top = "/images/side.qcow2", "/images/side2.qcow2"
        found[side] = ImageFile(side, "qcow2", PATHS[1], "qcow2", 20 * GIB, 5 * GIB)
        found[top] = ImageFile(top, "qcow2", side, "qcow2", 20 * GIB, GIB)
    return Storage(
        MappingProxyType(found),
        MappingProxyType({"/images": 61 * GIB}),
        copy_bytes_per_second=100.0 * MIB,
    )
