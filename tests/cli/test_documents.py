"""The JSON shapes that other programs rely on."""

from collections.abc import Mapping

import pytest

from snapview.core.vm import (
    RunState,
    Snapshot,
    SnapshotKind,
    SnapshotState,
    SnapshotTree,
)
from tests.cli.conftest import Terminal
from tests.fakes import FakeWorld
from tests.trees import make_vm, vm_uuid

WEB = vm_uuid("web")


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


DRY_RUNS = [
    ("snapshot", "web", "x"),
    ("revert", "web", "updated"),
    ("delete", "web", "tuned", "updated"),
    ("describe", "web", "tuned", "text"),
]


def assert_shape(entry: dict[str, object], shape: Mapping[str, object]) -> None:
    assert entry.keys() == shape.keys()
    for key, kind in shape.items():
        assert isinstance(entry[key], kind), key  # type: ignore[arg-type]


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


def test_snapshot_json(snapview: Terminal) -> None:
    answer = snapview("snapshot", "web", "x", "--json")
    assert answer.document == {
        "schema": 1,
        "vm": "web",
        "operation": "snapshot",
        "outcome": "done",
        "text": "Took “x”. “web” has 9 snapshots, now at “x”, and is running.",
        "created": "x",
        "current": "x",
        "snapshots": 9,
        "remarks": [],
        "planned": {"copied_bytes": None, "seconds": None, "freed_bytes": None},
        "actual": {"copied_bytes": 0, "seconds": 0.0, "freed_bytes": 0},
        "error": None,
    }


@pytest.mark.parametrize("command", DRY_RUNS)
def test_a_dry_run_prints_the_plan(snapview: Terminal, command: tuple[str, ...]) -> None:
    document = snapview(*command, "--dry-run", "--json").document
    assert document.keys() == {"schema", "vm", "plan"}
    made = document["plan"]
    assert made.keys() == {
        "steps",
        "kept",
        "lost",
        "lost_snapshots",
        "warnings",
        "name",
        "get_back",
        "bytes_to_copy",
        "extra_bytes_needed",
        "freed_bytes",
        "estimated_seconds",
        "undo",
    }
    assert made["steps"]
    for step in made["steps"]:
        assert step.keys() == {"action", "what", "disk", "files", "snapshot"}
    for key in ("bytes_to_copy", "extra_bytes_needed", "freed_bytes"):
        assert made[key] is None or isinstance(made[key], int)
