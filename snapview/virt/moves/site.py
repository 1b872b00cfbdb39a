"""Where moves are made: the VM, whether anybody wants to stop, and what has come of it so far."""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from snapview.core.errors import HostError
from snapview.core.storage import Storage
from snapview.core.vm import DiskChain, RunState, Vm
from snapview.virt.vm_port import VmPort
from snapview.virt.xml import BadXml, parse_domain

CHANGED = "Another program may be at work on this VM; look at the tree, and try again."


class Stopped(Exception):
    """The user cancelled, and it was safe to stop."""


def _pause(stop: threading.Event, seconds: float) -> None:
    # An event that is set lets nobody wait, and then there is nothing to be woken for.
    (threading.Event() if stop.is_set() else stop).wait(seconds)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for what; tests have less of it."""

    thaw_seconds: float = 10.0  # a guest that is frozen for longer than that is thawed
    second: float = 1.05  # until libvirt, which names images by the second, has a new name
    pause: Callable[[threading.Event, float], None] = _pause


@dataclass(slots=True)
class Site:
    """What the moves of one operation share. Worker thread.

    ``vm`` and ``storage`` are what the plan was made from. ``spoilt`` are snapshots whose images
    a merge has begun to overwrite: their records must go, whatever happens, and with them the
    files that only they needed.
    """

    port: VmPort
    stop: threading.Event
    vm: Vm = field(default_factory=lambda: Vm("", "", RunState.UNKNOWN))
    patience: Patience = field(default_factory=Patience)
    is_recovery: bool = False  # moves may be made already, or be under way
    remarks: list[str] = field(default_factory=list)
    created: str | None = None
    copied_bytes: int | None = 0
    spoilt: dict[str, tuple[str, ...]] = field(default_factory=dict)  # name -> files
    doomed: dict[str, tuple[str, ...]] = field(default_factory=dict)  # will be forgotten -> files
    own_jobs: set[str] = field(default_factory=set)  # disks on which a job of ours was begun
    plain_records: set[str] = field(default_factory=set)  # say nothing of images further below

    @property
    def storage(self) -> Storage | None:
        """The image files as the plan was made from them; None: not known."""
        return self.vm.storage

    def pause(self, seconds: float) -> None:
        """Wait; a cancel ends it."""
        self.patience.pause(self.stop, seconds)

    def label(self, snapshot: str) -> str:
        """Return what to call a snapshot in a sentence."""
        found = self.vm.tree.get(snapshot)
        return found.label if found is not None else snapshot

    def count_copied(self, copied: int | None) -> None:
        """Add to what was copied; None: nobody knows."""
        known = self.copied_bytes
        self.copied_bytes = None if copied is None or known is None else known + copied

    def holders(self, target: str, paths: Collection[str]) -> tuple[str, ...]:
        """Return which of the doomed snapshots have their state of a disk in these images."""
        return tuple(
            snapshot.name
            for snapshot in self.port.read().tree
            for disk in snapshot.disks
            if snapshot.name in self.doomed
            and (disk.target, disk.mode) == (target, "external")
            and disk.frozen is not None
            and disk.frozen.path in paths
        )

    def spoil(self, snapshots: Iterable[str]) -> None:
        """Note that the states of these snapshots are being overwritten."""
        self.spoilt.update((name, self.doomed[name]) for name in snapshots)


def defined_disks(port: VmPort) -> dict[str, DiskChain]:
    """Read the disks that the VM is started with next time, by target."""
    with readable("The VM's definition"):
        disks = parse_domain(port.definition()).hardware.disks
    return {disk.target: disk for disk in disks}


def active_images(vm: Vm) -> dict[str, str]:
    """Return the image that each disk writes to."""
    return {disk.target: disk.layers[0].path for disk in vm.state_disks}


def require(holds: object, otherwise: str) -> None:
    """Raise when what libvirt called done is not so."""
    if not holds:
        raise HostError(
            f"libvirt reported success, but {otherwise}.",
            advice="Look at the tree before you go on; another program may be at work on this VM.",
        )


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn a document that cannot be read into an error for the user."""
    try:
        yield
    except BadXml as error:
        raise HostError(f"{what} cannot be read: {error}.", advice="Look at it with virsh.") from (
            error
        )
