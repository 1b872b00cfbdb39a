"""New files lie beside the old ones, tell what they are, and never take another's name."""

import re
from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.planning.new_files import (
    known_paths,
    memory_path,
    new_path,
    overlay_path,
    revert_overlay_path,
)
from snapview.core.storage import ImageFile, Storage
from snapview.core.vm import DiskChain, DiskLayer, SnapshotTree
from tests.core.planning.cases import disk, external, external_vm, vm_of
from tests.trees import make_vm


def test_everything_that_is_named_anywhere_is_taken() -> None:
    vm = external_vm(storage=Storage({"/images/stray": ImageFile("/images/stray")}))
    one = replace(
        vm.tree["one"],
        memory_path="/images/one.mem",
        revert_overlays=external("x", None, "base", "r1").disks,
    )
    vm = replace(vm, tree=SnapshotTree([one, vm.tree["two"]], "two"))
    names = {PurePosixPath(path).name for path in known_paths(vm)}
    assert names == {
        "base.qcow2",
        "b1.qcow2",
        "b2.qcow2",
        "r1.qcow2",
        "one.mem",
        "stray",
    }


def test_a_file_that_only_the_storage_knows_is_not_taken_over() -> None:
    stray = "/images/base.new.qcow2"
    vm = vm_of(disks=(disk("base"),), storage=Storage({stray: ImageFile(stray)}))
    assert overlay_path(vm.disks[0], "new", known_paths(vm)) == "/images/base.new-2.qcow2"
    made = memory_path(vm, "new")
    vm = replace(vm, storage=Storage({made: ImageFile(made)}))
    assert memory_path(vm, "new") == made.replace(".mem", "-2.mem")


def test_the_overlay_of_a_revert_names_base_snapshot_and_second() -> None:
    vm = external_vm()
    made = revert_overlay_path(vm, "vda", "/images/b1.qcow2", "one", known_paths(vm))
    assert made == f"/images/base.one.{vm.read_at:%Y%m%dT%H%M%S}.qcow2"


def test_two_reverts_in_one_second_get_two_names() -> None:
    """Trap 26: libvirt's own collide."""
    vm, taken = external_vm(), set[str]()
    names = [revert_overlay_path(vm, "vda", "/images/b1.qcow2", "one", taken) for _ in range(3)]
    assert len(set(names)) == 3


@pytest.mark.parametrize("name", ["ä/ß", "a b", "../../x", "日本", "-rf", "x" * 255])
def test_names_made_by_other_tools_become_plain(name: str) -> None:
    made = revert_overlay_path(external_vm(), "vda", "/images/b1.qcow2", name, set())
    path = PurePosixPath(made)
    assert path.parent == PurePosixPath("/images")
    assert re.fullmatch(r"base\.[A-Za-z0-9._-]+\.qcow2", path.name)
    assert len(path.name) < 100


@pytest.mark.parametrize("active", [None, DiskLayer("/dev/vg/x", "raw", "block")])
def test_without_an_image_file_to_lie_beside_it_lies_beside_the_frozen_one(
    active: DiskLayer | None,
) -> None:
    vm = vm_of(make_vm(disks=(DiskChain("vda", (active,) if active else ()),)))
    made = revert_overlay_path(vm, "vda", "/old/root.qcow2", "one", set())
    assert made.startswith("/old/root.one.")
    elsewhere = revert_overlay_path(vm, "vdb", "/old/data.raw", "one", set())
    assert elsewhere.startswith("/old/data.one.")


@given(
    st.text("aä日.", min_size=1, max_size=300),
    st.text("ab", min_size=1, max_size=100),
    st.integers(1, 12),
)
def test_names_fit_a_file_system_and_differ(stem: str, name: str, count: int) -> None:
    taken: set[str] = set()
    made = [new_path("/images/x.qcow2", (stem, name), "qcow2", taken) for _ in range(count)]
    assert taken == set(made)
    assert len(taken) == count
    for path in made:
        assert len(PurePosixPath(path).name.encode()) <= 255
        assert path.startswith("/images/")
        assert path.endswith(".qcow2")
