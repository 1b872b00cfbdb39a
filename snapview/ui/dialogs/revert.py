"""The dialog that puts a VM back: what is kept, what is lost, and the safety snapshot."""

import sys
from datetime import timedelta

from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from snapview.core.operations import Afterwards, RevertSnapshot
from snapview.core.planning import Plan, Refusal
from snapview.core.vm import Snapshot, SnapshotState, Vm
from snapview.session import AskPlan, plan_at_once
from snapview.ui.colours import Severity, current_theme
from snapview.ui.dialogs.base import OperationDialog
from snapview.ui.dialogs.plan_view import bullet, message_box, refusal_box, step_lines
from snapview.ui.dialogs.plan_words import free_bytes, way_text
from snapview.ui.format import date_text, plural, relative_text, size_text, time_text
from snapview.ui.icons import icon
from snapview.ui.retention import local_day
from snapview.ui.theme import GAP, INSET, SMALL_INSET, TINY
from snapview.ui.widgets import (
    ElidedLabel,
    IconLabel,
    clear,
    column,
    hairline,
    label,
    panel,
    row,
)

KEEP_DAYS = (3, 7, 14, 30, 90, 0)  # 0: for ever


class RevertDialog(OperationDialog):
    """Asks for a ``RevertSnapshot``."""

    def __init__(
        self,
        vm: Vm,
        wanted: RevertSnapshot,
        parent: QWidget | None = None,
        ask_plan: AskPlan = plan_at_once,
    ) -> None:
        """Offer a revert.

        Args:
            vm: the VM as last read.
            wanted: where to, and what is chosen at first.
            parent: the window.
            ask_plan: works out what would happen.
        """
        super().__init__(vm, parent, "revert", ask_plan)
        self._name = wanted.snapshot
        self._shown: object = None
        self.safety = QCheckBox(self.tr("Take a &safety snapshot first"))
        self.safety.setChecked(wanted.safety_snapshot)
        self._safety_note = label("", "secondary", wraps=True)
        self.keep = QComboBox()
        self.choices = {
            Afterwards.RUNNING: QRadioButton(self.tr("r&unning")),
            Afterwards.PAUSED: QRadioButton(self.tr("&paused")),
            Afterwards.OFF: QRadioButton(self.tr("&off")),
        }
        as_asked = wanted.afterwards is not Afterwards.AS_IT_WAS
        chosen = wanted.afterwards if as_asked else _most_likely(self._snapshot)
        self.choices[chosen].setChecked(True)
        self._afterwards_note = label("", "secondary", wraps=True)
        self._offer_days(wanted.keep_days)
        self.setWindowTitle(
            self.tr("Revert {vm} to “{what}”").format(vm=vm.name, what=self._snapshot.label)
        )
        self._kept = column(spacing=GAP)
        self._lost = column(spacing=GAP)
        self._more = column(spacing=GAP)
        self._build()
        self.safety.toggled.connect(self.replan)
        self.keep.currentIndexChanged.connect(self.replan)
        for each in self.choices.values():
            each.toggled.connect(self._on_choice_toggled)
        self.replan()
        self.resize(680, 620)
        self.start_at(self.go_button)

    @property
    def _snapshot(self) -> Snapshot:
        return self.vm.tree.get(self._name) or Snapshot(self._name)

    def operation(self) -> RevertSnapshot:
        """Return the revert as it is chosen now."""
        chosen = self._chosen()
        as_it_was = chosen is _as_it_was(self._snapshot)
        return RevertSnapshot(
            self.vm.uuid,
            self._name,
            safety_snapshot=self.safety.isChecked(),
            keep_days=self.keep.currentData(),
            afterwards=Afterwards.AS_IT_WAS if as_it_was else chosen,
        )

    def _chosen(self) -> Afterwards:
        return next(after for after, each in self.choices.items() if each.isChecked())

    def show_plan(self, planned: Plan | Refusal) -> None:
        """Show what is kept and lost, or the refusal."""
        safe = self.safety.isChecked()
        text = self.tr("&Keep and revert") if safe else self.tr("&Revert")
        is_loss = isinstance(planned, Plan) and bool(planned.lost)
        self.set_go(text, "revert", is_danger=is_loss)
        self.keep.setEnabled(safe)
        self._afterwards_note.setText(self._afterwards_text())
        if (planned, self.vm.storage) == self._shown:
            return
        self._shown = (planned, self.vm.storage)
        for layout in (self._kept, self._lost, self._more):
            clear(layout)
        self._kept.addWidget(label(self.tr("Kept"), "heading"))
        self._lost.addWidget(label(self.tr("Lost"), "heading"))
        if isinstance(planned, Refusal):
            self._more.addWidget(refusal_box(planned))
            self.note.setText("")
        else:
            self._show_accepted(planned)
        for layout in (self._kept, self._lost):
            layout.addStretch(1)

    def _show_accepted(self, planned: Plan) -> None:
        self._safety_note.setText(self._safety_text(planned))
        self.safety.setAccessibleDescription(self._safety_note.text())
        for text in planned.kept:
            self._kept.addLayout(bullet("good", text))
        for text in planned.lost:
            self._lost.addLayout(bullet("critical", text))
        if not planned.lost:
            self._lost.addLayout(bullet("minus", self.tr("Nothing")))
        for warning in planned.warnings:
            self._more.addWidget(message_box(Severity.WARNING, "", warning))
        head = row(spacing=GAP)
        head.addWidget(label(self.tr("What happens"), "heading"))
        head.addWidget(label(way_text(planned, self.vm), "secondary"), 1)
        self._more.addLayout(head)
        for step in planned.steps:
            self._more.addWidget(step_lines(step))
        undo = planned.undo or self.tr("This cannot be taken back.")
        self.note.setText(self.tr("Undo: {how}").format(how=undo) if planned.undo else undo)

    def _safety_text(self, planned: Plan) -> str:
        operation = planned.operation
        if not isinstance(operation, RevertSnapshot) or not operation.safety_snapshot:
            return self.tr("The state of now is thrown away, and nothing brings it back.")
        text = self.tr("The state of now is kept as “{title}”")
        if operation.keep_days is not None:
            text = self.tr("The state of now is kept as “{title}” until {day}")
        day = local_day() + timedelta(days=operation.keep_days or 0)
        said = [text.format(title=operation.safety_title, day=date_text(day))]
        if planned.extra_bytes_needed is not None:
            free = free_bytes(planned, self.vm)
            needs = self.tr("needs {size} of {free} free")
            said.append(
                needs.format(size=size_text(planned.extra_bytes_needed), free=size_text(free))
            )
        return "; ".join(said) + "."

    # -- building

    def _build(self) -> None:
        inner = panel("base")
        layout = column(inner, spacing=SMALL_INSET, margin=INSET)
        layout.addLayout(self._way())
        columns = row(spacing=INSET)
        columns.addLayout(self._kept, 1)
        columns.addLayout(self._lost, 1)
        layout.addLayout(columns)
        layout.addWidget(self._safety_box())
        self._add_afterwards(layout)
        layout.addWidget(hairline())
        layout.addLayout(self._more)
        layout.addStretch(1)
        column(self.body, spacing=0).addWidget(self.scrolled(inner))

    def _way(self) -> QVBoxLayout:
        """Return the line "You are here → the snapshot"."""
        line = row(spacing=10)
        line.addWidget(_place(self.tr("You are here"), "field"))
        line.addWidget(IconLabel(icon("arrow-right", current_theme().accent)))
        moment = self._snapshot.created_at
        target = f"{self._snapshot.label}, {time_text(moment)}"
        place = _place(target, "target")
        place.setToolTip(relative_text(moment))
        line.addWidget(place)
        line.addStretch(1)
        made = column(spacing=0)
        made.addLayout(line)
        return made

    def _safety_box(self) -> QWidget:
        box = panel("accent")
        layout = column(box, spacing=2, margin=SMALL_INSET)
        font = self.safety.font()
        font.setWeight(font.Weight.DemiBold)
        self.safety.setFont(font)
        head = row(spacing=GAP)
        head.addWidget(self.safety, 1)
        keep = label(self.tr("&keep"), "secondary")
        keep.setBuddy(self.keep)
        head.addWidget(keep)
        head.addWidget(self.keep)
        layout.addLayout(head)
        inset = row(spacing=0)
        inset.setContentsMargins(25, 0, 0, 0)
        inset.addWidget(self._safety_note)
        layout.addLayout(inset)
        return box

    def _offer_days(self, days: int | None) -> None:
        """Offer how long the safety snapshot is kept; after that it may go."""
        offered = {*KEEP_DAYS, days or 0}
        for each in sorted(offered, key=lambda each: each or sys.maxsize):
            text = plural(each, self.tr("for 1 day"), self.tr("for {number} days"))
            self.keep.addItem(text if each else self.tr("for ever"), each or None)
        self.keep.setCurrentIndex(self.keep.findData(days))
        self.keep.setAccessibleName(self.tr("How long the safety snapshot is kept"))
        self.keep.setToolTip(
            self.tr("Then it is marked as one that may go; it is never deleted by itself.")
        )

    def _add_afterwards(self, layout: QVBoxLayout) -> None:
        line = row(spacing=INSET)
        line.addWidget(label(self.tr("Afterwards the VM is"), "note"))
        group = QButtonGroup(self)
        for each in self.choices.values():
            group.addButton(each)
            line.addWidget(each)
        line.addStretch(1)
        layout.addLayout(line)
        layout.addWidget(self._afterwards_note)
        layout.addSpacing(TINY)

    def _afterwards_text(self) -> str:
        is_off = self._chosen() is Afterwards.OFF
        if self._snapshot.has_memory:
            if is_off:
                return self.tr("It is off; the memory that the snapshot holds is not used.")
            return self.tr("Programs go on where they were at the snapshot.")
        if is_off:
            return self.tr("It stays off until you start it.")
        return self.tr(
            "It starts from its disk, as after a power cut: this snapshot holds no memory."
        )

    def _on_choice_toggled(self) -> None:
        if self.sender() is None or any(each.isChecked() for each in self.choices.values()):
            self.replan()


def _place(text: str, kind: str) -> QWidget:
    place = panel(kind)
    layout = row(place, spacing=0)
    layout.setContentsMargins(10, 4, 10, 4)
    layout.addWidget(ElidedLabel(text, "heading"))
    return place


def _as_it_was(snapshot: Snapshot) -> Afterwards:
    """Return what the VM does after a revert when nothing else is asked for."""
    return {
        SnapshotState.RUNNING: Afterwards.RUNNING,
        SnapshotState.PAUSED: Afterwards.PAUSED,
    }.get(snapshot.state, Afterwards.OFF)


def _most_likely(snapshot: Snapshot) -> Afterwards:
    """Return what most people want the VM to do: what it did, also where no memory was kept."""
    if snapshot.state is SnapshotState.DISK_ONLY:
        return Afterwards.RUNNING
    return _as_it_was(snapshot)
