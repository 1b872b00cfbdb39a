"""What a merge or discard does, as a table: what goes, what stays, steps, files, the guest.

Hides how long lists are cut short, and which words are red.
"""

from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QGridLayout, QWidget

from snapview.core.moves import CommitImages, PullImages, RemoveFile
from snapview.core.planning import Act, Plan, Step
from snapview.core.vm import Vm
from snapview.ui.colours import Severity
from snapview.ui.dialogs.plan_view import path_label
from snapview.ui.dialogs.plan_words import guest_effect
from snapview.ui.format import plural
from snapview.ui.theme import SMALL_INSET
from snapview.ui.widgets import label, row, set_severity

MOST_LINES = 6  # of one sort; the rest is a number


def _tr(text: str) -> str:
    return QCoreApplication.translate("PlanTable", text)


def plan_table(planned: Plan, vm: Vm) -> QGridLayout:
    """Return the table of a plan that merges or discards."""
    grid = QGridLayout()
    grid.setHorizontalSpacing(SMALL_INSET)
    grid.setVerticalSpacing(8)
    grid.setColumnMinimumWidth(0, 60)
    grid.setColumnStretch(1, 1)
    is_loss = Act.DISCARD in planned.acts
    _add(grid, _tr("Goes"), [partial(_lost, text, is_red=is_loss) for text in planned.lost])
    _add(grid, _tr("Stays"), [partial(label, text, wraps=True) for text in planned.kept])
    _add(grid, _tr("Steps"), [partial(label, step.what, wraps=True) for step in planned.steps])
    _add(grid, _tr("Files"), _files(planned))
    _add(grid, _tr("Guest"), [partial(label, guest_effect(planned, vm), wraps=True)])
    return grid


def _add(grid: QGridLayout, key: str, makers: Sequence[Callable[[], QWidget]]) -> None:
    shown = [make() for make in makers[:MOST_LINES]]
    rest = len(makers) - MOST_LINES
    if rest > 0:
        text = plural(rest, _tr("and 1 more"), _tr("and {number} more"))
        shown.append(label(text, "note"))
    for number, value in enumerate(shown):
        at = grid.rowCount()
        if not number:
            grid.addWidget(label(key, "note"), at, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(value, at, 1)


def _lost(text: str, *, is_red: bool) -> QWidget:
    made = label(text, wraps=True)
    set_severity(made, Severity.CRITICAL if is_red else None)
    return made


def _files(planned: Plan) -> list[Callable[[], QWidget]]:
    """Return which file goes into which, from the moves, or from the steps where there are none."""
    found: list[Callable[[], QWidget]] = []
    for move in planned.moves:
        match move:
            case CommitImages(top=top, base=base):
                found.append(partial(_file_line, (top, base), _tr("into")))
            case PullImages(base=base, chain=chain):
                lower = [layer.path for layer in chain[1:]]
                end = lower.index(base) if base in lower else len(lower)
                for path in lower[:end]:
                    paths = (path, chain[0].path)
                    found.append(partial(_file_line, paths, _tr("copied up into")))
            case RemoveFile(path=path):
                found.append(partial(_file_line, (path,), _tr("is removed")))
            case _:
                pass
    return found or [partial(_step_line, step) for step in planned.steps if step.files]


def _step_line(step: Step) -> QWidget:
    is_removed = step.act is Act.DISCARD
    return _file_line(step.files, _tr("is removed") if is_removed else _tr("into"))


def _file_line(paths: tuple[str, ...], word: str) -> QWidget:
    """Return paths with a word between them, or after the only one."""
    made = QWidget()
    line = row(made, spacing=8)
    for number, path in enumerate(paths):
        if number:
            line.addWidget(label(word, "note"))
        line.addWidget(path_label(path))
    if len(paths) == 1:
        line.addWidget(label(word, "note"))
    line.addStretch(1)
    return made
