"""What the chain pictures show: of removing one snapshot, and of merging a disk's chain. Pure.

Sizes are those of the files as they are now; of a merged file only the most it can become is known.
"""

from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import QCoreApplication

from snapview.core.moves import CommitImages, Move, PullImages
from snapview.core.operations import MergeBy
from snapview.core.vm import DiskChain, Vm
from snapview.ui.dialogs.chain_picture import Box, Chain, shortened
from snapview.ui.facts import file_name
from snapview.ui.format import MIB, size_text


def _tr(text: str) -> str:
    return QCoreApplication.translate("Pictures", text)


# -- removing one snapshot


def removal_picture(
    vm: Vm, name: str, *, merges: bool, merge_by: MergeBy, copied_bytes: int | None
) -> Chain:
    """Return a snapshot with its parent and with what stands on it, now and then."""
    tree = vm.tree
    parent, later = tree.parent(name), _kept_dependent(vm, name)
    before = (Box(tree[parent].label, _state_size(vm, parent)),) if parent else ()
    gone = Box(tree[name].label, _state_size(vm, name), is_marked=True)
    after = () if later is None else (Box(_label(vm, later), _state_size(vm, later)),)
    end = ""
    if name in tree.live_path() and later:
        end = _tr("here") if later == tree.current else _tr("… here")
    if not merges or later is None:
        struck = Box(gone.text, is_gone=True)
        return Chain((*before, gone, *after), (*before, struck, *after), end)
    merged = Box(_label(vm, later), _merged_size(vm, name, later), is_marked=True, span=2)
    at = len(before)
    arrow = (at + 1, at) if merge_by is MergeBy.COMMIT else (at, at + 1)
    return Chain(
        (*before, gone, *after),
        (*before, merged),
        end,
        arrow,
        _copy_caption(copied_bytes, merge_by),
    )


def _kept_dependent(vm: Vm, name: str) -> str | None:
    """Return what stands on a snapshot and goes on the same line; "" is the live state."""
    children = vm.tree.children(name)
    live = vm.tree.live_path()
    if vm.tree.current == name:
        return ""
    return next((child for child in children if child in live), children[-1] if children else None)


def _label(vm: Vm, name: str) -> str:
    return vm.tree[name].label if name else _tr("You are here")


def _state_paths(vm: Vm, name: str) -> list[str]:
    """Return the images of external disks in which a state lies; "" is the live state."""
    if not name:
        return [disk.layers[0].path for disk in vm.state_disks]
    disks = vm.tree[name].disks
    return [disk.frozen.path for disk in disks if disk.mode == "external" and disk.frozen]


def _state_bytes(vm: Vm, name: str) -> int | None:
    sizes = [image_bytes(vm, path) for path in _state_paths(vm, name)]
    known = [size for size in sizes if size is not None]
    return sum(known) if known and len(known) == len(sizes) else None


def _state_size(vm: Vm, name: str) -> str:
    size = _state_bytes(vm, name)
    return "" if size is None else size_text(size)


def _merged_size(vm: Vm, lower: str, upper: str) -> str:
    sizes = (_state_bytes(vm, lower), _state_bytes(vm, upper))
    most = _most(sizes)
    return _tr("{size} in one file").format(size=most) if most else ""


def _copy_caption(copied_bytes: int | None, merge_by: MergeBy) -> str:
    if copied_bytes is None:
        return _tr("copied down") if merge_by is MergeBy.COMMIT else _tr("copied up")
    text = _tr("{size} copied down") if merge_by is MergeBy.COMMIT else _tr("{size} copied up")
    return text.format(size=size_text(copied_bytes))


def image_bytes(vm: Vm, path: str) -> int | None:
    """Return what an image takes on the host's disk; None: unknown."""
    image = vm.storage.images.get(path) if vm.storage else None
    return image.allocation_bytes if image else None


# -- merging a chain


def chain_picture(vm: Vm, disk: DiskChain, moves: Sequence[Move]) -> Chain:
    """Return the images of a disk, the base first, now and after the moves."""
    paths = [layer.path for layer in reversed(disk.layers)]
    runs = [run for move in moves if (run := _run(move, disk.target, paths))]
    merged = {path: run for run in runs for path in run}
    labels = image_labels(vm, disk)

    def box(path: str, *, is_marked: bool = False) -> Box:
        size = image_bytes(vm, path)
        small = "" if size is None else size_text(size)
        return Box(labels.get(path) or file_name(path), small, is_marked=is_marked)

    now = [box(path, is_marked=path in merged) for path in paths]
    then: list[Box] = []
    for path in paths:
        joined = merged.get(path)
        if joined is None:
            then.append(box(path))
        elif path == joined[0]:
            sizes = [image_bytes(vm, each) for each in joined]
            then.append(Box(box(joined[-1]).text, _most(sizes), is_marked=True, span=len(joined)))
    return _fitted(now, then)


def _run(move: Move, target: str, paths: Sequence[str]) -> tuple[str, ...]:
    """Return the images that a move makes into one, from the lowest to the uppermost."""
    match move:
        case CommitImages(target=where, top=top, base=base):
            is_known = where == target and top in paths and base in paths
            return tuple(paths[paths.index(base) : paths.index(top) + 1]) if is_known else ()
        case PullImages(target=where, base=left, chain=chain):
            top = chain[0].path
            if where != target or top not in paths or (left is not None and left not in paths):
                return ()
            start = 0 if left is None else paths.index(left) + 1
            return tuple(paths[start : paths.index(top) + 1])
        case _:
            return ()


def image_labels(vm: Vm, disk: DiskChain) -> dict[str, str]:
    """Return the states that lie in each image of a disk; an image without one is left out."""
    found: dict[str, list[str]] = {}
    for snapshot in vm.tree:
        for each in snapshot.disks:
            if each.target == disk.target and each.frozen is not None:
                found.setdefault(each.frozen.path, []).append(snapshot.label)
    labels = {path: ", ".join(names) for path, names in found.items()}
    if disk.active is not None:
        labels[disk.active.path] = _tr("You are here")
    return labels


def _most(sizes: Sequence[int | None]) -> str:
    """Return the most that images take when they are one; empty: unknown."""
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return ""
    most = sum(known)
    text = _tr("at most {size}") if most >= MIB else "{size}"
    return text.format(size=size_text(most))


def _fitted(now: Sequence[Box], then: Sequence[Box]) -> Chain:
    """Return a chain that fits; where boxes are left out, nothing stands below its own place."""
    more = _tr("{number} more")
    shown = shortened(now, more)
    if len(shown) == len(now):
        return Chain(shown, tuple(then))
    free = max(0, len(shown) - len(then))
    spread = []
    for box in then:
        spread.append(replace(box, span=1 + (free if box.is_marked else 0)))
        free = 0 if box.is_marked else free
    return Chain(shown, shortened(spread, more))
