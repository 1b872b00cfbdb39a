"""The small building blocks: literal, elided, copyable."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from snapview.ui.colours import Severity
from snapview.ui.widgets import (
    ElidedLabel,
    LiteralText,
    breakable,
    clear,
    column,
    label,
    literal,
    shortened,
)

pytestmark = pytest.mark.usefixtures("qapp")


def test_tooltips_never_read_markup() -> None:
    assert literal("a & b") == "a & b"
    assert literal("word " * 30).startswith("<qt>word")
    assert literal("<b>x</b>\ny") == "<qt>&lt;b&gt;x&lt;/b&gt;<br>y</qt>"


def test_endless_words_can_be_broken() -> None:
    assert breakable("short words") == "short words"
    assert breakable("x" * 100).replace("\u200b", "") == "x" * 100
    assert "\u200b" in breakable("x" * 100)
    made = label("", wraps=True)
    made.setText("x" * 500)
    assert made.minimumSizeHint().width() < 200


def test_names_in_sentences_are_short() -> None:
    assert shortened("a\nb") == "a b"
    assert len(shortened("x" * 500)) == 60


def test_elided_text_is_whole_in_tooltip_and_copy(qtbot: QtBot) -> None:
    made = ElidedLabel("<b>" + "long " * 50)
    qtbot.addWidget(made)
    made.resize(100, 20)
    with qtbot.waitExposed(made):
        made.show()
    assert made.shown_text().endswith("…")
    assert "&lt;b&gt;" in made.toolTip()
    made.actions()[0].trigger()
    assert QApplication.clipboard().text() == made.text()
    made.set_severity(Severity.ERROR)
    made.set_text("short")
    assert made.shown_text() == "short"
    assert made.toolTip() == ""


def test_file_labels_copy_the_whole_path(qtbot: QtBot) -> None:
    made = ElidedLabel("a.qcow2", "mono", Qt.TextElideMode.ElideMiddle, whole="/images/a.qcow2")
    qtbot.addWidget(made)
    made.resize(300, 20)
    assert made.toolTip() == "/images/a.qcow2"
    made.actions()[0].trigger()
    assert QApplication.clipboard().text() == "/images/a.qcow2"


def test_literal_text_is_as_high_as_it_needs(qtbot: QtBot) -> None:
    made = LiteralText("<b>" + "x" * 400)
    qtbot.addWidget(made)
    made.resize(200, 10)
    with qtbot.waitExposed(made):
        made.show()
    assert made.toPlainText().startswith("<b>x")
    assert made.height() > 4 * made.fontMetrics().height()


def test_cleared_layouts_are_empty(qtbot: QtBot) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    layout = column(parent)
    inner = column()
    inner.addWidget(label("a"))
    layout.addLayout(inner)
    layout.addWidget(label("b"))
    layout.addStretch(1)
    clear(layout)
    assert layout.count() == 0
