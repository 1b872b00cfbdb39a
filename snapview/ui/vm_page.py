"""The page of one VM: header, tree, details.

The splitters leave room for what later issues add: charts below the tree, further panes beside.
"""

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtWidgets import QSplitter, QWidget

from snapview.session import VmView
from snapview.ui.buttons import button
from snapview.ui.detail import DetailPane
from snapview.ui.illustrations import IllustrationView
from snapview.ui.snapshot_view import SnapshotView
from snapview.ui.theme import COLUMN_HEADER, DETAIL_WIDTH, GAP, ROW_HEIGHT
from snapview.ui.vm_header import VmHeader
from snapview.ui.widgets import column, hairline, label

DETAIL_HEIGHT = 260  # below the tree, in a narrow window


class EmptyTreeHint(QWidget):
    """Stands in the empty space of a tree without snapshots and invites to take the first."""

    take_clicked = Signal()

    def __init__(self, tree: QWidget) -> None:
        super().__init__(tree)
        self._tree = tree
        layout = column(self, spacing=GAP)
        picture = IllustrationView()
        self.take = button(self.tr("Take the first one"))
        layout.addWidget(picture, 0, Qt.AlignmentFlag.AlignHCenter)
        for text, role in (
            (self.tr("No snapshot yet"), "figure"),
            (self.tr("Take one before you change something,\nand you can get back."), "note"),
        ):
            words = label(text, role)
            words.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            layout.addWidget(words)
        layout.addSpacing(GAP)
        layout.addWidget(self.take, 0, Qt.AlignmentFlag.AlignHCenter)
        self.take.clicked.connect(self.take_clicked)
        tree.installEventFilter(self)
        self.hide()

    def set_shown(self, *, is_shown: bool) -> None:
        """Stand there, or not."""
        self.setVisible(is_shown)
        self._place()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay in the middle of the tree."""
        if event.type() == QEvent.Type.Resize:
            self._place()
        return False

    def _place(self) -> None:
        room = self._tree.size()
        size = self.sizeHint()
        top = max(2 * ROW_HEIGHT + COLUMN_HEADER, (room.height() - size.height()) // 3)
        self.setGeometry((room.width() - size.width()) // 2, top, size.width(), size.height())


class VmPage(QWidget):
    """Arranges the parts; whoever owns it connects them."""

    def __init__(self) -> None:
        super().__init__()
        self.header = VmHeader()
        self.tree = SnapshotView()
        self.detail = DetailPane()
        self.hint = EmptyTreeHint(self.tree)
        self.halves = QSplitter(Qt.Orientation.Horizontal)
        self.halves.setHandleWidth(1)
        self.halves.setChildrenCollapsible(False)
        self.halves.addWidget(self.tree)
        self.halves.addWidget(self.detail)
        self.halves.setStretchFactor(0, 1)
        self.halves.setStretchFactor(1, 0)
        self.halves.setSizes([800, DETAIL_WIDTH])
        self._wide_sizes = [800, DETAIL_WIDTH]
        layout = column(self, spacing=0)
        layout.addWidget(self.header)
        layout.addWidget(hairline())
        layout.addWidget(self.halves, 1)

    def show_vm(self, view: VmView) -> None:
        """Show a VM as last read."""
        self.header.show_vm(view)
        self.tree.show_vm(view)
        self.hint.set_shown(is_shown=not len(view.vm.tree) and view.vm.problem is None)

    def set_narrow(self, *, is_narrow: bool) -> None:
        """Put the details below the tree when the window is narrow."""
        wanted = Qt.Orientation.Vertical if is_narrow else Qt.Orientation.Horizontal
        if self.halves.orientation() == wanted:
            return
        if is_narrow:
            self._wide_sizes = self.halves.sizes()
        self.halves.setOrientation(wanted)
        self.halves.setSizes([600, DETAIL_HEIGHT] if is_narrow else self._wide_sizes)

    def pane_sizes(self) -> list[int]:
        """Return the widths of tree and details beside each other."""
        beside = self.halves.orientation() == Qt.Orientation.Horizontal
        return self.halves.sizes() if beside else self._wide_sizes

    def restore_pane_sizes(self, sizes: list[int]) -> None:
        """Take up what ``pane_sizes`` returned once."""
        self._wide_sizes = sizes
        if self.halves.orientation() == Qt.Orientation.Horizontal:
            self.halves.setSizes(sizes)
