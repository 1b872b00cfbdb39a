"""A libvirt with a QEMU in memory: files with contents, documents as libvirt writes them.

Written from what libvirt and QEMU do, without looking at how snapview gets along with them. What
would destroy somebody's data is not refused, it destroys them: what is left tells.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from html import escape
from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

from snapview.core.errors import Conflict, HostError, NotFound, Unsupported
from snapview.core.operations import Afterwards
from snapview.core.storage import ImageFile, Storage
from snapview.core.under_way import BlockJob, BlockJobType
from snapview.core.vm import (
    DiskLayer,
    HostCapabilities,
    RunState,
    Snapshot,
    SnapshotTree,
    Vm,
)
from snapview.virt.chains import complete_chain
from snapview.virt.snapshot_text import read_snapshot
from snapview.virt.xml import parse_domain
from tests.trees import START, vm_uuid

UUID = vm_uuid("web")
FOLDER = "/images"
CLUSTER = 1 << 16
STEPS = 3  # looks at a job until all is copied
Content = tuple[tuple[int, str], ...]


def path_of(name: str) -> str:
    return f"{FOLDER}/{name}"


@dataclass
class Image:
    """A file of clusters on a backing file; ``tags`` are internal snapshots with their memory."""

    backing: str | None = None
    clusters: dict[int, str] = field(default_factory=dict)
    tags: dict[str, tuple[dict[int, str], str]] = field(default_factory=dict)
    format: str = "qcow2"


@dataclass
class Job:
    """A block job; ``images`` are those that are merged, ``into`` the one that takes it all."""

    type: BlockJobType
    images: tuple[str, ...]
    into: str
    below: str | None  # what the result lies on, of a pull
    steps: int = 0
    is_ready: bool = False
    bandwidth: int = 0


@dataclass
class Qemu:
    """A process: the chains it has open, the active image first, and its jobs."""

    libvirt: "MemoryLibvirt"
    chains: dict[str, list[str]]
    memory: str = ""
    is_workbench: bool = False
    jobs: dict[str, Job] = field(default_factory=dict)

    # -- block jobs

    def commit(self, disk: str, top: str, base: str, bandwidth: int) -> None:
        chain = self.chains[disk]
        if top not in chain or base not in chain[chain.index(top) + 1 :]:
            raise Conflict(f"{base} does not lie below {top}.")
        self.libvirt.lock_for_writing(base, self)
        images = tuple(chain[chain.index(top) : chain.index(base)])
        is_active = chain[0] == top
        kind = BlockJobType.ACTIVE_COMMIT if is_active else BlockJobType.COMMIT
        self._start(disk, Job(kind, images, base, None, bandwidth=bandwidth))

    def pull(self, disk: str, base: str | None, bandwidth: int) -> None:
        chain = self.chains[disk]
        if base is not None and base not in chain[1:]:
            raise Conflict(f"{base} does not lie below {chain[0]}.")
        end = chain.index(base) if base is not None else len(chain)
        job = Job(BlockJobType.PULL, tuple(chain[1:end]), chain[0], base, bandwidth=bandwidth)
        self._start(disk, job)
        if not job.images:
            self._finish(disk)  # there is nothing to copy, but the header is written

    def _start(self, disk: str, job: Job) -> None:
        if disk in self.jobs:
            raise Conflict("A disk of the VM is busy with a copy.")
        self.jobs[disk] = job

    def look(self, disk: str) -> BlockJob | None:
        """Let time pass, then tell of a disk's job."""
        job = self.jobs.get(disk)
        if job is None:
            return None
        job.steps += 1
        self._copy(job)
        if job.steps > STEPS:
            if job.type is not BlockJobType.ACTIVE_COMMIT:
                self._finish(disk)
                return None
            job.is_ready = job.steps > STEPS + 1
        done = min(job.steps, STEPS)
        return BlockJob(disk, job.type, done, STEPS, job.bandwidth, job.is_ready)

    def _copy(self, job: Job) -> None:
        files = self.libvirt.files
        moved: dict[int, str] = {}
        for path in reversed(job.images):
            moved |= files[path].clusters
        if job.type is BlockJobType.PULL:
            moved = {c: v for c, v in moved.items() if c not in files[job.into].clusters}
        count = len(moved) * min(job.steps, STEPS) // STEPS
        files[job.into].clusters |= dict(sorted(moved.items())[:count])

    def _finish(self, disk: str) -> None:
        """The end of a job that needs no pivot: the header above is written."""
        job, chain = self.jobs.pop(disk), self.chains[disk]
        files = self.libvirt.files
        if job.type is BlockJobType.PULL:
            files[job.into].backing = job.below
        else:
            files[chain[chain.index(job.images[0]) - 1]].backing = job.into
        self.chains[disk] = [path for path in chain if path not in job.images]

    def end(self, disk: str, *, pivot: bool) -> None:
        job = self.jobs.get(disk)
        if job is None:
            return
        if not pivot:
            del self.jobs[disk]
            return
        if not job.is_ready:
            raise Conflict("A disk of the VM is busy with a copy.", detail="not ready for pivot")
        job.steps = STEPS
        self._copy(job)
        del self.jobs[disk]
        top = self.chains[disk][0]
        self.chains[disk] = [p for p in self.chains[disk] if p not in job.images]
        if not self.is_workbench:
            self.libvirt.moved_on(disk, top, job.into)


@dataclass
class MemoryLibvirt:
    """One VM on one host, with the files in its folder."""

    targets: tuple[str, ...] = ("vda",)
    version: tuple[int, int, int] = (11, 3, 0)
    base_format: str = "qcow2"
    files: dict[str, Image] = field(default_factory=dict)
    memory_files: dict[str, str] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)  # documents
    current: str | None = None
    definition: str = ""
    qemu: Qemu | None = None
    is_paused: bool = False
    is_frozen: bool = False  # the guest's file systems
    benches: list[Qemu] = field(default_factory=list)
    second: int = 1_767_268_800
    keeps_tags: bool = False  # trap 18
    tokens: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        images = {}
        for target in self.targets:
            base = path_of(f"{target}.{'qcow2' if self.base_format == 'qcow2' else 'img'}")
            self.files[base] = Image(None, format=self.base_format)
            images[target] = DiskLayer(base, self.base_format)
        disks = "".join(_disk(target, (layer,)) for target, layer in images.items())
        self.definition = _DOMAIN.format(uuid=UUID, disks=disks)

    # What is true

    def layer(self, path: str) -> DiskLayer:
        return DiskLayer(path, self.files[path].format)

    def below(self, path: str) -> list[str]:
        """Follow the headers."""
        found = [path]
        while (backing := self.files[found[-1]].backing) is not None:
            if backing not in self.files:
                raise HostError(f"Cannot access storage file {backing}.")
            assert backing not in found, "a loop of backing files"
            found.append(backing)
        return found

    def content(self, path: str) -> Content:
        """What is read from an image."""
        found: dict[int, str] = {}
        for each in reversed(self.below(path)):
            found |= self.files[each].clusters
        return tuple(sorted(found.items()))

    def defined(self) -> dict[str, list[str]]:
        """The chains that the definition names."""
        return _chains(self.definition)

    def active(self, target: str) -> str:
        return self.qemu.chains[target][0] if self.qemu else self.defined()[target][0]

    def states(self) -> dict[tuple[str, str], object]:
        """What each snapshot holds, by its record."""
        held: dict[tuple[str, str], object] = {}
        for name, text in self.records.items():
            root = ET.fromstring(text)
            modes = {d.get("name"): d.get("snapshot") for d in root.findall("disks/disk")}
            memory = root.find("memory")
            for target, chain in _chains(text).items():
                if modes.get(target) == "internal":
                    held[name, target] = self.files[chain[0]].tags[name]
                else:
                    held[name, target] = self.content(chain[0])
            if memory is not None and memory.get("snapshot") == "external":
                held[name, "memory"] = self.memory_files[memory.get("file", "")]
        return held

    def live(self) -> dict[str, Content]:
        return {target: self.content(self.active(target)) for target in self.targets}

    def needed(self) -> set[str]:
        """The files that something refers to, directly or by headers."""
        tops = {chain[0] for text in self.records.values() for chain in _chains(text).values()}
        tops |= {chain[0] for chain in self.defined().values()}
        tops |= {self.active(target) for target in self.targets}
        found = {each for path in tops for each in self.below(path)}
        memory = (ET.fromstring(text).find("memory") for text in self.records.values())
        return found | {m.get("file", "") for m in memory if m is not None and m.get("file")}

    # What the guest and its user do

    def write(self, cluster: int) -> None:
        for target in self.targets:
            self.files[self.active(target)].clusters[cluster] = f"{next(self.tokens)}"

    def start(self, *, paused: bool = False, text: str | None = None, memory: str = "") -> None:
        """Start QEMU; libvirt believes the chains of a definition where there are any."""
        chains = {}
        for target, chain in _chains(text or self.definition).items():
            for path in chain:
                if path not in self.files:
                    raise HostError(f"Cannot access storage file {path}.")
            chains[target] = [*chain, *self.below(chain[-1])[1:]]
        opened = Qemu(self, chains, memory or f"booted-{next(self.tokens)}")
        for chain in chains.values():
            self.lock_for_writing(chain[0], opened)
        self.qemu, self.is_paused = opened, paused

    def stop(self) -> None:
        self.qemu, self.is_frozen = None, False

    def take(self, name: str, *, memory: bool = False, internal: bool = False) -> None:
        """Take a snapshot as virsh would."""
        disks = "".join(
            f"<disk name='{t}' snapshot='external' type='file'><driver type='qcow2'/>"
            f"<source file='{path_of(f'{t}.{name}.qcow2')}'/></disk>"
            for t in self.targets
        )
        where = f"<memory snapshot='external' file='{path_of(name)}.mem'/>" if memory else ""
        inside = "" if internal else f"{where}<disks>{disks}</disks>"
        self.create(
            f"<domainsnapshot><name>{name}</name>{inside}</domainsnapshot>",
            disk_only=not (memory or internal),
        )

    # libvirt

    def lock_for_writing(self, path: str, by: Qemu) -> None:
        """As QEMU's locks do: nobody writes to what another process has open."""
        for other in (self.qemu, *self.benches):
            if other is not None and other is not by:
                opened = {each for chain in other.chains.values() for each in chain}
                if path in opened:
                    raise HostError("Another program has one of the images open.")

    def lock_for_reading(self, path: str) -> None:
        for other in (self.qemu, *self.benches):
            if other is not None and path in {chain[0] for chain in other.chains.values()}:
                raise HostError("Another program has one of the images open.")

    def open_bench(self, disks: Sequence[tuple[str, tuple[DiskLayer, ...]]]) -> Qemu:
        """Start a QEMU that has nothing but these images; it believes the chains it is given."""
        opened = Qemu(self, {t: [layer.path for layer in chain] for t, chain in disks})
        opened.is_workbench = True
        for target, chain in disks:
            for layer in chain:
                if layer.path not in self.files:
                    raise HostError(f"Cannot access storage file {layer.path}.")
                assert layer.format == self.files[layer.path].format, f"{target}: a format is wrong"
                self.lock_for_reading(layer.path)
            self.lock_for_writing(chain[0].path, opened)
        self.benches.append(opened)
        return opened

    def put(self, path: str, base: str) -> None:
        self.files[path] = Image(base)

    def moved_on(self, target: str, old: str, new: str) -> None:
        """The end of an active commit: libvirt changes the definition as well."""
        if self.defined()[target][0] == old:
            self._redefine_disk(target, self.layer(new))

    def _redefine_disk(self, target: str, *chain: DiskLayer) -> None:
        at = re.search(_DISK_OF.format(target), self.definition, re.DOTALL)
        assert at is not None
        new = _disk(target, chain)
        self.definition = self.definition[: at.start()] + new + self.definition[at.end() :]

    def live_xml(self) -> str:
        """The VM as it runs, or would run."""
        if self.qemu is None:
            return self.definition
        disks = ""
        for target, chain in self.qemu.chains.items():
            disks += _disk(target, [self.layer(path) for path in chain], is_whole=True)
        return re.sub(r"    <disk .*</disk>\n", lambda _: disks, self.definition, flags=re.DOTALL)

    def create(self, xml: str, *, disk_only: bool) -> None:
        root = ET.fromstring(xml)
        name = root.findtext("name", "")
        if name in self.records:
            raise Conflict("It exists.")
        overlays = _overlays_in(root)
        taken = [path for path in overlays.values() if path in self.files]
        if taken:
            raise Unsupported("This host cannot do that.", detail=f"{taken[0]} already exists")
        memory = root.find("memory")
        memory_path = memory.get("file") if memory is not None else None
        where = "no"
        if memory_path is not None and self.qemu is not None:
            where = f"external' file='{escape(memory_path)}"
            self.memory_files[memory_path] = self.qemu.memory
        elif not overlays and self.qemu is not None:
            where = "internal"
        state = "shutoff" if self.qemu is None else "disk-snapshot" if disk_only else self._state()
        self._write_down(root, state, where, overlays)
        if self.current is not None:
            self._set_overlays(self.current, "revertDisks", None)
        for target in self.targets:
            if target in overlays:
                self._put_on_top(target, overlays[target])
            else:
                image = self.files[self.active(target)]
                image.tags[name] = (dict(image.clusters), self.qemu.memory if self.qemu else "")
        self.current = name

    def _write_down(
        self, root: ET.Element, state: str, where: str, overlays: dict[str, str]
    ) -> None:
        inside = f"  {self.live_xml().strip()}\n"
        if self.qemu is not None:
            inside += f"  {_renamed(self.definition.strip(), 'domain', 'inactiveDomain')}\n"
        up = f"  <parent>\n    <name>{self.current}</name>\n  </parent>\n"
        name = root.findtext("name", "")
        text = root.findtext("description", "")
        self.records[name] = _RECORD.format(
            name=name,
            description=f"  <description>{escape(text, quote=False)}</description>\n" * bool(text),
            state=state,
            parent=up if self.current is not None else "",
            created=int((START + timedelta(hours=next(self.tokens))).timestamp()),
            memory=where,
            disks="".join(
                _snapshot_disk(target, overlays[target])
                if target in overlays
                else f"    <disk name='{target}' snapshot='internal'/>\n"
                for target in self.targets
            ),
            inside=inside,
        )

    def _put_on_top(self, target: str, path: str) -> None:
        self.files[path] = Image(self.active(target))
        old = [self.layer(each) for each in self.defined()[target]]
        self._redefine_disk(target, self.layer(path), *(old if len(old) > 1 else ()))
        if self.qemu is not None:
            self.qemu.chains[target].insert(0, path)

    def _state(self) -> str:
        return "paused" if self.is_paused else "running"

    def revert(self, name: str, afterwards: Afterwards) -> None:
        """Revert as libvirt 9.9 and newer do, and older ones to internal snapshots."""
        record = self._record(name)
        snapshot = read_snapshot(record)
        if any(disk.mode == "external" for disk in snapshot.disks):
            memory = self._revert_to_external(snapshot, record)
        else:
            self.stop()
            self.definition = _domain_in(record)
            for disk in snapshot.disks:
                assert disk.frozen is not None
                image = self.files[disk.frozen.path]
                image.clusters, memory = dict(image.tags[name][0]), image.tags[name][1]
        self.current = name
        if memory or afterwards in {Afterwards.RUNNING, Afterwards.PAUSED}:
            self.start(paused=afterwards is Afterwards.PAUSED, memory=memory)

    def _revert_to_external(self, snapshot: Snapshot, record: str) -> str:
        if self.version < (9, 9, 0):
            raise Unsupported("revert to external snapshot not supported yet")
        assert self.current is not None, "the daemon has crashed (trap 7)"
        overlays = {}
        for target, frozen in _chains(record).items():
            stem = PurePosixPath(frozen[0]).stem
            overlays[target] = path_of(f"{stem}.{self.second}")
            if overlays[target] in self.files:
                detail = f"external snapshot file for disk {target} already exists"
                raise Unsupported("This host cannot do that for this VM.", detail=detail)
        self.stop()
        self.definition = _domain_in(record)
        for target, frozen in _chains(record).items():
            self.files[overlays[target]] = Image(frozen[0])
            chain = [DiskLayer(path, self._format(path)) for path in frozen]
            self._redefine_disk(target, self.layer(overlays[target]), *chain)  # as recorded
        was = read_snapshot(self.records[self.current])
        for disk in was.revert_overlays or was.disks:
            if disk.overlay is not None:
                self.files.pop(disk.overlay.path, None)
        self._set_overlays(self.current, "revertDisks", None)
        has_children = any(read_snapshot(t).parent == snapshot.name for t in self.records.values())
        self._set_overlays(snapshot.name, "revertDisks" if has_children else "disks", overlays)
        return self.memory_files.get(snapshot.memory_path or "", "")

    def _format(self, path: str) -> str:
        return self.files[path].format if path in self.files else "qcow2"

    def _set_overlays(self, name: str, tag: str, overlays: dict[str, str] | None) -> None:
        made = "".join(_snapshot_disk(t, path) for t, path in (overlays or {}).items())
        element = f"  <{tag}>\n{made}  </{tag}>\n" if overlays else ""
        text = re.sub(rf"  <{tag}>\n.*?</{tag}>\n", "", self.records[name], flags=re.DOTALL)
        at = text.index("  <domain ")
        if overlays:
            text = text[:at] + element + text[at:]
        elif tag == "disks":
            return
        self.records[name] = text

    def _record(self, name: str) -> str:
        if name not in self.records:
            raise NotFound("The snapshot does not exist any more.")
        return self.records[name]

    def delete(self, name: str) -> None:
        for disk in read_snapshot(self._record(name)).disks:
            if disk.mode == "internal" and disk.frozen is not None and not self.keeps_tags:
                self.files[disk.frozen.path].tags.pop(name)
        self.forget(name)

    def forget(self, name: str) -> None:
        gone = read_snapshot(self._record(name))
        del self.records[name]
        up = f"  <parent>\n    <name>{gone.parent}</name>\n  </parent>\n" * bool(gone.parent)
        for other, text in self.records.items():
            if read_snapshot(text).parent == name:
                before, _, rest = text.partition("  <parent>\n")
                self.records[other] = before + up + rest.partition("  </parent>\n")[2]
        if self.current == name:
            self.current = gone.parent

    def redefine(self, xml: str, *, current: bool) -> None:
        name = ET.fromstring(xml).findtext("name", "")
        domain = ET.fromstring(_domain_in(xml))
        if domain.findtext("uuid") != UUID:
            raise Unsupported("This host does not accept that.")
        if current and self.current is not None and self.current in self.records:
            self._set_overlays(self.current, "revertDisks", None)  # trap 6
        if self.version < (9, 9, 0):
            xml = re.sub(r"\s*<revertDisks>.*?</revertDisks>", "", xml, flags=re.DOTALL)
        self.records[name] = xml
        self.current = name if current else self.current

    # What is read

    def vm(self) -> Vm:
        facts = parse_domain(self.live_xml())
        tree = SnapshotTree([read_snapshot(t) for t in self.records.values()], self.current)
        state = RunState.PAUSED if self.is_paused else RunState.RUNNING
        jobs = self.qemu.jobs if self.qemu is not None else {}
        return Vm(
            uuid=UUID,
            name="web",
            run_state=state if self.qemu is not None else RunState.SHUTOFF,
            tree=tree,
            disks=tuple(complete_chain(disk, tree) for disk in facts.hardware.disks),
            hardware=replace(facts.hardware, has_guest_agent=True),
            capabilities=HostCapabilities(
                "QEMU", self.version, (10, 0, 2), reverts_external=self.version >= (9, 9, 0)
            ),
            block_jobs=tuple(BlockJob(target, job.type) for target, job in jobs.items()),
            read_at=START + timedelta(days=1),
        )

    def storage(self) -> Storage:
        images = {
            path: ImageFile(
                path,
                image.format,
                image.backing,
                self.files[image.backing].format if image.backing in self.files else None,
                1 << 30,
                CLUSTER * (3 + len(image.clusters) + sum(len(c) for c, _ in image.tags.values())),
            )
            for path, image in self.files.items()
        }
        for path in self.memory_files:
            images[path] = ImageFile(path, "raw", allocation_bytes=5 << 20)
        return Storage(images, {FOLDER: 1 << 40}, copy_bytes_per_second=1e8)


_DOMAIN = """<domain type='qemu'>
  <name>web</name>
  <uuid>{uuid}</uuid>
  <memory unit='KiB'>16384</memory>
  <vcpu placement='static'>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc-i440fx-10.0'>hvm</type>
  </os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
{disks}  </devices>
</domain>
"""
_DISK_OF = r"    <disk (?:(?!</disk>).)*<target dev='{}'.*?</disk>\n"
_RECORD = """<domainsnapshot>
  <name>{name}</name>
{description}  <state>{state}</state>
{parent}  <creationTime>{created}</creationTime>
  <memory snapshot='{memory}'/>
  <disks>
{disks}  </disks>
{inside}</domainsnapshot>
"""


def _disk(
    target: str, chain: "list[DiskLayer] | tuple[DiskLayer, ...]", *, is_whole: bool = False
) -> str:
    below = "<backingStore/>\n" if is_whole else ""
    for layer in reversed(chain[1:]):
        below = (
            f"<backingStore type='file'>\n<format type='{layer.format}'/>\n"
            f"<source file='{escape(layer.path)}'/>\n{below}</backingStore>\n"
        )
    return (
        f"    <disk type='file' device='disk'>\n"
        f"      <driver name='qemu' type='{chain[0].format}'/>\n"
        f"      <source file='{escape(chain[0].path)}'/>\n"
        f"{below}      <target dev='{target}' bus='virtio'/>\n    </disk>\n"
    )


def _snapshot_disk(target: str, path: str) -> str:
    return (
        f"    <disk name='{target}' snapshot='external' type='file'>\n"
        f"      <driver type='qcow2'/>\n"
        f"      <source file='{escape(path)}'/>\n    </disk>\n"
    )


def _overlays_in(root: ET.Element) -> dict[str, str]:
    """What a snapshot's document wants for its disks."""
    found = {}
    for disk in root.findall("disks/disk"):
        source = disk.find("source")
        if source is not None:
            found[disk.get("name", "")] = source.get("file", "")
    return found


def _renamed(text: str, old: str, new: str) -> str:
    return text.replace(f"<{old} ", f"<{new} ").replace(f"</{old}>", f"</{new}>")


def _domain_in(record: str) -> str:
    """The definition that a snapshot keeps."""
    root = ET.fromstring(record)
    found = root.find("inactiveDomain")
    found = found if found is not None else root.find("domain")
    assert found is not None
    found.tag = "domain"
    disks = ""
    for disk in found.findall("devices/disk"):
        target, driver = disk.find("target"), disk.find("driver")
        assert target is not None
        assert driver is not None
        path = disk.find("source").get("file", "")  # type: ignore[union-attr]
        disks += _disk(target.get("dev", ""), (DiskLayer(path, driver.get("type")),))
    return _DOMAIN.format(uuid=found.findtext("uuid"), disks=disks)


def _chains(text: str) -> dict[str, list[str]]:
    """The chains of the disks of a domain, or of the first domain in a snapshot's record."""
    root = ET.fromstring(text)
    domain = root if root.tag == "domain" else root.find("domain")
    assert domain is not None
    found = {}
    for disk in domain.findall("devices/disk"):
        at: ET.Element | None = disk
        paths = []
        while at is not None and (source := at.find("source")) is not None:
            paths.append(source.get("file", ""))
            at = at.find("backingStore")
        target = disk.find("target")
        assert target is not None
        found[target.get("dev", "")] = paths
    return found


def external_chains(record: str) -> dict[str, list[str]]:
    """The chains that an external snapshot froze."""
    root = ET.fromstring(record)
    modes = {d.get("name"): d.get("snapshot") for d in root.findall("disks/disk")}
    return {t: chain for t, chain in _chains(record).items() if modes.get(t) == "external"}
