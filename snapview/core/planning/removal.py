"""What has to be done to the images of one snapshot so that it can go and all other states stay.

==================================  ==========================================================
what needs its image on a disk      what is done
==================================  ==========================================================
another state is that image         nothing: the image stays for that one
the VM itself writes to it          nothing: the snapshot was lost when that began (trap 2)
nothing                             the image is removed
one image that lies on it           the two are joined
several images that lie on it       all but one get a copy of what they need; then as with one
nothing, a whole disk not attached  nothing: it may be attached again
internal snapshots inside it        the image stays, whatever else is done
==================================  ==========================================================
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from snapview.core.operations import MergeBy
from snapview.core.planning.images import Images, Place
from snapview.core.planning.merging import Commit, Pull, Work
from snapview.core.planning.plans import Act, Step
from snapview.core.vm import Snapshot, SnapshotTree


def works_of(images: Images, snapshot: Snapshot, merge_by: MergeBy) -> Iterator[tuple[str, Work]]:
    """Yield for each image of a snapshot a disk that it belongs to, and what is done."""
    seen = set()
    for disk in snapshot.disks:
        place = (snapshot.name, disk.target)
        path = images.frozen.get(place)
        if disk.mode == "internal" and disk.frozen is not None:
            path = disk.frozen.path
        if path is None or path in seen:
            continue
        seen.add(path)
        target = images.live.get(path, disk.target)
        yield target, _work(images, snapshot.name, target, path, merge_by)


def _work(images: Images, name: str, target: str, path: str, merge_by: MergeBy) -> Work:
    """Decide by the table above what is done to one image."""
    if path in images.active.values() or any(other != name for other, _ in images.tips(path)):
        return Work(path)
    is_held = any(other != name for other, _ in images.inside(path))
    overlays = images.overlays(path)
    if not overlays:
        is_whole_disk = images.was_base(path) and target not in images.active
        return (
            Work(path)
            if is_held or is_whole_disk
            else Work(path, (), (path, *images.only_below(path)))
        )
    if merge_by is MergeBy.PULL:
        pulls = tuple(Pull(target, overlay, (path,)) for overlay in overlays)
        return Work(path, pulls, () if is_held else (path,))
    kept = next((overlay for overlay in overlays if overlay in images.live), overlays[-1])
    others = tuple(Pull(target, overlay, (path,)) for overlay in overlays if overlay != kept)
    joined = _up_to_a_state(images, kept)
    return Work(path, (*others, Commit(target, joined, path)))


def _without(images: Images, target: str, path: str) -> tuple[str, ...]:
    """Return the files that go with an image on which nothing lies, and which is no state now."""
    if images.was_base(path) and target not in images.active:
        return ()
    return (path, *images.only_below(path))


def stranded(images: Images, places: Iterable[tuple[Place, str]]) -> Iterator[tuple[Place, Work]]:
    """Yield what is to be removed of the images that were the states of forgotten snapshots.

    The images have to be gone from the picture before the next one is asked for.
    """
    waiting = dict(places)
    while True:
        for place, path in waiting.items():
            is_needed = images.is_needed(path) or images.overlays(path) or images.users(path)
            if gone := () if is_needed else _without(images, place[1], path):
                break
        else:
            return
        waiting = {other: path for other, path in waiting.items() if path not in gone}
        yield place, Work(path, (), gone)


def _up_to_a_state(images: Images, first: str) -> tuple[str, ...]:
    """Return an image with those above it, the uppermost first, up to the first that is a state.

    In between lie layers of which there is no record. One with internal snapshots in it would lose
    them, so it is left where it is if it can.
    """
    found = [first]
    while True:
        at = found[0]
        above = images.overlays(at)
        is_state = at in images.active.values() or images.tips(at) or images.inside(at)
        if is_state or len(above) != 1 or above[0] in found or images.inside(above[0]):
            return tuple(found)
        found.insert(0, above[0])


class MemoryFiles:
    """The memory files of a VM's snapshots, and how many snapshots still name each."""

    def __init__(self, tree: SnapshotTree) -> None:
        self._named = Counter(snapshot.memory_path for snapshot in tree)

    def release(self, snapshot: Snapshot) -> str | None:
        """Return the file that can go with a snapshot, whose turn it is now; None: there is none.

        libvirt 9.0 leaves it behind (trap 19).
        """
        path = snapshot.memory_path
        self._named[path] -= 1
        return path if not self._named[path] else None


def steps_of(
    images: Images, tree: SnapshotTree, snapshot: Snapshot, target: str, work: Work
) -> list[Step]:
    """Say what is done to one image, before it is done."""
    label, name = snapshot.label, snapshot.name
    if not work.jobs:
        what = f"The record of “{label}” goes; its image of {target} stays."
        if work.gone:
            what = f"The image of “{label}” is removed; nothing else needs it."
        return [Step(Act.DISCARD, what, target, work.gone, name)]
    found = []
    for job in work.jobs:
        if isinstance(job, Commit):
            what = f"What was written to {target} after “{label}” is merged into the image below"
            files: tuple[str, ...] = (job.top, job.base)
        else:
            what = f"What “{label}” holds of {target} is copied into the image above it"
            if len(images.overlays(work.image)) > 1:
                what += f", for {_standing_on(images, tree, job.image)}"
            files = (work.image, job.image)
        found.append(Step(Act.MERGE, f"{what}.", target, files, name))
    return found


def _standing_on(images: Images, tree: SnapshotTree, path: str) -> str:
    """Name the nearest state that lies in an image or on top of it."""
    names = (name for name in images.states_on(path) if name in tree)
    nearest = next((f"“{tree[name].label}”" for name in names), None)
    return nearest or "the VM as it is now"
