"""The look of the window's controls as one style sheet, made from the ``Theme``.

Hides Qt's style sheet language. Labels and buttons say what they are by the properties ``role``
and ``kind`` (see ``widgets``); item views are painted by their delegates and not styled here.
"""

from PySide6.QtGui import QColor, QFontInfo, QGuiApplication

from snapview.ui.app_sheet import ICON_PREFIX
from snapview.ui.colours import Severity, Theme, current_theme

TEXT_PX = 13  # the text size the pictures were drawn with


def font_px(size: int) -> int:
    """Return a size of the pictures in the proportions of the desktop's own font."""
    return max(1, round(size * QFontInfo(QGuiApplication.font()).pixelSize() / TEXT_PX))


def control_style() -> str:
    """Return the style sheet for the desktop's palette and font of now. GUI thread."""
    theme = current_theme()
    sizes = (font_px(20), font_px(15), font_px(13), font_px(12), font_px(11))
    return _labels(theme, sizes) + _buttons(theme) + _fields(theme) + _panels(theme)


def css(colour: QColor) -> str:
    """Return a colour for a style sheet."""
    return colour.name()


def _labels(theme: Theme, sizes: tuple[int, int, int, int, int]) -> str:
    title, figure, text, secondary, caption = sizes
    severities = "".join(
        f"""QLabel[severity="{level.value}"] {{ color: {css(theme.severity(level).text)}; }}"""
        for level in Severity
    )
    return f"""
    QLabel {{ background: transparent; color: {css(theme.text)}; }}
    QLabel:disabled {{ color: {css(theme.disabled)}; }}
    QLabel[role="title"] {{ font-size: {title}px; font-weight: 600; }}
    QLabel[role="figure"] {{ font-size: {figure}px; font-weight: 600; }}
    QLabel[role="heading"] {{ font-size: {text}px; font-weight: 600; }}
    QLabel[role="secondary"] {{ font-size: {secondary}px; color: {css(theme.secondary)}; }}
    QLabel[role="note"] {{ font-size: {text}px; color: {css(theme.secondary)}; }}
    QLabel[role="caption"] {{ font-size: {caption}px; color: {css(theme.secondary)}; }}
    QLabel[role="mono"] {{ font-family: monospace; font-size: {secondary}px; }}
    {severities}
    """


def _buttons(theme: Theme) -> str:
    edge, accent = css(theme.control_edge), css(theme.accent)
    shade = "dark" if theme.is_dark else "light"
    return f"""
    QPushButton {{
        background: {css(theme.base)}; color: {css(theme.text)}; border: 1px solid {edge};
        border-radius: 6px; padding: 0 13px; min-height: 30px; font-weight: 500;
    }}
    QPushButton:hover {{ background: {css(theme.hover)}; }}
    QPushButton:pressed {{ background: {css(theme.selected)}; }}
    QPushButton:focus {{ border: 2px solid {accent}; padding: 0 12px; min-height: 28px; }}
    QPushButton:disabled {{ color: {css(theme.disabled)}; border-color: {css(theme.hairline)}; }}
    QPushButton[kind="small"] {{ min-height: 22px; padding: 0 9px; }}
    QPushButton[kind="small"]:focus {{ min-height: 20px; padding: 0 8px; }}
    QPushButton[has-menu="true"] {{ padding-right: 24px; }}
    QPushButton[has-menu="true"]:focus {{ padding-right: 23px; }}
    QPushButton[has-menu="true"]::menu-indicator {{
        image: url("{ICON_PREFIX}:sheet-chevron-{shade}.svg"); width: 10px; height: 10px;
        subcontrol-origin: padding; subcontrol-position: right center; right: 8px;
    }}
    QPushButton[kind="filled"] {{
        background: {css(theme.filled)}; color: {css(theme.on_filled)};
        border: 1px solid {css(theme.filled)}; font-weight: 600;
    }}
    QPushButton[kind="filled"]:hover {{ background: {css(theme.filled_hover)}; }}
    QPushButton[kind="filled"]:focus {{ border: 2px solid {css(theme.text)}; }}
    QPushButton[kind="filled"]:disabled {{
        background: {css(theme.hairline)}; color: {css(theme.disabled)};
        border-color: {css(theme.hairline)};
    }}
    QPushButton[kind="danger"] {{
        background: {css(theme.danger)}; color: {css(theme.on_filled)};
        border: 1px solid {css(theme.danger)}; font-weight: 600;
    }}
    QPushButton[kind="danger"]:hover {{ background: {css(theme.danger_hover)}; }}
    QPushButton[kind="danger"]:focus {{ border: 2px solid {css(theme.text)}; }}
    QPushButton[kind="danger"]:disabled {{
        background: {css(theme.hairline)}; color: {css(theme.disabled)};
        border-color: {css(theme.hairline)};
    }}
    QPushButton[side="left"] {{ border-top-right-radius: 0; border-bottom-right-radius: 0; }}
    QPushButton[side="right"] {{
        border-top-left-radius: 0; border-bottom-left-radius: 0; padding: 0 7px;
        border-left: 1px solid {css(theme.accent_tint)};
    }}
    QPushButton[side="right"]::menu-indicator {{ image: none; width: 0; }}
    QPushButton[kind="link"] {{
        background: transparent; border: none; border-bottom: 2px solid transparent;
        border-radius: 0; padding: 0; min-height: 16px; text-align: left; color: {accent};
        font-weight: 400;
    }}
    QPushButton[kind="link"]:hover {{ text-decoration: underline; }}
    QPushButton[kind="link"]:focus {{
        border: none; border-bottom: 2px solid {accent}; background: {css(theme.accent_tint)};
        padding: 0; min-height: 16px;
    }}
    QPushButton[kind="icon"] {{
        background: transparent; border: 2px solid transparent; padding: 0 4px; min-height: 22px;
    }}
    QPushButton[kind="icon"]:hover {{ background: {css(theme.hover)}; }}
    QPushButton[kind="icon"]:focus {{ border-color: {accent}; padding: 0 4px; min-height: 22px; }}
    QPushButton[kind="plain"] {{
        background: transparent; border: 2px solid transparent; padding: 0 8px; text-align: left;
        min-height: 28px; color: {css(theme.secondary)}; font-weight: 400;
    }}
    QPushButton[kind="plain"]:hover {{ background: {css(theme.hover)}; }}
    QPushButton[kind="plain"]:focus {{ border-color: {accent}; }}
    QToolButton {{
        background: transparent; color: {css(theme.text)}; border: 2px solid transparent;
        border-radius: 6px; padding: 4px 8px; font-weight: 500;
    }}
    QToolButton:hover:enabled {{ background: {css(theme.hover)}; }}
    QToolButton:pressed {{ background: {css(theme.selected)}; }}
    QToolButton:focus {{ border-color: {accent}; }}
    QToolButton:disabled {{ color: {css(theme.disabled)}; }}
    QToolButton::menu-indicator {{ image: none; width: 0; }}
    """


def _fields(theme: Theme) -> str:
    edge, accent = css(theme.control_edge), css(theme.accent)
    return f"""
    QLineEdit, QPlainTextEdit {{
        background: {css(theme.base)}; color: {css(theme.text)}; border: 1px solid {edge};
        border-radius: 6px; padding: 1px 9px; selection-background-color: {css(theme.filled)};
        selection-color: {css(theme.on_filled)};
    }}
    QLineEdit {{ min-height: 28px; }}
    QPlainTextEdit {{ padding: 4px 6px; }}
    QLineEdit:focus, QPlainTextEdit:focus {{ border: 2px solid {accent}; }}
    QLineEdit:focus {{ padding: 0 8px; }}
    QPlainTextEdit:focus {{ padding: 3px 5px; }}
    QProgressBar {{
        background: {css(theme.hairline)}; border: none; border-radius: 3px;
        max-height: 6px; min-height: 6px;
    }}
    QProgressBar::chunk {{ background: {css(theme.filled)}; border-radius: 3px; }}
    """


def _panels(theme: Theme) -> str:
    hairline = css(theme.hairline)
    severities = "".join(
        f"""QWidget[panel="{level.value}"] {{
            background: {css(theme.severity(level).tint)}; border-radius: 6px; }}"""
        for level in Severity
    )
    return f"""
    QWidget[panel="window"] {{ background: {css(theme.window)}; }}
    QWidget[panel="base"] {{ background: {css(theme.base)}; }}
    QWidget[panel="sidebar"] {{ background: {css(theme.sidebar)}; }}
    QWidget[panel="hairline"] {{ background: {hairline}; }}
    QWidget[panel="accent"] {{ background: {css(theme.accent_tint)}; border-radius: 6px; }}
    QWidget[panel="tile"] {{ background: {css(theme.hover)}; border-radius: 6px; }}
    QWidget[panel="target"] {{
        background: {css(theme.base)}; border: 1px solid {css(theme.accent)}; border-radius: 6px;
    }}
    QWidget[panel="target"] QLabel {{ color: {css(theme.accent)}; }}
    QWidget[panel="field"] {{
        background: {css(theme.hover)}; border: 1px solid {hairline}; border-radius: 6px;
    }}
    QScrollArea {{ border: none; background: transparent; }}
    QSplitter::handle {{ background: {hairline}; }}
    {severities}
    """
