"""The style sheet of the controls: made from the palette, proportional to the font."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from snapview.ui.colours import Severity, current_theme
from snapview.ui.control_style import control_style, css, font_px
from snapview.ui.theme import apply_style
from snapview.ui.widgets import StyledWidget, column, label, set_severity


def test_it_follows_the_palette(qapp: QApplication) -> None:
    apply_style(qapp, Qt.ColorScheme.Light)
    light = control_style()
    apply_style(qapp, Qt.ColorScheme.Dark)
    assert control_style() != light
    assert css(current_theme().filled) in control_style()
    apply_style(qapp, Qt.ColorScheme.Light)
    qapp.setStyleSheet("")


def test_sizes_follow_the_desktop_s_font(qapp: QApplication) -> None:
    usual = QFont(qapp.font())
    large = QFont(usual)
    large.setPixelSize(26)
    qapp.setFont(large)
    assert (font_px(13), font_px(20)) == (26, 40)
    qapp.setFont(usual)


def test_qt_understands_it(qapp: QApplication, qtbot: QtBot) -> None:
    window = StyledWidget()
    qtbot.addWidget(window)
    made: QLabel = label("x", "title")
    column(window).addWidget(made)
    window.show()
    assert made.font().weight() == QFont.Weight.DemiBold
    set_severity(made, Severity.ERROR)
    assert made.palette().windowText().color() == current_theme().error.text
