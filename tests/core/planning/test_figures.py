"""Figures are exact or bounds: against images whose overlap is drawn, and known here only."""

from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from snapview.core.planning.figures import Figures, Span
from snapview.core.storage import ImageFile, Storage

MIB = 1 << 20
CAPACITY = 12


def storage(sizes: dict[str, int | None], **changes: object) -> Storage:
    images = {
        path: ImageFile(path, "qcow2", capacity_bytes=CAPACITY * MIB, allocation_bytes=size)
        for path, size in sizes.items()
    }
    return Storage(MappingProxyType(images), MappingProxyType({"/a": MIB}), **changes)  # type: ignore[arg-type]  # of any sort


def test_spans_keep_their_bounds() -> None:
    assert Span(1, 2).plus(Span(3, 5)) == Span(4, 7)
    assert Span(1, 2).minus(Span(3, 5)) == Span(-4, -1)


def test_without_storage_all_is_unknown() -> None:
    figures = Figures(None)
    figures.copy(("/a/top",), "/a/base")
    figures.remove("/a/top")
    known = (figures.copied_bytes, figures.extra_bytes, figures.freed_bytes, figures.seconds)
    assert known == (None, None, None, None)
    assert figures.needs() == ()


def test_what_is_unknown_of_one_file_is_unknown_of_all() -> None:
    figures = Figures(storage({"/a/1": 5, "/a/2": None}))
    figures.copy(("/a/1",), "/a/2")
    assert (figures.copied_bytes, figures.extra_bytes) == (5, None)
    figures.copy(("/a/2",), "/a/1")
    assert (figures.copied_bytes, figures.freed_bytes) == (None, None)


def test_nothing_done_is_nothing_needed() -> None:
    figures = Figures(storage({"/a/1": 5}))
    assert (figures.copied_bytes, figures.extra_bytes, figures.freed_bytes) == (0, 0, 0)


def test_a_removed_file_frees_what_it_takes_and_only_once() -> None:
    figures = Figures(storage({"/a/1": 5, "/a/2": 7}))
    figures.remove("/a/1")
    figures.remove("/a/1")
    assert figures.freed_bytes == 5
    figures.free_inside()
    assert figures.freed_bytes is None


def test_the_time_is_that_of_the_speed_measured() -> None:
    figures = Figures(storage({"/a/1": 6 * MIB, "/a/2": 0}, copy_bytes_per_second=2.0 * MIB))
    figures.copy(("/a/1",), "/a/2")
    assert figures.seconds == 3


def test_the_need_is_that_of_the_worst_moment_in_each_folder() -> None:
    figures = Figures(storage({"/a/1": 6 * MIB, "/a/2": 2 * MIB, "/b/3": 0}))
    figures.copy(("/a/1",), "/a/2")
    figures.remove("/a/1")
    figures.copy(("/a/2",), "/b/3")
    needs = {need.beside: (need.least_bytes, need.most_bytes) for need in figures.needs()}
    assert needs["/a/2"] == (4 * MIB, 6 * MIB)
    assert needs["/b/3"] == (6 * MIB, 8 * MIB)


CLUSTERS = st.frozensets(st.integers(0, CAPACITY - 1))
IMAGES = [f"/a/{n}" for n in range(4)]
ACTS = st.lists(
    st.tuples(st.sampled_from(IMAGES), st.sampled_from(IMAGES), st.booleans()), max_size=8
)


@given(st.lists(CLUSTERS, min_size=4, max_size=4), ACTS)
def test_what_really_happens_is_within_the_bounds(
    contents: list[frozenset[int]], acts: list[tuple[str, str, bool]]
) -> None:
    held = dict(zip(IMAGES, map(set, contents), strict=True))
    figures = Figures(storage({path: len(held[path]) * MIB for path in IMAGES}))
    start = taken = peak = sum(map(len, held.values()))
    copied = 0
    for source, into, removes in acts:
        if removes:
            figures.remove(source)
            held[source] = set()
        elif source != into:
            figures.copy((source,), into)
            copied += len(held[source])
            held[into] |= held[source]
        taken = sum(map(len, held.values()))
        peak = max(peak, taken)
    assert figures.copied_bytes is not None
    assert figures.extra_bytes is not None
    assert copied * MIB <= figures.copied_bytes
    assert (peak - start) * MIB <= figures.extra_bytes
    assert figures.freed_bytes in {None, (start - taken) * MIB}
    for need in figures.needs():
        assert need.least_bytes <= (peak - start) * MIB <= need.most_bytes
