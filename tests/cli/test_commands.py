"""From arguments to operations: names, kinds, what happens afterwards."""

import pytest

from snapview.core.errors import HostError
from snapview.core.marks import words_of
from snapview.core.vm import (
    RunState,
    SnapshotKind,
)
from tests.cli.conftest import Terminal
from tests.fakes import FakeWorld
from tests.trees import vm_uuid

WEB = vm_uuid("web")


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


def test_snapshot_takes_one_and_says_what_is_true_now(snapview: Terminal, world: FakeWorld) -> None:
    answer = snapview("snapshot", "web", "before load test", "--description", "why")
    assert answer.status == 0
    assert answer.out == (
        "Took “before load test”. “web” has 9 snapshots, now at “before load test”, "
        "and is running.\n"
    )
    taken = world.vm(WEB).tree["before-load-test"]
    assert (taken.title, words_of(taken.description)) == ("before load test", "why")
    assert taken.has_memory


def test_snapshot_without_a_name(snapview: Terminal, world: FakeWorld) -> None:
    created = snapview("snapshot", "fresh", "--json").document["created"]
    assert created.startswith("snapshot-")
    assert created in world.vm(vm_uuid("fresh")).tree


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("../x", "x"),
        ("-x", "x"),
        ("a/b", "a-b"),
        ("n" * 255, "n" * 100),
        ('it\'s "quoted"', "it-s-quoted"),
        ("Größe", "Groe"),
        ("日本", None),
        ("two\nlines", "two-lines"),
        ("[red]x[/red] $(id) `id`", "red-x-red-id-id"),
        ("\x1b[31mred", "31mred"),
    ],
)
def test_odd_names_become_titles(
    snapview: Terminal, world: FakeWorld, typed: str, name: str | None
) -> None:
    answer = snapview("snapshot", "fresh", "--json", "--", typed)
    assert answer.status == 0, answer.err
    created = answer.document["created"]
    assert name is None or created == name
    assert len(created) <= 100
    title = world.vm(vm_uuid("fresh")).tree[created].title
    assert title == " ".join(typed.replace("\x1b", "").split())
    assert snapview("delete", "fresh", "--", title).status == 0


def test_a_leading_dash_is_explained(snapview: Terminal) -> None:
    answer = snapview("snapshot", "web", "-x")
    assert answer.status == 2
    assert "after two dashes" in answer.err


def test_an_existing_name_is_refused(snapview: Terminal, world: FakeWorld) -> None:
    answer = snapview("snapshot", "web", "tuned", "--json")
    assert answer.status == 3
    assert answer.document == {
        "schema": 1,
        "vm": "web",
        "refusal": {
            "code": "name-exists",
            "reason": "“web” already has a snapshot called “tuned”.",
            "advice": "Choose another name.",
        },
    }
    assert answer.err.splitlines() == [
        "snapview: refused: “web” already has a snapshot called “tuned”.",
        "Choose another name.",
    ]
    assert len(world.vm(WEB).tree) == 8


@pytest.mark.parametrize(
    ("vm", "options", "kind", "memory"),
    [
        ("fresh", ["--internal"], SnapshotKind.INTERNAL, True),
        ("fresh", ["--external"], SnapshotKind.EXTERNAL, True),
        ("fresh", ["--disk-only"], SnapshotKind.EXTERNAL, False),
        ("fresh", ["--external", "--disk-only"], SnapshotKind.EXTERNAL, False),
        ("web", [], SnapshotKind.INTERNAL, True),
        ("db", ["--disk-only"], SnapshotKind.INTERNAL, False),
        ("db", ["--memory"], SnapshotKind.INTERNAL, False),
    ],
)
def test_kind_and_memory(
    snapview: Terminal,
    world: FakeWorld,
    vm: str,
    options: list[str],
    kind: SnapshotKind,
    memory: bool,
) -> None:
    answer = snapview("snapshot", vm, "new", *options)
    assert answer.status == 0, answer.err
    taken = world.vm(vm_uuid(vm)).tree["new"]
    assert (taken.kind, taken.has_memory) == (kind, memory)


def test_what_cannot_be_is_refused(snapview: Terminal) -> None:
    assert snapview("snapshot", "web", "x", "--internal", "--disk-only").status == 3
    assert snapview("snapshot", "web", "x", "--disk-only").status == 3
    assert snapview("snapshot", "fresh", "x", "--disk-only", "--quiesce").status == 3


def test_a_refused_dry_run_is_refused(snapview: Terminal) -> None:
    assert snapview("snapshot", "web", "tuned", "--dry-run").status == 3


def test_revert_keeps_the_state_of_now(snapview: Terminal, world: FakeWorld) -> None:
    answer = snapview("revert", "web", "updated")
    assert answer.status == 0
    assert answer.out == (
        "Reverted to “updated”. The state before is kept as “before revert to ‘updated’”. "
        "“web” has 9 snapshots, now at “updated”, and is running.\n"
    )
    assert world.vm(WEB).tree.current == "updated"
    assert "before-revert-to-updated" in world.vm(WEB).tree


@pytest.mark.parametrize(
    ("option", "state"),
    [("--start", RunState.RUNNING), ("--paused", RunState.PAUSED), ("--off", RunState.SHUTOFF)],
)
def test_revert_afterwards(
    snapview: Terminal, world: FakeWorld, option: str, state: RunState
) -> None:
    answer = snapview("revert", "web", "updated", "--no-safety-snapshot", option, "--json")
    assert answer.status == 0
    assert answer.document["created"] is None
    assert len(world.vm(WEB).tree) == 8
    assert world.vm(WEB).run_state is state


def test_delete_several(snapview: Terminal, world: FakeWorld) -> None:
    answer = snapview("delete", "web", "caddy-tls", "try-caddy", "caddy-tls")
    assert answer.status == 0
    assert answer.out == (
        "Deleted “caddy-tls” and “try-caddy”. “web” has 6 snapshots, now at “tuned”, "
        "and is running.\n"
    )
    assert "installed" in world.vm(WEB).tree


def test_delete_a_subtree(snapview: Terminal, world: FakeWorld) -> None:
    assert snapview("delete", "web", "--subtree", "updated").status == 0
    assert [s.name for s in world.vm(WEB).tree] == ["installed"]


def test_describe(snapview: Terminal, world: FakeWorld) -> None:
    answer = snapview("describe", "web", "tuned", "two\nlines")
    assert answer.status == 0
    assert answer.out.startswith("Described “tuned”. ")
    edited = world.vm(WEB).tree["tuned"]
    assert (edited.title, edited.description) == ("tuned", "two\nlines")
