"""Cells as painted: background, accent bar, texts, badges and search marks."""

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QRect
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QApplication, QStyle, QStyleOptionViewItem

from snapview.core.vm import SnapshotTree
from snapview.ui.snapshot_columns import COLUMNS, Column
from snapview.ui.snapshot_delegate import SnapshotDelegate
from snapview.ui.snapshot_model import RowBadge, SnapshotModel, column_number
from snapview.ui.snapshot_search import SnapshotSearch
from snapview.ui.theme import ROW_HEIGHT, apply_style, current_theme
from tests.ui.views import NOW, pictured_tree, snapshot, view_of

WIDTH = 420


@pytest.fixture
def model(qapp: QApplication) -> Iterator[SnapshotModel]:
    apply_style(qapp)
    made = SnapshotModel(clock=lambda: NOW)
    made.set_view(view_of(pictured_tree()))
    yield made
    made.set_view(None)
    qapp.setStyleSheet("")


@pytest.fixture
def search() -> SnapshotSearch:
    return SnapshotSearch()


@pytest.fixture
def delegate(model: SnapshotModel, search: SnapshotSearch) -> SnapshotDelegate:
    return SnapshotDelegate(model, search, model)


def _grab(
    delegate: SnapshotDelegate,
    model: SnapshotModel,
    name: str | None,
    column: Column = Column.NAME,
    *,
    selected: bool = False,
) -> QImage:
    image = QImage(WIDTH, ROW_HEIGHT, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(current_theme().base)  # as the view does
    option = QStyleOptionViewItem()
    option.rect = QRect(0, 0, WIDTH, ROW_HEIGHT)
    if selected:
        option.state |= QStyle.StateFlag.State_Selected
    row = model.row_of(name)
    assert row is not None
    painter = QPainter(image)
    delegate.paint(painter, option, model.index(row, column_number(column)))
    painter.end()
    return image


def _colours(image: QImage, left: int, right: int) -> set[str]:
    return {image.pixelColor(x, y).name() for x in range(left, right) for y in range(ROW_HEIGHT)}


def test_plain_row(delegate: SnapshotDelegate, model: SnapshotModel) -> None:
    image, theme = _grab(delegate, model, "base"), current_theme()
    assert image.pixelColor(WIDTH - 2, 2) == theme.base
    assert image.pixelColor(24, ROW_HEIGHT // 2) == theme.branch(0)
    assert theme.text.name() in _colours(image, 64, 160)


def test_selected_row_has_tint_and_accent_bar(
    delegate: SnapshotDelegate, model: SnapshotModel
) -> None:
    image, theme = _grab(delegate, model, "base", selected=True), current_theme()
    assert image.pixelColor(WIDTH - 2, 2) == theme.selected
    assert [image.pixelColor(x, 4) for x in range(4)] == [theme.accent] * 3 + [theme.selected]
    other = _grab(delegate, model, "base", Column.AGE, selected=True)
    assert other.pixelColor(0, 4) == theme.selected


def test_hovered_row_is_tinted(delegate: SnapshotDelegate, model: SnapshotModel) -> None:
    row = model.row_of("base")
    assert row is not None
    delegate.hovered_row = row
    assert _grab(delegate, model, "base").pixelColor(WIDTH - 2, 2) == current_theme().hover
    assert _grab(delegate, model, "tuned").pixelColor(WIDTH - 2, 2) == current_theme().base


def test_kept_state_stands_back(delegate: SnapshotDelegate, model: SnapshotModel) -> None:
    image, theme = _grab(delegate, model, "kept"), current_theme()
    colours = _colours(image, 64, 240)
    assert theme.secondary.name() in colours
    assert theme.text.name() not in colours
    assert theme.kept.name() in _colours(image, 30, 56)


def test_secondary_columns(delegate: SnapshotDelegate, model: SnapshotModel) -> None:
    theme = current_theme()
    for spec in COLUMNS[1:]:
        colours = _colours(_grab(delegate, model, "clean", spec.id), 0, 200)
        assert (theme.secondary if spec.is_secondary else theme.text).name() in colours


def test_search_marks_words_and_dims_the_rest(
    delegate: SnapshotDelegate, model: SnapshotModel, search: SnapshotSearch
) -> None:
    assert search.search("UPGRADE", model.view) == 2
    theme = current_theme()
    assert theme.match.name() in _colours(_grab(delegate, model, "after"), 64, WIDTH)
    other = _colours(_grab(delegate, model, "base"), 64, 200)
    assert theme.match.name() not in other
    assert theme.text.name() not in other
    assert theme.disabled.name() in other


def test_badge_shows_progress(delegate: SnapshotDelegate, model: SnapshotModel) -> None:
    theme = current_theme()
    plain = _grab(delegate, model, "tuned")
    model.set_badges({"tuned": RowBadge("merging 50 %", 0.5)})
    image = _grab(delegate, model, "tuned")
    middle = ROW_HEIGHT // 2
    line = [image.pixelColor(x, middle).name() for x in range(64, WIDTH)]
    assert line.count(theme.accent.name()) in range(26, 34)
    assert line.count(theme.hairline.name()) in range(26, 34)
    assert plain != image


def test_missing_parent_is_a_tag(delegate: SnapshotDelegate, model: SnapshotModel) -> None:
    model.set_view(view_of(SnapshotTree([snapshot("x", "gone")], None)))
    assert current_theme().control_edge.name() in _colours(_grab(delegate, model, "x"), 60, WIDTH)


def test_long_names_are_shortened_and_notes_left_out(
    delegate: SnapshotDelegate, model: SnapshotModel
) -> None:
    long = snapshot("x", "gone", title="a very long name " * 20)
    model.set_view(view_of(SnapshotTree([long], None)))
    image = _grab(delegate, model, "x")
    assert _colours(image, WIDTH - 6, WIDTH) == {current_theme().base.name()}


def test_size_hint_has_room_for_everything(
    delegate: SnapshotDelegate, model: SnapshotModel
) -> None:
    option = QStyleOptionViewItem()
    live = model.row_of(None)
    assert live is not None
    hint = delegate.sizeHint(option, model.index(live, 0))
    assert hint.height() == ROW_HEIGHT
    assert hint.width() > 250
    assert 30 < delegate.sizeHint(option, model.index(0, 1)).width() < 80


def test_how_long_a_state_is_kept_is_a_tag_and_warns_when_that_is_over(
    delegate: SnapshotDelegate, model: SnapshotModel
) -> None:
    def image(until: str) -> QImage:
        kept = snapshot("kept", title="before revert to x", description=until)
        model.set_view(view_of(SnapshotTree([kept], None)))
        return _grab(delegate, model, "kept")

    def ink(image: QImage) -> list[tuple[int, QColor]]:
        base = current_theme().base.rgb()
        places = [(x, y) for x in range(WIDTH) for y in range(ROW_HEIGHT)]
        return [(x, image.pixelColor(x, y)) for x, y in places if image.pixel(x, y) != base]

    def is_coloured(image: QImage) -> bool:
        return any(colour.saturation() > 100 and x > 60 for x, colour in ink(image))

    plain, kept, over = image(""), image("Kept until 2026-12-06"), image("Kept until 2026-11-20")
    ends = [max(x for x, _ in ink(each)) for each in (plain, kept)]
    assert ends[1] > ends[0] + 60
    assert is_coloured(over)
    assert not is_coloured(kept)


def test_a_long_name_gives_way_to_the_tag(delegate: SnapshotDelegate, model: SnapshotModel) -> None:
    title = "before revert to ‘a name that is much too long for the column it stands in’"

    def ink(description: str) -> set[tuple[int, int]]:
        kept = snapshot("kept", title=title, description=description)
        model.set_view(view_of(SnapshotTree([kept], None)))
        image, base = _grab(delegate, model, "kept"), current_theme().base.rgb()
        lines = range(ROW_HEIGHT)
        return {(x, y) for x in range(WIDTH) for y in lines if image.pixel(x, y) != base}

    def highest(found: set[tuple[int, int]], start: int) -> int:
        return min(y for x, y in found if x > start)

    tagged = ink("Kept until 2026-12-06")
    assert highest(tagged, WIDTH - 60) < highest(ink(""), WIDTH - 60), "the frame of the tag"


def test_expired_rows_are_known_by_the_clock(model: SnapshotModel) -> None:
    states = [
        snapshot("over", description="Kept until 2026-11-21"),
        snapshot("last-day", description="Kept until 2026-11-22"),
        snapshot("other"),
    ]
    model.set_view(view_of(SnapshotTree(states, None)))
    expired = {model.name_at(row) for row in range(model.rowCount()) if model.is_expired_at(row)}
    assert expired == {"over"}
