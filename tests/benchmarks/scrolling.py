"""Scrolls a shown tree and measures each frame; run as a program for another platform plugin."""

import json
import sys
import time

from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from snapview.ui.snapshot_view import SnapshotView
from snapview.ui.theme import apply_style
from tests.trees import random_tree
from tests.ui.views import view_of

ROWS = 10_000
ROUNDS = 5
FRAMES = 120  # of a round
STEP_PX = 97  # three rows and a bit, so that every frame shows other rows at another offset


def shown_tree(rows: int = ROWS) -> SnapshotView:
    """Return a view of the size it has in a large window, showing that many snapshots."""
    view = SnapshotView()
    view.resize(1100, 900)
    view.show_vm(view_of(random_tree(rows)))
    view.show()
    if not QTest.qWaitForWindowExposed(view):
        raise RuntimeError("The window does not come up.")
    return view


def scroll_frame(view: SnapshotView) -> None:
    """Scroll on by a step and paint the whole view, as the next frame would."""
    bar = view.verticalScrollBar()
    bar.setValue((bar.value() + STEP_PX) % bar.maximum())
    view.viewport().repaint()


def round_ms(view: SnapshotView) -> float:
    """Return the mean time of a frame over one round."""
    started = time.perf_counter()
    for _ in range(FRAMES):
        scroll_frame(view)
    return (time.perf_counter() - started) * 1000 / FRAMES


def main() -> int:
    """Print the mean of each round on this platform as JSON."""
    app = QApplication(sys.argv)
    apply_style(app)
    view = shown_tree()
    round_ms(view)  # fonts, pens and texts are made by the first frames
    rounds = [round_ms(view) for _ in range(ROUNDS)]
    sys.stdout.write(json.dumps({"platform": app.platformName(), "rounds_ms": rounds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
