"""The dialog that asks whether to cancel a merge although something is lost by it."""

from PySide6.QtWidgets import QWidget

from snapview.ui.buttons import button
from snapview.ui.colours import current_theme
from snapview.ui.dialogs.base import StyledDialog
from snapview.ui.icons import icon
from snapview.ui.theme import GAP, INSET
from snapview.ui.widgets import column, label, panel

WIDTH = 460


class CancelDialog(StyledDialog):
    """Is accepted when the job is to be cancelled."""

    def __init__(self, sentence: str, meaning: str, parent: QWidget | None = None) -> None:
        """Ask.

        Args:
            sentence: what the job does.
            meaning: what cancelling it means.
            parent: the window.
        """
        super().__init__(parent, self.tr("Cancel the merge?"))
        layout = column(self, spacing=0)
        body = panel("base")
        inner = column(body, spacing=GAP, margin=INSET)
        inner.addWidget(label(sentence, "heading", wraps=True))
        inner.addWidget(label(meaning, wraps=True))
        slower = self.tr("If it only is in the way now, slow it down or pause it instead.")
        inner.addWidget(label(slower, "note", wraps=True))
        inner.addStretch(1)
        layout.addWidget(body, 1)
        self.go_on = button(self.tr("&Go on merging"), "filled")
        self.stop = button(
            self.tr("&Cancel the merge"), "danger", icon("stop", current_theme().on_filled)
        )
        self.go_on.clicked.connect(self.reject)
        self.stop.clicked.connect(self.accept)
        self.add_foot(layout, self.stop, self.go_on)
        self.setFixedWidth(WIDTH)
        self.go_on.setFocus()
