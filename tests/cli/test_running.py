"""Jobs under way: losing the connection, cancelling, figures from a second connection."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from snapview.core.errors import ConnectionLost, HostError, ImageNotWritable
from snapview.core.operations import (
    Actual,
    Cancelled,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    Outcome,
    Progress,
)
from snapview.core.vm import SnapshotKind
from tests.cli.conftest import Terminal, add_layers
from tests.fakes import LONGEST_WAIT_SECONDS, FakeHost, FakeWorld
from tests.trees import vm_uuid

WEB = vm_uuid("web")


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
    assert answer.err == "snapview: cancelled.\n"


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


def test_the_second_ctrl_c_leaves_it_to_libvirt(
    snapview: Terminal, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()
    monkeypatch.setattr(FakeHost, "abort", lambda *_: asked.set())  # and nothing comes of it
    world.hold_jobs()

    def press_twice() -> None:
        _press_ctrl_c()
        assert asked.wait(LONGEST_WAIT_SECONDS)
        _press_ctrl_c()

    with _meanwhile(world, waiting_jobs=1) as when_waiting:
        when_waiting.append(press_twice)
        answer = snapview("snapshot", "web", "x")
    world.release_jobs()
    assert answer.status == 130
    assert "libvirt may still be finishing" in answer.err


# A plan that was overtaken


@pytest.mark.parametrize("as_json", [False, True])
def test_what_has_become_another_plan_is_refused_and_shown_anew(
    snapview: Terminal, world: FakeWorld, as_json: bool
) -> None:
    uuid = add_layers(world)
    world.hold_jobs()
    with _meanwhile(world, waiting_jobs=1) as when_waiting:

        def change() -> None:
            world.act(CreateSnapshot(uuid, "by virsh", kind=SnapshotKind.EXTERNAL))
            world.release_jobs()

        when_waiting.append(change)
        answer = snapview("consolidate", "layered", *(["--json"] if as_json else []))
    assert answer.status == 3
    assert "snapview: refused: The VM has changed." in answer.err
    assert "This is what would happen now:\n  1. 5 images of vda become one" in answer.err
    if as_json:
        assert answer.document["refusal"]["code"] == "plan-changed"
    assert len(world.vm(uuid).tree) == 4
    assert snapview("history", "layered", "--json").document["operations"] == []


def test_a_snapshot_without_a_name_may_get_one_with_a_later_time(
    snapview: Terminal, world: FakeWorld
) -> None:
    world.hold_jobs()
    with _meanwhile(world, waiting_jobs=1) as when_waiting:

        def pass_time() -> None:
            world.simulation.now += timedelta(seconds=5)
            world.release_jobs()

        when_waiting.append(pass_time)
        answer = snapview("snapshot", "web")
    assert answer.status == 0, answer.err
    assert "snapshot-20260301-090005" in answer.out


# What is said besides


def ends(world: FakeWorld, outcome: Outcome) -> None:
    """Let the next jobs end so, after they did their work."""
    original = world.perform

    def perform(*arguments: object) -> Outcome:
        original(*arguments)  # type: ignore[arg-type]
        return outcome

    world.perform = perform  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("as_json", [False, True])
def test_remarks_are_said(snapview: Terminal, world: FakeWorld, as_json: bool) -> None:
    ends(world, Done(frozenset({WEB}), "x", remarks=("The guest was thawed early.",)))
    answer = snapview("snapshot", "web", "x", *(["--json"] if as_json else []))
    assert answer.status == 0
    assert "snapview: The guest was thawed early.\n" in answer.err
    if as_json:
        assert answer.document["remarks"] == ["The guest was thawed early."]


def test_what_a_cancel_cost_is_said(snapview: Terminal, world: FakeWorld) -> None:
    ends(world, Cancelled(frozenset({WEB}), ("“tuned” is lost: its image is half overwritten.",)))
    answer = snapview("delete", "web", "tuned", "--json")
    assert answer.status == 130
    assert "“tuned” is lost" in answer.err
    assert "Cancelled. “web” has 7 snapshots" in answer.err
    assert answer.document["remarks"] == ["“tuned” is lost: its image is half overwritten."]


def test_an_image_that_must_not_be_written_to_has_a_way_round(
    snapview: Terminal, world: FakeWorld
) -> None:
    world.fail_next(DeleteSnapshot, ImageNotWritable("QEMU may not write.", advice="Look."))
    answer = snapview("delete", "web", "tuned")
    assert answer.status == 1
    assert "Look. --pull merges upwards" in answer.err


@pytest.mark.parametrize(
    ("actual", "line"),
    [
        (Actual(2.5, 200 << 20, 10 << 20), "Copied 0.2 GiB in 2.5 s; freed 10 MiB."),
        (Actual(2.5, 0, 10 << 20), "Freed 10 MiB."),
        (Actual(2.5, None, -(3 << 30)), "Took 3.0 GiB of the disk."),
        (Actual(2.5, None, None), ""),
        (None, ""),
    ],
)
def test_actual_figures(
    snapview: Terminal, world: FakeWorld, actual: Actual | None, line: str
) -> None:
    ends(world, Done(frozenset({WEB}), "x", actual))
    answer = snapview("snapshot", "web", "x")
    assert answer.out.splitlines()[1:] == ([line] if line else [])
