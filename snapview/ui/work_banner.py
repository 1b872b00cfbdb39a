"""The banner for what is under way on a VM and is no job of this window."""

from PySide6.QtCore import Signal

from snapview.core.vm import Vm
from snapview.ui.banner import Banner, BannerAction
from snapview.ui.under_way_words import UnderWay, under_way


class WorkBanner(Banner):
    """Says what is interrupted or runs, and offers to settle it."""

    chosen = Signal(object)  # Operation: to be asked about

    def __init__(self) -> None:
        super().__init__()
        self._shown: UnderWay | None = None
        self.action_clicked.connect(self._on_action)

    def show_vm(self, vm: Vm | None, *, is_ours: bool) -> None:
        """Say what is under way on a VM, if it is nothing of this window's."""
        found = under_way(vm, is_ours=is_ours) if vm is not None else None
        if found == self._shown:
            return
        self._shown = found
        if found is None:
            self.clear()
            return
        actions = (BannerAction(offer.text, offer.why_not) for offer in found.offers)
        self.show_message(found.severity, found.text, *actions)

    def _on_action(self, at: int) -> None:
        if self._shown is not None:
            self.chosen.emit(self._shown.offers[at].operation)
