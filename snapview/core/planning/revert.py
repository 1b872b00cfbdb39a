"""Planning a revert: what forbids it, what is kept, what is lost."""

from dataclasses import dataclass, replace
from datetime import timedelta

from snapview.core.moves import TakeSnapshot
from snapview.core.operations import Afterwards, CreateSnapshot, RevertSnapshot, plain_title
from snapview.core.planning.create import loses_nvram, plan_create
from snapview.core.planning.edit import not_found, unreadable
from snapview.core.planning.plans import (
    NO_BACKUP,
    NO_BLOCK_JOB,
    NO_INTERRUPTION,
    Act,
    Plan,
    Refusal,
    RefusalCode,
    Rule,
    Step,
    first_refusal,
)
from snapview.core.planning.revert_facts import RevertFacts
from snapview.core.planning.revert_way import OWN_RULES, moves_of, obstacle
from snapview.core.planning.taken import after_taking
from snapview.core.vm import Snapshot, SnapshotDisk, SnapshotKind, Vm

_MEMORY_LOST = "What is in memory now: programs are stopped without a shutdown"


def _needed_image(facts: RevertFacts) -> str:
    """Return a disk whose internal state lies in an image on which something else stands.

    libvirt puts every disk on the image of then, also those that the snapshot left out.
    """
    if facts.is_external:
        return ""
    disks = (disk for disk in facts.snapshot.disks if disk.frozen)
    return next((disk.target for disk in disks if _is_stood_on(facts, disk)), "")


def _is_stood_on(facts: RevertFacts, disk: SnapshotDisk) -> bool:
    """Whether another state is a disk's image, or lies on it, or may do so for all we know."""
    vm, images, path = facts.vm, facts.images, disk.frozen.path if disk.frozen else ""
    if images.tips(path) or any(images.is_needed(upper) for upper in images.overlays(path)):
        return True
    if vm.storage is not None and not vm.storage.is_unread(path):
        return False
    # Without headers: what came after a state inside it, and is another image, came out of it.
    inside = {name for name, _ in images.inside(path)}
    elsewhere = (
        snapshot.name
        for snapshot in vm.tree
        for each in snapshot.disks
        if each.target == disk.target and each.frozen and each.frozen.path != path
    )
    return any(inside.intersection(vm.tree.ancestors(name)) for name in elsewhere)


def _missing_disk(facts: RevertFacts) -> str:
    """Return a disk of the internal snapshot that the VM does not have any more."""
    targets = {disk.target for disk in facts.vm.disks}
    return next((d.target for d in facts.states if d.target not in targets), "")


def _fault(facts: RevertFacts) -> str:
    """Say what is wrong with an image that holds the state; empty: nothing that is known."""
    storage = facts.vm.storage
    if storage is None:
        return ""
    found = (storage.fault(d.frozen.path) for d in facts.states if d.frozen)
    return next(filter(None, found), "")


def _strays(facts: RevertFacts) -> list[str]:
    """Return what lies on an image that an internal revert changes, though nobody needs it."""
    paths = [d.frozen.path for d in facts.states if d.frozen and not facts.is_external]
    return [overlay for path in paths for overlay in facts.images.overlays(path)]


def _users(facts: RevertFacts) -> str:
    """Return the other VMs that need an image which an internal revert would change."""
    paths = (d.frozen.path for d in facts.states if d.frozen and not facts.is_external)
    return ", ".join(f"“{name}”" for path in paths for name in facts.images.users(path))


RULES: tuple[Rule[RevertFacts], ...] = (
    NO_INTERRUPTION,
    NO_BLOCK_JOB,
    NO_BACKUP,
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
        RefusalCode.MIXED,  # trap 2
        _needed_image,
        lambda f: (
            f"“{f.snapshot.label}” lies inside an image of {_needed_image(f)} on which external "
            "snapshots stand; reverting would silently spoil them."
        ),
        "Delete the external snapshots above it first.",
    ),
    Rule(
        RefusalCode.DISK_GONE,  # trap 8
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
        RefusalCode.TRANSIENT,
        lambda f: not f.vm.is_persistent and f.ends is Afterwards.OFF,
        lambda f: f"“{f.vm.name}” is transient: it would vanish when it is off after the revert.",
        "Have it running or paused afterwards, or define it first.",
    ),
    Rule(
        RefusalCode.BROKEN_CHAIN,
        _fault,
        lambda f: f"The state of “{f.snapshot.label}” is broken: {_fault(f)}.",
        "Put the missing file back, or write the right path into the header: qemu-img rebase -u.",
    ),
    Rule(
        RefusalCode.SHARED_IMAGE,
        _users,
        lambda f: f"“{f.snapshot.label}” lies inside an image that {_users(f)} needs as it is now.",
        "Give the other VM an image of its own first.",
    ),
)


@dataclass(frozen=True, slots=True)
class Decision:
    """A revert that is allowed, with its safety snapshot: ``facts`` are those right after that.

    ``why_own`` says why snapview does it itself; empty: libvirt does it.
    """

    vm: Vm
    operation: RevertSnapshot
    facts: RevertFacts
    safety: Plan | None
    why_own: str


def plan_revert(vm: Vm, operation: RevertSnapshot) -> Plan | Refusal:
    """Plan a revert; with a safety snapshot, its plan is part of this one."""
    decided = decide(vm, operation)
    return decided if isinstance(decided, Refusal) else _plan(decided)


def decide(vm: Vm, operation: RevertSnapshot) -> Decision | Refusal:
    """Say whether a revert is allowed, and who does it."""
    snapshot = vm.tree.get(operation.snapshot)
    if snapshot is None:
        return not_found(vm, operation.snapshot)
    if snapshot.problem is not None:
        return unreadable(snapshot.label, snapshot.problem)
    if operation.safety_snapshot:
        title = plain_title(operation.safety_title) or _safety_title(vm, snapshot)
        operation = replace(operation, safety_title=title)
    facts = RevertFacts.of(vm, operation, snapshot)
    if (refusal := first_refusal(RULES, facts)) is not None:
        return refusal
    safety = plan_create(vm, safety_of(vm, operation)) if operation.safety_snapshot else None
    if isinstance(safety, Plan):
        facts = _facts_after(vm, safety, operation)
    why_own = obstacle(facts)
    if why_own and (refusal := first_refusal(OWN_RULES, facts)) is not None:
        return refusal
    if isinstance(safety, Refusal):
        reason = f"The state of now cannot be kept: {safety.reason}"
        advice = "Revert without the safety snapshot if the state of now may be lost."
        return Refusal(safety.code, reason, advice)
    return Decision(vm, operation, facts, safety, why_own)


def _facts_after(vm: Vm, safety: Plan, operation: RevertSnapshot) -> RevertFacts:
    """Return the facts as they will be after the safety snapshot."""
    (take,) = (move for move in safety.moves if isinstance(move, TakeSnapshot))
    then = after_taking(vm, take, memory=safety_of(vm, operation).memory)
    fresh = frozenset(disk.overlay.path for disk in take.disks if disk.overlay)
    return RevertFacts.of(then, operation, then.tree[operation.snapshot], fresh)


def safety_of(vm: Vm, operation: RevertSnapshot) -> CreateSnapshot:
    """Return the snapshot that keeps the state of now before the revert.

    It is of its target's kind; where the kinds are mixed, they are so already.
    """
    target = vm.tree[operation.snapshot]
    return CreateSnapshot(
        vm.uuid,
        title=operation.safety_title,
        description=f"The state of the VM before it was reverted to “{target.label}”.",
        kind=target.kind,
        memory=vm.run_state.is_active
        and (target.kind is SnapshotKind.INTERNAL or not vm.hardware.blockers),
        mix=True,
        keep_days=operation.keep_days,
    )


def _safety_title(vm: Vm, snapshot: Snapshot) -> str:
    taken = {text for s in vm.tree for text in (s.name, s.title)}
    wanted = title = plain_title(f"before revert to ‘{snapshot.label}’")
    number = 1
    while title in taken:
        number += 1
        title = f"{wanted} {number}"
    return title


def _plan(revert: Decision) -> Plan:
    safety, facts = revert.safety, revert.facts
    safety_moves = safety.moves if safety else ()
    return Plan(
        operation=revert.operation,
        steps=((*safety.steps,) if safety else ()) + _steps(revert),
        moves=(*safety_moves, *moves_of(facts, is_own=bool(revert.why_own))),
        kept=_kept(revert),
        lost=_lost(revert),
        warnings=_warnings(revert),
        undo=f"Revert to “{revert.operation.safety_title}”." if safety else "",
        new_name=safety.new_name if safety else None,
        extra_bytes_needed=safety.extra_bytes_needed if safety else None,
        freed_bytes=None if safety else _freed_bytes(facts),
        estimated_seconds=safety.estimated_seconds if safety else None,
    )


def _removed(facts: RevertFacts) -> tuple[str, ...]:
    """Return the files that go, by whomever."""
    return tuple(path for _, path in facts.left.gone) if facts.vm.capabilities.touches_disks else ()


def _freed_bytes(facts: RevertFacts) -> int | None:
    images = facts.vm.storage.images if facts.vm.storage is not None else {}
    sizes = [images[p].allocation_bytes if p in images else None for p in _removed(facts)]
    known = [size for size in sizes if size is not None]
    return sum(known) or None if len(known) == len(sizes) else None


def _steps(revert: Decision) -> tuple[Step, ...]:
    facts = revert.facts
    label, name = facts.snapshot.label, facts.snapshot.name
    with_memory = "disks, memory and settings" if facts.loads_memory else "disks and settings"
    what, steps = f"The VM's {with_memory} go back to “{label}”.", []
    if revert.why_own:
        what += f" snapview does it: {revert.why_own}"
        steps = [
            Step(
                Act.CREATE,
                f"{each.target} gets a new overlay on the image that “{label}” froze.",
                each.target,
                (each.path,),
                name,
            )
            for each in facts.overlays
        ]
    # What goes after a safety snapshot is its own overlay, empty as it was made.
    files = () if revert.safety else _removed(facts)
    steps.append(Step(Act.REVERT, what, None, files, name))
    match facts.ends:
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


def _kept(revert: Decision) -> tuple[str, ...]:
    vm, operation = revert.vm, revert.operation
    count = len(vm.tree)
    kept = ["The snapshot and everything in it" if count == 1 else f"All {count} snapshots"]
    if operation.safety_snapshot:
        until = ""
        if operation.keep_days is not None:
            until = f", at least until {vm.read_at + timedelta(operation.keep_days):%Y-%m-%d}"
        kept.append(f"The disks as they are now, in “{operation.safety_title}”{until}")
        if safety_of(vm, operation).memory:
            kept.append("Memory and running programs of now, in the same snapshot")
    return tuple(kept)


def _lost(revert: Decision) -> tuple[str, ...]:
    if revert.operation.safety_snapshot:
        is_on, kept = revert.vm.run_state.is_active, safety_of(revert.vm, revert.operation)
        return () if kept.memory or not is_on else (_MEMORY_LOST,)
    current = revert.facts.current
    since = f" since “{current.label}”" if current else ""
    lost = [f"Everything written to the disks{since}"]
    if revert.vm.run_state.is_active:
        lost.append(_MEMORY_LOST)
    lost.append(f"Changes of the VM's settings{since}")
    return tuple(lost)


def _warnings(revert: Decision) -> tuple[str, ...]:
    vm, facts = revert.vm, revert.facts
    found = list(revert.safety.warnings) if revert.safety else []
    known = {disk.target for disk in facts.snapshot.disks}
    held = {disk.target for disk in facts.states}
    stay = [d.target for d in vm.state_disks if held and d.target in known - held]
    if stay:
        found.append(f"Not part of the snapshot, so it stays as it is: {', '.join(stay)}.")
    gone = [d.target for d in vm.state_disks if held and d.target not in known]
    if gone:
        found.append(f"Not part of the VM as it was then, so it is detached: {', '.join(gone)}.")
    found.extend(
        f"{path} lies on the image that changes, and will not read the same any more."
        for path in _strays(facts)
    )
    for path in facts.left.staying:
        found.append(f"It is not proven that nothing needs {path}, so that file stays.")
    if loses_nvram(vm, facts.snapshot.kind, memory=facts.loads_memory):
        found.append("The firmware's variables (NVRAM) stay as they are now.")
    if vm.hardware.has_tpm and not facts.loads_memory:
        found.append(
            "What the TPM holds stays as it is now: a guest that encrypts its disk with it may ask "
            "for its recovery key."
        )
    if vm.checkpoints:
        found.append("The next backup has to be a full one: after a revert no checkpoint holds.")
    if vm.run_state.is_active:
        found.append("Consoles and viewers of the VM are disconnected.")
    return tuple(dict.fromkeys(found))
