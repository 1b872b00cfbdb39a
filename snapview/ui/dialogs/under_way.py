"""The dialogs about what is under way already: an interrupted operation, somebody's block job."""

from PySide6.QtWidgets import QButtonGroup, QRadioButton, QWidget

from snapview.core.operations import EndBlockJob, Operation, Recover
from snapview.core.planning import Plan, Refusal
from snapview.core.under_way import BlockJob, Interruption
from snapview.core.vm import Vm
from snapview.session import AskPlan, plan_at_once
from snapview.ui.colours import Severity
from snapview.ui.dialogs.base import OperationDialog
from snapview.ui.dialogs.plan_view import bullet, message_box, refusal_box, step_lines
from snapview.ui.format import relative_text, size_text, time_text
from snapview.ui.theme import GAP, INSET, SMALL_INSET, TINY
from snapview.ui.under_way_words import job_noun
from snapview.ui.widgets import clear, column, hairline, label, panel, row

INDENT = 25


class _ChoiceDialog(OperationDialog):
    """Offers to finish something or to take it back, and shows what either would do."""

    def __init__(
        self,
        vm: Vm,
        parent: QWidget | None,
        ask_plan: AskPlan,
        *,
        finish: bool,
        back_text: str,
    ) -> None:
        super().__init__(vm, parent, "tick", ask_plan)
        self._back_text = back_text
        self._shown: object = None
        self.finish = QRadioButton()
        self.back = QRadioButton()
        (self.finish if finish else self.back).setChecked(True)
        self._finish_note = label("", "secondary", wraps=True)
        self._back_note = label("", "secondary", wraps=True)
        self._intro = label("", wraps=True)
        self._steps = column(spacing=GAP)
        self._build()
        self.resize(600, 380)

    def begin(self) -> None:
        """Show the plan; subclasses call it when they are complete."""
        self.follow_vm()
        self.finish.toggled.connect(self.replan)
        self.replan()
        self.cancel_button.setFocus()

    def follow_vm(self) -> None:
        """Say anew what it is about, and which of the two is possible."""
        raise NotImplementedError

    def offer(self, choice: QRadioButton, operation: Operation, note: str) -> None:
        """Enable a choice as its plan allows; what forbids it is its note."""
        about = "finish" if choice is self.finish else "back"
        if not self.ask(about, operation, lambda planned: self._offer(choice, planned, note)):
            choice.setEnabled(False)

    def _offer(self, choice: QRadioButton, planned: Plan | Refusal, note: str) -> None:
        refused = planned.reason if isinstance(planned, Refusal) else ""
        choice.setEnabled(not refused)
        shown = self._finish_note if choice is self.finish else self._back_note
        shown.setText(refused or note)
        choice.setAccessibleDescription(shown.text())

    def show_vm(self, vm: Vm) -> None:
        """Go on with the VM as it is now."""
        if vm != self.vm:
            self.vm = vm
            self.follow_vm()
            self.replan()

    def show_plan(self, planned: Plan | Refusal) -> None:
        """Show the steps of the chosen way, or the refusal."""
        if planned == self._shown:
            return
        self._shown = planned
        clear(self._steps)
        is_loss = isinstance(planned, Plan) and bool(planned.lost)
        if self.finish.isChecked():
            self.set_go(self.tr("Finis&h"), "tick", is_danger=is_loss)
        else:
            self.set_go(self._back_text, "undo", is_danger=is_loss)
        if isinstance(planned, Refusal):
            self._steps.addWidget(refusal_box(planned))
        else:
            self._steps.addWidget(label(self.tr("What happens"), "heading"))
            for step in planned.steps:
                self._steps.addWidget(step_lines(step))
            for text in planned.kept:
                self._steps.addLayout(bullet("good", text))
            for text in planned.lost:
                self._steps.addLayout(bullet("critical", text))
            for warning in planned.warnings:
                self._steps.addWidget(message_box(Severity.WARNING, "", warning))
        self._steps.addStretch(1)

    def _build(self) -> None:
        inner = panel("base")
        layout = column(inner, spacing=SMALL_INSET, margin=INSET)
        layout.addWidget(self._intro)
        group = QButtonGroup(self)
        for choice, note in ((self.finish, self._finish_note), (self.back, self._back_note)):
            group.addButton(choice)
            lines = column(spacing=TINY)
            lines.addWidget(choice)
            indented = row(spacing=0)
            indented.setContentsMargins(INDENT, 0, 0, 0)
            indented.addWidget(note)
            lines.addLayout(indented)
            layout.addLayout(lines)
        layout.addWidget(hairline())
        layout.addLayout(self._steps)
        layout.addStretch(1)
        column(self.body, spacing=0).addWidget(self.scrolled(inner))
        self.set_intro("")

    def set_intro(self, text: str) -> None:
        """Say what it is about."""
        self._intro.setText(text)


class RecoverDialog(_ChoiceDialog):
    """Asks for a ``Recover``."""

    def __init__(
        self,
        vm: Vm,
        wanted: Recover,
        parent: QWidget | None = None,
        ask_plan: AskPlan = plan_at_once,
    ) -> None:
        back = self.tr("Ta&ke back")
        super().__init__(vm, parent, ask_plan, finish=wanted.finish, back_text=back)
        self._id = wanted.interruption
        self.setWindowTitle(self.tr("Interrupted on {vm}").format(vm=vm.name))
        self.finish.setText(self.tr("&Finish it"))
        self.back.setText(self.tr("&Take it back"))
        self.begin()

    def operation(self) -> Recover:
        """Return which of the two is chosen now."""
        return Recover(self.vm.uuid, self._id, finish=self.finish.isChecked())

    def follow_vm(self) -> None:
        """Say what was interrupted, and which ways lead out."""
        found = self.vm.interruption
        if found is not None:
            self.set_intro(self._story(found))
        finished = Recover(self.vm.uuid, self._id, finish=True)
        taken_back = Recover(self.vm.uuid, self._id, finish=False)
        self.offer(self.finish, finished, self.tr("Do what is left, as it was planned"))
        self.offer(self.back, taken_back, self.tr("Put things back as they were before"))

    def _story(self, found: Interruption) -> str:
        text = self.tr(
            "{what} began {when} ({time}) and did not come to its end: snapview or the computer "
            "was stopped meanwhile. Until that is settled, nothing else can be done to this VM."
        )
        what = found.what[:1].upper() + found.what[1:]
        when, time = relative_text(found.began_at), time_text(found.began_at)
        return text.format(what=what, when=when, time=time)


class EndJobDialog(_ChoiceDialog):
    """Asks for an ``EndBlockJob``."""

    def __init__(
        self,
        vm: Vm,
        wanted: EndBlockJob,
        parent: QWidget | None = None,
        ask_plan: AskPlan = plan_at_once,
    ) -> None:
        back = self.tr("A&bort")
        super().__init__(vm, parent, ask_plan, finish=wanted.finish, back_text=back)
        self._disk = wanted.disk
        self.setWindowTitle(self.tr("Job on {disk} of {vm}").format(disk=wanted.disk, vm=vm.name))
        self.finish.setText(self.tr("&Finish it"))
        self.back.setText(self.tr("&Abort it"))
        self.begin()

    def operation(self) -> EndBlockJob:
        """Return which of the two is chosen now."""
        return EndBlockJob(self.vm.uuid, self._disk, finish=self.finish.isChecked())

    def follow_vm(self) -> None:
        """Say what runs, how far it is, and how it can be ended."""
        job = next((job for job in self.vm.block_jobs if job.disk == self._disk), None)
        if job is not None:
            self.set_intro(self._story(job))
        finished = EndBlockJob(self.vm.uuid, self._disk, finish=True)
        aborted = EndBlockJob(self.vm.uuid, self._disk, finish=False)
        self.offer(self.finish, finished, self.tr("Move over to the image that it has made"))
        self.offer(self.back, aborted, self.tr("Stop it; the VM goes on as it is"))

    def _story(self, job: BlockJob) -> str:
        done, total = size_text(job.done_bytes), size_text(job.total_bytes)
        text = self.tr("{what} runs on {disk}, {done} of {total} so far.")
        if job.is_ready:
            text = self.tr("{what} on {disk} has caught up, and waits to be finished.")
        what = job_noun(job.type)
        said = text.format(what=what[:1].upper() + what[1:], disk=job.disk, done=done, total=total)
        whose = self.tr(
            "It was not begun in this window: by another program, or by a snapview that is gone. "
            "If another program still waits for it, leave it alone."
        )
        return f"{said} {whose}"
