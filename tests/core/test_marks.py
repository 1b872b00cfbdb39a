"""Notes in descriptions: what is written is read, and the user's words stay whole."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.marks import (
    Consistency,
    Marks,
    marks_of,
    with_consistency_of,
    with_marks,
    words_of,
)
from snapview.core.operations import join_description, plain_text, split_description, unique_name

SAFETY = Marks(Consistency.WITH_MEMORY, date(2026, 12, 6))

LINES = st.sampled_from(
    [
        "",
        "words",
        " ",
        "Consistency: with memory",
        "Consistency: crash-consistent",
        "Consistency: so so",
        "Kept until 2026-12-06",
        "Kept until 2026-02-30",
        "kept until 2026-12-06",
        "Kept until 2026-12-06.",
    ]
)
TEXTS = st.lists(LINES, max_size=6).map("\n".join) | st.text(max_size=20).map(plain_text)
MARKS = st.builds(
    Marks,
    st.none() | st.sampled_from(Consistency),
    st.none() | st.dates(),
)


@pytest.mark.parametrize(
    ("words", "marks", "text"),
    [
        ("", Marks(Consistency.OFF), "Consistency: VM was off"),
        ("a\n\nb", Marks(Consistency.FROZEN), "a\n\nb\nConsistency: file systems frozen"),
        ("a", SAFETY, "a\nConsistency: with memory\nKept until 2026-12-06"),
        ("a", Marks(kept_until=date(2026, 12, 6)), "a\nKept until 2026-12-06"),
        ("a", Marks(Consistency.CRASH), "a\nConsistency: crash-consistent"),
        ("a", Marks(), "a"),
    ],
)
def test_the_notes_are_the_last_lines_in_plain_words(words: str, marks: Marks, text: str) -> None:
    assert with_marks(words, marks) == text
    assert (words_of(text), marks_of(text)) == (words, marks)


@given(TEXTS, MARKS)
def test_what_is_written_is_read(text: str, marks: Marks) -> None:
    made = with_marks(text, marks)
    assert marks_of(made) == marks
    assert words_of(made) == words_of(text)


@given(TEXTS)
def test_words_without_notes_stay_to_the_letter(text: str) -> None:
    if marks_of(text) == Marks():
        assert words_of(text) == text


@given(TEXTS, MARKS, MARKS)
def test_later_notes_replace_earlier_ones(text: str, first: Marks, second: Marks) -> None:
    assert with_marks(with_marks(text, first), second) == with_marks(text, second)


@given(st.text(max_size=10).filter(str.strip), TEXTS, MARKS)
def test_they_come_back_through_libvirts_one_text(name: str, text: str, marks: Marks) -> None:
    name = unique_name(name.replace("\n", ""), set()) or "x"
    description = with_marks(text, marks)
    read = split_description(name, join_description(name, "", description))
    assert read == (name, description)
    assert marks_of(read[1]) == marks


@pytest.mark.parametrize(
    "text",
    [
        "Kept until 2026-02-30",
        "Kept until tomorrow",
        "Consistency: none",
        "Consistency: with memory, I think",
        "I said: Consistency: with memory",
        "Consistency: with memory\nand more words",
    ],
)
def test_what_only_looks_like_a_note_is_none(text: str) -> None:
    assert marks_of(text) == Marks()
    assert words_of(text) == text


def test_empty_lines_that_an_editor_left_below_do_no_harm() -> None:
    assert marks_of("a\nConsistency: with memory\n\n \n") == Marks(Consistency.WITH_MEMORY)
    assert words_of("a\nConsistency: with memory\n\n \n") == "a"


def test_of_two_notes_of_one_sort_the_last_counts() -> None:
    text = "Consistency: with memory\nConsistency: crash-consistent"
    assert marks_of(text) == Marks(Consistency.CRASH)


def test_new_words_keep_the_consistency_and_drop_the_wish() -> None:
    old = with_marks("old", SAFETY)
    assert with_consistency_of(old, "new") == "new\nConsistency: with memory"
    assert with_consistency_of(old, "") == "Consistency: with memory"
    kept = with_marks("new", Marks(kept_until=date(2027, 1, 1)))
    assert marks_of(with_consistency_of(old, kept)) == Marks(
        Consistency.WITH_MEMORY, date(2027, 1, 1)
    )
    assert with_consistency_of(old, with_marks("new", Marks(Consistency.OFF))) == (
        "new\nConsistency: with memory"
    )
    assert with_consistency_of("no notes", "Consistency: VM was off") == "Consistency: VM was off"


@given(TEXTS, TEXTS)
def test_an_edit_that_changes_nothing_more_is_left_to_the_letter(old: str, new: str) -> None:
    once = with_consistency_of(old, new)
    assert with_consistency_of(old, once) == once
    assert with_consistency_of(old, old) == old
