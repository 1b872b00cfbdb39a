"""The list and the tree as a reader sees them, also with hostile names."""

from dataclasses import replace

from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    RunState,
    SnapshotTree,
    Vm,
)
from tests.cli.conftest import Terminal
from tests.fakes import FakeWorld
from tests.trees import make_snapshot, make_vm, tree_of


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


def test_tree_draws_lanes_and_where_you_are(snapview: Terminal) -> None:
    lines = snapview("tree", "web").out.splitlines()
    assert lines[1].split() == ["SNAPSHOT", "AGE", "KIND", "VM", "WAS", "DESCRIPTION"]
    assert lines[4].startswith("├─▣  try-caddy")
    assert lines[5].startswith("│ ▣  caddy-tls")
    assert lines[-1].split() == ["◎", "You", "are", "here", "now", "changed", "running"]
    assert all(line == line.rstrip() for line in lines)


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
