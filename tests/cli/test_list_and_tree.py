"""The two commands that only look: text, JSON shapes, hostile names, several connections."""

import os
from collections.abc import Mapping
from dataclasses import replace

import pytest

from snapview.core.errors import ConnectionLost, HostError, NotInstalled, NotPermitted
from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    RunState,
    Snapshot,
    SnapshotKind,
    SnapshotState,
    SnapshotTree,
    Vm,
)
from tests.cli.conftest import Terminal
from tests.fakes import FakeWorld
from tests.trees import make_snapshot, make_vm, tree_of, vm_uuid

VM_KEYS = {
    "name": str,
    "uuid": str,
    "title": str | None,
    "connection": str,
    "state": str | None,
    "snapshots": int | None,
    "current": str | None,
    "chain_depth": dict | None,
    "problem": str | None,
}
SNAPSHOT_KEYS = {
    "name": str,
    "title": str,
    "parent": str | None,
    "children": list,
    "is_current": bool,
    "kind": str,
    "state": str | None,
    "has_memory": bool,
    "memory_file": str | None,
    "created_at": str | None,
    "description": str,
    "disks": list,
    "problem": str | None,
}


def assert_shape(entry: dict[str, object], shape: Mapping[str, object]) -> None:
    assert entry.keys() == shape.keys()
    for key, kind in shape.items():
        assert isinstance(entry[key], kind), key  # type: ignore[arg-type]


def test_list_shows_each_vm(snapview: Terminal) -> None:
    answer = snapview("list")
    assert answer.status == 0
    assert answer.out.splitlines() == [
        "VM                STATE    SNAPSHOTS  AT     OVERLAYS  CONNECTION",
        "db                off      3          s2               fake:///one",
        "fresh             running  0                           fake:///one",
        "web (Web server)  running  8          tuned            fake:///one",
    ]
    assert answer.err == ""


def test_list_json(snapview: Terminal) -> None:
    document = snapview("list", "--json").document
    assert document.keys() == {"schema", "vms"}
    for entry in document["vms"]:
        assert_shape(entry, VM_KEYS)
    assert document["vms"][0] == {
        "name": "db",
        "uuid": vm_uuid("db"),
        "title": None,
        "connection": "fake:///one",
        "state": "shutoff",
        "snapshots": 3,
        "current": "s2",
        "chain_depth": {"vda": 0},
        "problem": None,
    }


@pytest.mark.parametrize("arguments", [("--json", "list"), ("list", "--json")])
def test_global_options_go_before_or_after_the_command(
    snapview: Terminal, arguments: tuple[str, ...]
) -> None:
    assert len(snapview(*arguments).document["vms"]) == 3


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


def test_an_unreadable_vm_does_not_lose_the_others(snapview: Terminal, world: FakeWorld) -> None:
    world.read_errors[vm_uuid("db")] = HostError("Broken XML.", detail="line 3")
    answer = snapview("list", "--json")
    assert answer.status == 0
    assert [vm["snapshots"] for vm in answer.document["vms"]] == [3, 0, 8]
    assert [vm["chain_depth"] is None for vm in answer.document["vms"]] == [True, False, False]
    assert "Broken XML." in answer.err
    assert "line 3" not in answer.err
    assert "Details: line 3" in snapview("-v", "list").err


def test_no_vm_says_what_to_do(snapview: Terminal, world: FakeWorld) -> None:
    for name in ("db", "fresh", "web"):
        world.undefine(vm_uuid(name))
    answer = snapview("list")
    assert answer.status == 0
    assert "snapview demo" in answer.err
    assert snapview("list", "--json").document["vms"] == []


def test_the_demo_lab_is_pointed_at_and_reachable(snapview: Terminal) -> None:
    snapview.lab.exists = True
    assert "-c demo" in snapview("list").err
    answer = snapview("-c", "demo", "list")
    assert snapview.asked[-1] == "fake:///demo"
    assert answer.err == ""


@pytest.mark.parametrize("by", ["web", "Web server", vm_uuid("web"), vm_uuid("web").upper()])
def test_tree_by_name_title_or_uuid(snapview: Terminal, by: str) -> None:
    answer = snapview("tree", by)
    assert answer.status == 0
    assert answer.out.splitlines()[0] == "web (Web server): running, 8 snapshots"


def test_tree_draws_lanes_and_where_you_are(snapview: Terminal) -> None:
    lines = snapview("tree", "web").out.splitlines()
    assert lines[1].split() == ["SNAPSHOT", "AGE", "KIND", "VM", "WAS", "DESCRIPTION"]
    assert lines[4].startswith("├─▣  try-caddy")
    assert lines[5].startswith("│ ▣  caddy-tls")
    assert lines[-1].split() == ["◎", "You", "are", "here", "now", "changed", "running"]
    assert all(line == line.rstrip() for line in lines)


def test_tree_json(snapview: Terminal) -> None:
    document = snapview("tree", "web", "--json").document
    assert document["vm"] == "web"
    assert document["live"] == {"parent": "tuned", "differs": True}
    for entry in document["snapshots"]:
        assert_shape(entry, SNAPSHOT_KEYS)
    by_name = {entry["name"]: entry for entry in document["snapshots"]}
    assert len(by_name) == 8
    assert by_name["updated"]["children"] == ["try-nginx", "try-caddy"]
    assert by_name["installed"] == {
        "name": "installed",
        "title": "installed",
        "parent": None,
        "children": ["updated"],
        "is_current": False,
        "kind": "internal",
        "state": "running",
        "has_memory": True,
        "memory_file": None,
        "created_at": "2026-01-01T12:00:00Z",
        "description": "What installed is for.",
        "disks": [
            {
                "disk": "vda",
                "mode": "internal",
                "frozen": "/images/web-vda.qcow2",
                "overlay": None,
            }
        ],
        "problem": None,
    }


def test_unknown_is_null(snapview: Terminal, world: FakeWorld) -> None:
    odd = Snapshot("odd", kind=SnapshotKind.EXTERNAL, state=SnapshotState.UNKNOWN)
    vm = make_vm("odd", SnapshotTree([odd]), run_state=RunState.UNKNOWN)
    world.define(vm)
    document = snapview("tree", "odd", "--json").document
    assert document["state"] is None
    assert document["live"] == {"parent": None, "differs": None}
    entry = document["snapshots"][0]
    assert (entry["state"], entry["created_at"]) == (None, None)


def test_unreadable_snapshots_are_said(snapview: Terminal, world: FakeWorld) -> None:
    world.define(replace(make_vm("broken"), problem="libvirt does not list them."))
    answer = snapview("tree", "broken")
    assert "snapshots unknown. libvirt does not list them." in answer.out
    assert "here" not in answer.out
    entry = next(v for v in snapview("list", "--json").document["vms"] if v["name"] == "broken")
    assert entry["problem"] == "libvirt does not list them."


def test_what_is_wrong_with_a_tree_is_said(snapview: Terminal, world: FakeWorld) -> None:
    broken = replace(make_snapshot("c", number=3), problem="Its XML cannot be read.")
    tree = tree_of([("a", "gone"), ("x", "y"), ("y", "x")])
    world.define(make_vm("broken", SnapshotTree([*tree, broken])))
    answer = snapview("tree", "broken")
    assert answer.status == 0
    assert "The parent is missing of “a”" in answer.err
    assert "The parents of “x” form a circle" in answer.err
    assert "“c”: Its XML cannot be read." in answer.err
    assert "✖" in answer.out


def test_hostile_texts_cannot_act_on_the_terminal(snapview: Terminal, world: FakeWorld) -> None:
    evil = replace(
        make_snapshot("\x1b]0;pwned\x07"),
        title="up\u202egnp\nnext",
        description="first \x1b[2J\nsecond",
    )
    vm = replace(make_vm("v\x1b[31m", SnapshotTree([evil], evil.name)), title="[red]x[/red]")
    world.define(vm)
    for answer in (snapview("list"), snapview("tree", vm.uuid)):
        assert answer.status == 0
        assert not {"\x1b", "\x07", "\u202e"} & set(answer.out + answer.err)
        assert r"v\x1b[31m ([red]x[/red])" in answer.out
    assert r"first \x1b[2J …" in snapview("tree", vm.uuid).out
    raw = snapview("tree", vm.uuid, "--json")
    assert raw.out.isascii()
    assert raw.document["snapshots"][0]["title"] == "up\u202egnp\nnext"


def test_a_chain_shows_its_overlays(snapview: Terminal, world: FakeWorld) -> None:
    world.define(chained_vm("build", 3))
    assert "vda 2" in snapview("list").out
    assert "vda 2 overlays" in snapview("tree", "build").out
    entry = next(v for v in snapview("list", "--json").document["vms"] if v["name"] == "build")
    assert entry["chain_depth"] == {"vda": 2}


def chained_vm(name: str, layers: int) -> Vm:
    chain = tuple(DiskLayer(f"/images/{name}.{n}", "qcow2") for n in reversed(range(layers)))
    return make_vm(name, disks=(DiskChain("vda", chain),), run_state=RunState.SHUTOFF)


def test_a_dumb_terminal_gets_ascii(snapview: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "TERM", "dumb")
    assert snapview("tree", "web").out.isascii()


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
