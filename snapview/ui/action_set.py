"""The window's ``QAction`` objects, made from the table in ``actions``.

Hides how they are kept enabled, labelled and explained for what is selected, and that a plan may
take a while.
"""

from functools import partial

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget

from snapview.core.operations import Operation
from snapview.core.planning import Plan, Refusal
from snapview.core.vm import Vm
from snapview.session import AskPlan, TakeBack, plan_at_once
from snapview.ui.actions import ACTIONS, ActionId, ActionSpec, Place, translated
from snapview.ui.availability import ActionContext, tooltip, why_not
from snapview.ui.widgets import literal


class ActionSet(QObject):
    """The window's ``QAction`` objects, made from ``ACTIONS``."""

    requested = Signal(object)  # ActionId

    def __init__(self, window: QWidget, ask_plan: AskPlan = plan_at_once) -> None:
        super().__init__(window)
        self._ask_plan = ask_plan
        self._actions: dict[ActionId, QAction] = {}
        self._context = ActionContext()
        # About the context's VM; None: being worked out.
        self._asked: dict[Operation, Plan | Refusal | None] = {}
        self._open: dict[Operation, TakeBack] = {}
        self._pending: list[ActionSpec] = []
        # One action a turn of the event loop: each may wait a moment for its plan.
        self._next = QTimer(self)
        self._next.setSingleShot(True)
        self._next.setInterval(0)
        self._next.timeout.connect(self._on_next)
        for spec in ACTIONS:
            action = QAction(translated(spec.text), window)
            action.setObjectName(spec.id.value)
            action.setIconText(translated(spec.text))  # Qt's own would lose the dots
            action.setCheckable(spec.is_checkable)
            action.setShortcut(QKeySequence(spec.shortcut))
            # The tree itself takes End; in other panes the key means what it always means.
            own = spec.id is ActionId.YOU_ARE_HERE
            action.setShortcutContext(
                Qt.ShortcutContext.WidgetShortcut if own else Qt.ShortcutContext.WindowShortcut
            )
            action.triggered.connect(lambda _checked=False, id_=spec.id: self.requested.emit(id_))
            self._actions[spec.id] = action
        window.addActions(list(self._actions.values()))
        self.update(ActionContext())
        self.settle()

    def _ask(self, vm: Vm, operation: Operation) -> Plan | Refusal | None:
        """Ask once: merge, discard and Del ask the same, and large trees take a while."""
        if operation not in self._asked:
            self._asked[operation] = None
            take_back = self._ask_plan(vm, operation, partial(self._on_planned, vm, operation))
            if self._asked[operation] is None:
                self._open[operation] = take_back
        return self._asked[operation]

    def _on_planned(self, vm: Vm, operation: Operation, planned: Plan | Refusal) -> None:
        if vm is not self._context.vm:
            return
        self._asked[operation] = planned
        if self._open.pop(operation, None) is not None:  # it has come later: look at all again
            self._pend()

    def __getitem__(self, action_id: ActionId) -> QAction:
        return self._actions[action_id]

    def at(self, place: Place) -> list[QAction]:
        """Return the actions that appear there, in order."""
        return [self._actions[spec.id] for spec in ACTIONS if place in spec.places]

    def update(self, context: ActionContext) -> None:
        """Enable what can be used in ``context``; the tooltips of the others say why not."""
        self._take_back_questions()
        if context.vm is not self._context.vm:
            self._asked.clear()
        self._context = context
        for spec in ACTIONS:
            if spec.operations is None:
                self._update_one(spec)
        self._pend()

    def _take_back_questions(self) -> None:
        """Wait no longer for what was asked about another selection."""
        for operation, take_back in self._open.items():
            take_back()
            del self._asked[operation]
        self._open.clear()

    def _pend(self) -> None:
        self._pending = [spec for spec in ACTIONS if spec.operations is not None]
        self._next.start()

    def settle(self) -> None:
        """Finish now what ``update`` has left for later turns of the event loop.

        What is still being worked out then counts as possible: its dialog will say.
        """
        while self._pending:
            self._update_one(self._pending.pop(0))

    def _on_next(self) -> None:
        if self._pending:
            self._update_one(self._pending.pop(0))
            self._next.start()

    def _update_one(self, spec: ActionSpec) -> None:
        reason = why_not(spec, self._context, self._ask)
        action = self._actions[spec.id]
        action.setEnabled(not reason)
        action.setToolTip(literal(tooltip(spec, reason)))
        action.setStatusTip(reason or translated(spec.tooltip))
