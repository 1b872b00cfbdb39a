"""Opens the dialogs about the shown VM, keeps them true while it changes, and submits.

Hides that at most one dialog is open, and what happens to it when its VM changes or disappears.
"""

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QDialog, QWidget

from snapview.core.errors import SnapviewError
from snapview.core.operations import DeleteSnapshot
from snapview.core.planning import Plan
from snapview.core.vm import Vm
from snapview.session import Session, VmKey, VmView
from snapview.settings import Settings
from snapview.ui.dialogs.base import OperationDialog
from snapview.ui.dialogs.describe import DescribeDialog
from snapview.ui.dialogs.error_dialog import ErrorDialog
from snapview.ui.dialogs.remove import RemoveDialog
from snapview.ui.dialogs.revert import RevertDialog
from snapview.ui.dialogs.take_snapshot import TakeSnapshotDialog


class DialogOpener(QObject):
    """One open dialog at a time, for one window."""

    closed_by_vm = Signal(str)  # the VM's name: it was removed while its dialog was open

    def __init__(self, window: QWidget, session: Session, settings: Settings) -> None:
        super().__init__(window)
        self._window = window
        self._session = session
        self._settings = settings
        self._open: OperationDialog | None = None
        self._key: VmKey | None = None

    @property
    def open_dialog(self) -> OperationDialog | None:
        """The dialog that is open."""
        return self._open

    def take(self, view: VmView, *, memory: bool | None = None) -> None:
        """Offer to take a snapshot."""
        self._show(view, lambda vm: TakeSnapshotDialog(vm, self._window, memory=memory))

    def revert(self, view: VmView, name: str) -> None:
        """Offer to revert to a snapshot."""
        safety = self._settings.safety_snapshot
        self._show(view, lambda vm: RevertDialog(vm, name, self._window, safety=safety))

    def remove(self, view: VmView, names: tuple[str, ...]) -> None:
        """Offer to merge or discard snapshots."""
        grace = self._settings.delete_grace_seconds
        self._show(view, lambda vm: RemoveDialog(vm, names, self._window, grace_seconds=grace))

    def describe(self, view: VmView, name: str) -> None:
        """Offer to change what a snapshot is called and says."""
        self._show(view, lambda vm: DescribeDialog(vm, name, self._window))

    def show_error(self, error: SnapviewError) -> None:
        """Say what went wrong."""
        ErrorDialog(error, self._window).open()

    def show_vm(self, view: VmView) -> None:
        """Tell the open dialog how its VM is now."""
        if self._open is not None and view.key == self._key:
            self._open.show_vm(view.vm)

    def vm_is_gone(self, key: VmKey) -> None:
        """Close the dialog of a VM that was removed."""
        if self._open is not None and key == self._key:
            name = self._open.vm.name
            self._open.reject()
            self.closed_by_vm.emit(name)

    def _show(self, view: VmView, make: Callable[[Vm], OperationDialog]) -> None:
        if self._open is not None:
            self._open.activateWindow()
            return
        dialog = make(view.vm)
        self._open, self._key = dialog, view.key
        dialog.submitted.connect(self._on_submitted)
        dialog.finished.connect(self._on_finished)
        dialog.open()

    def _on_submitted(self, planned: Plan) -> None:
        if self._key is None:
            return
        waits = isinstance(planned.operation, DeleteSnapshot)
        grace = self._settings.delete_grace_seconds if waits else 0
        self._session.submit(self._key, planned.operation, planned=planned, grace_seconds=grace)

    def _on_finished(self, _result: QDialog.DialogCode) -> None:
        self._open = self._key = None
