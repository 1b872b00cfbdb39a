"""What is known of image files: chains, what is wrong with them, and what nobody can know."""

import itertools
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.storage import ImageFile, Storage


def storage(backing: dict[str, str | None], **folders: int) -> Storage:
    """Images of those backing files, in folders of which so much is free."""
    images = {path: ImageFile(path, "qcow2", below) for path, below in backing.items()}
    free = {f"/{name}": size for name, size in folders.items()} or {"/a": 100}
    return Storage(MappingProxyType(images), MappingProxyType(free))


def paths(found: tuple[ImageFile, ...]) -> list[str]:
    return [image.path for image in found]


LINE = {"/a/2": "/a/1", "/a/1": "/a/0", "/a/0": None}


def test_a_chain_is_followed_down_to_its_base() -> None:
    there = storage(LINE)
    assert paths(there.chain("/a/2")) == ["/a/2", "/a/1", "/a/0"]
    assert there.chain("/a/other") == ()
    assert there.fault("/a/2") == ""


@pytest.mark.parametrize(
    ("backing", "said"),
    [
        ({}, "/a/2 is missing"),
        ({"/a/2": "/a/1"}, "needs /a/1, which is missing"),
        ({"/a/2": "/a/1", "/a/1": "/a/2"}, "loop"),
        ({"/a/2": "/a/2"}, "loop"),
        ({"/a/2": "json:{}"}, "no plain path: json:{}"),
        ({"/a/2": "nbd://host/x"}, "no plain path"),
        ({"/a/2": "1"}, "no plain path"),
    ],
)
def test_what_is_wrong_with_a_chain_is_said(backing: dict[str, str | None], said: str) -> None:
    assert said in storage(backing).fault("/a/2")


def test_what_lies_in_a_folder_that_nobody_can_look_into_is_not_called_missing() -> None:
    there = storage({"/a/2": "/b/1"})
    assert there.fault("/a/2") == ""
    assert there.fault("/b/1") == ""
    assert there.is_unread("/b/1")
    assert not there.is_unread("/a/gone")
    closed = Storage(free_bytes={"/a": 1}, unreadable=frozenset({"/a"}))
    assert closed.is_unread("/a/1")


def test_only_images_of_which_that_is_known_lie_on_one() -> None:
    there = storage({**LINE, "/a/3": "/a/1", "/a/4": "json:/a/1"})
    assert there.overlays("/a/1") == {"/a/2", "/a/3"}
    assert there.overlays("/a/2") == frozenset()


@pytest.mark.parametrize(
    "backing",
    [
        'json:{"driver":"qcow2","file":{"driver":"file","filename":"/a/1"}}',
        'json:{"file.filename":"/b/../a/1"}',
        r'json:{"file":[{"x":"\u002fa\u002f1"}]}',
        "json:{",
        f"json:{'[' * 100_000}",
        "file:/a/1",
        "file:///a/%31",
        "1",
        "nbd+unix:///1?socket=/x",
    ],
)
def test_an_image_that_names_another_in_a_way_of_its_own_may_lie_on_it(backing: str) -> None:
    there = storage({**LINE, "/a/4": backing})
    assert there.doubtful_overlays("/a/1") == {"/a/4"}
    assert there.doubtful_overlays("/a/4") == frozenset()


def test_other_names_and_plain_paths_are_no_doubtful_overlays() -> None:
    there = storage({**LINE, "/a/4": 'json:{"driver":"nbd","path":["/b/x"]}', "/a/5": "nbd://h/x"})
    assert there.doubtful_overlays("/a/1") == frozenset()


def test_free_space_is_that_of_the_folder_and_unknown_elsewhere() -> None:
    there = storage(LINE, a=5, b=7)
    assert there.free_beside("/a/new") == 5
    assert there.free_beside("/b/new") == 7
    assert there.free_beside("/c/new") is None


NAMES = st.sampled_from([f"/a/{n}" for n in range(5)])
HOSTILE = st.dictionaries(NAMES, st.one_of(st.none(), NAMES, st.just("json:{}"), st.just("x")))


@given(HOSTILE, NAMES)
def test_whatever_headers_say_following_them_ends_and_is_whole_or_faulty(
    backing: dict[str, str | None], path: str
) -> None:
    there = storage(backing)
    chain = there.chain(path)
    assert len(set(paths(chain))) == len(chain) <= len(backing)
    for upper, lower in itertools.pairwise(chain):
        assert upper.backing == lower.path
    is_whole = bool(chain) and chain[-1].backing is None
    assert (there.fault(path) == "") is is_whole
