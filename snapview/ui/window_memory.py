"""What the window remembers of its looks: place, size, panes, columns.

Hides how that is written down in the settings; whoever owns the settings saves them.
"""

from PySide6.QtCore import QByteArray
from PySide6.QtWidgets import QSplitter, QWidget

from snapview.settings import Settings
from snapview.ui.vm_page import VmPage

FIRST_WIDTH, FIRST_HEIGHT = 1280, 800


class WindowMemory:
    """Takes the looks of a window from the settings, and puts them there. GUI thread."""

    def __init__(
        self, window: QWidget, panes: QSplitter, vm_page: VmPage, settings: Settings
    ) -> None:
        self._window = window
        self._panes = panes
        self._vm_page = vm_page
        self._settings = settings

    def restore(self) -> None:
        """Let the window look as it did."""
        settings = self._settings
        self._window.resize(FIRST_WIDTH, FIRST_HEIGHT)
        if settings.window_geometry:
            stored = settings.window_geometry.encode("ascii", "ignore")
            self._window.restoreGeometry(QByteArray.fromBase64(stored))
        sizes = list(settings.splitter_sizes)
        if len(sizes) == 4:
            self._panes.setSizes(sizes[:2])
            self._vm_page.restore_pane_sizes(sizes[2:])
        if settings.tree_columns:
            self._vm_page.tree.restore_column_state(settings.tree_columns)

    def remember(self) -> None:
        """Note down how the window looks."""
        settings = self._settings
        geometry = self._window.saveGeometry().toBase64().data()
        settings.window_geometry = bytes(geometry).decode("ascii")
        settings.splitter_sizes = (*self._panes.sizes(), *self._vm_page.pane_sizes())
        settings.tree_columns = self._vm_page.tree.column_state()
