"""Operations on a VM in memory, and what has to be true of it afterwards, whatever happened."""

import threading
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace

from snapview.core.errors import SnapviewError
from snapview.core.journal import interruption_of
from snapview.core.operations import (
    Afterwards,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    Failed,
    MergeBy,
    Operation,
    Outcome,
    RevertSnapshot,
)
from snapview.core.under_way import Interruption
from snapview.core.vm import SnapshotKind
from snapview.virt.acts import steps_of
from snapview.virt.job import SteppedJob, Steps, run
from snapview.virt.moves.site import Patience, Site
from tests.virt.memory_libvirt import UUID, Content, MemoryLibvirt, external_chains
from tests.virt.ports import MemoryPort

OLD, NEW = (9, 0, 0), (11, 3, 0)
EXTERNAL, INTERNAL = SnapshotKind.EXTERNAL, SnapshotKind.INTERNAL
PATIENCE = Patience(thaw_seconds=60.0, second=0.0, pause=lambda _stop, _seconds: None)


def job_of(
    port: MemoryPort, operation: Operation, agreed: object = None, patience: Patience = PATIENCE
) -> SteppedJob:
    def begin(stop: threading.Event) -> Steps:
        return steps_of(operation, Site(port, stop, patience=patience), port.journal, agreed)

    return SteppedJob(UUID, begin)


def do(port: MemoryPort, operation: Operation, agreed: object = None) -> Outcome:
    return run(job_of(port, operation, agreed), lambda _progress: None)


def failure(port: MemoryPort, operation: Operation, agreed: object = None) -> SnapviewError:
    outcome = do(port, operation, agreed)
    assert isinstance(outcome, Failed), outcome
    assert outcome.changed == {UUID}
    return outcome.error


def interruption(port: MemoryPort) -> Interruption | None:
    entry = port.journal.find(port.uri, UUID)
    return None if entry is None else interruption_of(entry)


# VMs


def line(*, on: bool = False, memory: bool = False, **changes: object) -> MemoryLibvirt:
    """Three external snapshots in a line, the last one current, with something after each."""
    made = MemoryLibvirt(**changes)  # type: ignore[arg-type]
    if on:
        made.start()
    made.write(0)
    for number, name in enumerate(("one", "two", "three"), start=1):
        made.write(number)
        made.take(name, memory=memory and on)
        made.write(7)
    return made


def branches(*, on: bool = False, version: tuple[int, int, int] = NEW) -> MemoryLibvirt:
    """``one`` with two branches: ``two`` and ``three`` on it, and ``side``, where the VM is."""
    made = line()
    made.revert("one", Afterwards.AS_IT_WAS)
    made.second += 1
    made.write(9)
    made.take("side")
    made.write(10)
    made.version = version
    if on:
        made.start()
    return made


def tall_branches(*, on: bool = False) -> MemoryLibvirt:
    """``one``, on it ``two``, on that two branches: ``three``, and ``side``, where the VM is."""
    made = line()
    made.revert("two", Afterwards.AS_IT_WAS)
    made.second += 1
    made.write(9)
    made.take("side")
    made.write(10)
    if on:
        made.start()
    return made


def internals(*, on: bool = True) -> MemoryLibvirt:
    """Two internal snapshots in a line."""
    made = MemoryLibvirt()
    if on:
        made.start()
    for name in ("one", "two"):
        made.write(1)
        made.take(name, internal=True)
    made.write(2)
    return made


def mixed() -> MemoryLibvirt:
    """An external snapshot on an internal one."""
    made = MemoryLibvirt()
    made.write(1)
    made.take("one", internal=True)
    made.write(2)
    made.take("two")
    made.write(3)
    return made


# What is done to them


@dataclass(frozen=True)
class Scenario:
    """An operation on a VM: which snapshots it gives up, and where the VM is afterwards."""

    label: str
    make: Callable[[], MemoryLibvirt]
    operation: Operation
    lost: tuple[str, ...] = ()
    back_to: str | None = None
    is_on: bool | None = None  # None: as before

    def __str__(self) -> str:
        return self.label


def _take(**changes: object) -> CreateSnapshot:
    made = CreateSnapshot(UUID, "new one", "words", EXTERNAL, memory=False)
    return replace(made, **changes)  # type: ignore[arg-type]


def _back(name: str, **changes: object) -> RevertSnapshot:
    return replace(RevertSnapshot(UUID, name), **changes)  # type: ignore[arg-type]


def _drop(*names: str, **changes: object) -> DeleteSnapshot:
    return replace(DeleteSnapshot(UUID, names), **changes)  # type: ignore[arg-type]


RUNNING, OFF = Afterwards.RUNNING, Afterwards.OFF

SCENARIOS = (
    Scenario("take off", line, _take()),
    Scenario("take on", lambda: line(on=True), _take(quiesce=True)),
    Scenario("take with memory", lambda: line(on=True), _take(memory=True)),
    Scenario("take internal", internals, _take(kind=INTERNAL, memory=True)),
    Scenario("describe", line, EditDescription(UUID, "one", "A title", "words")),
    Scenario("revert by libvirt", line, _back("one"), back_to="one", is_on=False),
    Scenario(
        "revert by libvirt with memory",
        lambda: line(on=True, memory=True),
        _back("two"),
        back_to="two",
        is_on=True,
    ),
    Scenario(
        "revert by libvirt without safety",
        line,
        _back("one", safety_snapshot=False),
        back_to="one",
        is_on=False,
    ),
    Scenario("revert to internal", internals, _back("one"), back_to="one", is_on=True),
    Scenario(
        "revert to internal, off",
        internals,
        _back("one", afterwards=OFF),
        back_to="one",
        is_on=False,
    ),
    Scenario("own revert off", lambda: line(version=OLD), _back("one"), back_to="one", is_on=False),
    Scenario(
        "own revert on",
        lambda: line(on=True, version=OLD),
        _back("two", afterwards=RUNNING),
        back_to="two",
        is_on=True,
    ),
    Scenario(
        "own revert without safety",
        lambda: line(on=True, version=OLD, targets=("vda", "vdb")),
        _back("one", safety_snapshot=False),
        back_to="one",
        is_on=False,
    ),
    Scenario(
        "own revert with memory",
        lambda: line(on=True, memory=True, version=OLD),
        _back("two", afterwards=Afterwards.PAUSED),
        back_to="two",
        is_on=True,
    ),
    Scenario(
        "own revert on raw images",
        lambda: line(version=OLD, base_format="raw"),
        _back("one", safety_snapshot=False),
        back_to="one",
    ),
    Scenario("own revert to a branch", lambda: branches(version=OLD), _back("two"), back_to="two"),
    Scenario("delete the first, off", line, _drop("one"), ("one",)),
    Scenario("delete the first, on", lambda: line(on=True), _drop("one"), ("one",)),
    Scenario("delete the first, raw", lambda: line(base_format="raw"), _drop("one"), ("one",)),
    Scenario("delete the middle, off", line, _drop("two"), ("two",)),
    Scenario(
        "delete the middle with memory",
        lambda: line(on=True, memory=True, targets=("vda", "vdb")),
        _drop("two"),
        ("two",),
    ),
    Scenario("delete the current, off", line, _drop("three"), ("three",)),
    Scenario("delete the current, on", lambda: line(on=True), _drop("three"), ("three",)),
    Scenario("delete all, off", line, _drop("one", subtree=True), ("one", "two", "three")),
    Scenario(
        "delete all, on",
        lambda: line(on=True, memory=True),
        _drop("one", subtree=True),
        ("one", "two", "three"),
    ),
    Scenario(
        "delete all, raw",
        lambda: line(base_format="raw"),
        _drop("one", subtree=True),
        ("one", "two", "three"),
    ),
    Scenario("delete the end of a branch", branches, _drop("three"), ("three",)),
    Scenario("delete the middle of a branch", branches, _drop("two"), ("two",)),
    Scenario("delete where it branches, off", branches, _drop("one"), ("one",)),
    Scenario("delete where it branches, on", lambda: branches(on=True), _drop("one"), ("one",)),
    Scenario(
        "delete a whole branch",
        lambda: branches(on=True),
        _drop("two", subtree=True),
        ("two", "three"),
    ),
    Scenario("delete on a branch, on", lambda: branches(on=True), _drop("two"), ("two",)),
    Scenario("delete by copying up", line, _drop("three", merge_by=MergeBy.PULL), ("three",)),
    Scenario(
        "delete by copying up, on",
        lambda: line(on=True),
        _drop("three", merge_by=MergeBy.PULL),
        ("three",),
    ),
    Scenario("delete below where it branches, off", tall_branches, _drop("one"), ("one",)),
    Scenario(
        "delete below where it branches, on",
        lambda: tall_branches(on=True),
        _drop("one"),
        ("one",),
    ),
    Scenario("consolidate, off", line, Consolidate(UUID), ("one", "two", "three")),
    Scenario("consolidate, on", lambda: line(on=True), Consolidate(UUID), ("one", "two", "three")),
    Scenario(
        "consolidate two disks",
        lambda: line(on=True, memory=True, targets=("vda", "vdb")),
        Consolidate(UUID),
        ("one", "two", "three"),
    ),
    Scenario(
        "consolidate by copying up",
        lambda: line(on=True),
        Consolidate(UUID, merge_by=MergeBy.PULL),
        ("one", "two", "three"),
    ),
    Scenario("consolidate as far as it branches", branches, Consolidate(UUID), ("side",)),
    Scenario("delete internal", internals, _drop("one"), ("one",)),
    Scenario("delete internal, all", internals, _drop("one", "two"), ("one", "two")),
    Scenario("delete external on internal", mixed, _drop("two"), ("two",)),
)


@dataclass(frozen=True)
class Before:
    """What was true before an operation."""

    states: dict[tuple[str, str], object]
    live: dict[str, Content]
    names: frozenset[str]
    current: str | None
    is_on: bool
    files: frozenset[str]

    @classmethod
    def of(cls, libvirt: MemoryLibvirt) -> "Before":
        return cls(
            libvirt.states(),
            libvirt.live(),
            frozenset(libvirt.records),
            libvirt.current,
            libvirt.qemu is not None,
            frozenset((*libvirt.files, *libvirt.memory_files)),
        )

    def live_at(self, snapshot: str) -> dict[str, Content]:
        """What the disks are after a revert."""
        found = {}
        for (name, target), content in self.states.items():
            if name == snapshot and target != "memory":
                is_inside = isinstance(content[0], dict)  # type: ignore[index]
                found[target] = (
                    tuple(sorted(content[0].items()))  # type: ignore[index]
                    if is_inside
                    else content
                )
        return found  # type: ignore[return-value]


def check_whole(libvirt: MemoryLibvirt, before: Before, scenario: Scenario) -> None:
    """No state is lost but those that were given up, and the VM can go on, or be started."""
    names = set(libvirt.records)
    assert before.names - set(scenario.lost) <= names, "a snapshot is lost"
    assert len(names - before.names) <= 1, "snapshots that nobody asked for"
    for key, content in libvirt.states().items():
        if key in before.states:
            assert content == before.states[key], f"{key} is spoilt"
        elif key[1] != "memory" and not isinstance(content[0], dict):  # type: ignore[index]
            assert content == before.live[key[1]], f"{key} is not what was to be kept"
    wanted = [before.live]
    if scenario.back_to is not None:
        wanted.append(before.live_at(scenario.back_to))
    assert libvirt.live() in wanted, "the live state is spoilt"
    assert not libvirt.is_frozen, "the guest is frozen"
    assert libvirt.qemu is None or not libvirt.qemu.jobs, "a job is left"
    _check_chains(libvirt)


def _check_chains(libvirt: MemoryLibvirt) -> None:
    records = libvirt.records.values()
    frozen = {chain[0] for text in records for chain in external_chains(text).values()}
    for target in libvirt.targets:
        active = libvirt.active(target)
        assert active not in frozen, f"the VM writes to what a snapshot froze: {active}"
        if libvirt.qemu is not None:
            assert libvirt.qemu.chains[target] == libvirt.below(active), "QEMU has others open"
            assert libvirt.defined()[target][0] == active, "it would be started from another image"
    twin = copy(libvirt)  # can it be started?
    twin.qemu, twin.benches = None, []  # a workbench that stays ends with the connection
    twin.start()
    for target in libvirt.targets:
        assert twin.live()[target] == libvirt.live()[target]


def check_done(libvirt: MemoryLibvirt, before: Before, scenario: Scenario) -> None:
    """It is as the plan said, and nothing is left over."""
    check_whole(libvirt, before, scenario)
    assert not set(scenario.lost) & set(libvirt.records), "it is still there"
    live = before.live if scenario.back_to is None else before.live_at(scenario.back_to)
    assert libvirt.live() == live
    files = {*libvirt.files, *libvirt.memory_files}
    assert files - libvirt.needed() == set(), "files are left over"
    assert libvirt.needed() - files == set(), "files are missing"
    is_on = before.is_on if scenario.is_on is None else scenario.is_on
    assert (libvirt.qemu is not None) == is_on
    assert libvirt.benches == []
    if scenario.back_to is not None:
        assert libvirt.current == scenario.back_to
