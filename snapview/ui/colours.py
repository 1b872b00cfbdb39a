"""Every colour of the window, as roles built from the desktop's palette.

The rest of the window asks for a role (``theme.hairline``) and never mixes a colour itself. What
is hidden here: how a role follows from the palette, and that text keeps a contrast of 4.5 on
every surface it stands on, whatever palette the desktop has.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

from PySide6.QtGui import QColor, QGuiApplication, QPalette

READABLE = 4.5  # WCAG AA for text of this size

_BLACK = QColor("#000000")
_WHITE = QColor("#FFFFFF")


class Severity(Enum):
    """How bad a finding or message is; each has its own shape, never colour alone."""

    GOOD = "good"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class SeverityColours:
    """The colours of one severity: of its shape, of words, and of a panel behind words."""

    fill: QColor
    edge: QColor
    text: QColor
    tint: QColor


@dataclass(frozen=True, slots=True)
class Theme:
    """All colour roles of the window. Built from a palette and never changed."""

    is_dark: bool
    window: QColor
    base: QColor
    sidebar: QColor
    hover: QColor
    hairline: QColor
    control_edge: QColor
    text: QColor
    secondary: QColor
    disabled: QColor
    accent: QColor
    accent_tint: QColor
    filled: QColor
    filled_hover: QColor
    on_filled: QColor
    danger: QColor  # a filled button that loses something; its text is ``on_filled``
    danger_hover: QColor
    selected: QColor
    match: QColor  # behind the found words of a search
    good: SeverityColours
    note: SeverityColours
    warning: SeverityColours
    error: SeverityColours
    critical: SeverityColours
    branches: tuple[QColor, ...]
    kept: QColor
    broken: QColor
    ages: tuple[QColor, ...]
    exclusive: QColor
    shared: QColor
    shared_edge: QColor
    memory: QColor

    @classmethod
    def from_palette(cls, palette: QPalette) -> "Theme":
        """Build all roles from the desktop's palette; its accent colour wins."""
        ground = _ground(palette)
        base, text, accent = ground.base, ground.text, readable(ground.accent, ground.surfaces)
        figures = _DARK if ground.is_dark else _LIGHT
        good, note, warning, error, critical = (
            _severity(figures[level.value], base, ground.surfaces) for level in Severity
        )
        danger = QColor(figures["danger"][0])
        exclusive, shared, shared_edge, memory = (QColor(name) for name in figures["bytes"])
        return cls(
            is_dark=ground.is_dark,
            window=ground.window,
            base=base,
            sidebar=ground.sidebar,
            hover=ground.hover,
            hairline=ground.hairline,
            control_edge=ground.control_edge,
            text=text,
            secondary=readable(ground.secondary, ground.surfaces),
            disabled=mix(text, base, 0.42),
            accent=accent,
            accent_tint=mix(ground.accent, base, 0.10),
            filled=ground.filled,
            filled_hover=mix(_BLACK, ground.filled, 0.10),
            on_filled=_WHITE,
            danger=danger,
            danger_hover=mix(_BLACK, danger, 0.12),
            selected=ground.selected,
            match=mix(QColor("#F2C230"), base, 0.30 if ground.is_dark else 0.45),
            good=good,
            note=note,
            warning=warning,
            error=error,
            critical=critical,
            branches=_branches(accent, figures["branches"], base),
            kept=QColor(figures["kept"][0]),
            broken=critical.fill,
            ages=tuple(QColor(name) for name in figures["ages"]),
            exclusive=exclusive,
            shared=shared,
            shared_edge=shared_edge,
            memory=memory,
        )

    def branch(self, index: int) -> QColor:
        """Return the colour of a branch; the first belongs to the live path alone."""
        if index <= 0:
            return self.branches[0]
        return self.branches[1 + (index - 1) % (len(self.branches) - 1)]

    def severity(self, severity: Severity) -> SeverityColours:
        """Return the colours of a severity."""
        return {
            Severity.GOOD: self.good,
            Severity.NOTE: self.note,
            Severity.WARNING: self.warning,
            Severity.ERROR: self.error,
            Severity.CRITICAL: self.critical,
        }[severity]


def current_theme() -> Theme:
    """Return the theme of the application's palette of now; cheap, for use while painting.

    Widgets call it again on ``QEvent.Type.PaletteChange``. GUI thread.
    """
    palette = QGuiApplication.palette()
    roles = QPalette.ColorRole
    return _theme_of(
        *(palette.color(role).rgba() for role in (roles.Window, roles.Base, roles.Text)),
        palette.color(roles.Accent).rgba(),
    )


@lru_cache(maxsize=8)
def _theme_of(window: int, base: int, text: int, accent: int) -> Theme:
    palette = QPalette()
    roles = QPalette.ColorRole
    for role, value in (
        (roles.Window, window),
        (roles.Base, base),
        (roles.Text, text),
        (roles.Accent, accent),
    ):
        palette.setColor(role, QColor.fromRgba(value))
    return Theme.from_palette(palette)


def luminance(colour: QColor) -> float:
    """Return the relative luminance of WCAG 2: 0 is black, 1 is white."""

    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(v) for v in (colour.redF(), colour.greenF(), colour.blueF()))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: QColor, other: QColor) -> float:
    """Return the contrast ratio of WCAG 2, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def mix(colour: QColor, background: QColor, share: float) -> QColor:
    """Return ``colour`` laid over ``background`` with an opacity of ``share``."""
    rest = 1 - share
    return QColor.fromRgbF(
        colour.redF() * share + background.redF() * rest,
        colour.greenF() * share + background.greenF() * rest,
        colour.blueF() * share + background.blueF() * rest,
    )


def readable(colour: QColor, surfaces: Iterable[QColor], minimum: float = READABLE) -> QColor:
    """Return ``colour``, moved away from the surfaces until it can be read on all of them."""
    backgrounds = tuple(surfaces)
    darkest = min(backgrounds, key=luminance)
    target = _WHITE if luminance(darkest) < 0.18 else _BLACK
    for percent in range(0, 101, 4):
        moved = mix(target, _opaque(colour), percent / 100) if percent else _opaque(colour)
        if all(contrast(moved, surface) >= minimum for surface in backgrounds):
            return moved
    return QColor(target)


def darken_for_white(colour: QColor) -> QColor:
    """Return ``colour``, darkened until white text can be read on it."""
    lightness = colour.lightnessF()
    moved = QColor(colour)
    while contrast(_WHITE, moved) < READABLE and lightness > 0:
        lightness = max(0.0, lightness - 0.02)
        moved = QColor.fromHslF(max(0.0, colour.hslHueF()), colour.hslSaturationF(), lightness)
    return moved


def _opaque(colour: QColor) -> QColor:
    return QColor(colour.red(), colour.green(), colour.blue())


@dataclass(frozen=True, slots=True)
class _Ground:
    """What everything stands on, before contrasts are looked after."""

    is_dark: bool
    window: QColor
    base: QColor
    sidebar: QColor
    hover: QColor
    selected: QColor
    hairline: QColor
    control_edge: QColor
    text: QColor
    secondary: QColor
    accent: QColor
    filled: QColor

    @property
    def surfaces(self) -> tuple[QColor, ...]:
        """Everything that text stands on."""
        return (self.base, self.window, self.sidebar, self.hover, self.selected)


def _ground(palette: QPalette) -> _Ground:
    """Derive surfaces and neutrals; exactly the drawn ones when the palette is our own."""
    roles = QPalette.ColorRole
    window, base, text, accent = (
        _opaque(palette.color(role))
        for role in (roles.Window, roles.Base, roles.Text, roles.Accent)
    )
    is_dark = luminance(base) < 0.2
    own = OWN_DARK if is_dark else OWN_LIGHT
    ground = _Ground(
        is_dark=is_dark,
        window=window,
        base=base,
        sidebar=mix(_BLACK, window, 0.04),
        hover=mix(text, base, 0.055),
        selected=mix(accent, base, 0.14),
        hairline=mix(text, base, 0.13),
        control_edge=mix(text, base, 0.5),
        text=text,
        secondary=mix(text, base, 0.75),
        accent=accent,
        filled=darken_for_white(accent),
    )
    if (window.name(), base.name()) == (own.window, own.base):
        ground = replace(
            ground,
            sidebar=QColor(own.sidebar),
            hover=QColor(own.hover),
            hairline=QColor(own.hairline),
            control_edge=QColor(own.control_edge),
            secondary=QColor(own.secondary),
        )
        if accent.name() == own.accent:
            ground = replace(ground, selected=QColor(own.selected), filled=QColor(own.filled))
    return replace(ground, text=readable(text, ground.surfaces))


def _severity(
    names: tuple[str, ...], base: QColor, surfaces: tuple[QColor, ...]
) -> SeverityColours:
    fill, edge, text = (QColor(name) for name in names)
    tint = mix(fill, base, 0.12)
    return SeverityColours(fill, edge, readable(text, (*surfaces, tint)), tint)


def _branches(accent: QColor, names: tuple[str, ...], base: QColor) -> tuple[QColor, ...]:
    """Return the cycle of branch colours: the accent, then ours that cannot be taken for it."""
    others = [QColor(name) for name in names]
    kept = [other for other in others if _differs(other, accent)]
    return tuple(readable(colour, (base,), 3.0) for colour in (accent, *kept))


def _differs(one: QColor, other: QColor) -> bool:
    if min(one.hslSaturationF(), other.hslSaturationF()) < 0.25:  # greys have no hue
        return abs(one.hslSaturationF() - other.hslSaturationF()) > 0.2
    apart = abs(one.hslHueF() - other.hslHueF())
    return min(apart, 1 - apart) > 0.07


@dataclass(frozen=True, slots=True)
class OwnPalette:
    """The neutrals and the accent for desktops without a palette of their own."""

    window: str
    base: str
    sidebar: str
    hover: str
    hairline: str
    control_edge: str
    text: str
    secondary: str
    accent: str
    filled: str
    selected: str


OWN_LIGHT = OwnPalette(
    window="#f6f7f9",
    base="#ffffff",
    sidebar="#edf0f4",
    hover="#f1f4f8",
    hairline="#dfe3ea",
    control_edge="#848e9f",
    text="#1a212d",
    secondary="#535e70",
    accent="#2b63d1",
    filled="#2b63d1",
    selected="#e1ebfc",
)
OWN_DARK = OwnPalette(
    window="#171a20",
    base="#1c2027",
    sidebar="#13161b",
    hover="#232831",
    hairline="#2c323c",
    control_edge="#7b879a",
    text="#e4e8ee",
    secondary="#a8b2c1",
    accent="#7da9ff",
    filled="#3a6fd8",
    selected="#26344e",
)

_LIGHT: dict[str, tuple[str, ...]] = {  # severities: fill, edge, text
    "good": ("#14A07C", "#14A07C", "#006B53"),
    "note": ("#1F5FA8", "#1F5FA8", "#1F5FA8"),
    "warning": ("#E8B10A", "#A87400", "#775300"),
    "error": ("#C94A0A", "#C94A0A", "#A33F00"),
    "critical": ("#7A1230", "#7A1230", "#7A1230"),
    "danger": ("#7A1230",),
    "branches": ("#2B63D1", "#1F9E80", "#8A6416", "#C053A8", "#4A5364"),
    "kept": ("#7B8698",),
    "ages": ("#DCE7F3", "#F5DFA8", "#E2A655", "#AE5D2C", "#642722"),
    "bytes": ("#2B63D1", "#BBD0F3", "#6C90D2", "#8F4A9C"),
}
_DARK: dict[str, tuple[str, ...]] = {
    "good": ("#49D3B8", "#49D3B8", "#49D3B8"),
    "note": ("#73A6E5", "#73A6E5", "#8AB6EE"),
    "warning": ("#F5D547", "#F5D547", "#F5D547"),
    "error": ("#F7A066", "#F7A066", "#F7A066"),
    "critical": ("#FB6A86", "#FB6A86", "#FB7F98"),
    "danger": ("#B8344F",),
    "branches": ("#7DA9FF", "#4CCB9B", "#F0CC6A", "#C9598F", "#BCC6DC"),
    "kept": ("#8792A3",),
    "ages": ("#2E3B4E", "#5C5340", "#8E6B38", "#D29640", "#FFD27A"),
    "bytes": ("#6C9CFA", "#32466B", "#5473AC", "#CF93DA"),
}
