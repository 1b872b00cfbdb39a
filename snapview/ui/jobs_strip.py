"""The strip at the bottom: a row for each job, the oldest on top.

Hides how rows come and go; what one shows is in ``job_row``.
"""

import time

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from snapview.core.vm import Vm
from snapview.session import JobView
from snapview.ui.job_row import JobRow
from snapview.ui.theme import JOB_ROW
from snapview.ui.widgets import column

TICK_MS = 250
MOST_ROWS = 4  # shown without scrolling


class JobsStrip(QWidget):
    """All jobs, the oldest on top. Hidden while there is none."""

    cancel_clicked = Signal(int)
    undo_clicked = Signal(int)
    dismiss_clicked = Signal(int)
    limit_chosen = Signal(int, int)  # job id, bytes/s
    again_clicked = Signal(int)
    upwards_clicked = Signal(int)
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
            shown = JobRow(job, vm)
            shown.cancel_clicked.connect(self.cancel_clicked)
            shown.undo_clicked.connect(self.undo_clicked)
            shown.dismiss_clicked.connect(self.dismiss_clicked)
            shown.limit_chosen.connect(self.limit_chosen)
            shown.again_clicked.connect(self.again_clicked)
            shown.upwards_clicked.connect(self.upwards_clicked)
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
            each.restyle()

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
