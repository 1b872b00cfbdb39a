"""The page of one VM: header, tree, details.

The splitters leave room for what later issues add: charts below the tree, further panes beside.
"""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSplitter, QWidget

from snapview.session import VmView
from snapview.ui.detail import DetailPane
from snapview.ui.snapshot_view import SnapshotView
from snapview.ui.theme import DETAIL_WIDTH
from snapview.ui.vm_header import VmHeader
from snapview.ui.widgets import column, hairline

DETAIL_HEIGHT = 260  # below the tree, in a narrow window


class VmPage(QWidget):
    """Arranges the parts; whoever owns it connects them."""

    def __init__(self) -> None:
        super().__init__()
        self.header = VmHeader()
        self.tree = SnapshotView()
        self.detail = DetailPane()
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
