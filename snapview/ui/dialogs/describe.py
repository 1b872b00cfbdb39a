"""The dialog that changes what a snapshot is called and says."""

from PySide6.QtWidgets import QLineEdit, QPlainTextEdit, QWidget

from snapview.core.operations import EditDescription
from snapview.core.planning import Plan, Refusal
from snapview.core.vm import Vm
from snapview.ui.dialogs.base import OperationDialog
from snapview.ui.dialogs.plan_view import refusal_box
from snapview.ui.theme import GAP, INSET, TINY
from snapview.ui.widgets import clear, column, label


class DescribeDialog(OperationDialog):
    """Asks for an ``EditDescription``."""

    def __init__(self, vm: Vm, snapshot: str, parent: QWidget | None = None) -> None:
        super().__init__(vm, parent, "", ("", "tick"))
        self._name = snapshot
        found = vm.tree[snapshot]
        self.setWindowTitle(self.tr("Describe “{what}”").format(what=found.label))
        self.set_go(self.tr("&Save"), "tick")
        self.title = QLineEdit(found.label)
        self.description = QPlainTextEdit(found.description)
        self._problem = column(spacing=0)
        self._build()
        self.title.textChanged.connect(self.replan)
        self.description.textChanged.connect(self.replan)
        self.replan()
        self.resize(520, 340)
        self.description.setFocus()

    def operation(self) -> EditDescription:
        """Return the words as they are typed now."""
        title = " ".join(self.title.text().split())
        text = self.description.toPlainText().strip()
        return EditDescription(self.vm.uuid, self._name, title, text)

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
        layout.addLayout(self._problem)
