"""Colours: the drawn ones for our own palettes, readable ones for every palette."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtGui import QColor, QPalette

from snapview.ui.colours import READABLE, Severity, Theme, contrast, current_theme, mix
from snapview.ui.theme import own_palette


def _palette(window: str, base: str, text: str, accent: str) -> QPalette:
    palette = QPalette()
    for role, name in (
        (QPalette.ColorRole.Window, window),
        (QPalette.ColorRole.Base, base),
        (QPalette.ColorRole.Text, text),
        (QPalette.ColorRole.Accent, accent),
    ):
        palette.setColor(role, QColor(name))
    return palette


def _surfaces(theme: Theme) -> tuple[QColor, ...]:
    return (theme.window, theme.base, theme.sidebar, theme.hover, theme.selected)


def test_own_light_palette_gives_the_drawn_colours() -> None:
    theme = Theme.from_palette(own_palette(is_dark=False))
    assert not theme.is_dark
    drawn = {
        "window": "#f6f7f9", "base": "#ffffff", "sidebar": "#edf0f4", "hover": "#f1f4f8",
        "hairline": "#dfe3ea", "control_edge": "#848e9f", "text": "#1a212d",
        "secondary": "#535e70", "accent": "#2b63d1", "filled": "#2b63d1", "selected": "#e1ebfc",
    }  # fmt: skip
    assert {role: getattr(theme, role).name() for role in drawn} == drawn


def test_own_dark_palette_gives_the_drawn_colours() -> None:
    theme = Theme.from_palette(own_palette(is_dark=True))
    assert theme.is_dark
    drawn = {
        "window": "#171a20", "base": "#1c2027", "sidebar": "#13161b", "hover": "#232831",
        "text": "#e4e8ee", "secondary": "#a8b2c1", "accent": "#7da9ff", "filled": "#3a6fd8",
        "selected": "#26344e",
    }  # fmt: skip
    assert {role: getattr(theme, role).name() for role in drawn} == drawn


@pytest.mark.parametrize("is_dark", [False, True])
def test_severities_are_readable_and_differ(is_dark: bool) -> None:
    theme = Theme.from_palette(own_palette(is_dark=is_dark))
    for severity in Severity:
        colours = theme.severity(severity)
        assert contrast(colours.text, theme.base) >= READABLE
        assert contrast(colours.text, colours.tint) >= READABLE
    assert len({theme.severity(severity).fill.name() for severity in Severity}) == len(Severity)


@pytest.mark.parametrize("is_dark", [False, True])
def test_buttons_that_lose_something_are_red_and_readable(is_dark: bool) -> None:
    theme = Theme.from_palette(own_palette(is_dark=is_dark))
    for fill in (theme.danger, theme.danger_hover):
        assert contrast(theme.on_filled, fill) >= READABLE
        assert fill.red() > 2 * max(fill.green(), 20)
        assert fill.red() > fill.blue()


_channel = st.integers(min_value=0, max_value=255)
_colour = st.builds(QColor, _channel, _channel, _channel)


@given(accent=_colour, is_dark=st.booleans(), ground=st.integers(0, 40), ink=st.integers(0, 90))
def test_any_palette_stays_readable(accent: QColor, is_dark: bool, ground: int, ink: int) -> None:
    level = ground if is_dark else 255 - ground
    text = 255 - ink if is_dark else ink
    palette = QPalette()
    grey = QColor(level, level, level)
    palette.setColor(QPalette.ColorRole.Window, grey)
    palette.setColor(QPalette.ColorRole.Base, grey)
    palette.setColor(QPalette.ColorRole.Text, QColor(text, text, text))
    palette.setColor(QPalette.ColorRole.Accent, accent)
    theme = Theme.from_palette(palette)
    assert theme.is_dark == is_dark
    plain = (theme.window, theme.base, theme.sidebar, theme.hover)
    for colour in (theme.text, theme.secondary, theme.accent):
        assert all(contrast(colour, surface) >= READABLE for surface in plain)
    assert contrast(theme.text, theme.selected) >= READABLE
    assert contrast(theme.on_filled, theme.filled) >= READABLE


def test_desktop_accent_wins() -> None:
    theme = Theme.from_palette(_palette("#fafafa", "#ffffff", "#222222", "#8a2be2"))
    assert theme.accent.name() == theme.filled.name() == theme.branches[0].name() == "#8a2be2"


def test_branch_colours_never_repeat_the_accent() -> None:
    green = Theme.from_palette(_palette("#fafafa", "#ffffff", "#222222", "#1f9e80"))
    names = [colour.name() for colour in green.branches]
    assert len(set(names)) == len(names)
    assert "#2b63d1" in names


def test_first_branch_colour_belongs_to_the_live_path() -> None:
    theme = Theme.from_palette(own_palette(is_dark=False))
    assert theme.branch(0) == theme.branches[0]
    assert all(theme.branch(index) != theme.branches[0] for index in range(1, 30))


def test_mix_is_an_overlay() -> None:
    assert mix(QColor("#000000"), QColor("#ffffff"), 0.0).name() == "#ffffff"
    assert mix(QColor("#000000"), QColor("#ffffff"), 1.0).name() == "#000000"


@pytest.mark.usefixtures("qapp")
def test_current_theme_is_kept_while_the_palette_is() -> None:
    assert current_theme() is current_theme()
