"""What snapview knows of one virtual machine at one moment: immutable values.

Words of the field: an external snapshot *froze* one image and *created* an overlay on top of it.
The state at that snapshot is the frozen image; the created overlay holds what came after.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from types import MappingProxyType

from snapview.core.storage import Storage
from snapview.core.under_way import BlockJob, Interruption

EPOCH = datetime.fromtimestamp(0, tz=UTC)


class RunState(Enum):
    """What the VM is doing. Values are the words of the command line's JSON."""

    RUNNING = "running"
    PAUSED = "paused"
    SHUTOFF = "shutoff"
    CRASHED = "crashed"
    SUSPENDED = "suspended"  # the guest put itself to sleep (S3)
    UNKNOWN = "unknown"

    @property
    def is_active(self) -> bool:
        """Whether a QEMU process exists for the VM."""
        return self in {RunState.RUNNING, RunState.PAUSED, RunState.SUSPENDED, RunState.CRASHED}


class SnapshotKind(Enum):
    """Where the state of a snapshot lies: inside the image, or in files of its own."""

    INTERNAL = "internal"
    EXTERNAL = "external"
    MIXED = "mixed"


class SnapshotState(Enum):
    """What the VM was doing when the snapshot was taken (libvirt's ``<state>``)."""

    RUNNING = "running"
    PAUSED = "paused"
    SHUTOFF = "shutoff"
    DISK_ONLY = "disk-only"  # of a running VM, without its memory
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class DiskLayer:
    """One image of a chain.

    ``path`` is a file or device path, a ``pool/volume`` pair or a network name, as ``type`` says;
    ``format`` is libvirt's driver name, None when it is not recorded.
    """

    path: str
    format: str | None = None
    type: str = "file"  # file, block, network, volume, dir


@dataclass(frozen=True, slots=True)
class DiskChain:
    """One disk of the VM with its images, the active (written) one first.

    The definition of a VM that is off may name only the first images of a chain; the rest is then
    known from its snapshots. ``defined`` counts those that the definition itself names.
    """

    target: str  # vda
    layers: tuple[DiskLayer, ...]
    device: str = "disk"  # disk, lun, cdrom, floppy
    is_readonly: bool = False
    defined: int = 0
    is_complete: bool = False  # whether the last layer is known to be the base

    @property
    def active(self) -> DiskLayer | None:
        """The image the guest writes to; None for an empty drive."""
        return self.layers[0] if self.layers else None

    @property
    def depth(self) -> int:
        """How many overlays lie above the base image."""
        return max(0, len(self.layers) - 1)

    @property
    def holds_state(self) -> bool:
        """Whether a snapshot of the VM has to capture this disk."""
        return self.device in {"disk", "lun"} and not self.is_readonly and bool(self.layers)

    def on_headers(self, storage: Storage) -> "DiskChain":
        """Return the chain with the images that the headers say lie below the defined ones.

        A chain that libvirt has walked stays as it is, and so does one that is defined otherwise
        than the headers say: that is for planning to refuse.
        """
        named = self.layers[: max(1, self.defined)]
        found = storage.chain(named[0].path) if named and named[0].type == "file" else ()
        is_so = [image.path for image in found[: len(named)]] == [layer.path for layer in named]
        if self.is_complete or not found or not is_so:
            return self
        below = zip(found[len(named) - 1 :], found[len(named) :], strict=False)
        layers = [*named, *(DiskLayer(i.path, up.backing_format or i.format) for up, i in below)]
        last = found[-1]
        if last.backing is not None and last.has_plain_backing and storage.is_unread(last.backing):
            recorded = [layer.path for layer in self.layers]
            at = recorded.index(last.backing) if last.backing in recorded else len(recorded)
            layers += self.layers[at:] or (DiskLayer(last.backing, last.backing_format),)
        return replace(self, layers=tuple(layers), is_complete=last.backing is None)


@dataclass(frozen=True, slots=True)
class Hardware:
    """The VM's hardware as far as a snapshot's reader wants to see it, or planning needs it."""

    vcpus: int | None = None
    memory_bytes: int | None = None
    machine: str = ""
    firmware: str = "bios"  # bios, uefi
    nvram_format: str | None = None
    disks: tuple[DiskChain, ...] = ()
    interfaces: int = 0
    blockers: tuple[str, ...] = ()  # devices that forbid saving memory, in plain words
    has_guest_agent: bool = False
    has_tpm: bool = False
    os_name: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotDisk:
    """What a snapshot did to one disk.

    ``frozen`` is the image that holds the disk's state at the snapshot, ``overlay`` the image it
    created; both are None when unknown, and for internal snapshots ``overlay`` is always None.
    """

    target: str
    mode: str  # internal, external, no, manual
    frozen: DiskLayer | None = None
    overlay: DiskLayer | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot of a VM.

    ``name`` is libvirt's and identifies it; ``title`` is what the user typed, for the screen.
    ``problem`` says in one sentence why it cannot be used: its metadata could not be read.
    """

    name: str
    title: str = ""
    description: str = ""
    parent: str | None = None
    kind: SnapshotKind = SnapshotKind.INTERNAL
    state: SnapshotState = SnapshotState.UNKNOWN
    has_memory: bool = False
    memory_path: str | None = None  # the memory file of an external snapshot with memory
    created_at: datetime = EPOCH
    disks: tuple[SnapshotDisk, ...] = ()
    revert_overlays: tuple[SnapshotDisk, ...] = ()  # libvirt's <revertDisks>, from 9.9
    problem: str | None = None

    @property
    def label(self) -> str:
        """What to call it on the screen."""
        return self.title or self.name


class SnapshotTree:
    """The snapshots of one VM and how they hang together; immutable.

    Built from any snapshots in any order. Malformed metadata is tolerated and reported: a
    snapshot whose parent is missing becomes a root and is listed in ``orphans``; a cycle of
    parents is cut at its oldest member, listed in ``cut``. Of two snapshots with one name the
    first counts.

    Siblings and roots are in order of creation, then name.
    """

    __slots__ = ("_by_name", "_children", "current", "cut", "orphans", "roots")

    def __init__(self, snapshots: Iterable[Snapshot] = (), current: str | None = None) -> None:
        """Build the tree in O(n log n).

        Args:
            snapshots: any iterable, any order.
            current: the name of the snapshot the live state came from; ignored when unknown.
        """
        by_name: dict[str, Snapshot] = {}
        for snapshot in snapshots:
            by_name.setdefault(snapshot.name, snapshot)
        ordered = sorted(by_name.values(), key=lambda s: (s.created_at, s.name))
        orphans = {s.name for s in ordered if s.parent is not None and s.parent not in by_name}
        cut = _cycle_breakers(ordered, by_name)
        children: dict[str, list[str]] = {}
        roots: list[str] = []
        for snapshot in ordered:
            name, parent = snapshot.name, snapshot.parent
            if parent is None or name in orphans or name in cut:
                roots.append(name)
            else:
                children.setdefault(parent, []).append(name)
        self._by_name: Mapping[str, Snapshot] = MappingProxyType(by_name)
        self._children: Mapping[str, tuple[str, ...]] = MappingProxyType(
            {name: tuple(names) for name, names in children.items()}
        )
        self.roots: tuple[str, ...] = tuple(roots)
        self.orphans: frozenset[str] = frozenset(orphans)
        self.cut: frozenset[str] = frozenset(cut)
        self.current: str | None = current if current in by_name else None

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Snapshot]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> Snapshot:
        return self._by_name[name]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SnapshotTree):
            return NotImplemented
        return self._by_name == other._by_name and self.current == other.current

    def __hash__(self) -> int:
        return hash((self.current, frozenset(self._by_name)))

    def __repr__(self) -> str:
        return f"SnapshotTree({len(self)} snapshots, current={self.current!r})"

    def get(self, name: str) -> Snapshot | None:
        """Return the snapshot of that name, or None."""
        return self._by_name.get(name)

    def children(self, name: str) -> tuple[str, ...]:
        """Return the names of the direct children, oldest first."""
        return self._children.get(name, ())

    def parent(self, name: str) -> str | None:
        """Return the parent in this tree: None for roots, orphans and where a cycle was cut."""
        if name in self.orphans or name in self.cut:
            return None
        return self._by_name[name].parent

    def ancestors(self, name: str) -> tuple[str, ...]:
        """Return the path from the parent of ``name`` up to its root."""
        path: list[str] = []
        at = self.parent(name)
        while at is not None:
            path.append(at)
            at = self.parent(at)
        return tuple(path)

    def subtree(self, name: str) -> tuple[str, ...]:
        """Return ``name`` and all its descendants, parents before children."""
        found = [name]
        for at in found:  # grows while it is walked: breadth first, without recursion
            found.extend(self.children(at))
        return tuple(found)

    def live_path(self) -> tuple[str, ...]:
        """Return the snapshots behind the live state: the current one first, then its ancestors."""
        return () if self.current is None else (self.current, *self.ancestors(self.current))

    def find(self, text: str) -> tuple[Snapshot, ...]:
        """Return what a user may mean by ``text``: that name, else every one of that title."""
        exact = self._by_name.get(text)
        if exact is not None:
            return (exact,)
        return tuple(s for s in self if s.title == text)


def _cycle_breakers(ordered: Sequence[Snapshot], by_name: Mapping[str, Snapshot]) -> set[str]:
    """Return one member of each cycle of parents: the oldest, where the cycle is to be cut."""
    done: set[str] = set()
    cut: set[str] = set()
    for snapshot in ordered:
        path: dict[str, None] = {}
        at: str | None = snapshot.name
        while at is not None and at in by_name and at not in done and at not in path:
            path[at] = None
            at = by_name[at].parent
        if at is not None and at in path:
            names = list(path)
            cycle = [by_name[name] for name in names[names.index(at) :]]
            cut.add(min(cycle, key=lambda s: (s.created_at, s.name)).name)
        done.update(path)
    return cut


@dataclass(frozen=True, slots=True)
class HostCapabilities:
    """What the host behind a connection can do; read once per connection.

    ``reverts_external`` is libvirt's own capability flag (``externalSnapshot``, from 9.9), which
    says that external snapshots can be deleted *and* reverted.
    """

    driver: str = "QEMU"  # QEMU, TEST, ...
    libvirt_version: tuple[int, int, int] = (0, 0, 0)  # of the daemon, not of this library
    qemu_version: tuple[int, int, int] = (0, 0, 0)
    reverts_external: bool = False
    touches_disks: bool = True  # libvirt's test driver keeps records only

    @property
    def libvirt_text(self) -> str:
        """The daemon's version for the screen: ``libvirt 9.0``."""
        return f"libvirt {self.libvirt_version[0]}.{self.libvirt_version[1]}"


@dataclass(frozen=True, slots=True)
class VmSummary:
    """One line of the list of VMs; cheap to read for hundreds of them."""

    uuid: str
    name: str
    run_state: RunState
    snapshot_count: int | None  # None: could not be read
    title: str = ""


@dataclass(frozen=True, slots=True)
class Vm:
    """Everything the screen and planning know of one VM at ``read_at``.

    ``problem`` says why the snapshots could not be read; the tree is then empty and unknown.
    ``storage`` is read separately, because it takes longer; None: not read, or not there.
    """

    uuid: str
    name: str
    run_state: RunState
    tree: SnapshotTree = field(default_factory=SnapshotTree)
    disks: tuple[DiskChain, ...] = ()
    hardware: Hardware = field(default_factory=Hardware)
    capabilities: HostCapabilities = field(default_factory=HostCapabilities)
    is_persistent: bool = True
    has_managed_save: bool = False
    block_jobs: tuple[BlockJob, ...] = ()
    has_backup_job: bool = False
    checkpoints: tuple[str, ...] = ()  # names; their bitmaps live in the images
    storage: Storage | None = None
    interruption: Interruption | None = None
    title: str = ""
    read_at: datetime = EPOCH
    problem: str | None = None

    def with_storage(self, storage: Storage) -> "Vm":
        """Return the VM with its image files, read separately, and the chains that they tell of."""
        disks = tuple(disk.on_headers(storage) for disk in self.disks)
        return replace(self, storage=storage, disks=disks)

    @property
    def state_disks(self) -> tuple[DiskChain, ...]:
        """The disks a snapshot has to capture."""
        return tuple(disk for disk in self.disks if disk.holds_state)

    @property
    def chain_depth(self) -> Mapping[str, int]:
        """Overlays above the base, per disk target."""
        return {disk.target: disk.depth for disk in self.state_disks}

    @property
    def live_differs(self) -> bool | None:
        """Whether the live state has moved on from the current snapshot; None: unknown.

        A VM that runs has by definition moved on in memory. One that is off differs from a
        snapshot with memory. Otherwise only the images could tell.
        """
        current = None if self.tree.current is None else self.tree.get(self.tree.current)
        if current is None:
            return None
        if self.run_state is RunState.RUNNING:
            return True
        if not self.run_state.is_active and current.has_memory:
            return True
        return None


@dataclass(frozen=True, slots=True)
class SnapshotDetail:
    """What is read only for the selected snapshot: the VM's hardware at that time."""

    name: str
    hardware: Hardware
