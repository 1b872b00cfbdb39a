"""How dialogs show what ``plan`` says: the verdict, the steps, the warnings, the refusal.

Hides that nothing is built anew while the plan stays the same, so that typing does not flicker.
"""

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QBoxLayout, QGridLayout, QWidget

from snapview.core.planning import Act, GetBack, Plan, Refusal, Step
from snapview.core.vm import Vm
from snapview.ui.colours import Severity, current_theme
from snapview.ui.dialogs.plan_words import Lines, cost_lines
from snapview.ui.facts import file_name
from snapview.ui.icons import icon
from snapview.ui.theme import GAP, SMALL_INSET
from snapview.ui.widgets import (
    ElidedLabel,
    IconLabel,
    clear,
    column,
    label,
    panel,
    row,
    set_severity,
)

ACT_ICONS = {
    Act.CREATE: "camera",
    Act.SAVE_MEMORY: "memory",
    Act.FREEZE: "pause",
    Act.THAW: "play",
    Act.REVERT: "revert",
    Act.MERGE: "merge",
    Act.DISCARD: "discard",
    Act.START: "play",
    Act.STOP: "stop",
    Act.PAUSE: "pause",
    Act.EDIT: "edit",
    Act.FINISH: "arrow-right",
    Act.ABORT: "undo",
}


MOST_WARNINGS = 5  # shown; the rest is a number


def _tr(text: str) -> str:
    return QCoreApplication.translate("PlanView", text)


def message_box(severity: Severity, heading: str, text: str = "", advice: str = "") -> QWidget:
    """Return a tinted box with a severity's shape, a heading and sentences."""
    box = panel(severity.value)
    layout = row(box, spacing=10, margin=SMALL_INSET)
    layout.addWidget(IconLabel(icon(severity.value)), 0, Qt.AlignmentFlag.AlignTop)
    words = column(spacing=4)
    if heading:
        words.addWidget(label(heading, "heading", wraps=True))
    if text:
        words.addWidget(label(text, wraps=True))
    if advice:
        words.addWidget(label(advice, "note", wraps=True))
    layout.addLayout(words, 1)
    box.setAccessibleName(". ".join(part for part in (heading, text, advice) if part))
    return box


def refusal_box(refusal: Refusal) -> QWidget:
    """Return the box that says why something must not be done, and what to do instead."""
    return message_box(Severity.ERROR, refusal.reason, advice=refusal.advice)


def verdict_box(get_back: GetBack) -> QWidget:
    """Return the box that says whether one can get back to the new snapshot."""
    if get_back.is_certain:
        severity, heading = Severity.GOOD, _tr("You can get back")
    elif get_back.revert:
        severity, heading = Severity.WARNING, _tr("You can get back, but not remove it here")
    else:
        severity, heading = Severity.CRITICAL, _tr("You cannot get back on this host")
    box = panel(severity.value)
    layout = column(box, spacing=6, margin=SMALL_INSET)
    head = row(spacing=GAP)
    head.addWidget(IconLabel(icon(severity.value)))
    head.addWidget(label(heading, "heading"), 1)
    layout.addLayout(head)
    lines = ((_tr("Revert"), get_back.revert_text), (_tr("Remove"), get_back.remove_text))
    layout.addLayout(line_grid(lines))
    box.setAccessibleName(f"{heading}. {get_back.revert_text} {get_back.remove_text}")
    return box


def bullet(icon_name: str, text: str, small: str = "") -> QBoxLayout:
    """Return a line of text with an icon in front, and smaller text below it.

    Beside the icon of what is critical the words are red as well.
    """
    line = row(spacing=10)
    is_severity = icon_name in {severity.value for severity in Severity}
    drawn = icon(icon_name) if is_severity else icon(icon_name, current_theme().secondary)
    line.addWidget(IconLabel(drawn), 0, Qt.AlignmentFlag.AlignTop)
    words = column(spacing=2)
    said = label(text, wraps=True)
    set_severity(said, Severity.CRITICAL if icon_name == Severity.CRITICAL.value else None)
    words.addWidget(said)
    if small:
        words.addWidget(label(small, "secondary", wraps=True))
    line.addLayout(words, 1)
    return line


def step_lines(step: Step) -> QWidget:
    """Return a step with the files it touches; their whole paths are tooltips."""
    made = QWidget()
    layout = row(made, spacing=10)
    drawn = icon(ACT_ICONS[step.act], current_theme().secondary)
    layout.addWidget(IconLabel(drawn), 0, Qt.AlignmentFlag.AlignTop)
    words = column(spacing=2)
    words.addWidget(label(step.what, wraps=True))
    for path in step.files:
        words.addWidget(path_label(path))
    layout.addLayout(words, 1)
    return made


def path_label(path: str) -> ElidedLabel:
    """Return a file's name in monospace; its whole path is the tooltip and what is copied."""
    return ElidedLabel(file_name(path), "mono", Qt.TextElideMode.ElideMiddle, whole=path)


class PlanView(QWidget):
    """Shows a whole plan: verdict, warnings, what it takes, steps; or the refusal."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: object = None
        self._layout = column(self, spacing=12)

    def show_plan(self, planned: Plan | Refusal, vm: Vm) -> None:
        """Show the plan for a VM, or the refusal."""
        costs = cost_lines(planned, vm) if isinstance(planned, Plan) else ()
        if (planned, costs) == self._shown:
            return
        self._shown = (planned, costs)
        clear(self._layout)
        if isinstance(planned, Refusal):
            self._layout.addWidget(refusal_box(planned))
        else:
            self._add_plan(planned, costs)
        self._layout.addStretch(1)

    def _add_plan(self, planned: Plan, costs: Lines) -> None:
        if planned.get_back is not None:
            self._layout.addWidget(verdict_box(planned.get_back))
        for warning in warnings_of(planned):
            self._layout.addWidget(message_box(Severity.WARNING, "", warning))
        if costs:
            self._layout.addWidget(label(_tr("What it will cost"), "heading"))
            self._layout.addLayout(line_grid(costs))
        self._layout.addWidget(label(_tr("What happens"), "heading"))
        for step in planned.steps:
            self._layout.addWidget(step_lines(step))


def line_grid(lines: Lines) -> QGridLayout:
    """Return words at the left and what is said of them at the right."""
    grid = QGridLayout()
    grid.setHorizontalSpacing(SMALL_INSET)
    grid.setVerticalSpacing(4)
    grid.setColumnStretch(1, 1)
    for at, (key, text) in enumerate(lines):
        grid.addWidget(label(key, "note"), at, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(label(text, wraps=True), at, 1)
    return grid


def warnings_of(planned: Plan) -> tuple[str, ...]:
    """Return a plan's warnings without those that the verdict says already; of many, the first."""
    back = planned.get_back
    said = {back.revert_text, back.remove_text} if back else set()
    found = tuple(warning for warning in planned.warnings if warning not in said)
    rest = len(found) - MOST_WARNINGS
    if rest <= 1:
        return found
    return (*found[:MOST_WARNINGS], _tr("and {number} more like these").format(number=rest))
