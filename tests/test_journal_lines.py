import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.journal import Begun, Entry
from snapview.core.moves import ForgetSnapshot, Move, RemoveFile
from snapview.core.operations import DeleteSnapshot, Operation
from snapview.journal_lines import JournalLines, Unreadable, first_bytes

LINES = JournalLines()
AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
MOVES: st.SearchStrategy[Move] = st.one_of(*(st.from_type(kind) for kind in get_args(Move)))
OPERATIONS: st.SearchStrategy[Operation] = st.one_of(
    *(st.from_type(kind) for kind in get_args(Operation))
)
# Names of files may hold bytes that are no UTF-8.
TEXTS = st.text(st.characters(codec=None, exclude_categories=()))


def encoded(entry: Entry) -> list[bytes]:
    records = [LINES.head(entry)]
    for begun in entry.begun:
        records.append(LINES.begin(begun.move, begun.note))
        records += [{"done": True}] * begun.is_done
    return [json.dumps(record).encode() for record in records]


@given(
    OPERATIONS,
    st.lists(MOVES, max_size=4),
    st.lists(st.tuples(MOVES, st.dictionaries(TEXTS, TEXTS), st.booleans()), max_size=3),
    st.tuples(TEXTS, TEXTS, TEXTS),
)
def test_what_is_written_is_read_again(
    operation: Operation,
    moves: list[Move],
    begun: list[tuple[Move, dict[str, str], bool]],
    texts: tuple[str, str, str],
) -> None:
    made = tuple(Begun(move, note, is_done) for move, note, is_done in begun)
    entry = Entry("a.1", *texts, operation, tuple(moves), AT, made)
    lines = encoded(entry)
    assert LINES.entry(lines) == entry
    assert lines[0].startswith(first_bytes("a"))
    assert not any(b"\n" in line for line in lines)


ENTRY = Entry(
    "a.1", "x:///", "u", "web", DeleteSnapshot("u", ("s",)), (ForgetSnapshot("s"),), AT,
    (Begun(ForgetSnapshot("s")),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("of", "to"),
    [
        ('"schema": 1', '"schema": 2'),
        ("ForgetSnapshot", "ForgetEverything"),
        ("DeleteSnapshot", "DeleteFiles"),
        ('"snapshot": "s"', '"snapshot": "s", "even_more": true'),
        ('"snapshot": "s", ', ""),
        ('"begin"', '"maybe"'),
        ("2026-03-01", "yesterday"),
        ("{", "["),
        ("{", ""),
    ],
)
def test_what_this_version_would_not_write_is_not_read(of: str, to: str) -> None:
    lines = [line.decode().replace(of, to).encode() for line in encoded(ENTRY)]
    assert lines != encoded(ENTRY)
    with pytest.raises(Unreadable):
        LINES.entry(lines)


@pytest.mark.parametrize(
    "more",
    [
        [b'{"done": true}', b'{"done": true}'],
        [b'{"done": false}'],
        [b"17"],
        [b"null"],
        [b"\xff"],
        [b""],
    ],
)
def test_lines_that_mean_nothing_are_not_read(more: list[bytes]) -> None:
    with pytest.raises(Unreadable):
        LINES.entry([*encoded(ENTRY), *more])


def test_done_needs_something_begun() -> None:
    head = encoded(ENTRY)[:1]
    assert LINES.entry(head).begun == ()
    with pytest.raises(Unreadable):
        LINES.entry([*head, b'{"done": true}'])


def test_a_move_is_not_taken_for_another_one_with_the_same_fields() -> None:
    assert LINES.begin(RemoveFile("s"), {}) != LINES.begin(ForgetSnapshot("s"), {})


def test_the_start_does_not_pay_for_what_is_seldom_written() -> None:
    code = "import sys, snapview.journal; sys.exit('cattrs' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
