"""Whether what is about to be written fits beside the images. Pure.

Only what is certain refuses; what is merely possible warns. Unknown free space says nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from snapview.core.storage import Storage

OVERLAY_BYTES = 192 << 10  # an empty qcow2 image: header, tables and no data

# QEMU writes at least nine bytes for each page of 4 KiB, also for one that is empty.
_LEAST_MEMORY_PART = 512
_MOST_OF_IT = 0.8


@dataclass(frozen=True, slots=True)
class Need:
    """What will be written into a folder, of which ``beside`` names a file."""

    beside: str
    least_bytes: int
    most_bytes: int  # at once; what an overlay grows to later is another matter


def need_of_overlay(path: str) -> Need:
    """Return what a new overlay takes at first."""
    return Need(path, OVERLAY_BYTES, OVERLAY_BYTES)


def need_of_memory(path: str, memory_bytes: int) -> Need:
    """Return what a VM's memory takes in a file: empty pages nearly nothing."""
    return Need(path, memory_bytes // _LEAST_MEMORY_PART, memory_bytes)


def too_small(storage: Storage | None, needs: Iterable[Need]) -> str:
    """Say which folder certainly has too little room; empty: none that is known."""
    for free_bytes, need in _folders(storage, needs):
        if need.least_bytes > free_bytes:
            least = size_text(need.least_bytes)
            return f"In {_folder(need.beside)} are {size_text(free_bytes)} free of at least {least}"
    return ""


def tight(storage: Storage | None, needs: Iterable[Need]) -> str:
    """Say which folder may be filled, as a sentence; empty: none that is known."""
    for free_bytes, need in _folders(storage, needs):
        if need.most_bytes > _MOST_OF_IT * free_bytes:
            what = f"Up to {size_text(need.most_bytes)} are written into {_folder(need.beside)}"
            return f"{what}, where {size_text(free_bytes)} are free."
    return ""


def size_text(size_bytes: int) -> str:
    """Return a size for a sentence: MiB below 100 MiB, else GiB with one decimal."""
    mebibytes = size_bytes / 2**20
    if 0 < mebibytes < 1:
        return f"{size_bytes / 2**10:.0f} KiB"
    return f"{mebibytes:.0f} MiB" if mebibytes < 100 else f"{size_bytes / 2**30:.1f} GiB"


def _folders(storage: Storage | None, needs: Iterable[Need]) -> Iterable[tuple[int, Need]]:
    """Yield for each folder of which it is known what is free there, and all that it needs."""
    sums: dict[str, Need] = {}
    for need in needs:
        folder = _folder(need.beside)
        old = sums.get(folder, Need(need.beside, 0, 0))
        least, most = old.least_bytes + need.least_bytes, old.most_bytes + need.most_bytes
        sums[folder] = Need(need.beside, least, most)
    for need in sums.values():
        free_bytes = storage.free_beside(need.beside) if storage is not None else None
        if free_bytes is not None:
            yield free_bytes, need


def _folder(path: str) -> str:
    return str(PurePosixPath(path).parent)
