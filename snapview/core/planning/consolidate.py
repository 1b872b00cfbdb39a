"""Planning a consolidation: which images of the live chains are merged, which have to stay.

Consecutive images are merged in one job, a *run*: all into the lowest, or up into the uppermost.
An image can be merged away when only the one above it lies on it. So a branch, another VM or an
internal snapshot ends a run; what ends it stays, as the uppermost of one run or the lowest of
another. The state of the uppermost image of a run is kept, the states below it are given up.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from snapview.core.moves import ForgetSnapshot, Move, RemoveFile
from snapview.core.operations import Consolidate, MergeBy
from snapview.core.planning.effects import (
    kept_states,
    little_room,
    lost_points,
    no_room,
    warnings_of,
)
from snapview.core.planning.figures import Figures
from snapview.core.planning.images import Images, Place
from snapview.core.planning.merging import (
    NOT_SAVED,
    WORK_RULES,
    Carrier,
    Commit,
    Pull,
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
from snapview.core.planning.removal import MemoryFiles, steps_of, stranded
from snapview.core.vm import Vm


@dataclass(frozen=True, slots=True)
class _Facts(VmFacts):
    """What the rows of the table look at."""

    operation: Consolidate

    @property
    def unknown(self) -> list[str]:
        """The disks that were named and that the VM does not have."""
        there = {disk.target for disk in self.vm.state_disks}
        return [target for target in self.operation.disks if target not in there]


RULES: tuple[Rule[_Facts], ...] = (
    Rule(
        RefusalCode.UNREADABLE,
        lambda f: f.vm.problem,
        lambda f: f"The snapshots of “{f.vm.name}” cannot be read: {f.vm.problem}",
        "Refresh, and look at the VM with virsh if it stays so.",
    ),
    Rule(
        RefusalCode.NO_DISK,
        lambda f: f.unknown,
        lambda f: f"“{f.vm.name}” has no writable disk {', '.join(f.unknown)}.",
        "Name disks as the VM has them, such as vda.",
    ),
    Rule(
        RefusalCode.NOTHING_TO_DO,
        lambda f: not f.vm.capabilities.touches_disks,
        lambda f: f"{f.host} keeps only records of “{f.vm.name}” here, and no images.",
        "There is nothing to be done.",
    ),
    *NOT_BUSY,
    NOT_SAVED,
)


def plan_consolidate(vm: Vm, operation: Consolidate) -> Plan | Refusal:
    """Plan to merge the live chains as far as nothing else needs what would change."""
    if (refusal := first_refusal(RULES, _Facts(vm, operation))) is not None:
        return refusal
    targets = operation.disks or tuple(disk.target for disk in vm.state_disks)
    merging = _Consolidation.of(vm, replace(operation, disks=tuple(dict.fromkeys(targets))))
    return merging.decide() or no_room(vm, merging.figures) or merging.plan()


@dataclass(slots=True)
class _Consolidation:
    """A consolidation while it is planned."""

    vm: Vm
    operation: Consolidate
    images: Images
    figures: Figures
    memory_files: MemoryFiles
    steps: list[Step] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    lost: dict[str, None] = field(default_factory=dict)  # names of snapshots
    left: dict[Place, str] = field(default_factory=dict)  # their images, as far as not merged
    reasons: list[str] = field(default_factory=list)  # why images stay, as sentences
    warnings: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(cls, vm: Vm, operation: Consolidate) -> "_Consolidation":
        """Begin with everything as it is now."""
        return cls(vm, operation, Images(vm), Figures(vm.storage), MemoryFiles(vm.tree))

    def decide(self) -> Refusal | None:
        """Decide on all runs of all disks."""
        for target in self.operation.disks:
            for run in self._runs(target):
                if (refusal := self._merge(target, run)) is not None:
                    return refusal
        if not self.steps:
            if fault := self._fault():
                advice = "Write the right path into the header: qemu-img rebase -u."
                return Refusal(
                    RefusalCode.BROKEN_CHAIN, f"The images cannot be merged: {fault}.", advice
                )
            why = self.reasons[0] if self.reasons else "Each disk is one image already."
            reason = f"Nothing can be merged on “{self.vm.name}”. {why}"
            advice = "Delete the snapshots you no longer need."
            return Refusal(RefusalCode.NOTHING_TO_DO, reason, advice)
        self._clear()
        return None

    def plan(self) -> Plan:
        """Return the plan of what was decided."""
        given_up = (self.vm.tree[name] for name in self.lost)
        lost = sorted(given_up, key=lambda snapshot: (snapshot.created_at, snapshot.name))
        more = (*self.reasons, *little_room(self.vm, self.figures))
        return Plan(
            operation=self.operation,
            steps=tuple(self.steps),
            moves=tuple(self.moves),
            kept=kept_states(self.vm, self.lost),
            lost=lost_points(lost),
            warnings=(*self.warnings, *more),
            bytes_to_copy=self.figures.copied_bytes,
            extra_bytes_needed=self.figures.extra_bytes,
            freed_bytes=self.figures.freed_bytes,
            estimated_seconds=self.figures.seconds,
        )

    def _fault(self) -> str:
        storage, active = self.vm.storage, self.images.active
        faults = (storage.fault(active[t]) for t in self.operation.disks) if storage else ()
        return next((text for text in faults if text), "")

    def _runs(self, target: str) -> list[tuple[str, ...]]:
        """Return the images that can be merged with one another, the uppermost first."""
        chain = self.images.paths(self.images.active[target])
        runs = [[chain[-1]]]
        for upper in reversed(chain[:-1]):
            lower = runs[-1][0]
            if why := self._why_not(lower, upper):
                self.reasons.append(f"{_name(lower)} and {_name(upper)} stay two images: {why}.")
                runs.append([upper])
            else:
                runs[-1].insert(0, upper)
        return [tuple(run) for run in runs if len(run) > 1 and self._is_within_reach(target, run)]

    def _why_not(self, lower: str, upper: str) -> str:
        """Say why an image cannot be merged with the one that lies on it; empty: it can."""
        images, tree = self.images, self.vm.tree
        if images.is_elsewhere(lower):
            return "the lower one lies in another folder, and no snapshot of the VM names it"
        others = [path for path in images.overlays(lower) if path != upper]
        if others:
            name = next((n for path in others for n in images.states_on(path) if n in tree), None)
            who = f"“{tree[name].label}”" if name is not None else _name(others[0])
            return f"{who} stands on the lower one too"
        if users := images.users(lower):
            return f"“{users[0]}” needs the lower one too"
        upwards = self.operation.merge_by is MergeBy.PULL
        inner = (*images.inside(upper), *(images.inside(lower) if upwards else ()))
        return f"“{tree[inner[0][0]].label}” lies inside one of them" if inner else ""

    def _is_within_reach(self, target: str, run: list[str]) -> bool:
        """Whether the VM, while it is on, can write to what the images are merged into."""
        if self.operation.merge_by is MergeBy.COMMIT or not self.images.is_on:
            return True
        if run[0] == self.images.active[target]:
            return True
        what = f"{_name(run[0])} of {target} stays as it is: while the VM is on, it can only be"
        self.reasons.append(f"{what} merged downwards.")
        return False

    def _merge(self, target: str, run: tuple[str, ...]) -> Refusal | None:
        """Join a run: all but the state of its uppermost image is given up."""
        top, base = run[0], run[-1]
        job: Commit | Pull = Commit(target, run[:-1], base)
        if self.operation.merge_by is MergeBy.PULL:
            job = Pull(target, top, run[1:])
        work = Work(base, (job,), run[1:] if isinstance(job, Pull) else ())
        if (refusal := self._refusal(work, target)) is not None:
            return refusal
        files = (top, base) if isinstance(job, Commit) else (base, top)
        what = f"{len(run)} images of {target} become one, {_name(files[1])}."
        self.steps.append(Step(Act.MERGE, what, target, files))
        self.warnings |= dict.fromkeys(warnings_of(self.vm, self.images, job))
        if not self.images.is_own(base):
            end = "is written to" if isinstance(job, Commit) else "is removed"
            what = f"{_name(base)} {end}, though no snapshot of “{self.vm.name}” names it: see that"
            self.warnings[f"{what} it is nobody's template."] = None
        lost = {name: None for path in run[1:] for name, _ in self.images.tips(path)}
        self.moves += self._carrier.moves(job)
        self._give_up(lost)
        gone = run[:-1] if isinstance(job, Commit) else run[1:]
        self.moves += self._carrier.removals(gone)
        self._drop_places(gone)
        return None

    def _drop_places(self, gone: tuple[str, ...]) -> None:
        self.left = {place: path for place, path in self.left.items() if path not in gone}

    def _refusal(self, work: Work, what: str) -> Refusal | None:
        return first_refusal(WORK_RULES, WorkFacts(self.vm, self.images, work, what))

    @property
    def _carrier(self) -> Carrier:
        limit = self.operation.bandwidth_bytes_per_second
        return Carrier(self.vm, self.images, self.figures, limit)

    def _give_up(self, names: Iterable[str]) -> None:
        """Drop the records of what is lost, and remember which images of other disks they froze."""
        for name in names:
            snapshot = self.vm.tree[name]
            places = ((name, disk.target) for disk in snapshot.disks)
            frozen = self.images.frozen
            self.left |= {place: frozen[place] for place in places if place in frozen}
            self.images.forget(snapshot)
            self.moves.append(ForgetSnapshot(name))
            self.lost[name] = None

    def _clear(self) -> None:
        """Remove the files that only the points given up needed."""
        tree = self.vm.tree
        for (name, target), work in stranded(self.images, self.left.items()):
            if self._refusal(work, f"“{tree[name].label}”") is not None:
                continue
            self._drop_places(work.gone)
            self.steps += steps_of(self.images, tree, tree[name], target, work)
            self.moves += self._carrier.removals(work.gone)
        for path in filter(None, (self.memory_files.release(tree[name]) for name in self.lost)):
            self.moves.append(RemoveFile(path))
            self.figures.remove(path)
        if staying := sorted({target for _, target in self.left} - set(self.operation.disks)):
            what = f"The images of {', '.join(staying)} stay, and of some there is no record then."
            self.warnings[what] = None


def _name(path: str) -> str:
    return PurePosixPath(path).name or path
