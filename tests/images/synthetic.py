"""Writes qcow2 metadata without QEMU: images far larger than any that it could make in a test."""

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
ENTRIES = CLUSTER // 8
IN_PLACE = 1 << 63


@dataclass
class Synthetic:
    """A qcow2 image of 64 KiB clusters whose guest data are holes in the file."""

    path: Path
    size_bytes: int
    snapshot_count: int
    next_cluster: int = 1
    tables: dict[int, np.ndarray] = field(default_factory=dict)  # L2 tables by cluster
    l1s: list[dict[int, int]] = field(default_factory=list)  # by column: the table's cluster
    active: dict[int, int] = field(default_factory=dict)
    frozen: set[int] = field(default_factory=set)  # L2 tables that a snapshot has

    def write_guest(self, guest_clusters: np.ndarray) -> None:
        """Give guest clusters new host clusters, as a guest that writes to them."""
        columns = guest_clusters // ENTRIES
        for column in np.unique(columns).tolist():
            places = guest_clusters[columns == column] % ENTRIES
            table = self._own_table(column)
            first = self.next_cluster
            self.next_cluster += places.size
            hosts = np.arange(first, self.next_cluster, dtype=np.uint64)
            table[places] = hosts << np.uint64(CLUSTER_BITS) | np.uint64(IN_PLACE)

    def snapshot(self) -> None:
        self.l1s.append(dict(self.active))
        self.frozen.update(self.active.values())

    def _own_table(self, column: int) -> np.ndarray:
        at = self.active.get(column)
        if at is None or at in self.frozen:
            old = self.tables[at] if at is not None else np.zeros(ENTRIES, np.uint64)
            at = self.next_cluster
            self.next_cluster += 1
            self.tables[at] = old & ~np.uint64(IN_PLACE)
            self.active[column] = at
        return self.tables[at]

    def save(self) -> None:
        """Write the file; its refcounts say 1 where it matters only whether they say 0."""
        columns = -(-self.size_bytes // (CLUSTER * ENTRIES))
        with self.path.open("wb") as file:
            for at, table in self.tables.items():
                file.seek(at * CLUSTER)
                file.write(table.astype(">u8").tobytes())
            offsets = [self._put(file, self._l1(each, columns)) for each in self.l1s]
            l1_at = self._put(file, self._l1(self.active, columns))
            entries = b"".join(
                _snapshot(offset, columns, number, self.size_bytes)
                for number, offset in enumerate(offsets)
            )
            snapshots_at = self._put(file, entries) if entries else 0
            blocks = -(-(self.next_cluster * 33 // 32 + 2) // (CLUSTER // 2))
            table_at = self.next_cluster
            total = table_at + 1 + blocks
            refcounts = np.zeros(blocks * CLUSTER // 2, ">u2")
            refcounts[:total] = 1
            pointers = (np.arange(blocks, dtype=np.uint64) + np.uint64(table_at + 1)) << np.uint64(
                CLUSTER_BITS
            )
            self._put(file, pointers.astype(">u8").tobytes())
            self._put(file, refcounts.tobytes())
            assert self.next_cluster == total
            file.seek(0)
            file.write(
                struct.pack(
                    ">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, CLUSTER_BITS, self.size_bytes, 0,
                    columns, l1_at, table_at * CLUSTER, 1, len(offsets), snapshots_at,
                )
            )  # fmt: skip
            file.write(struct.pack(">QQQII", 0, 0, 0, 4, 104))
            file.truncate(self.next_cluster * CLUSTER)

    def _put(self, file, data: bytes) -> int:  # type: ignore[no-untyped-def] # any binary file
        offset = self.next_cluster * CLUSTER
        file.seek(offset)
        file.write(data)
        self.next_cluster += -(-len(data) // CLUSTER)
        return offset

    def _l1(self, columns: dict[int, int], count: int) -> bytes:
        table = np.zeros(count, ">u8")
        for column, cluster in columns.items():
            table[column] = cluster << CLUSTER_BITS
        return table.tobytes()


def _snapshot(l1_at: int, columns: int, number: int, size_bytes: int) -> bytes:
    id_, name = str(number + 1).encode(), f"s{number}".encode()
    fixed = struct.pack(">QIHHIIQII", l1_at, columns, len(id_), len(name), 1, 0, 0, 0, 16)
    entry = fixed + struct.pack(">QQ", 0, size_bytes) + id_ + name
    return entry + bytes(-len(entry) % 8)


def make(
    path: Path, *, size_gib: int, allocated_gib: int, span_gib: int, snapshots: int, seed: int = 1
) -> Synthetic:
    """Write an image: half of the data before the first snapshot, the rest between them.

    The guest's data lie within the first ``span_gib`` of the disk.
    """
    chance = np.random.default_rng(seed)
    image = Synthetic(path, size_gib << 30, snapshots)
    clusters = (allocated_gib << 30) // CLUSTER
    span = (span_gib << 30) // CLUSTER
    later = clusters // 2 // max(1, snapshots)
    image.write_guest(_runs(chance, span, clusters - later * snapshots))
    for _ in range(snapshots):
        image.snapshot()
        image.write_guest(_runs(chance, span, later))
    image.save()
    return image


def _runs(chance: np.random.Generator, span: int, count: int) -> np.ndarray:
    """Return about so many guest clusters, in stretches of 16, as a file system has them."""
    starts = chance.choice(span // 16, min(span // 16, -(-count // 16)), replace=False)
    return np.sort((starts[:, None] * 16 + np.arange(16)).ravel())[:count]
