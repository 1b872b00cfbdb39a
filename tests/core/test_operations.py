"""Names that libvirt takes, and titles that survive in its description."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapview.core.operations import (
    NAME_LIMIT,
    join_description,
    plain_name,
    split_description,
    unique_name,
)

TITLES = st.text(min_size=1, max_size=40).map(lambda text: " ".join(text.split())).filter(bool)


@given(st.text(max_size=300))
@example("../x")
@example("-x")
@example("a/b")
@example("x" * 255)
@example("“quotes” and 'more'\n\nlines")
@example("Überprüfung ✓ 東京")
def test_a_plain_name_is_one_that_libvirt_and_qemu_take(title: str) -> None:
    name = plain_name(title)
    assert re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9._-]{0,99})?", name)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("before nginx 1.30", "before-nginx-1.30"),
        ("../x", "x"),
        ("-x", "x"),
        ("a/b", "a-b"),
        ("Prüfung", "Prufung"),
        ("東京", ""),
        ("plain_name-1.0", "plain_name-1.0"),
    ],
)
def test_plain_names_stay_readable(title: str, name: str) -> None:
    assert plain_name(title) == name


@given(TITLES, st.text(max_size=60), st.sets(st.sampled_from(["a", "a-2", "x", "snapshot"])))
@example("snap", "snap", {"snap"})
@example("x" * 255, "text", {"x" * 100})
def test_title_and_description_come_back(title: str, description: str, taken: set[str]) -> None:
    name = unique_name(plain_name(title) or "snapshot-20261122-174500", taken)
    assert split_description(name, join_description(name, title, description)) == (
        title,
        description,
    )


@given(TITLES, st.text(max_size=60))
def test_an_edited_title_comes_back_under_any_name(title: str, description: str) -> None:
    joined = join_description("some-name", title, description)
    assert split_description("some-name", joined) == (title, description)
    assert joined.partition("\n")[0] in {title, description.partition("\n")[0]}


@given(st.text(max_size=60))
def test_without_a_title_the_description_comes_back(description: str) -> None:
    assert split_description("n1", join_description("n1", "", description)) == ("n1", description)


def test_the_description_of_another_tool_stays_whole() -> None:
    text = "Debian 12.12 to 13.1.\nnginx is green."
    assert split_description("s1", text) == ("s1", text)


@given(st.text("ab-2", min_size=1, max_size=4), st.sets(st.text("ab-2", max_size=5), max_size=30))
def test_unique_names_are_free_and_within_the_limit(wanted: str, taken: set[str]) -> None:
    assert unique_name(wanted, taken) not in taken
    long = wanted * NAME_LIMIT
    assert len(unique_name(long[:NAME_LIMIT], {long[:NAME_LIMIT]})) <= NAME_LIMIT
