"""The pictures: each is drawn, in light and dark."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from snapview.ui.illustrations import Illustration, IllustrationView
from snapview.ui.theme import apply_style


def test_every_picture_differs(qapp: QApplication, qtbot: QtBot) -> None:
    view = IllustrationView()
    qtbot.addWidget(view)
    drawn = []
    for scheme in (Qt.ColorScheme.Light, Qt.ColorScheme.Dark):
        apply_style(qapp, scheme)
        for picture in Illustration:
            view.show_picture(picture)
            drawn.append(view.grab().toImage())
    different = [one != two for at, one in enumerate(drawn) for two in drawn[at + 1 :]]
    assert all(different)
    apply_style(qapp, Qt.ColorScheme.Light)
    qapp.setStyleSheet("")
