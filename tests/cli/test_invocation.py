"""Which connections are used, and which VM or snapshot is meant."""

from dataclasses import replace

import pytest

from snapview.core.errors import ConnectionLost, NotInstalled, NotPermitted
from snapview.core.vm import (
    SnapshotTree,
)
from tests.cli.conftest import Terminal
from tests.fakes import FakeWorld
from tests.trees import make_snapshot, make_vm, vm_uuid


def test_connections_are_added_up(snapview: Terminal) -> None:
    snapview.worlds["fake:///two"] = FakeWorld(make_vm("far"))
    answer = snapview("-c", "fake:///one", "list", "-c", "fake:///two", "-c", "fake:///one")
    assert snapview.asked == ["fake:///one", "fake:///two"]
    assert "far" in answer.out
    assert "web" in answer.out


def test_the_default_is_both_local_daemons(snapview: Terminal) -> None:
    snapview.environment.clear()
    snapview.worlds["qemu:///system"] = NotPermitted("You may not.", advice="Join the group.")
    answer = snapview("list", "--json")
    assert snapview.asked == ["qemu:///system", "qemu:///session"]
    assert answer.status == 0
    assert len(answer.document["vms"]) == 3
    assert "“qemu:///system” is left out" in answer.err
    assert "Join the group." in answer.err


@pytest.mark.parametrize(
    "error",
    [ConnectionLost("It is away."), NotInstalled("There is none."), NotPermitted("You may not.")],
)
def test_no_connection_at_all_is_status_4(
    snapview: Terminal, error: ConnectionLost | NotPermitted
) -> None:
    error.advice = "Do something."
    snapview.environment.clear()
    snapview.worlds |= {"qemu:///system": error, "qemu:///session": ConnectionLost("Nor here.")}
    for command in (["list"], ["tree", "web"], ["snapshot", "web", "x"]):
        answer = snapview(*command)
        assert answer.status == 4
        assert answer.out == ""
        assert error.message in answer.err
        assert "Do something." in answer.err
        assert "Nor here." in answer.err
    document = snapview("list", "--json").document
    assert document["error"]["message"] == error.message
    assert document["error"]["advice"] == "Do something."


def test_a_connection_that_dies_later_is_status_4(snapview: Terminal, world: FakeWorld) -> None:
    world.is_up = False
    assert snapview("list").status == 4


def test_the_demo_lab_is_pointed_at_and_reachable(snapview: Terminal) -> None:
    snapview.lab.exists = True
    assert "-c demo" in snapview("list").err
    assert snapview("list", "-c", "fake:///one").err == ""
    answer = snapview("-c", "demo", "list")
    assert snapview.asked[-1] == "fake:///demo"
    assert answer.out.splitlines()[1].endswith("  demo")
    assert answer.err == ""
    snapview.environment["LIBVIRT_DEFAULT_URI"] = "fake:///away"
    snapview.worlds["fake:///away"] = ConnectionLost("It is away.", advice="Start it.")
    assert snapview("list").err.endswith(
        "Start it. The demo lab has VMs too: snapview -c demo list\n"
    )


def test_a_demo_lab_that_does_not_run_says_how_to_start_it(snapview: Terminal) -> None:
    world = FakeWorld()
    world.is_up = False
    snapview.worlds["fake:///demo"] = world
    answer = snapview("-c", "demo", "list")
    assert answer.status == 4
    assert answer.err == (
        "snapview: The demo lab is not there, or does not run.\n"
        "“snapview demo” makes it, or starts it again.\n"
    )


@pytest.mark.parametrize("by", ["web", "Web server", vm_uuid("web"), vm_uuid("web").upper()])
def test_tree_by_name_title_or_uuid(snapview: Terminal, by: str) -> None:
    answer = snapview("tree", by)
    assert answer.status == 0
    assert answer.out.splitlines()[0] == "web (Web server): running, 8 snapshots"


def test_unknown_vm(snapview: Terminal) -> None:
    answer = snapview("tree", "wbe")
    assert answer.status == 1
    assert answer.err.splitlines() == [
        "snapview: There is no VM called “wbe”.",
        "Did you mean “web”?",
    ]
    assert "snapview list" in snapview("tree", "quite-another").err
    assert snapview("tree", "wbe", "--json").document["error"]["kind"] == "not-found"


def test_a_name_on_two_connections_is_ambiguous(snapview: Terminal) -> None:
    twin = replace(make_vm("web"), uuid=vm_uuid("twin"))
    snapview.worlds["fake:///two"] = FakeWorld(twin)
    answer = snapview("tree", "web", "-c", "fake:///one", "-c", "fake:///two")
    assert answer.status == 1
    assert "can mean several VMs" in answer.err
    assert f"{twin.uuid} on fake:///two" in answer.err
    assert snapview("tree", twin.uuid, "-c", "fake:///one", "-c", "fake:///two").status == 0


@pytest.mark.parametrize(
    "command",
    [("revert", "web", "tund"), ("delete", "web", "tund"), ("describe", "web", "tund", "text")],
)
def test_an_unknown_snapshot(snapview: Terminal, command: tuple[str, ...]) -> None:
    answer = snapview(*command)
    assert answer.status == 1
    assert answer.err.splitlines() == [
        "snapview: “web” has no snapshot called “tund”.",
        "Did you mean “tuned”?",
    ]


def test_an_unknown_snapshot_of_an_empty_tree(snapview: Terminal) -> None:
    assert "no snapshots at all" in snapview("revert", "fresh", "x").err


def test_a_title_can_be_ambiguous(snapview: Terminal, world: FakeWorld) -> None:
    twins = [replace(make_snapshot(name), title="nightly") for name in ("n-1", "n-2")]
    world.define(make_vm("fresh", SnapshotTree(twins)))
    answer = snapview("delete", "fresh", "nightly")
    assert answer.status == 1
    assert "“nightly” is the title of several snapshots" in answer.err
    assert "n-1 and n-2" in answer.err
    assert snapview("delete", "fresh", "n-1").status == 0
    assert snapview("delete", "fresh", "nightly").status == 0  # unique now


def test_unreadable_snapshots(snapview: Terminal, world: FakeWorld) -> None:
    world.define(replace(make_vm("fresh"), problem="libvirt does not list them."))
    answer = snapview("revert", "fresh", "x")
    assert answer.status == 1
    assert "libvirt does not list them." in answer.err
    assert snapview("snapshot", "fresh", "x").status == 3
