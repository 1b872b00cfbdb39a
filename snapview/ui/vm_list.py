"""The sidebar: connections as sections, their VMs, a filter when there are many.

Hides the painting of the rows and that the filter hides rows rather than removing them, so that
the shown VM stays selected whatever is typed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from PySide6.QtCore import (
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QFontMetrics, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QLineEdit,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QWidget,
)

from snapview.core.vm import RunState
from snapview.session import ConnectionState, ConnectionView, VmKey
from snapview.ui.buttons import button, set_icon
from snapview.ui.colours import Theme, current_theme
from snapview.ui.icons import icon
from snapview.ui.theme import (
    ACCENT_BAR,
    CONTROL_RADIUS,
    FOCUS_RING,
    GAP,
    SIDEBAR_ROW,
    SIDEBAR_WIDTH,
    caption_font,
    secondary_font,
    text_font,
)
from snapview.ui.vm_list_model import ListRole, RowKind, VmListModel
from snapview.ui.widgets import column, panel

MANY_VMS = 12  # from here on there is a filter
SECTION_SPACE = 12  # above a connection
STATE_X = 26  # centre of the state's shape
TEXT_X = 40
RIGHT_INSET = 20

Index = QModelIndex | QPersistentModelIndex


class VmListDelegate(QStyledItemDelegate):
    """Paints the sidebar's rows from the theme."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return a row's height; connections have space above."""
        is_connection = index.data(ListRole.KIND) is RowKind.CONNECTION
        return QSize(SIDEBAR_WIDTH, SIDEBAR_ROW + (SECTION_SPACE if is_connection else 0))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw a row."""
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme = current_theme()
        rect = QRect(option.rect)
        kind = index.data(ListRole.KIND)
        if kind is RowKind.CONNECTION:
            rect.setTop(rect.top() + SECTION_SPACE)
        self._paint_back(painter, option, rect, theme)
        match kind:
            case RowKind.CONNECTION:
                self._paint_connection(painter, rect, index, theme)
            case RowKind.VM:
                self._paint_vm(painter, rect, index, option)
            case _:
                painter.setFont(secondary_font())
                painter.setPen(theme.secondary)
                self._text(painter, rect.adjusted(TEXT_X, 0, -RIGHT_INSET, 0), str(index.data()))
        painter.restore()

    def _paint_back(
        self, painter: QPainter, option: QStyleOptionViewItem, rect: QRect, theme: Theme
    ) -> None:
        state = option.state
        box = rect.adjusted(GAP, 0, -GAP, 0)
        if state & QStyle.StateFlag.State_Selected:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.selected)
            painter.drawRoundedRect(box, CONTROL_RADIUS, CONTROL_RADIUS)
            painter.setBrush(theme.accent)
            painter.drawRect(QRect(box.left(), rect.top() + 5, ACCENT_BAR, rect.height() - 10))
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.hover if not theme.is_dark else theme.window)
            painter.drawRoundedRect(box, CONTROL_RADIUS, CONTROL_RADIUS)
        if state & QStyle.StateFlag.State_HasFocus and state & QStyle.StateFlag.State_Selected:
            pen = painter.pen()
            pen.setStyle(Qt.PenStyle.SolidLine)
            pen.setColor(theme.accent)
            pen.setWidth(FOCUS_RING)
            painter.setPen(pen)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(box.adjusted(1, 1, -1, -1), CONTROL_RADIUS, CONTROL_RADIUS)

    def _paint_connection(self, painter: QPainter, rect: QRect, index: Index, theme: Theme) -> None:
        name = {
            ConnectionState.NOT_PERMITTED: "lock",
            ConnectionState.LOST: "warning",
            ConnectionState.NOT_INSTALLED: "warning",
            ConnectionState.FAILED: "warning",
        }.get(index.data(ListRole.CONNECTION_STATE))
        remote = "@" in str(index.data(ListRole.URI)) or "ssh" in str(index.data(ListRole.URI))
        drawn = icon(name) if name else icon("server" if remote else "monitor", theme.secondary)
        drawn.paint(painter, rect.left() + 16, rect.center().y() - 7, 16, 16)
        room = rect.adjusted(TEXT_X - 2, 0, -GAP, 0)
        painter.setFont(caption_font(strong=True))
        painter.setPen(theme.secondary)
        used = self._text(painter, room, str(index.data()))
        room.setLeft(room.left() + used + GAP)
        painter.setFont(caption_font())
        address = str(index.data(ListRole.ADDRESS))
        self._text(painter, room, address, Qt.TextElideMode.ElideMiddle)

    def _paint_vm(
        self, painter: QPainter, rect: QRect, index: Index, option: QStyleOptionViewItem
    ) -> None:
        theme = current_theme()
        is_selected = bool(option.state & QStyle.StateFlag.State_Selected)
        is_stale = bool(index.data(ListRole.IS_STALE))
        centre = QPoint(rect.left() + STATE_X, rect.center().y() + 1)
        paint_run_state(painter, centre, index.data(ListRole.RUN_STATE), theme, is_stale=is_stale)
        count = index.data(ListRole.COUNT)
        painter.setFont(text_font())
        painter.setPen(theme.secondary)
        room = rect.adjusted(TEXT_X, 0, -RIGHT_INSET, 0)
        number = "–" if count is None else str(count)
        width = QFontMetrics(painter.font()).horizontalAdvance(number)
        painter.drawText(room, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, number)
        room.setRight(room.right() - width - GAP)
        painter.setPen(theme.disabled if is_stale else theme.text)
        painter.setFont(text_font(strong=is_selected))
        self._text(painter, room, str(index.data()))

    def _text(
        self,
        painter: QPainter,
        room: QRect,
        text: str,
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
    ) -> int:
        """Draw one line elided to its room; return the width it took."""
        metrics = QFontMetrics(painter.font())
        shown = metrics.elidedText(text.replace("\n", " "), mode, max(0, room.width()))
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(room, flags | Qt.TextFlag.TextSingleLine, shown)
        return metrics.horizontalAdvance(shown)


def paint_run_state(
    painter: QPainter, centre: QPoint, state: RunState, theme: Theme, *, is_stale: bool = False
) -> None:
    """Draw a run state's shape: disc, ring, bars, half disc or a diamond."""
    colour = theme.secondary if is_stale else theme.good.fill
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    match state:
        case RunState.RUNNING:
            painter.drawEllipse(centre, 4, 4)
        case RunState.PAUSED:
            painter.setBrush(theme.secondary)
            painter.drawRect(centre.x() - 4, centre.y() - 4, 3, 8)
            painter.drawRect(centre.x() + 1, centre.y() - 4, 3, 8)
        case RunState.SUSPENDED:
            painter.setBrush(theme.secondary)
            painter.drawPie(centre.x() - 4, centre.y() - 4, 8, 8, 90 * 16, 180 * 16)
        case RunState.CRASHED:
            painter.drawPixmap(centre.x() - 7, centre.y() - 7, icon("error").pixmap(14, 14))
        case _:
            pen = painter.pen()
            pen.setStyle(Qt.PenStyle.SolidLine)
            pen.setColor(theme.secondary)
            pen.setWidthF(1.5)
            painter.setPen(pen)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(centre, 4, 4)


class VmList(QWidget):
    """The sidebar. Reports what the user chooses; shows what the session knows."""

    vm_chosen = Signal(object)  # VmKey
    connection_chosen = Signal(str)  # uri
    add_connection_clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.model = VmListModel(self)
        self._is_silent = False  # while the list itself changes, nobody chooses anything
        self.view = self._make_view()
        self.filter = QLineEdit()
        self.filter.setPlaceholderText(self.tr("Filter virtual machines"))
        self.filter.setAccessibleName(self.tr("Filter virtual machines"))
        self.filter.setClearButtonEnabled(True)
        self._filter_room = QWidget()
        room = column(self._filter_room)
        room.setContentsMargins(GAP, GAP, GAP, 0)
        room.addWidget(self.filter)
        self._filter_room.hide()
        self.add_button = button(self.tr("Add connection…"), "plain", icon("add"))
        self._build()
        self._connect()

    def _make_view(self) -> QTreeView:
        view = QTreeView()
        view.setModel(self.model)
        view.setItemDelegate(VmListDelegate(view))
        view.setHeaderHidden(True)
        view.setIndentation(0)
        view.setRootIsDecorated(False)
        view.setItemsExpandable(False)
        view.setExpandsOnDoubleClick(False)
        view.setMouseTracking(True)
        view.setFrameShape(QFrame.Shape.NoFrame)
        view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.viewport().setAutoFillBackground(False)
        view.setAutoFillBackground(False)
        view.setAccessibleName(self.tr("Virtual machines"))
        return view

    def _build(self) -> None:
        surface = panel("sidebar")
        inner = column(surface, spacing=0)
        inner.addWidget(self._filter_room)
        inner.addWidget(self.view, 1)
        foot = column()
        foot.setContentsMargins(GAP, GAP, GAP, GAP)
        foot.addWidget(self.add_button)
        inner.addLayout(foot)
        column(self, spacing=0).addWidget(surface)
        self.setMinimumWidth(160)

    def _connect(self) -> None:
        # Not currentChanged: a view that gets the focus makes its first row current by itself.
        self.view.selectionModel().selectionChanged.connect(self._on_selection_changed)
        self.model.rowsInserted.connect(self._on_rows_inserted)
        self.filter.textChanged.connect(self._apply_filter)
        self.add_button.clicked.connect(self.add_connection_clicked)

    # -- commands

    def show_connection(self, view: ConnectionView) -> None:
        """Add a connection or show its changes."""
        with self._silence():
            self.model.show_connection(view)
        self._filter_room.setVisible(self.model.vm_count() > MANY_VMS or bool(self.filter.text()))
        self._apply_filter(self.filter.text())

    def remove_connection(self, uri: str) -> None:
        """Take a connection away."""
        with self._silence():
            self.model.remove_connection(uri)

    def select_vm(self, key: VmKey) -> bool:
        """Select a VM; False when it is not in the list."""
        return self._select(self.model.index_of(key))

    def select_connection(self, uri: str) -> bool:
        """Select a connection; False when it is not in the list."""
        return self._select(self.model.index_of_connection(uri))

    def current(self) -> VmKey | str | None:
        """Return the selected VM, or the selected connection's URI."""
        chosen = self.view.selectionModel().selectedIndexes()
        if not chosen:
            return None
        key = chosen[0].data(ListRole.KEY)
        return key if isinstance(key, VmKey) else str(chosen[0].data(ListRole.URI))

    def restyle(self) -> None:
        """Draw the button's icon in the colours of now."""
        set_icon(self.add_button, icon("add", current_theme().secondary))

    # -- reactions

    @contextmanager
    def _silence(self) -> Iterator[None]:
        """Choose nothing while the list changes; a chosen row that goes leaves no other one."""
        chosen = self.current()
        self._is_silent = True
        yield
        if self.current() != chosen:
            self.view.selectionModel().clear()
        self._is_silent = False

    def _select(self, index: QModelIndex) -> bool:
        if not index.isValid():
            return False
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect
        self.view.selectionModel().setCurrentIndex(index, flags)
        return True

    def _on_selection_changed(self) -> None:
        chosen = self.current()
        if self._is_silent or chosen is None:
            return
        if isinstance(chosen, VmKey):
            self.vm_chosen.emit(chosen)
        else:
            self.connection_chosen.emit(chosen)

    def _on_rows_inserted(self, parent: QModelIndex, first: int, last: int) -> None:
        if not parent.isValid():
            for at in range(first, last + 1):
                self.view.expand(self.model.index(at, 0))
        elif not self.view.isExpanded(parent):
            self.view.expand(parent)

    def _apply_filter(self, text: str) -> None:
        wanted = text.strip().casefold()
        for at in range(self.model.rowCount()):
            parent = self.model.index(at, 0)
            for child in range(self.model.rowCount(parent)):
                index = self.model.index(child, 0, parent)
                is_vm = index.data(ListRole.KIND) is RowKind.VM
                hidden = is_vm and wanted not in str(index.data()).casefold()
                self.view.setRowHidden(child, parent, hidden)
