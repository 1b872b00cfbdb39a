"""The images of a VM as planning pictures them: what lies on what, and whose state lies where.

The picture is changed as each step would change the disks, so that the next one is planned on what
will be there then. Hides where the truth comes from: the headers where they are known, else what
QEMU has open, the definition, and the snapshots' records.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from snapview.core.storage import Storage
from snapview.core.vm import DiskChain, DiskLayer, Snapshot, SnapshotTree, Vm

Place = tuple[str, str]  # snapshot, disk target


class Images:
    """The images of one VM, all disks together, by path. Mutable; of one planning only.

    An image is *needed* when a state lies in it or on top of it: a snapshot's or the live one.

    Attributes:
        is_on: whether a QEMU has the live chains open.
        active: disk target -> the image written to.
        live: the images of the live chains -> disk target.
        frozen: external snapshot and target -> the image that is its state.
        odd: disks whose open or defined chain is not what the headers say.
    """

    __slots__ = (
        "_backing",
        "_folders",
        "_inside",
        "_layers",
        "_overlays",
        "_own",
        "_storage",
        "_tips",
        "_were_overlays",
        "active",
        "frozen",
        "is_on",
        "live",
        "odd",
    )

    def __init__(self, vm: Vm) -> None:
        """Take the picture of now, in O(snapshots + images)."""
        self._storage = vm.storage
        self.is_on = vm.run_state.is_active
        self.active = {disk.target: disk.layers[0].path for disk in vm.disks if disk.layers}
        self.frozen: dict[Place, str] = {}
        self._layers: dict[str, DiskLayer] = {}
        self._tips: dict[str, dict[Place, None]] = {}  # image -> external states it is
        self._inside: dict[str, dict[Place, None]] = {}  # image -> internal states in it
        self._read_records(vm)
        self._backing = _Below(vm, self.frozen, self._tips, self._inside).backing()
        self._were_overlays = frozenset(path for path, base in self._backing.items() if base)
        self._overlays: dict[str, dict[str, None]] = {}
        for path, base in self._backing.items():
            if base is not None:
                self._overlays.setdefault(base, {})[path] = None
        self._own = {*self.active.values(), *_recorded(vm.tree)}
        self._folders = {PurePosixPath(path).parent for path in self._own}
        self.live = self._live()
        self.odd = tuple(disk.target for disk in vm.disks if self._is_odd(disk))

    def _read_records(self, vm: Vm) -> None:
        for disk in vm.disks:
            for layer in disk.layers:
                self._layers.setdefault(layer.path, layer)
        for snapshot in vm.tree:
            for each in snapshot.disks:
                if each.frozen is None or each.mode not in {"external", "internal"}:
                    continue
                place, path = (snapshot.name, each.target), each.frozen.path
                if path not in self._layers or self._layers[path].format is None:
                    self._layers[path] = each.frozen
                if each.mode == "internal":
                    self._inside.setdefault(path, {})[place] = None
                else:
                    self.frozen[place] = path
                    self._tips.setdefault(path, {})[place] = None

    def _live(self) -> dict[str, str]:
        return {path: target for target, top in self.active.items() for path in self.paths(top)}

    def _is_odd(self, disk: DiskChain) -> bool:
        """Whether what the definition names differs from what the headers say."""
        named = [layer.path for layer in disk.layers[: disk.defined]]
        found = self.paths(disk.layers[0].path) if disk.layers else []
        is_whole = disk.is_complete and disk.defined == len(disk.layers)
        return named != found[: len(named)] or (is_whole and len(found) > len(named))

    # What is there

    def below(self, path: str) -> str | None:
        """Return the image that one lies on; None: it is a base, or unknown."""
        return self._backing.get(path)

    def overlays(self, path: str) -> tuple[str, ...]:
        """Return the images that lie on one."""
        return tuple(self._overlays.get(path, ()))

    def tips(self, path: str) -> tuple[Place, ...]:
        """Return the external snapshots whose state an image is."""
        return tuple(self._tips.get(path, ()))

    def inside(self, path: str) -> tuple[Place, ...]:
        """Return the internal snapshots that lie in an image."""
        return tuple(self._inside.get(path, ()))

    def holds_internal(self, path: str) -> bool:
        """Whether internal snapshots lie in an image."""
        return bool(self._inside.get(path))

    def users(self, path: str) -> tuple[str, ...]:
        """Return the other VMs that need an image, as far as is known."""
        return self._storage.users.get(path, ()) if self._storage is not None else ()

    def paths(self, path: str) -> list[str]:
        """Return an image and all below it; a loop ends where it closes."""
        found = {path: None}
        at = self._backing.get(path)
        while at is not None and at not in found:
            found[at] = None
            at = self._backing.get(at)
        return list(found)

    def chain(self, path: str) -> tuple[DiskLayer, ...]:
        """Return an image and all below it, with their formats."""
        return tuple(self.layer(each) for each in self.paths(path))

    def layer(self, path: str) -> DiskLayer:
        """Return an image with its format: as recorded, else as the header above it says.

        What the file itself looks like counts only where it has a backing file, because what a
        guest wrote into a raw image may look like anything.
        """
        found = self._layers.get(path)
        if found is not None and found.format is not None:
            return found
        found = replace(found or DiskLayer(path), format=self._format_in_headers(path))
        self._layers[path] = found
        return found

    def _format_in_headers(self, path: str) -> str | None:
        headers = self._storage.images if self._storage is not None else {}
        above = (headers[top].backing_format for top in self.overlays(path) if top in headers)
        named = next((each for each in above if each is not None), None)
        own = headers.get(path)
        return named or (own.format if own is not None and own.backing is not None else None)

    def was_base(self, path: str) -> bool:
        """Whether an image had no backing file to begin with, as far as is known."""
        return path not in self._were_overlays

    def is_own(self, path: str) -> bool:
        """Whether an image is an active one, or a snapshot's record names it.

        All others are there only because a header says so, and headers say what others wrote.
        """
        return path in self._own

    def is_elsewhere(self, path: str) -> bool:
        """Whether an image is only named by a header, and lies beside none of the VM's own."""
        return not self.is_own(path) and PurePosixPath(path).parent not in self._folders

    def leaf(self, path: str) -> str:
        """Return an image at the end of a branch above one; the active one on the live path."""
        if path in self.live:
            return self.active[self.live[path]]
        seen = set()
        while path not in seen and (above := self.overlays(path)):
            seen.add(path)
            path = above[-1]
        return path

    def is_needed(self, path: str) -> bool:
        """Whether a state of this VM lies in an image or on top of it."""
        waiting, seen = [path], {path}
        while waiting:
            at = waiting.pop()
            if at in self.live or self._tips.get(at) or self._inside.get(at):
                return True
            fresh = [each for each in self.overlays(at) if each not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
        return False

    def states_on(self, path: str) -> Iterator[str]:
        """Yield the snapshots whose states lie in an image or on top of it, nearest first."""
        waiting, seen = [path], {path}
        for at in waiting:  # grows while it is walked
            yield from (name for name, _ in (*self.tips(at), *self.inside(at)))
            fresh = [each for each in self.overlays(at) if each not in seen]
            seen.update(fresh)
            waiting.extend(fresh)

    def only_below(self, path: str) -> tuple[str, ...]:
        """Return the layers below an image without which nobody but it would miss anything.

        A base image is never among them, nor what lies between: it may be somebody's template.
        """
        found: list[str] = []
        above, at = path, self.below(path)
        while at is not None and at not in found:
            alone = self.overlays(at) == (above,) and at not in self.live
            if not alone or self._tips.get(at) or self._inside.get(at) or self.users(at):
                break
            if self.was_base(at):
                return ()
            found.append(at)
            above, at = at, self.below(at)
        return tuple(found)

    # What steps do to it

    def commit(self, images: tuple[str, ...], base: str) -> None:
        """Join images, the uppermost first, into the one they lie on; they are gone then."""
        top = images[0]
        above = self.overlays(top)
        for place in self._tips.pop(top, {}):
            self.frozen[place] = base
            self._tips.setdefault(base, {})[place] = None
        for target, active in self.active.items():
            if active == top:
                self.active[target] = base
        for path in images:
            self.remove(path)
        for path in above:
            self._put(path, base)

    def pull(self, image: str, between: tuple[str, ...]) -> None:
        """Copy what lies right below an image up into it, so that it lies on what is below that."""
        self._put(image, self.below(between[-1]))
        if image in self.live:
            self.live = self._live()

    def remove(self, path: str) -> None:
        """Take an image away, and what it held."""
        base = self._backing.pop(path, None)
        if base is not None:
            self._overlays.get(base, {}).pop(path, None)
        self._overlays.pop(path, None)
        for place in self._tips.pop(path, {}):
            self.frozen.pop(place, None)
        self._inside.pop(path, None)
        self.live.pop(path, None)

    def forget(self, snapshot: Snapshot) -> None:
        """Take a snapshot's states away; the images stay."""
        for each in snapshot.disks:
            place = (snapshot.name, each.target)
            path = self.frozen.pop(place, None)
            if path is not None:
                self._tips.get(path, {}).pop(place, None)
            elif each.frozen is not None:
                self._inside.get(each.frozen.path, {}).pop(place, None)

    def _put(self, path: str, base: str | None) -> None:
        old = self._backing.get(path)
        if old is not None:
            self._overlays.get(old, {}).pop(path, None)
        self._backing[path] = base
        if base is not None:
            self._overlays.setdefault(base, {})[path] = None


class _Below:
    """Works out which image each image lies on."""

    def __init__(
        self,
        vm: Vm,
        frozen: dict[Place, str],
        tips: dict[str, dict[Place, None]],
        inside: dict[str, dict[Place, None]],
    ) -> None:
        self._disks = vm.disks
        self._tree = vm.tree
        self._storage = vm.storage or Storage()
        self._is_read = vm.storage is not None
        self._frozen = frozen
        self._tips = tips
        self._inside = inside

    def backing(self) -> dict[str, str | None]:
        """Return it for each image of which it is known."""
        found = {image.path: image.backing for image in self._storage.images.values()}
        for disk in self._disks:
            paths = [layer.path for layer in disk.layers]
            for upper, lower in itertools.pairwise(paths):
                if self._is_unknown(upper):
                    found.setdefault(upper, lower)
        if self._frozen:
            self._add_recorded(found)
        return found

    def _is_unknown(self, path: str) -> bool:
        """Whether there is no header to tell; a file that is missing has none either, though."""
        return not self._is_read or self._storage.is_unread(path)

    def _add_recorded(self, found: dict[str, str | None]) -> None:
        """Add what the snapshots' records say of images whose headers are unknown.

        An overlay was put on what its snapshot froze. Of an overlay that a revert made, libvirt
        keeps no record once a snapshot froze it; but it lies on what the parent froze.
        """
        named = dict(_named_overlays(self._tree, self._frozen))
        bases = {disk.layers[-1].path for disk in self._disks if disk.is_complete and disk.layers}
        for path, place in self._nodes():
            if path in found or path in bases or not self._is_unknown(path):
                continue
            base = named.get(path)
            found[path] = base if base is not None else self._frozen_above(path, place)

    def _nodes(self) -> Iterable[tuple[str, Place]]:
        """Yield each image that is a state, with one whose state it is; and the active ones."""
        for path, places in self._tips.items():
            yield path, next(iter(places))
        for disk in self._disks:
            if disk.layers and self._tree.current is not None:
                yield disk.layers[-1].path, (self._tree.current, disk.target)
        for path, places in self._inside.items():
            yield path, next(iter(places))

    def _frozen_above(self, path: str, place: Place) -> str | None:
        """Return what the nearest ancestor that froze another image froze."""
        name, target = place
        at: str | None = name
        while at is not None:
            frozen = self._frozen.get((at, target))
            if frozen is not None and frozen != path:
                return frozen
            at = self._tree.parent(at)
        return None


def _recorded(tree: SnapshotTree) -> Iterator[str]:
    """Yield the images that the snapshots' records name."""
    for snapshot in tree:
        for disk in (*snapshot.disks, *snapshot.revert_overlays):
            yield from (layer.path for layer in (disk.frozen, disk.overlay) if layer is not None)


def _named_overlays(tree: SnapshotTree, frozen: dict[Place, str]) -> Iterator[tuple[str, str]]:
    """Yield each overlay that a record names, with the image it was put on."""
    for snapshot in tree:
        for disk in (*snapshot.revert_overlays, *snapshot.disks):
            base = frozen.get((snapshot.name, disk.target))
            if base is not None and disk.overlay is not None:
                yield disk.overlay.path, base
