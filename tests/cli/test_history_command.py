"""What was done is kept and shown, planned and actual."""

from snapview.core.errors import HostError
from snapview.core.operations import RevertSnapshot
from tests.cli.conftest import Terminal, add_layers
from tests.conftest import AllowLog
from tests.fakes import FakeWorld


def test_nothing_was_done_yet(snapview: Terminal) -> None:
    answer = snapview("history", "web")
    assert (answer.status, answer.out) == (0, "")
    assert "has done nothing to “web” yet" in answer.err
    assert snapview("history", "web", "--json").document == {
        "schema": 1,
        "vm": "web",
        "operations": [],
    }


def test_what_was_done_and_how_it_ended(snapview: Terminal, world: FakeWorld) -> None:
    add_layers(world)
    snapview("delete", "layered", "two")
    world.fail_next(RevertSnapshot, HostError("QEMU died.\x1b[31m"))
    snapview("revert", "layered", "one")
    snapview("revert", "layered", "nowhere")  # never begun
    snapview("delete", "layered", "one", "--dry-run")
    answer = snapview("history", "layered")
    heading, reverted, deleted = answer.out.splitlines()
    assert heading.split() == ["WHEN", "WHAT", "OUTCOME", "COPIED", "TIME", "FREED", "DESCRIPTION"]
    assert "the revert to “one”" in reverted
    assert "failed" in reverted
    assert r"QEMU died.\x1b[31m" in reverted
    assert "the merge of “two”" in deleted
    assert "192 KiB (planned 192 KiB)" in deleted

    told = snapview("history", "layered", "--json").document["operations"]
    assert [entry["outcome"] for entry in told] == ["failed", "done"]
    assert [entry["operation"] for entry in told] == ["RevertSnapshot", "DeleteSnapshot"]
    assert told[0].keys() == {
        "at",
        "operation",
        "what",
        "outcome",
        "message",
        "planned",
        "actual",
    }
    assert told[1]["at"] == "2026-03-01T09:00:00Z"
    assert told[1]["planned"]["copied_bytes"] == told[1]["actual"]["copied_bytes"] == 196_608
    assert told[1]["message"] is None
    assert told[0]["actual"] == {"copied_bytes": None, "seconds": None, "freed_bytes": None}
    limited = snapview("history", "layered", "--limit", "1", "--json").document["operations"]
    assert limited == told[:1]


def test_each_vm_has_its_own(snapview: Terminal) -> None:
    snapview("snapshot", "web", "x")
    assert len(snapview("history", "web", "--json").document["operations"]) == 1
    assert snapview("history", "db", "--json").document["operations"] == []


def test_a_damaged_history_is_said_and_keeps_nobody_from_working(
    snapview: Terminal, allow_log: AllowLog
) -> None:
    allow_log("The history of operations cannot be used")
    snapview.history._path.write_text("no database " * 100)
    assert snapview("snapshot", "web", "x").status == 0
    answer = snapview("history", "web", "--json")
    assert answer.status == 1
    assert "The history of operations cannot be used." in answer.err
    assert answer.document["error"]["kind"] == "host-error"
