"""The window's ``QAction`` objects, made from the table in ``actions``.

Hides how they are kept enabled, labelled and explained for what is selected.
"""

from functools import cache

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget

from snapview.core.planning import plan
from snapview.ui.actions import (
    ACTIONS,
    ActionContext,
    ActionId,
    Place,
    tooltip,
    translated,
    why_not,
)
from snapview.ui.widgets import literal


class ActionSet(QObject):
    """The window's ``QAction`` objects, made from ``ACTIONS``."""

    requested = Signal(object)  # ActionId

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._actions: dict[ActionId, QAction] = {}
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

    def __getitem__(self, action_id: ActionId) -> QAction:
        return self._actions[action_id]

    def at(self, place: Place) -> list[QAction]:
        """Return the actions that appear there, in order."""
        return [self._actions[spec.id] for spec in ACTIONS if place in spec.places]

    def update(self, context: ActionContext) -> None:
        """Enable what can be used in ``context``; the tooltips of the others say why not."""
        ask = cache(plan)  # merge, discard and Del ask the same, and large trees take a while
        for spec in ACTIONS:
            reason = why_not(spec, context, ask)
            action = self._actions[spec.id]
            action.setEnabled(not reason)
            action.setToolTip(literal(tooltip(spec, reason)))
            action.setStatusTip(reason or translated(spec.tooltip))
