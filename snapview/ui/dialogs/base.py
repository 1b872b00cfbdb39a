"""What all dialogs about an operation have in common: the plan, the foot, a VM that may change.

Hides that the plan is asked at every change, that the button follows it, and how a dialog ends
when its VM disappears.
"""

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QDialog,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from snapview.core.operations import Operation
from snapview.core.planning import Plan, Refusal, plan
from snapview.core.vm import Vm
from snapview.ui.buttons import button, set_icon
from snapview.ui.colours import Severity, current_theme
from snapview.ui.control_style import control_style
from snapview.ui.dialogs.plan_view import message_box
from snapview.ui.icons import icon
from snapview.ui.theme import GAP, INSET, SMALL_INSET
from snapview.ui.widgets import (
    LOOK_CHANGES,
    clear,
    column,
    hairline,
    label,
    literal,
    panel,
    row,
    set_style_property,
)

HIGHEST_SHARE = 0.85  # of the screen


class StyledDialog(QDialog):
    """A dialog with the window's look, that follows the desktop's palette while it is open."""

    def __init__(self, parent: QWidget | None, title: str) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self._style = ""
        # Later, for Qt walks over all widgets while it tells them; none must be deleted then.
        self._restyle_later = QTimer(self)
        self._restyle_later.setSingleShot(True)
        self._restyle_later.setInterval(0)
        self._restyle_later.timeout.connect(self.restyle)
        self.restyle()

    def restyle(self) -> None:
        """Take the look of the palette of now."""
        style = control_style()
        if style != self._style:  # setting it changes palettes again: only when it differs
            self._style = style
            self.setStyleSheet(style)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the desktop's palette."""
        super().changeEvent(event)
        if event.type() in LOOK_CHANGES and self._style:
            self._restyle_later.start()

    def add_foot(self, layout: QVBoxLayout, *buttons: QPushButton) -> QLabel:
        """Add the bar at the bottom: a note, then the buttons; the last is the default."""
        foot = panel("window")
        line = row(foot, spacing=GAP)
        line.setContentsMargins(INSET, SMALL_INSET, INSET, SMALL_INSET)
        note = label("", "secondary", wraps=True)
        line.addWidget(note, 1)
        for each in buttons:
            each.setAutoDefault(True)  # Enter presses the button that has the focus
            line.addWidget(each)
        layout.addWidget(hairline())
        layout.addWidget(foot)
        buttons[-1].setDefault(True)  # the dialog learns of it only once it holds the button
        return note


class OperationDialog(StyledDialog):
    """Asks for one operation. Subclasses build the body and say which operation it is.

    Emits ``submitted`` with the plan that was shown; its operation is complete.
    """

    submitted = Signal(object)  # Plan

    def __init__(self, vm: Vm, parent: QWidget | None, title: str, go: tuple[str, str]) -> None:
        """Build the frame; subclasses then fill ``body`` and call ``replan``.

        Args:
            vm: the VM as last read.
            parent: the window.
            title: of the dialog.
            go: text and icon of the button that does it.
        """
        super().__init__(parent, title)
        self.vm = vm
        self._planned: Plan | Refusal | None = None
        self._scrolled: QScrollArea | None = None
        layout = column(self, spacing=0)
        self._notice = panel("base")
        self._notice.hide()
        layout.addWidget(self._notice)
        self.body = panel("base")
        self.body.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        layout.addWidget(self.body, 1)
        self.cancel_button = button(self.tr("Cancel"))
        self.go_button = button(go[0], "filled", icon(go[1], current_theme().on_filled))
        self.note = self.add_foot(layout, self.cancel_button, self.go_button)
        self.cancel_button.clicked.connect(self.reject)
        self.go_button.clicked.connect(self._on_go)

    # -- for subclasses

    def operation(self) -> Operation:
        """Return what the dialog asks for as it is filled in now."""
        raise NotImplementedError

    def show_plan(self, planned: Plan | Refusal) -> None:
        """Show what will happen."""
        raise NotImplementedError

    def replan(self) -> None:
        """Ask what would happen now, and show it."""
        planned = plan(self.vm, self.operation())
        self._planned = planned
        self.go_button.setEnabled(isinstance(planned, Plan))
        refused = planned.reason if isinstance(planned, Refusal) else ""
        self.go_button.setToolTip(literal(refused))
        self.show_plan(planned)

    def scrolled(self, inner: QWidget) -> QScrollArea:
        """Return an area for content of any length; the dialog opens high enough for it."""
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(inner)
        self._scrolled = area
        return area

    def showEvent(self, event: QShowEvent) -> None:
        """Open as high as the content needs, within the screen."""
        super().showEvent(event)
        area = self._scrolled
        inner = area.widget() if area is not None else None
        content = inner.layout() if inner is not None else None
        if area is None or content is None or event.spontaneous():
            return
        missing = content.totalHeightForWidth(area.viewport().width()) - area.viewport().height()
        if missing > 0:
            highest = round(self.screen().availableGeometry().height() * HIGHEST_SHARE)
            self.resize(self.width(), min(self.height() + missing, highest))

    def set_go(self, text: str, icon_name: str, *, is_danger: bool = False) -> None:
        """Give the button that does it another text and icon; red where something is lost."""
        set_style_property(self.go_button, "kind", "danger" if is_danger else "filled")
        self.go_button.setText(text)
        set_icon(self.go_button, icon(icon_name, current_theme().on_filled))

    def set_notice(self, heading: str, text: str) -> None:
        """Say above everything else what has happened since the dialog was shown last."""
        layout = self._notice.layout() or column(self._notice, spacing=0)
        layout.setContentsMargins(SMALL_INSET, SMALL_INSET, SMALL_INSET, 0)
        clear(layout)
        layout.addWidget(message_box(Severity.WARNING, heading, text))
        self._notice.show()

    # -- for the window

    @property
    def planned(self) -> Plan | Refusal | None:
        """What the dialog shows."""
        return self._planned

    def show_vm(self, vm: Vm) -> None:
        """Go on with the VM as it is now: somebody may have changed it."""
        if vm != self.vm:
            self.vm = vm
            self.replan()

    def _on_go(self) -> None:
        self.replan()
        if isinstance(self._planned, Plan):
            self.submitted.emit(self._planned)
            self.accept()
