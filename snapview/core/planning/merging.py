"""Images that are joined or removed: which jobs that takes, what forbids it, and its moves.

*Commit*: down into the lower image, which keeps its name. *Pull*: up into the upper one. Deleting a
snapshot and consolidating a disk are both made of these. Hides who can open an image for writing:
the running VM its own chains, a workbench all others.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from snapview.core.moves import (
    CommitImages,
    Move,
    PointTo,
    PullImages,
    RemoveFile,
    SetActive,
    SetFrozen,
)
from snapview.core.planning.figures import Figures
from snapview.core.planning.images import Images
from snapview.core.planning.plans import RefusalCode, Rule, VmFacts
from snapview.core.vm import DiskLayer, RunState, Vm

FILE_TYPES = {"file", "block"}  # what a workbench can open


@dataclass(frozen=True, slots=True)
class Commit:
    """Join ``images``, the uppermost first, into ``base``, on which the last one lies."""

    target: str
    images: tuple[str, ...]
    base: str

    @property
    def top(self) -> str:
        """The image whose state is kept, in ``base``."""
        return self.images[0]


@dataclass(frozen=True, slots=True)
class Pull:
    """Copy ``between``, the uppermost first, up into the ``image`` that lies on them."""

    target: str
    image: str
    between: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """What is done to the images of one disk so that one state, or several, can go.

    ``image`` is the lowest of those whose content goes; who does not need it needs none of them.
    ``gone`` are the files to be removed once no record names them, each after those that lie on
    it. Those that a commit has joined are removed right after it, so that nothing is left over
    when the next job is cancelled.
    """

    image: str
    jobs: tuple[Commit | Pull, ...] = ()
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkFacts(VmFacts):
    """What the rows of the table look at. ``what`` names the work's subject in a sentence."""

    images: Images
    work: Work
    what: str

    @property
    def opened(self) -> Iterator[tuple[Commit | Pull, str]]:
        """Each job with the image that is opened for it."""
        for job in self.work.jobs:
            yield job, opened_image(self.images, job)

    @property
    def removed(self) -> Iterator[str]:
        """The files that are removed."""
        for job in self.work.jobs:
            yield from job.images if isinstance(job, Commit) else ()
        yield from self.work.gone

    @property
    def lost_layers(self) -> Iterator[str]:
        """The images whose inner states would not survive: merged away, or pulled into."""
        for job in self.work.jobs:
            yield from job.images if isinstance(job, Commit) else (job.image,)

    @property
    def touched(self) -> tuple[str, ...]:
        """The images that are written to or removed."""
        written = (job.base if isinstance(job, Commit) else job.image for job in self.work.jobs)
        return tuple(dict.fromkeys((self.work.image, *written, *self.lost_layers, *self.work.gone)))


def opened_image(images: Images, job: Commit | Pull) -> str:
    """Return the first image of the chain that has to be opened for a job."""
    return images.leaf(job.top) if isinstance(job, Commit) else job.image


def in_vm(images: Images, job: Commit | Pull) -> bool:
    """Whether the running VM itself does a job, because it has these images open."""
    image = job.base if isinstance(job, Commit) else job.image
    return images.is_on and image in images.live


def _unreadable(facts: WorkFacts) -> str:
    return next((s.label for s in facts.vm.tree if s.problem is not None), "")


def _no_file(facts: WorkFacts) -> str:
    """Return an image that is no file: what can be done to it is not known."""
    layer = facts.images.layer
    gone = (path for path in facts.removed if layer(path).type != "file")
    written = (path for path in facts.touched if layer(path).type not in FILE_TYPES)
    opened = (each.path for each in _at_workbench(facts) if each.type not in FILE_TYPES)
    return next((path for path in (*gone, *written, *opened)), "")


def _at_workbench(facts: WorkFacts) -> Iterator[DiskLayer]:
    """Yield what a workbench has to open."""
    for job, top in facts.opened:
        if not in_vm(facts.images, job):
            yield from facts.images.chain(top)


def _no_format(facts: WorkFacts) -> str:
    """Return an image that a workbench would have to open without knowing its format."""
    return next((each.path for each in _at_workbench(facts) if each.format is None), "")


def _unread(facts: WorkFacts) -> str:
    """Return an image beside which unknown ones may lie on it."""
    storage = facts.vm.storage
    if storage is None:
        return ""
    files = (path for path in facts.touched if facts.images.layer(path).type == "file")
    return next((path for path in files if storage.is_unread(path)), "")


def _fault(facts: WorkFacts) -> str:
    storage = facts.vm.storage
    if storage is None:
        return ""
    return next((text for _, top in facts.opened if (text := storage.fault(top))), "")


def _led_astray(facts: WorkFacts) -> str:
    """Return an image that may need one of those that go, though its header does not say it.

    Either the header names that one in a way that is not followed, or a record says that it was
    put on that one, and its header leads nowhere: whoever mends it will need both.
    """
    storage, images, touched = facts.vm.storage, facts.images, set(facts.touched)
    if storage is None:
        return ""
    removed = set(facts.removed)
    doubtful = (above for path in facts.touched for above in storage.doubtful_overlays(path))
    put_on = (
        disk.overlay.path
        for snapshot in facts.vm.tree
        for disk in (*snapshot.disks, *snapshot.revert_overlays)
        if disk.frozen is not None and disk.overlay is not None and disk.frozen.path in touched
    )
    is_broken = (p for p in put_on if p in storage.images and storage.fault(p))
    needed = (path for path in is_broken if images.is_needed(path))
    return next((path for path in (*sorted(doubtful), *needed) if path not in removed), "")


def _odd_disk(facts: WorkFacts) -> str:
    live = facts.images.live
    targets = (live.get(path, "") for path in facts.touched)
    return next((target for target in targets if target in facts.images.odd), "")


def _stray(facts: WorkFacts) -> str:
    """Return an image of nobody's that lies on one whose content goes."""
    if not facts.work.jobs:
        return ""
    overlays = facts.images.overlays(facts.work.image)
    return next((path for path in overlays if not facts.images.is_needed(path)), "")


def _inner(facts: WorkFacts) -> str:
    """Return an internal snapshot that would not survive."""
    inner = (place for path in facts.lost_layers for place in facts.images.inside(path))
    name = next((name for name, _ in inner), None)
    return facts.vm.tree[name].label if name is not None else ""


def _shrunk(facts: WorkFacts) -> str:
    """Return an image that would not get as small as the disk is above it."""
    storage = facts.vm.storage
    for job in facts.work.jobs:
        if storage is not None and isinstance(job, Commit):
            top, base = storage.images.get(job.top), storage.images.get(job.base)
            now = top.capacity_bytes if top is not None else None
            below = base.capacity_bytes if base is not None else None
            if now is not None and below is not None and now < below:
                return job.base
    return ""


def _pulled_below(facts: WorkFacts) -> str:
    """Return an image that the running VM has open below its active one."""
    images = facts.images
    pulls = (job for job in facts.work.jobs if isinstance(job, Pull) and in_vm(images, job))
    return next((p.image for p in pulls if p.image not in images.active.values()), "")


def _pulled_while_paused(facts: WorkFacts) -> str:
    """Return an image into which the QEMU of a paused VM would copy: see ``VmPort.write_out``."""
    if facts.vm.run_state is not RunState.PAUSED:
        return ""
    jobs = facts.work.jobs
    pulls = (each for each in jobs if isinstance(each, Pull) and in_vm(facts.images, each))
    return next((each.image for each in pulls), "")


NOT_SAVED: Rule[VmFacts] = Rule(
    RefusalCode.MANAGED_SAVE,  # trap 4
    lambda f: f.vm.has_managed_save and not f.vm.run_state.is_active,
    lambda f: f"“{f.vm.name}” is saved to disk; its saved state would no longer fit its disks.",
    "Start the VM first.",
)


def _written_below(facts: WorkFacts) -> str:
    """Return an image the running VM writes to that a workbench would need (trap 2)."""
    if not facts.images.is_on:
        return ""
    active = set(facts.images.active.values())
    return next((each.path for each in _at_workbench(facts) if each.path in active), "")


WORK_RULES: tuple[Rule[WorkFacts], ...] = (
    Rule(
        RefusalCode.UNREADABLE,
        _unreadable,
        lambda f: (
            f"The record of “{_unreadable(f)}” cannot be read, so nobody knows which images "
            "it needs."
        ),
        "Look at it with virsh snapshot-dumpxml; once it can be read, this can be done.",
    ),
    Rule(
        RefusalCode.DISK_FORMAT,
        _no_file,
        lambda f: f"{_no_file(f)} is no image file, so snapview keeps its hands off it.",
        "Keep the snapshot.",
    ),
    Rule(
        RefusalCode.SHARED_IMAGE,
        lambda f: f.images.users(f.work.image),
        lambda f: (
            f"{f.work.image} is also used by "
            f"{', '.join(f'“{name}”' for name in f.images.users(f.work.image))}."
        ),
        "Give that VM an image of its own first.",
    ),
    Rule(
        RefusalCode.BROKEN_CHAIN,
        _fault,
        lambda f: f"The images cannot be merged: {_fault(f)}.",
        "Put the missing file back, or write the right path into the header: qemu-img rebase -u.",
    ),
    Rule(
        RefusalCode.UNREADABLE,
        _unread,
        lambda f: (
            f"libvirt cannot look into the folder of {_unread(f)}, so nobody knows what else "
            "needs that image."
        ),
        "See that libvirt may read that folder.",
    ),
    Rule(
        RefusalCode.CHAIN_MISMATCH,
        _odd_disk,
        lambda f: (
            f"The VM uses other images for {_odd_disk(f)} than the files themselves name as "
            "their backing files."
        ),
        "Shut the VM down and put its definition or its images right.",
    ),
    Rule(
        RefusalCode.CHAIN_MISMATCH,
        _stray,
        lambda f: f"{_stray(f)} lies on the image of {f.what}, and belongs to no snapshot.",
        "Look at that file, and remove it when nobody needs it.",
    ),
    Rule(
        RefusalCode.MIXED,  # trap 3: a merge drops the internal snapshots in the merged layer
        _inner,
        lambda f: f"Merging {f.what} would destroy “{_inner(f)}”, which lies inside an image.",
        "Delete the internal snapshots above it first.",
    ),
    Rule(
        RefusalCode.DISK_FORMAT,
        _shrunk,
        lambda f: f"The disk is smaller now than {_shrunk(f)}, which cannot be made smaller.",
        "Enlarge the disk first.",
    ),
    Rule(
        RefusalCode.RUNNING,
        _pulled_below,
        lambda f: f"{_pulled_below(f)} cannot be written to while the VM is on.",
        "Shut the VM down first, or merge downwards.",
    ),
    Rule(
        RefusalCode.RUNNING,
        _written_below,
        lambda f: f"The VM is writing to {_written_below(f)}, on which the image of {f.what} lies.",
        "Shut the VM down first.",
    ),
    Rule(
        RefusalCode.DISK_FORMAT,
        _no_format,
        lambda f: f"Nobody has recorded the format of {_no_format(f)}, and guessing is unsafe.",
        "Note it in the image above it: qemu-img rebase -u -F.",
    ),
    Rule(
        RefusalCode.NOT_RUNNING,
        _pulled_while_paused,
        lambda f: (
            f"While the VM is paused, QEMU does not write down for good what is copied up into "
            f"{_pulled_while_paused(f)}."
        ),
        "Let the VM run, or shut it down, or merge downwards.",
    ),
    Rule(
        RefusalCode.BROKEN_CHAIN,
        _led_astray,
        lambda f: (
            f"{_led_astray(f)} may need the image of {f.what}, but its header does not lead there."
        ),
        "Write the path of its backing file into it: qemu-img rebase -u.",
    ),
)


@dataclass(slots=True)
class Carrier:
    """Turns work into moves, and changes the picture and the figures as each one would."""

    vm: Vm
    images: Images
    figures: Figures
    bandwidth_bytes_per_second: int = 0

    def moves(self, job: Commit | Pull) -> list[Move]:
        """Return the moves of one job; files stay until ``removals``."""
        if isinstance(job, Commit):
            return self._commit(job)
        return self._pull(job)

    def removals(self, paths: tuple[str, ...]) -> list[Move]:
        """Return the moves that remove files which nothing refers to any more."""
        for path in paths:
            self.images.remove(path)
            self.figures.remove(path)
        return [RemoveFile(path) for path in paths]

    def _commit(self, job: Commit) -> list[Move]:
        images = self.images
        opened = images.chain(opened_image(images, job))
        is_own = in_vm(images, job)
        limit = self.bandwidth_bytes_per_second
        found: list[Move] = [CommitImages(job.target, job.top, job.base, opened, is_own, limit)]
        new_format = self._other_format(job)
        for name, target in images.tips(job.top):
            found.append(SetFrozen(name, target, job.top, job.base, new_format))
        if job.top in images.active.values() and self.vm.is_persistent:
            found.append(SetActive(images.live[job.top], job.top, job.base, new_format))
        base = images.chain(job.base)
        done = {layer.path for layer in opened}
        for path in images.overlays(job.top):
            if path not in done:
                found.append(PointTo(job.target, images.layer(path), base))
        keeps_old = images.holds_internal(job.base)
        self.figures.copy(job.images, job.base, keeps_old=keeps_old)
        images.commit(job.images, job.base)
        return found

    def _pull(self, job: Pull) -> list[Move]:
        images = self.images
        base = images.below(job.between[-1])
        opened, is_own = images.chain(job.image), in_vm(images, job)
        limit = self.bandwidth_bytes_per_second
        self.figures.copy(job.between, job.image)
        images.pull(job.image, job.between)
        return [PullImages(job.target, base, opened, is_own, limit)]

    def _other_format(self, job: Commit) -> str | None:
        old, new = (self.images.layer(path).format for path in (job.top, job.base))
        return new if new != old else None
