"""consolidate, job and recover: from arguments to what is true afterwards."""

from dataclasses import replace
from typing import Any

import pytest

from snapview.core.operations import (
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    MergeBy,
    RevertSnapshot,
)
from snapview.core.under_way import BlockJob, BlockJobType
from snapview.core.vm import RunState, SnapshotKind
from tests.cli.conftest import Terminal, add_layers
from tests.fakes import FakeHost, FakeWorld
from tests.trees import make_vm, vm_uuid

MIB = 1 << 20
READY = BlockJob("vda", BlockJobType.ACTIVE_COMMIT, 5 * MIB, 5 * MIB, is_ready=True)


def depth(world: FakeWorld) -> int:
    return world.vm(vm_uuid("layered")).chain_depth["vda"]


# consolidate


def test_a_chain_becomes_one_image(snapview: Terminal, world: FakeWorld) -> None:
    uuid = add_layers(world)
    answer = snapview("consolidate", "layered")
    assert answer.status == 0, answer.err
    assert answer.out.splitlines()[0] == (
        "Merged the images of vda (4 images, now 1). “layered” has no snapshots, and is running."
    )
    assert depth(world) == 0
    assert len(world.vm(uuid).tree) == 0
    assert [disk.layers[0].path for disk in world.vm(uuid).state_disks] == [
        "/images/layered-vda.qcow2"
    ]


def test_the_figures_say_what_was_planned_and_what_it_took(
    snapview: Terminal, world: FakeWorld
) -> None:
    add_layers(world)
    planned = snapview("consolidate", "layered", "--dry-run", "--json").document["plan"]
    assert planned["bytes_to_copy"] == 3 * 196_608
    assert planned["extra_bytes_needed"] > 0
    assert planned["estimated_seconds"] is None
    done = snapview("consolidate", "layered", "--json").document
    assert done["planned"]["copied_bytes"] == done["actual"]["copied_bytes"] == 3 * 196_608
    add_layers(world)
    assert "Copied 576 KiB in 0.0 s (planned 576 KiB" in snapview("consolidate", "layered").out


def test_the_estimate_comes_from_earlier_merges(snapview: Terminal, world: FakeWorld) -> None:
    uuid = add_layers(world)
    for layer in world.vm(uuid).state_disks[0].layers:
        grow(world, layer.path, 50 * MIB)
    assert snapview("consolidate", "layered").status == 0
    add_layers(world)
    planned = snapview("consolidate", "layered", "--dry-run", "--json").document["plan"]
    assert planned["estimated_seconds"] == pytest.approx(3 * 196_608 / (100 * MIB))


def grow(world: FakeWorld, path: str, size_bytes: int) -> None:
    """Let the guest have written to an image."""
    files = world.simulation.files
    files[path] = replace(files[path], allocation_bytes=size_bytes)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The operations that were started."""
    seen: list[Any] = []
    original = FakeHost.start

    def start(host: FakeHost, operation: Any, agreed: object = None) -> Any:
        seen.append(operation)
        return original(host, operation, agreed)

    monkeypatch.setattr(FakeHost, "start", start)
    return seen


@pytest.mark.parametrize(
    ("options", "disks", "merge_by", "bandwidth"),
    [
        ((), ("vda",), MergeBy.COMMIT, 0),
        (("--all",), ("vda",), MergeBy.COMMIT, 0),
        (("--disk", "vda", "--disk", "vda"), ("vda",), MergeBy.COMMIT, 0),
        (("--pull", "--bandwidth", "10M"), ("vda",), MergeBy.PULL, 10 * MIB),
        (("--bandwidth", "1048576"), ("vda",), MergeBy.COMMIT, MIB),
        (("--bandwidth=3k",), ("vda",), MergeBy.COMMIT, 3072),
    ],
)
def test_options_of_consolidate(
    snapview: Terminal,
    world: FakeWorld,
    started: list[Any],
    options: tuple[str, ...],
    disks: tuple[str, ...],
    merge_by: MergeBy,
    bandwidth: int,
) -> None:
    uuid = add_layers(world)
    assert snapview("consolidate", "layered", *options).status == 0
    assert started == [Consolidate(uuid, disks, merge_by, bandwidth)]
    assert depth(world) == 0


def test_options_of_delete(snapview: Terminal, world: FakeWorld, started: list[Any]) -> None:
    uuid = add_layers(world)
    answer = snapview("delete", "layered", "three", "--pull", "--bandwidth", "1G")
    assert answer.status == 0, answer.err
    (operation,) = started
    assert isinstance(operation, DeleteSnapshot)
    assert (operation.merge_by, operation.bandwidth_bytes_per_second) == (MergeBy.PULL, 1 << 30)
    assert "three" not in world.vm(uuid).tree


@pytest.mark.parametrize("bandwidth", ["", "x", "-1", "1.5M", "10MB", "M"])
def test_an_odd_bandwidth_is_wrong_usage(snapview: Terminal, bandwidth: str) -> None:
    answer = snapview("consolidate", "web", "--bandwidth", bandwidth)
    assert answer.status == 2
    assert "no number of bytes" in answer.err


def test_all_and_some_disks_exclude_each_other(snapview: Terminal) -> None:
    assert snapview("consolidate", "web", "--all", "--disk", "vda").status == 2


def test_a_disk_that_is_not_there_is_refused(snapview: Terminal, world: FakeWorld) -> None:
    add_layers(world)
    answer = snapview("consolidate", "layered", "--disk", "vdz", "--json")
    assert answer.status == 3
    assert "vdz" in answer.document["refusal"]["reason"]
    assert depth(world) == 3


def test_nothing_to_merge_is_refused(snapview: Terminal) -> None:
    answer = snapview("consolidate", "fresh", "--json")
    assert answer.status == 3
    assert answer.document["refusal"]["code"] == "nothing-to-do"


# job


def test_a_job_is_noticed_by_every_command_that_looks_at_the_vm(
    snapview: Terminal, world: FakeWorld
) -> None:
    world.plant_job(vm_uuid("web"), READY)
    for command in (("list",), ("tree", "web"), ("history", "web")):
        answer = snapview(*command)
        assert answer.status == 0
        assert "notice: A block job (active-commit) runs on vda of “web”" in answer.err
        assert "“snapview job web vda --finish” or “--abort” ends it" in answer.err
    answer = snapview("delete", "web", "tuned", "--json")
    assert answer.status == 3
    assert answer.document["refusal"]["code"] == "block-job"
    assert "notice: A block job" in answer.err
    assert "notice" not in snapview("tree", "db").err


@pytest.mark.parametrize(("option", "left"), [("--finish", 2), ("--abort", 3)])
def test_a_job_is_ended(snapview: Terminal, world: FakeWorld, option: str, left: int) -> None:
    uuid = add_layers(world)
    world.plant_job(uuid, READY)
    assert snapview("job", "layered", "vda", option, "--dry-run").status == 0
    assert world.vm(uuid).block_jobs == (READY,)
    answer = snapview("job", "layered", "vda", option)
    assert answer.status == 0
    assert "notice" not in answer.err
    assert answer.out.startswith(f"{'Finished' if left == 2 else 'Aborted'} the job on vda.")
    assert world.vm(uuid).block_jobs == ()
    assert depth(world) == left


def test_a_job_that_is_not_ready_cannot_be_finished(snapview: Terminal, world: FakeWorld) -> None:
    world.plant_job(vm_uuid("web"), BlockJob("vda", BlockJobType.ACTIVE_COMMIT, MIB, 2 * MIB))
    assert snapview("job", "web", "vda", "--finish").status == 3
    assert snapview("job", "web", "vdb", "--abort").status == 3


def test_how_a_job_shall_end_has_to_be_said(snapview: Terminal) -> None:
    assert snapview("job", "web", "vda").status == 2


# recover


@pytest.fixture
def torn(world: FakeWorld) -> str:
    """A VM whose revert by snapview's own way was cut off in the middle."""
    uuid = add_layers(world)
    operation = RevertSnapshot(uuid, "one", safety_snapshot=False)
    world.capabilities = without_reverts(world)
    world.define(world.vm(uuid))
    entry = world.interrupt(operation, 2)
    assert len(entry.moves) > 3, "the own way has many moves"
    return uuid


def without_reverts(world: FakeWorld) -> Any:
    return replace(world.capabilities, libvirt_version=(9, 0, 0), reverts_external=False)


def test_what_was_interrupted_is_noticed_and_explained(
    snapview: Terminal, world: FakeWorld, torn: str
) -> None:
    answer = snapview("tree", "layered")
    assert "notice: The revert to “one” on “layered” was interrupted." in answer.err
    answer = snapview("recover", "layered")
    assert answer.status == 0
    assert answer.out.startswith("The revert to “one”, begun ")
    assert "With --finish:\n  1. " in answer.out
    assert "With --undo:\n  1. " in answer.out
    told = snapview("recover", "layered", "--json").document["interruption"]
    assert told["what"] == "the revert to “one”"
    assert told["is_under_way"] is False
    assert told["finish"]
    assert told["undo"]
    assert snapview("snapshot", "layered", "x").status == 3


def test_it_is_brought_to_its_end(snapview: Terminal, world: FakeWorld, torn: str) -> None:
    assert snapview("recover", "layered", "--finish", "--dry-run").status == 0
    assert world.vm(torn).interruption is not None
    answer = snapview("recover", "layered", "--finish")
    assert answer.status == 0, answer.err
    assert answer.out.startswith("Finished what was interrupted. “layered” has 3 snapshots, now at")
    assert world.vm(torn).tree.current == "one"
    assert world.vm(torn).interruption is None
    assert depth(world) == 1


def test_it_is_taken_back(snapview: Terminal, world: FakeWorld, torn: str) -> None:
    answer = snapview("recover", "layered", "--undo", "--json")
    assert answer.status == 0, answer.err
    assert answer.document["outcome"] == "done"
    assert world.vm(torn).tree.current == "three"
    assert world.vm(torn).run_state is RunState.SHUTOFF
    assert depth(world) == 3
    assert world.vm(torn).interruption is None


def test_when_it_is_too_late_it_is_said(snapview: Terminal, world: FakeWorld) -> None:
    uuid = add_layers(world)
    world.interrupt(DeleteSnapshot(uuid, ("one",)), 0)
    answer = snapview("recover", "layered")
    assert "It is too late to take it back." in answer.out
    assert snapview("recover", "layered", "--json").document["interruption"]["undo"] is None
    refused = snapview("recover", "layered", "--undo", "--json")
    assert refused.status == 3
    assert refused.document["refusal"]["code"] == "too-late"
    assert snapview("recover", "layered", "--finish").status == 0
    assert "one" not in world.vm(uuid).tree


def test_nothing_to_recover(snapview: Terminal) -> None:
    answer = snapview("recover", "web")
    assert (answer.status, answer.out) == (0, "Nothing of “web” is left unfinished.\n")
    assert snapview("recover", "web", "--json").document["interruption"] is None
    assert snapview("recover", "web", "--undo").status == 3


# Others that this issue has brought


def test_mixing_kinds_has_to_be_asked_for(snapview: Terminal, world: FakeWorld) -> None:
    uuid = make_vm("mixed").uuid
    world.define(make_vm("mixed"))
    world.act(CreateSnapshot(uuid, "inside"))
    assert snapview("snapshot", "mixed", "outside", "--external").status == 3
    answer = snapview("snapshot", "mixed", "outside", "--external", "--mix")
    assert answer.status == 0, answer.err
    assert world.vm(uuid).tree["outside"].kind is SnapshotKind.EXTERNAL


@pytest.mark.parametrize(
    ("options", "mark"),
    [((), "2026-03-15"), (("--keep-days", "3"), "2026-03-04"), (("--keep-days", "0"), None)],
)
def test_a_safety_snapshot_says_how_long_it_is_kept(
    snapview: Terminal, world: FakeWorld, options: tuple[str, ...], mark: str | None
) -> None:
    answer = snapview("revert", "web", "updated", *options, "--json")
    kept = world.vm(vm_uuid("web")).tree[answer.document["created"]]
    found = [line for line in kept.description.splitlines() if line.startswith("Kept until")]
    assert found == ([f"Kept until {mark}"] if mark else [])
    shown = snapview("tree", "web").out
    assert ("kept until" in shown) is (mark is not None)
