"""A VM behind a ``VmPort``, in memory: does what it is told, or lies about it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from snapview.core.errors import NotFound, SnapviewError
from snapview.core.operations import Afterwards, join_description
from snapview.core.vm import RunState, Snapshot, SnapshotState, SnapshotTree, Vm
from snapview.virt.xml import build_snapshot, parse_snapshot
from tests.trees import START


@dataclass
class MemoryPort:
    """Implements ``acts.VmPort``.

    ``errors`` are raised by a call instead of doing it, ``lies`` are calls that do nothing and say
    they did; ``before`` happens right before a call, as another client's work would.
    """

    vm: Vm
    errors: dict[str, SnapviewError] = field(default_factory=dict)
    lies: set[str] = field(default_factory=set)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)  # documents
    reverted: list[Afterwards] = field(default_factory=list)

    def _enter(self, call: str) -> bool:
        """Record a call; whether it is to be done."""
        self.calls.append(call)
        if call in self.before:
            self.before.pop(call)()
        if call in self.errors:
            raise self.errors[call]
        return call not in self.lies

    def put(self, *snapshots: Snapshot, current: str | None) -> None:
        self.vm = replace(self.vm, tree=SnapshotTree(snapshots, current))

    def lose(self, name: str) -> None:
        """Somebody else deletes a snapshot."""
        tree = self.vm.tree
        gone = tree[name]
        left = (
            replace(s, parent=gone.parent) if s.parent == name else s for s in tree if s != gone
        )
        self.put(*left, current=gone.parent if tree.current == name else tree.current)

    def create_snapshot(self, xml: str, *, disk_only: bool, live: bool) -> None:
        if not self._enter("create"):
            return
        self.created.append(xml)
        tree, made = self.vm.tree, parse_snapshot(xml)
        active = {disk.target: disk.active for disk in self.vm.disks}
        made = replace(
            made,
            parent=tree.current,
            state=SnapshotState.DISK_ONLY if disk_only else SnapshotState(self.vm.run_state.value),
            created_at=START + timedelta(days=len(tree)),
            disks=tuple(replace(disk, frozen=active.get(disk.target)) for disk in made.disks),
        )
        overlays = {disk.target: disk.overlay for disk in made.disks}
        disks = tuple(
            replace(disk, layers=(overlay, *disk.layers))
            if (overlay := overlays.get(disk.target))
            else disk
            for disk in self.vm.disks
        )
        self.vm = replace(self.vm, disks=disks)
        self.put(*tree, made, current=made.name)

    def revert(self, name: str, afterwards: Afterwards) -> None:
        self.reverted.append(afterwards)
        if not self._enter("revert"):
            return
        state = {Afterwards.RUNNING: RunState.RUNNING, Afterwards.PAUSED: RunState.PAUSED}
        default = RunState.RUNNING if self.vm.tree[name].has_memory else RunState.SHUTOFF
        self.vm = replace(self.vm, run_state=state.get(afterwards, default))
        self.put(*self.vm.tree, current=name)

    def delete_snapshot(self, name: str) -> None:
        if self._enter("delete"):
            self.lose(name)

    def snapshot_names(self) -> frozenset[str]:
        return frozenset(snapshot.name for snapshot in self.vm.tree)

    def snapshot_xml(self, name: str) -> str:
        self._enter("xml")
        snapshot = self.vm.tree[name]
        text = join_description(name, snapshot.title, snapshot.description)
        return build_snapshot(name, text, memory_path=None, disks=())

    def redefine_snapshot(self, xml: str) -> None:
        if not self._enter("redefine"):
            return
        new = parse_snapshot(xml)
        old = self.vm.tree.get(new.name)
        if old is None:
            raise NotFound("The snapshot does not exist any more.")
        changed = replace(old, title=new.title, description=new.description)
        self.put(*(changed if s == old else s for s in self.vm.tree), current=self.vm.tree.current)

    def freeze(self) -> None:
        self._enter("freeze")

    def thaw(self) -> None:
        self._enter("thaw")

    def stop(self) -> None:
        if self._enter("stop"):
            self.vm = replace(self.vm, run_state=RunState.SHUTOFF)

    def read(self) -> Vm:
        self._enter("read")
        return self.vm
