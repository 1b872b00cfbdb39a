"""Starts snapview, or a bare window, and says on stdout when there is something to see.

``python -m tests.benchmarks.start_watch snapview ARGUMENTS…`` is ``python -m snapview ARGUMENTS…``
with one more line after the first time that snapshots were painted. ``… bare`` is the floor: the
smallest window with a table in it.
"""

import runpy
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent


def say_shown() -> None:
    """Tell whoever started this, after what was painted is on its way to the display."""
    from PySide6.QtCore import QTimer

    QTimer.singleShot(0, lambda: sys.stdout.write("shown\n") and sys.stdout.flush())


def start_snapview() -> None:
    """Run the real program, its real way in."""
    from snapview.ui.snapshot_view import SnapshotView  # what the program itself loads first

    paint = SnapshotView.paintEvent
    is_shown = False

    def paint_and_tell(self: SnapshotView, event: "QPaintEvent") -> None:
        nonlocal is_shown
        paint(self, event)
        if not is_shown and self.snapshots.rowCount() > 1:
            is_shown = True
            say_shown()

    SnapshotView.paintEvent = paint_and_tell  # type: ignore[method-assign] # a spy
    runpy.run_module("snapview", run_name="__main__", alter_sys=True)


def start_bare_window() -> None:
    """Show a table with a dozen rows."""
    from PySide6.QtGui import QPaintEvent, QStandardItem, QStandardItemModel
    from PySide6.QtWidgets import QApplication, QTableView

    class Table(QTableView):
        def paintEvent(self, event: QPaintEvent) -> None:
            super().paintEvent(event)
            say_shown()

    app = QApplication([])
    table = Table()
    model = QStandardItemModel(table)
    for row in range(12):
        model.appendRow([QStandardItem(f"{row} {column}") for column in range(5)])
    table.setModel(model)
    table.resize(1280, 800)
    table.show()
    app.exec()


if __name__ == "__main__":
    if sys.argv.pop(1) == "bare":
        start_bare_window()
    else:
        start_snapview()
