"""What can be asked of a VM, and the two protocols behind which it happens.

Operations are pure data: comparable, loggable, made by the window and the command line alike.
A ``Host`` starts one and returns a ``Job``; whoever owns the job steps it until an ``Outcome``.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from snapview.core.errors import SnapviewError
from snapview.core.storage import Storage
from snapview.core.vm import HostCapabilities, SnapshotDetail, SnapshotKind, Vm, VmSummary

NAME_LIMIT = 100  # a 300-character name fails in libvirt and leaves the VM changed

_NOT_IN_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class CreateSnapshot:
    """Take a snapshot.

    ``title`` is what the user typed; ``plan`` makes libvirt's plain name from it. ``memory`` is
    only meant for an active VM. ``quiesce`` freezes the guest's file systems meanwhile and needs
    the guest agent. ``mix``: the user was told what mixing internal and external snapshots costs,
    and wants it. ``keep_days``: a safety snapshot, after so many days snapview proposes to delete
    it.
    """

    vm_uuid: str
    title: str = ""
    description: str = ""
    kind: SnapshotKind = SnapshotKind.INTERNAL
    memory: bool = True
    quiesce: bool = False
    mix: bool = False
    keep_days: int | None = None


class Afterwards(Enum):
    """What the VM shall do after a revert."""

    AS_IT_WAS = "as-it-was"  # as at the snapshot
    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class RevertSnapshot:
    """Put the VM back to a snapshot.

    With ``safety_snapshot`` the state of now is kept first, as a snapshot of its own with
    ``safety_title``.
    """

    vm_uuid: str
    snapshot: str
    safety_snapshot: bool = True
    safety_title: str = ""
    keep_days: int | None = 14  # how long the safety snapshot is to be kept; None: for ever
    afterwards: Afterwards = Afterwards.AS_IT_WAS


class MergeBy(Enum):
    """Which way images are merged."""

    COMMIT = "commit"  # down into the lower image, which keeps its name: copies the upper one
    PULL = "pull"  # up into the upper image; where the lower one must not be written to (trap 5)


@dataclass(frozen=True, slots=True)
class DeleteSnapshot:
    """Delete snapshots, leaf first; with ``subtree`` all their descendants too."""

    vm_uuid: str
    snapshots: tuple[str, ...]
    subtree: bool = False
    merge_by: MergeBy = MergeBy.COMMIT
    bandwidth_bytes_per_second: int = 0  # 0: no limit


@dataclass(frozen=True, slots=True)
class Consolidate:
    """Merge the chains of disks as far down as nothing else needs what would change.

    ``disks`` are targets such as ``vda``; empty means all. External snapshots whose images are
    merged away are given up, layers without a record as well.
    """

    vm_uuid: str
    disks: tuple[str, ...] = ()
    merge_by: MergeBy = MergeBy.COMMIT
    bandwidth_bytes_per_second: int = 0  # 0: no limit


@dataclass(frozen=True, slots=True)
class EndBlockJob:
    """End a block job that was found running: finish it (pivot), or abort it."""

    vm_uuid: str
    disk: str
    finish: bool


@dataclass(frozen=True, slots=True)
class Recover:
    """Bring an interrupted operation (``Vm.interruption``) to its end, or take it back."""

    vm_uuid: str
    interruption: str  # its id
    finish: bool


@dataclass(frozen=True, slots=True)
class EditDescription:
    """Set title and description of a snapshot. Its name stays."""

    vm_uuid: str
    snapshot: str
    title: str
    description: str


Operation = (
    CreateSnapshot
    | RevertSnapshot
    | DeleteSnapshot
    | EditDescription
    | Consolidate
    | EndBlockJob
    | Recover
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. ``total_bytes`` is None while nobody knows."""

    phase: str
    done_bytes: int = 0
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Actual:
    """What an operation really took, to be held against its plan. None is unknown."""

    seconds: float
    copied_bytes: int | None = None
    freed_bytes: int | None = None  # on the host's file systems; negative: it took some


@dataclass(frozen=True, slots=True)
class Done:
    """The job did what its plan said.

    ``created`` names the snapshot that now exists and did not before, if any: a taken one, or
    the safety snapshot of a revert. ``remarks`` are sentences on what went otherwise than hoped,
    such as a guest that had to be thawed early.
    """

    changed: frozenset[str] = frozenset()
    created: str | None = None
    actual: Actual | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The job failed. Something may have changed all the same: re-read ``changed``."""

    error: SnapviewError
    changed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The user cancelled. What was done before that stays done: re-read ``changed``.

    ``remarks`` are sentences on what cannot be as it was, such as a point that is lost.
    """

    changed: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()


Outcome = Done | Failed | Cancelled


class Job(Protocol):
    """An operation under way. Used by one thread only, save ``request_cancel``."""

    def step(self) -> Progress | Outcome:
        """Do the next piece of work; may block for minutes. Never raises SnapviewError."""
        ...

    def request_cancel(self) -> None:
        """Ask to stop at the next safe point; any thread."""
        ...


@dataclass(frozen=True, slots=True)
class VmEvent:
    """Something happened to a VM; re-read it. Empty ``uuid``: re-read the list."""

    uuid: str


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The daemon went away."""

    reason: str


HostEvent = VmEvent | ConnectionClosed


class Host(Protocol):
    """One connection to one libvirt host.

    All methods may block and raise a ``SnapviewError``; call them from a worker thread only.
    """

    @property
    def uri(self) -> str:
        """The libvirt URI, also when not connected."""
        ...

    def connect(self) -> HostCapabilities:
        """Open the connection, again if it was lost. Idempotent."""
        ...

    def list_vms(self) -> tuple[VmSummary, ...]:
        """Read one line for each VM, ordered by name."""
        ...

    def read_vm(self, uuid: str) -> Vm:
        """Read everything of one VM; one unreadable snapshot does not lose the others."""
        ...

    def read_fingerprint(self, uuid: str) -> str:
        """Read cheaply what changes whenever another client changes the VM or its snapshots."""
        ...

    def read_detail(self, uuid: str, snapshot: str) -> SnapshotDetail:
        """Read the VM's hardware at the time of a snapshot."""
        ...

    def read_storage(self, uuid: str) -> Storage:
        """Read the image files around a VM; takes longer than ``read_vm``, which leaves it out."""
        ...

    def start(self, operation: Operation, agreed: object = None) -> Job:
        """Start an operation; nothing happens before the first ``Job.step``.

        Args:
            operation: what to do.
            agreed: the ``gist`` of the plan that the user agreed to. The job fails with
                ``PlanChanged``, untouched, when the VM has changed so that the plan is another.
        """
        ...

    def sample(self, uuid: str) -> Progress | None:
        """Say how far the job of a VM is; None when unknown. From another connection's thread."""
        ...

    def limit(self, uuid: str, bytes_per_second: int) -> None:
        """Limit the speed of a VM's block jobs; 0: no limit. From another connection's thread."""
        ...

    def abort(self, uuid: str) -> None:
        """Ask libvirt to abort the job of a VM. From another connection's thread."""
        ...

    def subscribe(self, callback: Callable[[HostEvent], None]) -> None:
        """Have ``callback`` called for each event, from a thread of the host's own."""
        ...

    def close(self) -> None:
        """Close the connection. Idempotent; the host can be connected again."""
        ...


def plain_text(text: str) -> str:
    """Return what libvirt's XML can keep of a text: no control characters, lines end with LF."""
    return _NOT_IN_XML.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def plain_title(text: str) -> str:
    """Return a text as a title: in one line, with single spaces."""
    return " ".join(plain_text(text).split())


def plain_name(title: str) -> str:
    """Return a name that libvirt and QEMU take, made from what the user typed.

    Letters, digits, ``.``, ``_`` and ``-``, at most ``NAME_LIMIT`` characters, never a leading
    ``.`` or ``-`` (traps 29 and 31: a space gives "Invalid job ID", a long name fails half-way).
    Empty when nothing of the title can be kept.
    """
    decomposed = unicodedata.normalize("NFKD", title)
    ascii_text = decomposed.encode("ascii", "ignore").decode("ascii")
    joined = re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_text)
    return joined[:NAME_LIMIT].strip("-.")


def join_description(name: str, title: str, description: str) -> str:
    """Return libvirt's description: the title is its first line unless it equals the name.

    A title from which ``name`` could not have been made, because it was edited later, is followed
    by an empty line, so that ``split_description`` knows it.
    """
    title = " ".join(title.split())
    if not title or title == name:
        is_misread = split_description(name, description) != (name, description)
        return f"{name}\n{description}" if is_misread else description
    if _could_name(plain_name(title), name):
        return f"{title}\n{description}" if description else title
    return f"{title}\n\n{description}"


def split_description(name: str, text: str) -> tuple[str, str]:
    """Return title and description from libvirt's description; the inverse of the above.

    The first line counts as a title only when ``name`` could have been made from it or an empty
    line follows, so that the descriptions of snapshots made by other tools stay whole.
    """
    first, newline, rest = text.partition("\n")
    if newline and first and (first == name or _could_name(plain_name(first), name)):
        return first, rest
    if newline and first.strip() and (not rest or rest.startswith("\n")):
        return first, rest.removeprefix("\n")
    if first and first != name and _could_name(plain_name(first), name):
        return first, ""
    return name, text


def _could_name(plain: str, name: str) -> bool:
    """Whether ``unique_name`` could have made ``name`` from ``plain``."""
    if not plain:  # nothing of the title could be kept: the offered name with the time
        return re.fullmatch(r"snapshot-\d{8}-\d{6}(-\d+)?", name) is not None
    stem = re.sub(r"-\d+$", "", name)
    shortened = len(name) == NAME_LIMIT and len(stem) > 1 and plain.startswith(stem)
    return plain in {name, stem} or shortened


def unique_name(wanted: str, taken: frozenset[str] | set[str]) -> str:
    """Return ``wanted``, with ``-2``, ``-3`` … when it is taken, within ``NAME_LIMIT``."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        suffix = f"-{number}"
        name = wanted[: NAME_LIMIT - len(suffix)] + suffix
    return name
