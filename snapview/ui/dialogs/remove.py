"""The dialog that merges or discards snapshots; the plan says which of the two it is.

Hides how word, icon, picture and button follow from the plan's acts.
"""

from dataclasses import replace

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QCheckBox, QWidget

from snapview.core.operations import DeleteSnapshot, MergeBy
from snapview.core.planning import Act, Plan, Refusal
from snapview.core.vm import Vm
from snapview.session import AskPlan, plan_at_once
from snapview.ui.colours import Severity
from snapview.ui.dialogs.base import OperationDialog
from snapview.ui.dialogs.chain_picture import ChainPicture
from snapview.ui.dialogs.figure_row import FigureRow
from snapview.ui.dialogs.pictures import removal_picture
from snapview.ui.dialogs.plan_table import plan_table
from snapview.ui.dialogs.plan_view import message_box, refusal_box, warnings_of
from snapview.ui.dialogs.plan_words import cost_figures
from snapview.ui.format import count_text, plural
from snapview.ui.theme import INSET, SMALL_INSET
from snapview.ui.widgets import clear, column, hairline, panel


class RemoveDialog(OperationDialog):
    """Asks for a ``DeleteSnapshot``."""

    def __init__(
        self,
        vm: Vm,
        wanted: DeleteSnapshot,
        parent: QWidget | None = None,
        ask_plan: AskPlan = plan_at_once,
        *,
        grace_seconds: int = 0,
    ) -> None:
        """Offer to remove snapshots.

        Args:
            vm: the VM as last read.
            wanted: the selected ones, and how to merge.
            parent: the window.
            ask_plan: works out what would happen.
            grace_seconds: how long it can be undone before it starts.
        """
        super().__init__(vm, parent, "discard", ask_plan)
        self._wanted = wanted
        self._grace_seconds = grace_seconds
        self._shown: tuple[Vm, Plan | Refusal] | None = None
        self.subtree = QCheckBox()
        self._picture = ChainPicture()
        self._figures = FigureRow()
        self._facts = column(spacing=SMALL_INSET)
        self._build()
        self._follow_vm()
        self._may_tick = not wanted.subtree and wanted.merge_by is not MergeBy.PULL
        self.subtree.setChecked(wanted.subtree)
        self.subtree.toggled.connect(self.replan)
        self.subtree.clicked.connect(self._on_subtree_clicked)
        self.replan()
        self.resize(680, 420)
        # Without time to think again, Enter must not lose anything.
        self.start_at(self.go_button if grace_seconds else self.cancel_button)

    def operation(self) -> DeleteSnapshot:
        """Return what is to be removed as it is chosen now."""
        with_subtree = self.subtree.isChecked() and not self.subtree.isHidden()
        return replace(self._wanted, subtree=with_subtree)

    def show_vm(self, vm: Vm) -> None:
        """Go on with the VM as it is now."""
        if vm != self.vm:
            self.vm = vm
            self._follow_vm()
            self.replan()

    def show_plan(self, planned: Plan | Refusal) -> None:
        """Show what goes and what stays, or the refusal."""
        may_tick, self._may_tick = self._may_tick, False
        if isinstance(planned, Refusal) and may_tick and self._descendants():
            whole = replace(self._wanted, subtree=True)
            self.ask("subtree", whole, self._on_whole_planned)
            if self.subtree.isChecked():
                return  # it has been planned anew, and shown
        if (self.vm, planned) == self._shown:
            return
        self._shown = (self.vm, planned)
        clear(self._facts)
        word = self._word(planned)
        self.setWindowTitle(self._title(word))
        if isinstance(planned, Refusal):
            self.set_go(word, "discard")
            self._picture.hide()
            self._figures.show_figures(())
            self._facts.addWidget(refusal_box(planned))
            self.note.setText("")
        else:
            self._show_accepted(planned, word)
        self._facts.addStretch(1)

    # -- words

    def _word(self, planned: Plan | Refusal) -> str:
        if isinstance(planned, Refusal):
            return self.tr("Remove")
        if Act.DISCARD not in planned.acts:
            return self.tr("Merge")
        return self.tr("Merge and discard") if Act.MERGE in planned.acts else self.tr("Discard")

    def _title(self, word: str) -> str:
        tree, names = self.vm.tree, self._wanted.snapshots
        if len(names) == 1:
            found = tree.get(names[0])
            what = f"“{found.label if found else names[0]}”"
        else:
            what = count_text(len(names))
        return self.tr("{word} {what} of {vm}").format(word=word, what=what, vm=self.vm.name)

    # -- showing

    def _show_accepted(self, planned: Plan, word: str) -> None:
        assert isinstance(planned.operation, DeleteSnapshot)
        count = len(planned.operation.snapshots)
        is_loss = Act.DISCARD in planned.acts
        text = word if count == 1 else f"{word} {count}"
        self.set_go(f"&{text}", "discard" if is_loss else "merge", is_danger=is_loss)
        self._show_picture(planned)
        self._figures.show_figures(cost_figures(planned, self.vm))
        if self._wanted.merge_by is MergeBy.PULL and Act.MERGE in planned.acts:
            self._facts.addWidget(upwards_box())
        for warning in warnings_of(planned):
            self._facts.addWidget(message_box(Severity.WARNING, "", warning))
        self._facts.addLayout(plan_table(planned, self.vm))
        self.note.setText(undo_note(planned, self._grace_seconds))

    def _show_picture(self, planned: Plan) -> None:
        assert isinstance(planned.operation, DeleteSnapshot)
        names = planned.operation.snapshots
        self._picture.setVisible(len(names) == 1)
        if len(names) == 1:
            picture = removal_picture(
                self.vm,
                names[0],
                merges=Act.DISCARD not in planned.acts,
                merge_by=planned.operation.merge_by,
                copied_bytes=planned.bytes_to_copy,
            )
            self._picture.show_chain(picture)

    # -- building and following

    def _build(self) -> None:
        inner = panel("base")
        layout = column(inner, spacing=SMALL_INSET, margin=INSET)
        layout.addWidget(self._picture)
        layout.addWidget(self.subtree)
        layout.addWidget(self._figures)
        layout.addWidget(hairline())
        layout.addLayout(self._facts)
        column(self.body, spacing=0).addWidget(self.scrolled(inner))

    def _follow_vm(self) -> None:
        count = len(self._descendants())
        self.subtree.setVisible(count > 0)
        one = self.tr("Also the &1 snapshot that stands on it")
        many = self.tr("&Also the {number} snapshots that stand on it")
        self.subtree.setText(plural(count, one, many))

    def _descendants(self) -> set[str]:
        tree, names = self.vm.tree, self._wanted.snapshots
        found: dict[str, None] = {}
        waiting = [name for name in names if name in tree]
        for name in waiting:  # grows while it is walked; no branch is walked twice
            if name not in found:
                found[name] = None
                waiting += tree.children(name)
        return found.keys() - set(names)

    def _on_whole_planned(self, planned: Plan | Refusal) -> None:
        """Tick what can only go with all that stands on it; that plans anew."""
        if isinstance(planned, Plan):
            self.subtree.setChecked(True)

    def _on_subtree_clicked(self) -> None:
        self.drop("subtree")  # the user has chosen


def upwards_box() -> QWidget:
    """Return the box that says what merging upwards is."""
    return message_box(
        Severity.NOTE,
        _tr("Merged upwards"),
        _tr(
            "The host’s QEMU may not write to the lower image, so what is in it is copied up "
            "into the upper one. That copies more, and works all the same."
        ),
    )


def undo_note(planned: Plan, grace_seconds: int) -> str:
    """Return how a removal can be taken back, if at all."""
    if planned.undo:
        return _tr("Undo: {how}").format(how=planned.undo)
    if grace_seconds:
        text = _tr("It starts after {seconds} s; until then it can be undone. Then it is final.")
        return text.format(seconds=grace_seconds)
    return _tr("This cannot be taken back.")


def _tr(text: str) -> str:
    return QCoreApplication.translate("RemoveDialog", text)
