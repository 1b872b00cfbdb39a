"""The page that stands where a VM's tree would be: a picture, words, and ways on.

Hides the arrangement; what a page says is in ``page_contents``.
"""

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from snapview.ui.buttons import button, set_icon
from snapview.ui.colours import current_theme
from snapview.ui.icons import icon
from snapview.ui.illustrations import IllustrationView
from snapview.ui.page_contents import PageAction, PageButton, PageContent, Tip
from snapview.ui.theme import GAP, INSET, SMALL_INSET, TINY, mono_font
from snapview.ui.widgets import (
    ElidedLabel,
    IconLabel,
    LiteralText,
    column,
    hairline,
    label,
    panel,
    row,
)

TEXT_WIDTH = 440
COMMAND_WIDTH = 520  # commands are long, and must be seen whole before they are copied
COPIED_MS = 1500


class TeachingPage(QWidget):
    """Shows a ``PageContent`` and reports what the user wants of it."""

    requested = Signal(object)  # PageAction

    def __init__(self) -> None:
        super().__init__()
        self._content: PageContent | None = None
        self._is_busy = False
        self._said: LiteralText | None = None
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        column(self, spacing=0).addWidget(self._area)

    def show_page(self, content: PageContent) -> None:
        """Show another page."""
        if content != self._content:
            self._content = content
            self._build(content)

    def set_busy(self, *, is_busy: bool) -> None:
        """Take the buttons away from the user while the demo lab is being made."""
        self._is_busy = is_busy
        if self._content is not None:
            self._build(self._content)

    def content(self) -> PageContent | None:
        """Return what is shown."""
        return self._content

    def said(self) -> LiteralText | None:
        """Return the fold-out with what libvirt said, if this page has one."""
        return self._said

    def restyle(self) -> None:
        """Build anew for another palette."""
        if self._content is not None:
            self._build(self._content)

    def _build(self, content: PageContent) -> None:
        self._said = None
        surface = panel("base")
        outer = column(surface, spacing=0, margin=INSET)
        outer.addStretch(2)
        inner = QWidget()
        inner.setFixedWidth(COMMAND_WIDTH if content.commands else TEXT_WIDTH)
        layout = column(inner, spacing=6)
        self._add_head(layout, content)
        self._add_buttons(layout, content)
        self._add_ways(layout, content)
        outer.addWidget(inner, 0, Qt.AlignmentFlag.AlignHCenter)
        outer.addStretch(3)
        self.setAccessibleName(f"{content.title}. {content.text}")
        self._area.setWidget(surface)  # deletes the old one

    def _add_head(self, layout: QVBoxLayout, content: PageContent) -> None:
        picture = IllustrationView()
        picture.show_picture(content.illustration)
        layout.addWidget(picture, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addSpacing(SMALL_INSET)
        for text, role in ((content.title, "title"), (content.text, "note")):
            words = label(text, role, wraps=True)
            words.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            layout.addWidget(words)

    def _add_buttons(self, layout: QVBoxLayout, content: PageContent) -> None:
        if content.buttons:
            line = row(spacing=SMALL_INSET)
            line.addStretch(1)
            for number, each in enumerate(content.buttons):
                line.addWidget(self._button(each, is_first=not number))
            line.addStretch(1)
            layout.addSpacing(SMALL_INSET)
            layout.addLayout(line)
        caption = self.tr("Making the demo lab…") if self._is_busy else content.caption
        if caption:
            words = label(caption, "secondary", wraps=True)
            words.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            layout.addWidget(words)

    def _add_ways(self, layout: QVBoxLayout, content: PageContent) -> None:
        if content.commands or content.tips:
            layout.addSpacing(SMALL_INSET)
            layout.addWidget(hairline())
        for caption, command in content.commands:
            layout.addSpacing(TINY)
            layout.addWidget(label(caption, "caption"))
            layout.addWidget(self._command(command))
        if content.tips:
            layout.addSpacing(GAP)
            layout.addWidget(label(content.tips_heading, "caption"))
        for tip in content.tips:
            layout.addWidget(self._tip(tip))
        if content.said:
            layout.addSpacing(GAP)
            self._add_said(layout, content.said)

    def _button(self, spec: PageButton, *, is_first: bool) -> QWidget:
        colour = current_theme().on_filled if is_first else None
        drawn = icon(spec.icon, colour) if spec.icon else None
        made = button(spec.text, "filled" if is_first else "normal", drawn)
        made.clicked.connect(lambda: self.requested.emit(spec.action))
        made.setEnabled(not (self._is_busy and spec.action is PageAction.MAKE_DEMO))
        return made

    def _command(self, command: str) -> QWidget:
        field = panel("field")
        line = row(field, spacing=GAP)
        line.setContentsMargins(SMALL_INSET, 5, 6, 5)
        line.addWidget(ElidedLabel(command, "mono"), 1)
        copy = button(self.tr("Copy"), "small", icon("copy"))
        copy.setAccessibleName(self.tr("Copy: {command}").format(command=command))

        back = QTimer(copy)
        back.setSingleShot(True)
        back.setInterval(COPIED_MS)
        back.timeout.connect(lambda: copy.setText(self.tr("Copy")))

        def put() -> None:
            QGuiApplication.clipboard().setText(command)
            copy.setText(self.tr("Copied"))
            back.start()

        copy.clicked.connect(put)
        line.addWidget(copy)
        return field

    def _tip(self, tip: Tip) -> QWidget:
        made = QWidget()
        line = row(made, spacing=SMALL_INSET)
        tile = panel("tile")
        tile.setFixedSize(32, 32)
        inside = row(tile, spacing=0, margin=GAP)
        inside.addWidget(IconLabel(icon(tip.icon, current_theme().accent)))
        line.addWidget(tile)
        words = column(spacing=0)
        words.addWidget(label(tip.title))
        under = row(spacing=2)
        under.addWidget(label(tip.text, "secondary"))
        if tip.action is not None:
            link = button(tip.link, "link")
            link.setAccessibleName(f"{tip.title}: {tip.link}")
            link.setEnabled(not (self._is_busy and tip.action is PageAction.MAKE_DEMO))
            link.clicked.connect(lambda: self.requested.emit(tip.action))
            under.addWidget(link)
        under.addStretch(1)
        words.addLayout(under)
        line.addLayout(words, 1)
        return made

    def _add_said(self, layout: QVBoxLayout, said: str) -> None:
        fold = button(self.tr("What libvirt said"), "plain", icon("chevron-right"))
        fold.setCheckable(True)
        words = LiteralText(said)
        words.setFont(mono_font())
        words.setAccessibleName(fold.text())
        words.hide()

        def toggle(is_open: bool) -> None:  # noqa: FBT001  # what QAbstractButton.toggled sends
            words.setVisible(is_open)
            set_icon(fold, icon("chevron-down" if is_open else "chevron-right"))

        fold.toggled.connect(toggle)
        layout.addWidget(fold, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(words)
        self._said = words
