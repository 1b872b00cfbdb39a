"""The key figures of a plan beside one another, hairlines between them."""

from collections.abc import Iterable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from snapview.ui.dialogs.plan_words import CostFigure
from snapview.ui.theme import INSET
from snapview.ui.widgets import clear, column, hairline, label, literal, row


class FigureRow(QWidget):
    """Shows figures; hidden while there are none."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[CostFigure, ...] | None = None
        self._line = row(self, spacing=INSET)
        self.hide()

    def show_figures(self, figures: Iterable[CostFigure]) -> None:
        """Show other figures."""
        wanted = tuple(figures)
        if wanted == self._shown:
            return
        self._shown = wanted
        clear(self._line)
        for number, figure in enumerate(wanted):
            if number:
                self._line.addWidget(hairline(vertical=True))
            self._line.addWidget(_figure(figure), 1)
        self.setVisible(bool(wanted))


def _figure(figure: CostFigure) -> QWidget:
    made = QWidget()
    words = column(made, spacing=2)
    words.addWidget(label(figure.value, "figure"))
    word = label(figure.word, "secondary", wraps=True)
    words.addWidget(word)
    words.setAlignment(Qt.AlignmentFlag.AlignTop)
    made.setToolTip(literal(figure.tip))
    made.setAccessibleName(f"{figure.value} {figure.word}")
    return made
