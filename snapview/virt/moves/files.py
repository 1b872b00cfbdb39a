"""Moves that make and remove image files, and what has to be known before one is removed."""

from collections.abc import Iterator
from typing import assert_never

from snapview.core.errors import HostError
from snapview.core.moves import MakeOverlay, RemoveFile
from snapview.core.storage import Storage
from snapview.core.vm import Vm
from snapview.virt.moves.site import Site, defined_disks, readable, require
from snapview.virt.xml_edits import without_chains

FileMove = MakeOverlay | RemoveFile


def make_file(move: FileMove, site: Site) -> None:
    """Make a move, and see that it is so."""
    match move:
        case MakeOverlay():
            site.port.make_overlay(move.path, move.base)
            storage = site.port.read_storage()
            is_so = storage.is_unread(move.path) or _lies_on(storage, move)
            require(is_so, f"{move.path} does not lie on {move.base.path}")
        case RemoveFile():
            remove_unneeded(move.path, site)
        case _:
            assert_never(move)


def is_file_so(move: FileMove, site: Site) -> bool:
    """Look whether what a move makes is so; False also when that cannot be seen."""
    storage = site.port.read_storage()
    match move:
        case MakeOverlay():
            return _lies_on(storage, move)
        case RemoveFile():
            return not storage.is_unread(move.path) and move.path not in storage.images
        case _:
            assert_never(move)


def remove_unneeded(path: str, site: Site) -> None:
    """Remove a file of which it is proven, anew, that nothing refers to it.

    Raises:
        HostError: something does, or nobody knows; the file stays.
    """
    vm, storage = site.port.read(), site.port.read_storage()
    _forget_chains(path, vm, site)
    if storage.is_unread(path):
        raise _stays(path, "libvirt does not tell what else is in its folder")
    needed_by = next(_needed_by(path, vm, storage, site), None)
    if needed_by is not None:
        raise _stays(path, needed_by)
    site.port.remove_file(path)
    require(path not in site.port.read_storage().images, f"{path} is still there")


def _stays(path: str, why: str) -> HostError:
    advice = "Look at the VM again before you remove the file by hand."
    return HostError(f"The file {path} stays: {why}.", advice=advice)


def _lies_on(storage: Storage, move: MakeOverlay) -> bool:
    image = storage.images.get(move.path)
    return image is not None and image.backing == move.base.path


def _needed_by(path: str, vm: Vm, storage: Storage, site: Site) -> Iterator[str]:
    """Yield what refers to a file.

    The overlay that a snapshot's record names as made then does not count: libvirt goes on
    naming it when it is long gone, and nobody's state lies in it.
    """
    live = vm.disks if vm.run_state.is_active else ()  # of a VM that is off some is guessed
    for disk in (*live, *defined_disks(site.port).values()):
        if any(layer.path == path for layer in disk.layers):
            yield f"the VM's disk {disk.target} needs it"
    for snapshot in vm.tree:
        frozen = {disk.frozen.path for disk in snapshot.disks if disk.frozen is not None}
        if path in frozen or path == snapshot.memory_path:
            yield f"the snapshot “{snapshot.label}” needs it"
        if snapshot.problem is not None:
            yield f"the snapshot “{snapshot.label}” cannot be read"
    for above in sorted(storage.overlays(path)):
        yield f"{above} lies on it"
    for above in sorted(storage.doubtful_overlays(path)):
        yield f"{above} may lie on it"
    for user in storage.users.get(path, ()):
        yield f"the VM “{user}” uses it"
    inside = site.port.internal_tags(path)
    if inside:  # whoever had the record of them; ours are gone by now
        yield f"there are states inside it: {', '.join(inside)}"


def _forget_chains(path: str, vm: Vm, site: Site) -> None:
    """Let no document say that the file lies somewhere below an image.

    libvirt copies the chains of a snapshot's record into the VM's definition when it reverts, and
    believes the definition when it starts the VM. What lies below an image its header says; and
    an image that is itself named is another matter, and forbids the removal.
    """
    for snapshot in vm.tree:
        if snapshot.name in site.plain_records:
            continue
        text = site.port.snapshot_xml(snapshot.name)
        with readable(f"The record of “{snapshot.label}”"):
            changed = without_chains(text, {path})
        if changed != text:
            site.port.redefine_snapshot(changed)
        if "<backingStore" not in changed:
            site.plain_records.add(snapshot.name)
    if not vm.is_persistent:
        return
    text = site.port.definition()
    with readable("The VM's definition"):
        changed = without_chains(text, {path})
    if changed != text:
        site.port.define(changed)
