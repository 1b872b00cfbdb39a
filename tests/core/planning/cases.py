"""Decision tables under test: a case for each row, a near miss beside it, and VMs to plan for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from snapview.core.operations import Operation
from snapview.core.planning import Plan, Refusal, RefusalCode, plan
from snapview.core.planning.plans import Rule
from snapview.core.storage import ImageFile, Storage
from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    HostCapabilities,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotState,
    SnapshotTree,
    Vm,
)
from tests.trees import START, make_vm

VERSIONS = [(8, 0, 0), (9, 0, 0), (10, 0, 0), (10, 10, 0), (11, 2, 0), (11, 3, 0), (12, 1, 0)]
INTERNAL, EXTERNAL = SnapshotKind.INTERNAL, SnapshotKind.EXTERNAL


def capabilities(version: tuple[int, int, int] = (11, 3, 0)) -> HostCapabilities:
    """What QEMU's driver of that version tells of itself."""
    return HostCapabilities("QEMU", version, (10, 0, 2), reverts_external=version >= (9, 9, 0))


TEST_DRIVER = HostCapabilities("TEST", (11, 3, 0), touches_disks=False)


def vm_of(vm: Vm | None = None, version: tuple[int, int, int] | None = None, **changes: Any) -> Vm:
    """A VM on a host of that version; a change of ``hardware__…`` changes its hardware."""
    if vm is None:
        vm = replace(make_vm(), capabilities=capabilities())
    hardware = {key[10:]: changes.pop(key) for key in list(changes) if key.startswith("hardware__")}
    if version is not None or vm.capabilities == HostCapabilities():
        changes.setdefault("capabilities", capabilities(version or (11, 3, 0)))
    if "disks" in changes:
        hardware["disks"] = changes["disks"]
    return replace(vm, hardware=replace(vm.hardware, **hardware), **changes)


def image(name: str) -> DiskLayer:
    return DiskLayer(f"/images/{name}.qcow2", "qcow2")


def internal(name: str, parent: str | None = None, **changes: Any) -> Snapshot:
    """An internal snapshot with memory, inside the image ``base``."""
    made = Snapshot(
        name,
        name,
        parent=parent,
        state=SnapshotState.RUNNING,
        has_memory=True,
        created_at=START,
        disks=(SnapshotDisk("vda", "internal", image("base")),),
    )
    return replace(made, **changes)


def external(name: str, parent: str | None, frozen: str, overlay: str, **changes: Any) -> Snapshot:
    """An external snapshot of a VM that was off: it froze one image and made another."""
    made = Snapshot(
        name,
        name,
        parent=parent,
        kind=EXTERNAL,
        state=SnapshotState.SHUTOFF,
        created_at=START,
        disks=(SnapshotDisk("vda", "external", image(frozen), image(overlay)),),
    )
    return replace(made, **changes)


def internal_vm(**changes: Any) -> Vm:
    """Two internal snapshots in a line, the second one current."""
    tree = SnapshotTree([internal("one"), internal("two", "one")], "two")
    return vm_of(make_vm(tree=tree, disks=(disk("base"),)), **changes)


def external_vm(**changes: Any) -> Vm:
    """``one`` froze the base, ``two`` the overlay on it; on top the live image."""
    tree = SnapshotTree(
        [external("one", None, "base", "b1"), external("two", "one", "b1", "b2")], "two"
    )
    return vm_of(make_vm(tree=tree, disks=(disk("b2", "b1", "base"),)), **changes)


def disk(*names: str, target: str = "vda", **changes: Any) -> DiskChain:
    """A disk of qcow2 images, the active one first, all of them known to the definition."""
    made = DiskChain(target, tuple(map(image, names)), defined=len(names), is_complete=True)
    return replace(made, **changes)


def stored(vm: Vm, backing: Mapping[str, str | None], **changes: Any) -> Vm:
    """A VM with images of those headers: 30 MiB each, of disks of 100 MiB, on a big file system.

    ``sizes`` are allocations in bytes, by name, of images or other files.
    """
    sizes = changes.pop("sizes", {})
    names = {**dict.fromkeys(sizes), **backing}
    images = {
        image(name).path: ImageFile(
            image(name).path,
            "qcow2",
            image(below).path if below else None,
            "qcow2" if below else None,
            100 << 20,
            sizes.get(name, 30 << 20),
        )
        for name, below in names.items()
    }
    storage = Storage(images, {"/images": 1 << 40})
    return vm.with_storage(replace(storage, **changes))


@dataclass(frozen=True)
class Case:
    """A row of a table, a VM and an operation it refuses, and what makes it possible again."""

    row: int
    vm: Vm
    operation: Operation
    near_miss: dict[str, Any] = field(default_factory=dict)  # changes of the VM
    instead: Operation | None = None  # another operation
    label: str = ""

    def __str__(self) -> str:
        return f"{self.row}-{self.label}" if self.label else str(self.row)


def check_case(rules: Sequence[Rule[Any]], case: Case) -> None:
    """The case's row, and no row before it, refuses; beside it there is a plan."""
    hit = rows_of(rules, lambda: plan(case.vm, case.operation))
    refusal = plan(case.vm, case.operation)
    assert isinstance(refusal, Refusal), "not refused"
    assert hit == case.row, f"row {hit} refused: {refusal.reason}"
    assert refusal.code is rules[case.row].code
    assert refusal.reason.rstrip()[-1] in ".!?", refusal.reason
    assert refusal.advice.endswith("."), refusal.advice
    vm = vm_of(case.vm, **case.near_miss) if case.near_miss else case.vm
    other = plan(vm, case.instead or case.operation)
    assert isinstance(other, Plan), f"the near miss is refused too: {other}"


def rows_of(rules: Sequence[Rule[Any]], act: Callable[[], object]) -> int | None:
    """The index of the first rule that holds while ``act`` plans, seen from the rule itself."""
    seen: list[int] = []
    originals = [rule.when for rule in rules]

    def watched(index: int) -> Callable[[Any], object]:
        def when(facts: Any) -> object:
            holds = originals[index](facts)
            if holds:
                seen.append(index)
            return holds

        return when

    for index, rule in enumerate(rules):
        object.__setattr__(rule, "when", watched(index))
    try:
        act()
    finally:
        for rule, original in zip(rules, originals, strict=True):
            object.__setattr__(rule, "when", original)
    return seen[0] if seen else None


def check_coverage(rules: Sequence[Rule[Any]], cases: Iterable[Case]) -> None:
    """Every row has a case."""
    missing = set(range(len(rules))) - {case.row for case in cases}
    assert not missing, f"rows without a case: {sorted(missing)}"


def refusal_of(vm: Vm, operation: Operation) -> RefusalCode | None:
    """Why not; None when it is possible."""
    planned = plan(vm, operation)
    return planned.code if isinstance(planned, Refusal) else None


def plan_of(vm: Vm, operation: Operation) -> Plan:
    planned = plan(vm, operation)
    assert isinstance(planned, Plan), planned
    return planned


def check_idempotent(vm: Vm, operation: Operation) -> None:
    """A plan's operation is complete: planning it again gives the same."""
    first = plan_of(vm, operation)
    assert plan(vm, first.operation) == first
