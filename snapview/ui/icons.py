"""The window's own line icons, in the theme's colours.

``load_icons`` reads all files once at start; after that an icon is made from memory. Hides where
the files lie, recolouring, and sharpness on screens with a pixel ratio other than 1.
"""

from functools import cache, lru_cache
from types import MappingProxyType

from PySide6.QtCore import QByteArray, QRectF, Qt
from PySide6.QtGui import QColor, QGuiApplication, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from snapview.ui.colours import Severity, current_theme
from snapview.ui.theme import ICON_SIZE, LARGE_ICON_SIZE, resource_folder

_SEVERITIES = frozenset(severity.value for severity in Severity)
_NOT_OURS = ("sheet-", "io.")  # the style sheet's images, and the application's own icon
_PLACEHOLDERS = (b"currentColor", b"currentFill", b"currentInk")


def load_icons() -> None:
    """Read all icon files into memory; call once before the window is made."""
    _sources()


def icon(name: str, colour: QColor | None = None) -> QIcon:
    """Return an icon in the text colour of the theme of now, or in ``colour``.

    The name of a severity gives its shape in its own colours. Ask again on
    ``QEvent.Type.PaletteChange``; asking is cheap. GUI thread.

    Raises:
        KeyError: there is no icon of that name.
    """
    if name in _SEVERITIES:
        return severity_icon(Severity(name))
    theme = current_theme()
    return _icon(name, (colour or theme.text).rgb(), theme.disabled.rgb(), _ratios())


def severity_icon(severity: Severity) -> QIcon:
    """Return the shape of a severity in its colours: disc, triangle, diamond or octagon."""
    theme = current_theme()
    colours = theme.severity(severity)
    is_light = severity is Severity.WARNING or theme.is_dark
    ink = QColor("#1a1d23") if is_light else QColor("#ffffff")
    return _icon(
        f"severity-{severity.value}",
        colours.edge.rgb(),
        colours.edge.rgb(),
        _ratios(),
        colours.fill.rgb(),
        ink.rgb(),
    )


def pixmap(name: str, size: int, ratio: float, colour: QColor | None = None) -> QPixmap:
    """Return an icon as a pixmap for painting, ``size`` in device independent pixels."""
    theme = current_theme()
    return _pixmap(name, (colour or theme.text).rgb(), size, ratio)


def icon_names() -> frozenset[str]:
    """Return the names of all icons."""
    return frozenset(_sources())


@cache
def _sources() -> MappingProxyType[str, bytes]:
    folder = resource_folder() / "icons"
    return MappingProxyType(
        {
            path.stem: path.read_bytes()
            for path in sorted(folder.glob("*.svg"))
            if not path.stem.startswith(_NOT_OURS)
        }
    )


def _ratios() -> tuple[float, ...]:
    """Return the pixel ratios of all screens, so that an icon is sharp on each."""
    return tuple(sorted({screen.devicePixelRatio() for screen in QGuiApplication.screens()}))


@lru_cache(maxsize=256)
def _icon(
    name: str,
    colour: int,
    disabled: int,
    ratios: tuple[float, ...],
    fill: int | None = None,
    ink: int | None = None,
) -> QIcon:
    made = QIcon()
    for ratio in ratios:
        for size in (ICON_SIZE, LARGE_ICON_SIZE):
            made.addPixmap(_pixmap(name, colour, size, ratio, fill, ink))
            made.addPixmap(_pixmap(name, disabled, size, ratio, fill, ink), QIcon.Mode.Disabled)
    return made


@lru_cache(maxsize=512)
def _pixmap(
    name: str,
    colour: int,
    size: int,
    ratio: float,
    fill: int | None = None,
    ink: int | None = None,
) -> QPixmap:
    source = _sources()[name]
    for placeholder, value in zip(_PLACEHOLDERS, (colour, fill, ink), strict=True):
        if value is not None:
            source = source.replace(placeholder, QColor(value).name().encode())
    drawn = QPixmap(round(size * ratio), round(size * ratio))
    drawn.setDevicePixelRatio(ratio)
    drawn.fill(Qt.GlobalColor.transparent)
    painter = QPainter(drawn)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    QSvgRenderer(QByteArray(source)).render(painter, QRectF(0, 0, size, size))
    painter.end()
    return drawn
