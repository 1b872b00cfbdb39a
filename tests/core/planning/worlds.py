"""External snapshots as files: what a line of operations leaves, and what a plan does to it.

Written from what libvirt 9.9 and newer do, without looking at planning: images are lists of
writes on a backing file, and every step of a plan is carried out on them with open eyes.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from snapview.core.planning import Act, Plan, Step
from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    RunState,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotState,
    SnapshotTree,
    Vm,
)
from tests.core.planning.cases import vm_of
from tests.trees import START, make_vm


@dataclass
class Record:
    """What libvirt's metadata say of one external snapshot."""

    parent: str | None
    frozen: str
    overlay: str  # may name a file that is gone
    after_revert: str | None = None
    number: int = 0


@dataclass
class FileWorld:
    """One VM with one disk and external snapshots."""

    backing: dict[str, str | None] = field(default_factory=lambda: {"base": None})
    writes: dict[str, list[int]] = field(default_factory=lambda: {"base": [0]})
    records: dict[str, Record] = field(default_factory=dict)
    active: str = "base"
    current: str | None = None
    clock: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def content(self, image: str) -> tuple[int, ...]:
        """What the guest reads from an image."""
        assert image in self.backing, f"{image} is gone"
        below = self.backing[image]
        return (*(self.content(below) if below else ()), *self.writes[image])

    def states(self) -> dict[str, tuple[int, ...]]:
        """What each snapshot holds, and the live state under ''."""
        held = {name: self.content(record.frozen) for name, record in self.records.items()}
        return {**held, "": self.content(self.active)}

    # What a user does

    def take(self) -> str:
        number = next(self.clock)
        name, overlay = f"s{number:03}", f"o{number:03}"
        self.records[name] = Record(self.current, self.active, overlay, number=number)
        if self.current is not None:
            self.records[self.current].after_revert = None  # libvirt forgets it here
        self._put(overlay, self.active)
        self.active, self.current = overlay, name
        return name

    def revert(self, name: str) -> None:
        """With a safety snapshot, as snapview does."""
        kept = self.take()
        self._unlink(self.active)
        self.records[kept].after_revert = None
        overlay = f"r{next(self.clock):03}"
        target = self.records[name]
        if any(record.parent == name for record in self.records.values()):
            target.after_revert = overlay
        else:
            target.overlay = overlay
        self._put(overlay, target.frozen)
        self.active, self.current = overlay, name

    def _put(self, image: str, base: str) -> None:
        self.backing[image] = base
        self.writes[image] = [next(self.clock)]

    def _unlink(self, image: str) -> None:
        del self.backing[image]
        del self.writes[image]

    # What a plan does

    def carry_out(self, plan: Plan) -> None:
        """Do every step; nobody who is left may notice."""
        order = list(dict.fromkeys(step.snapshot for step in plan.steps))
        for name in order:
            assert name is not None
            before = self.states()
            for step in (step for step in plan.steps if step.snapshot == name):
                self._do(step, name)
            self._forget(name)
            after = self.states()
            assert after == {key: before[key] for key in after}, f"deleting {name} spoilt a state"

    def _do(self, step: Step, name: str) -> None:
        images = [file.removeprefix("/images/").removesuffix(".qcow2") for file in step.files]
        if step.act is Act.DISCARD:
            (gone,) = images
            assert gone != self.active
            assert gone not in self.backing.values(), f"{gone} is still somebody's backing file"
            others = (r.frozen for other, r in self.records.items() if other != name)
            assert gone not in others, f"{gone} is another snapshot's state"
            self._unlink(gone)
            return
        assert step.act is Act.MERGE
        top, base = images
        assert self.backing[top] == base, f"{top} does not lie on {base}"
        assert base == self.records[name].frozen
        on_base = {image for image, below in self.backing.items() if below == base}
        assert on_base == {top}, f"{on_base} would read what was merged into {base}"
        self.writes[base] += self.writes[top]
        self._unlink(top)
        self.backing = {i: base if below == top else below for i, below in self.backing.items()}
        self.active = base if self.active == top else self.active
        for other, record in self.records.items():
            if other != name and record.frozen == top:
                record.frozen = base

    def _forget(self, name: str) -> None:
        gone = self.records.pop(name)
        for record in self.records.values():
            if record.parent == name:
                record.parent = gone.parent
        if self.current == name:
            self.current = gone.parent
        parent = self.records.get(gone.parent or "")
        has_children = any(record.parent == gone.parent for record in self.records.values())
        if parent is not None and parent.after_revert and not has_children:
            parent.overlay, parent.after_revert = parent.after_revert, None

    # What snapview reads

    def vm(self, version: tuple[int, int, int], run_state: RunState) -> Vm:
        tree = SnapshotTree(
            (
                Snapshot(
                    name,
                    name,
                    parent=record.parent,
                    kind=SnapshotKind.EXTERNAL,
                    state=SnapshotState.SHUTOFF,
                    created_at=START.replace(microsecond=record.number),
                    disks=(
                        SnapshotDisk(
                            "vda", "external", _layer(record.frozen), _layer(record.overlay)
                        ),
                    ),
                    revert_overlays=(
                        (SnapshotDisk("vda", "external", None, _layer(record.after_revert)),)
                        if record.after_revert
                        else ()
                    ),
                )
                for name, record in self.records.items()
            ),
            self.current,
        )
        layers = [self.active]
        while (below := self.backing[layers[-1]]) is not None:
            layers.append(below)
        chain = DiskChain("vda", tuple(map(_layer, layers)), defined=len(layers), is_complete=True)
        return vm_of(make_vm(tree=tree, disks=(chain,)), version=version, run_state=run_state)


def _layer(image: str) -> DiskLayer:
    return DiskLayer(f"/images/{image}.qcow2", "qcow2")
