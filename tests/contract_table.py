"""The whole table of what snapview does: every operation, on every kind, state and shape.

Each cell is really carried out, and what came of it is held against a model (``contract_bench``).
Only then does it get its word:

* ``works``: libvirt's own operation did it;
* ``own path``: snapview did it out of smaller pieces, because libvirt's own is not whole there;
* ``refused: CODE``: snapview said why not, and nothing was touched.

Trees are shared by the cells: a walk goes from one cell to the next, so that every cell also
begins where another one ended.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from snapview.core.operations import Afterwards, CreateSnapshot
from snapview.core.vm import SnapshotKind
from tests.contract_bench import (
    DISK_ONLY,
    EXTERNAL,
    INTERNAL,
    OFF,
    PAUSED,
    POWERS,
    RUNNING,
    Bench,
    Cell,
    Results,
    Taken,
)

PAGE = Path(__file__).with_name("CONTRACT.md")
REWRITE_VARIABLE = "SNAPVIEW_REWRITE_CONTRACT"

# In this order each cell of a walk leaves the VM where the next one finds its shape.
SHAPES = ("leaf", "middle", "branch point", "root", "other middle", "other leaf")

TAKEN: Mapping[SnapshotKind, tuple[Taken, ...]] = {
    INTERNAL: (RUNNING, PAUSED, OFF),
    EXTERNAL: (RUNNING, DISK_ONLY, PAUSED, OFF),
}

_T = TypeVar("_T")

MakeBench = Callable[[SnapshotKind, Results, int], Bench]

# What goes together into one table: the real ones; those without a hypervisor have their own.
GROUPS = (("libvirt 9.0", "libvirt 11.3"), ("libvirt's test driver",), ("the tests' fake",))


def walk(make: MakeBench, kind: SnapshotKind, results: Results) -> None:
    """Carry out all cells of one kind on one host."""
    walks = Walks(make, kind, results)
    for taken in TAKEN[kind]:
        for now in nows(taken):
            walks.delete_each_shape(taken, now)
        walks.revert_to_each_shape(taken)
    for now in POWERS:
        walks.consolidate(now)
    walks.take_what_is_not_offered()


def nows(taken: Taken) -> tuple[str, ...]:
    """Return in which states cells begin; what was taken paused differs little from running."""
    return ("paused",) if taken is PAUSED else POWERS


class Walks:
    """The cells of one kind of snapshot on one host, in an order that shares trees.

    Args:
        make: makes a VM.
        kind: of the snapshots.
        results: where the words go.
    """

    def __init__(self, make: MakeBench, kind: SnapshotKind, results: Results) -> None:
        self._make = make
        self._kind = kind
        self._results = results

    @contextmanager
    def _bench(self, disks: int = 1) -> Iterator[Bench]:
        bench = self._make(self._kind, self._results, disks)
        try:
            yield bench
            bench.verify("the walk")
        finally:
            bench.close()

    def _cell(self, operation: str, taken: Taken | None, now: str, what: str) -> Cell:
        return Cell(operation, self._kind.value, taken.name if taken else "", now, what)

    def _grow(self, bench: Bench, taken: Taken) -> None:
        """Make ``r - b - { m1 - l1, m2 - l2 }``, standing at ``l2``."""
        bench.take("r", taken, "the first")
        for name in ("b", "m1", "l1"):
            bench.take(name, taken, "on the leaf")
        bench.revert(None, "b", taken, Afterwards.AS_IT_WAS, safety=False)
        bench.take("m2", taken, "beside a branch")
        bench.take("l2", taken, "on the leaf")
        bench.verify("growing the tree")

    def revert_to_each_shape(self, taken: Taken) -> None:
        """Revert, keeping the state of now; then without, and to what is wanted afterwards."""
        with self._bench() as bench:
            self._grow(bench, taken)
            for now in nows(taken):
                for shape in SHAPES:
                    bench.switch(now)
                    cell = self._cell("revert, keeping the state of now", taken, now, shape)
                    name = bench.find(shape)
                    bench.revert(cell, name, taken, Afterwards.AS_IT_WAS, safety=True)
            shapes = itertools.cycle(SHAPES)
            for afterwards, now in zip(Afterwards, itertools.cycle(POWERS), strict=False):
                is_on = afterwards in {Afterwards.RUNNING, Afterwards.PAUSED}
                if is_on and taken is OFF and not bench.starts_what_was_off:
                    continue
                bench.switch(now)
                cell = self._cell("revert, throwing it away", taken, "", afterwards.value)
                bench.revert(cell, bench.find(next(shapes)), taken, afterwards, safety=False)
            bench.delete(None, (bench.find("other middle"),), subtree=True)
            bench.delete(None, tuple(bench.states))

    def delete_each_shape(self, taken: Taken, now: str) -> None:
        """Delete one after the other, until nothing is left; then a subtree, and all."""
        with self._bench() as bench:
            self._grow(bench, taken)
            bench.switch(now)
            for shape in ("other middle", "branch point", "other leaf", "middle", "root"):
                bench.dirty()
                bench.delete(self._cell("delete", taken, now, shape), (bench.find(shape),))
            bench.delete(self._cell("delete", taken, now, "leaf"), tuple(bench.states))
            for name in ("p", "q", "s"):
                bench.take(name, taken)
            bench.switch(now)
            bench.dirty()
            bench.delete(self._cell("delete", taken, now, "subtree"), ("q",), subtree=True)
            bench.take("z", taken)
            bench.switch(now)
            bench.dirty()
            bench.delete(self._cell("delete", taken, now, "all"), tuple(bench.states))

    def consolidate(self, now: str) -> None:
        """Merge what can be merged: of nothing, a line, a branch, one of two disks."""
        taken = DISK_ONLY if self._kind is EXTERNAL else RUNNING
        with self._bench() as bench:
            self._merge(bench, now, "no snapshots")
            for name in ("x", "y", "z"):
                bench.take(name, taken)
            self._merge(bench, now, "a line")
            if bench.states:
                bench.delete(None, tuple(bench.states))
            bench.take("r", taken)
            bench.take("m1", taken)
            bench.revert(None, "r", taken, Afterwards.AS_IT_WAS, safety=False)
            self._merge(bench, now, "on a branch point")
            bench.take("m2", taken)
            bench.take("l2", taken)
            self._merge(bench, now, "a line on a branch point")
        with self._bench(disks=2) as bench:
            bench.take("x", taken)
            bench.take("y", taken)
            self._merge(bench, now, "one of two disks", ("vda",))
            self._merge(bench, now, "the other disk", ("vdb",))

    def _merge(self, bench: Bench, now: str, what: str, disks: tuple[str, ...] = ()) -> None:
        bench.switch(now)
        bench.dirty()
        bench.consolidate(self._cell("consolidate", None, now, what), disks)

    def take_what_is_not_offered(self) -> None:
        """Ask for what is refused, or done only when it is asked for by name."""
        with self._bench() as bench:
            uuid, kind = bench.vm.uuid, self._kind
            other = EXTERNAL if kind is INTERNAL else INTERNAL

            def take(what: str, operation: CreateSnapshot) -> None:
                cell = self._cell("create", None, "running", what)
                if bench.carry_out(cell, operation) is not None:
                    bench.took(operation.title, operation.kind)
                    bench.verify(cell)

            if kind is INTERNAL:
                take("disk only", CreateSnapshot(uuid, "d", "", kind, memory=False))
            take("frozen", CreateSnapshot(uuid, "f", "", kind, memory=False, quiesce=True))
            bench.take("x", RUNNING)
            take("of the other kind", CreateSnapshot(uuid, "o", "", other))
            take("of the other kind, as asked", CreateSnapshot(uuid, "o", "", other, mix=True))


# The page


def render(results: Mapping[str, Results]) -> str:
    """Write the page: a table for each operation and kind; one column for each shape."""
    lines = [
        "# What snapview does where",
        "",
        "Made by `tests/test_contract_table.py` from what really happened; written anew with",
        f"`{REWRITE_VARIABLE}=1`. *works*: libvirt's own operation did it. *own path*: snapview",
        "did it out of smaller pieces. *refused*: it said why not, see the end, and touched",
        "nothing. *other*: not on the path of the live state. Rows: how the VM was when the",
        "snapshots were taken, and how it is when the operation begins.",
    ]
    for group in GROUPS:
        hosts = [host for host in group if host in results]
        if not hosts:
            continue
        cells = _in_order(cell for host in hosts for cell in results[host].words)
        lines += ["", f"## {', '.join(hosts)}"]
        for operation, kind in _in_order((cell.operation, cell.kind) for cell in cells):
            lines += ["", f"### {operation}: {kind}", ""]
            own = [cell for cell in cells if (cell.operation, cell.kind) == (operation, kind)]
            lines += _table(own, {host: results[host].words for host in hosts})
    lines += ["", "## Reasons", ""]
    reasons = {word: text for host in results.values() for word, text in host.reasons.items()}
    lines += [f"* *{word}*: {text}" for word, text in sorted(reasons.items())]
    return "\n".join(lines) + "\n"


def _table(cells: list[Cell], words: Mapping[str, Mapping[Cell, str]]) -> list[str]:
    columns = _in_order(cell.what for cell in cells)
    rows = _in_order((cell.taken, cell.now) for cell in cells)
    lines = [
        f"| taken | now | {' | '.join(columns)} |",
        f"|{'---|' * (len(columns) + 2)}",
    ]
    by_place: dict[object, Cell] = {(cell.taken, cell.now, cell.what): cell for cell in cells}
    for taken, now in rows:
        texts = []
        for what in columns:
            cell = by_place.get((taken, now, what))
            found = (
                {host: words[host][cell] for host in words if cell in words[host]} if cell else {}
            )
            texts.append(_text(found, len(words)))
        lines.append(f"| {taken} | {now} | {' | '.join(texts)} |")
    return lines


def _text(words: Mapping[str, str], hosts: int) -> str:
    """Say a word once when all hosts have the same."""
    if len(words) == hosts and len(set(words.values())) == 1:
        return next(iter(words.values()))
    return "; ".join(f"{host}: {word}" for host, word in words.items())


def parse(page: str) -> dict[str, Results]:
    """Read the words of every host back from the page, and the reasons as everybody's."""
    found: dict[str, Results] = {}
    hosts: list[str] = []
    operation = kind = ""
    columns: list[str] = []
    for line in page.splitlines():
        if line.startswith("## "):
            hosts = [host for group in GROUPS for host in group if host in line.split(" ", 1)[1]]
        elif line.startswith("### "):
            operation, kind = line.removeprefix("### ").rsplit(": ", 1)
        elif line.startswith("| taken |"):
            columns = _split(line)[2:]
        elif line.startswith("| "):
            taken, now, *texts = _split(line)
            for what, text in zip(columns, texts, strict=True):
                for host, word in _words(text, hosts):
                    cell = Cell(operation, kind, taken, now, what)
                    found.setdefault(host, Results()).words[cell] = word
        elif line.startswith("* *"):
            word, _, reason = line.removeprefix("* *").partition("*: ")
            for each in found.values():
                each.reasons[word] = reason
    return found


def _split(line: str) -> list[str]:
    return [each.strip() for each in line.strip().removeprefix("|").removesuffix("|").split("|")]


def _words(text: str, hosts: list[str]) -> list[tuple[str, str]]:
    if not text:
        return []
    named = [part.partition(": ") for part in text.split("; ")]
    if named[0][0] in hosts:
        return [(host, word) for host, _, word in named]
    return [(host, text) for host in hosts]


def _in_order(items: Iterable[_T]) -> list[_T]:
    return list(dict.fromkeys(items))
