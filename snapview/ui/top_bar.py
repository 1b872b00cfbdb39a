"""The bar at the top: buttons for what is done most, the search field and the menu."""

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import QLabel, QLineEdit, QMenu, QToolButton, QWidget

from snapview.ui.action_set import ActionSet
from snapview.ui.actions import ACTIONS, ActionId, Place
from snapview.ui.buttons import ActionButton, SplitButton
from snapview.ui.colours import current_theme
from snapview.ui.format import plural
from snapview.ui.icons import icon
from snapview.ui.theme import GAP, TOOLBAR
from snapview.ui.widgets import column, hairline, label, panel, row

SEARCH_WIDTH = 256
_IN_BAR = (ActionId.REVERT, ActionId.MERGE, ActionId.DISCARD, ActionId.CONSOLIDATE)


class SearchField(QLineEdit):
    """Reports what is searched for; Enter and Shift+Enter go to the next and previous find."""

    searched = Signal(str)
    next_wanted = Signal()
    previous_wanted = Signal()
    left = Signal()  # Escape: back to the tree

    def __init__(self) -> None:
        super().__init__()
        self._hint: QLabel = label("", "caption")
        self._hint.setParent(self)
        self._hint.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setPlaceholderText(self.tr("Search snapshots"))
        self.setAccessibleName(self.tr("Search snapshots"))
        self.setFixedWidth(SEARCH_WIDTH)
        self._icon = self.addAction(icon("search"), QLineEdit.ActionPosition.LeadingPosition)
        self.textChanged.connect(self.searched)
        self.show_count(None)

    def show_count(self, count: int | None) -> None:
        """Say how many snapshots were found; None: the key that leads here."""
        if count is None or not self.text():
            key = QKeySequence("Ctrl+F").toString(QKeySequence.SequenceFormat.NativeText)
            self._hint.setText(key)
        else:
            self._hint.setText(plural(count, self.tr("1 found"), self.tr("{number} found")))
        self._place_hint()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go on to the next find, or leave."""
        if event.key() in {Qt.Key.Key_Return, Qt.Key.Key_Enter}:
            back = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
            (self.previous_wanted if back else self.next_wanted).emit()
        elif event.key() == Qt.Key.Key_Escape:
            self.clear()
            self.left.emit()
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Keep the hint at the right."""
        handled = super().event(event)
        if event.type() in {QEvent.Type.Resize, QEvent.Type.Polish, QEvent.Type.FontChange}:
            self._place_hint()
        return handled

    def restyle(self) -> None:
        """Draw the icon in the colours of now."""
        self._icon.setIcon(icon("search", current_theme().secondary))

    def _place_hint(self) -> None:
        self._hint.adjustSize()
        size = self._hint.size()
        self._hint.move(self.width() - size.width() - 10, (self.height() - size.height()) // 2)
        self.setTextMargins(0, 0, size.width() + 6, 0)


class TopBar(QWidget):
    """Buttons for the actions, and the search field."""

    def __init__(self, actions: ActionSet) -> None:
        super().__init__()
        self._actions = actions
        self.search = SearchField()
        self.take_menu = _menu(self, actions, Place.TAKE_MENU)
        self.window_menu = _menu(self, actions, Place.WINDOW_MENU)
        take = actions[ActionId.TAKE]
        self.take = SplitButton(take, self.take_menu, icon("camera"), icon("chevron-down"))
        self.buttons: dict[ActionId, ActionButton] = {}
        self.menu_button = QToolButton()
        self.menu_button.setMenu(self.window_menu)
        self.menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu_button.setAccessibleName(self.tr("Menu"))
        self.menu_button.setToolTip(self.tr("Connections, order of the tree, keys, about (F10)"))
        self.menu_button.setShortcut(QKeySequence("F10"))
        self._build()
        self.restyle()

    def restyle(self) -> None:
        """Draw all icons in the colours of now."""
        theme = current_theme()
        for spec in ACTIONS:
            self._actions[spec.id].setIcon(icon(spec.icon))
        self.take.set_icons(icon("camera", theme.on_filled), icon("chevron-down", theme.on_filled))
        self.menu_button.setIcon(icon("menu"))
        self.search.restyle()

    def _build(self) -> None:
        surface = panel("window")
        outer = column(self, spacing=0)
        outer.addWidget(surface)
        outer.addWidget(hairline())
        line = row(surface, spacing=GAP)
        line.setContentsMargins(12, 0, 12, 0)
        line.addWidget(self.take)
        line.addWidget(_divider())
        for action_id in _IN_BAR:
            if action_id in {ActionId.MERGE, ActionId.CONSOLIDATE}:
                line.addWidget(_divider())
            line.addWidget(self._tool_button(action_id))
        line.addStretch(1)
        line.addWidget(self.search)
        line.addWidget(self.menu_button)
        self.setFixedHeight(TOOLBAR)

    def _tool_button(self, action_id: ActionId) -> ActionButton:
        made = ActionButton(self._actions[action_id])
        self.buttons[action_id] = made
        return made


def _divider() -> QWidget:
    line = hairline(vertical=True)
    line.setFixedHeight(20)
    return line


def _menu(parent: QObject, actions: ActionSet, place: Place) -> QMenu:
    assert isinstance(parent, QWidget)
    menu = QMenu(parent)
    menu.setToolTipsVisible(True)
    menu.addActions(actions.at(place))
    return menu
