"""What becomes of the images that a VM leaves when it reverts. Pure.

An image may go only when it held nothing but the state that is left: it stands on an image of one
of the VM's snapshots, and neither a snapshot, nor another image, nor another VM needs it.
"""

from collections.abc import Collection
from dataclasses import dataclass

from snapview.core.planning.images import Images
from snapview.core.vm import DiskChain, Vm


@dataclass(frozen=True, slots=True)
class Leaving:
    """The images that a VM leaves.

    ``gone`` are disk target and path of those that may be removed, upper ones first. ``staying``
    are active images that nothing refers to afterwards, but that are not proven to hold only the
    state that is left, such as a whole image without a backing file: somebody's disk.
    """

    gone: tuple[tuple[str, str], ...] = ()
    staying: tuple[str, ...] = ()


def leaving(
    vm: Vm, images: Images, carried: Collection[str], fresh: Collection[str] = ()
) -> Leaving:
    """Work out what goes and what stays.

    Args:
        vm: as it is right before it reverts.
        images: the picture of that moment.
        carried: targets of the disks that go on as they are.
        fresh: images that were made just before, of which nobody can know.
    """
    left = [disk for disk in vm.state_disks if disk.target not in carried]
    used = {
        path
        for disk in vm.disks
        if disk not in left and disk.layers
        for path in images.paths(disk.layers[0].path)
    }
    # A record names also the disks that its snapshot left out.
    used |= {disk.frozen.path for s in vm.tree for disk in s.disks if disk.frozen}
    is_known = all(snapshot.problem is None for snapshot in vm.tree)
    gone: list[tuple[str, str]] = []
    staying: list[str] = []
    for disk in left:
        if disk.layers[0].type != "file" or disk.layers[0].path in used:
            continue
        found, end = _only_live(disk, images, used)
        stands_on_state = end is not None and any(_is_state(images, p) for p in images.paths(end))
        if stands_on_state and (is_known or all(path in fresh for path in found)):
            gone += [(disk.target, path) for path in found]
        else:
            staying += found[:1]
        if end is not None and end not in used and not _is_wanted(images, end, set(found)):
            staying.append(end)
    return Leaving(tuple(gone), tuple(staying))


def _only_live(disk: DiskChain, images: Images, used: set[str]) -> tuple[list[str], str | None]:
    """Return the images that only the live state of a disk needs, and what they stand on."""
    found: list[str] = []
    for path in images.paths(disk.layers[0].path):
        others = [upper for upper in images.overlays(path) if upper not in found]
        if others or path in used or _is_state(images, path) or images.users(path):
            return found, path
        found.append(path)
    return found, None


def _is_wanted(images: Images, path: str, left: set[str]) -> bool:
    """Whether anybody misses an image when those that are left are gone."""
    others = (upper for upper in images.overlays(path) if upper not in left)
    is_needed = any(images.is_needed(upper) for upper in others)
    return is_needed or _is_state(images, path) or bool(images.users(path))


def _is_state(images: Images, path: str) -> bool:
    return bool(images.tips(path) or images.inside(path))
