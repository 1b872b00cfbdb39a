"""The dialog that says what went wrong: a sentence, what to do, and the details folded away."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QPlainTextEdit, QWidget

from snapview.core.errors import SnapviewError
from snapview.ui.buttons import button, set_icon
from snapview.ui.dialogs.base import StyledDialog
from snapview.ui.icons import icon
from snapview.ui.theme import GAP, INSET, LARGE_ICON_SIZE
from snapview.ui.widgets import IconLabel, column, label, panel, row

WIDTH = 460


class ErrorDialog(StyledDialog):
    """Shows a ``SnapviewError``."""

    def __init__(
        self, error: SnapviewError, parent: QWidget | None = None, *, heading: str = ""
    ) -> None:
        """Show an error.

        Args:
            error: what happened.
            parent: the window.
            heading: what was being done; becomes the title.
        """
        super().__init__(parent, heading or self.tr("That did not work"))
        self._error = error
        self.details = QPlainTextEdit(error.detail)
        self.fold = button(self.tr("What libvirt said"), "plain", icon("chevron-right"))
        self.close_button = button(self.tr("&Close"), "filled")
        self.copy_button = button(self.tr("C&opy"), "normal", icon("copy"))
        self._build()
        self.fold.clicked.connect(self._toggle)
        self.copy_button.clicked.connect(self._copy)
        self.close_button.clicked.connect(self.accept)
        self.close_button.setFocus()

    def _build(self) -> None:
        layout = column(self, spacing=0)
        body = panel("base")
        inner = column(body, spacing=GAP, margin=INSET)
        head = row(spacing=12)
        head.addWidget(IconLabel(icon("error"), LARGE_ICON_SIZE), 0, Qt.AlignmentFlag.AlignTop)
        words = column(spacing=6)
        words.addWidget(label(self._error.message, "heading", wraps=True))
        if self._error.advice:
            words.addWidget(label(self._error.advice, wraps=True))
        head.addLayout(words, 1)
        inner.addLayout(head)
        self.fold.setVisible(bool(self._error.detail))
        self.fold.setCheckable(True)
        inner.addWidget(self.fold, 0, Qt.AlignmentFlag.AlignLeft)
        self.details.setReadOnly(True)
        self.details.setAccessibleName(self.tr("What libvirt said"))
        self.details.setFixedHeight(110)
        self.details.hide()
        inner.addWidget(self.details)
        inner.addStretch(1)
        layout.addWidget(body, 1)
        self.add_foot(layout, self.copy_button, self.close_button)
        self.setFixedWidth(WIDTH)

    def _toggle(self) -> None:
        is_open = self.fold.isChecked()
        self.details.setVisible(is_open)
        set_icon(self.fold, icon("chevron-down" if is_open else "chevron-right"))
        self.adjustSize()

    def _copy(self) -> None:
        parts = (self._error.message, self._error.advice, self._error.detail)
        QGuiApplication.clipboard().setText("\n".join(part for part in parts if part))
