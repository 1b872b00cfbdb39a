"""What the window's tests show: VMs as the session would hand them over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from snapview.core.layout import layout_tree
from snapview.core.vm import RunState, Snapshot, SnapshotKind, SnapshotState, SnapshotTree
from snapview.session.views import VmKey, VmView
from tests.trees import make_vm

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def view_of(tree: SnapshotTree, *, name: str = "web", stale: bool = False) -> VmView:
    """Return a running VM with that tree, laid out."""
    vm = replace(make_vm(name, tree, run_state=RunState.RUNNING), read_at=NOW)
    return VmView(VmKey("test:///", vm.uuid), vm, layout_tree(tree), stale)


def snapshot(
    name: str,
    parent: str | None = None,
    *,
    days: float = 1,
    kind: SnapshotKind = SnapshotKind.EXTERNAL,
    memory: bool = False,
    title: str = "",
    description: str = "",
    problem: str | None = None,
) -> Snapshot:
    """Return a snapshot that is ``days`` old at ``NOW``."""
    return Snapshot(
        name=name,
        title=title,
        description=description,
        parent=parent,
        kind=kind,
        state=SnapshotState.RUNNING if memory else SnapshotState.DISK_ONLY,
        has_memory=memory,
        created_at=NOW - timedelta(days=days),
        problem=problem,
    )


def pictured_tree() -> SnapshotTree:
    """Return the tree of the drawn window: a path of seven, a branch of two, a kept state."""
    return SnapshotTree(
        [
            snapshot("clean", days=92, title="clean install", description="Debian 12.12"),
            snapshot("base", "clean", days=77, title="base hardening"),
            snapshot("upgrade", "base", days=13, memory=True, title="before upgrade"),
            snapshot("nginx", "upgrade", days=12.9, title="trial: nginx 1.29"),
            snapshot("http3", "nginx", days=12, title="HTTP/3 enabled"),
            snapshot("after", "upgrade", days=11, title="after upgrade"),
            snapshot("tuned", "after", days=9),
            snapshot("kept", "tuned", days=6, title="before revert to “tuned”"),
            snapshot("load", "tuned", days=2, memory=True, title="before load test"),
        ],
        "load",
    )
