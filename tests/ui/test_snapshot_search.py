"""What a search finds, and where in a text."""

from snapview.ui.snapshot_search import SnapshotSearch
from tests.ui.views import pictured_tree, view_of


def test_names_titles_and_descriptions_are_searched() -> None:
    search, view = SnapshotSearch(), view_of(pictured_tree())
    assert search.search("http3", view) == 1
    assert search.search("HTTP/3 enabled", view) == 1
    assert search.search("debian", view) == 1
    assert search.finds("clean")
    assert not search.finds(None)


def test_no_text_dims_nothing() -> None:
    search = SnapshotSearch()
    assert search.search("  ", view_of(pictured_tree())) == 0
    assert not search.dims("clean")


def test_others_are_dimmed() -> None:
    search = SnapshotSearch()
    search.search("debian", view_of(pictured_tree()))
    assert search.dims("tuned")
    assert search.dims(None)
    assert not search.dims("clean")


def test_without_a_vm_nothing_is_found() -> None:
    assert SnapshotSearch().search("x", None) == 0


def test_spans() -> None:
    search = SnapshotSearch()
    assert search.spans("anything") == []
    search.search("AB", None)
    assert search.spans("xabAby") == [(1, 2), (3, 2)]
    assert search.spans("ßab") == []  # lower case has another length there
