"""The pane at the right: everything known of what is selected in the tree.

Hides the arrangement of title, description and facts; what they say is in ``facts``.
"""

from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QScrollArea, QVBoxLayout, QWidget

from snapview.core.errors import SnapviewError
from snapview.core.marks import words_of
from snapview.core.vm import SnapshotDetail, Vm
from snapview.session import VmKey, VmView
from snapview.ui.buttons import LinkButton, button
from snapview.ui.colours import Severity
from snapview.ui.facts import (
    LIVE,
    Fact,
    Section,
    Value,
    file_name,
    hardware_section,
    live_sections,
    snapshot_sections,
    summary_sections,
)
from snapview.ui.format import count_text, exact_time_text, relative_text, time_text
from snapview.ui.icons import icon
from snapview.ui.theme import GAP, INSET, SMALL_INSET
from snapview.ui.widgets import (
    ElidedLabel,
    IconLabel,
    LiteralText,
    column,
    hairline,
    label,
    literal,
    panel,
    row,
    set_severity,
)

KEY_WIDTH = 98
TWO_COLUMNS = 620


@dataclass(frozen=True, slots=True)
class PaneContent:
    """What the pane shows; compared, so that it is only built anew when it says something else."""

    title: str = ""
    subtitle: str = ""
    subtitle_tip: str = ""
    description: str = ""
    problem: str = ""
    sections: tuple[Section, ...] = ()
    is_editable: bool = False


class DetailPane(QWidget):
    """Shows a snapshot, the live state, or a summary of several."""

    snapshot_chosen = Signal(str)  # a name, or "" for "You are here"
    edit_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._view: VmView | None = None
        self._names: tuple[str, ...] = ()
        self._detail: tuple[VmKey, SnapshotDetail] | None = None
        self._detail_error: tuple[str, SnapviewError] | None = None
        self._content: PaneContent | None = None
        self._is_wide = False
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._area.setAccessibleName(self.tr("Details"))
        self._area.viewport().setProperty("panel", "base")
        column(self, spacing=0).addWidget(self._area)
        self.setFocusProxy(self._area)
        self.setMinimumWidth(240)
        self.setMinimumHeight(120)
        self._show(PaneContent())

    # -- commands

    def show_selection(self, view: VmView | None, names: tuple[str, ...]) -> None:
        """Show the selected snapshots; no name is the live state, no VM nothing."""
        self._view, self._names = view, names
        self._show(self._make_content())

    def show_detail(self, key: VmKey, detail: SnapshotDetail) -> None:
        """Add the hardware at the shown snapshot's time, now that it was read."""
        self._detail, self._detail_error = (key, detail), None
        self._show(self._make_content())

    def show_detail_error(self, snapshot: str, error: SnapviewError) -> None:
        """Say why the hardware at that time could not be read."""
        self._detail_error = (snapshot, error)
        self._show(self._make_content())

    def restyle(self) -> None:
        """Build anew for another palette."""
        content, self._content = self._content or PaneContent(), None
        self._show(content)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Use two columns when there is room for them."""
        super().resizeEvent(event)
        is_wide = self.width() >= TWO_COLUMNS
        if is_wide != self._is_wide:
            self._is_wide = is_wide
            self.restyle()

    # -- content

    def _make_content(self) -> PaneContent:
        if self._view is None:
            return PaneContent()
        vm = self._view.vm
        names = tuple(name for name in self._names if name in vm.tree)
        if len(names) > 1:
            title = count_text(len(names))
            subtitle = self.tr("selected of {count}").format(count=len(vm.tree))
            return PaneContent(title, subtitle, sections=summary_sections(vm, names))
        return self._snapshot_content(vm, names[0]) if names else self._live_content(vm)

    def _live_content(self, vm: Vm) -> PaneContent:
        subtitle = self.tr("the state of now")
        sections = live_sections(vm)
        title = self.tr("You are here")
        return PaneContent(title, subtitle, problem=vm.problem or "", sections=sections)

    def _snapshot_content(self, vm: Vm, name: str) -> PaneContent:
        snapshot = vm.tree[name]
        moment = snapshot.created_at
        sections = snapshot_sections(vm, snapshot)
        hardware = self._hardware(vm, name)
        return PaneContent(
            title=snapshot.label,
            subtitle=f"{time_text(moment)} · {relative_text(moment)}",
            subtitle_tip=exact_time_text(moment),
            description=words_of(snapshot.description),
            problem=snapshot.problem or "",
            sections=(*sections, *hardware),
            is_editable=True,
        )

    def _hardware(self, vm: Vm, name: str) -> tuple[Section, ...]:
        heading = self.tr("Hardware at that time")
        if self._detail_error and self._detail_error[0] == name:
            reason = Value(self._detail_error[1].message, is_difference=True)
            return (Section(heading, (Fact("", (reason,)),)),)
        if self._detail is None or self._view is None:
            return ()
        key, detail = self._detail
        if key != self._view.key or detail.name != name:
            return ()
        return (hardware_section(detail.hardware, vm.hardware),)

    # -- building

    def _show(self, content: PaneContent) -> None:
        if content == self._content:
            return
        self._content = content
        inner = panel("base")
        halves = row(inner, spacing=2 * INSET, margin=INSET)
        layout = column(spacing=GAP)
        halves.addLayout(layout, 1)
        if content.title:
            self._add_head(layout, content)
        else:
            layout.addWidget(label(self.tr("Nothing is selected."), "note"))
        for number, section in enumerate(content.sections):
            if number == 1 and self._is_wide:
                layout.addStretch(1)
                layout = column(spacing=GAP)
                halves.addLayout(layout, 1)
            self._add_section(layout, section, has_line=bool(layout.count()))
        layout.addStretch(1)
        scrolled = self._area.verticalScrollBar().value()
        self._area.setWidget(inner)  # deletes the old one
        self._area.verticalScrollBar().setValue(scrolled)

    def _add_head(self, layout: QVBoxLayout, content: PaneContent) -> None:
        head = row(spacing=GAP)
        head.addWidget(ElidedLabel(content.title, "figure"), 1)
        if content.is_editable:
            edit = button("", "icon", icon("edit"))
            edit.setToolTip(self.tr("Edit name and description (F2)"))
            edit.setAccessibleName(self.tr("Edit name and description"))
            edit.setFixedSize(26, 26)
            edit.clicked.connect(self.edit_requested)
            head.addWidget(edit)
        layout.addLayout(head)
        subtitle = ElidedLabel(content.subtitle, "note")
        if content.subtitle_tip:
            subtitle.setToolTip(literal(content.subtitle_tip))
        layout.addWidget(subtitle)
        if content.description:
            description = LiteralText(content.description)
            description.setAccessibleName(self.tr("Description"))
            layout.addWidget(description)
        if content.problem:
            layout.addWidget(_message("error", content.problem, Severity.ERROR))

    def _add_section(self, layout: QVBoxLayout, section: Section, *, has_line: bool) -> None:
        if has_line:
            layout.addSpacing(4)
            layout.addWidget(hairline())
            layout.addSpacing(4)
        if section.heading:
            layout.addWidget(label(section.heading, "heading"))
        grid = QGridLayout()
        grid.setHorizontalSpacing(SMALL_INSET)
        grid.setVerticalSpacing(6)
        grid.setColumnMinimumWidth(0, KEY_WIDTH)
        grid.setColumnStretch(1, 1)
        line = 0
        for fact in section.facts:
            if fact.key:
                grid.addWidget(label(fact.key, "note"), line, 0, Qt.AlignmentFlag.AlignTop)
            for value in fact.values:
                start, span = (1, 1) if fact.key else (0, 2)
                made = self._value(value)
                if isinstance(made, LinkButton):  # its policy would narrow the whole column
                    grid.addWidget(made, line, start, 1, span, Qt.AlignmentFlag.AlignLeft)
                else:
                    grid.addWidget(made, line, start, 1, span)
                line += 1
        layout.addLayout(grid)

    def _value(self, value: Value) -> QWidget:
        if value.snapshot is not None:
            link = LinkButton(value.text)
            name = value.snapshot
            link.clicked.connect(lambda: self.snapshot_chosen.emit(name))
            tip = self.tr("Go to “You are here”") if name == LIVE else name
            link.setAccessibleDescription(tip)
            return link
        if value.is_path:
            middle = Qt.TextElideMode.ElideMiddle
            return ElidedLabel(file_name(value.text), "mono", middle, whole=value.text)
        made = label(value.text, wraps=True)
        set_severity(made, Severity.WARNING if value.is_difference else None)
        return made


def _message(icon_name: str, text: str, severity: Severity) -> QWidget:
    box = panel(severity.value)
    layout = row(box, spacing=GAP, margin=SMALL_INSET)
    layout.addWidget(IconLabel(icon(icon_name)), 0, Qt.AlignmentFlag.AlignTop)
    layout.addWidget(label(text, wraps=True), 1)
    return box
