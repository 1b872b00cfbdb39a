"""The picture of the images: as the headers have it, else as the records tell it."""

import copy
from dataclasses import replace

from hypothesis import given, settings

from snapview.core.planning.images import Images
from snapview.core.vm import DiskLayer, RunState, SnapshotDisk, SnapshotTree, Vm
from tests.core.planning.cases import (
    disk,
    external,
    external_vm,
    image,
    internal,
    internal_vm,
    stored,
    vm_of,
)
from tests.core.planning.stories import BY_HAND, OTHERS, WHOLE, worlds
from tests.core.planning.worlds import FileWorld
from tests.trees import make_vm

B1, B2, B3, BASE = (image(name).path for name in ("b1", "b2", "b3", "base"))
HEADERS = {"b2": "b1", "b1": "base", "base": None}


def test_it_knows_what_lies_on_what_and_whose_state_is_where() -> None:
    images = Images(stored(external_vm(), HEADERS))
    assert images.paths(B2) == [B2, B1, BASE]
    assert images.below(BASE) is None
    assert images.overlays(B1) == (B2,)
    assert images.tips(BASE) == (("one", "vda"),)
    assert images.frozen == {("one", "vda"): BASE, ("two", "vda"): B1}
    assert images.active == {"vda": B2}
    assert images.live == dict.fromkeys((B2, B1, BASE), "vda")
    assert images.inside(B1) == ()
    assert images.odd == ()


def test_internal_snapshots_lie_inside_an_image() -> None:
    images = Images(internal_vm())
    assert images.inside(BASE) == (("one", "vda"), ("two", "vda"))
    assert images.holds_internal(BASE)
    assert not images.holds_internal(B1)
    assert images.tips(BASE) == ()


def test_headers_count_and_not_the_records() -> None:
    images = Images(stored(external_vm(), {**HEADERS, "x": "b1", "b1": "l1", "l1": "base"}))
    assert set(images.overlays(B1)) == {B2, image("x").path}
    assert images.paths(B2)[2] == image("l1").path


def test_what_qemu_has_open_otherwise_is_odd() -> None:
    shorter = stored(external_vm(), {**HEADERS, "b1": None})
    assert Images(shorter).odd == ("vda",)
    longer = stored(external_vm(), {**HEADERS, "base": "x", "x": None})
    assert Images(longer).odd == ("vda",)
    unsure = replace(disk("b2", "b1"), is_complete=False)
    assert Images(stored(external_vm(disks=(unsure,)), HEADERS)).odd == ()


def test_a_file_that_is_missing_lies_on_nothing_whatever_the_records_say() -> None:
    images = Images(stored(external_vm(disks=(disk("x"),)), {"base": None, "x": None}))
    assert images.overlays(BASE) == ()
    elsewhere = stored(external_vm(disks=(disk("x"),)), {"x": None}, free_bytes={})
    assert Images(elsewhere).overlays(BASE) == (B1,)


def test_an_overlay_that_only_a_record_names_may_be_gone() -> None:
    cleared = SnapshotTree(
        [external("one", None, "base", "b1"), external("three", "one", "r1", "b3")], "three"
    )
    images = Images(vm_of(make_vm(tree=cleared, disks=(disk("b3", "r1", "base"),))))
    assert images.overlays(BASE) == (image("r1").path,)


def test_through_internal_snapshots_the_records_lead_to_the_external_one_below() -> None:
    inner = internal("inner", "one", disks=(SnapshotDisk("vda", "internal", image("b1")),))
    tree = SnapshotTree(
        [external("one", None, "base", "b1"), inner, external("two", "inner", "r1", "b2")], "one"
    )
    images = Images(vm_of(make_vm(tree=tree, disks=(disk("x", "base"),))))
    assert images.below(image("r1").path) == BASE
    assert images.below(B1) == BASE


def branched() -> Vm:
    """one froze the base, and b1, b2 (live) and b3 lie on it."""
    tree = SnapshotTree(
        [
            external("one", None, "base", "b1"),
            external("two", "one", "b1", "c1"),
            external("three", "one", "b3", "c3"),
        ],
        "one",
    )
    vm = vm_of(make_vm(tree=tree, disks=(disk("b2", "base"),)))
    return stored(vm, {"b1": "base", "b2": "base", "b3": "base", "base": None, "s": "b3"})


def test_the_leaf_is_the_active_image_on_the_live_path_else_the_end_of_a_branch() -> None:
    images = Images(branched())
    assert images.leaf(BASE) == B2
    assert images.leaf(B1) == B1
    assert images.leaf(B3) == image("s").path


def test_needed_is_what_a_state_lies_on() -> None:
    images = Images(branched())
    assert all(map(images.is_needed, (BASE, B1, B2, B3)))
    assert not images.is_needed(image("s").path)
    assert list(images.states_on(BASE)) == ["one", "two", "three"]
    assert list(images.states_on(B2)) == []


def test_a_loop_in_hostile_headers_ends() -> None:
    images = Images(stored(external_vm(disks=(disk("b2"),)), {"b2": "b1", "b1": "b2"}))
    assert images.paths(B2) == [B2, B1]
    assert images.is_needed(B1)
    tree = SnapshotTree([external("one", None, "a", "b")], "one")
    looping = stored(vm_of(make_vm(tree=tree, disks=(disk("x"),))), {"a": "b", "b": "a"})
    assert Images(looping).leaf(image("a").path) in {image("a").path, image("b").path}


def test_formats_are_never_guessed_from_what_a_guest_may_have_written() -> None:
    vm = stored(external_vm(), {**HEADERS, "base": "raw", "raw": None})
    raw = replace(vm.storage.images[image("raw").path], format="qcow2") if vm.storage else None
    assert raw is not None
    assert vm.storage is not None
    headers = dict(vm.storage.images)
    headers[BASE] = replace(headers[BASE], backing_format=None)
    unnoted = Images(vm.with_storage(replace(vm.storage, images={**headers, raw.path: raw})))
    assert unnoted.layer(raw.path) == DiskLayer(raw.path, None)
    headers[BASE] = replace(headers[BASE], backing_format="raw")
    noted = Images(vm.with_storage(replace(vm.storage, images={**headers, raw.path: raw})))
    assert noted.layer(raw.path) == DiskLayer(raw.path, "raw")
    assert noted.layer(BASE) == image("base")


def test_who_else_uses_an_image_is_known_from_the_storage() -> None:
    vm = stored(external_vm(), HEADERS, users={BASE: ("db",)})
    assert Images(vm).users(BASE) == ("db",)
    assert Images(vm).users(B1) == ()
    assert Images(external_vm()).users(BASE) == ()


# What steps do to it


def test_a_commit_joins_images_and_moves_the_states_of_the_upper_one() -> None:
    images = Images(branched())
    images.commit((B1,), BASE)
    assert images.frozen["two", "vda"] == BASE
    assert set(images.overlays(BASE)) == {B2, B3}
    images = Images(external_vm())
    images.commit((B2, B1), BASE)
    assert images.active == {"vda": BASE}
    assert images.live == {BASE: "vda"}
    assert images.frozen == {("one", "vda"): BASE}


def test_a_pull_makes_an_image_lie_deeper() -> None:
    images = Images(external_vm())
    images.pull(B2, (B1,))
    assert images.paths(B2) == [B2, BASE]
    assert images.live == dict.fromkeys((B2, BASE), "vda")
    assert set(images.overlays(BASE)) == {B1, B2}
    images.pull(B2, (BASE,))
    assert images.below(B2) is None


def test_what_is_forgotten_or_removed_is_gone_from_everywhere() -> None:
    vm = branched()
    images = Images(vm)
    images.forget(vm.tree["two"])
    assert not images.is_needed(B1)
    images.remove(B1)
    assert B1 not in images.overlays(BASE)
    assert ("two", "vda") not in images.frozen
    inner = internal_vm()
    images = Images(inner)
    images.forget(inner.tree["one"])
    assert images.inside(BASE) == (("two", "vda"),)


def test_layers_that_only_one_image_needs_go_with_it_but_never_a_base() -> None:
    headers = {"b2": "l2", "l2": "l1", "l1": "base", "base": None, "x": "base"}
    tree = SnapshotTree([external("one", None, "x", "y"), external("two", "one", "b2", "z")])
    vm = stored(vm_of(make_vm(tree=tree, disks=(disk("x", "base"),))), headers)
    assert Images(vm).only_below(B2) == (image("l2").path, image("l1").path)
    alone = vm_of(make_vm(tree=tree, disks=(disk("q"),)))
    template = stored(alone, {**headers, "x": None, "q": None})
    assert Images(template).only_below(B2) == ()
    assert Images(template).was_base(BASE)
    assert not Images(template).was_base(B2)


# Against files


@settings(max_examples=120, deadline=None)
@given(worlds({**BY_HAND, **OTHERS}))
def test_with_headers_the_picture_is_the_truth(world: FileWorld) -> None:
    images = Images(world.vm())
    for path, file in world.images.items():
        assert images.below(path) == file.backing
        assert [layer.path for layer in images.chain(path)] == world.chain(path)
        assert [layer.format for layer in images.chain(path)] == [
            world.images[each].format for each in world.chain(path)
        ]
        assert images.is_needed(path) is (path in world.needed() - others_files(world))
    assert images.odd == ()
    assert images.is_on is (world.open is not None)


def others_files(world: FileWorld) -> set[str]:
    """The images that only other VMs need."""
    alone = copy.copy(world)
    alone.others = {}
    return world.needed() - alone.needed()


@settings(max_examples=120, deadline=None)
@given(worlds(WHOLE))
def test_without_headers_the_records_tell_the_same_of_each_state(world: FileWorld) -> None:
    images = Images(world.vm(with_storage=False))
    for path in world.needed() & set(world.images):
        assert images.paths(path) == world.chain(path)


def test_a_vm_that_is_off_is_read_like_one_that_is_on() -> None:
    vm = stored(external_vm(), HEADERS)
    off = replace(vm, run_state=RunState.SHUTOFF, disks=(replace(disk("b2"), is_complete=False),))
    assert Images(off).live == Images(vm).live
