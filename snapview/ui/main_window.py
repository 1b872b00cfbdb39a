"""The window: puts its parts together and connects them; the work is done elsewhere.

Everything that takes time goes through ``Session``; what is possible is said by ``plan``.
"""

from collections.abc import Callable

from PySide6.QtCore import QEvent, QPoint, Qt, Signal
from PySide6.QtGui import QCloseEvent, QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QMenu, QSplitter, QWidget

from snapview.core.errors import HostError, SnapviewError
from snapview.core.operations import Operation
from snapview.session import ConnectionView, Session, VmKey, VmView
from snapview.settings import Settings
from snapview.ui.action_set import ActionSet
from snapview.ui.actions import ActionId, Place
from snapview.ui.colours import Severity
from snapview.ui.dialog_opener import DialogOpener
from snapview.ui.dialogs.about import AboutDialog, CloseDialog, ShortcutsDialog
from snapview.ui.dialogs.add_connection import AddConnectionDialog
from snapview.ui.focus import focus_next
from snapview.ui.job_desk import JobDesk
from snapview.ui.job_words import summary
from snapview.ui.page_contents import SESSION_URI, PageAction
from snapview.ui.snapshot_view import LIVE_ROW
from snapview.ui.stage import Stage, Subject
from snapview.ui.theme import SIDEBAR_WIDTH
from snapview.ui.top_bar import TopBar
from snapview.ui.vm_list import VmList
from snapview.ui.widgets import StyledWidget, column, shortened
from snapview.ui.window_memory import WindowMemory

WIDE_PX = 1280  # below that the details go under the tree


class MainWindow(StyledWidget):
    """The window of snapview. GUI thread."""

    _demo_made = Signal(str)
    _demo_failed = Signal(object)  # SnapviewError

    def __init__(
        self,
        session: Session,
        settings: Settings,
        save_settings: Callable[[Settings], None],
        make_demo: Callable[[], str] | None = None,
    ) -> None:
        """Make the window; it does not close the session.

        Args:
            session: everything that takes time.
            settings: as loaded; changed by the window.
            save_settings: writes them; called on a worker thread.
            make_demo: makes the demo lab and returns its URI, on a worker thread; None: none.
        """
        super().__init__()
        self._session = session
        self._settings = settings
        self._save_settings = save_settings
        self._make_demo = make_demo
        self._is_making_demo = False
        self._may_close = False
        self.action_set = ActionSet(self, session.ask_plan)
        self.top_bar = TopBar(self.action_set)
        self.vm_list = VmList()
        self.stage = Stage(session, can_make_demo=make_demo is not None)
        self.dialogs = DialogOpener(self, session, settings)
        self.job_desk = JobDesk(self, session, self.stage, self.dialogs)
        self.jobs_strip = self.job_desk.strip
        self._panes = QSplitter(Qt.Orientation.Horizontal)
        self._row_menu = QMenu(self)
        self._memory = WindowMemory(self, self._panes, self.stage.vm_page, settings)
        self._handlers = self._make_handlers()
        self._build()
        self._memory.restore()
        newest_first = settings.newest_first
        self.stage.vm_page.tree.set_newest_first(newest_first=newest_first)
        self.action_set[ActionId.NEWEST_FIRST].setChecked(newest_first)
        self._connect()
        for view in session.connections:
            self._on_connection_changed(view)
        if not session.connections:
            self.stage.show_subject(None)
        self.vm_list.view.setFocus()

    # -- building

    def _build(self) -> None:
        self.setWindowTitle("snapview")
        self._panes.setHandleWidth(1)
        self._panes.setChildrenCollapsible(False)
        self._panes.addWidget(self.vm_list)
        self._panes.addWidget(self.stage)
        self._panes.setStretchFactor(0, 0)
        self._panes.setStretchFactor(1, 1)
        self._panes.setSizes([SIDEBAR_WIDTH, WIDE_PX - SIDEBAR_WIDTH])
        layout = column(self, spacing=0)
        layout.addWidget(self.top_bar)
        layout.addWidget(self._panes, 1)
        layout.addWidget(self.jobs_strip)
        self._row_menu.setToolTipsVisible(True)
        self._row_menu.addActions(self.action_set.at(Place.ROW_MENU))
        self.action_set[ActionId.DEMO_LAB].setVisible(self._make_demo is not None)
        self.setMinimumSize(800, 480)

    def _connect(self) -> None:
        session, stage = self._session, self.stage
        session.connection_changed.connect(self._on_connection_changed)
        session.connection_removed.connect(self.vm_list.remove_connection)
        session.vm_updated.connect(self.dialogs.show_vm)
        session.vm_gone.connect(self.dialogs.vm_is_gone)
        self.vm_list.vm_chosen.connect(stage.show_subject)
        self.vm_list.connection_chosen.connect(stage.show_subject)
        self.vm_list.add_connection_clicked.connect(self._add_connection)
        stage.context_changed.connect(self._on_context_changed)
        stage.subject_changed.connect(self._on_subject_changed)
        stage.page.requested.connect(self._on_page_requested)
        stage.work_banner.chosen.connect(self._ask)
        tree, search = stage.vm_page.tree, self.top_bar.search
        stage.vm_page.hint.take_clicked.connect(lambda: self._trigger(ActionId.TAKE))
        tree.menu_requested.connect(self._on_menu_requested)
        tree.activated_row.connect(self._on_row_activated)
        stage.vm_page.detail.edit_requested.connect(self._describe)
        search.searched.connect(self._on_searched)
        search.next_wanted.connect(tree.next_match)
        search.previous_wanted.connect(tree.previous_match)
        search.left.connect(tree.setFocus)
        self.dialogs.closed_by_vm.connect(self._on_dialog_closed_by_vm)
        self.action_set.requested.connect(self._on_action)
        self._demo_made.connect(self._on_demo_made)
        self._demo_failed.connect(self._on_demo_failed)
        self.restyled.connect(self._on_restyled)

    def _make_handlers(self) -> dict[ActionId, Callable[[], object]]:
        return {
            ActionId.TAKE: lambda: self._take(None),
            ActionId.TAKE_MEMORY: lambda: self._take(True),
            ActionId.TAKE_DISK: lambda: self._take(False),
            ActionId.REVERT: self._revert,
            ActionId.MERGE: self._remove,
            ActionId.DISCARD: self._remove,
            ActionId.REMOVE: self._remove,
            ActionId.CONSOLIDATE: self._consolidate,
            ActionId.HISTORY: self._show_history,
            ActionId.DESCRIBE: self._describe,
            ActionId.COPY_NAME: self._copy_name,
            ActionId.SEARCH: self._search,
            ActionId.REFRESH: self._session.refresh,
            ActionId.NEXT_PANE: self._next_pane,
            ActionId.YOU_ARE_HERE: lambda: self.stage.vm_page.tree.select_name(LIVE_ROW),
            ActionId.NEWEST_FIRST: self._turn_round,
            ActionId.ADD_CONNECTION: self._add_connection,
            ActionId.REMOVE_CONNECTION: self._remove_connection,
            ActionId.DEMO_LAB: self._start_demo,
            ActionId.SHORTCUTS: lambda: ShortcutsDialog(self).open(),
            ActionId.ABOUT: lambda: AboutDialog(self).open(),
            ActionId.QUIT: self.close,
        }

    # -- actions

    def _settle_actions(self) -> None:
        self.stage.settle()
        self.action_set.settle()

    def _trigger(self, action_id: ActionId) -> None:
        self._settle_actions()
        self.action_set[action_id].trigger()

    def _on_action(self, action_id: ActionId) -> None:
        self._handlers[action_id]()

    def _take(self, memory: bool | None) -> None:  # noqa: FBT001  # three states: as is best
        view = self.stage.view
        if view is not None:
            self.dialogs.take(view, memory=memory)

    def _selected(self) -> tuple[VmView, tuple[str, ...]] | None:
        """Return the shown VM with the selected snapshots, if there are any."""
        view, context = self.stage.view, self.stage.context()
        return (view, context.selected) if view is not None and context.selected else None

    def _revert(self) -> None:
        if (chosen := self._selected()) is not None:
            self.dialogs.revert(chosen[0], chosen[1][0])

    def _remove(self) -> None:
        if (chosen := self._selected()) is not None:
            self.dialogs.remove(*chosen)

    def _describe(self) -> None:
        if (chosen := self._selected()) is not None:
            self.dialogs.describe(chosen[0], chosen[1][0])

    def _consolidate(self) -> None:
        if (view := self.stage.view) is not None:
            self.dialogs.consolidate(view)

    def _ask(self, wanted: Operation) -> None:
        if (view := self.stage.view) is not None:
            self.dialogs.ask(view, wanted)

    def _show_history(self) -> None:
        from snapview.ui.dialogs.history import HistoryDialog

        if (view := self.stage.view) is not None:
            HistoryDialog(self._session, view.key, view.vm.name, self).open()

    def _copy_name(self) -> None:
        QGuiApplication.clipboard().setText("\n".join(self.stage.context().selected))

    def _search(self) -> None:
        self.top_bar.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.top_bar.search.selectAll()

    def _next_pane(self) -> None:
        page = self.stage.vm_page
        panes: list[QWidget] = [self.vm_list.view]
        panes += [page.tree, page.detail] if self.stage.shows_vm else [self.stage.page]
        panes += [self.top_bar.search]
        panes += [pane for pane in (self.jobs_strip, self.stage.work_banner) if pane.isVisible()]
        focus_next(panes)

    def _turn_round(self) -> None:
        newest_first = self.action_set[ActionId.NEWEST_FIRST].isChecked()
        self._settings.newest_first = newest_first
        self.stage.vm_page.tree.set_newest_first(newest_first=newest_first)
        self._save()

    # -- connections and the demo lab

    def _add_connection(self) -> None:
        known = tuple(view.uri for view in self._session.connections)
        dialog = AddConnectionDialog(known, self)
        dialog.chosen.connect(self._open_connection)
        dialog.open()

    def _open_connection(self, uri: str) -> None:
        self._session.open(uri)
        self.vm_list.select_connection(uri)
        self._keep_connections()

    def _remove_connection(self) -> None:
        if self.stage.uri is not None:
            self._session.remove_connection(self.stage.uri)
            self._keep_connections()

    def _keep_connections(self) -> None:
        self._settings.connections = tuple(view.uri for view in self._session.connections)
        self._save()

    def _start_demo(self) -> None:
        make = self._make_demo
        if make is None or self._is_making_demo:
            return
        self._is_making_demo = True
        self.stage.page.set_busy(is_busy=True)
        text = self.tr("Making the demo lab: four small VMs with their snapshots…")
        self.stage.banner.show_message(Severity.NOTE, text)

        def run() -> None:
            try:
                uri = make()
            except SnapviewError as error:
                self._demo_failed.emit(error)
            except OSError as error:
                text = "The demo lab could not be made."
                self._demo_failed.emit(HostError(text, detail=str(error)))
            else:
                self._demo_made.emit(uri)

        self._session.run_in_background(run)

    def _on_demo_made(self, uri: str) -> None:
        self._end_demo()
        self._open_connection(uri)

    def _on_demo_failed(self, error: SnapviewError) -> None:
        self._end_demo()
        self.dialogs.show_error(error)

    def _end_demo(self) -> None:
        self._is_making_demo = False
        self.stage.banner.clear()
        self.stage.page.set_busy(is_busy=False)

    # -- reactions

    def _on_connection_changed(self, view: ConnectionView) -> None:
        self.vm_list.show_connection(view)
        if isinstance(self.stage.subject, VmKey):
            return
        is_shown = self.stage.subject in {None, view.uri}
        if view.vms and is_shown:
            self.vm_list.select_vm(VmKey(view.uri, view.vms[0].uuid))
            self.stage.vm_page.tree.setFocus()
        elif self.stage.subject is None:
            self.vm_list.select_connection(view.uri)

    def _on_subject_changed(self) -> None:
        subject: Subject = self.stage.subject
        self.action_set[ActionId.REMOVE_CONNECTION].setEnabled(subject is not None)
        self.top_bar.search.clear()

    def _on_context_changed(self) -> None:
        self.action_set.update(self.stage.context())
        self.action_set[ActionId.REMOVE_CONNECTION].setEnabled(self.stage.uri is not None)
        view = self.stage.view
        title = self.tr("{vm} – snapview").format(vm=view.vm.name) if view else "snapview"
        self.setWindowTitle(title)

    def _on_page_requested(self, wanted: PageAction) -> None:
        match wanted:
            case PageAction.MAKE_DEMO:
                self._start_demo()
            case PageAction.ADD_CONNECTION:
                self._add_connection()
            case PageAction.OPEN_SESSION:
                self._open_connection(SESSION_URI)
            case PageAction.REMOVE_CONNECTION:
                self._remove_connection()
            case PageAction.TAKE:
                self._take(None)
            case PageAction.RETRY:
                self.stage.retry()

    def _on_menu_requested(self, place: QPoint) -> None:
        self._row_menu.popup(place)

    def _on_row_activated(self, name: str) -> None:
        self._trigger(ActionId.TAKE if name == LIVE_ROW else ActionId.REVERT)

    def _on_searched(self, text: str) -> None:
        count = self.stage.vm_page.tree.set_search(text)
        self.top_bar.search.show_count(count if text else None)

    def _on_dialog_closed_by_vm(self, name: str) -> None:
        text = self.tr("“{vm}” was removed by another program; nothing was done to it.")
        self.stage.banner.show_message(Severity.WARNING, text.format(vm=shortened(name)))

    def _on_restyled(self) -> None:
        self.top_bar.restyle()
        self.vm_list.restyle()
        self.stage.restyle()
        self.jobs_strip.restyle()

    # -- what is remembered, and the end

    def _save(self) -> None:
        copied = Settings(self._settings.path)
        copied.raw = dict(self._settings.raw)  # the worker must not see half a change
        self._session.run_in_background(lambda: self._save_settings(copied))

    def event(self, event: QEvent) -> bool:
        """Bring the actions up to date before a key is looked up among them."""
        if event.type() == QEvent.Type.ShortcutOverride:
            self._settle_actions()
        return super().event(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the details under the tree when the window is narrow."""
        super().resizeEvent(event)
        self.stage.vm_page.set_narrow(is_narrow=self.width() < WIDE_PX)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask first when closing would cancel something."""
        jobs = [job for job in self._session.jobs if not job.state.is_over]
        if jobs and not self._may_close:
            event.ignore()
            dialog = CloseDialog(summary(len(jobs)), self)
            dialog.accepted.connect(self._close_anyway)
            dialog.open()
            return
        self._memory.remember()
        self._save()
        super().closeEvent(event)

    def _close_anyway(self) -> None:
        self._may_close = True
        self.close()
