"""Walks a qcow2 image one entry at a time, as the format's description says. Slow, and plain."""

from pathlib import Path

_OFFSET = 0x00FFFFFFFFFFFE00


class Walked:
    """Which host clusters each state refers to, which the image itself, and all refcounts."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.is_v3 = self.number(4, 4) == 3
        self.bits = self.number(20, 4)
        self.cluster_bytes = 1 << self.bits
        self.features = self.number(72, 8) if self.is_v3 else 0
        self.image = {0}
        self.refcounts: dict[int, int] = {}
        self._walk_refcounts()
        self.states = [self._state(at, size) for at, size in self._l1s()]
        self._walk_extensions()

    def shares(self) -> dict[int, int]:
        """Return bytes by the set of states, bit n for state n."""
        found: dict[int, int] = {}
        for cluster in set().union(*self.states):
            mask = sum(1 << n for n, state in enumerate(self.states) if cluster in state)
            found[mask] = found.get(mask, 0) + self.cluster_bytes
        return found

    def freed(self, selected: set[int]) -> int:
        """Return what deleting these states frees, without what the snapshot table shrinks by."""
        kept: set[int] = set().union(
            *(state for n, state in enumerate(self.states) if n not in selected)
        )
        gone: set[int] = set().union(*(self.states[n] for n in selected))
        return len(gone - kept) * self.cluster_bytes

    def taken(self) -> int:
        return sum(1 for count in self.refcounts.values() if count) * self.cluster_bytes

    def number(self, at: int, size: int) -> int:
        return int.from_bytes(self.data[at : at + size], "big")

    def _span(self, offset: int, length: int) -> set[int]:
        end = (offset + length + self.cluster_bytes - 1) >> self.bits
        return set(range(offset >> self.bits, end)) if length else set()

    def _walk_refcounts(self) -> None:
        table, length = self.number(48, 8), self.number(56, 4) << self.bits
        self.image |= self._span(table, length)
        for n in range(length // 8):
            block = self.number(table + n * 8, 8)
            if block:
                self.image.add(block >> self.bits)
                self._walk_block(block, n)

    def _walk_block(self, block: int, which: int) -> None:
        bits = 1 << (self.number(96, 4) if self.is_v3 else 4)
        per_block = self.cluster_bytes * 8 // bits
        for m in range(per_block):
            if bits >= 8:
                count = self.number(block + m * bits // 8, bits // 8)
            else:
                octet = self.data[block + m * bits // 8]
                count = octet >> (m * bits % 8) & ((1 << bits) - 1)
            if count:
                self.refcounts[which * per_block + m] = count

    def _l1s(self) -> list[tuple[int, int]]:
        l1s = [(self.number(40, 8), self.number(36, 4))]
        at = start = self.number(64, 8)
        for _ in range(self.number(60, 4)):
            l1s.append((self.number(at, 8), self.number(at + 8, 4)))
            names = self.number(at + 12, 2) + self.number(at + 14, 2)
            at += -(-(40 + self.number(at + 36, 4) + names) // 8) * 8
        self.image |= self._span(start, at - start)
        return l1s

    def _state(self, l1_at: int, l1_size: int) -> set[int]:
        state = self._span(l1_at, l1_size * 8)
        for n in range(l1_size):
            table = self.number(l1_at + n * 8, 8) & _OFFSET
            if table:
                state.add(table >> self.bits)
                for m in range(0, self.cluster_bytes, 16 if self.features & 16 else 8):
                    state |= self._of_entry(self.number(table + m, 8))
        return state

    def _of_entry(self, entry: int) -> set[int]:
        if entry >> 62 & 1:
            x = 62 - (self.bits - 8)
            offset = entry & ((1 << x) - 1)
            sectors = ((entry & ((1 << 62) - 1)) >> x) + 1
            return self._span(offset, sectors * 512 - offset % 512)
        if entry & _OFFSET and not self.features & 4:
            return {(entry & _OFFSET) >> self.bits}
        return set()

    def _walk_extensions(self) -> None:
        at = self.number(100, 4) if self.is_v3 else 72
        end = self.number(8, 8) or self.cluster_bytes
        while at + 8 <= end and self.number(at, 4):
            kind, length = self.number(at, 4), self.number(at + 4, 4)
            if kind == 0x23852875 and self.number(88, 8) & 1:
                self._walk_bitmaps(at + 8)
            if kind == 0x0537BE77:
                self.image |= self._span(self.number(at + 8, 8), self.number(at + 16, 8))
            at += 8 + -(-length // 8) * 8

    def _walk_bitmaps(self, at: int) -> None:
        entry = self.number(at + 16, 8)
        self.image |= self._span(entry, self.number(at + 8, 8))
        for _ in range(self.number(at, 4)):
            table, size = self.number(entry, 8), self.number(entry + 8, 4)
            self.image |= self._span(table, size * 8)
            offsets = [self.number(table + n * 8, 8) & _OFFSET for n in range(size)]
            self.image |= {offset >> self.bits for offset in offsets if offset}
            length = 24 + self.number(entry + 18, 2) + self.number(entry + 20, 4)
            entry += -(-length // 8) * 8
