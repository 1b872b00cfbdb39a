"""Moves that libvirt makes as a whole: snapshots taken, reverted to, deleted; the VM on and off.

Hides the faults of libvirt's that are got round here, each with its number in the list of traps.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import assert_never

from snapview.core.errors import Conflict, ConnectionLost, HostError, SnapviewError, Unsupported
from snapview.core.journal import NO_NOTE
from snapview.core.marks import Consistency, marks_of, with_marks
from snapview.core.moves import (
    DeleteByLibvirt,
    RestoreMemory,
    RevertByLibvirt,
    StartVm,
    StopVm,
    TakeSnapshot,
)
from snapview.core.operations import Afterwards, join_description, split_description
from snapview.core.vm import DiskLayer, SnapshotKind, Vm
from snapview.virt.moves.files import remove_unneeded
from snapview.virt.moves.site import Site, Stopped, active_images, readable, require
from snapview.virt.xml import build_snapshot, with_description
from snapview.virt.xml_edits import domain_in, with_images

_log = logging.getLogger(__name__)

NativeMove = TakeSnapshot | RevertByLibvirt | DeleteByLibvirt | StopVm | StartVm | RestoreMemory

REVERTS_AT_MOST = 3
THAWS_AT_MOST = 3
_WAS_AT, _IMAGES = "current", "images"  # keys of the note of a revert


def note_of(move: NativeMove, site: Site) -> Mapping[str, str]:
    """Read what tells later whether a move was made."""
    match move:
        case RevertByLibvirt():
            vm = site.port.read()
            return {_WAS_AT: vm.tree.current or "", _IMAGES: repr(active_images(vm))}
        case _:
            return NO_NOTE


def make_native(move: NativeMove, site: Site) -> None:
    """Make a move, and see that it is so."""
    match move:
        case TakeSnapshot():
            _take(move, site)
        case RevertByLibvirt():
            _revert(move, site)
        case DeleteByLibvirt():
            _delete(move, site)
        case StopVm():
            site.port.stop()
            require(not site.port.read().run_state.is_active, "the VM is still on")
        case StartVm():
            if not site.port.read().run_state.is_active:
                site.port.start(paused=move.paused)
            require(site.port.read().run_state.is_active, "the VM is off")
        case RestoreMemory():
            _restore(move, site)
        case _:
            assert_never(move)


def is_native_so(move: NativeMove, site: Site, note: Mapping[str, str]) -> bool:
    """Look whether what a move makes is so; False also when that cannot be seen."""
    match move:
        case TakeSnapshot(name=name):
            return name in site.port.snapshot_names()
        case RevertByLibvirt():
            return _is_reverted(move, site, note)
        case DeleteByLibvirt():
            return move.snapshot not in site.port.snapshot_names()
        case StopVm():
            return not site.port.read().run_state.is_active
        case StartVm() | RestoreMemory():
            return site.port.read().run_state.is_active
        case _:
            assert_never(move)


# Taking


def _take(move: TakeSnapshot, site: Site) -> None:
    """Take a snapshot and see that it is there, with the overlays that were planned."""
    storage = site.storage
    made = [disk.overlay.path for disk in move.disks if disk.overlay is not None]
    made += [move.memory_path] if move.memory_path is not None else []
    there = [path for path in made if storage is not None and path in storage.images]
    if there:
        # libvirt truncates a memory file that exists already without a word.
        raise Conflict(f"There is a file {there[0]} already.", advice="Use another name.")
    xml = build_snapshot(
        move.name, move.description, memory_path=move.memory_path, disks=move.disks
    )
    disk_only = move.kind is SnapshotKind.EXTERNAL and move.memory_path is None
    try:
        with _quiesced(site, wanted=move.quiesce) as was_thawed:
            site.port.create_snapshot(xml, disk_only=disk_only, live=False)
    except ConnectionLost:
        raise
    except SnapviewError:
        _tidy(move.name, made, site)
        raise
    if was_thawed.is_set():
        _note_early_thaw(move, site)
    after = site.port.read()
    require(move.name in after.tree, f"the snapshot “{move.name}” is not there")
    active = active_images(after)
    for disk in move.disks:
        if disk.overlay is not None:
            is_so = active.get(disk.target) == disk.overlay.path
            require(is_so, f"{disk.target} did not change")
    site.created = move.name
    if move.disks and not after.run_state.is_active:
        site.remarks += _laid_open(move, site)


def _laid_open(move: TakeSnapshot, site: Site) -> list[str]:
    """Say which new overlays every account may read although the images below are closed.

    So libvirt makes them while the VM is off (trap 13); some distributions have mended it.
    """
    images = site.port.read_storage().images
    pairs = ((d.overlay.path, d.frozen.path) for d in move.disks if d.overlay and d.frozen)
    return [
        f"Every account on the host can read {path}, as {site.vm.capabilities.libvirt_text} made "
        "it (CVE-2025-13193). Close the file or its folder to others."
        for path, base in pairs
        if path in images
        and base in images
        and images[path].is_open_to_all
        and not images[base].is_open_to_all
    ]


def _tidy(name: str, made: list[str], site: Site) -> None:
    """Remove what a snapshot that failed has left; its files were not there before."""
    if site.storage is None or name in site.port.snapshot_names():
        return
    there = site.port.read_storage().images
    for path in made:
        if path in there and not site.storage.is_unread(path):
            with suppress(HostError):  # in use after all: it stays
                remove_unneeded(path, site)


@contextmanager
def _quiesced(site: Site, *, wanted: bool) -> Iterator[threading.Event]:
    """Freeze the guest's file systems around a piece of work; thaw them whatever happens.

    A guest that is frozen for too long is thawed by a thread of its own, because the work cannot
    be interrupted; what is yielded then is set.
    """
    was_thawed = threading.Event()
    if not wanted:
        yield was_thawed
        return

    def thaw_early() -> None:
        was_thawed.set()
        with suppress(SnapviewError):  # it is tried again below
            site.port.thaw()

    watchdog = threading.Timer(site.patience.thaw_seconds, thaw_early)
    watchdog.name = "snapview-thaw"
    watchdog.daemon = True
    failure: SnapviewError | None = None
    watchdog.start()
    try:
        site.port.freeze()
        yield was_thawed
    except SnapviewError as error:
        failure = error
        raise
    finally:
        watchdog.cancel()
        _thaw(site, failure)


def _thaw(site: Site, failure: SnapviewError | None) -> None:
    """Thaw, and try again; when it fails for good, it must not hide why the work itself failed."""
    for attempt in range(1, THAWS_AT_MOST + 1):
        try:
            site.port.thaw()
        except ConnectionLost:
            raise
        except SnapviewError as error:
            if attempt < THAWS_AT_MOST:
                site.pause(site.patience.second)
                continue
            if failure is None:
                raise
            advice = f"Look whether the guest's file systems are still frozen: {error.message}"
            failure.advice = f"{failure.advice} {advice}".strip()
        else:
            return


def _note_early_thaw(move: TakeSnapshot, site: Site) -> None:
    """Let the snapshot say that it is crash-consistent after all."""
    title, description = split_description(move.name, move.description)
    marks = replace(marks_of(description), consistency=Consistency.CRASH)
    corrected = join_description(move.name, title, with_marks(description, marks))
    text = with_description(site.port.snapshot_xml(move.name), corrected)
    site.port.redefine_snapshot(text)
    seconds = site.patience.thaw_seconds
    site.remarks.append(
        f"The guest was frozen for more than {seconds:g} seconds and had to be thawed early, so "
        "the snapshot is crash-consistent only."
    )


# Reverting


def _revert(move: RevertByLibvirt, site: Site) -> None:
    """Revert, and see that the VM stands where it should."""
    for attempt in range(1, REVERTS_AT_MOST + 1):
        try:
            site.port.revert(move.snapshot, move.afterwards)
            break
        except Unsupported as error:
            # Trap 26, in libvirt's own words: it has used the name of this second already.
            if "already exists" not in error.detail or attempt == REVERTS_AT_MOST:
                raise
            _log.info("waiting for another second: %s", error.detail)
            site.pause(site.patience.second)
            if site.stop.is_set():
                raise Stopped from error
    after = site.port.read()
    require(after.tree.current == move.snapshot, "the VM does not stand on it")
    is_wanted_on = move.afterwards in {Afterwards.RUNNING, Afterwards.PAUSED}
    require(after.run_state.is_active or not is_wanted_on, "the VM is off")


def _is_reverted(move: RevertByLibvirt, site: Site, note: Mapping[str, str]) -> bool:
    """Whether a revert in doubt was made: the VM stands there, and did not, or on other images."""
    vm = site.port.read()
    if not note or vm.tree.current != move.snapshot:
        return False
    return note.get(_WAS_AT) != move.snapshot or note.get(_IMAGES) != repr(active_images(vm))


# Deleting


def _delete(move: DeleteByLibvirt, site: Site) -> None:
    """Delete, and see that record and state are gone, not the record alone (trap 18)."""
    images = _internal_images(site.vm, move.snapshot)
    records = _records_around(move.snapshot, site) if images else []
    site.port.delete_snapshot(move.snapshot)
    is_gone = move.snapshot not in site.port.snapshot_names()
    require(is_gone, f"“{site.label(move.snapshot)}” is still there")
    for path in images:
        if move.snapshot in (site.port.internal_tags(path) or ()):
            _bring_back(move.snapshot, records, site)
            raise HostError(
                f"libvirt reported success, but the state of “{site.label(move.snapshot)}” is "
                f"still inside {path}.",
                advice="Its record was written again, so nothing is lost. Look whether another "
                "program has the image open, and delete it again.",
            )


def _internal_images(vm: Vm, name: str) -> list[str]:
    """Return the images that hold a snapshot's state inside; none where nobody could look."""
    snapshot = vm.tree.get(name)
    if snapshot is None or not vm.capabilities.touches_disks:
        return []
    return [d.frozen.path for d in snapshot.disks if d.mode == "internal" and d.frozen]


def _records_around(name: str, site: Site) -> list[str]:
    """Read the records that a delete changes: the snapshot's own, then those of its children."""
    there = site.port.snapshot_names()
    return [
        site.port.snapshot_xml(each)
        for each in (name, *site.vm.tree.children(name))
        if each in there
    ]


def _bring_back(name: str, records: list[str], site: Site) -> None:
    """Write the records again; the VM stands on the snapshot if it did before."""
    there = site.port.snapshot_names()
    path = site.vm.tree.live_path()
    stood_on = next((each for each in path if each == name or each in there), None)
    for number, text in enumerate(records):
        site.port.redefine_snapshot(text, current=number == 0 and stood_on == name)


# On and off


def _restore(move: RestoreMemory, site: Site) -> None:
    if site.port.read().run_state.is_active:
        return
    images = {target: DiskLayer(path, "qcow2") for target, path in move.images}
    with readable(f"The record of “{move.snapshot}”"):
        text = domain_in(site.port.snapshot_xml(move.snapshot), is_live=True)
        text = with_images(text, images)
    site.port.restore_memory(move.memory_path, text, paused=move.paused)
    after = site.port.read()
    require(after.run_state.is_active, "the VM is off")
    active = active_images(after)
    for target, path in move.images:
        require(active.get(target) == path, f"{target} is not on {path}")
