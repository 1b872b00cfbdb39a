"""The dialog that merges a VM's chains: which disks, how fast, which points are given up.

Hides that each disk is planned by itself to say what can be done about it, and all chosen ones
together to say what will happen.
"""

from dataclasses import dataclass, replace
from functools import partial

from PySide6.QtWidgets import QCheckBox, QComboBox, QLabel, QWidget

from snapview.core.moves import ForgetSnapshot
from snapview.core.operations import Consolidate, MergeBy
from snapview.core.planning import Plan, Refusal
from snapview.core.vm import DiskChain, Vm
from snapview.session import AskPlan, plan_at_once
from snapview.ui.colours import Severity
from snapview.ui.dialogs.base import OperationDialog
from snapview.ui.dialogs.chain_picture import Chain, ChainPicture
from snapview.ui.dialogs.figure_row import FigureRow
from snapview.ui.dialogs.pictures import chain_picture
from snapview.ui.dialogs.plan_table import plan_table
from snapview.ui.dialogs.plan_view import bullet, message_box, refusal_box, warnings_of
from snapview.ui.dialogs.plan_words import cost_figures
from snapview.ui.dialogs.remove import undo_note, upwards_box
from snapview.ui.format import plural
from snapview.ui.limits import SPEEDS, limit_text
from snapview.ui.theme import GAP, INSET, SMALL_INSET, TINY
from snapview.ui.widgets import clear, column, hairline, label, panel, row

INDENT = 25


@dataclass(slots=True)
class _DiskLine:
    """The widgets of one disk."""

    tick: QCheckBox
    note: QLabel
    caption: QLabel
    picture: ChainPicture

    def show_chain(self, chain: Chain | None) -> None:
        """Show the disk's picture; None: nothing is to be seen of it."""
        self.picture.setVisible(chain is not None)
        self.caption.setVisible(chain is not None and bool(self.caption.text()))
        if chain is not None:
            self.picture.show_chain(chain)


class ConsolidateDialog(OperationDialog):
    """Asks for a ``Consolidate``."""

    def __init__(
        self,
        vm: Vm,
        wanted: Consolidate,
        parent: QWidget | None = None,
        ask_plan: AskPlan = plan_at_once,
        *,
        grace_seconds: int = 0,
    ) -> None:
        """Offer to merge chains.

        Args:
            vm: the VM as last read.
            wanted: what is chosen at first; without disks, all that can be merged.
            parent: the window.
            ask_plan: works out what would happen.
            grace_seconds: how long it can be undone before it starts.
        """
        super().__init__(vm, parent, "merge", ask_plan)
        self._wanted = wanted
        self._grace_seconds = grace_seconds
        self._shown: object = None
        self._lines: dict[str, _DiskLine] = {}
        self._unknown: set[str] = set()  # disks of which it is being worked out what can be done
        self._chosen = wanted.disks  # until that is known
        self._disks = column(spacing=TINY)
        self._pictures = column(spacing=GAP)
        self._figures = FigureRow()
        self._facts = column(spacing=SMALL_INSET)
        self.speed = QComboBox()
        self.setWindowTitle(self.tr("Merge the chain of {vm}").format(vm=vm.name))
        self._offer_speeds(wanted.bandwidth_bytes_per_second)
        self._build()
        self._follow_vm()
        self.speed.currentIndexChanged.connect(self.replan)
        self.resize(720, 480)
        self.cancel_button.setFocus()

    @property
    def ticks(self) -> dict[str, QCheckBox]:
        """The tick boxes of the disks."""
        return {target: line.tick for target, line in self._lines.items()}

    def operation(self) -> Consolidate:
        """Return what is to be merged as it is chosen now."""
        chosen = tuple(target for target, tick in self.ticks.items() if tick.isChecked())
        return replace(
            self._wanted, disks=chosen, bandwidth_bytes_per_second=self.speed.currentData()
        )

    def replan(self) -> None:
        """Ask what would happen now, unless no disk is chosen: that would mean all of them."""
        if self.operation().disks:
            super().replan()
        elif not self._unknown:
            self._show_nothing_chosen()

    def show_vm(self, vm: Vm) -> None:
        """Go on with the VM as it is now."""
        if vm != self.vm:
            self._chosen = self._chosen if self._unknown else self.operation().disks
            self.vm = vm
            self._follow_vm()

    def show_plan(self, planned: Plan | Refusal) -> None:
        """Show what goes and what stays, or the refusal."""
        if (self.vm, planned) == self._shown:
            return
        self._shown = (self.vm, planned)
        clear(self._facts)
        moves = planned.moves if isinstance(planned, Plan) else ()
        for disk in self.vm.state_disks:
            line = self._lines[disk.target]
            is_shown = bool(moves) and line.tick.isChecked()
            line.show_chain(chain_picture(self.vm, disk, moves) if is_shown else None)
        if isinstance(planned, Refusal):
            self.set_go(self.tr("&Merge"), "merge")
            self._figures.show_figures(())
            self._facts.addWidget(refusal_box(planned))
            self.note.setText("")
        else:
            self._show_accepted(planned)
        self._facts.addStretch(1)

    def _show_accepted(self, planned: Plan) -> None:
        self.set_go(self.tr("&Merge"), "merge", is_danger=bool(planned.lost))
        self._figures.show_figures(cost_figures(planned, self.vm))
        if self._wanted.merge_by is MergeBy.PULL:
            self._facts.addWidget(upwards_box())
        for text in planned.lost:
            self._facts.addLayout(bullet("critical", text))
        for warning in warnings_of(planned):
            self._facts.addWidget(message_box(Severity.WARNING, "", warning))
        self._facts.addLayout(plan_table(replace(planned, lost=()), self.vm))
        self.note.setText(undo_note(planned, self._grace_seconds))

    def _show_nothing_chosen(self) -> None:
        self._shown = None
        clear(self._facts)
        self._figures.show_figures(())
        for line in self._lines.values():
            line.show_chain(None)
        text = self.tr("Tick a disk whose images are to become one.")
        self._facts.addWidget(label(text, "note", wraps=True))
        self._facts.addStretch(1)
        self.note.setText("")
        self.forget_plan(text)

    # -- building and following

    def _build(self) -> None:
        inner = panel("base")
        layout = column(inner, spacing=SMALL_INSET, margin=INSET)
        explained = self.tr(
            "Images that lie on one another become one. The VM keeps its state of now; the points "
            "in between are given up."
        )
        layout.addWidget(label(explained, "note", wraps=True))
        layout.addLayout(self._disks)
        line = row(spacing=GAP)
        caption = label(self.tr("&Copy at most"), "note")
        caption.setBuddy(self.speed)
        line.addWidget(caption)
        line.addWidget(self.speed)
        line.addWidget(label(self.tr("can be changed while it runs"), "secondary"))
        line.addStretch(1)
        layout.addLayout(line)
        layout.addLayout(self._pictures)
        layout.addWidget(self._figures)
        layout.addWidget(hairline())
        layout.addLayout(self._facts)
        column(self.body, spacing=0).addWidget(self.scrolled(inner))

    def _offer_speeds(self, wanted: int) -> None:
        for speed in sorted({*SPEEDS, wanted}, reverse=True, key=lambda s: s or float("inf")):
            self.speed.addItem(limit_text(speed), speed)
        self.speed.setCurrentIndex(self.speed.findData(wanted))
        self.speed.setAccessibleName(self.tr("How fast it may copy"))

    def _follow_vm(self) -> None:
        """Make a line for each disk, and ask what can be done about it alone."""
        for target in self._unknown:
            self.drop(target)
        self.await_plan()
        clear(self._disks)
        clear(self._pictures)
        disks = self.vm.state_disks
        self._lines = {disk.target: self._add_line(disk) for disk in disks}
        self._unknown = set(self._lines)
        for disk in disks:
            alone = replace(self._wanted, disks=(disk.target,))
            self.ask(disk.target, alone, partial(self._on_alone_planned, disk.target))
        if not disks:
            self.replan()

    def _add_line(self, disk: DiskChain) -> _DiskLine:
        caption = "" if len(self.vm.state_disks) == 1 else disk.target
        tick, note = QCheckBox(self._disk_text(disk)), label("", "secondary", wraps=True)
        line = _DiskLine(tick, note, label(caption, "caption"), ChainPicture())
        tick.setEnabled(False)
        tick.clicked.connect(self.replan)
        indented = row(spacing=0)
        indented.setContentsMargins(INDENT, 0, 0, TINY)
        indented.addWidget(note)
        self._disks.addWidget(tick)
        self._disks.addLayout(indented)
        self._pictures.addWidget(line.caption)
        self._pictures.addWidget(line.picture)
        line.show_chain(None)
        return line

    def _on_alone_planned(self, target: str, alone: Plan | Refusal) -> None:
        """Say what can be done about a disk, or why nothing can; the last one completes it."""
        line, is_possible = self._lines[target], isinstance(alone, Plan)
        line.tick.setEnabled(is_possible)
        line.tick.setChecked(is_possible and (not self._chosen or target in self._chosen))
        said = self._gain_text(alone) if isinstance(alone, Plan) else alone.reason
        line.note.setText(said)
        line.tick.setAccessibleDescription(said)
        self._unknown.discard(target)
        if not self._unknown:
            self.replan()

    def _disk_text(self, disk: DiskChain) -> str:
        count = plural(len(disk.layers), self.tr("1 image"), self.tr("{number} images"))
        return self.tr("{disk}: {images}").format(disk=disk.target, images=count)

    def _gain_text(self, alone: Plan) -> str:
        # Not the sentences on what is lost: of many points only the first ones are named there.
        points = sum(isinstance(move, ForgetSnapshot) for move in alone.moves)
        if not points:
            return self.tr("No point is given up")
        return plural(
            points,
            self.tr("1 point to revert to is given up"),
            self.tr("{number} points to revert to are given up"),
        )
