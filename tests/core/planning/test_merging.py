"""Joining images: what forbids it, row by row, and the moves it takes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from snapview.core.moves import CommitImages, PointTo, PullImages, RemoveFile, SetActive, SetFrozen
from snapview.core.operations import Consolidate, DeleteSnapshot, MergeBy
from snapview.core.planning.figures import Figures
from snapview.core.planning.images import Images
from snapview.core.planning.merging import (
    NOT_SAVED,
    WORK_RULES,
    Carrier,
    Commit,
    Pull,
    in_vm,
    opened_image,
)
from snapview.core.planning.plans import RefusalCode
from snapview.core.storage import ImageFile, Storage
from snapview.core.vm import (
    DiskLayer,
    RunState,
    Snapshot,
    SnapshotDisk,
    SnapshotTree,
    Vm,
)
from tests.core.planning.cases import (
    Case,
    check_case,
    check_coverage,
    disk,
    external,
    external_vm,
    image,
    internal,
    refusal_of,
    stored,
    vm_of,
)
from tests.trees import make_vm, vm_uuid

OFF = RunState.SHUTOFF
UUID = vm_uuid("web")
ONE, TWO = DeleteSnapshot(UUID, ("one",)), DeleteSnapshot(UUID, ("two",))
MIB = 1 << 20
B1, B2, BASE = (image(name).path for name in ("b1", "b2", "base"))
JSON = f'json:{{"driver":"qcow2","file":{{"driver":"file","filename":"{BASE}"}}}}'
HEADERS: Mapping[str, str | None] = {"b2": "b1", "b1": "base", "base": None}
LINE = stored(external_vm(), HEADERS)


def of(*snapshots: Snapshot, chain: tuple[str, ...], current: str = "one", **changes: Any) -> Vm:
    tree = SnapshotTree(snapshots, current)
    return vm_of(make_vm(tree=tree, disks=(disk(*chain),)), **changes)


def headers_of(vm: Vm) -> dict[str, ImageFile]:
    assert vm.storage is not None
    return dict(vm.storage.images)


def with_header(vm: Vm, path: str, **changes: Any) -> Storage:
    """The VM's storage with another header of one image."""
    assert vm.storage is not None
    headers = headers_of(vm)
    headers[path] = replace(headers[path], **changes)
    return replace(vm.storage, images=headers)


def without(vm: Vm, path: str) -> Storage:
    assert vm.storage is not None
    headers = headers_of(vm)
    del headers[path]
    return replace(vm.storage, images=headers)


ONE_EXTERNAL = external("one", None, "base", "b1")
TWO_EXTERNAL = external("two", "one", "b1", "b2")
NETWORK = DiskLayer("nbd:x", "raw", "network")
ON_NETWORK = external(
    "one", None, "base", "b1", disks=(SnapshotDisk("vda", "external", NETWORK, image("b1")),)
)
INNER = internal("inner", "one", disks=(SnapshotDisk("vda", "internal", image("b1")),))
# one; two is a dead branch on it, three too; the VM was put back by hand to write to the base
UNDER_THE_LIVE = of(ONE_EXTERNAL, TWO_EXTERNAL, chain=("base",), current="two")
STRAY = stored(external_vm(), {**HEADERS, "stray": None})
UNNAMED = DiskLayer(BASE, None)
OF_NO_FORMAT = external(
    "one", None, "base", "b1", disks=(SnapshotDisk("vda", "external", UNNAMED, image("b1")),)
)

CASES = [
    Case(
        0,
        vm_of(LINE, tree=SnapshotTree([*LINE.tree, internal("x", problem="Broken.")], "two")),
        TWO,
        {"tree": LINE.tree},
    ),
    Case(
        1,
        of(ON_NETWORK, chain=("b1", "base")),
        ONE,
        {"tree": SnapshotTree([ONE_EXTERNAL], "one")},
    ),
    Case(
        1,
        of(ON_NETWORK, chain=("x",)),
        ONE,
        {"tree": SnapshotTree([ONE_EXTERNAL], "one")},
        label="to be removed",
    ),
    Case(
        2,
        stored(external_vm(), HEADERS, users={B1: ("db",), BASE: ("db",)}),
        TWO,
        {"storage": LINE.storage},
    ),
    Case(3, vm_of(LINE, storage=without(LINE, BASE)), TWO, {"storage": LINE.storage}),
    Case(
        3,
        vm_of(LINE, storage=with_header(LINE, BASE, backing="json:{}")),
        TWO,
        {"storage": LINE.storage},
        label="json",
    ),
    Case(
        3,
        vm_of(LINE, storage=with_header(LINE, BASE, backing=B1)),
        ONE,
        {"storage": LINE.storage},
        label="loop",
    ),
    Case(
        4,
        stored(external_vm(), HEADERS, free_bytes={}),
        TWO,
        {"storage": LINE.storage},
    ),
    Case(
        5,
        stored(external_vm(), {"b2": "b1", "b1": "l1", "l1": "base", "base": None}),
        TWO,
        {"storage": LINE.storage},
    ),
    Case(
        6,
        stored(external_vm(), {**HEADERS, "stray": "base"}),
        ONE,
        instead=TWO,
    ),
    Case(
        7,
        of(ONE_EXTERNAL, INNER, chain=("b1", "base"), current="inner"),
        ONE,
        {"tree": SnapshotTree([ONE_EXTERNAL], "one")},
        label="trap 3",
    ),
    Case(
        7,
        of(ONE_EXTERNAL, INNER, chain=("b1", "base"), current="inner"),
        replace(ONE, merge_by=MergeBy.PULL),
        instead=DeleteSnapshot(UUID, ("one", "inner"), merge_by=MergeBy.PULL),
        label="upwards",
    ),
    Case(
        8,
        vm_of(LINE, storage=with_header(LINE, BASE, capacity_bytes=101 * MIB)),
        ONE,
        instead=TWO,
    ),
    Case(9, LINE, replace(ONE, merge_by=MergeBy.PULL), {"run_state": OFF}),
    Case(
        10,
        of(
            ONE_EXTERNAL,
            TWO_EXTERNAL,
            external("three", "two", "b2", "b3"),
            chain=("base",),
        ),
        TWO,
        {"run_state": OFF},
        label="trap 2",
    ),
    Case(
        11,
        of(
            OF_NO_FORMAT,
            chain=("b1", "base"),
            disks=(replace(disk("b1", "base"), layers=(image("b1"), UNNAMED)),),
            run_state=OFF,
        ),
        ONE,
        {"run_state": RunState.RUNNING},
    ),
    Case(
        12,
        vm_of(LINE, run_state=RunState.PAUSED),
        replace(TWO, merge_by=MergeBy.PULL),
        {"run_state": RunState.RUNNING},
        label="n8",
    ),
    Case(
        13,
        vm_of(LINE, storage=with_header(LINE, B1, backing=JSON)),
        ONE,
        {"storage": LINE.storage},
        label="named in JSON",
    ),
    Case(
        13,
        vm_of(LINE, storage=with_header(LINE, B1, backing=image("gone").path)),
        ONE,
        {"storage": LINE.storage},
        label="leads nowhere",
    ),
    Case(
        13,
        vm_of(STRAY, storage=with_header(STRAY, image("stray").path, backing=JSON)),
        ONE,
        {"storage": LINE.storage},
        label="of nobody's",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_row_refuses_exactly_its_case(case: Case) -> None:
    check_case(WORK_RULES, case)


def test_every_row_has_a_case() -> None:
    check_coverage(WORK_RULES, CASES)


def test_what_a_run_cannot_be_merged_with_is_refused_for_the_whole_disk_too() -> None:
    faulty = vm_of(LINE, storage=without(LINE, BASE))
    assert refusal_of(faulty, Consolidate(UUID)) is RefusalCode.BROKEN_CHAIN


def test_what_was_put_on_an_image_that_is_to_go_can_go_before_it() -> None:
    vm = vm_of(UNDER_THE_LIVE)
    vm = stored(vm, {"b1": "gone", "base": None})
    both = DeleteSnapshot(UUID, ("one", "two"))
    assert refusal_of(vm, TWO) is None
    assert refusal_of(vm, both) is None


def test_a_discard_needs_no_whole_chain() -> None:
    """What is broken can still be cleared away, when nobody needs it."""
    tree = SnapshotTree([ONE_EXTERNAL, TWO_EXTERNAL], "one")
    vm = stored(
        vm_of(make_vm(tree=tree, disks=(disk("r1", "base"),))), {"r1": "base", "base": None}
    )
    assert refusal_of(vm, TWO) is None


def test_a_saved_vm_keeps_its_disks() -> None:
    assert NOT_SAVED.code is RefusalCode.MANAGED_SAVE


# Who opens what


def branched(run_state: RunState) -> Vm:
    """one froze the base, on which b1 (two, its end c1) and the live r1 lie."""
    vm = of(ONE_EXTERNAL, external("two", "one", "b1", "c1"), chain=("r1", "base"))
    headers = {"r1": "base", "b1": "base", "c1": "b1", "base": None}
    return stored(replace(vm, run_state=run_state), headers)


def test_the_running_vm_does_it_with_its_own_chain_and_a_workbench_with_all_others() -> None:
    on, off = (Images(branched(state)) for state in (RunState.PAUSED, OFF))
    live = Commit("vda", (image("r1").path,), BASE)
    assert in_vm(on, live)
    assert not in_vm(off, live)
    dead = Pull("vda", B1, (BASE,))
    assert not in_vm(on, dead)
    assert opened_image(on, live) == image("r1").path
    assert opened_image(on, dead) == B1
    assert opened_image(on, Commit("vda", (B1,), BASE)) == image("c1").path


def carrier(vm: Vm, limit: int = 0) -> Carrier:
    return Carrier(vm, Images(vm), Figures(vm.storage), limit)


def test_what_is_above_the_merged_image_follows_it() -> None:
    vm = branched(OFF)
    assert carrier(vm, 9).moves(Commit("vda", (B1,), BASE)) == [
        CommitImages("vda", B1, BASE, (image("c1"), image("b1"), image("base")), False, 9),
        SetFrozen("two", "vda", B1, BASE),
    ]
    vm = stored(vm, {"r1": "base", "b1": "base", "c1": "b1", "c2": "b1", "base": None})
    moves = carrier(vm).moves(Commit("vda", (B1,), BASE))
    assert moves[-1] == PointTo("vda", image("c1"), (image("base"),))


def test_a_pull_ends_where_the_copied_image_lay() -> None:
    work = carrier(LINE)
    moves = work.moves(Pull("vda", B2, (B1,)))
    assert moves == [PullImages("vda", BASE, tuple(map(image, ("b2", "b1", "base"))), True, 0)]
    assert work.images.below(B2) == BASE
    assert work.figures.copied_bytes == 30 * MIB


def test_the_definition_follows_the_active_image_unless_there_is_none() -> None:
    job = Commit("vda", (B2,), B1)
    assert SetActive("vda", B2, B1) in carrier(LINE).moves(job)
    transient = vm_of(LINE, is_persistent=False)
    assert not any(isinstance(move, SetActive) for move in carrier(transient).moves(job))


def test_removed_files_are_gone_from_the_picture_and_the_figures() -> None:
    work = carrier(LINE)
    assert work.removals((B2, B1)) == [RemoveFile(B2), RemoveFile(B1)]
    assert work.images.overlays(BASE) == ()
    assert work.figures.freed_bytes == 60 * MIB
