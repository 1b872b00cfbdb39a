"""What all dialogs about an operation have in common: the plan, the foot, a VM that may change.

Hides that the plan is asked at every change and may take a while, that the button follows it, and
how a dialog ends when its VM disappears.
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
from snapview.core.planning import Plan, Refusal
from snapview.core.vm import Vm
from snapview.session import Answer, AskPlan, TakeBack, plan_at_once
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
WAIT_MS = 300  # before it is said that a plan is being worked out


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

    def __init__(
        self,
        vm: Vm,
        parent: QWidget | None,
        icon_name: str,
        ask_plan: AskPlan = plan_at_once,
    ) -> None:
        """Build the frame; subclasses then fill ``body`` and call ``replan``.

        Args:
            vm: the VM as last read.
            parent: the window.
            icon_name: of the button that does it.
            ask_plan: works out what would happen.
        """
        super().__init__(parent, "")
        self.vm = vm
        self._ask_plan = ask_plan
        self._questions: dict[str, TakeBack] = {}  # by what they are about
        self._starts_at: QWidget | None = None  # has the focus as soon as it can take it
        self._note_before: str | None = None  # while the note says that a plan is waited for
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(WAIT_MS)
        self._wait.timeout.connect(self._show_wait)
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
        self.go_button = button("", "filled", icon(icon_name, current_theme().on_filled))
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
        """Ask what would happen now, and show it as soon as it is known."""
        self._ask_for_plan(self._take_plan)

    def ask(self, about: str, operation: Operation, then: Answer) -> bool:
        """Ask what an operation would do; return whether that was answered at once.

        ``then`` is told now or later, but not when something else is asked about the same by then,
        or when the dialog is over.
        """
        self.drop(about)
        has_come = False

        def take(planned: Plan | Refusal) -> None:
            nonlocal has_come
            has_come = True
            self._questions.pop(about, None)
            then(planned)

        take_back = self._ask_plan(self.vm, operation, take)
        if not has_come:
            self._questions[about] = take_back
        return has_come

    def drop(self, about: str) -> None:
        """Wait no longer for an answer."""
        take_back = self._questions.pop(about, None)
        if take_back is not None:
            take_back()

    def start_at(self, widget: QWidget) -> None:
        """Give the focus to a widget, as soon as it can take it."""
        if widget.isEnabled():
            widget.setFocus()
        else:
            self._starts_at = widget

    def await_plan(self) -> None:
        """Offer nothing to be done until ``replan``, for which something has to be known first."""
        self.drop("plan")
        self._planned = None
        self._begin_wait()

    def forget_plan(self, why_not: str) -> None:
        """Wait for no plan, and offer nothing to be done."""
        self.drop("plan")
        self._end_wait()
        self._planned = None
        self.go_button.setEnabled(False)
        self.go_button.setToolTip(literal(why_not))

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

    def done(self, result: int) -> None:
        """End; answers that are still to come are not waited for."""
        for about in list(self._questions):
            self.drop(about)
        super().done(result)

    def _ask_for_plan(self, then: Answer) -> None:
        self._planned = None
        if not self.ask("plan", self.operation(), then):
            self._begin_wait()

    def _begin_wait(self) -> None:
        if self.focusWidget() is self.go_button:
            self._starts_at = self.go_button
        self.go_button.setEnabled(False)
        if self._note_before is None:
            self._wait.start()

    def _take_plan(self, planned: Plan | Refusal) -> None:
        self._end_wait()
        self._planned = planned
        self.go_button.setEnabled(isinstance(planned, Plan))
        refused = planned.reason if isinstance(planned, Refusal) else ""
        self.go_button.setToolTip(literal(refused))
        self.show_plan(planned)
        starts_at, self._starts_at = self._starts_at, None
        if starts_at is not None and starts_at.isEnabled():
            starts_at.setFocus()

    def _show_wait(self) -> None:
        self._note_before = self.note.text()
        self.note.setText(self.tr("Working out what will happen…"))

    def _end_wait(self) -> None:
        self._wait.stop()
        if self._note_before is not None:
            self.note.setText(self._note_before)
            self._note_before = None

    def _on_go(self) -> None:
        # Asked once more: names may hold the time, and the dialog may have been open for long.
        self._ask_for_plan(self._submit)

    def _submit(self, planned: Plan | Refusal) -> None:
        self._take_plan(planned)
        if isinstance(planned, Plan):
            self.submitted.emit(planned)
            self.accept()
