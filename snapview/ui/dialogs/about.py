"""The dialogs that say what snapview is, and which keys it has."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QGridLayout, QScrollArea, QWidget

import snapview
from snapview.ui.actions import ACTIONS, translated
from snapview.ui.buttons import button
from snapview.ui.dialogs.base import StyledDialog
from snapview.ui.icons import icon
from snapview.ui.theme import GAP, INSET, SECTION
from snapview.ui.widgets import IconLabel, column, label, panel, row


class AboutDialog(StyledDialog):
    """Version, licence, and what snapview does to VMs."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, self.tr("About snapview"))
        layout = column(self, spacing=0)
        body = panel("base")
        inner = column(body, spacing=GAP, margin=INSET)
        head = row(spacing=12)
        head.addWidget(IconLabel(icon("snapview"), 20))
        version = self.tr("snapview {version}").format(version=snapview.__version__)
        head.addWidget(label(version, "title"), 1)
        inner.addLayout(head)
        for text in (
            self.tr("Browse, take and revert the snapshots of libvirt and QEMU VMs."),
            self.tr(
                "What it does is plain libvirt: virsh, virt-manager and Cockpit see the same "
                "snapshots, before and after."
            ),
            self.tr("Before anything is lost it says what, and asks."),
            self.tr("Free software under the GNU General Public License, version 3 or later."),
        ):
            inner.addWidget(label(text, wraps=True))
        inner.addStretch(1)
        layout.addWidget(body, 1)
        close = button(self.tr("&Close"), "filled")
        close.clicked.connect(self.accept)
        self.add_foot(layout, close)
        self.resize(440, 260)


class ShortcutsDialog(StyledDialog):
    """Every key of the window, made from the table of actions."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, self.tr("Keyboard shortcuts"))
        layout = column(self, spacing=0)
        body = panel("base")
        grid = QGridLayout(body)
        grid.setContentsMargins(INSET, INSET, INSET, INSET)
        grid.setHorizontalSpacing(SECTION)
        grid.setVerticalSpacing(GAP)
        grid.setColumnStretch(1, 1)
        for key, text in self.shortcuts():
            at = grid.rowCount()
            grid.addWidget(label(key, "heading"), at, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(label(text, wraps=True), at, 1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(body)
        layout.addWidget(area, 1)
        close = button(self.tr("&Close"), "filled")
        close.clicked.connect(self.accept)
        self.add_foot(layout, close)
        self.resize(460, 620)

    def shortcuts(self) -> list[tuple[str, str]]:
        """Return pairs of a key and what it does."""
        native = QKeySequence.SequenceFormat.NativeText
        keys = [
            (QKeySequence(spec.shortcut).toString(native), translated(spec.text))
            for spec in ACTIONS
            if spec.shortcut
        ]
        return [
            *keys,
            (self.tr("Up, Down"), self.tr("Row above, row below")),
            (self.tr("Left, Right"), self.tr("Parent, child")),
            (self.tr("Home"), self.tr("First row")),
            (self.tr("F10"), self.tr("Menu")),
        ]


class CloseDialog(StyledDialog):
    """Asks whether to close although jobs are under way."""

    def __init__(self, summary: str, parent: QWidget | None = None) -> None:
        super().__init__(parent, self.tr("Close snapview?"))
        layout = column(self, spacing=0)
        body = panel("base")
        inner = column(body, spacing=GAP, margin=INSET)
        inner.addWidget(label(summary, "heading", wraps=True))
        text = self.tr(
            "Closing cancels it. What has been done by then stays done; what waits is not begun."
        )
        inner.addWidget(label(text, wraps=True))
        inner.addStretch(1)
        layout.addWidget(body, 1)
        stay = button(self.tr("&Keep open"), "filled")
        leave = button(self.tr("&Cancel and close"))
        stay.clicked.connect(self.reject)
        leave.clicked.connect(self.accept)
        self.add_foot(layout, leave, stay)
        self.setFixedWidth(440)
