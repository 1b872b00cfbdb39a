"""The VMs of one connection as far as they were read, and the visible one kept up to date."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from snapview.core.errors import ConnectionLost, NotFound, SnapviewError
from snapview.core.layout import TreeLayout, layout_tree
from snapview.core.operations import Host
from snapview.core.storage import Storage
from snapview.core.vm import SnapshotDetail, Vm
from snapview.session.asking import Asking
from snapview.session.repeated import Repeated
from snapview.session.storage_reads import StorageReads, with_known_storage
from snapview.session.views import VmKey, VmView


@dataclass(frozen=True, slots=True)
class _Found:
    """What one read of a VM found. The fingerprint is older, so that no change slips between."""

    fingerprint: str
    vm: Vm
    layout: TreeLayout


class Following(QObject):
    """Reads VMs and remembers them; looks at the visible one every so often. GUI thread."""

    vm_updated = Signal(object)  # VmView
    vm_gone = Signal(object)  # VmKey: the visible one
    vm_unreadable = Signal(object, object)  # VmKey, SnapviewError
    detail_read = Signal(object, object)  # VmKey, SnapshotDetail
    detail_unreadable = Signal(object, str, object)  # VmKey, snapshot, SnapviewError

    def __init__(
        self,
        uri: str,
        asking: Asking,
        fingerprint_seconds: float,
        stands_still: Callable[[str], bool],
        is_at_work: Callable[[str], bool],
    ) -> None:
        """Follow the VMs of one connection.

        Args:
            uri: of the connection.
            asking: puts the questions.
            fingerprint_seconds: between two looks at the visible VM.
            stands_still: whether libvirt would keep a reader of that VM waiting just now.
            is_at_work: whether a job of ours works on that VM.
        """
        super().__init__()
        self._stands_still = stands_still
        self._is_at_work = is_at_work
        self._uri = uri
        self._asking = asking
        self._views: dict[str, VmView] = {}
        self._fingerprints: dict[str, str] = {}
        self._reads: dict[str, Repeated] = {}
        self._owed: set[str] = set()  # VMs whose last read was cut off by a lost connection
        self._problems: dict[str, str] = {}  # told already, by VM
        self._visible: str | None = None
        self._storages = StorageReads(asking)
        self._storages.arrived.connect(self._on_storage)
        self._wants_storage: set[str] = set()  # VMs whose next read is to be followed by it
        self._copy_bytes_per_second: float | None = None
        self._detail = Repeated(self._start_detail)
        self._detail_wanted = ("", "")
        self._is_polling = False
        self._timer = QTimer(self)
        self._timer.setInterval(round(fingerprint_seconds * 1000))
        self._timer.timeout.connect(self._on_timeout)

    def view(self, uuid: str) -> VmView | None:
        """Return a VM as last read, or None."""
        return self._views.get(uuid)

    def show(self, uuid: str | None) -> None:
        """Make a VM the visible one and read it; None: no one looks."""
        self._visible = uuid
        self._timer.stop()
        if uuid is not None:
            self._problems.pop(uuid, None)
            self.read(uuid)
            self._timer.start()

    def notice(self, uuid: str) -> None:
        """Read a VM that something happened to, if it is the visible one."""
        if uuid == self._visible and not self._stands_still(uuid):
            self.read(uuid)

    def read(self, uuid: str, then: Callable[[], None] | None = None) -> None:
        """Read a VM from now on, and its storage afterwards.

        ``then`` is called when the VM was read, well or not; it does not wait for the storage.
        """
        self._wants_storage.add(uuid)
        self._read_vm(uuid, then)

    def _read_vm(self, uuid: str, then: Callable[[], None] | None = None) -> None:
        if uuid not in self._reads:
            self._reads[uuid] = Repeated(partial(self._start_read, uuid))
        self._reads[uuid].want(then)

    def note_speed(self, copy_bytes_per_second: float | None) -> None:
        """Note how fast earlier merges on this host were, for the plans of the next ones."""
        self._copy_bytes_per_second = copy_bytes_per_second
        for uuid, view in list(self._views.items()):
            if view.vm.storage is not None:
                self._on_storage(uuid, view.vm.storage)

    def read_visible(self) -> None:
        """Read the visible VM, if there is one."""
        if self._visible is not None:
            self.read(self._visible)

    def read_detail(self, uuid: str, snapshot: str) -> None:
        """Read a snapshot's hardware; of wishes in a row the last one is served."""
        self._detail_wanted = (uuid, snapshot)
        self._detail.want()

    def mark_stale(self) -> None:
        """Mark all that was read: the connection is lost."""
        self._timer.stop()
        for uuid, view in self._views.items():
            if not view.is_stale:
                self._views[uuid] = replace(view, is_stale=True)
                self.vm_updated.emit(self._views[uuid])

    def catch_up(self) -> None:
        """Read what must be right again, now that the host answers."""
        owed, self._owed = self._owed, set()
        if self._visible is not None:
            owed.add(self._visible)
            self._timer.start()
        for uuid in owed:
            self.read(uuid)

    def keep_only(self, uuids: frozenset[str]) -> None:
        """Forget the VMs that do not exist any more."""
        for uuid in [uuid for uuid in self._views if uuid not in uuids]:
            self._forget(uuid)
        if self._visible is not None and self._visible not in uuids:
            self._forget(self._visible)

    def stop(self) -> None:
        """Follow nothing any more."""
        self._visible = None
        self._timer.stop()

    # -- reading a VM

    def _start_read(self, uuid: str) -> None:
        def find(host: Host) -> _Found:
            fingerprint = host.read_fingerprint(uuid)
            vm = host.read_vm(uuid)
            return _Found(fingerprint, vm, layout_tree(vm.tree))

        self._asking.ask(find, partial(self._on_found, uuid), partial(self._on_not_found, uuid))

    def _on_found(self, uuid: str, found: _Found) -> None:
        self._fingerprints[uuid] = found.fingerprint
        self._problems.pop(uuid, None)
        old = self._views.get(uuid)
        vm = with_known_storage(found.vm, old.vm if old else None)
        view = VmView(VmKey(self._uri, uuid), vm, found.layout)
        self._views[uuid] = view
        self.vm_updated.emit(view)
        is_outdated = old is not None and old.vm.storage is not None and vm.storage is None
        if uuid in self._wants_storage or is_outdated:
            self._wants_storage.discard(uuid)
            self._storages.want(uuid)
        self._reads[uuid].settle()

    def _on_storage(self, uuid: str, storage: Storage) -> None:
        view = self._views.get(uuid)
        if view is None:
            return
        storage = replace(storage, copy_bytes_per_second=self._copy_bytes_per_second)
        if storage != view.vm.storage:
            self._views[uuid] = replace(view, vm=view.vm.with_storage(storage))
            self.vm_updated.emit(self._views[uuid])

    def _on_not_found(self, uuid: str, error: SnapviewError) -> None:
        self._tell_problem(uuid, error)
        self._reads[uuid].settle()

    def _tell_problem(self, uuid: str, error: SnapviewError) -> None:
        if isinstance(error, ConnectionLost):
            self._owed.add(uuid)
        elif isinstance(error, NotFound):
            self._forget(uuid)
        elif self._problems.get(uuid) != error.message:
            self._problems[uuid] = error.message
            self.vm_unreadable.emit(VmKey(self._uri, uuid), error)

    def _forget(self, uuid: str) -> None:
        self._views.pop(uuid, None)
        self._fingerprints.pop(uuid, None)
        if uuid == self._visible:
            self.stop()
            self.vm_gone.emit(VmKey(self._uri, uuid))

    # -- noticing what other clients change: libvirt sends no event for snapshots

    @Slot()
    def _on_timeout(self) -> None:
        uuid = self._visible
        if uuid is None or self._is_polling or self._stands_still(uuid):
            return
        if uuid in self._reads and self._reads[uuid].is_busy:
            return
        if self._is_others_work(uuid):
            self._read_vm(uuid)
            return
        self._is_polling = True
        self._asking.ask(
            lambda host: host.read_fingerprint(uuid),
            partial(self._on_fingerprint, uuid),
            partial(self._on_no_fingerprint, uuid),
        )

    def _is_others_work(self, uuid: str) -> bool:
        """Whether somebody else is at work on a VM, so that its progress has to be read."""
        view = self._views.get(uuid)
        if view is None or self._is_at_work(uuid):
            return False
        interruption = view.vm.interruption
        return bool(view.vm.block_jobs) or (interruption is not None and interruption.is_alive)

    def _on_fingerprint(self, uuid: str, fingerprint: str) -> None:
        self._is_polling = False
        if fingerprint != self._fingerprints.get(uuid):
            self.notice(uuid)

    def _on_no_fingerprint(self, uuid: str, error: SnapviewError) -> None:
        self._is_polling = False
        if uuid == self._visible:
            self._tell_problem(uuid, error)

    # -- the hardware at a snapshot

    def _start_detail(self) -> None:
        uuid, snapshot = self._detail_wanted
        key = VmKey(self._uri, uuid)

        def on_read(detail: SnapshotDetail) -> None:
            if self._detail_wanted == (uuid, snapshot):
                self.detail_read.emit(key, detail)
            self._detail.settle()

        def on_failed(error: SnapviewError) -> None:
            if self._detail_wanted == (uuid, snapshot):
                self.detail_unreadable.emit(key, snapshot, error)
            self._detail.settle()

        self._asking.ask(lambda host: host.read_detail(uuid, snapshot), on_read, on_failed)
