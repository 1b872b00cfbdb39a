"""Moves that change what libvirt has written down: records of snapshots, the VM's definition."""

from collections.abc import Mapping
from typing import assert_never

from snapview.core.errors import Conflict, NotFound
from snapview.core.journal import NO_NOTE, OLD_CURRENT, OLD_DEFINITION
from snapview.core.moves import (
    DefineAsAt,
    ForgetSnapshot,
    RestoreDefinition,
    SetActive,
    SetCurrent,
    SetDescription,
    SetFrozen,
)
from snapview.core.operations import split_description
from snapview.core.vm import DiskLayer, Snapshot, Vm
from snapview.virt.moves.site import (
    CHANGED,
    Site,
    active_images,
    defined_disks,
    readable,
    require,
)
from snapview.virt.vm_port import VmPort
from snapview.virt.xml import parse_domain, parse_snapshot, with_description
from snapview.virt.xml_edits import domain_in, with_images, with_overlays, with_revert_overlays

SnapshotMove = ForgetSnapshot | SetDescription | SetFrozen | SetCurrent
DefinitionMove = SetActive | DefineAsAt | RestoreDefinition
RecordMove = SnapshotMove | DefinitionMove


def note_of(move: RecordMove, site: Site) -> Mapping[str, str]:
    """Read what the undo of a move needs."""
    match move:
        case DefineAsAt():
            return {OLD_DEFINITION: site.port.definition()}
        case SetCurrent():
            current = site.port.read().tree.current
            return {OLD_CURRENT: current} if current is not None else NO_NOTE
        case _:
            return NO_NOTE


def make_record(move: RecordMove, site: Site) -> None:
    """Make a move, also one that was made already, and see that it is so."""
    match move:
        case ForgetSnapshot():
            _forget(move, site)
        case SetDescription():
            text = with_description(site.port.snapshot_xml(move.snapshot), move.description)
            site.port.redefine_snapshot(text)
        case SetFrozen():
            _set_frozen(move, site)
        case SetCurrent():
            _set_current(move, site)
        case SetActive():
            _set_active(move, site)
        case DefineAsAt():
            _define_as_at(move, site)
        case RestoreDefinition():
            site.port.define(move.xml)
            note_revert_overlays(site)
        case _:
            assert_never(move)
    require(is_record_so(move, site), _otherwise(move, site))


def is_record_so(move: RecordMove, site: Site) -> bool:
    """Look whether what a move makes is so."""
    match move:
        case ForgetSnapshot():
            return move.snapshot not in site.port.snapshot_names()
        case SetDescription():
            record = read_record(site.port, move.snapshot)
            wanted = split_description(move.snapshot, move.description)
            return (record.title, record.description) == wanted
        case SetFrozen():
            return _frozen(read_record(site.port, move.snapshot), move.target) == move.new_path
        case SetCurrent():
            return site.port.read().tree.current == move.snapshot
        case SetActive():
            return _is_defined(site.port, {move.target: move.new_path})
        case DefineAsAt():
            return _is_defined(site.port, dict(move.images))
        case RestoreDefinition():
            with readable("The definition that was kept"):
                disks = parse_domain(move.xml).hardware.disks
            return _is_defined(site.port, {d.target: d.active.path for d in disks if d.active})
        case _:
            assert_never(move)


def _otherwise(move: RecordMove, site: Site) -> str:
    match move:
        case ForgetSnapshot():
            return f"“{site.label(move.snapshot)}” is still there"
        case SetDescription():
            return "the description is not what was asked for"
        case SetFrozen():
            return f"the record of “{site.label(move.snapshot)}” is not what was asked for"
        case SetCurrent():
            return f"the VM does not stand on “{site.label(move.snapshot)}”"
        case SetActive() | DefineAsAt() | RestoreDefinition():
            return "the VM's definition does not name the images that were asked for"
        case _:
            assert_never(move)


def read_record(port: VmPort, name: str) -> Snapshot:
    """Read one snapshot from its record."""
    with readable(f"The record of “{name}”"):
        return parse_snapshot(port.snapshot_xml(name))


def note_revert_overlays(site: Site) -> None:
    """Tell libvirt which images the VM writes to, where it would think of others.

    libvirt (from 9.9) unlinks, when somebody reverts with it, the images that the current
    snapshot's record names as made last; after a revert or a merge of ours these are others, and
    other snapshots may need them. Older versions know nothing of it, and revert nothing.
    """
    vm = site.port.read()
    current = vm.tree.get(vm.tree.current) if vm.tree.current is not None else None
    if current is None or not vm.capabilities.reverts_external:
        return
    noted = current.revert_overlays or current.disks
    named = {disk.target: disk.overlay.path for disk in noted if disk.overlay is not None}
    frozen = {disk.target: disk.frozen.path for disk in current.disks if disk.frozen is not None}
    headers = site.port.read_storage().images
    active = active_images(vm)
    made = {
        target: active[target]
        for target in named
        if target in active
        and active[target] in headers
        and headers[active[target]].backing == frozen.get(target)
    }
    if made and made.keys() == named.keys() and made != named:
        with readable(f"The record of “{current.name}”"):
            text = with_revert_overlays(site.port.snapshot_xml(current.name), made)
        site.port.redefine_snapshot(text)


def _forget(move: ForgetSnapshot, site: Site) -> None:
    vm = site.port.read()
    was_current = vm.tree.current == move.snapshot
    try:
        _let_go_of_images(move.snapshot, vm, site.port)
        site.port.forget_snapshot(move.snapshot)
    except NotFound:  # somebody else was faster
        return
    if was_current:
        note_revert_overlays(site)


def _let_go_of_images(name: str, vm: Vm, port: VmPort) -> None:
    """Let a record that will be dropped no longer name images that other snapshots lie in.

    libvirt 9.0 takes it, when a record is dropped, that the images which the snapshot created
    were merged into those below, and silently changes the records of whatever lies in them.
    """
    record = vm.tree.get(name)
    others = (snapshot for snapshot in vm.tree if snapshot.name != name)
    held = {disk.frozen.path for each in others for disk in each.disks if disk.frozen is not None}
    created = record.disks if record is not None else ()
    named = {disk.target: disk.overlay.path for disk in created if disk.overlay is not None}
    gone = {target: f"{path}.forgotten" for target, path in named.items() if path in held}
    if gone:
        with readable(f"The record of “{name}”"):
            text = with_overlays(port.snapshot_xml(name), gone)
        port.redefine_snapshot(text)


def _set_frozen(move: SetFrozen, site: Site) -> None:
    """Note the new image; of what lies below it nothing is noted any more."""
    found = _frozen(read_record(site.port, move.snapshot), move.target)
    _require_known(found, move, f"The record of “{site.label(move.snapshot)}”")
    layer = DiskLayer(move.new_path, move.new_format)
    with readable(f"The record of “{move.snapshot}”"):
        text = with_images(site.port.snapshot_xml(move.snapshot), {move.target: layer})
    site.port.redefine_snapshot(text)


def _set_active(move: SetActive, site: Site) -> None:
    disk = defined_disks(site.port).get(move.target)
    found = disk.active.path if disk is not None and disk.active is not None else None
    if found == move.new_path:  # libvirt has done it when the job of the running VM ended
        return
    _require_known(found, move, "The VM's definition")
    layer = DiskLayer(move.new_path, move.new_format)
    with readable("The VM's definition"):
        text = with_images(site.port.definition(), {move.target: layer})
    site.port.define(text)


def _require_known(found: str | None, move: SetFrozen | SetActive, what: str) -> None:
    if found not in {move.old_path, move.new_path}:
        raise Conflict(f"{what} names another image by now: {found}.", advice=CHANGED)


def _set_current(move: SetCurrent, site: Site) -> None:
    if site.port.read().tree.current != move.snapshot:
        text = site.port.snapshot_xml(move.snapshot)
        site.port.redefine_snapshot(text, current=True)
    note_revert_overlays(site)


def _define_as_at(move: DefineAsAt, site: Site) -> None:
    images = {target: DiskLayer(path, "qcow2") for target, path in move.images}
    with readable(f"The record of “{move.snapshot}”"):
        text = domain_in(site.port.snapshot_xml(move.snapshot), is_live=False)
        text = with_images(text, images)
    site.port.define(text)


def _frozen(record: Snapshot, target: str) -> str | None:
    disks = (disk for disk in record.disks if disk.target == target and disk.frozen is not None)
    return next((disk.frozen.path for disk in disks if disk.frozen is not None), None)


def _is_defined(port: VmPort, images: Mapping[str, str]) -> bool:
    disks = defined_disks(port)
    active = {target: disk.active.path for target, disk in disks.items() if disk.active}
    return all(active.get(target) == path for target, path in images.items())
