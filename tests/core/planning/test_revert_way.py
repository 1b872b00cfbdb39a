"""Who reverts, and by which moves: libvirt where it is whole, else snapview, else nobody."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from snapview.core.moves import (
    DefineAsAt,
    MakeOverlay,
    Move,
    RemoveFile,
    RestoreMemory,
    RevertByLibvirt,
    SetCurrent,
    StartVm,
    StopVm,
    TakeSnapshot,
)
from snapview.core.operations import Afterwards, RevertSnapshot
from snapview.core.planning import Plan, RefusalCode, plan
from snapview.core.planning.revert_way import OBSTACLES, OWN_RULES
from snapview.core.storage import ImageFile, Storage
from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    RunState,
    SnapshotDisk,
    SnapshotState,
    SnapshotTree,
    Vm,
)
from tests.core.planning.cases import (
    TEST_DRIVER,
    VERSIONS,
    Case,
    capabilities,
    check_case,
    check_coverage,
    disk,
    external,
    external_vm,
    image,
    internal,
    internal_vm,
    plan_of,
    refusal_of,
    rows_of,
    vm_of,
)
from tests.trees import make_vm, vm_uuid

UUID = vm_uuid("web")
BACK = RevertSnapshot(UUID, "one", safety_snapshot=False)
SAFELY = RevertSnapshot(UUID, "one")
OLD = (9, 0, 0)  # reverts to no external snapshot itself
OFF, PAUSED = RunState.SHUTOFF, RunState.PAUSED
RUN, STAY_OFF = Afterwards.RUNNING, Afterwards.OFF
MEM = "/images/one.mem"


def stored(*names: str, **changes: Any) -> Storage:
    """A folder in which these images lie, each on the next."""
    paths = [f"/images/{name}.qcow2" for name in names]
    below: list[str | None] = [*paths[1:], None]
    images = {path: ImageFile(path, "qcow2", base) for path, base in zip(paths, below, strict=True)}
    return replace(Storage(images, {"/images": 100 << 30}), **changes)


LIVE = stored("b2", "b1", "base")


def with_one(vm: Vm, **changes: Any) -> Vm:
    """The VM, its snapshot ``one`` changed."""
    return with_tree(vm, replace(vm.tree["one"], **changes))


def with_tree(vm: Vm, *changed: Any, current: str | None = "two") -> Vm:
    kept = [s for s in vm.tree if s.name not in {c.name for c in changed}]
    return replace(vm, tree=SnapshotTree([*kept, *changed], current))


def drive(layer: DiskLayer | None) -> DiskChain:
    return DiskChain("sda", (layer,) if layer else (), "cdrom", is_readonly=True)


def with_disks(*disks: DiskChain, **changes: Any) -> Vm:
    return external_vm(disks=(*external_vm().disks, *disks), **changes)


DISC = DiskLayer("/dev/sr0", "raw", "block")
DATA = disk("data", target="vdb")


def left_out(path: str = "data", mode: str = "no", **changes: Any) -> tuple[SnapshotDisk, ...]:
    """The disks of ``one``, and another one that it does not hold."""
    layer = replace(image(path), **changes)
    return (*external_vm().tree["one"].disks, SnapshotDisk("vdb", mode, layer))


# Who does it


@dataclass(frozen=True)
class Hindered:
    """A row of the table of obstacles, a revert it hinders, and one that nothing hinders."""

    row: int
    vm: Vm
    operation: RevertSnapshot
    near_miss: dict[str, Any] = field(default_factory=dict)
    instead: RevertSnapshot | None = None
    label: str = ""

    def __str__(self) -> str:
        return f"{self.row}-{self.label}" if self.label else str(self.row)


ABOVE = with_tree(external_vm(), external("three", "two", "b2", "b3"))

HINDERED = [
    Hindered(0, external_vm(version=OLD), SAFELY, {"version": (9, 10, 0)}),
    Hindered(0, external_vm(version=(8, 0, 0)), BACK, {"version": (11, 3, 0)}),
    Hindered(1, external_vm(version=(9, 9, 0)), SAFELY, {"version": (9, 10, 0)}, label="trap 10"),
    Hindered(
        2,
        with_one(external_vm(version=(10, 0, 0)), state=SnapshotState.DISK_ONLY),
        SAFELY,
        {"version": (10, 10, 0)},
        label="trap 12",
    ),
    Hindered(3, with_disks(drive(DISC)), SAFELY, {"disks": with_disks(drive(None)).disks}),
    Hindered(
        3,
        with_one(external_vm(), disks=(*left_out()[:1], SnapshotDisk("sda", "no", DISC))),
        BACK,
        instead=replace(BACK, snapshot="two"),
        label="a disc of then",
    ),
    Hindered(
        3,
        with_disks(drive(DiskLayer("net:x", "raw", "network"))),
        BACK,
        {"disks": with_disks(drive(DiskLayer("/iso/x.iso", "raw"))).disks},
    ),
    Hindered(
        4,
        with_tree(external_vm(), current=None),
        BACK,
        {"tree": external_vm().tree},
        label="trap 7",
    ),
    Hindered(5, with_disks(DATA), SAFELY, {"disks": external_vm().disks}, label="newer disk"),
    Hindered(
        5,
        with_one(external_vm(), disks=left_out("b9", "external")),
        BACK,
        instead=replace(BACK, snapshot="two"),
        label="older disk",
    ),
    Hindered(
        5,
        with_one(with_disks(DATA), disks=left_out()),
        BACK,
        {"tree": external_vm().tree, "disks": external_vm().disks},
        label="left out",
    ),
    Hindered(
        5,
        with_one(external_vm(), disks=left_out()),
        BACK,
        instead=replace(BACK, snapshot="two"),
        label="left out and gone",
    ),
    Hindered(6, external_vm(disks=(disk("other", "b1", "base"),)), BACK, instead=SAFELY),
    Hindered(6, with_tree(external_vm(), current="one"), BACK, {"tree": external_vm().tree}),
    Hindered(6, ABOVE, BACK, instead=SAFELY, label="trap 6"),
    Hindered(
        6,
        external_vm(storage=replace(LIVE, users={"/images/b2.qcow2": ("other",)})),
        BACK,
        {"storage": LIVE},
        label="another VM",
    ),
    Hindered(
        6,
        external_vm(storage=stored("stray", "b2", "b1", "base")),
        BACK,
        instead=SAFELY,
        label="a file without a record",
    ),
    Hindered(
        6,
        external_vm(
            disks=(disk("b2", "bare", "b1", "base"),), storage=stored("b2", "bare", "b1", "base")
        ),
        BACK,
        instead=SAFELY,
        label="a layer without a record",
    ),
    Hindered(
        6,
        with_tree(external_vm(), internal("three", "two", problem="It is broken.")),
        BACK,
        instead=SAFELY,
        label="a record that cannot be read",
    ),
]


def row_of(vm: Vm, operation: RevertSnapshot) -> int | None:
    return rows_of(OBSTACLES, lambda: plan(vm, operation))  # type: ignore[arg-type]  # same shape


def is_native(vm: Vm, operation: RevertSnapshot) -> bool:
    return any(isinstance(move, RevertByLibvirt) for move in plan_of(vm, operation).moves)


@pytest.mark.parametrize("case", HINDERED, ids=str)
def test_a_row_hinders_exactly_its_case_and_snapview_does_it(case: Hindered) -> None:
    assert row_of(case.vm, case.operation) == case.row
    assert not is_native(case.vm, case.operation)
    vm = vm_of(case.vm, **case.near_miss) if case.near_miss else case.vm
    assert row_of(vm, case.instead or case.operation) is None
    assert is_native(vm, case.instead or case.operation)


def test_every_row_has_a_case() -> None:
    assert {case.row for case in HINDERED} == set(range(len(OBSTACLES)))


def test_what_a_host_can_is_asked_before_its_version() -> None:
    """RHEL backports: an old number may revert."""
    backported = replace(capabilities((9, 0, 0)), reverts_external=True)
    assert is_native(external_vm(capabilities=backported), SAFELY)
    without = replace(capabilities((11, 3, 0)), reverts_external=False)
    assert not is_native(external_vm(capabilities=without), SAFELY)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", [RunState.RUNNING, PAUSED, OFF])
@pytest.mark.parametrize("operation", [BACK, SAFELY])
def test_every_generation_reverts_to_an_external_snapshot(
    version: tuple[int, int, int], state: RunState, operation: RevertSnapshot
) -> None:
    for vm in (external_vm(version=version), external_vm(version=version, storage=LIVE)):
        assert is_native(replace(vm, run_state=state), operation) is (version >= (9, 10, 0))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("operation", [BACK, SAFELY])
def test_trap_7_without_a_current_snapshot_libvirt_is_never_asked(
    version: tuple[int, int, int], operation: RevertSnapshot
) -> None:
    vm = with_tree(external_vm(version=version), current=None)
    if operation.safety_snapshot:
        return  # then there is one: the test of rows has it
    assert not is_native(vm, operation)


def test_hosts_without_files_leave_all_to_libvirt() -> None:
    vm = with_tree(external_vm(capabilities=TEST_DRIVER), current=None)
    assert plan_of(vm, BACK).moves == (RevertByLibvirt("one"),)


# What forbids snapview's own way

UNKNOWN = replace(image("base"), format=None)

CASES = [
    Case(
        0,
        external_vm(version=OLD, is_persistent=False),
        replace(BACK, afterwards=RUN),
        {"is_persistent": True},
    ),
    Case(
        1,
        with_one(
            external_vm(version=OLD), disks=(SnapshotDisk("vda", "external", None, image("b1")),)
        ),
        BACK,
        instead=replace(BACK, snapshot="two"),
    ),
    Case(
        1,
        with_one(external_vm(version=OLD), disks=()),
        SAFELY,
        {"tree": external_vm().tree},
        label="nothing",
    ),
    Case(
        2,
        with_one(external_vm(), disks=(SnapshotDisk("vda", "external", DISC, image("b1")),)),
        SAFELY,
        instead=replace(SAFELY, snapshot="two"),
    ),
    Case(
        3,
        with_one(
            external_vm(version=OLD, disks=(disk("b2"),)),
            disks=(SnapshotDisk("vda", "external", UNKNOWN, image("b1")),),
        ),
        BACK,
        {"tree": external_vm().tree},
    ),
    Case(
        4,
        external_vm(version=OLD, storage=Storage(unreadable=frozenset({"/images"}))),
        BACK,
        {"storage": LIVE},
    ),
    Case(
        4,
        external_vm(version=OLD, storage=Storage()),
        SAFELY,
        {"version": (11, 3, 0)},
        label="libvirt needs none",
    ),
    Case(
        5,
        with_one(
            external_vm(version=OLD, storage=LIVE),
            has_memory=True,
            memory_path=MEM,
            state=SnapshotState.RUNNING,
        ),
        BACK,
        instead=replace(BACK, afterwards=STAY_OFF),
    ),
    Case(
        5,
        with_one(external_vm(version=OLD), has_memory=True, state=SnapshotState.RUNNING),
        BACK,
        instead=replace(BACK, afterwards=STAY_OFF),
        label="not recorded",
    ),
    Case(
        6,
        with_one(with_disks(replace(DATA, layers=(DISC,))), disks=left_out()),
        BACK,
        {"disks": with_disks(DATA).disks},
    ),
    Case(
        6,
        with_one(
            with_disks(replace(DATA, layers=(DiskLayer("/images/d.raw", "raw"),))),
            disks=left_out(mode="manual"),
        ),
        BACK,
        instead=SAFELY,
        label="raw",
    ),
    Case(
        7,
        with_one(external_vm(), disks=left_out("b1")),
        SAFELY,
        {"disks": with_disks(disk("d2", target="vdb")).disks},
    ),
    Case(
        8,
        external_vm(version=OLD, storage=replace(LIVE, free_bytes={"/images": 100 << 10})),
        BACK,
        {"storage": LIVE},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_row_refuses_exactly_its_case(case: Case) -> None:
    check_case(OWN_RULES, case)


def test_every_row_of_the_refusals_has_a_case() -> None:
    check_coverage(OWN_RULES, CASES)


def test_a_format_that_only_the_headers_tell_is_good_enough() -> None:
    vm = with_one(
        external_vm(version=OLD, storage=LIVE),
        disks=(SnapshotDisk("vda", "external", replace(image("b1"), format=None), image("b2")),),
    )
    made = next(move for move in plan_of(vm, BACK).moves if isinstance(move, MakeOverlay))
    assert made.base == image("b1")


def test_what_forbids_the_revert_itself_is_said_before_what_forbids_the_safety_snapshot() -> None:
    vm = with_one(with_disks(replace(DATA, layers=(DISC,)), version=OLD), disks=left_out())
    assert refusal_of(vm, SAFELY) is RefusalCode.DISK_FORMAT
    planned = plan(vm, SAFELY)
    assert not isinstance(planned, Plan)
    assert "cannot be kept" not in planned.reason


# The moves


def own_vm(**changes: Any) -> Vm:
    return external_vm(version=OLD, storage=LIVE, **changes)


def new_overlay(vm: Vm, target: str = "vda") -> str:
    """The only name of an overlay that a revert of this VM to ``one`` can take."""
    stem = {"vda": "base", "vdb": "data"}[target]
    return f"/images/{stem}.one.{vm.read_at:%Y%m%dT%H%M%S}.qcow2"


def test_own_moves_without_a_safety_snapshot() -> None:
    vm = own_vm()
    made = new_overlay(vm)
    assert plan_of(vm, BACK).moves == (
        MakeOverlay("vda", made, image("base")),
        StopVm(),
        DefineAsAt("one", (("vda", made),)),
        SetCurrent("one"),
        RemoveFile("/images/b2.qcow2"),
    )


def test_own_moves_with_a_safety_snapshot_remove_its_empty_overlay_only() -> None:
    vm = own_vm()
    take, *moves = plan_of(vm, SAFELY).moves
    assert isinstance(take, TakeSnapshot)
    fresh = take.disks[0].overlay
    assert fresh is not None
    assert [move for move in moves if isinstance(move, RemoveFile)] == [RemoveFile(fresh.path)]
    assert moves[-1] == RemoveFile(fresh.path)


def test_what_can_fail_for_want_of_room_comes_before_the_vm_is_stopped() -> None:
    moves = list(map(type, plan_of(own_vm(), SAFELY).moves))
    assert moves.index(MakeOverlay) < moves.index(StopVm)


MEMORY: dict[str, Any] = {"has_memory": True, "memory_path": MEM}


@pytest.mark.parametrize(
    ("state", "memory", "afterwards", "start"),
    [
        (SnapshotState.RUNNING, True, Afterwards.AS_IT_WAS, RestoreMemory),
        (SnapshotState.PAUSED, True, Afterwards.AS_IT_WAS, RestoreMemory),
        (SnapshotState.RUNNING, True, Afterwards.PAUSED, RestoreMemory),
        (SnapshotState.RUNNING, True, Afterwards.OFF, None),
        (SnapshotState.SHUTOFF, False, Afterwards.AS_IT_WAS, None),
        (SnapshotState.SHUTOFF, False, Afterwards.RUNNING, StartVm),
        (SnapshotState.DISK_ONLY, False, Afterwards.AS_IT_WAS, None),
        (SnapshotState.DISK_ONLY, False, Afterwards.PAUSED, StartVm),
    ],
)
def test_an_own_revert_ends_as_asked(
    state: SnapshotState, memory: bool, afterwards: Afterwards, start: type[Move] | None
) -> None:
    vm = with_one(external_vm(version=OLD), state=state, **(MEMORY if memory else {}))
    moves = plan_of(vm, replace(BACK, afterwards=afterwards)).moves
    started = [move for move in moves if isinstance(move, StartVm | RestoreMemory)]
    assert [type(move) for move in started] == ([start] if start else [])
    is_paused = afterwards is Afterwards.PAUSED or state is SnapshotState.PAUSED
    assert all(move.paused is is_paused for move in started)


def test_the_memory_finds_the_disks_on_the_new_overlays() -> None:
    vm = with_one(external_vm(version=OLD), state=SnapshotState.RUNNING, **MEMORY)
    moves = plan_of(vm, BACK).moves
    (defined,) = (move for move in moves if isinstance(move, DefineAsAt))
    (restored,) = (move for move in moves if isinstance(move, RestoreMemory))
    assert restored == RestoreMemory("one", MEM, defined.images)
    assert moves.index(defined) < moves.index(restored)


@pytest.mark.parametrize(
    ("state", "stops"),
    [(OFF, False), (RunState.RUNNING, True), (PAUSED, True), (RunState.UNKNOWN, True)],
)
def test_a_vm_that_may_be_on_is_stopped(state: RunState, stops: bool) -> None:
    moves = plan_of(own_vm(run_state=state), BACK).moves
    assert (StopVm() in moves) is stops


def test_each_disk_gets_an_overlay_of_its_own() -> None:
    vm = with_disks(disk("d2", "d1", "data", target="vdb"), version=OLD)
    more = SnapshotDisk("vdb", "external", image("data"), image("d1"))
    vm = with_one(vm, disks=(*vm.tree["one"].disks, more))
    moves = plan_of(vm, BACK).moves
    made = [(m.target, m.path, m.base) for m in moves if isinstance(m, MakeOverlay)]
    assert made == [
        ("vda", new_overlay(vm), image("base")),
        ("vdb", new_overlay(vm, "vdb"), image("data")),
    ]


@pytest.mark.parametrize("mode", ["no", "manual"])
def test_a_disk_that_was_left_out_stays_on_its_image_of_now(mode: str) -> None:
    tree = external_vm().tree
    vm = with_disks(disk("d1", "data", target="vdb"), version=OLD)
    froze_data = SnapshotDisk("vdb", "external", image("data"), image("d1"))
    vm = with_tree(
        vm,
        replace(tree["one"], disks=left_out(mode=mode)),
        replace(tree["two"], disks=(*tree["two"].disks, froze_data)),
    )
    moves = plan_of(vm, BACK).moves
    (defined,) = (move for move in moves if isinstance(move, DefineAsAt))
    assert dict(defined.images)["vdb"] == "/images/d1.qcow2"
    assert RemoveFile("/images/d1.qcow2") not in moves
    safely = plan_of(vm, SAFELY).moves
    (defined,) = (move for move in safely if isinstance(move, DefineAsAt))
    assert dict(defined.images)["vdb"].startswith("/images/data.before-revert-to-one")
    assert RemoveFile(dict(defined.images)["vdb"]) not in safely


def test_a_disk_that_was_left_out_and_never_moved_is_defined_as_it_was() -> None:
    vm = with_one(with_disks(DATA, version=OLD), disks=left_out())
    (defined,) = (m for m in plan_of(vm, BACK).moves if isinstance(m, DefineAsAt))
    assert [target for target, _ in defined.images] == ["vda"]


@pytest.mark.parametrize(
    ("make", "afterwards", "flag", "stops"),
    [
        (internal_vm, Afterwards.AS_IT_WAS, Afterwards.AS_IT_WAS, False),
        (internal_vm, Afterwards.RUNNING, Afterwards.AS_IT_WAS, False),
        (internal_vm, Afterwards.PAUSED, Afterwards.PAUSED, False),
        (internal_vm, Afterwards.OFF, Afterwards.PAUSED, True),
        (external_vm, Afterwards.AS_IT_WAS, Afterwards.AS_IT_WAS, False),
        (external_vm, Afterwards.RUNNING, Afterwards.RUNNING, False),
        (external_vm, Afterwards.OFF, Afterwards.AS_IT_WAS, False),
    ],
)
def test_libvirt_is_told_only_what_differs_and_never_off(
    make: Callable[[], Vm], afterwards: Afterwards, flag: Afterwards, stops: bool
) -> None:
    moves = plan_of(make(), replace(BACK, afterwards=afterwards)).moves
    assert moves == (RevertByLibvirt("one", flag), *((StopVm(),) if stops else ()))


def test_the_steps_say_who_does_it_and_why() -> None:
    own = plan_of(own_vm(), BACK).steps
    assert any("libvirt 9.0 cannot" in step.what for step in own)
    assert [step.disk for step in own if step.files == (new_overlay(own_vm()),)] == ["vda"]
    native = plan_of(external_vm(), BACK).steps
    assert not any("snapview" in step.what for step in native)


def test_a_vm_without_snapshots_on_top_of_a_template_keeps_its_image() -> None:
    """Nobody's snapshot froze what the disk stands on: it may be somebody's disk."""
    tree = SnapshotTree([external("one", None, "base", "b1")], "one")
    vm = vm_of(make_vm(tree=tree, disks=(disk("mine", "template"),)), version=OLD)
    planned = plan_of(vm, BACK)
    assert not any(isinstance(move, RemoveFile) for move in planned.moves)
    assert any("/images/mine.qcow2" in text for text in planned.warnings)
