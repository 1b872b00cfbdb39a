"""What new files are called: beside another image, saying what they are, and never taken. Pure.

The base image's stem comes first, so that the files of one disk stand together in its folder.
"""

from pathlib import PurePosixPath

from snapview.core.operations import plain_name
from snapview.core.vm import DiskChain, Vm

_NAME_BYTES = 255  # what file systems take
_SHORT_NAME = 60  # letters of a snapshot's name in a file's name; other tools' names can be long


def known_paths(vm: Vm) -> set[str]:
    """Every file that the VM or one of its snapshots names, or that lies around its images."""
    known = {layer.path for disk in vm.disks for layer in disk.layers}
    for snapshot in vm.tree:
        for disk in (*snapshot.disks, *snapshot.revert_overlays):
            known |= {layer.path for layer in (disk.frozen, disk.overlay) if layer}
        if snapshot.memory_path:
            known.add(snapshot.memory_path)
    return known | set(vm.storage.images if vm.storage is not None else ())


def overlay_path(disk: DiskChain, name: str, taken: set[str]) -> str:
    """Return the overlay that a new snapshot makes, and add it to the paths that are taken."""
    return new_path(disk.layers[0].path, (_stem(disk), name), "qcow2", taken)


def memory_path(vm: Vm, name: str) -> str:
    """Return the memory file of a new snapshot, beside the first disk.

    It carries the time, because libvirt truncates a file that exists already without a word.
    """
    disk = vm.state_disks[0]
    words = (_stem(disk), name, f"{vm.read_at:%Y%m%dT%H%M%S}")
    return new_path(disk.layers[0].path, words, "mem", known_paths(vm))


def revert_overlay_path(vm: Vm, target: str, frozen: str, name: str, taken: set[str]) -> str:
    """Return the overlay on which a disk goes on after a revert; it is then taken.

    Args:
        vm: as it is before the revert.
        target: of the disk.
        frozen: the image that holds the disk's state at the snapshot.
        name: the snapshot's, by whomever it was made.
        taken: paths in use.
    """
    disk = next((disk for disk in vm.disks if disk.target == target), None)
    has_file = disk is not None and disk.active is not None and disk.active.type == "file"
    stem = _stem(disk) if has_file and disk is not None else PurePosixPath(frozen).stem
    beside = disk.layers[0].path if has_file and disk is not None else frozen
    words = (stem, plain_name(name)[:_SHORT_NAME] or "snapshot", f"{vm.read_at:%Y%m%dT%H%M%S}")
    return new_path(beside, words, "qcow2", taken)


def new_path(beside: str, words: tuple[str, ...], suffix: str, taken: set[str]) -> str:
    """Return a path in the folder of another, and add it to those that are taken."""
    number = 1
    while (path := _path(beside, words, suffix, number)) in taken:
        number += 1
    taken.add(path)
    return path


def _path(beside: str, words: tuple[str, ...], suffix: str, number: int) -> str:
    first, *others = words
    end = ".".join(["", *others]) + (f"-{number}" if number > 1 else "") + f".{suffix}"
    room = _NAME_BYTES - len(end.encode())
    start = first.encode()[:room].decode(errors="ignore")
    return str(PurePosixPath(beside).with_name(f"{start}{end}"))


def _stem(disk: DiskChain) -> str:
    return PurePosixPath(disk.layers[-1].path).stem
