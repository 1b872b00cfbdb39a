"""The strip at the bottom: a row for each job, with its progress and how to stop or undo it.

Hides how a job's state becomes words, a bar and buttons, and how long a finished row stays.
"""

import time
from typing import assert_never

from PySide6.QtCore import QCoreApplication, QTimer, Signal
from PySide6.QtWidgets import (
    QAbstractButton,
    QProgressBar,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from snapview.core.operations import (
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    EndBlockJob,
    Failed,
    Operation,
    Progress,
    Recover,
    RevertSnapshot,
)
from snapview.core.planning import Act, Plan, plan
from snapview.core.vm import Vm
from snapview.session import JobState, JobView
from snapview.ui.buttons import button
from snapview.ui.colours import Severity
from snapview.ui.format import duration_text, plural, size_text
from snapview.ui.icons import icon
from snapview.ui.theme import GAP, INSET, JOB_ROW
from snapview.ui.widgets import ElidedLabel, IconLabel, clear, column, hairline, row

PROGRESS_DELAY_SECONDS = 0.6
DONE_SECONDS = 5.0  # how long a finished row without undo stays
UNDO_SECONDS = 30.0  # how long one with undo does
TICK_MS = 250
SENTENCE_WIDTH = 330  # so that the bars stand below one another
MOST_ROWS = 4  # shown without scrolling


def _tr(text: str) -> str:
    return QCoreApplication.translate("JobsStrip", text)


def sentence(operation: Operation, vm_name: str, vm: Vm | None) -> str:
    """Return what a job does: ``Taking “x” on web01``.

    Args:
        operation: what it does.
        vm_name: where.
        vm: the VM before it began, for titles and for the word; None: not read.
    """
    match operation:
        case CreateSnapshot(title=title):
            text = _tr("Taking “{what}” on {vm}") if title else _tr("Taking a snapshot of {vm}")
            what = title
        case RevertSnapshot(snapshot=name):
            text, what = _tr("Reverting {vm} to “{what}”"), _label(name, vm)
        case DeleteSnapshot():
            text, what = _removal(operation, vm)
        case EditDescription(title=title, snapshot=name):
            text, what = _tr("Describing “{what}” on {vm}"), title or name
        case Consolidate():
            text, what = _tr("Merging the chain of {vm}"), ""
        case EndBlockJob(disk=disk, finish=finish):
            text = _tr("Finishing the job on {what} of {vm}")
            if not finish:
                text = _tr("Aborting the job on {what} of {vm}")
            what = disk
        case Recover(finish=finish):
            text = _tr("Finishing what was interrupted on {vm}")
            if not finish:
                text = _tr("Taking back what was interrupted on {vm}")
            what = ""
        case _:
            assert_never(operation)
    return text.format(what=what, vm=vm_name)


def _label(name: str, vm: Vm | None) -> str:
    found = vm.tree.get(name) if vm else None
    return found.label if found else name


def removal_acts(operation: DeleteSnapshot, vm: Vm | None) -> frozenset[Act]:
    """Return whether a delete merges, discards or both, as it was before it began."""
    planned = plan(vm, operation) if vm else None
    return planned.acts if isinstance(planned, Plan) else frozenset()


def _removal(operation: DeleteSnapshot, vm: Vm | None) -> tuple[str, str]:
    acts, names = removal_acts(operation, vm), operation.snapshots
    one, many = _tr("Removing “{what}” on {vm}"), _tr("Removing {what} snapshots on {vm}")
    if Act.DISCARD in acts:
        one, many = _tr("Discarding “{what}” on {vm}"), _tr("Discarding {what} snapshots on {vm}")
    elif Act.MERGE in acts:
        one, many = _tr("Merging “{what}” on {vm}"), _tr("Merging {what} snapshots on {vm}")
    if len(names) == 1:
        return one, _label(names[0], vm)
    return many, str(len(names))


def operation_icon(operation: Operation) -> str:
    """Return the name of the icon that stands for an operation."""
    match operation:
        case CreateSnapshot():
            return "camera"
        case RevertSnapshot():
            return "revert"
        case DeleteSnapshot():
            return "discard"
        case EditDescription():
            return "edit"
        case Consolidate() | EndBlockJob():
            return "merge"
        case Recover():
            return "revert"
        case _:
            assert_never(operation)


def detail_text(job: JobView, now: float) -> str:
    """Return what stands behind the bar at ``now`` (monotonic seconds)."""
    match job.state:
        case JobState.WAITING:
            left = max(0, round((job.starts_at or now) - now))
            return _tr("in {seconds} s · nothing has been touched yet").format(seconds=left)
        case JobState.QUEUED:
            return _tr("waits for the job before it")
        case JobState.RUNNING:
            return _running_text(job.progress, now - (job.started_at or now))
        case JobState.DONE:
            return _tr("done")
        case JobState.CANCELLED:
            return _tr("cancelled")
        case JobState.FAILED:
            return job.outcome.error.message if isinstance(job.outcome, Failed) else _tr("failed")
        case _:
            assert_never(job.state)


def _running_text(progress: Progress | None, seconds: float) -> str:
    parts = []
    if progress is not None:
        if progress.total_bytes:
            percent = 100 * progress.done_bytes // progress.total_bytes
            done, total = size_text(progress.done_bytes), size_text(progress.total_bytes)
            parts += [f"{percent} %", _tr("{done} of {total}").format(done=done, total=total)]
        elif progress.done_bytes:
            parts.append(size_text(progress.done_bytes))
        if progress.phase:
            parts.append(progress.phase)
    if seconds >= 2:
        parts.append(duration_text(float(int(seconds))))
    return " · ".join(parts)


class JobRow(QWidget):
    """One job. Child of the strip; it only shows and reports clicks."""

    cancel_clicked = Signal(int)
    undo_clicked = Signal(int)
    dismiss_clicked = Signal(int)
    details_clicked = Signal(object)  # SnapviewError

    def __init__(self, words: str, job: JobView) -> None:
        super().__init__()
        self.job = job
        self.shown_at: float = time.monotonic()
        self._words = words
        self._icon = IconLabel(icon(operation_icon(job.operation)))
        self._sentence = ElidedLabel(words, "heading")
        self._sentence.setFixedWidth(SENTENCE_WIDTH)
        self.progress_bar = QProgressBar()
        self.progress_bar.setTextVisible(False)
        self.progress_bar.setFixedWidth(220)
        self._detail = ElidedLabel("", "note")
        self._detail.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._buttons = row(spacing=GAP)
        outer = column(self, spacing=0)
        outer.addWidget(hairline())
        layout = row(spacing=12)
        outer.addLayout(layout, 1)
        layout.setContentsMargins(INSET, 0, INSET, 0)
        for widget in (self._icon, self._sentence, self.progress_bar):
            layout.addWidget(widget)
        layout.addWidget(self._detail, 1)
        layout.addLayout(self._buttons)
        self.setFixedHeight(JOB_ROW)
        self.show_job(job)

    def show_job(self, job: JobView) -> None:
        """Show the job's state of now."""
        if job.state is not self.job.state or not self._buttons.count():
            self.shown_at = time.monotonic()
            clear(self._buttons)
            self._add_buttons(job)
        self.job = job
        self.setAccessibleName(self._words)
        self.tick(time.monotonic())

    def tick(self, now: float) -> None:
        """Bring countdown, duration and bar up to date."""
        job = self.job
        self._detail.set_text(detail_text(job, now))
        failed = job.state is JobState.FAILED
        self._detail.set_severity(Severity.ERROR if failed else None)
        if failed:
            self._icon.set_icon(icon("error"))
        elif job.state is JobState.DONE:
            self._icon.set_icon(icon("good"))
        self._show_bar(now)

    def buttons(self) -> list[QAbstractButton]:
        """Return the row's buttons from left to right."""
        places = (self._buttons.itemAt(at) for at in range(self._buttons.count()))
        found = (place.widget() for place in places if place is not None)
        return [each for each in found if isinstance(each, QAbstractButton)]

    def is_over(self, now: float) -> bool:
        """Whether the row has been there long enough. A failed one stays until dismissed."""
        if self.job.state is JobState.CANCELLED:
            return now - self.shown_at > DONE_SECONDS
        if self.job.state is not JobState.DONE:
            return False
        return now - self.shown_at > (UNDO_SECONDS if self.job.undo else DONE_SECONDS)

    def _show_bar(self, now: float) -> None:
        job = self.job
        if job.state is JobState.WAITING and job.grace_seconds > 0:
            left = max(0.0, (job.starts_at or now) - now)
            self.progress_bar.setRange(0, 1000)
            self.progress_bar.setValue(round(1000 * left / job.grace_seconds))
            self.progress_bar.show()
            return
        running = job.state is JobState.RUNNING
        late = now - (job.started_at or now) >= PROGRESS_DELAY_SECONDS
        self.progress_bar.setVisible(running and late)
        total = job.progress.total_bytes if job.progress else None
        if total and job.progress:
            self.progress_bar.setRange(0, 1000)
            self.progress_bar.setValue(round(1000 * min(1.0, job.progress.done_bytes / total)))
        else:
            self.progress_bar.setRange(0, 0)

    def _add_buttons(self, job: JobView) -> None:
        match job.state:
            case JobState.WAITING:
                self._add(self.tr("Undo"), self.undo_clicked, "undo")
            case JobState.QUEUED | JobState.RUNNING:
                if job.can_cancel:
                    self._add(self.tr("Cancel"), self.cancel_clicked)
            case JobState.DONE:
                if job.undo is not None:
                    self._add(self.tr("Undo"), self.undo_clicked, "undo")
                self._add(self.tr("Dismiss"), self.dismiss_clicked)
            case JobState.FAILED | JobState.CANCELLED:
                if isinstance(job.outcome, Failed):
                    error = job.outcome.error
                    details = button(self.tr("Details…"), "small")
                    details.clicked.connect(lambda: self.details_clicked.emit(error))
                    self._buttons.addWidget(details)
                self._add(self.tr("Dismiss"), self.dismiss_clicked)
            case _:
                assert_never(job.state)

    def _add(self, text: str, signal: object, icon_name: str = "") -> None:
        made = button(text, "small", icon(icon_name) if icon_name else None)
        made.setAccessibleName(f"{text}: {self._words}")
        made.clicked.connect(lambda: signal.emit(self.job.id))  # type: ignore[attr-defined]  # a bound signal has no type of its own
        self._buttons.addWidget(made)


class JobsStrip(QWidget):
    """All jobs, the oldest on top. Hidden while there is none."""

    cancel_clicked = Signal(int)
    undo_clicked = Signal(int)
    dismiss_clicked = Signal(int)
    details_clicked = Signal(object)  # SnapviewError

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[int, JobRow] = {}
        self._list = QWidget()
        self._layout: QVBoxLayout = column(self._list, spacing=0)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setWidget(self._list)
        layout = column(self, spacing=0)
        layout.addWidget(self._area)
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        self.setAccessibleName(self.tr("Jobs"))
        self._fit()

    def show_job(self, job: JobView, vm: Vm | None) -> None:
        """Add the job, or show its new state.

        Args:
            job: the job.
            vm: its VM as last read; only looked at when the job is new.
        """
        shown = self._rows.get(job.id)
        if shown is None:
            shown = JobRow(sentence(job.operation, job.vm_name, vm), job)
            shown.cancel_clicked.connect(self.cancel_clicked)
            shown.undo_clicked.connect(self.undo_clicked)
            shown.dismiss_clicked.connect(self.dismiss_clicked)
            shown.details_clicked.connect(self.details_clicked)
            self._rows[job.id] = shown
            self._layout.addWidget(shown)
            self._fit()
        else:
            shown.show_job(job)
        self._timer.start()

    def remove_job(self, job_id: int) -> None:
        """Take a dismissed job's row away."""
        gone = self._rows.pop(job_id, None)
        if gone is not None:
            gone.hide()
            self._layout.removeWidget(gone)
            gone.deleteLater()
            self._fit()

    def row_of(self, job_id: int) -> JobRow | None:
        """Return a job's row."""
        return self._rows.get(job_id)

    def restyle(self) -> None:
        """Draw the icons anew for another palette."""
        for each in self._rows.values():
            each.show_job(each.job)

    def _tick(self) -> None:
        now = time.monotonic()
        for shown in list(self._rows.values()):
            if shown.is_over(now):
                self.dismiss_clicked.emit(shown.job.id)
            else:
                shown.tick(now)
        if not self._rows:
            self._timer.stop()

    def _fit(self) -> None:
        rows = min(len(self._rows), MOST_ROWS)
        self._area.setFixedHeight(rows * JOB_ROW)
        self.setVisible(rows > 0)


def summary(count: int) -> str:
    """Return how many jobs run, for the question before closing."""
    return plural(count, _tr("1 job is under way"), _tr("{number} jobs are under way"))
