"""The application's style sheet: for controls only, from the theme, understood by Qt."""

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QCheckBox, QMenu, QRadioButton, QWidget
from pytestqt.qtbot import QtBot

from snapview.ui.app_sheet import app_sheet
from snapview.ui.theme import apply_style, current_theme


@pytest.fixture
def styled(qapp: QApplication) -> Iterator[QApplication]:
    yield qapp
    apply_style(qapp)
    qapp.setStyleSheet("")


@pytest.mark.usefixtures("qapp")
def test_item_views_are_left_alone() -> None:
    assert "View" not in app_sheet(current_theme())


@pytest.mark.parametrize("scheme", [Qt.ColorScheme.Light, Qt.ColorScheme.Dark])
def test_ticks_are_filled_in_both_schemes(
    styled: QApplication, qtbot: QtBot, scheme: Qt.ColorScheme
) -> None:
    # Qt warns about a style sheet that it cannot parse, and a warning fails the test.
    apply_style(styled, scheme)
    window = QWidget()
    qtbot.addWidget(window)
    box, choice, menu = QCheckBox("Fast", window), QRadioButton("Off", window), QMenu(window)
    box.setChecked(True)
    choice.setChecked(True)
    menu.addAction("Copy")
    theme = current_theme()
    images = [widget.grab().toImage() for widget in (box, choice)]
    colours = [
        {image.pixelColor(x, y).name() for x in range(16) for y in range(image.height())}
        for image in images
    ]
    assert {theme.filled.name(), "#ffffff"} <= colours[0]  # the tick is drawn
    assert theme.accent.name() in colours[1]
