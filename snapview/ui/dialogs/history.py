"""The dialog that shows what was done to a VM: when, what, how it ended, planned beside actual.

Imported only when it is opened, as it brings SQLite with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import (
    QT_TRANSLATE_NOOP,
    QAbstractTableModel,
    QCoreApplication,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
)
from PySide6.QtGui import QFontMetrics, QIcon, QPainter
from PySide6.QtWidgets import (
    QFrame,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from snapview.core.errors import SnapviewError
from snapview.history import OperationRecord
from snapview.session import JobView, Session, VmKey
from snapview.ui.buttons import button
from snapview.ui.colours import Severity, current_theme
from snapview.ui.dialogs.base import StyledDialog
from snapview.ui.dialogs.plan_view import message_box
from snapview.ui.format import (
    duration_text,
    exact_size_text,
    exact_time_text,
    plural,
    size_text,
    time_text,
)
from snapview.ui.icons import icon
from snapview.ui.theme import (
    COLUMN_HEADER,
    ICON_SIZE,
    INSET,
    ROW_HEIGHT,
    TINY,
    caption_font,
    text_font,
)
from snapview.ui.widgets import clear, column, label, literal, paint_icon, panel, row

Index = QModelIndex | QPersistentModelIndex
ROOT = QModelIndex()


def _tr(text: str) -> str:
    return QCoreApplication.translate("History", text)


def _beside(actual: str, planned: str) -> str:
    """Return an actual figure with the planned one, as far as they are known."""
    if not planned:
        return actual
    return _tr("{actual} of {planned}").format(actual=actual or "–", planned=planned)


def _size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return ""
    if size_bytes < 0:
        return _tr("{size} more").format(size=size_text(-size_bytes))
    return size_text(size_bytes)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else duration_text(seconds)


def what_text(record: OperationRecord) -> str:
    """Return what was done, beginning with a capital letter."""
    return record.what[:1].upper() + record.what[1:]


def outcome_text(record: OperationRecord) -> str:
    """Return how it ended."""
    words = {"done": _tr("done"), "failed": _tr("failed"), "cancelled": _tr("cancelled")}
    return words.get(record.outcome, record.outcome)


def _severity(record: OperationRecord) -> Severity:
    if record.outcome == "failed":
        return Severity.ERROR
    return Severity.WARNING if record.message else Severity.GOOD


def _copied_tip(record: OperationRecord) -> str:
    lines = []
    if record.actual_bytes is not None:
        lines.append(_tr("Copied: {size}").format(size=exact_size_text(record.actual_bytes)))
    if record.planned_bytes is not None:
        lines.append(_tr("Planned: {size}").format(size=exact_size_text(record.planned_bytes)))
    if record.is_limited:
        lines.append(_tr("Its speed was limited"))
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Column:
    """One column: its title, its text, and what its tooltip says."""

    title: str
    text: Callable[[OperationRecord], str]
    tip: Callable[[OperationRecord], str] = lambda record: record.message


COLUMNS = (
    _Column(
        str(QT_TRANSLATE_NOOP("History", "When")),
        lambda r: time_text(r.at),
        lambda r: exact_time_text(r.at),
    ),
    _Column(str(QT_TRANSLATE_NOOP("History", "What")), what_text),
    _Column(str(QT_TRANSLATE_NOOP("History", "How it ended")), outcome_text),
    _Column(
        str(QT_TRANSLATE_NOOP("History", "Copied, of planned")),
        lambda r: _beside(_size(r.actual_bytes), _size(r.planned_bytes)),
        _copied_tip,
    ),
    _Column(
        str(QT_TRANSLATE_NOOP("History", "Took, of planned")),
        lambda r: _beside(_seconds(r.actual_seconds), _seconds(r.planned_seconds)),
    ),
    _Column(
        str(QT_TRANSLATE_NOOP("History", "Freed, of planned")),
        lambda r: _beside(_size(r.actual_freed_bytes), _size(r.planned_freed_bytes)),
    ),
)
WHAT = 1
OUTCOME = 2
SPACE = 10  # beside a cell's text


class HistoryModel(QAbstractTableModel):
    """The operations on one VM. Read-only; GUI thread."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._records: tuple[OperationRecord, ...] = ()

    def set_records(self, records: Sequence[OperationRecord]) -> None:
        """Show other operations."""
        self.beginResetModel()
        self._records = tuple(records)
        self.endResetModel()

    def rowCount(self, parent: Index = ROOT) -> int:
        """Return the number of operations."""
        return 0 if parent.isValid() else len(self._records)

    def columnCount(self, parent: Index = ROOT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Return what a cell shows."""
        record, column_ = self._records[index.row()], COLUMNS[index.column()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return column_.text(record)
            case Qt.ItemDataRole.ToolTipRole:
                return literal(column_.tip(record))
            case Qt.ItemDataRole.DecorationRole if index.column() == OUTCOME:
                return icon(_severity(record).value)
        return None

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> object:
        """Return the titles of the columns."""
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return _tr(COLUMNS[section].title)
        return None


class _Cells(QStyledItemDelegate):
    """Paints the cells from the ``Theme``, with space between the columns."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return room for the text and the space."""
        hint = super().sizeHint(option, index)
        return QSize(hint.width() + _left(index.column()) + SPACE, ROW_HEIGHT)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Paint one cell."""
        theme, column_ = current_theme(), index.column()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(option.rect, theme.selected)
        place = option.rect.adjusted(_left(column_), 0, -SPACE, 0)
        mark = index.data(Qt.ItemDataRole.DecorationRole)
        if isinstance(mark, QIcon):
            paint_icon(painter, mark, place.left(), place.center().y() - ICON_SIZE // 2 + 1)
            place.setLeft(place.left() + ICON_SIZE + TINY)
        painter.setFont(text_font())
        painter.setPen(theme.text if column_ in {WHAT, OUTCOME} else theme.secondary)
        text = str(index.data() or "")
        shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, place.width())
        painter.drawText(place, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, shown)


def _left(section: int) -> int:
    return INSET if section == 0 else SPACE


class _Header(QHeaderView):
    """Titles with a hairline below, as in the tree."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setFixedHeight(COLUMN_HEADER)
        self.setHighlightSections(False)

    def sectionSizeFromContents(self, section: int) -> QSize:
        """Return room for the title and the space beside it."""
        width = QFontMetrics(caption_font()).horizontalAdvance(_tr(COLUMNS[section].title))
        return QSize(width + _left(section) + SPACE, COLUMN_HEADER)

    def paintSection(self, painter: QPainter, rect: QRect, section: int) -> None:
        """Paint one title."""
        theme = current_theme()
        painter.fillRect(rect, theme.base)
        painter.fillRect(rect.left(), rect.bottom(), rect.width(), 1, theme.hairline)
        painter.setFont(caption_font())
        painter.setPen(theme.secondary)
        place = rect.adjusted(_left(section), 0, -SPACE, 0)
        alignment = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(place, alignment, _tr(COLUMNS[section].title))


class HistoryDialog(StyledDialog):
    """Shows the operations on one VM."""

    def __init__(
        self, session: Session, key: VmKey, name: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent, _tr("What was done to {vm}").format(vm=name))
        self._key = key
        self.model = HistoryModel(self)
        self.table = QTableView()
        self._message: QVBoxLayout = column(spacing=0)
        self._build()
        session.history_read.connect(self._on_read)
        session.history_unreadable.connect(self._on_unreadable)
        session.job_changed.connect(self._on_job_changed)
        self._session = session
        session.read_history(key)

    def _build(self) -> None:
        layout = column(self, spacing=0)
        body = panel("base")
        inner = column(body, spacing=0)
        inner.addLayout(self._message)
        inner.addWidget(self.table, 1)
        layout.addWidget(body, 1)
        table = self.table
        table.setModel(self.model)
        table.setFrameShape(QFrame.Shape.NoFrame)
        table.setShowGrid(False)
        table.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QTableView.SelectionMode.SingleSelection)
        table.setTabKeyNavigation(False)
        table.setWordWrap(False)
        table.setTextElideMode(Qt.TextElideMode.ElideRight)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        table.setItemDelegate(_Cells(table))
        header = _Header(table)
        table.setHorizontalHeader(header)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(WHAT, QHeaderView.ResizeMode.Stretch)
        table.setCornerButtonEnabled(False)
        table.setAccessibleName(self.windowTitle())
        close = button(self.tr("&Close"), "filled")
        close.clicked.connect(self.accept)
        self.note = self.add_foot(layout, close)
        self.resize(1040, 460)
        table.setFocus()

    def _on_read(self, key: VmKey, records: Sequence[OperationRecord]) -> None:
        if key != self._key:
            return
        clear(self._message)
        self.model.set_records(records)
        one, many = self.tr("1 operation"), self.tr("{number} operations")
        self.note.setText(plural(len(records), one, many) if records else "")
        self.table.setVisible(bool(records))
        if not records:
            text = self.tr("snapview has done nothing to this VM yet.")
            self._say(label(text, "note"))

    def _on_unreadable(self, key: VmKey, error: SnapviewError) -> None:
        if key != self._key:
            return
        self.table.hide()
        self._say(message_box(Severity.ERROR, error.message, advice=error.advice))

    def _say(self, message: QWidget) -> None:
        clear(self._message)
        self._message.addSpacing(INSET)
        line = row(spacing=0)
        line.setContentsMargins(INSET, 0, INSET, 0)
        line.addWidget(message)
        self._message.addLayout(line)
        self._message.addStretch(1)

    def _on_job_changed(self, job: JobView) -> None:
        """Read again when something more was done; it is written down before it is read."""
        if job.key == self._key and job.state.is_over:
            self._session.read_history(self._key)
