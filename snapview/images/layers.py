"""What a layer of a chain holds, and what joining layers or giving states up would free.

Figures are exact for data that QEMU copies as data. It may find zeros in them and save the space;
and the refcount tables of a growing image grow by a cluster for some ten thousands. Bytes always.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from snapview.images.extents import NOTHING, Extents, Positions, union_of
from snapview.images.header import Header
from snapview.images.qcow2 import COMPRESSED, IN_PLACE, READS_ZERO, Entries, Qcow2, decoded
from snapview.images.source import BadImage

_RAW_GRAIN_BYTES = 4096  # of most file systems
_MOST_L2_CACHE_BYTES = 32 << 20  # QEMU's own limit unless told otherwise, since 3.1
_SUBCLUSTERS = 32
_LOW = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Layer:
    """What one image of a chain holds of the disk, by the guest's addresses."""

    size_bytes: int  # of the disk the guest sees
    data: Extents
    zeros: Extents = NOTHING  # read as zeros, whatever is below
    writable: Extents = NOTHING  # can be written without taking more space in the file
    tables: Extents = NOTHING  # described by L2 tables that can be written without copying
    cluster_bytes: int = _RAW_GRAIN_BYTES
    table_reach_bytes: int | None = None  # what an L2 table describes; None: there are none
    file_bytes: int | None = None  # that the file takes; None: unknown
    has_extended_l2: bool = False

    @classmethod
    def raw(
        cls, size_bytes: int, data: Extents | None = None, file_bytes: int | None = None
    ) -> "Layer":
        """Return a raw layer: all data, unless told which parts of the file are not holes."""
        everything = Extents.whole(size_bytes)
        held = everything if data is None else data.within(size_bytes)
        # Holes read as zeros; a raw image never lets what is below it show.
        return cls(size_bytes, held, everything.without(held), held, file_bytes=file_bytes)

    @property
    def allocated(self) -> Extents:
        """What is read from this layer, not from below it."""
        return self.data.union(self.zeros)


def layer_of(image: Qcow2, state: int = 0, file_bytes: int | None = None) -> Layer:
    """Read what a state of a qcow2 image holds.

    Args:
        image: the image.
        state: 0 is the active one, then its snapshots.
        file_bytes: what the file takes, if that is known.

    Raises:
        BadImage: it is damaged.
        OSError: it cannot be read.
    """
    header = image.header
    l1 = image.l1(state)
    reach = header.l2_entries << header.cluster_bits
    parts = _Parts(image)
    for first, rows in image.tables(l1.offsets):
        parts.add(l1.columns[first : first + len(rows)], rows)
    size = header.size_bytes
    if state and image.snapshots[state - 1].size_bytes is not None:
        size = image.snapshots[state - 1].size_bytes or 0
    own = l1.columns[l1.is_in_place] * reach
    return Layer(
        size_bytes=size,
        data=union_of(parts.data).within(size),
        zeros=union_of(parts.zeros).within(size),
        writable=union_of(parts.writable),
        tables=Extents.of(own, own + reach),
        cluster_bytes=header.cluster_bytes,
        table_reach_bytes=reach,
        file_bytes=file_bytes,
        has_extended_l2=header.has_extended_l2,
    )


class _Parts:
    """Gathers stretches from L2 tables."""

    def __init__(self, image: Qcow2) -> None:
        self._image = image
        self._header = image.header
        self.data: list[Extents] = []
        self.zeros: list[Extents] = []
        self.writable: list[Extents] = []

    def add(self, columns: Positions, rows: Entries) -> None:
        """Add what L2 tables describe, one in each row, of these columns."""
        header = self._header
        stride = header.l2_entry_bytes // 8
        raw = np.ascontiguousarray(rows[:, ::stride]).ravel()
        raw_bitmaps = np.ascontiguousarray(rows[:, 1::2]).ravel() if stride == 2 else raw
        at = np.flatnonzero(raw | raw_bitmaps)
        clusters = columns[at // header.l2_entries] * header.l2_entries + at % header.l2_entries
        entries = decoded(raw[at])
        is_compressed = (entries & COMPRESSED) != 0
        offsets = np.zeros(entries.size, np.int64)
        offsets[~is_compressed] = self._image.check_entries(entries[~is_compressed])
        is_own = (entries & IN_PLACE) != 0
        has_cluster = offsets != 0
        if header.has_data_file:  # there, offset 0 is an offset
            has_cluster |= ~is_compressed & is_own
        if stride == 1:
            is_zero = ~is_compressed & ((entries & READS_ZERO) != 0)
            is_data = is_compressed | has_cluster & ~is_zero
        else:
            bitmaps = np.where(is_compressed, np.uint64(0), decoded(raw_bitmaps[at]))
            given, zero = bitmaps & _LOW, bitmaps >> np.uint64(32)
            if (given & zero).any() or given[~has_cluster].any():
                raise BadImage("An L2 table has subclusters that mean nothing.")
            is_data, is_zero = is_compressed | (given == _LOW), zero == _LOW
            self.data.append(self._mixed(clusters, given))
            self.zeros.append(self._mixed(clusters, zero))
        grain = header.cluster_bytes
        self.data.append(_blocks(clusters[is_data], grain))
        self.zeros.append(_blocks(clusters[is_zero], grain))
        self.writable.append(_blocks(clusters[has_cluster & is_own], grain))

    def _mixed(self, clusters: Positions, bits: Entries) -> Extents:
        """Return the subclusters of those clusters of which only some have their bit set."""
        mixed = np.flatnonzero((bits != 0) & (bits != _LOW))
        shifts = np.arange(_SUBCLUSTERS, dtype=np.uint64)
        which, place = np.nonzero((bits[mixed][:, None] >> shifts) & np.uint64(1))
        numbers = clusters[mixed][which] * _SUBCLUSTERS + place
        return _blocks(numbers, self._header.cluster_bytes // _SUBCLUSTERS)


def _blocks(numbers: Positions, grain_bytes: int) -> Extents:
    """Return the blocks of these numbers, which ascend."""
    begins = np.diff(numbers, prepend=-2) != 1
    ends = np.append(begins[1:], True)[: numbers.size]
    return Extents(numbers[begins] * grain_bytes, (numbers[ends] + 1) * grain_bytes)


@dataclass(frozen=True, slots=True)
class Joining:
    """What it takes to join layers, and what that gives back. Bytes."""

    copied_bytes: int  # data that are read and written
    zeroed_bytes: int  # that become zeros without being written
    extra_bytes: int  # that the file which stays grows by, at most
    freed_bytes: int | None  # that the files which go take now, less what the other grows by
    overlap_bytes: int  # of the guest's data that are lost, for newer ones lie above


def merge(overlay: Layer, base: Layer) -> Joining:
    """Say what writing an overlay into its base takes; then the overlay goes."""
    return Joining(
        copied_bytes=overlay.data.total_bytes,
        zeroed_bytes=overlay.zeros.total_bytes,
        extra_bytes=_growth(base, overlay.data, overlay.zeros),
        freed_bytes=_less(overlay.file_bytes, _growth(base, overlay.data, overlay.zeros)),
        overlap_bytes=base.data.common(overlay.allocated).total_bytes,
    )


def pull(overlay: Layer, below: Sequence[Layer]) -> Joining:
    """Say what copying layers into the one above takes; then they go.

    Args:
        overlay: the layer that stays.
        below: the layers that go, the uppermost first.
    """
    seen = stacked(below)
    above = overlay.allocated
    data, zeros = (
        each.within(overlay.size_bytes).without(above) for each in (seen.data, seen.zeros)
    )
    extra = _growth(overlay, data, zeros)
    return Joining(
        copied_bytes=data.total_bytes,
        zeroed_bytes=zeros.total_bytes,
        extra_bytes=extra,
        freed_bytes=_less(seen.file_bytes, extra),
        overlap_bytes=sum(layer.data.total_bytes for layer in below) - data.total_bytes,
    )


def _growth(into: Layer, data: Extents, zeros: Extents) -> int:
    """Return what a file grows by when these are written to it."""
    extra = data.hull(into.cluster_bytes).without(into.writable).total_bytes
    if into.table_reach_bytes is not None:
        described = data.union(zeros).hull(into.table_reach_bytes).without(into.tables)
        extra += described.total_bytes // into.table_reach_bytes * into.cluster_bytes
    return extra


def _less(size: int | None, extra: int) -> int | None:
    return None if size is None else size - extra


def stacked(layers: Sequence[Layer]) -> Layer:
    """Return what is seen from the top of layers; the uppermost first. Nothing can be written."""
    data, zeros = NOTHING, NOTHING
    for layer in layers:
        above = data.union(zeros)
        data = data.union(layer.data.without(above))
        zeros = zeros.union(layer.zeros.without(above))
    sizes = [layer.file_bytes for layer in layers]
    known = None if None in sizes else sum(size for size in sizes if size is not None)
    return Layer(layers[0].size_bytes if layers else 0, data, zeros, file_bytes=known)


def freed_bytes(
    layers: Mapping[str, Layer], parents: Mapping[str, str | None], given_up: Iterable[str]
) -> int | None:
    """Return what giving up the states of these layers together frees; None: sizes are unknown.

    A layer that no kept one needs goes as a whole. One that a single layer above needs is joined
    with that. One that several need stays as it is: joining would write its data several times.
    """
    gone = set(given_up)
    children: dict[str, list[str]] = {name: [] for name in layers}
    for name in layers:
        parent = parents.get(name)
        if parent is not None:
            children[parent].append(name)
    needed = _needed(layers, parents, gone)
    freed: int | None = 0
    for name in layers:
        if name not in needed:
            freed = _plus(freed, layers[name].file_bytes)
        elif not _is_joined(parents.get(name), needed, children, gone):
            chain = [name]
            while chain[-1] in gone:
                above = [child for child in children[chain[-1]] if child in needed]
                if len(above) != 1:
                    break
                chain.append(above[0])
            if len(chain) > 1:
                uppers = [layers[each] for each in reversed(chain[1:])]
                freed = _plus(freed, merge(stacked(uppers), layers[name]).freed_bytes)
    return freed


def _needed(
    layers: Mapping[str, Layer], parents: Mapping[str, str | None], gone: set[str]
) -> set[str]:
    """Return the kept layers and all that lie below them."""
    needed: set[str] = set()
    for name in layers:
        at: str | None = None if name in gone else name
        while at is not None and at not in needed:
            needed.add(at)
            at = parents.get(at)
    return needed


def _is_joined(
    parent: str | None, needed: set[str], children: Mapping[str, list[str]], gone: set[str]
) -> bool:
    """Whether a layer that is needed will be joined with the one below it."""
    return parent in gone and sum(child in needed for child in children[str(parent)]) == 1


def _plus(total: int | None, size: int | None) -> int | None:
    return None if total is None or size is None else total + size


def mean_read_depth(layers: Sequence[Layer]) -> float | None:
    """Return how many layers a read passes, on average over the bytes that any layer holds.

    Args:
        layers: the chain, the uppermost first: what that holds counts 0.

    Returns:
        None where no layer holds anything.
    """
    seen, weighted = NOTHING, 0
    for depth, layer in enumerate(layers):
        new = layer.allocated.within(layers[0].size_bytes).without(seen)
        weighted += depth * new.total_bytes
        seen = union_of((seen, new))
    return weighted / seen.total_bytes if seen.total_bytes else None


@dataclass(frozen=True, slots=True)
class CacheNeed:
    """What QEMU keeps of an image's metadata in memory while it is open. Bytes."""

    l2_bytes: int  # at most
    refcount_bytes: int
    covered_bytes: int  # of the disk, by a full L2 cache

    @property
    def worst_bytes(self) -> int:
        """The memory the caches of this layer take at worst."""
        return self.l2_bytes + self.refcount_bytes


def cache_need(header: Header, most_l2_bytes: int = _MOST_L2_CACHE_BYTES) -> CacheNeed:
    """Say what QEMU's caches for an image take, and how much of the disk they cover."""
    cluster = header.cluster_bytes
    tables_bytes = -(-header.size_bytes // cluster) * header.l2_entry_bytes
    whole = -(-tables_bytes // cluster) * cluster
    smallest = 2 * min(cluster, 64 << 10)
    l2_bytes = max(smallest, min(whole, most_l2_bytes))
    covered = min(header.size_bytes, l2_bytes // header.l2_entry_bytes * cluster)
    return CacheNeed(l2_bytes, 4 * cluster, covered)
