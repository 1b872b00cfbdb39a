"""The block jobs of one running QEMU. Does not import libvirt: it is given handles.

Hides libvirt's flags, how images of a chain are named to it, and when a job is really over.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from snapview.core.errors import Conflict, HostError, SnapviewError
from snapview.core.under_way import BlockJob, BlockJobType
from snapview.virt.disk_xml import Mirror, image_indexes, layer_of
from snapview.virt.errormap import Translated
from snapview.virt.xml import BadXml, find_disk, parse_disks

JOB_TYPES = {  # virDomainBlockJobType
    1: BlockJobType.PULL,
    2: BlockJobType.COPY,
    3: BlockJobType.COMMIT,
    4: BlockJobType.ACTIVE_COMMIT,
    5: BlockJobType.BACKUP,
}

_PATIENCE_SECONDS = 60.0  # of an end that libvirt has accepted
_POLL_SECONDS = 0.02


class JobFlag(IntEnum):
    """Flags of libvirt's block job calls; each belongs to another call."""

    COMMIT_ACTIVE = 4
    COMMIT_BANDWIDTH_BYTES = 16
    PULL_BANDWIDTH_BYTES = 64
    REBASE_BANDWIDTH_BYTES = 64
    JOB_ABORT_PIVOT = 2
    JOB_SPEED_BANDWIDTH_BYTES = 1
    JOB_INFO_BANDWIDTH_BYTES = 1


class DiskJobs:
    """Implements ``vm_port.BlockJobPort`` over a domain. Worker thread; every call blocks.

    Args:
        domain: returns libvirt's handle.
        translated: turns libvirt's errors into ours.
    """

    def __init__(self, domain: Callable[[], Any], translated: Translated) -> None:
        self._handle = domain
        self._translated = translated

    def commit(self, disk: str, top: str, base: str, bandwidth_bytes_per_second: int) -> None:
        """Begin to merge the images from ``top`` down to ``base`` into ``base``.

        Raises:
            Conflict: QEMU does not have these images open in this order, or a job is running.
            ImageNotWritable: QEMU may not write to one of them.
        """
        self._require_no_job(disk)
        images = self._images(disk)
        upper, lower = _position(images, top), _position(images, base)
        if lower <= upper:
            raise Conflict(f"“{base}” does not lie below “{top}” on {disk}.", advice=_LOOK_AGAIN)
        flags = JobFlag.COMMIT_BANDWIDTH_BYTES | (JobFlag.COMMIT_ACTIVE if upper == 0 else 0)
        named = None if upper == 0 else f"{disk}[{images[upper][1]}]"
        with self._translated("merge the images"):
            self._handle().blockCommit(
                disk, f"{disk}[{images[lower][1]}]", named, bandwidth_bytes_per_second, flags
            )

    def pull(self, disk: str, base: str | None, bandwidth_bytes_per_second: int) -> None:
        """Begin to copy what lies above ``base`` (None: everything) up into the active image.

        Raises:
            Conflict: QEMU does not have ``base`` open below the active image, or a job is running.
            ImageNotWritable: QEMU may not write to the active image.
        """
        self._require_no_job(disk)
        speed = bandwidth_bytes_per_second
        if base is None:
            with self._translated("merge the images"):
                self._handle().blockPull(disk, speed, JobFlag.PULL_BANDWIDTH_BYTES)
            return
        images = self._images(disk)
        lower = _position(images, base)
        if lower == 0:
            raise Conflict(f"“{base}” is the active image of {disk}.", advice=_LOOK_AGAIN)
        with self._translated("merge the images"):
            named = f"{disk}[{images[lower][1]}]"
            self._handle().blockRebase(disk, named, speed, JobFlag.REBASE_BANDWIDTH_BYTES)

    def block_job(self, disk: str) -> BlockJob | None:
        """Return the job of a disk; None: there is none, as on a VM that is off."""
        with self._translated("look at the merge"):
            domain = self._handle()
            if not domain.isActive():
                return None
            info = domain.blockJobInfo(disk, JobFlag.JOB_INFO_BANDWIDTH_BYTES)
        if not info:
            return None
        return to_block_job(disk, info, is_ready=self._is_ready(disk, info))

    def end_job(self, disk: str, *, pivot: bool) -> None:
        """Pivot to what the job made, or abort it; returns when it is over. No job: nothing.

        Raises:
            Conflict: it is not ready to pivot.
            HostError: libvirt says it is over, but the disk is not on the image it should be on.
        """
        element = self._element(disk)
        mirror = element.find("mirror") if element is not None else None
        mirrored = layer_of(mirror) if mirror is not None else None
        failure: SnapviewError | None = None
        try:
            with self._translated("finish the merge" if pivot else "stop the merge"):
                if not self._handle().isActive():
                    return
                self._handle().blockJobAbort(disk, JobFlag.JOB_ABORT_PIVOT if pivot else 0)
        except SnapviewError as error:
            if self.block_job(disk) is not None:
                raise
            failure = error  # there was none, or it ended by itself
        self._wait_for_end(disk)
        if pivot and mirrored is not None and self.chain(disk)[:1] != (mirrored.path,):
            raise failure or HostError(
                f"libvirt reported success, but {disk} is not on “{mirrored.path}”.",
                advice=_LOOK_AGAIN,
            )

    def set_bandwidth(self, disk: str, bytes_per_second: int) -> None:
        """Limit the speed of a job; 0: no limit. No job: nothing."""
        try:
            with self._translated("limit the merge"):
                flag = JobFlag.JOB_SPEED_BANDWIDTH_BYTES
                self._handle().blockJobSetSpeed(disk, bytes_per_second, flag)
        except SnapviewError:
            if self.block_job(disk) is not None:
                raise

    def chain(self, disk: str) -> tuple[str, ...]:
        """Return the paths of a disk's images as QEMU has them open, the active one first.

        Empty for a VM that is off.
        """
        return tuple(path for path, _index in self._images(disk))

    def limit(self, bytes_per_second: int) -> None:
        """Limit the speed of all jobs; 0: no limit. Any connection's thread."""
        with self._translated("look at the disks"):
            domain = self._handle()
            text = domain.XMLDesc(0) if domain.isActive() else ""
        if not text:
            return
        with _readable():
            targets = [disk.target for disk in parse_disks(text) if disk.holds_state]
        for target in targets:
            self.set_bandwidth(target, bytes_per_second)

    def _element(self, disk: str) -> Any:
        """Return a disk's live XML element; None: there is no such disk."""
        with self._translated("look at the disks"):
            text = self._handle().XMLDesc(0)
        with _readable():
            return find_disk(text, disk)

    def _images(self, disk: str) -> list[tuple[str, str]]:
        """Return path and index of the images that QEMU has open for a disk."""
        element = self._element(disk)
        return [] if element is None else list(image_indexes(element).items())

    def _require_no_job(self, disk: str) -> None:
        if self.block_job(disk) is not None:
            raise Conflict(
                f"A block job is running on {disk} already.", advice="Wait until it has ended."
            )

    def _is_ready(self, disk: str, info: dict[str, int]) -> bool:
        if not JOB_TYPES.get(info.get("type", 0), BlockJobType.UNKNOWN).needs_pivot:
            return False
        element = self._element(disk)
        mirror = element.find("mirror") if element is not None else None
        return mirror is not None and mirror.get("ready") == "yes"

    def _wait_for_end(self, disk: str) -> None:
        deadline, pause = time.monotonic() + _PATIENCE_SECONDS, threading.Event()
        while self.block_job(disk) is not None:
            if time.monotonic() > deadline:
                raise HostError(
                    f"The job on {disk} does not come to its end.",
                    advice="Look at it with: virsh blockjob",
                )
            pause.wait(_POLL_SECONDS)


_LOOK_AGAIN = "Look at the VM again; another program may be at work on it."


def to_block_job(disk: str, info: dict[str, int], *, is_ready: bool) -> BlockJob:
    """Make our value of what libvirt's ``blockJobInfo`` says."""
    return BlockJob(
        disk=disk,
        type=JOB_TYPES.get(info.get("type", 0), BlockJobType.UNKNOWN),
        done_bytes=max(0, info.get("cur", 0)),
        total_bytes=max(0, info.get("end", 0)),
        bandwidth_bytes_per_second=max(0, info.get("bandwidth", 0)),
        is_ready=is_ready,
    )


def mirrored_job(mirror: Mirror) -> BlockJob:
    """Make our value of what the VM's document alone says of a job."""
    kind = next((kind for kind in BlockJobType if kind.value == mirror.job), BlockJobType.UNKNOWN)
    return BlockJob(mirror.disk, kind, is_ready=mirror.is_ready)


def _position(images: list[tuple[str, str]], path: str) -> int:
    paths = [each for each, _index in images]
    if path not in paths:
        raise Conflict(f"QEMU does not have “{path}” open.", advice=_LOOK_AGAIN)
    return paths.index(path)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except BadXml as error:
        sentence = f"The VM's document cannot be read: {error}."
        raise HostError(sentence, advice="Look at it with: virsh dumpxml") from error
