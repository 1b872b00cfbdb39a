"""Reads the image files around VMs, which takes longer than the VMs themselves."""

import logging
from functools import partial

from PySide6.QtCore import QObject, Signal

from snapview.core.errors import SnapviewError
from snapview.core.storage import Storage
from snapview.core.vm import Vm
from snapview.session.asking import Asking
from snapview.session.repeated import Repeated

logger = logging.getLogger(__name__)


class StorageReads(QObject):
    """Asks for the storage of one connection's VMs; failures are only logged. GUI thread."""

    arrived = Signal(str, object)  # VM, Storage

    def __init__(self, asking: Asking) -> None:
        super().__init__()
        self._asking = asking
        self._reads: dict[str, Repeated] = {}

    def want(self, uuid: str) -> None:
        """Read a VM's storage from now on; wishes while it is read are one more read."""
        if uuid not in self._reads:
            self._reads[uuid] = Repeated(partial(self._start, uuid))
        self._reads[uuid].want()

    def _start(self, uuid: str) -> None:
        self._asking.ask(
            lambda host: host.read_storage(uuid),
            partial(self._on_read, uuid),
            partial(self._on_not_read, uuid),
        )

    def _on_read(self, uuid: str, storage: Storage) -> None:
        self.arrived.emit(uuid, storage)
        self._reads[uuid].settle()

    def _on_not_read(self, uuid: str, error: SnapviewError) -> None:
        logger.info("The storage of VM %s cannot be read: %s", uuid, error)
        self._reads[uuid].settle()


def with_known_storage(vm: Vm, before: Vm | None) -> Vm:
    """Return a VM just read with the storage that was known, if that can still be right.

    Of a VM whose images have changed nothing is known until its storage was read again: a missing
    figure is better than a refusal for a reason of the past.
    """
    if before is None or before.storage is None or _images(vm) != _images(before):
        return vm
    return vm.with_storage(before.storage)


def _images(vm: Vm) -> object:
    # What the headers added to a chain is no change of the VM's.
    defined = [(disk.target, disk.layers[: max(1, disk.defined)]) for disk in vm.disks]
    return defined, {snapshot.name: snapshot.disks for snapshot in vm.tree}
