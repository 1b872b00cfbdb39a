"""Planning a revert: what forbids it, what is kept, what is lost."""

from dataclasses import dataclass, replace

from snapview.core.operations import Afterwards, CreateSnapshot, RevertSnapshot, plain_title
from snapview.core.planning.create import plan_create
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
from snapview.core.vm import Snapshot, SnapshotDisk, SnapshotKind, SnapshotState, Vm


@dataclass(frozen=True, slots=True)
class _Facts(VmFacts):
    """What the rows of the table look at."""

    operation: RevertSnapshot
    snapshot: Snapshot

    @property
    def is_external(self) -> bool:
        return self.snapshot.kind is SnapshotKind.EXTERNAL


def _other_image(facts: _Facts) -> str:
    """Return the disk whose active image is not the one that holds the internal snapshot."""
    if facts.is_external:
        return ""
    active = {disk.target: disk.active for disk in facts.vm.disks}
    for disk in facts.snapshot.disks:
        now = active.get(disk.target)
        if disk.mode == "internal" and disk.frozen and now and disk.frozen.path != now.path:
            return disk.target
    return ""


def _missing_disk(facts: _Facts) -> str:
    """Return a disk of the internal snapshot that the VM does not have any more."""
    targets = {disk.target for disk in facts.vm.disks}
    kept = (disk.target for disk in facts.snapshot.disks if disk.mode == "internal")
    return next((target for target in kept if target not in targets), "")


def _discards_needed(facts: _Facts) -> bool:
    """Whether the native revert would unlink images that something still refers to.

    libvirt (from 9.9) unlinks the overlays of the current snapshot. They must be exactly the
    active images, and nothing else may be based on them. A safety snapshot, which then is the
    current one, makes new ones.
    """
    vm = facts.vm
    current = vm.tree.get(vm.tree.current) if vm.tree.current else None
    if not facts.is_external or facts.operation.safety_snapshot or current is None:
        return False
    doomed = {
        disk.target: disk.overlay.path
        for disk in (current.revert_overlays or current.disks)
        if disk.overlay
    }
    active = {disk.target: disk.layers[0].path for disk in vm.state_disks}
    referred = {disk.frozen.path for s in vm.tree for disk in s.disks if disk.frozen}
    return doomed != active or bool(referred & set(doomed.values()))


RULES: tuple[Rule[_Facts], ...] = (
    NO_BLOCK_JOB,
    Rule(
        RefusalCode.MANAGED_SAVE,
        lambda f: f.vm.has_managed_save and not f.vm.run_state.is_active,
        lambda f: f"“{f.vm.name}” is saved to disk, and a revert would throw that state away.",
        "Start the VM first, so that its saved state lives on.",
    ),
    Rule(
        RefusalCode.MIXED,
        lambda f: f.snapshot.kind is SnapshotKind.MIXED,
        lambda f: f"“{f.snapshot.label}” is partly internal and partly external.",
        "libvirt cannot revert to such a snapshot.",
    ),
    Rule(
        RefusalCode.MIXED,
        _other_image,
        lambda f: (
            f"“{f.snapshot.label}” lies inside an image below the one that {_other_image(f)} uses "
            "now; reverting would silently spoil the external snapshots above it."
        ),
        "Delete the external snapshots above it first.",
    ),
    Rule(
        RefusalCode.DISK_GONE,
        lambda f: not f.is_external and _missing_disk(f),
        lambda f: f"The VM has no disk {_missing_disk(f)} any more, which the snapshot holds.",
        "Attach that disk again.",
    ),
    Rule(
        RefusalCode.FIRMWARE,
        lambda f: (
            not f.is_external
            and f.snapshot.has_memory
            and f.vm.hardware.firmware == "uefi"
            and f.version < (10, 10, 0)
        ),
        lambda f: f"{f.host} cannot revert a VM that starts by UEFI to an internal snapshot.",
        "libvirt 10.10 and newer can.",
    ),
    Rule(
        RefusalCode.HOST_TOO_OLD,
        lambda f: not f.is_external and f.version[:2] == (11, 2),  # trap 9
        lambda f: f"{f.host} has a fault: its reverts to internal snapshots fail.",
        "Update libvirt to 11.4 or newer.",
    ),
    Rule(
        RefusalCode.HOST_TOO_OLD,
        lambda f: (
            f.is_external
            and f.vm.capabilities.touches_disks
            and not f.vm.capabilities.reverts_external
        ),
        lambda f: f"{f.host} cannot revert to an external snapshot; 9.9 and newer can.",
        "Nothing is lost: the snapshot stays. Update libvirt to go back to it.",
    ),
    Rule(
        RefusalCode.HOST_TOO_OLD,
        lambda f: (
            f.is_external
            and f.snapshot.state is SnapshotState.DISK_ONLY
            and f.version[:2] == (10, 0)  # trap 12
        ),
        lambda f: f"{f.host} cannot revert to a disk-only snapshot of a running VM.",
        "Update libvirt to 10.10 or newer.",
    ),
    Rule(
        RefusalCode.CHAIN_MISMATCH,
        lambda f: f.is_external and f.vm.tree.current is None,  # trap 7
        lambda _: "libvirt has no record of which snapshot the VM stands on.",
        "Take a snapshot first; then there is one.",
    ),
    Rule(
        RefusalCode.DEVICE,
        lambda f: f.is_external and any(d.active and d.active.type != "file" for d in f.vm.disks),
        lambda _: "libvirt cannot revert while a drive of the VM is not an image file.",
        "Take the medium out of that drive first.",
    ),
    Rule(
        RefusalCode.CHAIN_MISMATCH,
        _discards_needed,
        lambda _: "libvirt would delete an image that another snapshot still needs.",
        "Revert with a safety snapshot: then nothing that is needed is deleted.",
    ),
)


def plan_revert(vm: Vm, operation: RevertSnapshot) -> Plan | Refusal:
    """Plan a revert; with a safety snapshot, its plan is part of this one."""
    snapshot = vm.tree.get(operation.snapshot)
    if snapshot is None:
        return not_found(vm, operation.snapshot)
    if snapshot.problem is not None:
        return unreadable(snapshot.label, snapshot.problem)
    if operation.safety_snapshot:
        title = plain_title(operation.safety_title) or _safety_title(vm, snapshot)
        operation = replace(operation, safety_title=title)
    facts = _Facts(vm, operation, snapshot)
    if (refusal := first_refusal(RULES, facts)) is not None:
        return refusal
    safety = plan_create(vm, safety_of(vm, operation)) if operation.safety_snapshot else None
    if isinstance(safety, Refusal):
        reason = f"The state of now cannot be kept: {safety.reason}"
        advice = "Revert without the safety snapshot if the state of now may be lost."
        return Refusal(safety.code, reason, advice)
    return Plan(
        operation=operation,
        steps=((*safety.steps,) if safety else ()) + _steps(facts),
        kept=_kept(facts),
        lost=_lost(facts),
        warnings=_warnings(facts),
        undo=f"Revert to “{operation.safety_title}”." if safety else "",
        new_name=safety.new_name if safety else None,
    )


def safety_of(vm: Vm, operation: RevertSnapshot) -> CreateSnapshot:
    """Return the snapshot that keeps the state of now before the revert."""
    target = vm.tree[operation.snapshot]
    return CreateSnapshot(
        vm.uuid,
        title=operation.safety_title,
        description=f"The state of the VM before it was reverted to “{target.label}”.",
        kind=target.kind,
        memory=vm.run_state.is_active
        and (target.kind is SnapshotKind.INTERNAL or not vm.hardware.blockers),
    )


def _safety_title(vm: Vm, snapshot: Snapshot) -> str:
    taken = {text for s in vm.tree for text in (s.name, s.title)}
    wanted = title = plain_title(f"before revert to ‘{snapshot.label}’")
    number = 1
    while title in taken:
        number += 1
        title = f"{wanted} {number}"
    return title


def ends(snapshot: Snapshot, afterwards: Afterwards) -> Afterwards:
    """Return what the VM does after the revert: running, paused or off."""
    if afterwards is not Afterwards.AS_IT_WAS:
        return afterwards
    return {
        SnapshotState.RUNNING: Afterwards.RUNNING,
        SnapshotState.PAUSED: Afterwards.PAUSED,
    }.get(snapshot.state, Afterwards.OFF)


def _steps(facts: _Facts) -> tuple[Step, ...]:
    label, name = facts.snapshot.label, facts.snapshot.name
    with_memory = (
        "disks, memory and settings" if facts.snapshot.has_memory else "disks and settings"
    )
    files = tuple(disk.overlay.path for disk in _removed_overlays(facts) if disk.overlay)
    steps = [Step(Act.REVERT, f"The VM's {with_memory} go back to “{label}”.", None, files, name)]
    match ends(facts.snapshot, facts.operation.afterwards):
        case Afterwards.RUNNING:
            text = "The programs go on where they were."
            if not facts.snapshot.has_memory:
                text = "The VM starts from its disk, as after a power cut."
            steps.append(Step(Act.START, text))
        case Afterwards.PAUSED:
            steps.append(Step(Act.PAUSE, "The VM is paused."))
        case _:
            steps.append(Step(Act.STOP, "The VM is off."))
    return tuple(steps)


def _removed_overlays(facts: _Facts) -> tuple[SnapshotDisk, ...]:
    """Return what the native external revert unlinks when no safety snapshot is taken."""
    vm = facts.vm
    if not facts.is_external or facts.operation.safety_snapshot or vm.tree.current is None:
        return ()
    current = vm.tree[vm.tree.current]
    return current.revert_overlays or current.disks


def _kept(facts: _Facts) -> tuple[str, ...]:
    count = len(facts.vm.tree)
    kept = ["The snapshot and everything in it" if count == 1 else f"All {count} snapshots"]
    if facts.operation.safety_snapshot:
        kept.append(f"The disks as they are now, in “{facts.operation.safety_title}”")
        if facts.vm.run_state.is_active:
            kept.append("Memory and running programs of now, in the same snapshot")
    return tuple(kept)


def _lost(facts: _Facts) -> tuple[str, ...]:
    if facts.operation.safety_snapshot:
        return ()
    current = facts.vm.tree.get(facts.vm.tree.current) if facts.vm.tree.current else None
    since = f" since “{current.label}”" if current else ""
    lost = [f"Everything written to the disks{since}"]
    if facts.vm.run_state.is_active:
        lost.append("What is in memory now: programs are stopped without a shutdown")
    lost.append(f"Changes of the VM's settings{since}")
    return tuple(lost)


def _warnings(facts: _Facts) -> tuple[str, ...]:
    found = []
    kept = {disk.target for disk in facts.snapshot.disks if disk.mode in {"internal", "external"}}
    others = [d.target for d in facts.vm.state_disks if kept and d.target not in kept]
    if others:
        found.append(f"Not part of the snapshot, so it stays as it is: {', '.join(others)}.")
    if facts.vm.hardware.firmware == "uefi" and not facts.snapshot.has_memory:
        found.append("The firmware's variables (NVRAM) stay as they are now.")
    if facts.vm.run_state.is_active:
        found.append("Consoles and viewers of the VM are disconnected.")
    return tuple(found)
