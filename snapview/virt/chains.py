"""Which images lie below those that a VM's definition names. Pure.

Hides what libvirt records of overlays, what it forgets, and how the tree tells it all the same.
"""

from dataclasses import replace

from snapview.core.vm import DiskChain, DiskLayer, Snapshot, SnapshotTree


def complete_chain(chain: DiskChain, tree: SnapshotTree) -> DiskChain:
    """Add the images below a chain that the snapshots of the VM know of.

    Each external snapshot says which image its overlays were put on, also those of reverts to it.
    Of an overlay that a revert made, libvirt keeps no record once a snapshot froze it; but it lies
    on what the parent of that snapshot froze, as the live image lies on what the current one froze.
    """
    if chain.is_complete or not chain.layers:
        return chain
    frozen = {snapshot.name: _frozen_layer(snapshot, chain.target) for snapshot in tree}
    below: dict[str, DiskLayer] = {}
    for snapshot in tree:
        base = frozen[snapshot.name]
        for disk in (*snapshot.disks, *snapshot.revert_overlays):
            if disk.target == chain.target and disk.overlay and base:
                below.setdefault(disk.overlay.path, base)
    stands_on = [(frozen[snapshot.name], snapshot.parent) for snapshot in tree]
    for top, parent in [*stands_on, (chain.layers[0], tree.current)]:
        base = frozen.get(parent) if parent is not None else None
        if top and base and top.path != base.path:
            below.setdefault(top.path, base)
    layers = list(chain.layers)
    seen = {layer.path for layer in layers}
    while (found := below.get(layers[-1].path)) is not None and found.path not in seen:
        layers.append(found)
        seen.add(found.path)
    return replace(chain, layers=tuple(layers))


def _frozen_layer(snapshot: Snapshot, target: str) -> DiskLayer | None:
    """Return the image of a disk that an external snapshot froze."""
    disks = (disk for disk in snapshot.disks if disk.target == target and disk.mode == "external")
    return next((disk.frozen for disk in disks), None)
