"""What the chain pictures show, and where their boxes stand."""

from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from snapview.core.moves import CommitImages, ForgetSnapshot, PullImages
from snapview.core.operations import MergeBy
from snapview.ui.dialogs.chain_picture import MOST_BOXES, Box, Chain, ChainPicture, shortened
from snapview.ui.dialogs.pictures import chain_picture, removal_picture
from snapview.ui.theme import apply_style, current_theme
from tests.trees import branching_tree, make_vm
from tests.ui.dialogs.worlds import GIB, PATHS, layer, line_of_externals

pytestmark = pytest.mark.usefixtures("qapp")

VM = line_of_externals()
DISK = VM.state_disks[0]
CHAIN = tuple(layer(path) for path in reversed(PATHS))


def removal(name: str, merge_by: MergeBy = MergeBy.COMMIT, *, merges: bool = True) -> Chain:
    return removal_picture(VM, name, merges=merges, merge_by=merge_by, copied_bytes=2 * GIB)


def test_a_merge_shows_what_goes_into_what() -> None:
    picture = removal("s1")
    assert [(box.text, box.small) for box in picture.now] == [
        ("state s0", "4.0 GiB"),
        ("state s1", "3.0 GiB"),
        ("state s2", "2.0 GiB"),
    ]
    assert [box.is_marked for box in picture.now] == [False, True, False]
    kept, merged = picture.then
    assert kept == picture.now[0]
    assert (merged.text, merged.small) == ("state s2", "at most 5.0 GiB in one file")
    assert merged.span == 2
    assert (picture.arrow, picture.caption) == ((2, 1), "2.0 GiB copied down")
    assert picture.end == "… here"


def test_a_merge_upwards_points_the_other_way() -> None:
    picture = removal("s1", MergeBy.PULL)
    assert (picture.arrow, picture.caption) == ((1, 2), "2.0 GiB copied up")


def test_the_newest_is_merged_into_the_state_of_now() -> None:
    picture = removal("s3")
    assert [box.text for box in picture.now] == ["state s2", "state s3", "You are here"]
    assert picture.then[-1].text == "You are here"
    assert picture.end == ""


def test_the_oldest_has_nothing_before_it() -> None:
    picture = removal("s0")
    assert [box.text for box in picture.now] == ["state s0", "state s1"]
    assert picture.arrow == (1, 0)


def test_a_discard_strikes_it_out() -> None:
    vm = line_of_externals(branch=True)
    picture = removal_picture(vm, "side", merges=False, merge_by=MergeBy.COMMIT, copied_bytes=None)
    assert [box.text for box in picture.now] == ["state s1", "state side"]
    assert [box.is_gone for box in picture.then] == [False, True]
    assert picture.arrow is None
    assert picture.end == ""


def test_of_several_branches_the_one_to_the_live_state_goes_on() -> None:
    vm = line_of_externals(branch=True)
    picture = removal_picture(vm, "s1", merges=True, merge_by=MergeBy.COMMIT, copied_bytes=None)
    assert picture.then[-1].text == "state s2"
    assert picture.caption == "copied down"


def test_internal_snapshots_have_no_sizes() -> None:
    vm = make_vm(tree=branching_tree())
    picture = removal_picture(
        vm, "updated", merges=False, merge_by=MergeBy.COMMIT, copied_bytes=None
    )
    assert not any(box.small for box in (*picture.now, *picture.then))


def test_unknown_sizes_are_not_made_up() -> None:
    picture = removal_picture(
        line_of_externals(storage=False),
        "s1",
        merges=True,
        merge_by=MergeBy.COMMIT,
        copied_bytes=None,
    )
    assert not any(box.small for box in (*picture.now, *picture.then))


# -- merging a chain


def test_a_chain_now_and_then() -> None:
    moves = (
        CommitImages("vda", PATHS[4], PATHS[2], CHAIN, in_vm=True),
        ForgetSnapshot("s2"),
        CommitImages("vdb", PATHS[1], PATHS[0], CHAIN, in_vm=True),
    )
    picture = chain_picture(VM, DISK, moves)
    assert [box.text for box in picture.now] == [
        "state s0",
        "state s1",
        "state s2",
        "state s3",
        "You are here",
    ]
    assert [box.is_marked for box in picture.now] == [False, False, True, True, True]
    assert [(box.text, box.span) for box in picture.then] == [
        ("state s0", 1),
        ("state s1", 1),
        ("You are here", 3),
    ]
    assert picture.then[-1].small == "at most 3.1 GiB"


@pytest.mark.parametrize(
    ("base", "spans"), [(None, [5]), (PATHS[1], [1, 1, 3]), ("/images/other.qcow2", [1] * 5)]
)
def test_a_pull_takes_what_lies_above_its_base(base: str | None, spans: list[int]) -> None:
    picture = chain_picture(VM, DISK, (PullImages("vda", base, CHAIN, in_vm=True),))
    assert [box.span for box in picture.then] == spans


def test_a_layer_without_a_record_is_called_by_its_file() -> None:
    by_hand = layer("/images/by-hand.qcow2")
    disk = replace(DISK, layers=(DISK.layers[0], by_hand, *DISK.layers[-2:]))
    texts = [box.text for box in chain_picture(VM, disk, ()).now]
    assert texts == ["state s0", "state s1", "by-hand.qcow2", "You are here"]


def test_long_chains_are_cut_short() -> None:
    boxes = [Box(str(n)) for n in range(30)]
    shown = shortened(boxes, "{number} more")
    assert len(shown) == MOST_BOXES
    assert [box.text for box in shown] == ["0", "1", "26 more", "28", "29"]
    few = [Box("a"), Box("b")]
    assert shortened(few, "{number} more") == tuple(few)


# -- painting


def test_every_box_is_found_where_it_is_painted(qtbot: QtBot, qapp: QApplication) -> None:
    apply_style(qapp)
    widget = ChainPicture()
    qtbot.addWidget(widget)
    picture = removal("s1")
    widget.show_chain(picture)
    widget.resize(640, widget.sizeHint().height())
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_ARGB32)
    tint = current_theme().accent_tint.rgb()
    marked, boxes = set(), []
    for x in range(640):
        for y in (6, widget.height() - 6):
            if image.pixel(x, y) == tint:
                found = widget.box_at(QPoint(x, y))
                assert found is not None
                assert found.is_marked
                marked.add((found.text, y < 20))
            box = widget.box_at(QPoint(x, y))
            if box is not None and box not in boxes:
                boxes.append(box)
    assert marked == {("state s1", True), ("state s2", False)}
    assert set(boxes) == {*picture.now, *picture.then}
    assert widget.box_at(QPoint(1, 1)) is None
    qapp.setStyleSheet("")


def test_it_can_be_heard(qtbot: QtBot) -> None:
    widget = ChainPicture()
    qtbot.addWidget(widget)
    widget.show_chain(removal("s1"))
    said = widget.accessibleName()
    assert said == (
        "Now: state s0, state s1, state s2. Then: state s0, state s2. 2.0 GiB copied down"
    )
