"""The worker's thread for real, with a host in memory; nothing here waits for a duration."""

import threading
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from PySide6.QtCore import QObject, Qt, Slot
from pytestqt.qtbot import QtBot

from snapview.core.errors import ConnectionLost, HostError
from snapview.core.operations import (
    Cancelled,
    ConnectionClosed,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    Failed,
    Host,
    HostEvent,
    Outcome,
    Progress,
    VmEvent,
)
from snapview.worker import PROGRESS_SECONDS, Reading, Task, Worker, read
from tests.conftest import AllowLog
from tests.fakes import FakeWorld
from tests.trees import linear_tree, make_vm, vm_uuid

WEB = vm_uuid("web")


class Witness(QObject):
    """Writes down what a worker says, in the GUI thread."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self.progress: list[tuple[object, Progress]] = []
        self.results: dict[object, object] = {}
        self.events: list[HostEvent] = []
        self.emitting_threads: set[int] = set()
        worker.progressed.connect(self._on_progressed)
        worker.ended.connect(self._on_ended)
        worker.noticed.connect(self._on_noticed)
        worker.noticed.connect(
            lambda _: self.emitting_threads.add(threading.get_ident()),
            Qt.ConnectionType.DirectConnection,
        )

    @Slot(object, object)
    def _on_progressed(self, task_id: object, progress: Progress) -> None:
        self.progress.append((task_id, progress))

    @Slot(object, object)
    def _on_ended(self, task_id: object, result: object) -> None:
        assert task_id not in self.results, "ended twice"
        self.results[task_id] = result

    @Slot(object)
    def _on_noticed(self, event: HostEvent) -> None:
        self.events.append(event)


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld(make_vm("web", linear_tree(3)), make_vm("db", linear_tree(2)))


@pytest.fixture
def worker(qtbot: QtBot, world: FakeWorld) -> Iterator[Worker]:
    worker = Worker(world.make_host, hears_events=True)
    worker.start()
    with qtbot.waitSignal(worker.ended):
        worker.submit("connect", read(lambda host: host.connect()))
    yield worker
    world.release_jobs()
    world.release_reads()
    assert worker.stop()


@pytest.fixture
def witness(worker: Worker) -> Witness:
    return Witness(worker)


def create(title: str = "one", vm: str = WEB) -> Callable[[Host], Task]:
    return lambda host: host.start(CreateSnapshot(vm, title))


def wait_for(qtbot: QtBot, witness: Witness, *ids: object) -> None:
    qtbot.waitUntil(lambda: all(each in witness.results for each in ids))


def test_an_operation_ends_with_its_outcome(
    qtbot: QtBot, world: FakeWorld, worker: Worker, witness: Witness
) -> None:
    worker.submit(1, create("before update"))
    wait_for(qtbot, witness, 1)
    result = witness.results[1]
    assert isinstance(result, Done)
    assert (result.changed, result.created) == (frozenset({WEB}), "before-update")
    assert witness.progress[0] == (1, Progress("")), "first of all: it has begun"
    assert "before-update" in world.vm(WEB).tree


def test_a_read_ends_with_a_reading(qtbot: QtBot, worker: Worker, witness: Witness) -> None:
    worker.submit(1, read(lambda host: host.read_vm(WEB).name))
    wait_for(qtbot, witness, 1)
    assert witness.results[1] == Reading("web")


def test_hosts_are_only_used_in_the_workers_own_thread(qtbot: QtBot, world: FakeWorld) -> None:
    threads: set[int] = set()

    def make_host() -> Host:
        threads.add(threading.get_ident())
        return world.make_host()

    worker = Worker(make_host)
    witness = Witness(worker)
    worker.start()
    worker.submit(1, read(lambda _: threads.add(threading.get_ident())))
    wait_for(qtbot, witness, 1)
    assert worker.stop()
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    assert world.calls["close"] == 1


def test_a_known_error_is_a_failed_outcome_without_frames(
    qtbot: QtBot, world: FakeWorld, worker: Worker, witness: Witness
) -> None:
    world.read_errors[WEB] = HostError("It is broken.")
    worker.submit(1, read(lambda host: host.read_vm(WEB)))
    wait_for(qtbot, witness, 1)
    result = witness.results[1]
    assert isinstance(result, Failed)
    assert result.error.message == "It is broken."
    assert result.error.__traceback__ is None, "frames would keep libvirt handles alive"


@pytest.mark.parametrize("where", ["make_job", "step", "read", "value"])
def test_nothing_a_task_raises_ends_the_thread(
    qtbot: QtBot,
    world: FakeWorld,
    worker: Worker,
    witness: Witness,
    allow_log: AllowLog,
    where: str,
) -> None:
    allow_log("nobody foresaw")
    match where:
        case "make_job":
            worker.submit(1, lambda _: 1 / 0)  # type: ignore[arg-type,return-value] # a bug
        case "step":
            world.fail_next(CreateSnapshot, KeyError("oops"))
            worker.submit(1, create())
        case "read":
            worker.submit(1, read(lambda _: dict[str, int]()["no"]))
        case "value":
            worker.submit(1, read(lambda _: int("x")))
    worker.submit(2, read(lambda _: "still alive"))
    wait_for(qtbot, witness, 1, 2)
    result = witness.results[1]
    assert isinstance(result, Failed)
    assert isinstance(result.error, HostError)
    assert result.error.detail, "what was raised is in the fold-out"
    assert witness.results[2] == Reading("still alive")


def test_a_host_that_cannot_be_made_fails_each_task(
    qtbot: QtBot, world: FakeWorld, allow_log: AllowLog
) -> None:
    lost = ConnectionLost("There is nobody.")

    def make_host() -> Host:
        raise lost

    worker = Worker(make_host)
    witness = Witness(worker)
    worker.start()
    worker.submit(1, read(lambda host: host.connect()))
    worker.submit(2, read(lambda host: host.connect()))
    wait_for(qtbot, witness, 1, 2)
    assert witness.results == {1: Failed(lost), 2: Failed(lost)}
    assert worker.stop()


def test_jobs_take_turns(qtbot: QtBot, world: FakeWorld, worker: Worker, witness: Witness) -> None:
    order: list[str] = []

    class Walk:
        def __init__(self, name: str, steps: int) -> None:
            self.name, self.steps = name, steps

        def step(self) -> Progress | Outcome:
            order.append(self.name)
            self.steps -= 1
            return Progress(self.name) if self.steps else Done()

        def request_cancel(self) -> None: ...

    world.hold_reads()
    worker.submit("gate", read(lambda host: host.list_vms()))
    worker.submit(1, lambda _: Walk("a", 3))
    worker.submit(2, lambda _: Walk("b", 2))
    world.release_reads()
    wait_for(qtbot, witness, 1, 2)
    assert order == ["a", "b", "a", "b", "a"]


def test_progress_is_told_ten_times_a_second(
    qtbot: QtBot, worker: Worker, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr("snapview.worker.time.monotonic", lambda: next(clock) / 100)

    class Copy:
        done = 0

        def step(self) -> Progress | Outcome:
            self.done += 1
            return Progress("copying", self.done, 1000) if self.done < 1000 else Done()

        def request_cancel(self) -> None: ...

    worker.submit(1, lambda _: Copy())
    wait_for(qtbot, witness, 1)
    told = [progress.done_bytes for _, progress in witness.progress[1:]]
    steps_between = {b - a for a, b in pairwise(told)}
    assert min(steps_between) >= PROGRESS_SECONDS * 100
    assert 90 <= len(told) <= 100


def test_a_new_phase_is_told_at_once(qtbot: QtBot, worker: Worker, witness: Witness) -> None:
    phases = iter([Progress("saving"), Progress("copying"), Progress("pivoting"), Done()])

    class Phases:
        def step(self) -> Progress | Outcome:
            return next(phases)  # type: ignore[return-value] # a mixed list

        def request_cancel(self) -> None: ...

    worker.submit(1, lambda _: Phases())
    wait_for(qtbot, witness, 1)
    assert [p.phase for _, p in witness.progress] == ["", "saving", "copying", "pivoting"]


def test_a_queued_task_is_cancelled_without_a_trace(
    qtbot: QtBot, world: FakeWorld, worker: Worker, witness: Witness
) -> None:
    world.hold_jobs()
    worker.submit(1, create("first"))
    qtbot.waitUntil(lambda: world.waiting_jobs == 1)
    worker.submit(2, create("second"))
    assert worker.cancel(2)
    assert not worker.cancel(2), "it is gone"
    world.release_jobs()
    worker.submit(3, read(lambda _: None))
    wait_for(qtbot, witness, 1, 3)
    assert 2 not in witness.results
    assert "second" not in world.vm(WEB).tree


def test_a_running_job_stops_at_its_next_safe_point(
    qtbot: QtBot, world: FakeWorld, worker: Worker, witness: Witness
) -> None:
    world.hold_jobs()
    worker.submit(1, create("first"))
    qtbot.waitUntil(lambda: world.waiting_jobs == 1)
    assert worker.is_under_way(1)
    assert not worker.cancel(1)
    world.step_jobs(1)
    wait_for(qtbot, witness, 1)
    assert witness.results[1] == Cancelled(frozenset({WEB}))
    assert not worker.is_under_way(1)
    assert "first" not in world.vm(WEB).tree


def test_a_job_cancelled_while_it_is_being_started_stops_too(
    qtbot: QtBot, world: FakeWorld, worker: Worker, witness: Witness
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def make_job(host: Host) -> Task:
        inside.set()
        assert go_on.wait(30)
        return host.start(CreateSnapshot(WEB, "late"))

    worker.submit(1, make_job)
    assert inside.wait(30)
    assert not worker.cancel(1)
    go_on.set()
    wait_for(qtbot, witness, 1)
    assert isinstance(witness.results[1], Cancelled)
    assert "late" not in world.vm(WEB).tree


def test_events_arrive_once_and_from_the_workers_thread(
    qtbot: QtBot, world: FakeWorld, worker: Worker, witness: Witness
) -> None:
    world.hold_reads()
    worker.submit(1, read(lambda host: host.list_vms()))
    qtbot.waitUntil(lambda: world.waiting_reads == 1)
    for _ in range(100):
        world.tell(VmEvent(WEB))
        world.tell(VmEvent(vm_uuid("db")))
    world.release_reads()
    wait_for(qtbot, witness, 1)
    worker.submit(2, read(lambda _: None))
    wait_for(qtbot, witness, 2)
    assert witness.events == [VmEvent(WEB), VmEvent(vm_uuid("db"))]
    assert len(witness.emitting_threads) == 1
    assert threading.get_ident() not in witness.emitting_threads


def test_the_end_of_the_daemon_is_noticed(
    qtbot: QtBot, world: FakeWorld, worker: Worker, witness: Witness
) -> None:
    world.go_down()
    qtbot.waitUntil(lambda: len(witness.events) == 1)
    assert isinstance(witness.events[0], ConnectionClosed)


def test_stop_cancels_what_is_queued_and_what_runs(
    qtbot: QtBot, world: FakeWorld, worker: Worker, witness: Witness
) -> None:
    world.hold_jobs()
    worker.submit(1, create("running"))
    qtbot.waitUntil(lambda: world.waiting_jobs == 1)
    worker.submit(2, create("queued"))
    worker.submit(3, lambda host: host.start(DeleteSnapshot(WEB, ("s0",))))
    worker.request_stop()
    world.release_jobs()
    assert worker.stop()
    wait_for(qtbot, witness, 1, 2, 3)
    assert all(isinstance(result, Cancelled) for result in witness.results.values())
    assert world.calls["start"] == 1
    assert world.calls["close"] == 1
    assert "s0" in world.vm(WEB).tree


def test_after_the_stop_nothing_is_taken(qtbot: QtBot, worker: Worker, witness: Witness) -> None:
    assert worker.stop()
    worker.submit(1, read(lambda _: None))
    worker.post(VmEvent(WEB))
    assert worker.stop(), "again, and nothing happens"
    assert witness.results == {}


def test_stop_says_when_a_thread_hangs(qtbot: QtBot, world: FakeWorld, worker: Worker) -> None:
    world.hold_reads()
    worker.submit(1, read(lambda host: host.list_vms()))
    qtbot.waitUntil(lambda: world.waiting_reads == 1)
    assert not worker.stop(patience_ms=1)
    world.release_reads()
    assert worker.stop()


def test_many_tasks_from_many_threads_each_end_once(
    qtbot: QtBot, worker: Worker, witness: Witness
) -> None:
    def submit_some(start: int) -> None:
        for number in range(start, start + 250):
            worker.submit(number, read(lambda _, n=number: n))  # type: ignore[misc] # binds now

    threads = [threading.Thread(target=submit_some, args=(n * 250,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    qtbot.waitUntil(lambda: len(witness.results) == 1000)
    assert witness.results == {n: Reading(n) for n in range(1000)}
