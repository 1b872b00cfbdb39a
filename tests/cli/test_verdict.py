"""What is said to be true afterwards comes from the VM as it was read again."""

from dataclasses import replace

import pytest

from snapview.core.errors import HostError, NoSpace
from snapview.core.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    Operation,
    RevertSnapshot,
)
from snapview.core.vm import (
    SnapshotTree,
)
from tests.cli.conftest import Terminal, add_layers
from tests.fakes import FakeWorld
from tests.trees import make_snapshot, make_vm, tree_of, vm_uuid

WEB = vm_uuid("web")


COMMANDS: list[tuple[type[Operation], tuple[str, ...], str]] = [
    (CreateSnapshot, ("snapshot", "web", "x"), "“web” has 8 snapshots"),
    (RevertSnapshot, ("revert", "web", "updated"), "now at “tuned”"),
    (DeleteSnapshot, ("delete", "web", "tuned"), "“web” has 8 snapshots"),
    (EditDescription, ("describe", "web", "tuned", "text"), "“web” has 8 snapshots"),
]


@pytest.mark.parametrize(("operation", "command", "truth"), COMMANDS)
def test_a_failure_says_what_is_true(
    snapview: Terminal,
    world: FakeWorld,
    operation: type[Operation],
    command: tuple[str, ...],
    truth: str,
) -> None:
    world.fail_next(
        operation,
        NoSpace("The disk is full.", advice="Make room.", detail="No space left on device"),
    )
    answer = snapview(*command, "--json")
    assert answer.status == 1
    assert answer.document["outcome"] == "failed"
    assert answer.document["error"] == {
        "kind": "no-space",
        "message": "The disk is full.",
        "advice": "Make room.",
        "detail": "No space left on device",
    }
    assert "snapview: The disk is full.\nMake room.\n" in answer.err
    assert truth in answer.err


def test_a_failure_that_changed_something_says_so(snapview: Terminal, world: FakeWorld) -> None:
    world.fail_next(CreateSnapshot, HostError("Something broke."), changes=True)
    answer = snapview("snapshot", "web", "x")
    assert answer.status == 1
    assert "It failed. “web” has 9 snapshots, now at “x”" in answer.err


def test_a_success_that_cannot_be_seen_is_a_failure(snapview: Terminal, world: FakeWorld) -> None:
    world.hold_jobs()
    original = world.perform

    def lie(operation: Operation, agreed: object) -> object:
        outcome = original(operation, agreed)
        world.define(make_vm("web", tree_of([("other", None)], "other")))
        return outcome

    world.perform = lie  # type: ignore[method-assign, assignment]
    world.release_jobs()
    for command in (
        ("snapshot", "web", "x"),
        ("revert", "web", "other", "--no-safety-snapshot"),
        ("delete", "web", "other"),
        ("describe", "web", "other", "text"),
    ):
        answer = snapview(*command)
        if command[0] == "revert":
            assert answer.status == 0
            continue
        assert answer.status == 1, command
        assert "libvirt reported success, but" in answer.err


def test_a_name_that_does_not_follow_from_the_title_is_said(
    snapview: Terminal, world: FakeWorld
) -> None:
    odd = replace(make_snapshot("snapshot-1"), title="日本")
    world.define(make_vm("fresh", SnapshotTree([odd], odd.name)))
    assert "“日本” (snapshot-1)" in snapview("delete", "fresh", "日本").out


def test_a_merge_that_left_its_images_in_place_is_a_failure(
    snapview: Terminal, world: FakeWorld
) -> None:
    uuid = add_layers(world)
    before = world.vm(uuid)
    original = world.perform

    def lie(operation: Operation, agreed: object) -> object:
        outcome = original(operation, agreed)
        world.simulation.vms[uuid] = replace(before, tree=SnapshotTree())
        return outcome

    world.perform = lie  # type: ignore[method-assign, assignment]
    answer = snapview("consolidate", "layered")
    assert answer.status == 1
    assert "libvirt reported success, but vda still has all its images" in answer.err
