"""What the moves of a plan will copy, take meanwhile and free, worked out on what the images hold.

Planning knows how big the images are, and so gives bounds; their metadata tell exactly.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from snapview.core.moves import CommitImages, DeleteByLibvirt, Move, PullImages, RemoveFile
from snapview.images.extents import Extents
from snapview.images.layers import Joining, Layer, merge, pull, stacked
from snapview.images.usage import Usage


@dataclass(frozen=True, slots=True)
class Contents:
    """What is known of the files around a VM, by path. What is in none of these is unknown."""

    layers: Mapping[str, Layer]
    usages: Mapping[str, Usage] = field(default_factory=lambda: MappingProxyType({}))
    other_bytes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a plan costs. Bytes; None is unknown."""

    copied_bytes: int | None = 0
    extra_bytes: int | None = 0  # more than now, at the moment it is most
    freed_bytes: int | None = 0  # in the end


def forecast(moves: Iterable[Move], contents: Contents) -> Forecast:
    """Work out what moves that delete or merge cost, one after the other.

    Exact as far as ``layers`` is: for data that are copied as data. A state inside an image that
    was merged into in the same plan frees what nobody has read yet, so that is unknown.
    """
    running = _Running(dict(contents.layers), contents)
    for move in moves:
        running.make(move)
    return Forecast(running.copied, running.peak, running.freed)


@dataclass(slots=True)
class _Running:
    """The files as they are after the moves so far."""

    layers: dict[str, Layer]
    contents: Contents
    copied: int | None = 0
    freed: int | None = 0
    peak: int | None = 0
    written: set[str] = field(default_factory=set)
    inner_gone: dict[str, set[int]] = field(default_factory=dict)  # image -> states

    def make(self, move: Move) -> None:
        match move:
            case CommitImages():
                paths = [layer.path for layer in move.chain]
                self._commit(paths[paths.index(move.top) : paths.index(move.base)], move.base)
            case PullImages():
                paths = [layer.path for layer in move.chain]
                end = len(paths) if move.base is None else paths.index(move.base)
                self._pull(paths[0], paths[1:end])
            case RemoveFile():
                self._remove(move.path)
            case DeleteByLibvirt():
                self._delete_inside(move.snapshot)
            case _:
                pass  # changes records and headers only

    def _commit(self, gone: list[str], base: str) -> None:
        if not self._all_known([*gone, base]):
            return
        seen, into = stacked([self.layers[path] for path in gone]), self.layers[base]
        self._join(base, _written(into, seen), merge(seen, into))

    def _pull(self, image: str, between: list[str]) -> None:
        if not self._all_known([image, *between]):
            return
        into, below = self.layers[image], [self.layers[path] for path in between]
        seen, above = stacked(below), into.allocated
        new = replace(seen, data=seen.data.without(above), zeros=seen.zeros.without(above))
        self._join(image, _written(into, new), pull(into, below))

    def _join(self, path: str, layer: Layer, joining: Joining) -> None:
        self.written.add(path)
        if self.inner_gone.get(path):  # what may be overwritten there now was not read
            self._free(None)
        size = layer.file_bytes
        grown = None if size is None else size + joining.extra_bytes
        self.layers[path] = replace(layer, file_bytes=grown)
        if self.copied is not None:
            self.copied += joining.copied_bytes
        self._free(-joining.extra_bytes)

    def _remove(self, path: str) -> None:
        layer = self.layers.pop(path, None)
        self._free(layer.file_bytes if layer is not None else self.contents.other_bytes.get(path))

    def _delete_inside(self, name: str) -> None:
        holders = [
            (path, usage, state)
            for path, usage in self.contents.usages.items()
            for state, snapshot in enumerate(usage.snapshots, 1)
            if snapshot.name == name and path in self.layers
        ]
        if not holders or any(path in self.written for path, _, _ in holders):
            self._free(None)
            return
        for path, usage, state in holders:
            before = self.inner_gone.setdefault(path, set())
            freed = usage.freed_bytes({*before, state}) - usage.freed_bytes(before)
            before.add(state)
            layer = self.layers[path]
            if layer.file_bytes is not None:
                self.layers[path] = replace(layer, file_bytes=layer.file_bytes - freed)
            self._free(freed)

    def _all_known(self, paths: list[str]) -> bool:
        if all(path in self.layers for path in paths):
            return True
        self.copied = self.freed = self.peak = None
        return False

    def _free(self, size: int | None) -> None:
        if size is None or self.freed is None:
            self.freed = self.peak = None
            return
        self.freed += size
        if self.peak is not None:
            self.peak = max(self.peak, -self.freed)


def _written(into: Layer, new: Layer) -> Layer:
    """Return a layer after another one was written into it."""
    data, zeros = new.data, new.zeros
    writable = into.writable.union(data.hull(into.cluster_bytes))
    return replace(
        into,
        data=into.data.without(zeros).union(data),
        zeros=into.zeros.without(data).union(zeros),
        writable=writable,
        tables=_described(into, data.union(zeros)),
    )


def _described(into: Layer, written: Extents) -> Extents:
    if into.table_reach_bytes is None:
        return into.tables
    return into.tables.union(written.hull(into.table_reach_bytes))
