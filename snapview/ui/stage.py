"""The right side of the window: what is shown of the chosen VM or connection.

Hides which of tree and page stands there, when data is stale, and how a VM that disappears or
cannot be read leaves the stage.
"""

from collections.abc import Callable

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QStackedWidget, QWidget

from snapview.core.errors import SnapviewError
from snapview.session import (
    ConnectionState,
    ConnectionView,
    JobState,
    JobView,
    Session,
    VmKey,
    VmView,
)
from snapview.ui.availability import ActionContext
from snapview.ui.banner import Banner, BannerAction, clock_text
from snapview.ui.colours import Severity
from snapview.ui.job_badges import job_badges
from snapview.ui.page_contents import (
    PageContent,
    connection_page,
    gone_page,
    loading_page,
    no_connection_page,
    unreadable_page,
)
from snapview.ui.pages import TeachingPage
from snapview.ui.vm_page import VmPage
from snapview.ui.widgets import column
from snapview.ui.work_banner import WorkBanner

Subject = VmKey | str | None  # a VM, a connection's URI, or neither


class Stage(QWidget):
    """Shows one subject and follows it. GUI thread."""

    context_changed = Signal()  # the actions may mean something else now
    subject_changed = Signal()

    def __init__(self, session: Session, *, can_make_demo: bool) -> None:
        super().__init__()
        self._session = session
        self._can_make_demo = can_make_demo
        self._subject: Subject = None
        self._error: SnapviewError | None = None  # why the VM could not be read just now
        self._is_gone = False
        self.banner = Banner()
        self.work_banner = WorkBanner()
        self.page = TeachingPage()
        self.vm_page = VmPage()
        self._stack = QStackedWidget()
        self._stack.addWidget(self.page)
        self._stack.addWidget(self.vm_page)
        layout = column(self, spacing=0)
        layout.addWidget(self.banner)
        layout.addWidget(self.work_banner)
        layout.addWidget(self._stack, 1)
        # What follows from a selection is worked out once per turn of the event loop, in two
        # turns: planning for a large tree takes a while, and keys come fast.
        self._detail_later = self._soon(self._show_detail)
        self._context_later = self._soon(self.context_changed.emit)
        self._connect()

    def _soon(self, act: Callable[[], object]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(0)
        timer.timeout.connect(act)
        return timer

    def _connect(self) -> None:
        session, tree = self._session, self.vm_page.tree
        session.connection_changed.connect(self._on_connection_changed)
        session.connection_removed.connect(self._on_connection_removed)
        session.vm_updated.connect(self._on_vm_updated)
        session.vm_gone.connect(self._on_vm_gone)
        session.vm_unreadable.connect(self._on_vm_unreadable)
        session.detail_read.connect(self.vm_page.detail.show_detail)
        session.detail_unreadable.connect(self._on_detail_unreadable)
        tree.snapshot_selected.connect(self._on_selection_changed)
        tree.selection_changed.connect(self._on_selection_changed)
        self.vm_page.detail.snapshot_chosen.connect(tree.select_name)
        self.banner.action_clicked.connect(self.retry)

    # -- for the window

    @property
    def subject(self) -> Subject:
        """What is shown."""
        return self._subject

    @property
    def view(self) -> VmView | None:
        """The shown VM as last read."""
        key = self._subject
        return self._session.view(key) if isinstance(key, VmKey) and not self._is_gone else None

    @property
    def uri(self) -> str | None:
        """The connection of what is shown."""
        return self._subject.uri if isinstance(self._subject, VmKey) else self._subject

    def context(self) -> ActionContext:
        """Return what the actions act on."""
        view = self.view
        if view is None or not self.shows_vm:
            return ActionContext()
        return ActionContext(view.vm, self.vm_page.tree.selected_names, view.is_stale)

    @property
    def shows_vm(self) -> bool:
        """Whether the tree stands there, not a page."""
        return self._stack.currentWidget() is self.vm_page

    def show_subject(self, subject: Subject) -> None:
        """Show a VM, the page of a connection, or neither."""
        self._subject, self._error, self._is_gone = subject, None, False
        self.banner.clear()
        self._session.select(subject if isinstance(subject, VmKey) else None)
        self._show()
        self.subject_changed.emit()

    def settle(self) -> None:
        """Say now what was to be said in the next turn of the event loop."""
        if self._context_later.isActive():
            self._context_later.stop()
            self.context_changed.emit()

    def retry(self) -> None:
        """Try again to reach what is shown."""
        if self._error is not None:
            self._session.refresh()
        elif self.uri is not None:
            self._session.retry(self.uri)

    def show_work(self) -> None:
        """Show beside the rows what jobs are doing to them, and above what others do."""
        view = self.view
        jobs = self._session.jobs
        if view is not None:
            self.vm_page.tree.show_badges(job_badges(jobs, view.vm))
        is_shown = view is not None and self.shows_vm and not view.is_stale
        is_ours = any(job.key == self._subject and _may_work(job) for job in jobs)
        had_focus = self.work_banner.isAncestorOf(self.window().focusWidget())
        self.work_banner.show_vm(view.vm if view and is_shown else None, is_ours=is_ours)
        if had_focus and self.work_banner.isHidden():
            self.vm_page.tree.setFocus()  # not the search field, which Qt would take

    def restyle(self) -> None:
        """Draw everything in the colours of now."""
        self.banner.restyle()
        self.work_banner.restyle()
        self.page.restyle()
        self.vm_page.detail.restyle()

    # -- showing

    def _show(self) -> None:
        view = self.view
        if view is not None:
            self.vm_page.show_vm(view)
            self._stack.setCurrentWidget(self.vm_page)
            self._detail_later.start()
        elif not self._is_gone:
            self.page.show_page(self._page())
            self._stack.setCurrentWidget(self.page)
        self.show_work()
        self._show_banner()
        self._context_later.start()

    def _page(self) -> PageContent:
        connection = self._connection()
        if connection is None:
            return no_connection_page(can_make_demo=self._can_make_demo)
        if not isinstance(self._subject, VmKey):
            return connection_page(connection, can_make_demo=self._can_make_demo)
        name = self._vm_name()
        if self._error is not None:
            return unreadable_page(name, self._error)
        if connection.state is not ConnectionState.CONNECTED:
            return connection_page(connection, can_make_demo=self._can_make_demo)
        return loading_page(self.tr("Reading the snapshots"), name)

    def _show_detail(self) -> None:
        view = self.view
        if view is None:
            return
        names = self.vm_page.tree.selected_names
        self.vm_page.detail.show_selection(view, names)
        if len(names) == 1 and not view.is_stale:
            self._session.read_detail(view.key, names[0])

    def _show_banner(self) -> None:
        connection, view = self._connection(), self.view
        if view is None or connection is None:
            return
        if connection.state is not ConnectionState.CONNECTED or view.is_stale:
            text = self.tr("Connection lost. Showing what was read at {time}; trying again.")
            shown = text.format(time=clock_text(view.vm.read_at))
            self.banner.show_message(Severity.WARNING, shown, BannerAction(self.tr("Try now")))
        elif self._error is not None:
            text = self.tr("{problem} Showing what was read at {time}.")
            shown = text.format(problem=self._error.message, time=clock_text(view.vm.read_at))
            self.banner.show_message(Severity.WARNING, shown, BannerAction(self.tr("Try now")))
        elif view.vm.problem:
            self.banner.show_message(
                Severity.ERROR, view.vm.problem, BannerAction(self.tr("Try again"))
            )
        elif self.banner.has_action:
            self.banner.clear()

    def _connection(self) -> ConnectionView | None:
        return next((each for each in self._session.connections if each.uri == self.uri), None)

    def _vm_name(self) -> str:
        connection, key = self._connection(), self._subject
        vms = connection.vms if connection else ()
        found = (vm.name for vm in vms if isinstance(key, VmKey) and vm.uuid == key.uuid)
        return next(found, self.tr("This VM"))

    # -- reactions

    def _on_connection_changed(self, connection: ConnectionView) -> None:
        if connection.uri == self.uri:
            self._show()

    def _on_connection_removed(self, uri: str) -> None:
        if uri == self.uri:
            self.show_subject(None)

    def _on_vm_updated(self, view: VmView) -> None:
        if view.key == self._subject:
            self._error = None
            self._show()

    def _on_vm_gone(self, key: VmKey) -> None:
        if key != self._subject:
            return
        self._is_gone = True
        shown = self.vm_page.tree.snapshots.view
        name = shown.vm.name if shown is not None and shown.key == key else self._vm_name()
        self.banner.clear()
        self.page.show_page(gone_page(name))
        self._stack.setCurrentWidget(self.page)
        self.show_work()
        self._context_later.start()

    def _on_vm_unreadable(self, key: VmKey, error: SnapviewError) -> None:
        if key == self._subject:
            self._error = error
            self._show()

    def _on_detail_unreadable(self, key: VmKey, name: str, error: SnapviewError) -> None:
        connection = self._connection()
        is_there = connection is not None and connection.state is ConnectionState.CONNECTED
        if key == self._subject and is_there:  # else the banner says it already
            self.vm_page.detail.show_detail_error(name, error)

    def _on_selection_changed(self, _selected: object) -> None:
        self._detail_later.start()
        self._context_later.start()


def _may_work(job: JobView) -> bool:
    """Whether a job has begun, or will without anybody being asked again."""
    return job.state in {JobState.QUEUED, JobState.RUNNING}
