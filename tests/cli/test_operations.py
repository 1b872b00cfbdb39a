"""snapshot, revert, delete, describe: plans, outcomes, refusals, cancelling."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from snapview.core.errors import ConnectionLost, HostError, NoSpace
from snapview.core.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    Operation,
    Progress,
    RevertSnapshot,
)
from snapview.core.vm import RunState, SnapshotKind, SnapshotTree
from tests.cli.conftest import Terminal
from tests.fakes import LONGEST_WAIT_SECONDS, FakeWorld
from tests.trees import make_snapshot, make_vm, tree_of, vm_uuid

WEB = vm_uuid("web")
DB = vm_uuid("db")


def test_snapshot_takes_one_and_says_what_is_true_now(snapview: Terminal, world: FakeWorld) -> None:
    answer = snapview("snapshot", "web", "before load test", "--description", "why")
    assert answer.status == 0
    assert answer.out == (
        "Took “before load test”. “web” has 9 snapshots, now at “before load test”, "
        "and is running.\n"
    )
    taken = world.vm(WEB).tree["before-load-test"]
    assert (taken.title, taken.description) == ("before load test", "why")
    assert taken.has_memory


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
        "error": None,
    }


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
    assert world.vm(vm_uuid("fresh")).tree[created].title == " ".join(typed.split())
    assert snapview("delete", "fresh", "--", " ".join(typed.split())).status == 0


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


def test_revert_keeps_the_state_of_now(snapview: Terminal, world: FakeWorld) -> None:
    answer = snapview("revert", "web", "updated")
    assert answer.status == 0
    assert answer.out == (
        'Reverted to “updated”. The state before is kept as "before revert to “updated”". '
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


DRY_RUNS = [
    ("snapshot", "web", "x"),
    ("revert", "web", "updated"),
    ("delete", "web", "tuned", "updated"),
    ("describe", "web", "tuned", "text"),
]


@pytest.mark.parametrize("command", DRY_RUNS)
def test_a_dry_run_changes_nothing(
    snapview: Terminal, world: FakeWorld, command: tuple[str, ...]
) -> None:
    before = world.vm(WEB)
    answer = snapview(*command, "--dry-run")
    assert answer.status == 0
    assert answer.out.startswith("Nothing has been changed. This is what would happen:\n  1. ")
    assert world.vm(WEB) == before
    assert world.calls["start"] == 0


@pytest.mark.parametrize("command", DRY_RUNS)
def test_a_dry_run_prints_the_plan(snapview: Terminal, command: tuple[str, ...]) -> None:
    document = snapview(*command, "--dry-run", "--json").document
    assert document.keys() == {"schema", "vm", "plan"}
    made = document["plan"]
    assert made.keys() == {
        "steps",
        "kept",
        "lost",
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


def test_a_refused_dry_run_is_refused(snapview: Terminal) -> None:
    assert snapview("snapshot", "web", "tuned", "--dry-run").status == 3


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


def test_a_lost_connection_is_status_4(snapview: Terminal, world: FakeWorld) -> None:
    world.fail_next(CreateSnapshot, ConnectionLost("The daemon went away."))
    assert snapview("snapshot", "web", "x").status == 4


def test_a_result_that_cannot_be_read_is_said(snapview: Terminal, world: FakeWorld) -> None:
    world.hold_jobs()
    with _meanwhile(world, waiting_jobs=1) as when_waiting:

        def spoil() -> None:
            world.read_errors[WEB] = HostError("Broken XML.")
            world.release_jobs()

        when_waiting.append(spoil)
        answer = snapview("snapshot", "web", "x")
    assert answer.status == 0
    assert "cannot be read again" in answer.err
    assert "The state of “web” is unknown." in answer.out


def test_a_success_that_cannot_be_seen_is_a_failure(snapview: Terminal, world: FakeWorld) -> None:
    world.hold_jobs()
    original = world.perform

    def lie(operation: Operation) -> object:
        outcome = original(operation)
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


@contextmanager
def _meanwhile(world: FakeWorld, *, waiting_jobs: int) -> Iterator[list[object]]:
    """Call what is appended to the list once that many jobs wait for the crank."""
    actions: list[object] = []

    def run() -> None:
        with world.changed:
            assert world.changed.wait_for(
                lambda: world.waiting_jobs >= waiting_jobs, LONGEST_WAIT_SECONDS
            )
        for action in actions:
            assert callable(action)
            action()

    thread = threading.Thread(target=run)
    thread.start()
    yield actions
    thread.join(LONGEST_WAIT_SECONDS)
    assert not thread.is_alive()


def _press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_cancels_and_says_what_is_true(
    snapview: Terminal, world: FakeWorld, as_json: bool
) -> None:
    world.hold_jobs()
    with _meanwhile(world, waiting_jobs=1) as when_waiting:
        when_waiting.append(_press_ctrl_c)
        answer = snapview("snapshot", "web", "x", *(["--json"] if as_json else []))
    assert answer.status == 130
    assert world.calls["abort"] == 1
    assert "cancelling" in answer.err
    assert "Cancelled. “web” has 8 snapshots, now at “tuned”, and is running." in answer.err
    if as_json:
        assert answer.document["outcome"] == "cancelled"
    else:
        assert answer.out == ""


def test_ctrl_c_while_reading_ends_at_once(snapview: Terminal, world: FakeWorld) -> None:
    world.hold_reads()
    released = threading.Event()

    def press() -> None:
        with world.changed:
            while world.waiting_reads == 0:
                world.changed.wait(0.01)
        _press_ctrl_c()
        released.wait(LONGEST_WAIT_SECONDS)
        world.release_reads()

    thread = threading.Thread(target=press)
    thread.start()
    answer = snapview("list")
    released.set()
    thread.join(LONGEST_WAIT_SECONDS)
    assert answer.status == 130
    assert "cancelled" in answer.err


def test_a_long_job_is_sampled_over_a_second_connection(
    snapview: Terminal, world: FakeWorld
) -> None:
    world.samples[WEB] = Progress("copying", 1 << 20, 4 << 20)
    world.hold_jobs()
    with _meanwhile(world, waiting_jobs=1) as when_waiting:

        def wait_for_samples() -> None:
            with world.changed:
                while world.calls["sample"] < 2:
                    world.changed.wait(0.01)
            world.release_jobs()

        when_waiting.append(wait_for_samples)
        answer = snapview("snapshot", "web", "x")
    assert answer.status == 0
    assert world.calls["connect"] == 2


def test_a_second_connection_that_fails_is_none_of_the_jobs(
    snapview: Terminal, world: FakeWorld
) -> None:
    world.hold_jobs()
    with _meanwhile(world, waiting_jobs=1) as when_waiting:

        def refuse_connections() -> None:
            before = world.calls["connect"]
            world.connect_error = ConnectionLost("Too many clients.")
            with world.changed:
                while world.calls["connect"] == before:
                    world.changed.wait(0.01)
            world.release_jobs()

        when_waiting.append(refuse_connections)
        answer = snapview("snapshot", "web", "x")
    assert answer.status == 0
    assert "Too many clients" not in answer.err


def test_a_name_that_does_not_follow_from_the_title_is_said(
    snapview: Terminal, world: FakeWorld
) -> None:
    odd = replace(make_snapshot("snapshot-1"), title="日本")
    world.define(make_vm("fresh", SnapshotTree([odd], odd.name)))
    assert "“日本” (snapshot-1)" in snapview("delete", "fresh", "日本").out
