"""Planning a delete: in which order, which files are merged, which states are discarded.

*Merge*: the later state is kept and two files are joined. *Discard*: a state is lost, and what only
it needed goes. External snapshots are deleted by block jobs and records, the same on every libvirt;
internal ones by libvirt. The whole order is worked out on a picture of the images that changes as
each step would change them.
"""

from dataclasses import dataclass, field, replace

from snapview.core.moves import DeleteByLibvirt, ForgetSnapshot, Move, RemoveFile
from snapview.core.operations import DeleteSnapshot
from snapview.core.planning.edit import not_found, unreadable
from snapview.core.planning.effects import (
    kept_states,
    little_room,
    lost_points,
    no_room,
    warnings_of,
)
from snapview.core.planning.figures import Figures
from snapview.core.planning.images import Images
from snapview.core.planning.merging import (
    NOT_SAVED,
    WORK_RULES,
    Carrier,
    Commit,
    Work,
    WorkFacts,
)
from snapview.core.planning.plans import (
    NOT_BUSY,
    Act,
    Plan,
    Refusal,
    RefusalCode,
    Rule,
    Step,
    VmFacts,
    first_refusal,
)
from snapview.core.planning.removal import MemoryFiles, steps_of, works_of
from snapview.core.vm import Snapshot, SnapshotKind, SnapshotTree, Vm


@dataclass(frozen=True, slots=True)
class _Facts(VmFacts):
    """What the rows of the table look at: one snapshot, at its turn."""

    snapshot: Snapshot
    images: Images
    doomed: frozenset[str]  # all that are to be deleted
    buried: tuple[str, ...]  # images it lies inside of that are not the active ones
    by_libvirt: bool  # whether libvirt itself deletes it: it reaches the active images only

    @classmethod
    def of(cls, vm: Vm, name: str, images: Images, doomed: frozenset[str]) -> "_Facts":
        """Look at one snapshot."""
        snapshot = vm.tree[name]
        if not vm.capabilities.touches_disks:
            return cls(vm, snapshot, images, doomed, (), by_libvirt=True)
        if snapshot.kind is not SnapshotKind.INTERNAL:
            return cls(vm, snapshot, images, doomed, (), by_libvirt=False)
        buried = tuple(
            disk.frozen.path
            for disk in snapshot.disks
            if disk.mode == "internal"
            and disk.frozen is not None
            and images.active.get(disk.target) not in {None, disk.frozen.path}
        )
        return cls(vm, snapshot, images, doomed, buried, by_libvirt=not buried)

    @property
    def is_internal(self) -> bool:
        return self.snapshot.kind is SnapshotKind.INTERNAL


def _missing_disk(facts: _Facts) -> str:
    """Return a disk that the VM does not have any more, in whose image the snapshot lies."""
    if not facts.is_internal:
        return ""
    targets = {disk.target for disk in facts.vm.disks}
    kept = (disk.target for disk in facts.snapshot.disks if disk.mode == "internal")
    return next((target for target in kept if target not in targets), "")


def _out_of_reach(facts: _Facts) -> bool:
    """Whether an internal snapshot lies where libvirt does not reach it, in a file that stays."""
    buried = facts.buried
    count = sum(disk.mode == "internal" for disk in facts.snapshot.disks)
    return bool(buried) and (len(buried) < count or any(_stays(facts, path) for path in buried))


def _stays(facts: _Facts, path: str) -> bool:
    """Whether an image is needed for more than what is deleted now."""
    images = facts.images
    held = (*images.inside(path), *images.tips(path))
    others = any(name not in facts.doomed for name, _ in held)
    return others or bool(images.overlays(path)) or path in images.live


def _is_mixed(facts: _Facts) -> bool:
    return not facts.by_libvirt and facts.snapshot.kind is SnapshotKind.MIXED


def _unknown_image(facts: _Facts) -> str:
    """Return a disk of which nobody knows which image the snapshot froze."""
    if facts.by_libvirt:
        return ""
    disks = (disk for disk in facts.snapshot.disks if disk.mode == "external")
    return next((disk.target for disk in disks if disk.frozen is None), "")


VM_RULES: tuple[Rule[VmFacts], ...] = (*NOT_BUSY, NOT_SAVED)

RULES: tuple[Rule[_Facts], ...] = (
    Rule(
        RefusalCode.DISK_GONE,
        _missing_disk,  # libvirt 9.0 and 10.0 crash on it (trap 8)
        lambda f: f"The VM has no disk {_missing_disk(f)} any more, which the snapshot holds.",
        "Attach that disk again.",
    ),
    Rule(
        RefusalCode.MIXED,
        _out_of_reach,
        lambda f: (
            f"“{f.snapshot.label}” lies inside an image below the active one, where libvirt does "
            "not reach it."
        ),
        "Delete the external snapshots above it first.",
    ),
    Rule(
        RefusalCode.FIRMWARE,
        lambda f: (
            f.is_internal
            and f.by_libvirt
            and f.vm.capabilities.touches_disks
            and f.vm.run_state.is_active
            and f.vm.hardware.firmware == "uefi"
            and (9, 3, 0) <= f.version < (10, 10, 0)
        ),
        lambda f: f"{f.host} cannot delete an internal snapshot while a UEFI VM is on.",
        "Shut the VM down first.",
    ),
    Rule(
        RefusalCode.MIXED,
        _is_mixed,
        lambda f: f"“{f.snapshot.label}” is partly internal and partly external.",
        "libvirt cannot delete such a snapshot.",
    ),
    Rule(
        RefusalCode.UNREADABLE,
        _unknown_image,
        lambda f: (
            f"The record of “{f.snapshot.label}” does not say which image of {_unknown_image(f)} "
            "it froze."
        ),
        "Look at it with: virsh snapshot-dumpxml.",
    ),
)


def plan_delete(vm: Vm, operation: DeleteSnapshot) -> Plan | Refusal:
    """Plan a delete of one or many; the plan's operation lists all of them in order."""
    for name in operation.snapshots:
        snapshot = vm.tree.get(name)
        if snapshot is None:
            return not_found(vm, name)
        if snapshot.problem is not None:
            return unreadable(snapshot.label, snapshot.problem)
    names = _children_first(vm.tree, operation)
    if not names:
        return Refusal(RefusalCode.NOTHING_TO_DO, "No snapshot was named.", "Choose a snapshot.")
    if (refusal := first_refusal(VM_RULES, VmFacts(vm))) is not None:
        return refusal
    deletion = _Deletion.of(vm, operation, names)
    refusal = deletion.decide(names) or no_room(vm, deletion.figures)
    return refusal or deletion.plan()


def _children_first(tree: SnapshotTree, operation: DeleteSnapshot) -> list[str]:
    """Return what is to go, children before their parents."""
    wanted = set(operation.snapshots)
    if operation.subtree:
        for name in operation.snapshots:
            wanted.update(tree.subtree(name))
    if len(wanted) == 1:
        return list(wanted)
    depth = dict.fromkeys(tree.roots, 0)
    for root in tree.roots:
        for name in tree.subtree(root):
            depth.update((child, depth[name] + 1) for child in tree.children(name))
    place = {snapshot.name: number for number, snapshot in enumerate(tree)}
    return sorted(wanted, key=lambda name: (-depth[name], place[name]))


@dataclass(slots=True)
class _Deletion:
    """A delete while it is planned: what was decided so far, and what the disks look like then."""

    vm: Vm
    operation: DeleteSnapshot
    images: Images
    figures: Figures
    doomed: frozenset[str]
    memory_files: MemoryFiles
    order: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(cls, vm: Vm, operation: DeleteSnapshot, names: list[str]) -> "_Deletion":
        """Begin with everything as it is now."""
        figures, memory_files = Figures(vm.storage), MemoryFiles(vm.tree)
        return cls(vm, operation, Images(vm), figures, frozenset(names), memory_files)

    def decide(self, names: list[str]) -> Refusal | None:
        """Decide on all of them.

        Discards come first, leaf by leaf, so that nothing is copied that is not kept. Merges go
        from the root upwards: so each image is copied once, while from the leaves downwards what
        was merged already would be copied again with every step.
        """
        waiting = names
        while waiting:
            left = [name for name in waiting if not self._delete(name, merges=False)]
            left = [name for name in reversed(left) if not self._delete(name, merges=True)]
            if len(left) == len(waiting):
                facts = self._facts(waiting[0])
                return self._refusal(facts, self._works(facts))
            waiting = left[::-1]
        return None

    def plan(self) -> Plan:
        """Return the plan of what was decided."""
        removed = [self.vm.tree[name] for name in self.order]
        return Plan(
            operation=replace(self.operation, snapshots=tuple(self.order), subtree=False),
            steps=tuple(self.steps),
            moves=tuple(self.moves),
            kept=kept_states(self.vm, self.doomed),
            lost=lost_points(removed),
            warnings=(*self.warnings, *little_room(self.vm, self.figures)),
            bytes_to_copy=self.figures.copied_bytes,
            extra_bytes_needed=self.figures.extra_bytes,
            freed_bytes=self.figures.freed_bytes,
            estimated_seconds=self.figures.seconds,
        )

    def _facts(self, name: str) -> _Facts:
        return _Facts.of(self.vm, name, self.images, self.doomed)

    def _works(self, facts: _Facts) -> list[tuple[str, Work]]:
        if facts.by_libvirt:
            return []
        return list(works_of(self.images, facts.snapshot, self.operation.merge_by))

    def _refusal(self, facts: _Facts, works: list[tuple[str, Work]]) -> Refusal | None:
        refusal = first_refusal(RULES, facts)
        for _, work in works if refusal is None else ():
            what = f"“{facts.snapshot.label}”"
            refusal = first_refusal(WORK_RULES, WorkFacts(self.vm, self.images, work, what))
            if refusal is not None:
                break
        return refusal

    def _delete(self, name: str, *, merges: bool) -> bool:
        """Decide on one if it is possible now; with ``merges`` False only if nothing is copied."""
        facts = self._facts(name)
        works = self._works(facts)
        if not merges and any(work.jobs for _, work in works):
            return False
        if self._refusal(facts, works) is not None:
            return False
        self.order.append(name)
        if facts.by_libvirt:
            self._leave_to_libvirt(facts.snapshot)
        else:
            self._take_apart(facts.snapshot, works)
        return True

    def _leave_to_libvirt(self, snapshot: Snapshot) -> None:
        what = f"The state “{snapshot.label}” is removed from inside the image; later states stay."
        targets = [disk.target for disk in snapshot.disks if disk.mode == "internal"]
        step = Step(Act.DISCARD, what, ", ".join(targets) or None, (), snapshot.name)
        self.steps.append(step)
        self.moves.append(DeleteByLibvirt(snapshot.name))
        self.images.forget(snapshot)
        self.figures.free_inside()

    def _take_apart(self, snapshot: Snapshot, works: list[tuple[str, Work]]) -> None:
        """Do the jobs disk by disk, then drop the record, then remove what nobody needs."""
        carrier = Carrier(
            self.vm, self.images, self.figures, self.operation.bandwidth_bytes_per_second
        )
        steps: list[Step] = []
        for target, work in works:
            steps += steps_of(self.images, self.vm.tree, snapshot, target, work)
            for job in work.jobs:
                self.warnings |= dict.fromkeys(warnings_of(self.vm, self.images, job))
                self.moves += carrier.moves(job)
                self.moves += carrier.removals(job.images) if isinstance(job, Commit) else ()
        self.images.forget(snapshot)
        self.moves.append(ForgetSnapshot(snapshot.name))
        for _, work in works:
            self.moves += carrier.removals(work.gone)
        self.steps += self._with_memory(snapshot, steps)

    def _with_memory(self, snapshot: Snapshot, steps: list[Step]) -> list[Step]:
        """Remove the memory file as well, and say so; return the steps."""
        path, name = self.memory_files.release(snapshot), snapshot.name
        if path is not None:
            self.moves.append(RemoveFile(path))
            self.figures.remove(path)
            if steps and steps[-1].act is Act.MERGE:
                what = steps[-1].what.removesuffix(".")
                return [*steps[:-1], replace(steps[-1], what=f"{what}; its memory file goes.")]
            what = f"The memory of “{snapshot.label}” is removed."
            return [*steps, Step(Act.DISCARD, what, None, (path,), name)]
        if steps:
            return steps
        what = f"The record of “{snapshot.label}” goes; it has no files."
        return [Step(Act.DISCARD, what, None, (), name)]
