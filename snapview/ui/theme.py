"""Sizes, fonts and how the application takes on the desktop's look.

Sizes are those of the drawn pictures, in device independent pixels. Colours come from
``current_theme()``; see ``colours`` for the roles.
"""

from pathlib import Path

from PySide6.QtCore import QDir, QObject, Qt, Slot
from PySide6.QtGui import QColor, QFont, QFontDatabase, QFontInfo, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication, QStyleFactory

import snapview
from snapview.ui.app_sheet import ICON_PREFIX, app_sheet
from snapview.ui.colours import (
    OWN_DARK,
    OWN_LIGHT,
    Severity,
    SeverityColours,
    Theme,
    current_theme,
    darken_for_white,
    mix,
    readable,
)

__all__ = [
    "Severity",
    "SeverityColours",
    "Theme",
    "apply_style",
    "current_theme",
    "resource_folder",
]

# Space
TINY = 4
GAP = 8  # between controls
SMALL_INSET = 12
INSET = 20  # of panes
SECTION = 24  # between groups

# Heights
TOOLBAR = 48
HEADER = 72
COLUMN_HEADER = 28
ROW_HEIGHT = 32  # of the tree
SIDEBAR_ROW = 28
JOB_ROW = 36

# Widths
SIDEBAR_WIDTH = 232
DETAIL_WIDTH = 336
LANE_WIDTH = 20
FIRST_LANE = 24  # centre of lane 0 from the left edge
ACCENT_BAR = 3  # at the left of a selected row

# Radii and lines
CONTROL_RADIUS = 6
TAG_RADIUS = 4
BAR_RADIUS = 2
BRANCH_LINE = 2.0
LIVE_BRANCH_LINE = 2.5
FOCUS_RING = 2

ICON_SIZE = 16
LARGE_ICON_SIZE = 20

# Type, at the usual size of a desktop's font
TEXT_PX = 13
SECONDARY_PX = 12
CAPTION_PX = 11
_USUAL_DESKTOP_PX = 15.0  # 11 pt at 96 dpi: larger means that the user wants larger text
_LARGEST_SCALE = 1.6


def text_font(*, strong: bool = False) -> QFont:
    """Return the font of ordinary text, or of a group's title."""
    return _font(TEXT_PX, QFont.Weight.DemiBold if strong else QFont.Weight.Normal)


def secondary_font() -> QFont:
    """Return the font of what stands under or beside ordinary text."""
    return _font(SECONDARY_PX)


def caption_font(*, strong: bool = False) -> QFont:
    """Return the font of captions, column headers, tags and axes."""
    return _font(CAPTION_PX, QFont.Weight.DemiBold if strong else QFont.Weight.Normal)


def mono_font() -> QFont:
    """Return the font of file names and guest output."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    font.setPixelSize(round(SECONDARY_PX * _text_scale()))
    return font


def resource_folder() -> Path:
    """Return the folder of icons and other data: in the installed package, or the checkout."""
    package = Path(snapview.__file__).parent
    installed = package / "resources"
    return installed if installed.is_dir() else package.parent / "resources"


def apply_style(app: QApplication, scheme: Qt.ColorScheme | None = None) -> None:
    """Give the application snapview's look, and keep it in step with the desktop's colours.

    A desktop's own palette is used as it is. Where there is none (bare X11, offscreen) ours is,
    light or dark as the desktop says. GUI thread; may be called again.

    Args:
        app: the application.
        scheme: use our own palette of this scheme whatever the desktop says; None follows it.
    """
    look = app.findChild(_DesktopLook) or _DesktopLook(app)
    look.forced_scheme = scheme
    look.apply()


class _DesktopLook(QObject):
    """Follows the desktop's colour scheme and palette for as long as the application lives."""

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        self.forced_scheme: Qt.ColorScheme | None = None
        self._app = app
        self._is_applying = False
        QDir.addSearchPath(ICON_PREFIX, str(resource_folder() / "icons"))
        app.setStyle("Fusion")
        self._desktop_palette = app.palette()
        standard = QStyleFactory.create("Fusion").standardPalette()
        self._has_palette = any(
            app.palette().color(role) != standard.color(role)
            for role in (QPalette.ColorRole.Window, QPalette.ColorRole.Base)
        )
        accent = app.palette().color(QPalette.ColorRole.Accent)
        is_chosen = accent != standard.color(QPalette.ColorRole.Accent)
        self._desktop_accent = accent if is_chosen else None
        _scale_font(app)
        app.styleHints().colorSchemeChanged.connect(self._on_desktop_changed)
        app.paletteChanged.connect(self._on_desktop_changed)

    @Slot()
    def _on_desktop_changed(self) -> None:
        if not self._is_applying:
            self.apply()

    def apply(self) -> None:
        """Set palette and style sheet where they are not yet what they should be."""
        self._is_applying = True  # setting a palette reports a changed palette
        try:
            palette = self._wanted_palette()
            if palette is not None and self._app.palette() != palette:
                self._app.setPalette(palette)
            sheet = app_sheet(current_theme())
            if self._app.styleSheet() != sheet:
                self._app.setStyleSheet(sheet)
        finally:
            self._is_applying = False

    def _wanted_palette(self) -> QPalette | None:
        """Return the palette to set; None when the desktop's is already in place."""
        if self.forced_scheme is not None:
            return own_palette(is_dark=self.forced_scheme is Qt.ColorScheme.Dark)
        if not self._has_palette:
            is_dark = self._app.styleHints().colorScheme() is Qt.ColorScheme.Dark
            return own_palette(is_dark=is_dark, accent=self._desktop_accent)
        is_ours = self._app.palette().color(QPalette.ColorRole.Window).name() in {
            OWN_LIGHT.window,
            OWN_DARK.window,
        }
        return self._desktop_palette if is_ours else None


def own_palette(*, is_dark: bool, accent: QColor | None = None) -> QPalette:
    """Return the palette for desktops that have none of their own.

    Args:
        is_dark: which of the two.
        accent: the desktop's accent colour, if it has one.
    """
    own = OWN_DARK if is_dark else OWN_LIGHT
    highlight = QColor(accent) if accent else QColor(own.accent)
    text, base, white = QColor(own.text), QColor(own.base), QColor("#ffffff")
    hover, secondary = QColor(own.hover), QColor(own.secondary)
    roles = QPalette.ColorRole
    colours = {
        roles.Window: QColor(own.window),
        roles.WindowText: text,
        roles.Base: base,
        roles.AlternateBase: hover,
        roles.Text: text,
        roles.Button: base,
        roles.ButtonText: text,
        roles.BrightText: white,
        roles.PlaceholderText: secondary,
        roles.ToolTipBase: hover if is_dark else base,
        roles.ToolTipText: text,
        roles.Link: readable(highlight, (base,)),
        roles.LinkVisited: secondary,
        roles.Highlight: darken_for_white(highlight),
        roles.HighlightedText: white,
        roles.Accent: highlight,
        roles.Light: hover,
        roles.Midlight: hover,
        roles.Mid: QColor(own.hairline),
        roles.Dark: QColor(own.control_edge),
        roles.Shadow: QColor("#000000"),
    }
    palette = QPalette()
    for role, colour in colours.items():
        palette.setColor(role, colour)
    for role in (roles.WindowText, roles.Text, roles.ButtonText, roles.HighlightedText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, mix(text, base, 0.42))
    return palette


def _font(size_px: int, weight: QFont.Weight = QFont.Weight.Normal) -> QFont:
    """Return the application's font in another size, with figures of equal width."""
    font = QGuiApplication.font()
    font.setPixelSize(round(size_px * _text_scale()))
    font.setWeight(weight)
    font.setFeature(QFont.Tag("tnum"), 1)
    return font


def _text_scale() -> float:
    """Return how much larger than drawn the user wants text; 1 before ``apply_style``."""
    return max(1.0, QGuiApplication.font().pixelSize() / TEXT_PX)


def _scale_font(app: QApplication) -> None:
    """Set the drawn size of text, larger only where the desktop's font is unusually large."""
    system_px = QFontInfo(app.font()).pixelSize()
    scale = min(_LARGEST_SCALE, max(1.0, system_px / _USUAL_DESKTOP_PX))
    font = app.font()
    font.setPixelSize(round(TEXT_PX * scale))
    font.setFeature(QFont.Tag("tnum"), 1)
    app.setFont(font)
