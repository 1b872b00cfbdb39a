"""One connection to one libvirt host. The only importer of libvirt.

Hides libvirt entirely: connecting and connecting again, its event loop, its flags, its error
codes and the differences between its versions.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import libvirt

from snapview.core.errors import ConnectionLost, HostError, NotFound
from snapview.core.operations import (
    Afterwards,
    ConnectionClosed,
    HostEvent,
    Job,
    Operation,
    Progress,
    VmEvent,
)
from snapview.core.vm import (
    HostCapabilities,
    RunState,
    Snapshot,
    SnapshotDetail,
    SnapshotTree,
    Vm,
    VmSummary,
)
from snapview.virt.acts import steps_of
from snapview.virt.errormap import LibvirtFault, to_connect_error, to_error
from snapview.virt.job import SteppedJob
from snapview.virt.snapshot_text import read_snapshot
from snapview.virt.xml import (
    BadXml,
    DomainFacts,
    complete_chain,
    parse_domain,
    parse_snapshot_hardware,
    with_created_at,
)

_log = logging.getLogger(__name__)

FETCH_THREADS = 4  # libvirt's server answers five requests of one connection at a time
FETCH_BATCH = 500  # snapshots; then the event loop gets a turn, for the keepalive of others
KEEPALIVE_SECONDS = 5
WAKE_MS = 1000  # how often libvirt's event loop looks around when nothing happens
DAEMONS = ("libvirtd", "virtqemud")

_RUN_STATES = {
    libvirt.VIR_DOMAIN_NOSTATE: RunState.UNKNOWN,
    libvirt.VIR_DOMAIN_RUNNING: RunState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: RunState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: RunState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: RunState.RUNNING,
    libvirt.VIR_DOMAIN_SHUTOFF: RunState.SHUTOFF,
    libvirt.VIR_DOMAIN_CRASHED: RunState.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: RunState.SUSPENDED,
}

_REVERT_FLAGS = {
    Afterwards.AS_IT_WAS: 0,
    Afterwards.RUNNING: libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING,
    Afterwards.PAUSED: libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED,
}

_EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
)


class _EventLoop:
    """libvirt's event loop, which a process has one of. Runs while any connection is open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._is_registered = False
        self._thread: threading.Thread | None = None
        self._ending: threading.Thread | None = None  # the loop must not run twice at a time
        self._wake = -1
        self._pauses = 0
        self._may_run = threading.Event()
        self._may_run.set()

    def acquire(self) -> None:
        """Have the loop run; before a connection is opened."""
        with self._lock:
            self._users += 1
            if self._thread is not None:
                return
            if not self._is_registered:
                libvirt.virEventRegisterDefaultImpl()
                libvirt.registerErrorHandler(lambda *_: None, None)  # it prints to stderr
                self._is_registered = True
            self._wake = libvirt.virEventAddTimeout(WAKE_MS, lambda *_: None, None)
            self._thread = threading.Thread(
                target=self._run, args=(self._ending,), name="libvirt-events", daemon=True
            )
            self._thread.start()

    def release(self) -> None:
        """Let the loop end when nobody else needs it."""
        with self._lock:
            self._users -= 1
            if self._users or self._thread is None:
                return
            thread, wake = self._thread, self._wake  # another thread may acquire meanwhile
            self._thread, self._ending = None, thread
            self._may_run.set()
            libvirt.virEventUpdateTimeout(wake, 0)
        if thread is not threading.current_thread():
            thread.join()
        libvirt.virEventRemoveTimeout(wake)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the loop stand still, for a second or two at most.

        Each call on a connection wakes the loop twice, to take its socket away and to give it
        back, and each time it competes for Python's lock: thousands of calls in a row take half
        as long without it. Whoever waits for an answer sees to the connection's keepalive himself.
        """
        self._pause(1)
        try:
            yield
        finally:
            self._pause(-1)

    def _pause(self, change: int) -> None:
        with self._lock:
            self._pauses += change
            if self._pauses:
                self._may_run.clear()
            else:
                self._may_run.set()
            if self._thread is not None:
                libvirt.virEventUpdateTimeout(self._wake, 0 if self._pauses else WAKE_MS)

    def _run(self, ending: threading.Thread | None) -> None:
        if ending is not None:
            ending.join()
        while self._thread is threading.current_thread():
            libvirt.virEventRunDefaultImpl()
            self._may_run.wait()


_event_loop = _EventLoop()  # libvirt keeps it per process, so do we


def _fault(error: libvirt.libvirtError) -> LibvirtFault:
    # The second integer of a system error is the system's error number.
    number = error.get_int1() if error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR else 0
    return LibvirtFault(error.get_error_code() or 0, error.get_error_message() or "", number or 0)


class LibvirtHost:
    """Implements ``core.operations.Host`` on libvirt. Any one thread at a time, never the GUI's.

    Args:
        uri: a libvirt URI.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._conn: Any = None
        self._capabilities = HostCapabilities()
        self._callback: Callable[[HostEvent], None] | None = None
        self._event_ids: list[int] = []

    @property
    def uri(self) -> str:
        """The libvirt URI."""
        return self._uri

    # Connecting

    def connect(self) -> HostCapabilities:
        """Open the connection unless it is open and alive.

        Raises:
            NotInstalled, NotPermitted, ConnectionLost: it cannot be opened.
        """
        if self._conn is not None and self._is_alive():
            return self._capabilities
        self.close()
        _event_loop.acquire()
        try:
            self._conn = libvirt.open(self._uri)
            self._capabilities = self._read_capabilities()
        except libvirt.libvirtError as error:
            self._drop()
            is_installed = any(shutil.which(name, path=_SBIN) for name in DAEMONS)
            raise to_connect_error(_fault(error), self._uri, is_installed=is_installed) from error
        except ValueError as error:  # characters that no address has
            self._drop()
            fault = LibvirtFault(libvirt.VIR_ERR_NO_CONNECT, str(error))
            raise to_connect_error(fault, self._uri, is_installed=True) from error
        with suppress(libvirt.libvirtError):  # local drivers have none
            self._conn.setKeepAlive(KEEPALIVE_SECONDS, 3)
        if self._callback is not None:
            self._register(self._callback)
        return self._capabilities

    def close(self) -> None:
        """Close the connection. Idempotent."""
        if self._conn is not None:
            self._drop()

    def _drop(self) -> None:
        conn, self._conn = self._conn, None
        event_ids, self._event_ids = self._event_ids, []
        if conn is not None:
            for event_id in event_ids:  # each would keep the connection open
                with suppress(libvirt.libvirtError):
                    conn.domainEventDeregisterAny(event_id)
            with suppress(libvirt.libvirtError):
                conn.unregisterCloseCallback()
            with suppress(libvirt.libvirtError):
                conn.close()
        _event_loop.release()

    def _is_alive(self) -> bool:
        try:
            return bool(self._conn.isAlive())
        except libvirt.libvirtError:
            return False

    @contextmanager
    def translated(self, doing: str = "") -> Iterator[None]:
        """Turn libvirt's errors into ours; without a connection it is always that one.

        Raises:
            ConnectionLost: the daemon went away meanwhile; it may still be working.
            SnapviewError: as ``errormap`` says.
        """
        try:
            yield
        except libvirt.libvirtError as error:
            self._require_alive(error, doing)
            raise to_error(_fault(error), doing) from error

    def _require_alive(self, error: Exception | None = None, doing: str = "") -> None:
        """See that what went wrong is not that the daemon went away."""
        if self._conn is None or not self._is_alive():
            fault = LibvirtFault(libvirt.VIR_ERR_RPC, str(error or ""))
            raise to_error(fault, doing) from error

    def _connected(self) -> Any:
        if self._conn is None:
            raise ConnectionLost(
                f"There is no connection to {self._uri}.", advice="snapview tries again by itself."
            )
        return self._conn

    def _read_capabilities(self) -> HostCapabilities:
        conn = self._conn
        driver = conn.getType()
        text = conn.getCapabilities()
        return HostCapabilities(
            driver=driver,
            libvirt_version=_version(conn.getLibVersion()),
            qemu_version=_version(conn.getVersion()),
            reverts_external="<externalSnapshot" in text,
            touches_disks=driver.upper() != "TEST",
        )

    # Events

    def subscribe(self, callback: Callable[[HostEvent], None]) -> None:
        """Have ``callback`` called from libvirt's event thread, also after connecting again."""
        self._callback = callback
        if self._conn is not None:
            self._register(callback)

    def _register(self, callback: Callable[[HostEvent], None]) -> None:
        def on_domain(_conn: object, domain: Any, *_details: object) -> None:
            callback(VmEvent(domain.UUIDString()))

        def on_close(_conn: object, _reason: int, _opaque: object) -> None:
            callback(ConnectionClosed("The libvirt daemon closed the connection."))

        with suppress(libvirt.libvirtError):
            self._conn.registerCloseCallback(on_close, None)
        for event in _EVENTS:
            with suppress(libvirt.libvirtError):  # a driver may lack some
                event_id = self._conn.domainEventRegisterAny(None, event, on_domain, None)
                self._event_ids.append(event_id)

    # Reading

    def list_vms(self) -> tuple[VmSummary, ...]:
        """Read one line for each VM, ordered by name; one that vanishes meanwhile is left out."""
        with self.translated("list the VMs"):
            domains = self._connected().listAllDomains(0)
            found = [summary for domain in domains if (summary := _summary(domain)) is not None]
        return tuple(sorted(found, key=lambda vm: (vm.name.casefold(), vm.uuid)))

    def read_vm(self, uuid: str) -> Vm:
        """Read everything of one VM.

        Raises:
            NotFound: it does not exist any more.
        """
        domain = self.domain(uuid)
        with self.translated("read the VM"):
            state = _RUN_STATES.get(domain.state()[0], RunState.UNKNOWN)
            facts = _domain_facts(domain)
            saved = bool(domain.isPersistent()) and bool(domain.hasManagedSaveImage(0))
            is_persistent = bool(domain.isPersistent())
        vm = Vm(
            uuid=uuid,
            name=facts.name,
            title=facts.title,
            run_state=state,
            hardware=facts.hardware,
            capabilities=self._capabilities,
            has_managed_save=saved,
            is_persistent=is_persistent,
            read_at=datetime.now(tz=UTC),
        )
        try:
            tree = _read_tree(domain)
        except libvirt.libvirtError as error:
            self._require_alive(error)
            return replace(vm, disks=facts.hardware.disks, problem=to_error(_fault(error)).message)
        if any(snapshot.problem for snapshot in tree):
            self._require_alive()
        disks = tuple(complete_chain(disk, tree) for disk in facts.hardware.disks)
        jobs = set(facts.mirrored)
        if state.is_active:
            jobs |= {d.target for d in disks if d.holds_state and _has_block_job(domain, d.target)}
        return replace(vm, tree=tree, disks=disks, block_jobs=tuple(sorted(jobs)))

    def read_fingerprint(self, uuid: str) -> str:
        """Read state, snapshot names and the current one: 1 ms even for hundreds.

        Raises:
            NotFound: the VM does not exist any more.
        """
        domain = self.domain(uuid)
        with self.translated("look at the VM"):
            names = sorted(snapshot.getName() for snapshot in domain.listAllSnapshots(0))
            saved = bool(domain.isPersistent()) and bool(domain.hasManagedSaveImage(0))
            return repr((domain.name(), domain.state()[0], saved, _current(domain), names))

    def read_detail(self, uuid: str, snapshot: str) -> SnapshotDetail:
        """Read the VM's hardware at the time of a snapshot.

        Raises:
            NotFound: VM or snapshot do not exist any more, or the record holds no hardware.
        """
        domain = self.domain(uuid)
        with self.translated("read the snapshot"):
            text = domain.snapshotLookupByName(snapshot, 0).getXMLDesc(0)
        try:
            return SnapshotDetail(snapshot, parse_snapshot_hardware(text))
        except BadXml as error:
            raise NotFound(f"The record of “{snapshot}” holds no hardware: {error}.") from error

    def domain(self, uuid: str) -> Any:
        """Return libvirt's handle; it must not leave this module."""
        with self.translated():
            return self._connected().lookupByUUIDString(uuid)

    # Operating

    def start(self, operation: Operation) -> Job:
        """Start an operation; nothing happens before the first ``Job.step``."""
        return SteppedJob(
            operation.vm_uuid, steps_of(operation, _LibvirtVm(self, operation.vm_uuid))
        )

    def sample(self, uuid: str) -> Progress | None:
        """Say how far the memory of an external snapshot is written. From another connection."""
        domain = self.domain(uuid)
        try:
            stats = domain.jobStats()
        except libvirt.libvirtError:
            return None  # busy with something that has no figures
        done, total = stats.get("data_processed"), stats.get("data_total")
        return Progress("", done, total) if total else None

    def abort(self, uuid: str) -> None:
        """Abort the VM's job. From another connection; without a job nothing happens."""
        with suppress(libvirt.libvirtError):
            self.domain(uuid).abortJob()

    # Making VMs: the demo lab and the restore test

    def define_vm(self, xml: str) -> str:
        """Define a VM and return its UUID."""
        with self.translated("define the VM"):
            return str(self._connected().defineXML(xml).UUIDString())

    def start_vm(self, uuid: str) -> None:
        """Start a VM; one that is on stays on."""
        domain = self.domain(uuid)
        with self.translated("start the VM"):
            if not domain.isActive():
                domain.create()

    def stop_vm(self, uuid: str) -> None:
        """End the VM's QEMU process at once; one that is off stays off."""
        domain = self.domain(uuid)
        with self.translated("stop the VM"):
            if domain.isActive():
                domain.destroy()

    def undefine_vm(self, uuid: str) -> None:
        """Forget a VM that is off, with the records of its snapshots; its files stay."""
        kinds = libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        kinds |= libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        kinds |= libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        with self.translated("undefine the VM"):
            self.domain(uuid).undefineFlags(kinds)

    def set_created_at(self, uuid: str, snapshot: str, created_at: datetime) -> None:
        """Give a snapshot's record another time of creation."""
        vm = _LibvirtVm(self, uuid)
        vm.redefine_snapshot(with_created_at(vm.snapshot_xml(snapshot), created_at))


class _LibvirtVm:
    """Implements ``acts.VmPort`` for one VM."""

    def __init__(self, host: LibvirtHost, uuid: str) -> None:
        self._host = host
        self._uuid = uuid

    @property
    def _domain(self) -> Any:
        return self._host.domain(self._uuid)

    def read(self) -> Vm:
        return self._host.read_vm(self._uuid)

    def create_snapshot(self, xml: str, *, disk_only: bool, live: bool) -> None:
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC if disk_only else 0
        flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY if disk_only else 0
        flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_LIVE if live else 0
        with self._host.translated("take the snapshot"):
            self._domain.snapshotCreateXML(xml, flags)

    def revert(self, name: str, afterwards: Afterwards) -> None:
        with self._host.translated("revert"):
            domain = self._domain
            domain.revertToSnapshot(domain.snapshotLookupByName(name, 0), _REVERT_FLAGS[afterwards])

    def delete_snapshot(self, name: str) -> None:
        with self._host.translated("delete the snapshot"):
            self._domain.snapshotLookupByName(name, 0).delete(0)

    def snapshot_xml(self, name: str) -> str:
        with self._host.translated("read the snapshot"):
            snapshot = self._domain.snapshotLookupByName(name, 0)
            return str(snapshot.getXMLDesc(libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE))

    def redefine_snapshot(self, xml: str) -> None:
        # Never with CURRENT: libvirt 9.9 and newer then forget <revertDisks> (trap 6).
        with self._host.translated("change the snapshot's record"):
            self._domain.snapshotCreateXML(xml, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE)

    def freeze(self) -> None:
        with self._host.translated("freeze the guest's file systems"):
            self._domain.fsFreeze()

    def thaw(self) -> None:
        with self._host.translated("thaw the guest's file systems"):
            self._domain.fsThaw()

    def stop(self) -> None:
        self._host.stop_vm(self._uuid)


_SBIN = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def _version(number: int) -> tuple[int, int, int]:
    return number // 1_000_000, number // 1_000 % 1_000, number % 1_000


def _summary(domain: Any) -> VmSummary | None:
    """Return one line of the list; None when the VM does not exist any more."""
    try:
        state = _RUN_STATES.get(domain.state()[0], RunState.UNKNOWN)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    try:
        count: int | None = domain.snapshotNum(0)
    except libvirt.libvirtError:
        count = None  # this driver has no snapshots
    return VmSummary(domain.UUIDString(), domain.name(), state, count)


def _current(domain: Any) -> str | None:
    if not domain.hasCurrentSnapshot(0):
        return None
    try:
        return str(domain.snapshotCurrent(0).getName())
    except libvirt.libvirtError:
        return None  # deleted in between


def _read_tree(domain: Any) -> SnapshotTree:
    """Read all snapshots, several at a time: while libvirt writes one, another is parsed."""
    handles = domain.listAllSnapshots(0)
    current = _current(domain)
    if len(handles) < 2 * FETCH_THREADS:
        return SnapshotTree(_read_snapshots(handles), current)
    found: list[Snapshot] = []
    with ThreadPoolExecutor(FETCH_THREADS, thread_name_prefix="fetch") as pool:
        for start in range(0, len(handles), FETCH_BATCH):
            batch = handles[start : start + FETCH_BATCH]
            with _event_loop.paused():
                shares = (batch[first::FETCH_THREADS] for first in range(FETCH_THREADS))
                for share in pool.map(_read_snapshots, shares):
                    found.extend(share)
    return SnapshotTree(found, current)


def _read_snapshots(handles: Iterable[Any]) -> list[Snapshot]:
    return [found for handle in handles if (found := _read_snapshot(handle)) is not None]


def _read_snapshot(handle: Any) -> Snapshot | None:
    """Read one snapshot; what cannot be read is kept with its problem. None: it is gone."""
    try:
        return read_snapshot(handle.getXMLDesc(0))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:
            return None
        problem = f"{error}"
    except BadXml as error:
        problem = f"{error}"
    name = str(handle.getName())
    return Snapshot(name, title=name, problem=problem)


def _domain_facts(domain: Any) -> DomainFacts:
    try:
        return parse_domain(domain.XMLDesc(0))
    except BadXml as error:
        sentence = f"The definition of “{domain.name()}” cannot be read: {error}."
        raise HostError(sentence, advice="Look at it with: virsh dumpxml") from error


def _has_block_job(domain: Any, target: str) -> bool:
    try:
        return bool(domain.blockJobInfo(target, 0))
    except libvirt.libvirtError:
        return False
