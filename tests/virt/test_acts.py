"""Carrying out plans: planned anew, verified afterwards, and told with its figures."""

from dataclasses import replace

import pytest

from snapview.core.errors import Conflict, HostError, PlanChanged
from snapview.core.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    EndBlockJob,
    Progress,
    Recover,
    RevertSnapshot,
)
from snapview.core.planning import Plan, plan
from snapview.core.under_way import BlockJob
from snapview.core.vm import SnapshotKind
from snapview.virt.job import run
from tests.virt.memory_libvirt import UUID, MemoryLibvirt, path_of
from tests.virt.operating import (
    SCENARIOS,
    Before,
    Scenario,
    branches,
    check_done,
    do,
    failure,
    job_of,
    line,
)
from tests.virt.ports import READS, MemoryPort

DROP = DeleteSnapshot(UUID, ("two",))
TAKE = CreateSnapshot(UUID, "new one", "words", SnapshotKind.EXTERNAL, memory=False)


def scenario_of(label: str) -> Scenario:
    return next(each for each in SCENARIOS if each.label == label)


def agreed_on(libvirt: MemoryLibvirt, operation: DeleteSnapshot | CreateSnapshot) -> object:
    planned = plan(libvirt.vm().with_storage(libvirt.storage()), operation)
    assert isinstance(planned, Plan)
    return planned.gist


# Doing it


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_what_was_planned_is_done_and_nothing_else(scenario: Scenario) -> None:
    port = MemoryPort(scenario.make())
    before = Before.of(port.libvirt)
    job = job_of(port, scenario.operation)
    assert port.calls == []
    outcome = run(job, lambda _: None)
    assert isinstance(outcome, Done), outcome
    assert outcome.changed == {UUID}
    check_done(port.libvirt, before, scenario)
    assert port.journal.entries == {}, "the journal was not settled"
    made = set(port.libvirt.records) - before.names
    assert made == ({outcome.created} if outcome.created else set())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_everything_is_written_down_before_it_is_done(scenario: Scenario) -> None:
    """At each call that changes something a move is begun that is not done yet."""
    port = MemoryPort(scenario.make())
    job = job_of(port, scenario.operation)
    doubtful: list[bool] = []
    original = port.call

    def watched(name: str, act: object, lie: object) -> object:
        if name not in READS:
            entry = port.journal.entries.get(UUID)
            doubtful.append(bool(entry and entry.begun and not entry.begun[-1].is_done))
        return original(name, act, lie)  # type: ignore[arg-type]

    port.call = watched  # type: ignore[method-assign,assignment]
    run(job, lambda _: None)
    assert doubtful
    assert all(doubtful)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_what_it_freed_is_measured(scenario: Scenario) -> None:
    port = MemoryPort(scenario.make())
    before = _allocated(port.libvirt)
    outcome = do(port, scenario.operation)
    assert isinstance(outcome, Done)
    assert outcome.actual is not None
    assert outcome.actual.freed_bytes == before - _allocated(port.libvirt)
    assert outcome.actual.seconds > 0


def _allocated(libvirt: MemoryLibvirt) -> int:
    images = libvirt.storage().images.values()
    return sum(image.allocation_bytes or 0 for image in images)


def test_what_it_copied_is_what_was_in_the_images_merged_away() -> None:
    port = MemoryPort(line())
    merged = port.libvirt.storage().images["/images/vda.two.qcow2"].allocation_bytes
    outcome = do(port, DROP)
    assert isinstance(outcome, Done)
    assert outcome.actual is not None
    assert outcome.actual.copied_bytes == merged


def test_without_storage_nothing_is_claimed_of_it() -> None:
    port = MemoryPort(line())
    port.changes = lambda vm: replace(
        vm, capabilities=replace(vm.capabilities, driver="TEST", touches_disks=False)
    )
    take = replace(TAKE, kind=SnapshotKind.INTERNAL, mix=True)
    outcome = do(port, take)
    assert isinstance(outcome, Done), outcome
    assert "storage" not in port.calls
    assert outcome.actual is not None
    assert outcome.actual.freed_bytes is None


def test_progress_is_told_before_each_piece_of_work_and_counts_bytes() -> None:
    port = MemoryPort(line(on=True))
    seen: list[Progress] = []
    run(job_of(port, DROP), seen.append)
    phases = list(dict.fromkeys(progress.phase for progress in seen))
    assert phases == [
        "Merging vda",
        "Updating libvirt's records",
        "Removing vda.two.qcow2",
        "Deleting “two”",
    ]
    counted = [progress for progress in seen if progress.total_bytes is not None]
    assert len({progress.total_bytes for progress in counted}) == 1
    done = [progress.done_bytes for progress in counted]
    assert done == sorted(done)
    assert 0 < done[-1] <= (counted[-1].total_bytes or 0)


# Plans that are stale


def test_a_plan_that_is_still_the_same_is_carried_out() -> None:
    port = MemoryPort(line())
    assert isinstance(do(port, DROP, agreed_on(port.libvirt, DROP)), Done)


def test_a_plan_that_has_changed_is_not_carried_out() -> None:
    port = MemoryPort(line())
    gist = agreed_on(port.libvirt, DROP)
    port.libvirt.take("theirs")
    port.libvirt.forget("three")
    port.libvirt.forget("theirs")
    before = Before.of(port.libvirt)
    error = failure(port, DeleteSnapshot(UUID, ("one",)), gist)
    assert isinstance(error, PlanChanged)
    assert error.advice
    assert port.acts == []
    assert Before.of(port.libvirt) == before
    assert port.journal.entries == {}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_what_has_become_impossible_since_is_refused_and_nothing_is_done(
    scenario: Scenario,
) -> None:
    port = MemoryPort(scenario.make())
    port.changes = lambda vm: replace(vm, block_jobs=(BlockJob("vda"),))
    if scenario.label == "describe":
        assert isinstance(do(port, scenario.operation), Done)
        return
    error = failure(port, scenario.operation)
    assert isinstance(error, Conflict)
    assert "block job" in error.message
    assert error.advice
    assert port.acts == []


@pytest.mark.parametrize("operation", [DROP, RevertSnapshot(UUID, "two")], ids=str)
def test_a_snapshot_that_is_gone_since_is_refused(
    operation: DeleteSnapshot | RevertSnapshot,
) -> None:
    port = MemoryPort(line())
    job = job_of(port, operation)
    port.libvirt.forget("two")
    outcome = run(job, lambda _: None)
    assert "has no snapshot called" in str(getattr(outcome, "error", outcome))
    assert port.acts == []


def test_two_deletes_of_the_same_snapshot() -> None:
    port = MemoryPort(line())
    first, second = job_of(port, DROP), job_of(port, DROP)
    assert isinstance(first.step(), Progress)
    outcome = run(second, lambda _: None)
    assert "at work" in str(getattr(outcome, "error", outcome))
    assert isinstance(run(first, lambda _: None), Done)


# libvirt says done, and it is not so


@pytest.mark.parametrize(
    ("label", "lie", "words"),
    [
        ("take off", "create", "is not there"),
        ("describe", "redefine", "not what was asked for"),
        ("revert by libvirt", "revert", "does not stand on it"),
        ("delete internal", "delete", "is still there"),
        ("own revert off", "overlay", "does not lie on"),
        ("own revert off", "define", "does not name the images"),
        ("own revert off", "redefine", "does not stand on"),
        ("own revert on", "stop", "still on"),
        ("own revert on", "start", "is off"),
        ("own revert with memory", "restore", "is off"),
        ("delete the middle, off", "redefine", "the record of"),
        ("delete the middle, off", "forget", "is still there"),
        ("delete the middle, off", "remove", "is still there"),
        ("delete the middle, off", "commit", "broke off"),
        ("delete the current, on", "pivot", "vda"),
        ("delete by copying up", "pull", "broke off"),
    ],
)
def test_success_without_effect_is_a_failure(label: str, lie: str, words: str) -> None:
    scenario = scenario_of(label)
    error = failure(MemoryPort(scenario.make(), lies={lie}), scenario.operation)
    assert isinstance(error, HostError)
    assert words in error.message
    assert error.advice


@pytest.mark.parametrize(("label", "call"), [("revert by libvirt", "revert")])
def test_other_snapshots_that_vanish_are_noticed(label: str, call: str) -> None:
    scenario = scenario_of(label)
    port = MemoryPort(scenario.make())
    port.before[call] = lambda: port.libvirt.forget("two")
    assert "snapshots are gone: two" in failure(port, scenario.operation).message


def test_a_job_that_somebody_else_began_right_before_is_left_alone() -> None:
    port = MemoryPort(line(on=True))
    before = Before.of(port.libvirt)

    def theirs() -> None:
        qemu = port.libvirt.qemu
        assert qemu is not None
        qemu.commit("vda", path_of("vda.two.qcow2"), path_of("vda.one.qcow2"), 0)

    port.before["commit"] = theirs
    assert isinstance(failure(port, DROP), Conflict)
    assert port.libvirt.qemu is not None
    assert "vda" in port.libvirt.qemu.jobs, "their job was aborted"
    assert set(port.libvirt.records) == before.names


def test_after_somebody_else_has_deleted_it_too_no_record_is_put_right_by_an_old_plan() -> None:
    port = MemoryPort(line(on=True))
    records = dict(port.libvirt.records)
    port.before["names"] = lambda: port.libvirt.forget("two")
    error = failure(port, DROP)
    assert isinstance(error, Conflict)
    assert "Somebody else has deleted “two”" in error.message
    assert port.libvirt.records["three"].count("vda.two") == records["three"].count("vda.two")


def test_a_snapshot_taken_by_somebody_else_meanwhile_stays() -> None:
    port = MemoryPort(line(on=True))
    port.before["forget"] = lambda: port.libvirt.take("theirs")
    live = port.libvirt.live()
    assert isinstance(do(port, DROP), Done)
    assert set(port.libvirt.records) == {"one", "three", "theirs"}
    assert port.libvirt.live() == live


# Jobs found running


def test_a_job_found_running_is_aborted() -> None:
    port = MemoryPort(line(on=True))
    assert port.libvirt.qemu is not None
    port.libvirt.qemu.commit("vda", "/images/vda.three.qcow2", "/images/vda.two.qcow2", 0)
    live = port.libvirt.live()
    assert isinstance(do(port, EndBlockJob(UUID, "vda", finish=False)), Done)
    assert port.libvirt.qemu.jobs == {}
    assert port.libvirt.live() == live
    assert port.libvirt.active("vda") == "/images/vda.three.qcow2"


def test_a_job_found_ready_is_finished() -> None:
    port = MemoryPort(line(on=True))
    assert port.libvirt.qemu is not None
    port.libvirt.qemu.commit("vda", "/images/vda.three.qcow2", "/images/vda.two.qcow2", 0)
    job = None
    while job is None or not job.is_ready:
        job = port.libvirt.qemu.look("vda")
    port.changes = lambda vm: replace(vm, block_jobs=(job,))
    live = port.libvirt.live()
    assert isinstance(do(port, EndBlockJob(UUID, "vda", finish=True)), Done)
    assert port.libvirt.qemu.jobs == {}
    assert port.libvirt.live() == live
    assert port.libvirt.active("vda") == "/images/vda.two.qcow2"


# Recovering


def test_what_nobody_knows_of_cannot_be_recovered() -> None:
    port = MemoryPort(branches())
    error = failure(port, Recover(UUID, "7", finish=True))
    assert "left unfinished" in error.message
    assert port.acts == []
