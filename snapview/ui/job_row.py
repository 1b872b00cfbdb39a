"""One row of the jobs strip: what a job does, how far it is, and what can be done about it.

Hides which buttons a job has in which state, and how long a finished row stays.
"""

import sys
import time
from collections.abc import Callable
from typing import assert_never

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import (
    QAbstractButton,
    QMenu,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from snapview.core.operations import Failed
from snapview.core.vm import Vm
from snapview.session import JobState, JobView
from snapview.ui.buttons import button, set_icon
from snapview.ui.colours import Severity
from snapview.ui.icons import icon
from snapview.ui.job_words import (
    acts_of,
    can_be_limited,
    cancelling,
    detail_text,
    has_other_plan,
    has_remarks,
    icon_name,
    may_merge_upwards,
    sentence,
)
from snapview.ui.limits import NO_LIMIT, PAUSE, SPEEDS, limit_text
from snapview.ui.pace import Pace
from snapview.ui.theme import GAP, INSET, JOB_ROW
from snapview.ui.widgets import ElidedLabel, IconLabel, clear, column, hairline, literal, row

PROGRESS_DELAY_SECONDS = 0.6
DONE_SECONDS = 5.0  # how long a finished row without undo stays
FIGURES_SECONDS = 20.0  # how long one with figures to read does
UNDO_SECONDS = 30.0  # how long one with undo does
SENTENCE_WIDTH = 330  # so that the bars stand below one another
BAR_WIDTH = 220


class JobRow(QWidget):
    """One job. Child of the strip; it only shows and reports clicks."""

    cancel_clicked = Signal(int)
    undo_clicked = Signal(int)
    dismiss_clicked = Signal(int)
    limit_chosen = Signal(int, int)  # job id, bytes/s
    again_clicked = Signal(int)  # show the plan again
    upwards_clicked = Signal(int)  # merge the other way round
    details_clicked = Signal(object)  # SnapviewError

    def __init__(
        self, job: JobView, vm: Vm | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.job = job
        self._clock = clock
        self.shown_at: float = clock()
        self.words = sentence(job, vm)
        self._pace = Pace()
        self._icon_name = icon_name(job.operation, acts_of(job))
        self._icon = IconLabel(icon(self._icon_name))
        self._sentence = ElidedLabel(self.words, "heading")
        self._sentence.setFixedWidth(SENTENCE_WIDTH)
        self.progress_bar = QProgressBar()
        self.progress_bar.setTextVisible(False)
        self.progress_bar.setFixedWidth(BAR_WIDTH)
        self._detail = ElidedLabel("", "note")
        self._detail.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._limit: QPushButton | None = None
        self._buttons = row(spacing=GAP)
        self._shown_buttons: object = None
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
        self.setAccessibleName(self.words)
        self.show_job(job)

    def show_job(self, job: JobView) -> None:
        """Show the job's state of now."""
        now = self._clock()
        if job.state is not self.job.state:
            self.shown_at = now
        if job.limit_bytes_per_second != self.job.limit_bytes_per_second:
            self._pace = Pace()  # what was fast before says nothing any more
        if job.state is JobState.RUNNING and job.progress is not None:
            self._pace.note(job.progress, now)
        self.job = job
        buttons = (job.state, job.can_cancel, job.undo is None, job.outcome)
        if buttons != self._shown_buttons:
            self._shown_buttons = buttons
            self._limit = None
            clear(self._buttons)
            self._add_buttons()
        if self._limit is not None:
            self._show_limit(self._limit)
        self.tick(now)

    def restyle(self) -> None:
        """Draw the icons anew for another palette."""
        self._shown_buttons = None
        self.show_job(self.job)

    def tick(self, now: float) -> None:
        """Bring countdown, figures, icon and bar up to date."""
        job = self.job
        self._detail.set_text(detail_text(job, self._pace, now))
        severity, shown = None, self._icon_name
        if job.state is JobState.FAILED:
            severity, shown = Severity.ERROR, "error"
        elif has_remarks(job):
            severity, shown = Severity.WARNING, "warning"
        elif job.state is JobState.DONE:
            shown = "good"
        self._detail.set_severity(severity)
        self._icon.set_icon(icon(shown))
        self._show_bar(now)

    def buttons(self) -> list[QAbstractButton]:
        """Return the row's buttons from left to right."""
        places = (self._buttons.itemAt(at) for at in range(self._buttons.count()))
        found = (place.widget() for place in places if place is not None)
        return [each for each in found if isinstance(each, QAbstractButton)]

    def is_over(self, now: float) -> bool:
        """Whether the row has been there long enough. One that failed stays until dismissed."""
        job = self.job
        if job.state is JobState.FAILED or not job.state.is_over or has_remarks(job):
            return False
        seconds = DONE_SECONDS
        if job.undo is not None:
            seconds = UNDO_SECONDS
        elif getattr(job.outcome, "actual", None) is not None:
            seconds = FIGURES_SECONDS
        return now - self.shown_at > seconds

    def _show_bar(self, now: float) -> None:
        job, bar = self.job, self.progress_bar
        if job.state is JobState.WAITING and job.grace_seconds > 0:
            left = max(0.0, (job.starts_at or now) - now)
            bar.setRange(0, 1000)
            bar.setValue(round(1000 * left / job.grace_seconds))
            bar.show()
            return
        late = now - (job.started_at or now) >= PROGRESS_DELAY_SECONDS
        bar.setVisible(job.state is JobState.RUNNING and late)
        total = job.progress.total_bytes if job.progress else None
        if total and job.progress:
            bar.setRange(0, 1000)
            bar.setValue(round(1000 * min(1.0, job.progress.done_bytes / total)))
        else:
            bar.setRange(0, 0)

    # -- buttons

    def _add_buttons(self) -> None:
        job = self.job
        match job.state:
            case JobState.WAITING:
                self._add(self.tr("Undo"), self.undo_clicked, "undo")
            case JobState.QUEUED | JobState.RUNNING:
                self._add_running()
            case JobState.DONE:
                if job.undo is not None:
                    self._add(self.tr("Undo"), self.undo_clicked, "undo")
                self._add(self.tr("Dismiss"), self.dismiss_clicked)
            case JobState.FAILED | JobState.CANCELLED:
                self._add_failed()
                self._add(self.tr("Dismiss"), self.dismiss_clicked)
            case _:
                assert_never(job.state)

    def _add_running(self) -> None:
        if can_be_limited(self.job):
            self._limit = button("", "small")
            self._limit.setProperty("has-menu", "true")
            self._limit.setMenu(self._limit_menu())
            self._buttons.addWidget(self._limit)
        if self.job.can_cancel:
            made = self._add(self.tr("Cancel"), self.cancel_clicked)
            made.setToolTip(literal(cancelling(self.job).text))

    def _add_failed(self) -> None:
        if may_merge_upwards(self.job):
            made = self._add(self.tr("Merge upwards instead…"), self.upwards_clicked, "merge-up")
            made.setToolTip(
                literal(self.tr("Copies into the upper image, so that the lower one is only read"))
            )
        if has_other_plan(self.job):
            self._add(self.tr("Show the new plan…"), self.again_clicked, "refresh")
        if isinstance(self.job.outcome, Failed):
            error = self.job.outcome.error
            details = button(self.tr("Details…"), "small")
            details.setAccessibleName(f"{details.text()}: {self.words}")
            details.clicked.connect(lambda: self.details_clicked.emit(error))
            self._buttons.addWidget(details)

    def _add(self, text: str, signal: object, icon_name: str = "") -> QPushButton:
        made = button(text, "small", icon(icon_name) if icon_name else None)
        made.setAccessibleName(f"{text}: {self.words}")
        made.clicked.connect(lambda: signal.emit(self.job.id))  # type: ignore[attr-defined]  # a bound signal has no type of its own
        self._buttons.addWidget(made)
        return made

    def _limit_menu(self) -> QMenu:
        menu = QMenu(self)
        group = QActionGroup(menu)
        chosen = self.job.limit_bytes_per_second
        offered = {*SPEEDS, chosen} - {PAUSE}
        by_speed = sorted(offered, key=lambda speed: speed or sys.maxsize, reverse=True)
        for speed in (*by_speed, PAUSE):
            text = limit_text(speed)
            if speed == PAUSE:
                menu.addSeparator()
                text = self.tr("pause")
            action = QAction(text[:1].upper() + text[1:], menu)
            action.setCheckable(True)
            action.setData(speed)
            action.triggered.connect(self._limit_chooser(speed))
            group.addAction(action)
            menu.addAction(action)
        return menu

    def _limit_chooser(self, speed: int) -> Callable[[], None]:
        return lambda: self.limit_chosen.emit(self.job.id, speed)

    def _show_limit(self, shown: QPushButton) -> None:
        speed = self.job.limit_bytes_per_second
        is_free = speed == NO_LIMIT
        text = self.tr("Slow down") if is_free else limit_text(speed)
        shown.setText(text[:1].upper() + text[1:])
        set_icon(shown, icon("pause" if speed == PAUSE else "gauge"))
        words = self.tr("How fast it may copy: {limit}").format(limit=limit_text(speed))
        shown.setToolTip(words)
        shown.setAccessibleName(f"{words}: {self.words}")
        for action in shown.menu().actions():
            action.setChecked(action.data() == speed)
