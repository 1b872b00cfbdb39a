"""How menus, tooltips, scroll bars, tick boxes and choices look: the application's style sheet.

What a window itself styles (labels, buttons, text fields, panels) is in ``control_style``. Item
views have no style sheet: their delegates paint from the ``Theme``.
"""

from snapview.ui.colours import Theme

ICON_PREFIX = "snapview-icons"  # QDir search path under which the sheet finds its images


def app_sheet(theme: Theme) -> str:
    """Return the application's style sheet for a theme."""
    return "\n".join(part(theme) for part in (_surfaces, _choices, _indicators, _menus, _bars))


def _surfaces(theme: Theme) -> str:
    floating = theme.hover if theme.is_dark else theme.base
    return f"""
QDialog {{ background: {theme.base.name()}; }}
QToolTip {{
    background: {floating.name()};
    color: {theme.text.name()};
    border: 1px solid {theme.control_edge.name()};
    padding: 5px 7px;
}}
QSplitter::handle {{ background: {theme.hairline.name()}; }}"""


def _choices(theme: Theme) -> str:
    shade = "dark" if theme.is_dark else "light"
    return f"""
QComboBox {{
    background: {theme.base.name()};
    color: {theme.text.name()};
    border: 1px solid {theme.control_edge.name()};
    border-radius: 6px;
    padding: 1px 9px;
    min-height: 28px;
}}
QComboBox:hover {{ background: {theme.hover.name()}; }}
QComboBox:focus {{ border: 2px solid {theme.accent.name()}; padding: 0 8px; }}
QComboBox:disabled {{
    color: {theme.disabled.name()}; border-color: {theme.hairline.name()};
}}
QComboBox::drop-down {{ border: none; width: 26px; }}
QComboBox::down-arrow {{
    image: url("{ICON_PREFIX}:sheet-chevron-{shade}.svg"); width: 12px; height: 12px;
}}"""


def _indicators(theme: Theme) -> str:
    edge, filled, base = theme.control_edge.name(), theme.filled.name(), theme.base.name()
    accent = theme.accent.name()
    dot = (
        "qradialgradient(cx:0.5, cy:0.5, radius:0.5, fx:0.5, fy:0.5,"
        f" stop:0 {accent}, stop:0.52 {accent}, stop:0.64 {base}, stop:1 {base})"
    )
    return f"""
QCheckBox, QRadioButton {{ spacing: 9px; background: transparent; }}
QCheckBox:disabled, QRadioButton:disabled {{ color: {theme.disabled.name()}; }}
QCheckBox::indicator, QRadioButton::indicator {{
    width: 14px; height: 14px; border: 1px solid {edge}; background: {base};
}}
QCheckBox::indicator {{ border-radius: 3px; }}
QRadioButton::indicator {{ border-radius: 8px; }}
QCheckBox::indicator:hover, QRadioButton::indicator:hover {{ border-color: {accent}; }}
QCheckBox::indicator:checked {{
    background: {filled}; border-color: {filled}; image: url("{ICON_PREFIX}:sheet-tick.svg");
}}
QRadioButton::indicator:checked {{ background: {dot}; border-color: {accent}; }}
QCheckBox::indicator:focus, QRadioButton::indicator:focus {{
    border: 2px solid {accent}; width: 12px; height: 12px;
}}
QCheckBox::indicator:checked:focus {{ border-color: {theme.text.name()}; }}
QCheckBox::indicator:disabled, QRadioButton::indicator:disabled {{
    border-color: {theme.hairline.name()};
}}
QCheckBox::indicator:checked:disabled {{ background: {theme.disabled.name()}; }}"""


def _menus(theme: Theme) -> str:
    floating = theme.hover if theme.is_dark else theme.base
    return f"""
QMenu {{
    background: {floating.name()};
    color: {theme.text.name()};
    border: 1px solid {theme.control_edge.name()};
    padding: 5px 0;
}}
QMenu::item {{ padding: 6px 28px 6px 12px; margin: 0 5px; border-radius: 4px; }}
QMenu::item:selected {{ background: {theme.selected.name()}; }}
QMenu::item:disabled {{ color: {theme.disabled.name()}; background: transparent; }}
QMenu::icon {{ padding-left: 8px; }}
QMenu::separator {{ height: 1px; background: {theme.hairline.name()}; margin: 5px 0; }}"""


def _bars(theme: Theme) -> str:
    thumb = theme.hairline.darker(112) if not theme.is_dark else theme.hairline.lighter(140)
    return f"""
QScrollBar {{ background: transparent; border: none; margin: 0; }}
QScrollBar:vertical {{ width: 12px; }}
QScrollBar:horizontal {{ height: 12px; }}
QScrollBar::handle {{ background: {thumb.name()}; border-radius: 3px; margin: 3px; }}
QScrollBar::handle:vertical {{ min-height: 28px; }}
QScrollBar::handle:horizontal {{ min-width: 28px; }}
QScrollBar::handle:hover, QScrollBar::handle:pressed {{ background: {theme.control_edge.name()}; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}"""
