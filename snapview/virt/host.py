"""One connection to one libvirt host. The only importer of libvirt.

Hides libvirt entirely: connecting and connecting again, its event loop, its flags, its error
codes and the differences between its versions.
"""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import libvirt

from snapview.core.errors import ConnectionLost, NotFound, SnapviewError
from snapview.core.journal import Journal
from snapview.core.operations import (
    ConnectionClosed,
    HostEvent,
    Job,
    Operation,
    Progress,
    VmEvent,
)
from snapview.core.storage import Storage
from snapview.core.vm import (
    HostCapabilities,
    SnapshotDetail,
    Vm,
    VmSummary,
)
from snapview.virt.acts import job_of
from snapview.virt.disk_jobs import DiskJobs
from snapview.virt.errormap import LibvirtFault, to_connect_error, to_error
from snapview.virt.eventloop import EventLoop
from snapview.virt.port import LibvirtVm
from snapview.virt.reading import Reader
from snapview.virt.storage_reading import read_storage
from snapview.virt.unfinished import Unfinished
from snapview.virt.workbench import end_left_behind, find_jobs, is_workbench
from snapview.virt.xml import (
    BadXml,
    parse_snapshot_hardware,
    with_created_at,
)

_log = logging.getLogger(__name__)

KEEPALIVE_SECONDS = 5
DAEMONS = ("libvirtd", "virtqemud")

_EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
)


_event_loop = EventLoop(libvirt)  # libvirt keeps one per process, so do we


def _fault(error: libvirt.libvirtError) -> LibvirtFault:
    # The second integer of a system error is the system's error number.
    number = error.get_int1() if error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR else 0
    return LibvirtFault(error.get_error_code() or 0, error.get_error_message() or "", number or 0)


class LibvirtHost:
    """Implements ``core.operations.Host`` on libvirt. Any one thread at a time, never the GUI's.

    Args:
        uri: a libvirt URI.
        journal: where this account writes down what it is doing.
    """

    def __init__(self, uri: str, journal: Journal) -> None:
        self._uri = uri
        self._journal = journal
        self._conn: Any = None
        self._capabilities = HostCapabilities()
        self._callback: Callable[[HostEvent], None] | None = None
        self._event_ids: list[int] = []
        self._reader = Reader(self.translated, _event_loop.paused)
        self._unfinished = Unfinished(journal, uri, lambda uuid: LibvirtVm(self, uuid).thaw())

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
        with suppress(SnapviewError):  # it is tried again with the next connection
            end_left_behind(self, self._is_at_work)
        return self._capabilities

    def _is_at_work(self, uuid: str) -> bool:
        entry = self._journal.find(self._uri, uuid)
        return entry is not None and entry.is_alive

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

    def connection(self) -> Any:
        """Return libvirt's handle; it must not leave ``virt``.

        Raises:
            ConnectionLost: there is none.
        """
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
            if not is_workbench(domain.name()):
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
            listed = self.connection().listAllDomains(0)
            domains = [domain for domain in listed if not is_workbench(domain.name())]
        found = [vm for domain in domains if (vm := self._reader.summary(domain)) is not None]
        return tuple(sorted(found, key=lambda vm: (vm.name.casefold(), vm.uuid)))

    def read_vm(self, uuid: str) -> Vm:
        """Read everything of one VM; thaw it where an interrupted snapshot left it frozen.

        Raises:
            NotFound: it does not exist any more.
        """
        vm = self._reader.vm(self.domain(uuid), self._capabilities)
        found = self._unfinished.interruption(uuid)
        return vm if found is None else replace(vm, interruption=found)

    def read_fingerprint(self, uuid: str) -> str:
        """Read state, snapshot names and the current one: 1 ms even for hundreds.

        Raises:
            NotFound: the VM does not exist any more.
        """
        return self._reader.fingerprint(self.domain(uuid)) + self._unfinished.fingerprint(uuid)

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
            return self.connection().lookupByUUIDString(uuid)

    # Operating

    def read_storage(self, uuid: str) -> Storage:
        """Read the image files around a VM: 20 ms, and 10 ms for each folder of another VM.

        Raises:
            NotFound: the VM does not exist any more.
        """
        return read_storage(self, self.read_vm(uuid))

    def limit(self, uuid: str, bytes_per_second: int) -> None:
        """Limit the speed of a VM's block jobs, also in its workbench. From another connection."""
        for jobs in (DiskJobs(lambda: self.domain(uuid), self.translated), find_jobs(self, uuid)):
            if jobs is not None:
                jobs.limit(bytes_per_second)

    def start(self, operation: Operation, agreed: object = None) -> Job:
        """Start an operation; nothing happens before the first ``Job.step``."""
        port = LibvirtVm(self, operation.vm_uuid)
        return job_of(operation, port, self._journal, agreed)

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
            return str(self.connection().defineXML(xml).UUIDString())

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

    def set_created_at(self, uuid: str, snapshot: str, created_at: datetime) -> None:
        """Give a snapshot's record another time of creation."""
        vm = LibvirtVm(self, uuid)
        vm.redefine_snapshot(with_created_at(vm.snapshot_xml(snapshot), created_at))


_SBIN = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def _version(number: int) -> tuple[int, int, int]:
    return number // 1_000_000, number // 1_000 % 1_000, number % 1_000
