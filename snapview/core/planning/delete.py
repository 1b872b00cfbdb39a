"""Planning a delete: in which order, which files are merged, which states are discarded.

*Merge*: the later state is kept and two files are joined. *Discard*: a state is lost. The whole
order is worked out on a picture of the tree that changes as each step would change it.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from snapview.core.operations import DeleteSnapshot
from snapview.core.planning.edit import not_found, unreadable
from snapview.core.planning.plans import (
    NO_BLOCK_JOB,
    Act,
    Plan,
    Refusal,
    RefusalCode,
    Rule,
    Step,
    VmFacts,
    first_refusal,
)
from snapview.core.vm import Snapshot, SnapshotKind, SnapshotTree, Vm


@dataclass(slots=True)
class _Picture:
    """The tree and the chains as they will be after the steps planned so far."""

    tree: SnapshotTree
    parents: dict[str, str | None]
    children: dict[str, list[str]]
    current: str | None
    live: set[str]
    chains: dict[str, list[str]]  # disk target -> paths, the active image first
    defined: dict[str, int]  # disk target -> how many of them the VM's definition names
    overlays: dict[str, set[str]] = field(default_factory=dict)  # image -> what lies on it

    @classmethod
    def of(cls, vm: Vm) -> "_Picture":
        """Take the picture of now."""
        tree = vm.tree
        picture = cls(
            tree,
            {s.name: tree.parent(s.name) for s in tree},
            {s.name: list(tree.children(s.name)) for s in tree},
            tree.current,
            set(tree.live_path()),
            {disk.target: [layer.path for layer in disk.layers] for disk in vm.disks},
            {disk.target: disk.defined for disk in vm.disks},
        )
        named = {layer.path for disk in vm.disks for layer in disk.layers}
        named |= {disk.frozen.path for s in tree for disk in s.disks if disk.frozen}
        for snapshot in tree:
            for base, top in _pairs(snapshot):
                # libvirt removes the end of a branch when it reverts away, and goes on naming it.
                if top in named or not vm.capabilities.reverts_external:
                    picture.overlays.setdefault(base, set()).add(top)
        for disk in vm.disks:
            for upper, lower in itertools.pairwise(disk.layers):
                picture.overlays.setdefault(lower.path, set()).add(upper.path)
        return picture

    def remove(self, name: str) -> None:
        """Take a snapshot away: its children go to its parent."""
        parent = self.parents.pop(name)
        for child in self.children.pop(name):
            self.parents[child] = parent
            if parent is not None:
                self.children[parent].append(child)
        if parent is not None:
            self.children[parent].remove(name)
        if self.current == name:
            self.current = parent
        self.live.discard(name)


def _pairs(snapshot: Snapshot) -> Iterable[tuple[str, str]]:
    """Yield each image that the snapshot froze with each overlay made on it."""
    frozen = {disk.target: disk.frozen for disk in snapshot.disks}
    for disk in (*snapshot.disks, *snapshot.revert_overlays):
        base = frozen.get(disk.target)
        if base is not None and disk.overlay is not None:
            yield base.path, disk.overlay.path


@dataclass(frozen=True, slots=True)
class _Facts(VmFacts):
    """What the rows of the table look at: one snapshot, at its turn."""

    snapshot: Snapshot
    picture: _Picture

    @property
    def has_files(self) -> bool:
        """Whether libvirt has to deal with files of this snapshot's own."""
        return (
            self.snapshot.kind is not SnapshotKind.INTERNAL and self.vm.capabilities.touches_disks
        )

    @property
    def children(self) -> list[Snapshot]:
        return [self.picture.tree[name] for name in self.picture.children[self.snapshot.name]]

    @property
    def parent(self) -> Snapshot | None:
        name = self.picture.parents[self.snapshot.name]
        return self.picture.tree[name] if name is not None else None

    @property
    def is_current(self) -> bool:
        return self.picture.current == self.snapshot.name

    @property
    def is_live(self) -> bool:
        """Whether the live state stands on it."""
        return self.snapshot.name in self.picture.live

    @property
    def frozen(self) -> dict[str, str]:
        """Disk target -> the image that the external snapshot froze."""
        disks = self.snapshot.disks
        return {d.target: d.frozen.path for d in disks if d.mode == "external" and d.frozen}


def _other_image(facts: _Facts) -> bool:
    """Whether an internal snapshot lies in another image than the active one."""
    return any(
        disk.mode == "internal"
        and disk.frozen
        and (chain := facts.picture.chains.get(disk.target))
        and chain[0] != disk.frozen.path
        for disk in facts.snapshot.disks
    )


def _missing_disk(facts: _Facts) -> str:
    targets = set(facts.picture.chains)
    kept = (d.target for d in facts.snapshot.disks if d.mode in {"internal", "external"})
    return next((target for target in kept if target not in targets), "")


def _unknown_chain(facts: _Facts) -> bool:
    """Whether libvirt could not find the frozen image in the definition of the VM that is off.

    It finds the one right below the active image all the same, so the newest always goes.
    """
    picture = facts.picture
    return any(
        path not in picture.chains.get(target, ())[: max(2, picture.defined.get(target, 0))]
        for target, path in facts.frozen.items()
    )


def _shared_base(facts: _Facts) -> bool:
    """Whether another branch lies on an image that would be written to, or unlinked."""
    limit = 1 if facts.is_live else 0
    own = {disk.overlay.path for disk in facts.snapshot.disks if disk.overlay}
    return any(
        len(facts.picture.overlays.get(path, set()) - (set() if facts.is_live else own)) > limit
        for path in facts.frozen.values()
    )


def _leaf_of_external(facts: _Facts) -> bool:
    return facts.parent is not None and facts.parent.kind is SnapshotKind.EXTERNAL


RULES: tuple[Rule[_Facts], ...] = (
    NO_BLOCK_JOB,
    Rule(
        RefusalCode.MANAGED_SAVE,
        lambda f: f.vm.has_managed_save and not f.vm.run_state.is_active,
        lambda f: f"“{f.vm.name}” is saved to disk; its saved state would no longer fit its disks.",
        "Start the VM first.",
    ),
    Rule(
        RefusalCode.DISK_GONE,
        _missing_disk,  # libvirt 9.0 and 10.0 crash on it (trap 8)
        lambda f: f"The VM has no disk {_missing_disk(f)} any more, which the snapshot holds.",
        "Attach that disk again.",
    ),
    Rule(
        RefusalCode.MIXED,
        lambda f: not f.has_files and _other_image(f),
        lambda f: (
            f"“{f.snapshot.label}” lies inside an image below the active one, where libvirt does "
            "not reach it."
        ),
        "Delete the external snapshots above it first.",
    ),
    Rule(
        RefusalCode.FIRMWARE,
        lambda f: (
            not f.has_files
            and f.vm.run_state.is_active
            and f.vm.hardware.firmware == "uefi"
            and (9, 3, 0) <= f.version < (10, 10, 0)
        ),
        lambda f: f"{f.host} cannot delete an internal snapshot while a UEFI VM is on.",
        "Shut the VM down first.",
    ),
    Rule(
        RefusalCode.HOST_TOO_OLD,
        lambda f: f.has_files and f.version < (9, 0, 0),
        lambda f: f"{f.host} cannot delete external snapshots; 9.0 and newer can.",
        "Nothing is lost: the snapshot stays.",
    ),
    Rule(
        RefusalCode.MIXED,
        lambda f: f.has_files and f.snapshot.kind is SnapshotKind.MIXED,
        lambda f: f"“{f.snapshot.label}” is partly internal and partly external.",
        "libvirt cannot delete such a snapshot.",
    ),
    Rule(
        RefusalCode.MIXED,  # trap 1: libvirt 9.9 to 10.10 delete the base image here
        lambda f: f.has_files and f.parent and f.parent.kind is not SnapshotKind.EXTERNAL,
        lambda f: (
            f"“{f.snapshot.label}” is external and stands on the internal “{f.parent.label}”; "
            "libvirt refuses this, or loses the base image."
            if f.parent
            else ""
        ),
        "Keep it: mixed trees can only be cleared by hand.",
    ),
    Rule(
        RefusalCode.MIXED,  # trap 3: a merge drops the internal snapshots in the merged layer
        lambda f: f.has_files and any(c.kind is not SnapshotKind.EXTERNAL for c in f.children),
        lambda f: f"Merging “{f.snapshot.label}” would destroy the internal snapshots above it.",
        "Delete the internal snapshots first.",
    ),
    Rule(
        RefusalCode.HAS_CHILDREN,
        lambda f: f.has_files and (len(f.children) > 1 or (f.is_current and f.children)),
        lambda f: f"More than one branch stands on “{f.snapshot.label}”.",
        "Delete the other branches first.",
    ),
    Rule(
        RefusalCode.OTHER_BRANCH,
        lambda f: f.has_files and not f.is_live and f.version < (9, 9, 0),
        lambda f: f"{f.host} cannot delete external snapshots of a branch the VM does not use.",
        "Nothing is lost: the snapshot stays.",
    ),
    Rule(
        RefusalCode.OTHER_BRANCH,
        lambda f: f.has_files and not f.is_live and (f.children or not _leaf_of_external(f)),
        lambda f: f"“{f.snapshot.label}” is not the end of its branch, which the VM does not use.",
        "Delete what stands on it first, or revert to that branch.",
    ),
    Rule(
        RefusalCode.CHAIN_MISMATCH,
        lambda f: f.has_files and _shared_base(f),
        lambda f: f"Another branch needs the image that “{f.snapshot.label}” froze.",
        "Delete the other branch first.",
    ),
    Rule(
        RefusalCode.NOT_RUNNING,
        lambda f: (
            f.has_files
            and f.is_live
            and not f.vm.run_state.is_active
            and f.version < (9, 9, 0)
            and _unknown_chain(f)
        ),
        lambda f: (
            f"{f.host} cannot merge “{f.snapshot.label}” while the VM is off: its record of the "
            "disk ends above it."
        ),
        "Start the VM, paused if you like, and try again.",
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
    names = _ordered(vm.tree, operation)
    if not names:
        return Refusal(RefusalCode.NOTHING_TO_DO, "No snapshot was named.", "Choose a snapshot.")
    picture = _Picture.of(vm)
    steps: list[Step] = []
    for name in names:
        facts = _Facts(vm, vm.tree[name], picture)
        if (refusal := first_refusal(RULES, facts)) is not None:
            return refusal
        steps.extend(_steps(facts))
        _carry_out(facts)
    removed = [vm.tree[name] for name in names]
    return Plan(
        operation=replace(operation, snapshots=names, subtree=False),
        steps=tuple(steps),
        kept=_kept(vm, names),
        lost=_lost(removed),
        warnings=_warnings(vm, removed),
    )


def _ordered(tree: SnapshotTree, operation: DeleteSnapshot) -> tuple[str, ...]:
    """Return what is to go, children before their parents."""
    wanted = set(operation.snapshots)
    if operation.subtree:
        for name in operation.snapshots:
            wanted.update(tree.subtree(name))
    depth = dict.fromkeys(tree.roots, 0)
    for root in tree.roots:
        for name in tree.subtree(root):
            depth.update((child, depth[name] + 1) for child in tree.children(name))
    place = {snapshot.name: number for number, snapshot in enumerate(tree)}
    return tuple(sorted(wanted, key=lambda name: (-depth[name], place[name])))


def _steps(facts: _Facts) -> list[Step]:
    """Say what deleting this one does: to its files, or inside its image."""
    label, name = facts.snapshot.label, facts.snapshot.name
    if not facts.has_files:
        what = f"The state “{label}” is removed from inside the image; later states stay."
        targets = [disk.target for disk in facts.snapshot.disks if disk.mode == "internal"]
        return [Step(Act.DISCARD, what, ", ".join(targets) or None, (), name)]
    overlays = {d.target: d.overlay.path for d in facts.snapshot.disks if d.overlay}
    steps = []
    for target, frozen in facts.frozen.items():
        if not facts.is_live:
            what = f"The image of “{label}” is removed; nothing else needs it."
            steps.append(Step(Act.DISCARD, what, target, (frozen,), name))
            continue
        chain = facts.picture.chains[target]
        at = chain.index(frozen) if frozen in chain else 0
        top = chain[at - 1] if at else overlays.get(target, "")
        what = f"What was written to {target} after “{label}” is merged into the image below."
        steps.append(Step(Act.MERGE, what, target, (top, frozen), name))
    return steps


def _carry_out(facts: _Facts) -> None:
    """Change the picture as the step will change the disks and the tree."""
    picture = facts.picture
    if facts.has_files and facts.is_live:
        for target, frozen in facts.frozen.items():
            chain = picture.chains.get(target, [])
            if frozen in chain and chain.index(frozen) > 0:
                top = chain.pop(chain.index(frozen) - 1)
                picture.overlays[frozen] = picture.overlays.pop(top, set())
    elif facts.has_files:
        for path in facts.frozen.values():
            for tops in picture.overlays.values():
                tops.discard(path)
    picture.remove(facts.snapshot.name)


def _kept(vm: Vm, names: tuple[str, ...]) -> tuple[str, ...]:
    gone = set(names)
    stay = [snapshot for snapshot in vm.tree if snapshot.name not in gone]
    kept = ["The VM as it is now"]
    if len(stay) == 1:
        kept.append(f"“{stay[0].label}”")
    elif stay:
        kept.append(f"{len(stay)} other snapshots")
    return tuple(kept)


def _lost(removed: list[Snapshot]) -> tuple[str, ...]:
    lost = [f"The point “{s.label}”: no more revert to it" for s in removed[:5]]
    if len(removed) > 5:
        lost.append(f"and {len(removed) - 5} more")
    return tuple(lost)


def _warnings(vm: Vm, removed: list[Snapshot]) -> tuple[str, ...]:
    found = []
    memory = [s.memory_path for s in removed if s.memory_path]
    if memory and vm.capabilities.libvirt_version < (9, 9, 0):  # trap 19
        text = vm.capabilities.libvirt_text
        found.append(f"{text} leaves the memory file behind: {', '.join(memory)}")
    has_files = any(s.kind is not SnapshotKind.INTERNAL for s in removed)
    if has_files and vm.capabilities.touches_disks and not vm.run_state.is_active:
        found.append("The VM is started paused for the merge, and stopped again.")
    return tuple(found)
