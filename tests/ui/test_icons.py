"""Icons: all of them draw something, in the asked colour, sharp on dense screens."""

import pytest
from PySide6.QtGui import QColor, QImage

from snapview.ui.icons import icon, icon_names, load_icons, pixmap, severity_icon
from snapview.ui.theme import Severity, current_theme

pytestmark = pytest.mark.usefixtures("qapp")


def _ink(image: QImage) -> int:
    return sum(
        image.pixelColor(x, y).alpha() > 128
        for x in range(image.width())
        for y in range(image.height())
    )


def test_every_icon_draws_something() -> None:
    load_icons()
    names = icon_names()
    assert {"camera", "revert", "merge", "discard", "search", "menu", "edit"} <= names
    for name in names:
        assert _ink(pixmap(name, 16, 2.0).toImage()) > 20, name


def test_icons_take_the_asked_colour() -> None:
    image = pixmap("stop", 16, 4.0, QColor("#ff0000")).toImage()
    colours = {
        image.pixelColor(x, y).name()
        for x in range(64)
        for y in range(64)
        if image.pixelColor(x, y).alpha() == 255
    }
    assert colours == {"#ff0000"}


def test_pixmaps_are_sharp_on_dense_screens() -> None:
    drawn = pixmap("camera", 16, 2.0)
    assert drawn.width() == 32
    assert drawn.devicePixelRatio() == 2.0


def test_severities_have_their_shapes_and_colours() -> None:
    seen = set()
    for severity in Severity:
        image = severity_icon(severity).pixmap(16, 16).toImage()
        seen.add(bytes(image.constBits()))
        fill = current_theme().severity(severity).fill
        assert any(
            image.pixelColor(x, y).name() == fill.name() for x in range(16) for y in range(16)
        )
    assert len(seen) == len(Severity)


def test_severity_by_name_is_the_same_icon() -> None:
    assert icon("warning").cacheKey() == severity_icon(Severity.WARNING).cacheKey()


def test_icons_are_made_once() -> None:
    assert icon("camera").cacheKey() == icon("camera").cacheKey()


def test_unknown_icon_is_an_error() -> None:
    with pytest.raises(KeyError):
        icon("no-such-icon")
