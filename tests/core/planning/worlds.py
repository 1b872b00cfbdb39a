"""A VM as files: what a user does to it, what each move does to it, and what must be true then.

Written from what libvirt and QEMU do, without looking at planning. An image is what was written to
it, by cluster, on top of a backing file; a record is what libvirt notes of a snapshot. A move that
libvirt or QEMU would refuse, or that destroys what somebody needs, is an AssertionError.

Who has an image open is watched as QEMU's locks do: the running VM has its live chains open, and a
workbench may neither open an image that somebody writes to, nor write to one that somebody reads.
"""

import copy
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import assert_never

from snapview.core.moves import (
    CommitImages,
    DefineAsAt,
    DeleteByLibvirt,
    EndJob,
    ForgetSnapshot,
    MakeOverlay,
    Move,
    PointTo,
    PullImages,
    RemoveFile,
    RestoreDefinition,
    RestoreMemory,
    RevertByLibvirt,
    SetActive,
    SetCurrent,
    SetDescription,
    SetFrozen,
    StartVm,
    StopVm,
    TakeSnapshot,
)
from snapview.core.planning import Plan
from snapview.core.storage import ImageFile, Storage
from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    RunState,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotState,
    SnapshotTree,
    Vm,
)
from snapview.virt.chains import complete_chain
from tests.core.planning.cases import vm_of
from tests.trees import START, make_vm

FOLDER = "/images"
CLUSTER = 64 << 10
CLUSTERS = 24
HEADER = 192 << 10
MEMORY = 5 << 20

Content = tuple[tuple[int, int], ...]  # cluster, what was written there last
StateKey = tuple[str, str]  # snapshot ("" for the live state), disk target or "memory"


@dataclass
class Image:
    """A file of clusters on a backing file; ``inner`` are the internal snapshots in it."""

    backing: str | None
    clusters: dict[int, int] = field(default_factory=dict)
    inner: dict[str, dict[int, int]] = field(default_factory=dict)
    format: str = "qcow2"

    @property
    def allocation(self) -> int:
        versions = {
            (c, v) for each in (self.clusters, *self.inner.values()) for c, v in each.items()
        }
        return HEADER + CLUSTER * len(versions)


@dataclass
class Record:
    """What libvirt's metadata say of one snapshot. Overlays may be names of files that are gone."""

    number: int
    parent: str | None
    kind: SnapshotKind
    frozen: dict[str, str]
    overlays: dict[str, str] = field(default_factory=dict)
    after_revert: dict[str, str] = field(default_factory=dict)
    memory: str | None = None
    was_on: bool = False


@dataclass
class FileWorld:
    """One VM on a host, and the files in its folder."""

    targets: tuple[str, ...] = ("vda",)
    base_format: str = "qcow2"
    updates_definition: bool = True  # libvirt does so with the end of a running VM's job
    images: dict[str, Image] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)  # files
    defined: dict[str, str] = field(default_factory=dict)  # disk target -> active image
    open: dict[str, list[str]] | None = None  # the chains that the VM's QEMU has open; None: off
    records: dict[str, Record] = field(default_factory=dict)
    current: str | None = None
    others: dict[str, str] = field(default_factory=dict)  # other VMs, all on -> active image
    copied: int = 0  # bytes, by all jobs
    tokens: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        for target in self.targets:
            base = path_of(f"{target}-base")
            self.images[base] = Image(None, {0: next(self.tokens)}, format=self.base_format)
            self.defined[target] = base

    # What is true

    def chain(self, path: str) -> list[str]:
        """Follow the headers."""
        found = [path]
        while (below := self.images[found[-1]].backing) is not None:
            assert below in self.images, f"{found[-1]} needs {below}, which is gone"
            found.append(below)
        return found

    def content(self, path: str) -> Content:
        """What is read from an image."""
        assert path in self.images, f"{path} is gone"
        found: dict[int, int] = {}
        for each in reversed(self.chain(path)):
            found |= self.images[each].clusters
        return tuple(sorted(found.items()))

    def inner_content(self, path: str, name: str) -> Content:
        """What is read from an internal snapshot."""
        image = self.images[path]
        below = dict(self.content(image.backing)) if image.backing else {}
        return tuple(sorted((below | image.inner[name]).items()))

    def active(self, target: str) -> str:
        """The image that a disk is written to, or would be."""
        return self.open[target][0] if self.open is not None else self.defined[target]

    def states(self) -> dict[StateKey, object]:
        """What each snapshot holds, and the live state."""
        held: dict[StateKey, object] = {}
        for name, record in self.records.items():
            for target, path in record.frozen.items():
                is_inner = record.kind is SnapshotKind.INTERNAL
                content = self.inner_content(path, name) if is_inner else self.content(path)
                held[name, target] = content
            if record.memory is not None:
                held[name, "memory"] = self.memory[record.memory]
        for target in self.targets:
            held["", target] = self.content(self.active(target))
        for name, path in self.others.items():
            held[f"VM {name}", "vda"] = self.content(path)
        return held

    def needed(self) -> set[str]:
        """The files that something refers to, directly or by a chain."""
        tops = {path for record in self.records.values() for path in record.frozen.values()}
        tops |= set(self.defined.values()) | set(self.others.values())
        tops |= {chain[0] for chain in (self.open or {}).values()}
        found = {below for path in tops for below in self.chain(path)}
        return found | {r.memory for r in self.records.values() if r.memory is not None}

    def is_referred(self, path: str) -> bool:
        """Whether a file must not be removed."""
        lies_on = {image.backing for image in self.images.values()}
        return path in self.needed() | lies_on

    def files(self) -> set[str]:
        return set(self.images) | set(self.memory)

    def allocation(self) -> int:
        return sum(image.allocation for image in self.images.values()) + MEMORY * len(self.memory)

    def check_definition(self) -> None:
        """The definition and the running QEMU agree."""
        for target, chain in (self.open or {}).items():
            assert chain == self.chain(chain[0]), f"QEMU has another chain open for {target}"
            assert self.defined[target] == chain[0], f"the definition of {target} is stale"

    # What a user does, by hand or by other programs

    def write(self, target: str, cluster: int) -> None:
        self.images[self.active(target)].clusters[cluster % CLUSTERS] = next(self.tokens)

    def switch(self, *, on: bool) -> None:
        self.open = {t: self.chain(path) for t, path in self.defined.items()} if on else None

    def take(
        self,
        kind: SnapshotKind = SnapshotKind.EXTERNAL,
        *,
        memory: bool = False,
        targets: Iterable[str] | None = None,
        asked: TakeSnapshot | None = None,
    ) -> str:
        """Take a snapshot as libvirt does; ``asked`` says under which names."""
        number = next(self.tokens)
        name = asked.name if asked is not None else f"s{number:03}"
        chosen = tuple(targets or self.targets)
        frozen = {target: self.active(target) for target in chosen}
        record = Record(number, self.current, kind, frozen, was_on=self.open is not None)
        if kind is SnapshotKind.INTERNAL:
            for path in frozen.values():
                self.images[path].inner[name] = dict(self.images[path].clusters)
        else:
            record.overlays = {target: path_of(f"{target}-{name}") for target in chosen}
            if asked is not None:
                record.overlays = {d.target: d.overlay.path for d in asked.disks if d.overlay}
            for target, path in record.overlays.items():
                self._put_on_top(target, path)
            if memory and self.open is not None:
                own = asked.memory_path if asked is not None else None
                record.memory = own or f"{FOLDER}/{name}.mem"
                self.memory[record.memory] = number
        if self.current is not None:
            self.records[self.current].after_revert = {}  # libvirt forgets it here
        self.records[name], self.current = record, name
        return name

    def layer(self, target: str) -> str:
        """Put an overlay on a disk of which there is no record, as with --no-metadata."""
        path = path_of(f"{target}-l{next(self.tokens):03}")
        self._put_on_top(target, path)
        return path

    def _put_on_top(self, target: str, path: str) -> None:
        self.images[path] = Image(self.active(target))
        self.defined[target] = path
        if self.open is not None:
            self.open[target].insert(0, path)

    def revert(self, name: str) -> None:
        """Go back and throw away what the VM stands on now, but nothing that is needed."""
        was_on, record = self.open is not None, self.records[name]
        self.open = None
        old = dict(self.defined)
        for target, path in record.frozen.items():
            if record.kind is SnapshotKind.INTERNAL:
                self.defined[target] = path
                self.images[path].clusters = dict(self.images[path].inner[name])
                continue
            overlay = path_of(f"{target}-r{next(self.tokens):03}")
            self.images[overlay] = Image(path)
            self.defined[target] = overlay
            is_last = not any(each.parent == name for each in self.records.values())
            (record.overlays if is_last else record.after_revert)[target] = overlay
        self.current = name
        for path in old.values():
            self._clear(path)
        self.switch(on=was_on)

    def _clear(self, path: str) -> None:
        """Remove an overlay that nobody needs any more, and what only it lay on."""
        at: str | None = path
        while at is not None and (below := self.images[at].backing) is not None:
            if self.is_referred(at):
                return
            del self.images[at]
            at = below

    def forget(self, name: str) -> None:
        """Drop a record and leave the files, as with --metadata."""
        gone = self.records.pop(name)
        for record in self.records.values():
            if record.parent == name:
                record.parent = gone.parent
        if self.current == name:
            self.current = gone.parent

    def add_vm(self, path: str) -> str:
        """Let another VM have an overlay on an image that nobody writes to."""
        number = next(self.tokens)
        overlay, name = path_of(f"other-{number:03}"), f"other{number}"
        self.images[overlay] = Image(path, {1: number})
        self.others[name] = overlay
        return name

    def add_stray(self, path: str) -> str:
        """Put an overlay on an image that belongs to nobody."""
        stray = path_of(f"stray-{next(self.tokens):03}")
        self.images[stray] = Image(path, {2: next(self.tokens)})
        return stray

    # What a move does

    def do(self, move: Move, *, part: float | None = None) -> None:
        """Make a move; with ``part`` crash when so much of the copying is done.

        Moves without copying are made as a whole. Made again, a move looks whether it is so.
        """
        match move:
            case CommitImages():
                self._commit(move, part)
            case PullImages():
                self._pull(move, part)
            case PointTo() | RemoveFile() | MakeOverlay():
                self._change_file(move)
            case SetFrozen() | SetActive() | SetCurrent() | ForgetSnapshot() | SetDescription():
                self._change_record(move)
            case StopVm() | StartVm() | RestoreMemory() | DefineAsAt():
                self._change_vm(move)
            case DeleteByLibvirt() | RevertByLibvirt() | TakeSnapshot():
                self._by_libvirt(move)
            case EndJob() | RestoreDefinition():
                raise AssertionError("no plan is made of these")
            case _:
                assert_never(move)

    def _commit(self, move: CommitImages, part: float | None) -> None:
        chain = [layer.path for layer in move.chain]
        at = chain.index(move.top)
        above = chain[at - 1] if at else None
        if move.in_vm and self.open is not None and move.top not in self.open[move.target]:
            assert move.base in self.open[move.target]
            return
        if above is not None and self.images[above].backing == move.base:
            return
        joined = chain[at : chain.index(move.base)]
        assert joined, f"{move.base} does not lie below {move.top}"
        written = {chain[0], move.base, *([above] if above else [])}
        self._open(move.target, move.chain, written, in_vm=move.in_vm)
        moved: dict[int, int] = {}
        for path in reversed(joined):
            moved |= self.images[path].clusters
        moved = _part(moved, part)
        self.images[move.base].clusters |= moved
        self.copied += CLUSTER * len(moved)
        if part is not None:
            return
        if above is not None:
            self.images[above].backing = move.base
        if move.in_vm:
            assert self.open is not None
            old, self.open[move.target] = chain[0], [p for p in chain if p not in joined]
            if above is None and self.updates_definition and self.defined[move.target] == old:
                self.defined[move.target] = move.base

    def _pull(self, move: PullImages, part: float | None) -> None:
        chain = [layer.path for layer in move.chain]
        first = chain[0]
        if self.images[first].backing == move.base:
            return
        end = chain.index(move.base) if move.base is not None else len(chain)
        self._open(move.target, move.chain, {first}, in_vm=move.in_vm)
        moved: dict[int, int] = {}
        for path in reversed(chain[1:end]):
            moved |= self.images[path].clusters
        own = self.images[first].clusters
        moved = _part({c: v for c, v in moved.items() if c not in own}, part)
        self.images[first].clusters = moved | own
        self.copied += CLUSTER * len(moved)
        if part is None:
            self.images[first].backing = move.base
            if move.in_vm:
                assert self.open is not None
                self.open[move.target] = [first, *chain[end:]]

    def _open(
        self, target: str, layers: tuple[DiskLayer, ...], written: set[str], *, in_vm: bool
    ) -> None:
        """See that a chain is the whole one, and that QEMU's locks allow it to be opened so."""
        chain = [layer.path for layer in layers]
        assert chain == self.chain(chain[0]), "not the whole chain, as the headers tell it"
        assert [layer.format for layer in layers] == [self.images[p].format for p in chain]
        read: set[str] = set().union(*(self.chain(path) for path in self.others.values()))
        busy = set(self.others.values())
        if self.open is not None and in_vm:
            assert self.open[target] == chain, "the VM does not have this chain open"
            elsewhere = (paths for other, paths in self.open.items() if other != target)
            read |= set().union(*elsewhere)
        elif self.open is not None:
            read |= set().union(*self.open.values())
            busy |= {paths[0] for paths in self.open.values()}
        else:
            assert not in_vm, "the VM is off"
        assert not busy & set(chain), "somebody writes to one of these images"
        assert not read & written, "somebody has open what would be written to"

    def _change_file(self, move: PointTo | RemoveFile | MakeOverlay) -> None:
        match move:
            case PointTo(image=image, chain=chain):
                if self.images[image.path].backing == chain[0].path:
                    return
                before = self.content(image.path)
                paths = [layer.path for layer in chain]
                assert paths == self.chain(paths[0])
                self._open(
                    move.target, (image, *self._layers(image.path)[1:]), {image.path}, in_vm=False
                )
                self.images[image.path].backing = paths[0]
                assert self.content(image.path) == before, f"{image.path} reads otherwise"
            case RemoveFile(path=path):
                assert not self.is_referred(path), f"{path} is still referred to"
                self.images.pop(path, None)
                self.memory.pop(path, None)
            case MakeOverlay(path=path, base=base):
                assert base.format == self.images[base.path].format
                if path not in self.images:
                    self.images[path] = Image(base.path)
                assert self.images[path].backing == base.path

    def _change_record(
        self, move: SetFrozen | SetActive | SetCurrent | ForgetSnapshot | SetDescription
    ) -> None:
        match move:
            case SetFrozen():
                frozen = self.records[move.snapshot].frozen
                assert frozen[move.target] in {move.old_path, move.new_path}
                self._check_format(move)
                frozen[move.target] = move.new_path
            case SetActive():
                assert self.defined[move.target] in {move.old_path, move.new_path}
                self._check_format(move)
                self.defined[move.target] = move.new_path
            case SetCurrent(snapshot=name):
                assert name in self.records
                self.current = name
            case ForgetSnapshot(snapshot=name):
                if name in self.records:
                    self.forget(name)
            case SetDescription(snapshot=name):
                assert name in self.records

    def _check_format(self, move: SetFrozen | SetActive) -> None:
        new = self.images[move.new_path].format
        assert new == (move.new_format or self.images[move.old_path].format)

    def _change_vm(self, move: StopVm | StartVm | RestoreMemory | DefineAsAt) -> None:
        match move:
            case StopVm():
                self.open = None
            case StartVm():
                if self.open is None:
                    self.switch(on=True)
            case RestoreMemory(snapshot=name, memory_path=path, images=images):
                assert path in self.memory
                assert dict(images).items() <= self.defined.items()
                assert name in self.records
                if self.open is None:
                    self.switch(on=True)
            case DefineAsAt(snapshot=name, images=images):
                assert name in self.records
                assert self.open is None, "the VM is on"
                assert set(dict(images).values()) <= set(self.images)
                self.defined |= dict(images)

    def _by_libvirt(self, move: DeleteByLibvirt | RevertByLibvirt | TakeSnapshot) -> None:
        match move:
            case DeleteByLibvirt(snapshot=name):
                record = self.records.get(name)
                if record is None:
                    return
                assert record.kind is SnapshotKind.INTERNAL
                for target, path in record.frozen.items():
                    assert self.active(target) == path, "libvirt looks into the active image"
                    del self.images[path].inner[name]
                self.forget(name)
            case RevertByLibvirt(snapshot=name):
                self.revert(name)
            case TakeSnapshot():
                if move.name not in self.records:
                    kept = [d.target for d in move.disks if d.overlay] or None
                    self.take(
                        move.kind, memory=move.memory_path is not None, targets=kept, asked=move
                    )

    # What snapview reads

    def vm(
        self,
        version: tuple[int, int, int] = (11, 3, 0),
        *,
        with_storage: bool = True,
    ) -> Vm:
        """What is read of it; a VM that is off is defined by its active images alone."""
        snapshots = [self._snapshot(name, record) for name, record in self.records.items()]
        tree = SnapshotTree(snapshots, self.current)
        disks = tuple(self._disk(target, tree) for target in self.targets)
        made = vm_of(
            make_vm(tree=tree, disks=disks),
            version=version,
            run_state=RunState.RUNNING if self.open is not None else RunState.SHUTOFF,
        )
        return made.with_storage(self.storage()) if with_storage else made

    def _disk(self, target: str, tree: SnapshotTree) -> DiskChain:
        if self.open is not None:
            layers = self._layers(self.open[target][0])
            return DiskChain(target, layers, defined=len(layers), is_complete=True)
        layers = self._layers(self.defined[target])[:1]
        return complete_chain(DiskChain(target, layers, defined=1), tree)

    def _snapshot(self, name: str, record: Record) -> Snapshot:
        mode = "internal" if record.kind is SnapshotKind.INTERNAL else "external"
        disks = [
            SnapshotDisk(target, mode, self._layer(path), _overlay(record.overlays.get(target)))
            for target, path in record.frozen.items()
        ]
        disks += [SnapshotDisk(t, "no") for t in self.targets if t not in record.frozen]
        return Snapshot(
            name,
            name,
            parent=record.parent,
            kind=record.kind,
            state=SnapshotState.RUNNING if record.was_on else SnapshotState.SHUTOFF,
            has_memory=record.memory is not None,
            memory_path=record.memory,
            created_at=START.replace(microsecond=record.number),
            disks=tuple(disks),
            revert_overlays=tuple(
                SnapshotDisk(target, "external", None, _overlay(path))
                for target, path in record.after_revert.items()
            ),
        )

    def storage(self) -> Storage:
        images = {
            path: ImageFile(
                path,
                image.format,
                image.backing,
                self.images[image.backing].format if image.backing else None,
                CLUSTER * CLUSTERS,
                image.allocation,
            )
            for path, image in self.images.items()
        }
        images |= {path: ImageFile(path, "raw", allocation_bytes=MEMORY) for path in self.memory}
        users: dict[str, tuple[str, ...]] = {}
        for name, top in self.others.items():
            for path in self.chain(top):
                users[path] = (*users.get(path, ()), name)
        return Storage(
            MappingProxyType(images),
            MappingProxyType({FOLDER: 1 << 40}),
            MappingProxyType(users),
            copy_bytes_per_second=1e8,
        )

    def _layer(self, path: str) -> DiskLayer:
        return DiskLayer(path, self.images[path].format)

    def _layers(self, path: str) -> tuple[DiskLayer, ...]:
        return tuple(self._layer(each) for each in self.chain(path))


def path_of(name: str) -> str:
    return f"{FOLDER}/{name}.qcow2"


def _overlay(path: str | None) -> DiskLayer | None:
    return DiskLayer(path, "qcow2") if path is not None else None


def _part(clusters: dict[int, int], part: float | None) -> dict[int, int]:
    """The first of some clusters: what a job has copied when it is interrupted."""
    keys = sorted(clusters)
    count = len(keys) if part is None else int(part * len(keys))
    return {key: clusters[key] for key in keys[:count]}


def prove(world: FileWorld, planned: Plan, *, crash: tuple[int, float] | None = None) -> None:
    """Carry out a plan that deletes or merges, and see that it does what it says and no more.

    After each move every state that is not given up is what it was. In the end no file is lost and
    none is left over, the records are true, and the figures were bounds. ``crash`` says in which
    move somebody is interrupted once, and how far its copying had got.
    """
    old = copy.deepcopy(world)
    lost = lost_snapshots(planned)
    peak = _carry_out(world, planned.moves, lost)
    assert set(world.records) == set(old.records) - lost
    for name, record in world.records.items():
        assert record.parent == _kept_ancestor(old, old.records[name].parent, lost)
    assert world.current == _kept_ancestor(old, old.current, lost)
    world.check_definition()
    _check_files(old, world)
    _check_figures(old, world, planned, peak)
    if crash is not None and planned.moves:
        at, part = crash[0] % len(planned.moves), crash[1]
        _carry_out(old, planned.moves[:at], lost)
        _crash(old, planned.moves[at], part, lost)
        _carry_out(old, planned.moves[at:], lost)
        assert (old.states(), old.files()) == (world.states(), world.files())
        assert (old.records, old.defined) == (world.records, world.defined)


def lost_snapshots(planned: Plan) -> set[str]:
    """The snapshots that are gone after a plan."""
    gone = (DeleteByLibvirt, ForgetSnapshot)
    return {move.snapshot for move in planned.moves if isinstance(move, gone)}


def _carry_out(world: FileWorld, moves: Iterable[Move], lost: set[str]) -> int:
    """Make moves; return the allocation of all files at the moment it was most."""
    before, peak = _kept_states(world, lost), world.allocation()
    for move in moves:
        world.do(move)
        _check_states(world, before, move)
        peak = max(peak, world.allocation())
    return peak


def _crash(world: FileWorld, move: Move, part: float, lost: set[str]) -> None:
    """Be interrupted in a move that copies; after all others, before that is known."""
    before = _kept_states(world, lost)
    copies = isinstance(move, CommitImages | PullImages)
    world.do(move, part=part if copies else None)
    _check_states(world, before, move)


def _kept_states(world: FileWorld, lost: set[str]) -> dict[StateKey, object]:
    return {key: held for key, held in world.states().items() if key[0] not in lost}


def _check_states(world: FileWorld, before: dict[StateKey, object], move: Move) -> None:
    after = world.states()
    spoilt = sorted(key for key, held in before.items() if after.get(key) != held)
    assert not spoilt, f"{move} spoilt {spoilt}"


def _kept_ancestor(world: FileWorld, name: str | None, lost: set[str]) -> str | None:
    while name in lost and name is not None:
        name = world.records[name].parent
    return name


def _check_files(old: FileWorld, new: FileWorld) -> None:
    """Nothing that is needed is gone, nothing is left over, and nobody else's file is touched.

    What nobody needed before stays, with what it lies on. So does a base image without a record,
    with the layers on it: it may be somebody's template.
    """
    assert new.needed() <= new.files(), "files are lost"
    nobodys = old.files() - old.needed()
    assert nobodys <= new.files(), "a file of nobody's was removed"
    left = new.files() - new.needed() - nobodys
    left -= {path for top in nobodys & set(new.images) for path in new.chain(top)}
    recorded = {path for record in old.records.values() for path in record.frozen.values()}
    for path in left:
        root = new.chain(path)[-1]
        is_template = old.images[root].backing is None and root not in recorded
        assert is_template, f"{path} is left over"


def _check_figures(old: FileWorld, new: FileWorld, planned: Plan, peak: int) -> None:
    copied, taken = new.copied - old.copied, new.allocation() - old.allocation()
    assert planned.bytes_to_copy is not None
    assert planned.extra_bytes_needed is not None
    assert copied <= planned.bytes_to_copy
    assert peak - old.allocation() <= planned.extra_bytes_needed
    assert planned.freed_bytes in {None, -taken}
