"""Moves in which QEMU works on images: merges down and up, new headers, jobs found running.

Who does the work is seen at the time: the QEMU of the VM that has the images open, else a
workbench. A merge is done when the chain shows it, never because a job is gone.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import assert_never

from snapview.core.errors import (
    Conflict,
    ConnectionLost,
    HostError,
    ImageNotWritable,
    SnapviewError,
)
from snapview.core.moves import CommitImages, EndJob, PointTo, PullImages
from snapview.core.operations import Progress
from snapview.core.storage import Storage
from snapview.core.under_way import BlockJob, BlockJobType
from snapview.core.vm import DiskLayer, RunState, SnapshotState
from snapview.virt.blockjob import Do, MergeJob, Phase, Seen, pause_seconds
from snapview.virt.moves.site import CHANGED, Site, Stopped, require
from snapview.virt.vm_port import BlockJobPort

_log = logging.getLogger(__name__)

MergeMove = CommitImages | PullImages | PointTo | EndJob
Progresses = Generator[Progress, None, None]

FAULTY_LOOKS_AT_MOST = 5


def make_merge(move: MergeMove, site: Site) -> Progresses:
    """Make a move, also one that was made already or is under way, and see that it is so.

    Raises:
        Stopped: somebody cancelled; the job is gone.
    """
    match move:
        case CommitImages():
            yield from _or_made(move, site, _commit(move, site))
        case PullImages():
            yield from _or_made(move, site, _pull(move, site))
        case PointTo():
            yield from _point(move, site)
        case EndJob():
            yield from _end(move, site)
        case _:
            assert_never(move)


def _or_made(move: CommitImages | PullImages, site: Site, making: Progresses) -> Progresses:
    """Make a merge, unless the VM's job, which went on after a crash of ours, ends meanwhile."""
    try:
        yield from making
    except Conflict:
        if not (site.is_recovery and is_merge_so(move, site)):
            raise


def is_merge_so(move: MergeMove, site: Site) -> bool:
    """Look whether what a move makes is so; False also when that cannot be seen."""
    match move:
        case CommitImages():
            return _is_committed(move, site)
        case PullImages():
            is_pulled = _lies_on(site.port.read_storage(), move.chain[0].path, move.base)
            return is_pulled and site.port.block_job(move.target) is None
        case PointTo():
            storage = site.port.read_storage()
            return _lies_on(storage, move.image.path, move.chain[0].path)
        case EndJob():
            return site.port.block_job(move.target) is None
        case _:
            assert_never(move)


def merged_away(move: CommitImages) -> tuple[str, ...]:
    """Return the images whose data go down into the base, the top first."""
    paths = [layer.path for layer in move.chain]
    return tuple(paths[paths.index(move.top) : paths.index(move.base)])


def overwritten(move: CommitImages) -> tuple[str, ...]:
    """Return the images that read otherwise as soon as the merge has begun."""
    paths = [layer.path for layer in move.chain]
    return tuple(paths[paths.index(move.top) + 1 : paths.index(move.base) + 1])


# Down


def _commit(move: CommitImages, site: Site) -> Progresses:
    gone, above = merged_away(move), _above(move)
    storage = site.port.read_storage()
    copied = _allocation(storage, gone)
    _require_nothing_inside(gone, site)
    spoilt = site.holders(move.target, overwritten(move))
    with _opened(move.target, move.chain, storage, site) as qemu:

        def start() -> None:
            speed = move.bandwidth_bytes_per_second
            with _explained(site, is_in_vm=qemu is site.port):
                qemu.commit(move.target, move.top, move.base, speed)

        def is_merged() -> bool:
            chain = qemu.chain(move.target)
            return move.base in chain and set(gone).isdisjoint(chain)

        def begun() -> None:
            site.spoil(spoilt)

        follow = _Follow(qemu, move.target, start, is_merged, copied, begun, not site.is_recovery)
        yield from follow.to_end(MergeJob.commit(), site)
    site.count_copied(copied)
    after = site.port.read_storage()
    is_so = above is None or after.is_unread(above) or _lies_on(after, above, move.base)
    require(is_so, f"{above} still does not lie on {move.base}")
    _require_whole(after, move.chain[0].path)


def _require_nothing_inside(images: Iterable[str], site: Site) -> None:
    """Let no state be dropped or spoilt of which libvirt has no record: QEMU says nothing."""
    for path in images:
        inside = site.port.internal_tags(path)
        if inside:
            raise Conflict(
                f"There are states inside {path} that the merge would destroy: "
                f"{', '.join(inside)}.",
                advice="Delete them first; those without a record with: qemu-img snapshot -d.",
            )


@contextmanager
def _explained(site: Site, *, is_in_vm: bool) -> Iterator[None]:
    """Say it where QEMU has given up its images: it has saved the memory of a paused VM (trap 14).

    It takes them again when the VM goes on, and says otherwise only that they are read-only.
    """
    try:
        yield
    except (ImageNotWritable, HostError) as error:
        vm = site.port.read()
        last = vm.tree.get(vm.tree.current) if vm.tree.current is not None else None
        is_saved = last is not None and last.has_memory and last.state is SnapshotState.PAUSED
        if not (is_in_vm and is_saved and vm.run_state is RunState.PAUSED):
            raise
        raise Conflict(
            f"QEMU has let go of the images of “{vm.name}” since its memory was saved while it "
            "was paused.",
            advice="Let the VM run, if only for a moment, or shut it down; then merge again.",
            detail=error.detail,
        ) from error


def _is_committed(move: CommitImages, site: Site) -> bool:
    """Whether a merge that was begun is done, as far as it leaves traces.

    Of an image on which nothing lies it is seen only while the VM runs on it.
    """
    if site.port.block_job(move.target) is not None:
        return False
    above = _above(move)
    if above is not None:
        return _lies_on(site.port.read_storage(), above, move.base)
    return site.port.chain(move.target)[:1] == (move.base,)


def _above(move: CommitImages) -> str | None:
    """Return the image of the opened chain that lies on the top; None: nothing does."""
    paths = [layer.path for layer in move.chain]
    at = paths.index(move.top)
    return paths[at - 1] if at else None


# Up


def _pull(move: PullImages, site: Site) -> Progresses:
    first = move.chain[0].path
    storage = site.port.read_storage()
    paths = [layer.path for layer in move.chain]
    gone = tuple(paths[1 : paths.index(move.base)] if move.base is not None else paths[1:])
    below = () if move.base is None else (move.base,)
    copied = _allocation(storage, gone)
    _require_nothing_inside([first], site)
    with _opened(move.target, move.chain, storage, site) as qemu:
        if qemu.chain(move.target)[:1] != (first,):
            raise Conflict(f"{first} is not what {move.target} writes to.", advice=CHANGED)

        def start() -> None:
            qemu.pull(move.target, move.base, move.bandwidth_bytes_per_second)

        def is_merged() -> bool:
            chain = qemu.chain(move.target)
            return chain[:1] == (first,) and chain[1:2] == below

        is_new = not site.is_recovery
        follow = _Follow(qemu, move.target, start, is_merged, copied, is_new=is_new)
        yield from follow.to_end(MergeJob.pull(), site)
    after = site.port.read_storage()
    is_so = after.is_unread(first) or _lies_on(after, first, move.base)
    require(is_so, f"{first} still needs what was copied up")
    _require_whole(after, first)
    site.count_copied(_growth(storage, after, first))


# Headers and jobs of others


def _point(move: PointTo, site: Site) -> Progresses:
    """Let QEMU write the header: a pull across no image copies nothing, and rewrites it."""
    image, base = move.image.path, move.chain[0].path
    if _lies_on(site.port.read_storage(), image, base):
        return
    with site.port.workbench([(move.target, (move.image, *move.chain))]) as bench:
        started: list[bool] = []

        def start() -> None:
            bench.pull(move.target, base, 0)
            started.append(True)

        follow = _Follow(bench, move.target, start, lambda: bool(started), None)
        yield from follow.to_end(MergeJob.pull(), site, can_stop=False)
    after = site.port.read_storage()
    require(after.is_unread(image) or _lies_on(after, image, base), f"{image} is not on {base}")
    _require_whole(after, image)


def _end(move: EndJob, site: Site) -> Progresses:
    """Bring a job to its end that nobody of us has begun in this run."""
    port = site.port
    follow = _Follow(port, move.target, lambda: None, lambda: True, None)
    merge = MergeJob.to_finish() if move.pivot else MergeJob.to_abort()
    yield from follow.to_end(merge, site, can_stop=False)
    require(port.block_job(move.target) is None, f"the job on {move.target} is still there")


@dataclass(slots=True)
class _Follow:
    """Sees one job to its end."""

    qemu: BlockJobPort
    disk: str
    start: Callable[[], None]
    is_merged: Callable[[], bool]
    copied: int | None  # bytes that are to be copied, where that is known
    begun: Callable[[], None] = lambda: None  # called right after it was started or taken over
    is_new: bool = False  # a job that is there before it was started is somebody else's
    has_begun: bool = False
    failure: SnapviewError | None = field(default=None)

    def to_end(self, merge: MergeJob, site: Site, *, can_stop: bool = True) -> Progresses:
        """Follow the job.

        Raises:
            Stopped: as was asked for, the job is aborted.
            SnapviewError: it failed, or cannot be followed any more.
        """
        looks = faults = 0
        while True:
            try:
                job = self.qemu.block_job(self.disk)
                seen = Seen(job, job is None and self.is_merged(), can_stop and site.stop.is_set())
                faults = 0
            except ConnectionLost:
                raise
            except SnapviewError as error:  # a VM that is busy does not tell
                faults += 1
                if faults > FAULTY_LOOKS_AT_MOST:
                    raise
                _log.debug("cannot look at the job: %s", error.detail)
                site.pause(pause_seconds(looks))
                continue
            if job is not None and self.is_new and not self.has_begun:
                raise Conflict(f"A block job is running on {self.disk} already.", advice=CHANGED)
            merge, do = merge.after(seen)
            if job is not None:
                self._note_begun(site)
            self._act(do, site)
            if merge.phase.is_over:
                break
            yield self._progress(merge, job)
            looks += 1
            site.pause(pause_seconds(looks))
        self._conclude(merge, site)

    def _act(self, do: Do, site: Site) -> None:
        match do:
            case Do.START:
                self._start(site)
            case Do.PIVOT | Do.ABORT:
                try:
                    self.qemu.end_job(self.disk, pivot=do is Do.PIVOT)
                except ConnectionLost:
                    raise
                except SnapviewError as error:  # the next look tells what to do about it
                    self.failure = error
            case Do.WAIT:
                pass
            case _:
                assert_never(do)

    def _start(self, site: Site) -> None:
        try:
            self.start()
        except Conflict:  # somebody else's is there
            raise
        except SnapviewError:
            if self.qemu.block_job(self.disk) is not None:  # it was, all the same
                self._note_begun(site)
            raise
        self._note_begun(site)

    def _note_begun(self, site: Site) -> None:
        if not self.has_begun:
            self.has_begun = True
            site.own_jobs.add(self.disk)
            self.begun()

    def _conclude(self, merge: MergeJob, site: Site) -> None:
        if merge.phase is Phase.DONE:
            return
        if merge.phase is Phase.ABORTED:
            if site.stop.is_set():
                raise Stopped
            return  # it was to be aborted
        if self.failure is not None:
            raise self.failure
        raise HostError(
            f"The merge of {self.disk} broke off.",
            advice="Look whether the VM still runs and the file system has space, and try again.",
        )

    def _progress(self, merge: MergeJob, job: BlockJob | None) -> Progress:
        phase = f"Merging {self.disk}"
        if merge.phase is Phase.ABORTING:
            phase = f"Stopping the merge of {self.disk}"
        if job is None or job.total_bytes <= 1:  # an empty image counts as one byte
            return Progress(phase, 0, self.copied)
        if job.type is BlockJobType.ACTIVE_COMMIT or self.copied is None:
            return Progress(phase, job.done_bytes, job.total_bytes)
        # Other jobs count through the whole disk, whatever is in it.
        done = self.copied * min(job.done_bytes, job.total_bytes) // job.total_bytes
        return Progress(phase, done, self.copied)


# What they share


@contextmanager
def _opened(
    target: str, chain: tuple[DiskLayer, ...], storage: Storage, site: Site
) -> Iterator[BlockJobPort]:
    """Give the QEMU that has a chain open, or open it on a workbench."""
    paths = tuple(layer.path for layer in chain)
    live = site.port.chain(target)
    if paths[0] in live:
        if live[live.index(paths[0]) :][: len(paths)] != paths:
            raise Conflict(f"The VM uses other images for {target} by now.", advice=CHANGED)
        yield site.port
        return
    headers = (storage.images.get(path) for path in paths)
    below = (*paths[1:], None)
    if any(h is not None and h.backing != b for h, b in zip(headers, below, strict=True)):
        raise Conflict(f"The images of {target} lie otherwise by now.", advice=CHANGED)
    with site.port.workbench([(target, chain)]) as bench:
        yield bench


def _lies_on(storage: Storage, path: str, base: str | None) -> bool:
    image = storage.images.get(path)
    return image is not None and image.backing == base


def _require_whole(storage: Storage, path: str) -> None:
    fault = storage.fault(path)
    require(not fault, fault)


def _allocation(storage: Storage, paths: tuple[str, ...]) -> int | None:
    """Return how many bytes images take together; None: not known."""
    found = [storage.images[path].allocation_bytes for path in paths if path in storage.images]
    known = [each for each in found if each is not None]
    return sum(known) if len(known) == len(paths) else None


def _growth(before: Storage, after: Storage, path: str) -> int | None:
    old, new = _allocation(before, (path,)), _allocation(after, (path,))
    return None if old is None or new is None else max(0, new - old)
