"""The dialog that takes a snapshot: what to call it and keep at the left, the plan at the right.

Hides which kind is offered first: the recommended one, as long as the user has chosen none.
"""

from dataclasses import replace
from datetime import datetime

from PySide6.QtCore import QLocale, Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QCheckBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QRadioButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from snapview.core.operations import CreateSnapshot
from snapview.core.planning import Plan, Refusal, RefusalCode, recommended_kind
from snapview.core.vm import RunState, SnapshotKind, Vm
from snapview.session import AskPlan, plan_at_once
from snapview.ui.colours import Severity
from snapview.ui.dialogs.base import OperationDialog
from snapview.ui.dialogs.plan_view import PlanView
from snapview.ui.icons import icon
from snapview.ui.theme import GAP, INSET, SMALL_INSET, TINY
from snapview.ui.widgets import IconLabel, column, hairline, label, panel, row

LEFT_WIDTH = 330
INDENT = 25  # of the words under a radio button
TITLE_LIMIT = 200  # letters: a title is a line, not a page


class TakeSnapshotDialog(OperationDialog):
    """Asks for a ``CreateSnapshot``."""

    def __init__(
        self,
        vm: Vm,
        parent: QWidget | None = None,
        ask_plan: AskPlan = plan_at_once,
        *,
        memory: bool | None = None,
        wanted: CreateSnapshot | None = None,
    ) -> None:
        """Offer a snapshot.

        Args:
            vm: the VM as last read.
            parent: the window.
            ask_plan: works out what would happen.
            memory: preselect with or without memory; None: with, when the VM has any.
            wanted: what was filled in before, when it is asked once more.
        """
        super().__init__(vm, parent, "camera", ask_plan)
        self.setWindowTitle(self.tr("Take snapshot of {vm}").format(vm=vm.name))
        self.set_go(self.tr("&Take snapshot"), "camera")
        self.name = QLineEdit(self._offered_title())
        self.name.setMaxLength(TITLE_LIMIT)
        self.description = QPlainTextEdit()
        self.with_memory = QRadioButton(self.tr("Disk and &memory"))
        self.disk_only = QRadioButton(self.tr("Dis&k only"))
        self.internal = QRadioButton()
        self.external = QRadioButton()
        self.quiesce = QCheckBox(self.tr("&Freeze the guest’s file systems"))
        self.mix = QCheckBox(self.tr("Mi&x them all the same"))
        self._mix_box = panel(Severity.WARNING.value)
        self._mix_reason = label("", wraps=True)
        self._quiesce_note = label("", "secondary", wraps=True)
        self._memory_note = label("", "secondary", wraps=True)
        self._disk_note = label("", "secondary", wraps=True)
        self._kind_was_chosen = False
        self._mix_asked: tuple[Vm, CreateSnapshot] | None = None
        self.view = PlanView()
        self._build()
        self._follow_vm()
        wants_memory = vm.run_state.is_active if memory is None else memory
        (self.with_memory if wants_memory else self.disk_only).setChecked(True)
        self._choose_kind()
        if wanted is not None:
            self._fill_in(wanted)
        self._follow_quiesce()
        self._connect()
        self.replan()
        self.resize(740, 540)
        self.name.setFocus()
        self.name.selectAll()

    def operation(self) -> CreateSnapshot:
        """Return the snapshot as it is described now."""
        return CreateSnapshot(
            self.vm.uuid,
            title=" ".join(self.name.text().split()),
            description=self.description.toPlainText().strip(),
            kind=SnapshotKind.INTERNAL if self.internal.isChecked() else SnapshotKind.EXTERNAL,
            memory=self.with_memory.isChecked(),
            quiesce=self.quiesce.isEnabled() and self.quiesce.isChecked(),
            mix=self.mix.isChecked() and not self._mix_box.isHidden(),
        )

    def _fill_in(self, wanted: CreateSnapshot) -> None:
        self.name.setText(wanted.title)
        self.description.setPlainText(wanted.description)
        self._kind_was_chosen = True
        (self.with_memory if wanted.memory else self.disk_only).setChecked(True)
        self.drop("kind")
        self._kind_button(wanted.kind).setChecked(True)
        self.quiesce.setChecked(wanted.quiesce)
        self.mix.setChecked(wanted.mix)

    def show_plan(self, planned: Plan | Refusal) -> None:
        """Show the verdict, what it takes, and the steps."""
        is_said = isinstance(planned, Refusal) and planned.code is RefusalCode.MIXED
        self.view.setVisible(not (is_said and not self._mix_box.isHidden()))
        self.view.show_plan(planned, self.vm)
        undo = planned.undo if isinstance(planned, Plan) else ""
        self.note.setText(self.tr("Undo: {how}").format(how=undo) if undo else "")

    def replan(self) -> None:
        """Ask what would happen now; where kinds would be mixed, offer to do so all the same."""
        self._follow_mix()
        super().replan()

    def show_vm(self, vm: Vm) -> None:
        """Go on with the VM as it is now."""
        if vm == self.vm:
            return
        self.vm = vm
        self._follow_vm()
        self._on_memory_toggled()

    # -- building

    def _build(self) -> None:
        halves = row(self.body, spacing=0)
        left = QWidget()
        left.setFixedWidth(LEFT_WIDTH)
        form = column(left, spacing=TINY)
        form.setContentsMargins(INSET, INSET, INSET, INSET)
        self._add_names(form)
        form.addSpacing(GAP)
        form.addWidget(label(self.tr("What to keep"), "caption"))
        self._add_choice(form, self.with_memory, self._memory_note)
        self._add_choice(form, self.disk_only, self._disk_note)
        form.addSpacing(GAP)
        form.addWidget(label(self.tr("Where"), "caption"))
        inside = self.tr("Internal: no new file, and branches are easy")
        self._add_choice(form, self.internal, label(inside, "secondary", wraps=True))
        beside = self.tr("External: the image is frozen, writing goes to an overlay")
        self._add_choice(form, self.external, label(beside, "secondary", wraps=True))
        form.addSpacing(GAP)
        form.addWidget(hairline())
        form.addSpacing(TINY)
        self._add_choice(form, self.quiesce, self._quiesce_note)
        form.addStretch(1)
        halves.addWidget(left)
        halves.addWidget(hairline(vertical=True))
        halves.addWidget(self._plan_area(), 1)
        for buttons in ((self.with_memory, self.disk_only), (self.internal, self.external)):
            group = QButtonGroup(self)
            for each in buttons:
                group.addButton(each)

    def _add_names(self, form: QVBoxLayout) -> None:
        name = label(self.tr("&Name"), "caption")
        name.setBuddy(self.name)
        description = label(self.tr("&Description (optional)"), "caption")
        description.setBuddy(self.description)
        self.name.setAccessibleName(self.tr("Name"))
        self.description.setAccessibleName(self.tr("Description"))
        self.description.setPlaceholderText(self.tr("What will you try next?"))
        self.description.setTabChangesFocus(True)
        self.description.setFixedHeight(56)
        form.addWidget(name)
        form.addWidget(self.name)
        form.addSpacing(GAP)
        form.addWidget(description)
        form.addWidget(self.description)

    def _add_choice(self, form: QVBoxLayout, choice: QAbstractButton, note: QLabel) -> None:
        form.addSpacing(TINY)
        form.addWidget(choice)
        inset = row(spacing=0)
        inset.setContentsMargins(INDENT, 0, 0, 0)
        inset.addWidget(note)
        form.addLayout(inset)
        choice.setAccessibleDescription(note.text())

    def _plan_area(self) -> QScrollArea:
        inner = panel("base")
        layout = column(inner, spacing=SMALL_INSET, margin=INSET)
        box = column(self._mix_box, spacing=6, margin=SMALL_INSET)
        head = row(spacing=10)
        mark = IconLabel(icon(Severity.WARNING.value))
        head.addWidget(mark, 0, Qt.AlignmentFlag.AlignTop)
        head.addWidget(self._mix_reason, 1)
        box.addLayout(head)
        box.addWidget(self.mix)
        self._mix_box.hide()
        layout.addWidget(self._mix_box)
        layout.addWidget(self.view)
        layout.addStretch(1)
        area = self.scrolled(inner)
        area.setFocusPolicy(Qt.FocusPolicy.WheelFocus)  # as long plans are read by keys, too
        area.setAccessibleName(self.tr("What will happen"))
        return area

    def _connect(self) -> None:
        self.name.textChanged.connect(self.replan)
        self.description.textChanged.connect(self.replan)
        self.with_memory.toggled.connect(self._on_memory_toggled)
        self.internal.clicked.connect(self._on_kind_clicked)
        self.external.clicked.connect(self._on_kind_clicked)
        self.internal.toggled.connect(self._on_kind_toggled)
        self.quiesce.toggled.connect(self.replan)
        self.mix.toggled.connect(self.replan)

    # -- following choices and the VM

    def _on_memory_toggled(self) -> None:
        if not self._kind_was_chosen:
            self._choose_kind()
        self._follow_quiesce()
        self.replan()

    def _on_kind_clicked(self) -> None:
        self._kind_was_chosen = True
        self.drop("kind")

    def _on_kind_toggled(self) -> None:
        self._follow_quiesce()
        self.replan()

    def _choose_kind(self) -> None:
        """Preselect the recommended kind, or the other one where only that is possible."""
        recommended = recommended_kind(self.vm)
        other = (
            SnapshotKind.EXTERNAL if recommended is SnapshotKind.INTERNAL else SnapshotKind.INTERNAL
        )
        asked = replace(self.operation(), title="", quiesce=False)
        self._kind_button(recommended).setChecked(True)

        def on_recommended(planned: Plan | Refusal) -> None:
            if isinstance(planned, Refusal):
                self.ask("kind", replace(asked, kind=other), on_other)

        def on_other(planned: Plan | Refusal) -> None:
            if isinstance(planned, Plan):
                self._kind_button(other).setChecked(True)

        self.ask("kind", replace(asked, kind=recommended), on_recommended)

    def _kind_button(self, kind: SnapshotKind) -> QRadioButton:
        return self.internal if kind is SnapshotKind.INTERNAL else self.external

    def _follow_vm(self) -> None:
        is_active = self.vm.run_state.is_active
        self.with_memory.setEnabled(is_active)
        note = self.tr("Programs go on where they were")
        if not is_active:
            note = self.tr("The VM is off and has no memory to keep")
            self.disk_only.setChecked(True)
        self._memory_note.setText(note)
        like_a_cut = self.tr("Like after a power cut; starts afresh")
        self._disk_note.setText(like_a_cut if is_active else self.tr("All there is of it now"))
        mark = self.tr("{where} (recommended)")
        inside, beside = self.tr("&Inside the image"), self.tr("In n&ew files")
        is_internal = recommended_kind(self.vm) is SnapshotKind.INTERNAL
        self.internal.setText(mark.format(where=inside) if is_internal else inside)
        self.external.setText(beside if is_internal else mark.format(where=beside))
        self._follow_quiesce()

    def _follow_quiesce(self) -> None:
        reason = self._why_no_quiesce()
        self.quiesce.setEnabled(not reason)
        note = self.tr(
            "The guest agent writes everything out and holds still for an instant, ten seconds at "
            "most; the disk is then clean, not as after a power cut"
        )
        self._quiesce_note.setText(reason or note)
        self.quiesce.setAccessibleDescription(reason or note)

    def _follow_mix(self) -> None:
        """Show the tick to mix kinds, with the reason, only where it makes a difference."""
        asked = replace(self.operation(), mix=False, title="", description="")
        if self._mix_asked == (self.vm, asked):  # typing changes nothing about it
            return
        self._mix_asked = (self.vm, asked)

        def on_unmixed(without: Plan | Refusal) -> None:
            if not isinstance(without, Refusal) or without.code is not RefusalCode.MIXED:
                self._offer_mix("")
                return
            mixed, reason = replace(asked, mix=True), without.reason
            self.ask("mix", mixed, lambda it: self._offer_mix(reason if _works(it) else ""))

        self.ask("mix", asked, on_unmixed)

    def _offer_mix(self, reason: str) -> None:
        """Offer to mix kinds; without a reason it is no question."""
        was_hidden = self._mix_box.isHidden()
        if reason:
            self._mix_reason.setText(reason)
            self.mix.setAccessibleDescription(reason)
        self._mix_box.setVisible(bool(reason))
        if was_hidden == bool(reason):
            super().replan()

    def _why_no_quiesce(self) -> str:
        if self.vm.run_state is not RunState.RUNNING:
            return self.tr("Only while the VM runs")
        if self.with_memory.isChecked() or self.internal.isChecked():
            return self.tr("Only for “disk only” in new files")
        if not self.vm.hardware.has_guest_agent:
            return self.tr("Needs the QEMU guest agent; this VM has no channel for it")
        return ""

    def _offered_title(self) -> str:
        """Return a name that is not taken: what most people want to say, and when."""
        now = datetime.now().astimezone()
        month = QLocale().monthName(now.month, QLocale.FormatType.ShortFormat)
        moment = f"{now.day} {month} {now:%H:%M}"
        offered = self.tr("before changes, {moment}").format(moment=moment)
        taken = {snapshot.label for snapshot in self.vm.tree}
        number, title = 1, offered
        while title in taken:
            number += 1
            title = f"{offered} ({number})"
        return title


def _works(planned: Plan | Refusal) -> bool:
    return isinstance(planned, Plan)
