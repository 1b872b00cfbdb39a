"""Opens the dialogs about the shown VM, keeps them true while it changes, and submits.

Hides which dialog asks for which operation, that at most one is open, and what happens to it when
its VM changes or disappears.
"""

from collections.abc import Callable
from typing import assert_never

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QDialog, QWidget

from snapview.core.errors import SnapviewError
from snapview.core.operations import (
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    EndBlockJob,
    Operation,
    Recover,
    RevertSnapshot,
)
from snapview.core.planning import Plan
from snapview.core.vm import Vm
from snapview.session import Session, VmKey, VmView
from snapview.settings import Settings
from snapview.ui.dialogs.base import OperationDialog
from snapview.ui.dialogs.consolidate import ConsolidateDialog
from snapview.ui.dialogs.describe import DescribeDialog
from snapview.ui.dialogs.error_dialog import ErrorDialog
from snapview.ui.dialogs.remove import RemoveDialog
from snapview.ui.dialogs.revert import RevertDialog
from snapview.ui.dialogs.take_snapshot import TakeSnapshotDialog
from snapview.ui.dialogs.under_way import EndJobDialog, RecoverDialog
from snapview.ui.format import MIB


class DialogOpener(QObject):
    """One open dialog at a time, for one window."""

    closed_by_vm = Signal(str)  # the VM's name: it was removed while its dialog was open

    def __init__(self, window: QWidget, session: Session, settings: Settings) -> None:
        super().__init__(window)
        self._window = window
        self._session = session
        self._ask_plan = session.ask_plan
        self._settings = settings
        self._open: OperationDialog | None = None
        self._key: VmKey | None = None

    @property
    def open_dialog(self) -> OperationDialog | None:
        """The dialog that is open."""
        return self._open

    def take(self, view: VmView, *, memory: bool | None = None) -> None:
        """Offer to take a snapshot."""
        window, ask = self._window, self._ask_plan
        self._show(view, lambda vm: TakeSnapshotDialog(vm, window, ask, memory=memory))

    def revert(self, view: VmView, name: str) -> None:
        """Offer to revert to a snapshot."""
        safety, days = self._settings.safety_snapshot, self._settings.safety_keep_days
        wanted = RevertSnapshot(view.vm.uuid, name, safety_snapshot=safety, keep_days=days or None)
        self.ask(view, wanted)

    def remove(self, view: VmView, names: tuple[str, ...]) -> None:
        """Offer to merge or discard snapshots."""
        self.ask(view, DeleteSnapshot(view.vm.uuid, names))

    def describe(self, view: VmView, name: str) -> None:
        """Offer to change what a snapshot is called and says."""
        self._show(view, lambda vm: DescribeDialog(vm, name, self._window, self._ask_plan))

    def consolidate(self, view: VmView) -> None:
        """Offer to merge the VM's chains."""
        limit = self._settings.merge_mib_per_second * MIB
        self.ask(view, Consolidate(view.vm.uuid, bandwidth_bytes_per_second=limit))

    def ask(self, view: VmView, wanted: Operation, notice: str = "") -> bool:
        """Offer an operation, filled in; return False where another dialog is open already.

        Args:
            view: the VM as last read.
            wanted: what to offer.
            notice: why it is asked once more, shown above everything else.
        """
        if not self._show(view, lambda vm: self._dialog_for(vm, wanted)):
            return False
        if notice and self._open is not None:
            self._open.set_notice(notice, self.tr("Look at it again; nothing was touched."))
        return True

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

    def _dialog_for(self, vm: Vm, wanted: Operation) -> OperationDialog:
        window, ask, grace = self._window, self._ask_plan, self._settings.delete_grace_seconds
        match wanted:
            case CreateSnapshot():
                return TakeSnapshotDialog(vm, window, ask, wanted=wanted)
            case RevertSnapshot():
                return RevertDialog(vm, wanted, window, ask)
            case DeleteSnapshot():
                return RemoveDialog(vm, wanted, window, ask, grace_seconds=grace)
            case Consolidate():
                return ConsolidateDialog(vm, wanted, window, ask, grace_seconds=grace)
            case EditDescription(snapshot=name):
                return DescribeDialog(vm, name, window, ask)
            case EndBlockJob():
                return EndJobDialog(vm, wanted, window, ask)
            case Recover():
                return RecoverDialog(vm, wanted, window, ask)
            case _:
                assert_never(wanted)

    def _show(self, view: VmView, make: Callable[[Vm], OperationDialog]) -> bool:
        if self._open is not None:
            self._open.activateWindow()
            return False
        dialog = make(view.vm)
        self._open, self._key = dialog, view.key
        dialog.submitted.connect(self._on_submitted)
        dialog.finished.connect(self._on_finished)
        dialog.open()
        return True

    def _on_submitted(self, planned: Plan) -> None:
        if self._key is None:
            return
        waits = isinstance(planned.operation, DeleteSnapshot | Consolidate)
        grace = self._settings.delete_grace_seconds if waits else 0
        self._session.submit(self._key, planned.operation, planned=planned, grace_seconds=grace)

    def _on_finished(self, _result: QDialog.DialogCode) -> None:
        self._open = self._key = None
