"""What the window does about jobs: shows them, cancels, slows down, asks again, undoes.

Hides when cancelling is asked about first, and what follows when a plan had changed or an image
must not be written to.
"""

from dataclasses import replace

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from snapview.core.errors import SnapviewError
from snapview.core.operations import (
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    Failed,
    MergeBy,
    Operation,
)
from snapview.session import JobState, JobView, Session
from snapview.ui.banner import Banner
from snapview.ui.colours import Severity
from snapview.ui.dialog_opener import DialogOpener
from snapview.ui.dialogs.cancel import CancelDialog
from snapview.ui.job_words import cancelling, has_other_plan
from snapview.ui.jobs_strip import JobsStrip
from snapview.ui.stage import Stage


class JobDesk(QObject):
    """Between the session's jobs and the strip. GUI thread."""

    def __init__(
        self, window: QWidget, session: Session, stage: Stage, dialogs: DialogOpener
    ) -> None:
        super().__init__(window)
        self._window = window
        self._session = session
        self._stage = stage
        self._dialogs = dialogs
        self._asked_again: set[int] = set()
        self.strip = JobsStrip()
        self._connect()

    @property
    def _banner(self) -> Banner:
        return self._stage.banner

    def _connect(self) -> None:
        session, strip = self._session, self.strip
        session.job_changed.connect(self._on_job_changed)
        session.job_removed.connect(self._on_job_removed)
        session.limit_refused.connect(self._on_limit_refused)
        strip.cancel_clicked.connect(self.cancel)
        strip.undo_clicked.connect(session.undo)
        strip.dismiss_clicked.connect(session.dismiss)
        strip.limit_chosen.connect(session.limit)
        strip.again_clicked.connect(self._on_again)
        strip.upwards_clicked.connect(self._on_upwards)
        strip.details_clicked.connect(self._dialogs.show_error)

    def cancel(self, job_id: int) -> None:
        """Cancel a job; ask first when something is lost by that."""
        job = self._job(job_id)
        if job is None:
            return
        means = cancelling(job)
        if not means.is_loss:
            self._session.cancel(job_id)
            return
        row = self.strip.row_of(job_id)
        dialog = CancelDialog(row.words if row else "", means.text, self._window)
        dialog.accepted.connect(lambda: self._session.cancel(job_id))
        dialog.open()

    def _job(self, job_id: int) -> JobView | None:
        return next((job for job in self._session.jobs if job.id == job_id), None)

    # -- reactions

    def _on_job_changed(self, job: JobView) -> None:
        view = self._session.view(job.key)
        self.strip.show_job(job, view.vm if view is not None else None)
        self._stage.show_work()
        made = job.outcome.created if isinstance(job.outcome, Done) else None
        is_take = isinstance(job.operation, CreateSnapshot) and job.state is JobState.DONE
        if made is not None and is_take and job.key == self._stage.subject:
            self._stage.vm_page.tree.select_name(made)
        if has_other_plan(job) and job.id not in self._asked_again:
            self._asked_again.add(job.id)
            self._ask(job, job.operation)

    def _on_job_removed(self, job_id: int) -> None:
        self.strip.remove_job(job_id)
        self._asked_again.discard(job_id)
        self._stage.show_work()

    def _on_again(self, job_id: int) -> None:
        if (job := self._job(job_id)) is not None:
            self._ask(job, job.operation)

    def _on_upwards(self, job_id: int) -> None:
        job = self._job(job_id)
        if job is not None and isinstance(job.operation, DeleteSnapshot | Consolidate):
            self._ask(job, replace(job.operation, merge_by=MergeBy.PULL))

    def _ask(self, job: JobView, wanted: Operation) -> None:
        """Open the dialog of a job's operation once more, if its VM is the one shown."""
        view = self._stage.view
        is_shown = view is not None and view.key == job.key
        if view is not None and is_shown and self._dialogs.ask(view, wanted, _what_changed(job)):
            self._session.dismiss(job.id)

    def _on_limit_refused(self, _job_id: int, error: SnapviewError) -> None:
        text = self.tr("The speed stays as it was: {reason}")
        self._banner.show_message(Severity.WARNING, text.format(reason=error.message))


def _what_changed(job: JobView) -> str:
    """Return why a job is asked about once more; empty: not because its plan had changed."""
    outcome = job.outcome
    return outcome.error.message if isinstance(outcome, Failed) and has_other_plan(job) else ""
