"""What becomes of the images of a snapshot that goes: the table in the module, row by row."""

from dataclasses import replace

import pytest

from snapview.core.operations import MergeBy
from snapview.core.planning.images import Images
from snapview.core.planning.merging import Commit, Pull, Work
from snapview.core.planning.plans import Act
from snapview.core.planning.removal import MemoryFiles, steps_of, stranded, works_of
from snapview.core.vm import Snapshot, SnapshotDisk, SnapshotTree, Vm
from tests.core.planning.cases import disk, external, image, internal, stored, vm_of
from tests.trees import make_vm

A, B, C, D, L = (image(name).path for name in "abcdl")
ONE = external("one", None, "a", "b")
TWO = external("two", "one", "b", "c")
INNER = internal("inner", None, disks=(SnapshotDisk("vda", "internal", image("a")),))


def vm_with(*snapshots: Snapshot, chain: str, headers: dict[str, str | None]) -> Vm:
    vm = vm_of(make_vm(tree=SnapshotTree(snapshots, None), disks=(disk(*chain),)))
    return stored(vm, headers)


def work(vm: Vm, name: str = "one", merge_by: MergeBy = MergeBy.COMMIT) -> list[Work]:
    return [each for _, each in works_of(Images(vm), vm.tree[name], merge_by)]


LINE = vm_with(ONE, TWO, chain="cba", headers={"c": "b", "b": "a", "a": None})
FORK = vm_with(ONE, TWO, chain="da", headers={"d": "a", "b": "a", "a": None})
DEAD = vm_with(ONE, chain="d", headers={"d": None, "a": "l", "l": "d"})


@pytest.mark.parametrize(
    ("vm", "expected"),
    [
        (vm_with(ONE, external("x", None, "a", "c"), chain="ba", headers={"b": "a"}), Work(A)),
        (vm_with(ONE, TWO, chain="a", headers={"b": "a", "a": None}), Work(A)),
        (DEAD, Work(A, (), (A, L))),
        (vm_with(ONE, INNER, chain="d", headers={"d": None, "a": "d"}), Work(A)),
        (LINE, Work(A, (Commit("vda", (B,), A),))),
        (FORK, Work(A, (Pull("vda", B, (A,)), Commit("vda", (D,), A)))),
    ],
    ids=["another state", "active", "nothing", "internal inside", "one", "several"],
)
def test_a_row_of_the_table(vm: Vm, expected: Work) -> None:
    assert work(vm) == [expected]


def test_of_several_dead_branches_the_last_is_kept_in_the_image() -> None:
    three = external("three", "one", "c", "x")
    headers = {"d": None, "a": "d", "b": "a", "c": "a"}
    vm = vm_with(ONE, TWO, three, chain="d", headers=headers)
    assert work(vm) == [Work(A, (Pull("vda", B, (A,)), Commit("vda", (C,), A)))]


def test_upwards_every_overlay_gets_its_copy_and_the_image_goes() -> None:
    pulls = (Pull("vda", D, (A,)), Pull("vda", B, (A,)))
    assert work(FORK, merge_by=MergeBy.PULL) == [Work(A, pulls, (A,))]
    held = vm_with(ONE, INNER, chain="ba", headers={"b": "a", "a": None})
    assert work(held, merge_by=MergeBy.PULL) == [Work(A, (Pull("vda", B, (A,)),))]


def test_layers_without_a_record_are_joined_up_to_the_next_state() -> None:
    two = external("two", "one", "c", "d")
    headers = {"d": "c", "c": "b", "b": "a", "a": None}
    vm = vm_with(ONE, two, chain="dcba", headers=headers)
    assert work(vm) == [Work(A, (Commit("vda", (C, B), A),))]
    inner = replace(INNER, disks=(SnapshotDisk("vda", "internal", image("c")),))
    spared = vm_with(ONE, two, inner, chain="dcba", headers=headers)
    assert work(spared) == [Work(A, (Commit("vda", (B,), A),))]
    forked = vm_with(ONE, two, chain="dcba", headers={**headers, "x": "b"})
    assert work(forked) == [Work(A, (Commit("vda", (B,), A),))]


def test_a_whole_disk_that_is_detached_stays() -> None:
    on_vdb = replace(ONE, disks=(SnapshotDisk("vdb", "external", image("a")),))
    assert work(vm_with(on_vdb, chain="d", headers={"d": None, "a": None})) == [Work(A)]
    attached = vm_with(ONE, chain="d", headers={"d": None, "a": None})
    assert work(attached) == [Work(A, (), (A,))]


def test_two_disks_on_one_image_are_one_piece_of_work() -> None:
    disks = tuple(SnapshotDisk(target, "external", image("a")) for target in ("vda", "vdb"))
    shared = replace(ONE, disks=disks)
    chains = (disk("b", "a"), disk("c", "a", target="vdb"))
    vm = vm_of(make_vm(tree=SnapshotTree([shared], "one"), disks=chains))
    (only,) = work(stored(vm, {"b": "a", "c": "a", "a": None}))
    assert only.jobs == (Pull("vdb", C, (A,)), Commit("vdb", (B,), A))


def test_what_is_stranded_goes_uppermost_first_and_nothing_else() -> None:
    vm = vm_with(ONE, TWO, chain="d", headers={"d": None, "a": "d", "b": "a"})
    images = Images(vm)
    places = dict(images.frozen)
    assert list(stranded(images, places.items())) == []
    for snapshot in vm.tree:
        images.forget(snapshot)
    found = []
    for place, each in stranded(images, places.items()):
        found.append((place, each.gone))
        for path in each.gone:
            images.remove(path)
    assert found == [(("two", "vda"), (B, A))]


def test_a_memory_file_goes_with_the_last_that_names_it() -> None:
    both = [replace(each, memory_path="/m") for each in (ONE, TWO)]
    files = MemoryFiles(SnapshotTree([*both, external("three", None, "c", "d")]))
    assert [files.release(each) for each in both] == [None, "/m"]
    assert files.release(external("three", None, "c", "d")) is None


def test_the_words_say_what_happens_to_which_file() -> None:
    def said(vm: Vm, merge_by: MergeBy = MergeBy.COMMIT) -> list[tuple[Act, tuple[str, ...]]]:
        images = Images(vm)
        works = works_of(images, vm.tree["one"], merge_by)
        steps = [s for t, w in works for s in steps_of(images, vm.tree, vm.tree["one"], t, w)]
        assert all(step.what.endswith(".") for step in steps)
        assert all("“one”" in step.what for step in steps)
        return [(step.act, step.files) for step in steps]

    assert said(LINE) == [(Act.MERGE, (B, A))]
    assert said(FORK) == [(Act.MERGE, (A, B)), (Act.MERGE, (D, A))]
    assert said(LINE, MergeBy.PULL) == [(Act.MERGE, (A, B))]
    assert said(DEAD) == [(Act.DISCARD, (A, L))]
    assert said(vm_with(ONE, chain="a", headers={"a": None})) == [(Act.DISCARD, ())]
