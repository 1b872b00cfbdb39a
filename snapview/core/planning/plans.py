"""The values that planning speaks in: plans and their steps, refusals, rows of decision tables."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from snapview.core.moves import Move
from snapview.core.operations import Operation
from snapview.core.vm import Vm


class Act(Enum):
    """What a step does to states and files. *Merge* and *discard* are never the same word."""

    CREATE = "create"
    SAVE_MEMORY = "save-memory"
    FREEZE = "freeze"
    THAW = "thaw"
    REVERT = "revert"
    MERGE = "merge"  # the later state is kept, files are joined
    DISCARD = "discard"  # a state is lost
    START = "start"
    STOP = "stop"
    PAUSE = "pause"
    EDIT = "edit"
    FINISH = "finish"  # what was under way already is brought to its end
    ABORT = "abort"  # or taken back


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan; ``what`` is a sentence for the user, ``files`` are paths touched."""

    act: Act
    what: str
    disk: str | None = None
    files: tuple[str, ...] = ()
    snapshot: str | None = None


@dataclass(frozen=True, slots=True)
class GetBack:
    """Whether this very snapshot can later be reverted to and removed on this host, and why."""

    revert: bool
    revert_text: str
    remove: bool
    remove_text: str

    @property
    def is_certain(self) -> bool:
        """Whether both will work."""
        return self.revert and self.remove


@dataclass(frozen=True, slots=True)
class Plan:
    """What will happen, in order, and what it means. Unknown figures are None, never 0."""

    operation: Operation
    steps: tuple[Step, ...]
    moves: tuple[Move, ...] = ()
    kept: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    undo: str = ""  # how to take it back, as a sentence; empty: it cannot be taken back
    get_back: GetBack | None = None  # for a new snapshot
    new_name: str | None = None  # libvirt's name of the snapshot this creates
    bytes_to_copy: int | None = None
    extra_bytes_needed: int | None = None
    freed_bytes: int | None = None
    estimated_seconds: float | None = None

    @property
    def acts(self) -> frozenset[Act]:
        """The kinds of steps in this plan."""
        return frozenset(step.act for step in self.steps)

    @property
    def gist(self) -> object:
        """What a user agreed to; a later plan with another gist has to be shown again.

        New files and snapshots may carry the time in their names, so only those that exist already
        count.
        """
        on_old_files = {Act.MERGE, Act.DISCARD, Act.REVERT}
        new = {Act.CREATE, Act.SAVE_MEMORY}
        steps = tuple(
            (
                step.act,
                step.disk,
                step.snapshot if step.act not in new else None,
                step.files if step.act in on_old_files else (),
            )
            for step in self.steps
        )
        return steps, self.lost


class RefusalCode(Enum):
    """Why not; the values are the ``code`` of the command line's JSON."""

    NOT_FOUND = "not-found"
    NAME_EXISTS = "name-exists"
    NO_DISK = "no-disk"
    NOT_RUNNING = "not-running"
    RUNNING = "running"
    DISK_FORMAT = "disk-format"
    FIRMWARE = "firmware"
    DEVICE = "device"
    NO_AGENT = "no-agent"
    MIXED = "mixed-kinds"
    MANAGED_SAVE = "managed-save"
    BLOCK_JOB = "block-job"
    HOST_TOO_OLD = "host-too-old"
    CHAIN_LIMIT = "chain-limit"
    CHAIN_MISMATCH = "chain-mismatch"
    DISK_GONE = "disk-gone"
    UNREADABLE = "unreadable"
    QUIESCE = "quiesce"
    NOTHING_TO_DO = "nothing-to-do"
    NO_SPACE = "no-space"
    SHARED_IMAGE = "shared-image"  # another VM needs it
    BROKEN_CHAIN = "broken-chain"  # a backing file is missing, loops, or is no plain file
    BACKUP = "backup"
    TRANSIENT = "transient"
    INTERRUPTED = "interrupted"
    PLAN_CHANGED = "plan-changed"  # since the user agreed to it
    TOO_LATE = "too-late"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an operation must not be done, and what to do instead."""

    code: RefusalCode
    reason: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class VmFacts:
    """What the rows of a decision table look at; each operation adds its own."""

    vm: Vm

    @property
    def version(self) -> tuple[int, int, int]:
        """The version of the libvirt daemon."""
        return self.vm.capabilities.libvirt_version

    @property
    def host(self) -> str:
        """What to call the host in a sentence."""
        return self.vm.capabilities.libvirt_text


Facts_contra = TypeVar("Facts_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Rule(Generic[Facts_contra]):
    """One row of a decision table: ``when`` it holds for the facts, the operation is refused."""

    code: RefusalCode
    when: Callable[[Facts_contra], object]
    reason: Callable[[Facts_contra], str]
    advice: str = ""


NO_BLOCK_JOB: Rule[VmFacts] = Rule(
    RefusalCode.BLOCK_JOB,
    lambda f: f.vm.block_jobs,
    lambda f: f"A block job runs on {', '.join(job.disk for job in f.vm.block_jobs)}.",
    "Wait until it has ended, or finish it.",
)


NO_BACKUP: Rule[VmFacts] = Rule(
    RefusalCode.BACKUP,
    lambda f: f.vm.has_backup_job,
    lambda f: f"A backup of “{f.vm.name}” is running.",
    "Wait until it has ended.",
)

NO_INTERRUPTION: Rule[VmFacts] = Rule(
    RefusalCode.INTERRUPTED,
    lambda f: f.vm.interruption,
    lambda f: (
        f"{f.vm.interruption.what[:1].upper()}{f.vm.interruption.what[1:]} "
        + ("is under way." if f.vm.interruption.is_alive else "was interrupted.")
        if f.vm.interruption
        else ""
    ),
    "Finish it, or take it back, first.",
)

NOT_BUSY = (NO_INTERRUPTION, NO_BLOCK_JOB, NO_BACKUP)


def first_refusal(rules: Iterable[Rule[Facts_contra]], facts: Facts_contra) -> Refusal | None:
    """Return the refusal of the first row that holds; None: nothing speaks against it."""
    for rule in rules:
        if rule.when(facts):
            return Refusal(rule.code, rule.reason(facts), rule.advice)
    return None
