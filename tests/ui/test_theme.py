"""Fonts, and how the application takes on and follows the desktop's look."""

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from snapview.ui import theme
from snapview.ui.theme import apply_style, current_theme, own_palette, resource_folder


@pytest.fixture
def styled(qapp: QApplication) -> Iterator[QApplication]:
    yield qapp
    apply_style(qapp)
    qapp.setStyleSheet("")


def test_without_a_desktop_palette_ours_is_used(styled: QApplication) -> None:
    apply_style(styled)
    assert current_theme().window.name() == "#f6f7f9"
    assert styled.style().name().lower() in {"fusion", "stylesheet"} or styled.styleSheet()


def test_dark_can_be_forced_and_given_back(styled: QApplication) -> None:
    apply_style(styled, Qt.ColorScheme.Dark)
    assert current_theme().is_dark
    assert "#1c2027" in styled.styleSheet()
    apply_style(styled)
    assert not current_theme().is_dark
    assert "#1c2027" not in styled.styleSheet()


def test_sheet_follows_a_changed_palette(styled: QApplication) -> None:
    apply_style(styled)
    changed = own_palette(is_dark=False, accent=QColor("#8a2be2"))
    assert changed.color(QPalette.ColorRole.Accent).name() == "#8a2be2"
    styled.setPalette(own_palette(is_dark=True))
    assert current_theme().window.name() == "#f6f7f9"  # taken back: the desktop has not changed


def test_applying_twice_changes_nothing(styled: QApplication) -> None:
    apply_style(styled)
    sheet, font = styled.styleSheet(), styled.font()
    apply_style(styled)
    assert styled.styleSheet() == sheet
    assert styled.font() == font


def test_sizes_of_type(styled: QApplication) -> None:
    apply_style(styled)
    sizes = [
        theme.text_font().pixelSize(),
        theme.secondary_font().pixelSize(),
        theme.caption_font().pixelSize(),
        theme.mono_font().pixelSize(),
    ]
    assert sizes == [13, 12, 11, 12]
    assert theme.text_font(strong=True).weight() > theme.text_font().weight()


def test_resources_are_found() -> None:
    assert (resource_folder() / "icons" / "camera.svg").is_file()
