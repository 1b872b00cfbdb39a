"""An honest stand-in for libvirt: ``FakeWorld`` is a host, each ``FakeHost`` a connection to it.

Operations really change chains, trees and the current snapshot, so that a wrong one shows. What
tests need on top: jobs that wait for the crank, failures with and without after-effects, a daemon
that goes away, reads that hang, and another client's changes (`tests.trees` makes the VMs).
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from snapview.core.errors import (
    Conflict,
    ConnectionLost,
    HostError,
    NotFound,
    PlanChanged,
    SnapviewError,
)
from snapview.core.journal import Entry
from snapview.core.operations import (
    Actual,
    Cancelled,
    ConnectionClosed,
    Done,
    Failed,
    HostEvent,
    Job,
    Operation,
    Outcome,
    Progress,
    VmEvent,
)
from snapview.core.planning import Plan, Refusal
from snapview.core.storage import Storage
from snapview.core.under_way import BlockJob
from snapview.core.vm import (
    HostCapabilities,
    SnapshotDetail,
    Vm,
    VmSummary,
)
from tests.simulation import COPY_BYTES_PER_SECOND, Simulation

CAPABILITIES = HostCapabilities("QEMU", (11, 3, 0), (10, 0, 2), reverts_external=True)
LONGEST_WAIT_SECONDS = 60  # a test that forgets the crank fails instead of hanging
STEPS = 4  # of each job; the last one does the work
STEP_BYTES = 1 << 20


@dataclass(slots=True)
class Fault:
    """What the next operation of a type meets. ``changes``: it took effect all the same."""

    error: Exception
    changes: bool = False


class FakeWorld:
    """One libvirt host with its VMs; any thread may use it."""

    def __init__(self, *vms: Vm, capabilities: HostCapabilities = CAPABILITIES) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.capabilities = capabilities
        self.simulation = Simulation()
        self.is_up = True
        self.boot = 0  # counts restarts of the daemon; older connections are dead
        self.connect_error: SnapviewError | None = None
        self.read_errors: dict[str, Exception] = {}  # by VM
        self.faults: dict[type[Operation], list[Fault]] = {}
        self.calls: Counter[str] = Counter()
        self.aborted: set[str] = set()
        self.samples: dict[str, Progress] = {}
        self.limits: dict[str, int] = {}  # bytes per second, by VM
        self.waiting_jobs = 0  # jobs that wait for the crank right now
        self.waiting_reads = 0
        self.hosts: list[FakeHost] = []  # every connection ever made
        self.subscribers: list[tuple[FakeHost, Callable[[HostEvent], None]]] = []
        self._permits: int | None = None  # None: jobs run freely
        self._reads_held = False
        for vm in vms:
            self.define(vm)

    # -- what tests do to it

    def make_host(self, uri: str = "fake:///one") -> "FakeHost":
        """Return one more connection to this world."""
        host = FakeHost(self, uri)
        with self.changed:
            self.hosts.append(host)
        return host

    def vm(self, uuid: str) -> Vm:
        """Return the truth about a VM."""
        with self.changed:
            return self.simulation.require(uuid)

    def define(self, vm: Vm) -> None:
        """Add a VM, or replace it, as another client would; tells the subscribers."""
        with self.changed:
            self.simulation.define(replace(vm, capabilities=self.capabilities))
        self.tell(VmEvent(vm.uuid))

    def undefine(self, uuid: str) -> None:
        """Remove a VM, as another client would; tells the subscribers."""
        with self.changed:
            del self.simulation.vms[uuid]
        self.tell(VmEvent(uuid))

    def act(self, operation: Operation) -> Outcome:
        """Let another client do an operation. libvirt tells nobody about snapshots, nor do we."""
        with self.changed:
            return Done(frozenset({operation.vm_uuid}), self.simulation.apply(operation))

    def interrupt(self, operation: Operation, done: int, *, in_doubt: bool = True) -> Entry:
        """Do the first moves of an operation and die, perhaps in the middle of one more."""
        with self.changed:
            return self.simulation.interrupt(operation, done, in_doubt=in_doubt)

    def plant_job(self, uuid: str, job: BlockJob) -> None:
        """Let a block job run on a VM, as another program or an earlier run began it."""
        with self.changed:
            vm = self.simulation.require(uuid)
            self.simulation.put(replace(vm, block_jobs=(*vm.block_jobs, job)))

    def tell(self, event: HostEvent) -> None:
        """Send an event to every live subscriber, from a thread of the world's own."""
        with self.changed:
            callbacks = [callback for host, callback in self.subscribers if host.is_alive]
        self._deliver(event, callbacks)

    def _deliver(self, event: HostEvent, callbacks: list[Callable[[HostEvent], None]]) -> None:
        def run() -> None:
            for callback in callbacks:
                callback(event)

        thread = threading.Thread(target=run, name="fake-libvirt-events")
        thread.start()
        thread.join()

    def fail_next(self, kind: type[Operation], error: Exception, *, changes: bool = False) -> None:
        """Let the next operation of that type fail; one that is no SnapviewError is raised."""
        with self.changed:
            self.faults.setdefault(kind, []).append(Fault(error, changes))

    def hold_jobs(self) -> None:
        """From now on each step of a job waits for ``step_jobs``."""
        with self.changed:
            self._permits = 0

    def step_jobs(self, steps: int = 1) -> None:
        """Let so many steps happen."""
        with self.changed:
            assert self._permits is not None, "hold_jobs first"
            self._permits += steps
            self.changed.notify_all()

    def release_jobs(self) -> None:
        """Let all jobs run freely again."""
        with self.changed:
            self._permits = None
            self.changed.notify_all()

    def hold_reads(self) -> None:
        """From now on whatever reads or connects hangs, until ``release_reads``."""
        with self.changed:
            self._reads_held = True

    def release_reads(self) -> None:
        """Let reads go on."""
        with self.changed:
            self._reads_held = False
            self.changed.notify_all()

    def go_down(self) -> None:
        """Kill the daemon: connections break, jobs fail, the subscribers are told."""
        with self.changed:
            callbacks = [callback for host, callback in self.subscribers if host.is_alive]
            self.is_up = False
            self.boot += 1
            self.changed.notify_all()
        self._deliver(ConnectionClosed("The daemon was killed."), callbacks)

    def come_up(self) -> None:
        """Start the daemon again; connections have to be opened anew."""
        with self.changed:
            self.is_up = True

    # -- what connections do to it

    def pass_read_gate(self, method: str) -> None:
        """Count the call; wait while reads are held."""
        with self.changed:
            self.calls[method] += 1
            self.waiting_reads += 1
            released = self.changed.wait_for(lambda: not self._reads_held, LONGEST_WAIT_SECONDS)
            self.waiting_reads -= 1
        assert released, f"nobody released the read in {method}"

    def pass_job_gate(self, job: "FakeJob") -> None:
        """Wait for a turn of the crank; an abort or a killed daemon lets the job out too."""
        with self.changed:
            self.waiting_jobs += 1
            self.changed.notify_all()
            turned = self.changed.wait_for(
                lambda: self._permits != 0 or job.is_broken, LONGEST_WAIT_SECONDS
            )
            self.waiting_jobs -= 1
            if self._permits and not job.is_broken:
                self._permits -= 1
        assert turned, "nobody turned the crank"

    def summaries(self) -> tuple[VmSummary, ...]:
        with self.changed:
            vms = sorted(self.simulation.vms.values(), key=lambda vm: vm.name)
            return tuple(
                VmSummary(vm.uuid, vm.name, vm.run_state, len(vm.tree), vm.title) for vm in vms
            )

    def read(self, uuid: str) -> Vm:
        with self.changed:
            if uuid in self.read_errors:
                raise self.read_errors[uuid]
            return replace(self.simulation.require(uuid), read_at=self.simulation.now)

    def fingerprint(self, uuid: str) -> str:
        with self.changed:
            vm = self.simulation.require(uuid)
            return f"{self.simulation.versions[uuid]} {vm.run_state.value} {vm.tree.current}"

    def storage(self, uuid: str) -> Storage:
        with self.changed:
            self.simulation.require(uuid)
            return self.simulation.storage(uuid)

    def perform(self, operation: Operation, agreed: object = None) -> Outcome:
        """Do an operation as planned, or meet the fault that lies in wait for it."""
        changed = frozenset({operation.vm_uuid})
        with self.changed:
            faults = self.faults.get(type(operation), [])
            fault = faults.pop(0) if faults else None
            try:
                made = self.simulation.planned(operation)
                if isinstance(made, Refusal):
                    return Failed(Conflict(made.reason, advice=made.advice), changed)
                if agreed is not None and made.gist != agreed:
                    error = PlanChanged("The VM has changed.", advice="Look at the plan again.")
                    return Failed(error, changed)
                if fault is None:
                    return self._done(made)
                if fault.changes:
                    self.simulation.carry_out(made)
            except SnapviewError as met:
                return Failed(met, changed)
        if not isinstance(fault.error, SnapviewError):
            raise fault.error
        return Failed(fault.error, changed)

    def _done(self, made: Plan) -> Done:
        before = self._allocated_bytes()
        created = self.simulation.carry_out(made)
        copied = self.simulation.copied_bytes
        seconds = copied / COPY_BYTES_PER_SECOND
        actual = Actual(seconds, copied, before - self._allocated_bytes())
        return Done(frozenset({made.operation.vm_uuid}), created, actual)

    def _allocated_bytes(self) -> int:
        return sum(file.allocation_bytes or 0 for file in self.simulation.files.values())


class FakeJob:
    """An operation under way, in ``STEPS`` steps of which the last one does it."""

    def __init__(self, host: "FakeHost", operation: Operation, agreed: object) -> None:
        self._host = host
        self._operation = operation
        self._agreed = agreed
        self._steps_done = 0
        self._cancel_requested = threading.Event()

    @property
    def is_broken(self) -> bool:
        """Whether an abort or the end of the daemon ended the call inside libvirt."""
        return self._operation.vm_uuid in self._host.world.aborted or not self._host.is_alive

    def request_cancel(self) -> None:
        """As with libvirt, a step that blocks goes on blocking: only an abort frees it."""
        self._cancel_requested.set()

    def step(self) -> Progress | Outcome:
        world, uuid = self._host.world, self._operation.vm_uuid
        if self._cancel_requested.is_set():
            return Cancelled(frozenset({uuid}))
        world.pass_job_gate(self)
        with world.changed:
            if not self._host.is_alive:
                lost = ConnectionLost("The connection broke while the job ran.")
                return Failed(lost, frozenset({uuid}))
            if uuid in world.aborted:
                world.aborted.discard(uuid)
                if self._cancel_requested.is_set():
                    return Cancelled(frozenset({uuid}))
                return Failed(HostError("Somebody else aborted the job."), frozenset({uuid}))
        self._steps_done += 1
        if self._steps_done < STEPS:
            return Progress("copying", self._steps_done * STEP_BYTES, STEPS * STEP_BYTES)
        return world.perform(self._operation, self._agreed)


class FakeHost:
    """A connection to a ``FakeWorld``; what ``LibvirtHost`` is to a libvirt host."""

    def __init__(self, world: FakeWorld, uri: str) -> None:
        self.world = world
        self._uri = uri
        self._boot: int | None = None  # None: not connected

    @property
    def uri(self) -> str:
        return self._uri

    @property
    def is_alive(self) -> bool:
        """Whether this connection still works."""
        return self.world.is_up and self._boot == self.world.boot

    def drop(self) -> None:
        """Break this connection alone, without a word."""
        self._boot = None

    def connect(self) -> HostCapabilities:
        self.world.pass_read_gate("connect")
        with self.world.changed:
            if self.world.connect_error is not None:
                raise self.world.connect_error
            if not self.world.is_up:
                raise ConnectionLost(f"No libvirt daemon answers at {self._uri}.")
            self._boot = self.world.boot
            return self.world.capabilities

    def list_vms(self) -> tuple[VmSummary, ...]:
        self._enter("list_vms")
        return self.world.summaries()

    def read_vm(self, uuid: str) -> Vm:
        self._enter("read_vm")
        return self.world.read(uuid)

    def read_fingerprint(self, uuid: str) -> str:
        self._enter("read_fingerprint")
        return self.world.fingerprint(uuid)

    def read_detail(self, uuid: str, snapshot: str) -> SnapshotDetail:
        self._enter("read_detail")
        vm = self.world.read(uuid)
        if snapshot not in vm.tree:
            raise NotFound(f"{vm.name} has no snapshot named {snapshot}.")
        return SnapshotDetail(snapshot, vm.hardware)

    def read_storage(self, uuid: str) -> Storage:
        self._enter("read_storage")
        return self.world.storage(uuid)

    def start(self, operation: Operation, agreed: object = None) -> Job:
        self._require_alive()
        self.world.calls["start"] += 1
        with self.world.changed:
            self.world.aborted.discard(operation.vm_uuid)
        return FakeJob(self, operation, agreed)

    def sample(self, uuid: str) -> Progress | None:
        self._enter("sample")
        return self.world.samples.get(uuid)

    def limit(self, uuid: str, bytes_per_second: int) -> None:
        self._require_alive()
        with self.world.changed:
            self.world.calls["limit"] += 1
            self.world.limits[uuid] = bytes_per_second

    def abort(self, uuid: str) -> None:
        self._require_alive()
        with self.world.changed:
            self.world.calls["abort"] += 1
            self.world.aborted.add(uuid)
            self.world.changed.notify_all()

    def subscribe(self, callback: Callable[[HostEvent], None]) -> None:
        with self.world.changed:
            self.world.subscribers.append((self, callback))

    def close(self) -> None:
        self.world.calls["close"] += 1
        self._boot = None

    def _enter(self, method: str) -> None:
        self._require_alive()
        self.world.pass_read_gate(method)
        self._require_alive()

    def _require_alive(self) -> None:
        if not self.is_alive:
            raise ConnectionLost(f"The connection to {self._uri} is lost.")
