"""The head of a VM's page: its name, what it does, its hardware, and figures at the right."""

from PySide6.QtCore import QPoint, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from snapview.core.vm import RunState, Vm
from snapview.session import VmView
from snapview.ui.colours import current_theme
from snapview.ui.facts import hardware_line
from snapview.ui.format import plural, run_state_text
from snapview.ui.theme import HEADER, INSET, caption_font
from snapview.ui.vm_list import paint_run_state
from snapview.ui.widgets import ElidedLabel, column, hairline, label, panel, row

CHIP_HEIGHT = 20


class RunStateChip(QWidget):
    """What the VM does, as shape and word on a tinted ground."""

    def __init__(self) -> None:
        super().__init__()
        self._state = RunState.UNKNOWN
        self._is_stale = False
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def show_state(self, state: RunState, *, is_stale: bool) -> None:
        """Show another state."""
        self._state, self._is_stale = state, is_stale
        self.setAccessibleName(self._text())
        self.updateGeometry()
        self.update()

    def _text(self) -> str:
        return run_state_text(self._state).lower()

    def sizeHint(self) -> QSize:
        """Return room for shape and word."""
        metrics = QFontMetrics(caption_font())
        return QSize(metrics.horizontalAdvance(self._text()) + 34, CHIP_HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw it."""
        theme = current_theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        is_running = self._state is RunState.RUNNING and not self._is_stale
        painter.setBrush(theme.good.tint if is_running else theme.hover)
        radius = CHIP_HEIGHT / 2
        painter.drawRoundedRect(self.rect(), radius, radius)
        centre = QPoint(13, CHIP_HEIGHT // 2)
        paint_run_state(painter, centre, self._state, theme, is_stale=self._is_stale)
        painter.setFont(caption_font())
        painter.setPen(theme.good.text if is_running else theme.secondary)
        room = self.rect().adjusted(23, 0, 0, 0)
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(room, flags, self._text())


class Figure(QWidget):
    """A number with a word below it; a hairline stands in front."""

    def __init__(self) -> None:
        super().__init__()
        self._number = label("", "figure")
        self._word = label("", "caption")
        line = row(self, spacing=INSET)
        line.addWidget(hairline(vertical=True))
        words = column(spacing=2)
        words.addWidget(self._number)
        words.addWidget(self._word)
        line.addLayout(words)

    def show_figure(self, number: str, word: str) -> None:
        """Show another number."""
        self._number.setText(number)
        self._word.setText(word)
        self.setAccessibleName(f"{number} {word}")


class VmHeader(QWidget):
    """Shows one VM. What other issues measure gets further figures at the right."""

    def __init__(self) -> None:
        super().__init__()
        self._name = ElidedLabel("", "title")
        self._chip = RunStateChip()
        self._hardware = ElidedLabel("", "secondary")
        self._snapshots = Figure()
        self._layers = Figure()
        surface = panel("base")
        column(self, spacing=0).addWidget(surface)
        line = row(surface, spacing=INSET)
        line.setContentsMargins(INSET, 14, INSET, 14)
        words = column(spacing=2)
        words.addLayout(self._head())
        words.addWidget(self._hardware)
        line.addLayout(words, 1)
        line.addWidget(self._snapshots)
        line.addWidget(self._layers)
        self.setFixedHeight(HEADER)

    def show_vm(self, view: VmView) -> None:
        """Show a VM."""
        vm = view.vm
        self._name.set_text(vm.name)
        self._chip.show_state(vm.run_state, is_stale=view.is_stale)
        self._hardware.set_text(hardware_line(vm))
        count = len(vm.tree)
        word = plural(count, self.tr("snapshot"), self.tr("snapshots"))
        self._snapshots.show_figure("–" if vm.problem else str(count), word)
        self._layers.show_figure(*self._depth(vm))
        self.setAccessibleName(vm.name)

    def _head(self) -> QHBoxLayout:
        head = row(spacing=12)
        head.addWidget(self._name)
        head.addWidget(self._chip)
        head.addStretch(1)
        return head

    def _depth(self, vm: Vm) -> tuple[str, str]:
        layers = max((len(disk.layers) for disk in vm.state_disks), default=0)
        text = plural(layers, self.tr("1 layer"), self.tr("{number} layers"))
        return (text if layers else "–"), self.tr("chain depth")
