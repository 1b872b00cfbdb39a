"""Read the image files around one VM. Does not import libvirt: it is given handles.

Hides which folders that takes: where the VM's images lie, where their headers lead, and the same
for every other VM, because only that tells whether one of them needs an image of ours.
"""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import IntFlag
from typing import Any, Protocol

from snapview.core.errors import Conflict, ConnectionLost, NotFound, SnapviewError
from snapview.core.storage import Storage
from snapview.core.vm import DiskChain, DiskLayer, Vm
from snapview.virt.errormap import MissingFile, Translated
from snapview.virt.image_files import (
    Folder,
    doubtful,
    folder_of,
    images_of,
    layers_of,
    to_follow,
)
from snapview.virt.reading import CONTROL_OK
from snapview.virt.storage import LibvirtStorage
from snapview.virt.workbench import is_workbench
from snapview.virt.xml import BadXml, parse_disks

_log = logging.getLogger(__name__)

MOST_FOLDERS = 200  # a header may lead anywhere, but not for ever

STATS_BLOCK = 32  # VIR_DOMAIN_STATS_BLOCK

_XML_INACTIVE = 2  # VIR_DOMAIN_XML_INACTIVE


class StatsFlag(IntFlag):
    """virConnectGetAllDomainStatsFlags."""

    NOWAIT = 1 << 29
    BACKING = 1 << 30


class HandleSource(Protocol):
    """What reading needs of its connection."""

    def connection(self) -> Any:
        """Return libvirt's handle of the connection."""
        ...

    def domain(self, uuid: str) -> Any:
        """Return libvirt's handle of a VM."""
        ...

    @property
    def translated(self) -> Translated:
        """Turns libvirt's errors into ours."""
        ...


def read_storage(host: HandleSource, vm: Vm) -> Storage:
    """Read the image files around a VM; what cannot be read is said to be unknown. Blocks.

    Raises:
        ConnectionLost: the daemon went away.
        NotFound: the VM does not exist any more.
    """
    if not vm.capabilities.touches_disks:
        return Storage()
    reading = _Reading(host, vm)
    reading.go()
    return reading.result()


class _Reading:
    """One reading: what is said, what was found, and where to look next."""

    def __init__(self, host: HandleSource, vm: Vm) -> None:
        self._host = host
        self._vm = vm
        self._driver = LibvirtStorage(host.connection, host.translated)
        domain = host.domain(vm.uuid)
        self._own_disks = (*vm.disks, *_disks(host, domain, _XML_INACTIVE))
        self._own = (*layers_of(self._own_disks), *_recorded(vm))
        self._others = _others(host, vm.uuid)
        self._folders: dict[str, Folder] = {}
        self._unreadable: set[str] = set()

    def go(self) -> None:
        """Look into one folder after the other, until no chain leads further."""
        self._driver.clear_left_behind()
        own = [disk for disk in self._own_disks if disk.device in {"disk", "lun"}]
        start = [*layers_of(own), *_recorded(self._vm)]
        for layers in self._others.values():
            # What is called raw has no header, so its folder tells nothing of a chain.
            start += [layer for layer in layers if layer.format != "raw"]
        wanted = {folder_of(layer.path): None for layer in start}
        while wanted:
            for folder in wanted:
                if folder is not None and not self._is_known(folder):
                    self._look_into(folder)
            roots = (layer.path for layer in (*self._own, *_flat(self._others)))
            wanted = dict.fromkeys(to_follow(self._images(), roots, self._seen()))

    def result(self) -> Storage:
        """Return all that was found."""
        images = self._images()
        known = {folder_of(path) for path in self._known()}
        unreadable = self._unreadable | doubtful(self._folders.values(), known) | self._hiding()
        storage = Storage(
            images=images,
            free_bytes={path: folder.free_bytes for path, folder in self._folders.items()},
            unreadable=frozenset(unreadable),
        )
        users: dict[str, set[str]] = {}
        for name, layers in self._others.items():
            for layer in layers:
                users.setdefault(layer.path, set()).add(name)
                for image in storage.chain(layer.path):
                    users.setdefault(image.path, set()).add(name)
        named = {path: tuple(sorted(names)) for path, names in users.items()}
        return Storage(storage.images, storage.free_bytes, named, storage.unreadable)

    def _look_into(self, folder: str) -> None:
        if len(self._seen()) >= MOST_FOLDERS:
            self._unreadable.add(folder)
            return
        try:
            self._folders[folder] = self._driver.read_folder(folder)
        except ConnectionLost:
            raise
        except MissingFile:
            self._folders[folder] = Folder(folder)  # nothing is in it: that is known
        except SnapviewError as error:
            _log.debug("%s cannot be read: %s", folder, error.detail)
            self._unreadable.add(folder)

    def _images(self) -> dict[str, Any]:
        said = (*self._own, *_flat(self._others))
        return images_of(self._folders.values(), said, self._known())

    def _known(self) -> set[str]:
        return {layer.path for layer in (*self._own, *_flat(self._others))}

    def _seen(self) -> set[str]:
        return {*self._folders, *self._unreadable}

    def _is_known(self, folder: str) -> bool:
        return folder in self._folders or folder in self._unreadable

    def _hiding(self) -> set[str]:
        """Return the folders in which there are images that libvirt does not list.

        It leaves out what it may not read, as on a network share. Of what QEMU has open, and of an
        active image that libvirt can measure, it is known that it is there.
        """
        images = self._images()
        found = set()
        for disk in self._vm.disks:
            layers = layers_of([disk])
            missing = [layer for layer in layers if layer.path not in images]
            is_on = self._vm.run_state.is_active
            if missing and (is_on or (missing[0] == layers[0] and self._is_there(disk))):
                found |= {folder_of(layer.path) for layer in missing}
        return {folder for folder in found if folder is not None}

    def _is_there(self, disk: DiskChain) -> bool:
        try:
            with self._host.translated("look at the disks"):
                self._host.domain(self._vm.uuid).blockInfo(disk.target, 0)
        except ConnectionLost:
            raise
        except SnapviewError:
            return False
        return True


def _recorded(vm: Vm) -> Iterable[DiskLayer]:
    """Return the files that the snapshots of a VM name, those with memory as raw files."""
    for snapshot in vm.tree:
        for disk in (*snapshot.disks, *snapshot.revert_overlays):
            for layer in (disk.frozen, disk.overlay):
                if layer is not None and layer.type == "file":
                    yield layer
        if snapshot.memory_path is not None:
            yield DiskLayer(snapshot.memory_path, "raw")


def _others(host: HandleSource, uuid: str) -> dict[str, tuple[DiskLayer, ...]]:
    """Return the image files that every other VM names, on and off."""
    with host.translated("list the VMs"):
        domains = host.connection().listAllDomains(0)
    found: dict[str, tuple[DiskLayer, ...]] = {}
    for domain in domains:
        name = str(domain.name())
        if domain.UUIDString() == uuid or is_workbench(name):
            continue
        with suppress(NotFound):  # it may be gone meanwhile
            defined = layers_of(_disks(host, domain, _XML_INACTIVE))
            found[name] = (*defined, *_open_layers(host, domain))
    return found


def _open_layers(host: HandleSource, domain: Any) -> Iterable[DiskLayer]:
    """Return the image files that a VM has open; none when it is off.

    A busy VM is asked for what libvirt knows without it; else we would wait for half a minute.
    """
    try:
        with host.translated("look at the VM"):
            if not domain.isActive():
                return ()
            if int(domain.controlInfo(0)[0]) == CONTROL_OK:
                return layers_of(_disks(host, domain, 0))
            flags = StatsFlag.BACKING | StatsFlag.NOWAIT
            told = host.connection().domainListGetStats([domain], STATS_BLOCK, int(flags))
    except Conflict:
        with host.translated("look at the VM"):
            if not domain.isActive():  # it has ended meanwhile
                return ()
        raise
    figures = told[0][1] if told else {}
    paths = (figures.get(f"block.{n}.path") for n in range(figures.get("block.count", 0)))
    return tuple(DiskLayer(path) for path in paths if path and path.startswith("/"))


def _disks(host: HandleSource, domain: Any, flags: int) -> tuple[DiskChain, ...]:
    """Return the disks of a domain's document; none when it cannot be read."""
    try:
        with host.translated("read the VM"):
            text = domain.XMLDesc(flags)
        return parse_disks(text)
    except (ConnectionLost, NotFound):
        raise
    except (SnapviewError, BadXml) as error:
        _log.debug("a definition cannot be read: %s", error)
        return ()


def _flat(others: Mapping[str, tuple[DiskLayer, ...]]) -> Iterable[DiskLayer]:
    return (layer for layers in others.values() for layer in layers)
