"""Python's cyclic garbage, collected on the GUI thread alone while there are workers.

Python collects in whichever thread happens to allocate. A closed dialog is often part of a cycle;
a worker that reads thousands of snapshots would then destroy it in its own thread, and Qt crashes
or waits for the GUI thread for ever (seen with PySide6 6.11: ``QWindow::close`` flushes events).

What the start of the program made, modules and widgets, is left out from then on: looking through
it takes 15 ms each time, and with large trees the window would stutter.
"""

import gc

from PySide6.QtCore import QObject, QTimer, Slot


class GuiThreadGarbage(QObject):
    """Takes over from Python's automatic collection until ``stop``. GUI thread.

    Args:
        parent: as Qt has it.
        seconds: between two looks; a look costs next to nothing.
    """

    def __init__(self, parent: QObject | None = None, seconds: float = 1) -> None:
        super().__init__(parent)
        self._was_enabled = gc.isenabled()
        self._is_start_left_out = False
        gc.disable()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._on_timeout)
        self._timer.start(round(seconds * 1000))

    def stop(self) -> None:
        """Give the collection back to Python: all workers have ended. Idempotent."""
        if self._timer.isActive():
            self._timer.stop()
            gc.unfreeze()
            if self._was_enabled:
                gc.enable()

    @Slot()
    def _on_timeout(self) -> None:
        """Collect the oldest generation that is due, by Python's own thresholds."""
        if not self._is_start_left_out:
            self._is_start_left_out = True
            gc.collect()
            gc.freeze()
            return
        due = zip(gc.get_count(), gc.get_threshold(), strict=True)
        for generation, (count, threshold) in reversed(list(enumerate(due))):
            if count > threshold:
                gc.collect(generation)
                return
