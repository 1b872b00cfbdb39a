"""The dialog that changes what a snapshot is called and says."""

from datetime import date

from PySide6.QtWidgets import QCheckBox, QLineEdit, QPlainTextEdit, QWidget

from snapview.core.marks import Marks, with_marks, words_of
from snapview.core.operations import EditDescription
from snapview.core.planning import Plan, Refusal
from snapview.core.vm import Vm
from snapview.session import AskPlan, plan_at_once
from snapview.ui.dialogs.base import OperationDialog
from snapview.ui.dialogs.plan_view import refusal_box
from snapview.ui.format import date_text
from snapview.ui.retention import marks
from snapview.ui.theme import GAP, INSET, TINY
from snapview.ui.widgets import clear, column, label


class DescribeDialog(OperationDialog):
    """Asks for an ``EditDescription``."""

    def __init__(
        self,
        vm: Vm,
        snapshot: str,
        parent: QWidget | None = None,
        ask_plan: AskPlan = plan_at_once,
    ) -> None:
        super().__init__(vm, parent, "tick", ask_plan)
        self._name = snapshot
        found = vm.tree[snapshot]
        self.setWindowTitle(self.tr("Describe “{what}”").format(what=found.label))
        self.set_go(self.tr("&Save"), "tick")
        self.title = QLineEdit(found.label)
        self.description = QPlainTextEdit(words_of(found.description))
        self.keep = QCheckBox()
        self._problem = column(spacing=0)
        self._build()
        self.title.textChanged.connect(self.replan)
        self.description.textChanged.connect(self.replan)
        self.keep.toggled.connect(self.replan)
        self.replan()
        self.resize(520, 340)
        self.description.setFocus()

    def operation(self) -> EditDescription:
        """Return the words as they are typed now."""
        title = " ".join(self.title.text().split())
        text = self.description.toPlainText().strip()
        until = self._kept_until() if self.keep.isChecked() else None
        marked = with_marks(text, Marks(kept_until=until)) if until else text
        return EditDescription(self.vm.uuid, self._name, title, marked)

    def _kept_until(self) -> date | None:
        found = self.vm.tree.get(self._name)
        return marks(found).kept_until if found else None

    def show_plan(self, planned: Plan | Refusal) -> None:
        """Show why it is not possible, if so."""
        clear(self._problem)
        if isinstance(planned, Refusal):
            self._problem.addWidget(refusal_box(planned))
        self.note.setText(self.tr("In virsh it stays “{name}”").format(name=self._name))

    def _build(self) -> None:
        layout = column(self.body, spacing=TINY, margin=INSET)
        for text, field, name in (
            (self.tr("&Name"), self.title, self.tr("Name")),
            (self.tr("&Description"), self.description, self.tr("Description")),
        ):
            caption = label(text, "caption")
            caption.setBuddy(field)
            field.setAccessibleName(name)
            layout.addWidget(caption)
            layout.addWidget(field)
            layout.addSpacing(GAP)
        self.title.setMaxLength(200)
        self.title.setCursorPosition(0)
        self.description.setTabChangesFocus(True)
        until = self._kept_until()
        self.keep.setVisible(until is not None)
        if until is not None:
            self.keep.setText(self.tr("&May go after {day}").format(day=date_text(until)))
            self.keep.setToolTip(self.tr("Untick it to keep this state for ever"))
            self.keep.setChecked(True)
        layout.addWidget(self.keep)
        layout.addLayout(self._problem)
