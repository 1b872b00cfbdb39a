"""Somebody else at work on the same VM: another snapview, virsh, or nobody, as the line is cut.

No tree is wrong in the end, nothing that was done is lost, and what fails says why.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import quote

import pytest

from snapview.core.errors import Conflict, ConnectionLost, PlanChanged
from snapview.core.operations import (
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    EditDescription,
    Failed,
    Job,
    Operation,
    Outcome,
    Progress,
    Recover,
    RevertSnapshot,
)
from snapview.core.planning import Plan, Refusal, RefusalCode, plan
from snapview.core.vm import SnapshotKind, Vm
from snapview.virt.host import LibvirtHost
from snapview.virt.job import run
from tests.journals import new_journal
from tests.lab import Lab
from tests.virt.machine import FIRST_CHUNK, Machine, State
from tests.virt.outcomes import failure, take

EXTERNAL, INTERNAL = SnapshotKind.EXTERNAL, SnapshotKind.INTERNAL
PART = 24  # chunks: what each layer holds, 1.5 MiB
SLOW = 256 << 10  # bytes per second
ROUNDS = 12  # in which snapview and virsh get in each other's way


@pytest.fixture
def machine(lab: Lab) -> Iterator[Machine]:
    made = Machine(lab)
    yield made
    made.close()


def line(machine: Machine, *names: str) -> None:
    """External snapshots; each layer holds data of its own."""
    for number, name in enumerate(names):
        write_part(machine, number)
        take(machine, name)
    write_part(machine, len(names))


def write_part(machine: Machine, number: int) -> None:
    start = FIRST_CHUNK + number % 3 * PART
    machine.write_all("vda", range(start, start + PART), number + 1)


def host_at(address: str) -> LibvirtHost:
    """Another snapview, as of another account: no journal tells these of each other."""
    host = LibvirtHost(address, new_journal())
    host.connect()
    return host


@contextmanager
def two_hosts(machine: Machine) -> Iterator[list[LibvirtHost]]:
    # A workbench belongs to an account at an address; the second address leads to the same daemon.
    uri = machine.lab.uri
    with ExitStack() as opened:
        hosts = [host_at(address) for address in (uri, uri.replace("/run/", "//run/"))]
        for host in hosts:
            opened.callback(host.close)
        yield hosts


def planned(vm: Vm, host: LibvirtHost, operation: Operation) -> Plan | Refusal:
    return plan(vm.with_storage(host.read_storage(vm.uuid)), operation)


def to_the_end(job: Job) -> Outcome:
    return run(job, lambda _progress: None)


# The line is cut


class Line:
    """A way to libvirt's socket that can be cut, and mended."""

    def __init__(self, lab: Lab) -> None:
        self._socket = str(lab.daemon.folder / "run" / "libvirt" / "libvirt-sock")
        self._path = lab.daemon.folder / "line"
        self._ends: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.uri = f"qemu+unix:///session?socket={quote(str(self._path))}"

    def mend(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        for end in (self._listener, *self._ends):
            if end is not None:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._ends.clear()
        self._path.unlink(missing_ok=True)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._socket)
                self._ends += [near, far]
                for source, target in ((near, far), (far, near)):
                    ends = (source, target)
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def way(lab: Lab) -> Iterator[Line]:
    made = Line(lab)
    made.mend()
    yield made
    made.cut()


@pytest.mark.parametrize("name", ["two", "three"])
def test_a_line_cut_during_a_merge_leaves_it_to_be_finished(
    machine: Machine, way: Line, name: str
) -> None:
    line(machine, "one", "two", "three")
    uuid = machine.vm.uuid
    host = host_at(way.uri)
    job = host.start(DeleteSnapshot(uuid, (name,), bandwidth_bytes_per_second=SLOW))
    while "Commit" not in machine.lab.virsh("blockjob", machine.vm.name, "vda", "--raw"):
        assert isinstance(step := job.step(), Progress), step
    way.cut()
    error = failure(to_the_end(job))
    assert isinstance(error, ConnectionLost)
    assert "lost" in error.message
    assert "again" in error.advice
    with pytest.raises(ConnectionLost):
        host.read_vm(uuid)

    way.mend()
    host.connect()
    vm = host.read_vm(uuid)
    assert [job.disk for job in vm.block_jobs] == ["vda"], "the job that goes on is not shown"
    found = vm.interruption
    assert found is not None
    assert not found.is_alive
    assert f"“{name}”" in found.what
    assert found.finish
    for operation in (Consolidate(uuid), CreateSnapshot(uuid, "x", "", EXTERNAL, memory=False)):
        refusal = planned(vm, host, operation)
        assert isinstance(refusal, Refusal)
        assert refusal.code is RefusalCode.INTERRUPTED
    host.limit(uuid, 0)
    outcome = to_the_end(host.start(Recover(uuid, found.id, finish=True)))
    assert isinstance(outcome, Done), outcome
    host.close()
    machine.lost(name)
    machine.check()


# Another snapview


def test_two_deletes_of_the_same_snapshot_however_they_fall_together(machine: Machine) -> None:
    """The second begins after any number of steps of the first, and overtakes it."""
    names = [f"s{number}" for number in range(8)]
    line(machine, *names)
    with two_hosts(machine) as (first, second):
        for number, name in enumerate(names):
            operation = DeleteSnapshot(machine.vm.uuid, (name,))
            job, steps = first.start(operation), 0
            outcome: Progress | Outcome | None = None
            while steps < number and not isinstance(outcome := job.step(), Done | Failed):
                steps += 1
            other = to_the_end(second.start(operation))
            ours = to_the_end(job) if not isinstance(outcome, Done | Failed) else outcome
            deleted_once(ours, other)
            machine.lost(name)
            check_whole(machine)
        for host in (first, second):
            assert host.read_vm(machine.vm.uuid).interruption is None


@pytest.mark.parametrize("power", ["running", "off"])
def test_two_deletes_of_the_same_snapshot_at_once(machine: Machine, power: str) -> None:
    line(machine, "one", "two", "three")
    machine.switch(power)
    with two_hosts(machine) as hosts:
        for name in ("two", "three", "one"):
            outcomes = at_once(hosts, DeleteSnapshot(machine.vm.uuid, (name,)))
            deleted_once(*outcomes)
            machine.lost(name)
            check_whole(machine)


def check_whole(machine: Machine) -> None:
    """See that nothing is lost; an image that neither of two dared to remove may be left over."""
    parents = {name: state.parent for name, state in machine.states.items()}
    assert machine.vm.tree() == machine.vm.other.parents() == parents
    machine.check_whole(frozenset())


def at_once(hosts: list[LibvirtHost], operation: Operation) -> list[Outcome]:
    start, outcomes = threading.Barrier(len(hosts)), list[Outcome]()

    def work(host: LibvirtHost) -> None:
        start.wait()
        outcomes.append(to_the_end(host.start(operation)))

    threads = [threading.Thread(target=work, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == len(hosts)
    return outcomes


def deleted_once(*outcomes: Outcome) -> None:
    """One has done it; another one may have helped, else it says why it could not."""
    why = [failure(each).message for each in outcomes if not isinstance(each, Done)]
    assert len(why) < len(outcomes), why


# virsh


@pytest.mark.parametrize("kind", [INTERNAL, EXTERNAL])
def test_virsh_takes_and_deletes_while_snapview_works(machine: Machine, kind: SnapshotKind) -> None:
    """All states hold the same data here, so that each can be checked whoever was quicker."""
    machine.write_all("vda", range(FIRST_CHUNK, FIRST_CHUNK + PART), 1)
    take(machine, "kept", kind)
    is_over = threading.Event()
    thread = threading.Thread(target=meddle, args=(machine, kind, is_over))
    thread.start()
    said = {"kept": ""}
    rounds: list[str] = []
    outcomes: list[Outcome] = []

    def do(operation: Operation) -> bool:
        outcome = machine.vm.do(operation)
        outcomes.append(outcome)
        found = machine.vm.vm().interruption
        if found is not None:  # as the user is offered it
            machine.vm.do(Recover(machine.vm.uuid, found.id, finish=True))
        return isinstance(outcome, Done)

    uuid = machine.vm.uuid
    with_memory = kind is INTERNAL
    try:
        for number in range(ROUNDS):
            name = f"s{number}"
            if do(CreateSnapshot(uuid, name, f"text {number}", kind, with_memory)):
                said[name] = f"text {number}"
            rounds.append(f"round {number}")
            if do(EditDescription(uuid, "kept", "kept", rounds[-1])):
                rounds = rounds[-1:]  # what failed may have been done all the same
            if number % 4 == 2:
                do(RevertSnapshot(uuid, "kept", safety_snapshot=False))
            if number % 2:
                do(DeleteSnapshot(uuid, (f"s{number - 1}",)))
                said.pop(f"s{number - 1}", None)
    finally:
        is_over.set()
        thread.join()
    why = [failure(outcome).message for outcome in outcomes if not isinstance(outcome, Done)]
    assert len(outcomes) - len(why) > ROUNDS, why
    found = machine.vm.vm().interruption
    if found is not None:
        machine.vm.done(Recover(machine.vm.uuid, found.id, finish=True))
    vm = machine.vm.vm()
    assert set(said) <= set(machine.vm.tree()), why
    for name, text in said.items():
        assert text in vm.tree[name].description, "a description is lost"
    assert vm.tree["kept"].description.splitlines()[0] in rounds, "a description is lost"
    take_note(machine, kind)
    assert machine.vm.tree() == machine.vm.other.parents()
    assert vm.tree.current == machine.current
    # An overlay that one makes while the other leaves what it lies on is in nobody's plan: such
    # files may be left over, which is why the whole check is not made.
    machine.check_whole(frozenset())


def take_note(machine: Machine, kind: SnapshotKind) -> None:
    """Take over what virsh says is there; the data are the same everywhere."""
    state = machine.lab.virsh("domstate", machine.vm.name).strip()
    machine.power = "off" if state == "shut off" else state
    machine.current = machine.vm.other.current()
    machine.states = {
        name: State({"vda": dict(machine.live["vda"])}, parent, kind)
        for name, parent in machine.vm.other.parents().items()
    }


def meddle(machine: Machine, kind: SnapshotKind, is_over: threading.Event) -> None:
    """Take and delete snapshots with virsh; that may fail while snapview is at work."""
    how = ["--disk-only", "--atomic"] if kind is EXTERNAL else []
    number = 0
    while not is_over.wait(0.2):
        number += 1
        name = f"v{number}"
        machine.lab.virsh("snapshot-create-as", machine.vm.name, name, *how, check=False)
        is_over.wait(0.2)
        machine.lab.virsh("snapshot-delete", machine.vm.name, name, check=False)


# A plan that has become stale


def test_a_stale_plan_is_not_carried_out(machine: Machine) -> None:
    line(machine, "one", "two")
    uuid, lab = machine.vm.uuid, machine.lab
    host = machine.vm.host
    operations: list[Operation] = [
        DeleteSnapshot(uuid, ("one",), subtree=True),
        RevertSnapshot(uuid, "one", safety_snapshot=False),
        Consolidate(uuid),
    ]
    agreed = [plan_now(machine, operation).gist for operation in operations]
    lab.virsh("snapshot-create-as", machine.vm.name, "three", "--disk-only", "--atomic")
    machine.took("three", EXTERNAL)
    for operation, old in zip(operations, agreed, strict=True):
        error = failure(to_the_end(host.start(operation, old)))
        assert isinstance(error, PlanChanged)
        assert plan_now(machine, operation).gist != old
        machine.check()
    for operation in operations[:1]:
        done = to_the_end(host.start(operation, plan_now(machine, operation).gist))
        assert isinstance(done, Done), done
    for name in ("one", "two", "three"):
        machine.lost(name)
    machine.check()


def test_a_plan_for_what_is_gone_is_not_carried_out(machine: Machine) -> None:
    line(machine, "one", "two")
    operation = DeleteSnapshot(machine.vm.uuid, ("one", "two"))
    old = plan_now(machine, operation).gist
    virsh_forgets(machine, "two")
    error = failure(to_the_end(machine.vm.host.start(operation, old)))
    assert isinstance(error, Conflict)
    assert "“two”" in error.message
    machine.check()


def plan_now(machine: Machine, operation: Operation) -> Plan:
    host = machine.vm.host
    vm = machine.vm.vm()
    made = plan(vm.with_storage(host.read_storage(vm.uuid)), operation)
    assert isinstance(made, Plan), made
    return made


def virsh_forgets(machine: Machine, name: str) -> None:
    machine.lab.virsh("snapshot-delete", machine.vm.name, name, "--metadata")
    machine.lost(name)
