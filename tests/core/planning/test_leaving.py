"""Reverts at file level: every other state survives, nothing is left over, nothing needed goes.

The second opinion is ``revert_world``: images as files, moved about by hand.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapview.core.operations import Afterwards, RevertSnapshot
from snapview.core.planning import Plan, Refusal, plan
from snapview.core.planning.images import Images
from snapview.core.planning.leaving import Leaving, leaving
from snapview.core.storage import ImageFile, Storage
from snapview.core.vm import DiskLayer, SnapshotTree
from tests.core.planning.cases import EXTERNAL, INTERNAL, disk, external_vm
from tests.core.planning.revert_world import World
from tests.trees import vm_uuid

UUID = vm_uuid("web")
VERSIONS = [(8, 0, 0), (9, 0, 0), (9, 9, 0), (10, 0, 0), (11, 3, 0), (12, 1, 0)]

ACTS = st.sampled_from(
    [
        "write",
        "write",
        "take",
        "take",
        "take",
        "take memory",
        "take one disk",
        "take inside",
        "revert",
        "revert",
        "revert unsafely",
        "native",
        "bare layer",
        "forget",
        "clone",
        "attach",
        "attach on a template",
        "detach",
        "point",
        "swap",
        "turn",
    ]
)


class Story:
    """What happens to one VM, and what is checked at each revert that snapview does."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.world = World()
        self.version = data.draw(st.sampled_from(VERSIONS))
        self.with_storage = data.draw(st.booleans())
        self.reverts = 0
        self.excused: set[str] = set()  # files that others, or a plan, said would stay

    def one(self, choices: Any) -> Any:
        return self.data.draw(st.sampled_from(sorted(choices)))

    def act(self, act: str) -> None:
        if act in {"revert", "revert unsafely"}:
            if self.world.records:
                self.revert(safely=act == "revert")
            return
        if self.is_possible(act):
            self.doings()[act]()
        # What others leave behind, and whole images of which nobody knows, are not our doing.
        self.excused = set(self.world.files) - self.world.needed()

    def is_possible(self, act: str) -> bool:
        world = self.world
        return {
            "take one disk": len(world.active) > 1,
            "native": self.version >= (9, 9, 0) and world.can_go_native(),
            "forget": bool(world.records),
            "clone": self.with_storage,  # else nobody knows of other VMs' images
            "attach": "vdb" not in world.active,
            "attach on a template": "vdb" not in world.active,
            "detach": "vdb" in world.active,
            "point": bool(self.elsewhere),
        }.get(act, True)

    @property
    def elsewhere(self) -> set[str]:
        """Images to which somebody may point the first disk by hand."""
        return set(self.world.files) - {*self.world.active.values(), *self.world.clones}

    def doings(self) -> dict[str, Callable[[], object]]:
        world = self.world
        return {
            "write": world.write,
            "take": lambda: world.take(EXTERNAL),
            "take memory": lambda: world.take(EXTERNAL, memory=True),
            "take one disk": lambda: world.take(EXTERNAL, leaving_out="vdb"),
            "take inside": lambda: world.take(INTERNAL),
            "native": lambda: world.go_native(self.one(world.records)),
            "bare layer": lambda: world.put_layer("vda"),
            "forget": lambda: world.forget(self.one(world.records)),
            "clone": lambda: world.clone(self.one(world.files)),
            "attach": lambda: world.attach(None),
            "attach on a template": lambda: world.attach((*world.clones, None)[0]),
            "detach": lambda: world.active.pop("vdb"),
            "point": lambda: world.point("vda", self.one(self.elsewhere)),
            "swap": world.swap,
            "turn": lambda: world.turn(on=world.memory is None),
        }

    def revert(self, *, safely: bool) -> None:
        world = self.world
        name = self.one(world.records)
        afterwards = self.data.draw(st.sampled_from(Afterwards))
        operation = RevertSnapshot(UUID, name, safely, afterwards=afterwards)
        planned = plan(world.vm(self.version, with_storage=self.with_storage), operation)
        if isinstance(planned, Refusal):
            return
        self.reverts += 1
        states, live, memory = world.states(), world.live(), world.memory
        # Disks that the snapshot left out go on as they are, or come back as they are.
        left_out = {
            target: live[target] if target in live else world.content(path)
            for target, path in world.records[name].definition.items()
            if target not in world.records[name].held
        }
        world.carry_out(planned, is_sure=self.with_storage)
        self.check(planned, name, states)
        wanted = left_out | {t: c for t, c in states[name].items() if t != "memory"}
        assert world.live() == wanted
        self.check_memory(name, afterwards, states[name].get("memory"))
        self.check_files(planned)
        if safely:
            kept = world.state(planned.new_name or "")
            assert {t: c for t, c in kept.items() if t != "memory"} == live
            assert kept.get("memory") == memory
            assert planned.lost == ()
        else:
            assert planned.lost

    def check(self, planned: Plan, name: str, states: dict[str, Any]) -> None:
        after = self.world.states()
        after.pop(planned.new_name or "", None)
        assert after == states, "a snapshot does not hold any more what it held"
        assert self.world.current == name
        for path in self.world.needed():
            self.world.content(path)

    def check_memory(self, name: str, afterwards: Afterwards, memory: object) -> None:
        world = self.world
        state = world.records[name].state.value
        wanted = afterwards.value
        if afterwards is Afterwards.AS_IT_WAS:
            wanted = state if state in {"running", "paused"} else "off"
        found = "off" if world.memory is None else "paused" if world.is_paused else "running"
        assert found == wanted
        if memory is not None and found != "off":
            assert world.memory == memory

    def check_files(self, planned: Plan) -> None:
        """What the revert made superfluous is gone, or the plan says that it stays."""
        world = self.world
        stray = set(world.files) - world.needed() - self.excused
        said = {path for path in stray if any(path in text for text in planned.warnings)}
        under = {path for top in said for path in world.chain(top)}
        assert stray <= under, f"left over: {stray - under}"
        if planned.undo:
            assert not said, "with a safety snapshot nothing stays without a name"
        self.excused |= stray


@settings(max_examples=300, deadline=None)
@given(st.data(), st.lists(ACTS, min_size=4, max_size=14))
def test_whatever_happened_before_a_revert_reaches_its_state_and_spoils_no_other(
    data: st.DataObject, acts: list[str]
) -> None:
    story = Story(data)
    for act in acts:
        story.act(act)
    story.act("revert")
    story.act("revert unsafely")


# The same by name


@pytest.mark.parametrize(
    ("chain", "gone", "staying"),
    [
        (("b2", "b1", "base"), ["b2"], []),
        (("bare", "b2", "b1", "base"), ["bare", "b2"], []),  # a layer without a record
        (("b1", "base"), [], []),  # written to what is a state
        (("mine", "template"), [], ["mine"]),
        (("whole",), [], ["whole"]),
    ],
)
def test_only_what_stands_on_a_state_may_go(
    chain: tuple[str, ...], gone: list[str], staying: list[str]
) -> None:
    vm = external_vm(disks=(disk(*chain),))
    found = leaving(vm, Images(vm), set())
    assert [path for _, path in found.gone] == [f"/images/{name}.qcow2" for name in gone]
    assert list(found.staying) == [f"/images/{name}.qcow2" for name in staying]
    assert leaving(vm, Images(vm), {"vda"}) == Leaving()


def test_what_another_vm_stands_on_is_left_to_it_without_a_word() -> None:
    """It is not left over: somebody needs it."""
    path = "/images/b2.qcow2"
    images = {path: ImageFile(path, "qcow2", "/images/b1.qcow2")}
    vm = external_vm(storage=Storage(images, {"/images": 1}, {path: ("other",)}))
    assert leaving(vm, Images(vm), set()) == Leaving()


@pytest.mark.parametrize(
    ("chain", "gone", "staying"),
    [
        (("b2", "b1", "base"), [], "b2"),
        (("b2", "bare", "b1", "base"), ["b2"], "bare"),  # it stands on the layer below
    ],
)
def test_what_an_unknown_file_stands_on_stays_and_is_named(
    chain: tuple[str, ...], gone: list[str], staying: str
) -> None:
    paths = [f"/images/{name}.qcow2" for name in chain]
    images = {
        path: ImageFile(path, "qcow2", below)
        for path, below in zip(paths, [*paths[1:], None], strict=True)
    }
    images["/images/stray"] = ImageFile("/images/stray", "qcow2", f"/images/{staying}.qcow2")
    vm = external_vm(disks=(disk(*chain),), storage=Storage(images, {"/images": 1}))
    found = leaving(vm, Images(vm), set())
    assert [path for _, path in found.gone] == [f"/images/{name}.qcow2" for name in gone]
    assert found.staying == (f"/images/{staying}.qcow2",)


def test_with_a_record_that_cannot_be_read_only_what_was_just_made_goes() -> None:
    vm = external_vm()
    broken = replace(vm.tree["one"], name="x", parent="two", problem="It is broken.", disks=())
    vm = replace(vm, tree=SnapshotTree([*vm.tree, broken], "two"))
    path = "/images/b2.qcow2"
    assert leaving(vm, Images(vm), set()) == Leaving(staying=(path,))
    assert leaving(vm, Images(vm), set(), {path}) == Leaving(gone=(("vda", path),))


def test_a_disk_that_is_no_file_is_left_alone() -> None:
    block = replace(disk("x"), layers=(DiskLayer("/dev/vg/x", "raw", "block"),))
    vm = external_vm(disks=(block,))
    assert leaving(vm, Images(vm), set()) == Leaving()
