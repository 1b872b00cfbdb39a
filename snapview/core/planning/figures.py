"""Adding up what a plan copies, takes and frees, each figure between a least and a most.

How far two images overlap is not known beforehand, so what a merge takes in its image lies between
two bounds. A figure is given out only where it is exact, or as the bound it is said to be.
"""

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from snapview.core.planning.space import Need
from snapview.core.storage import Storage

# What qcow2 needs beside the data: tables, of which there are most with clusters of 4 KiB.
_TABLES_PART = 256
_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """A number of bytes of which only bounds are known."""

    least: int = 0
    most: int = 0

    def plus(self, other: "Span") -> "Span":
        """Add another one."""
        return Span(self.least + other.least, self.most + other.most)

    def minus(self, other: "Span") -> "Span":
        """Subtract another one that has nothing to do with this one."""
        return Span(self.least - other.most, self.most - other.least)


@dataclass(slots=True)
class Figures:
    """What the steps so far cost. None of a file is known: the figures it goes into are None."""

    storage: Storage | None
    _held: dict[str, Span | None] = field(default_factory=dict)  # file -> bytes on the disk
    _copied: int | None = 0
    _taken: Span | None = field(default_factory=Span)  # all folders together
    _is_exact: bool = True
    _peak: int | None = 0
    _by_folder: dict[str, Span] = field(default_factory=dict)
    _peaks: dict[str, tuple[str, Span]] = field(default_factory=dict)  # with a file in it

    def copy(self, sources: tuple[str, ...], into: str, *, keeps_old: bool = False) -> None:
        """Count what lies in some images as copied into another one.

        Args:
            sources: the images.
            into: the image that grows.
            keeps_old: what is overwritten there stays in the file, for the states inside it.
        """
        held = [self._of(path) for path in sources]
        known = [each for each in held if each is not None]
        if len(known) < len(held):
            self._copied = self._taken = self._peak = None
            self._held[into] = None
            return
        most = sum(each.most for each in known)
        if self._copied is not None:
            self._copied += most
        there = self._of(into)
        if there is None:
            self._taken = self._peak = None
            return
        room = self._room(into, sources, there)
        if room is not None and not keeps_old:
            most = min(most, room)
        least = max(0, max(each.least for each in known) - there.most)
        grown = Span(min(least, most), most)
        self._held[into] = there.plus(grown)
        self._take(into, grown)

    def remove(self, path: str) -> None:
        """Count a file as removed."""
        held = self._of(path)
        if held is None:
            self._taken = None
        else:
            self._take(path, Span().minus(held))
        self._held[path] = Span()

    def free_inside(self) -> None:
        """Count something inside a file as freed; nobody knows how much that is."""
        self._is_exact = False

    @property
    def copied_bytes(self) -> int | None:
        """What is copied: the allocation of the images copied from."""
        return self._copied if self.storage is not None else None

    @property
    def extra_bytes(self) -> int | None:
        """What is taken at most, at the moment it is most, over what is taken now."""
        return self._peak if self.storage is not None else None

    @property
    def freed_bytes(self) -> int | None:
        """What is free in the end that is taken now; None unless it is exact."""
        taken = self._taken
        is_exact = self._is_exact and taken is not None and taken.least == taken.most
        if self.storage is None or taken is None or not is_exact:
            return None
        return -taken.most

    @property
    def seconds(self) -> float | None:
        """How long the copying takes at the speed that was measured on this host."""
        copied, storage = self.copied_bytes, self.storage
        if copied is None or storage is None or not storage.copy_bytes_per_second:
            return None
        return copied / storage.copy_bytes_per_second

    def needs(self) -> tuple[Need, ...]:
        """Return what each folder must have free at the worst moment; none when unknown."""
        if self.storage is None or self._taken is None:
            return ()
        return tuple(Need(beside, peak.least, peak.most) for beside, peak in self._peaks.values())

    def _of(self, path: str) -> Span | None:
        if path in self._held:
            return self._held[path]
        image = self.storage.images.get(path) if self.storage is not None else None
        if image is None or image.allocation_bytes is None:
            return None
        return Span(image.allocation_bytes, image.allocation_bytes)

    def _room(self, into: str, sources: tuple[str, ...], there: Span) -> int | None:
        """Return how far an image can grow at most, until all that the guest sees is in it."""
        images = self.storage.images if self.storage is not None else {}
        sizes = [
            images[path].capacity_bytes if path in images else None for path in (into, *sources)
        ]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes):
            return None
        size = max(known)
        return max(0, size + size // _TABLES_PART + _HEADER_BYTES - there.least)

    def _take(self, path: str, grown: Span) -> None:
        if self._taken is not None:
            self._taken = self._taken.plus(grown)
            if self._peak is not None:
                self._peak = max(self._peak, self._taken.most)
        folder = str(PurePosixPath(path).parent)
        taken = self._by_folder.get(folder, Span()).plus(grown)
        self._by_folder[folder] = taken
        beside, peak = self._peaks.get(folder, (path, Span()))
        peak = Span(max(peak.least, taken.least), max(peak.most, taken.most))
        self._peaks[folder] = beside, peak
