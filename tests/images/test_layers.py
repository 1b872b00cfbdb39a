"""Layers of chains, against qemu-img map and what really happens when they are joined."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapview.images.extents import Extents
from snapview.images.layers import (
    Layer,
    cache_need,
    freed_bytes,
    layer_of,
    mean_read_depth,
    merge,
    pull,
)
from snapview.images.qcow2 import Qcow2
from snapview.images.source import BadImage, FileSource
from snapview.images.usage import usage_of
from tests.images import qemu

MIB = 1 << 20
FORMATS: list[dict[str, Any]] = [
    {},
    {"cluster_size": "4k"},
    {"cluster_size": 512},
    {"cluster_size": "2M"},
    {"cluster_size": "16k", "extended_l2": "on"},
    {"cluster_size": "128k", "extended_l2": "on"},
    {"compat": "0.10"},
]
IDS = ["64k", "4k", "512", "2M", "16k-sub", "128k-sub", "v2"]


def read(path: Path, state: int = 0) -> Layer:
    with FileSource(path) as source:
        image = Qcow2(source)
        return layer_of(image, state, usage_of(image).allocated_bytes)


def allocated(path: Path) -> int:
    with FileSource(path) as source:
        size = usage_of(Qcow2(source)).allocated_bytes
    assert size is not None
    return size


def refcount_block_bytes(path: Path) -> int:
    with FileSource(path) as source:
        image = Qcow2(source)
        return int(np.count_nonzero(image.refcount_blocks())) * image.header.cluster_bytes


def lists(extents: Extents) -> list[tuple[int, int]]:
    return list(zip(extents.starts.tolist(), extents.ends.tolist(), strict=True))


def joined(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for start, end in found:
        if out and out[-1][1] == start:
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return out


def from_map(path: Path, *, data: bool, depth: int = 0) -> list[tuple[int, int]]:
    return joined(
        [
            (each["start"], each["start"] + each["length"])
            for each in qemu.mapped(path)
            if each["present"] and each["data"] == data and each["depth"] == depth
        ]
    )


def commands(kind: str, place: int, length: int) -> str:
    told = {
        "data": f"write -P {place % 254 + 1}",
        "zero": "write -z",
        "unmap": "write -z -u",
        "discard": "discard",
        "compressed": f"write -c -P {place % 254 + 1}",
    }[kind]
    return f"{told} {place} {length}"


writes = st.lists(
    st.tuples(
        st.sampled_from(["data", "data", "data", "zero", "unmap", "discard"]),
        st.integers(0, 1000),
        st.integers(1, 200),
    ),
    min_size=1,
    max_size=12,
)
a_few = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def write(path: Path, some: list[tuple[str, int, int]], grain: int = 4096) -> None:
    size = 4 * MIB
    qemu.io(
        path,
        *(
            commands(kind, place * grain % size, min(length * grain, size - place * grain % size))
            for kind, place, length in some
        ),
    )


def new(path: Path) -> Path:
    path.unlink(missing_ok=True)
    return path


@pytest.mark.parametrize("options", FORMATS, ids=IDS)
@a_few
@given(some=writes)
def test_what_a_layer_holds_is_what_qemu_maps(
    tmp_path: Path, options: dict[str, Any], some: list[tuple[str, int, int]]
) -> None:
    path = qemu.create(new(tmp_path / "a.qcow2"), "4M", **options)
    write(path, some)
    layer = read(path)
    assert lists(layer.data) == from_map(path, data=True)
    assert lists(layer.zeros) == from_map(path, data=False)


@pytest.mark.parametrize("kind", ["zlib", "zstd"])
def test_compressed_clusters_are_data(tmp_path: Path, kind: str) -> None:
    plain = qemu.create(tmp_path / "plain.qcow2", "4M")
    qemu.io(plain, "write -P 3 1M 1M", "write -P 4 3M 64k")
    path = tmp_path / "small.qcow2"
    qemu.img("convert", "-c", "-O", "qcow2", "-o", f"compression_type={kind}", plain, path)
    layer = read(path)
    assert lists(layer.data) == [(MIB, 2 * MIB), (3 * MIB, 3 * MIB + 65536)]
    assert layer.writable.total_bytes == 0


def test_the_data_of_a_data_file(tmp_path: Path) -> None:
    data = tmp_path / "data.raw"
    path = qemu.create(tmp_path / "a.qcow2", "4M", data_file=data)
    qemu.io(path, "write -P 3 0 64k", "write -P 4 2M 128k", "write -z 3M 64k")
    layer = read(path)
    assert lists(layer.data) == [(0, 65536), (2 * MIB, 2 * MIB + 131072)]
    assert lists(layer.data) == from_map(path, data=True)


def test_a_snapshot_holds_what_the_disk_held(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "4M")
    qemu.io(path, "write -P 1 0 64k")
    qemu.snapshot(path, "one")
    qemu.io(path, "write -P 2 1M 64k")
    assert lists(read(path, 1).data) == [(0, 65536)]
    assert lists(read(path).data) == [(0, 65536), (MIB, MIB + 65536)]
    qemu.img("snapshot", "-a", "one", path)
    assert lists(read(path).data) == from_map(path, data=True) == [(0, 65536)]


@pytest.mark.parametrize("options", FORMATS, ids=IDS)
@a_few
@given(below=writes, above=writes, has_snapshot=st.booleans())
def test_merging_grows_the_base_by_what_is_said(
    tmp_path: Path,
    options: dict[str, Any],
    below: list[tuple[str, int, int]],
    above: list[tuple[str, int, int]],
    has_snapshot: bool,
) -> None:
    base = qemu.create(new(tmp_path / "base.qcow2"), "4M", **options)
    write(base, below)
    if has_snapshot:
        qemu.snapshot(base, "one")
    top = qemu.create(new(tmp_path / "top.qcow2"), "4M", base=base, **options)
    write(top, [each for each in above if each[0] == "data"])
    said = merge(read(top), read(base))
    before, blocks = allocated(base), refcount_block_bytes(base)
    whole = read(top).file_bytes
    assert whole is not None
    qemu.img("commit", "-q", top)
    grown = allocated(base) - before - (refcount_block_bytes(base) - blocks)
    assert said.extra_bytes == grown
    assert said.freed_bytes == whole - grown


@a_few
@given(below=writes, middle=writes, above=writes)
def test_pulling_grows_the_overlay_by_what_is_said(
    tmp_path: Path,
    below: list[tuple[str, int, int]],
    middle: list[tuple[str, int, int]],
    above: list[tuple[str, int, int]],
) -> None:
    paths = [new(tmp_path / f"{name}.qcow2") for name in ("base", "middle", "top")]
    base: Path | None = None
    for path, some in zip(paths, (below, middle, above), strict=True):
        qemu.create(path, "4M", base=base)
        write(path, [each for each in some if each[0] == "data"], 65536)
        base = path
    top = paths[2]
    said = pull(read(top), [read(paths[1]), read(paths[0])])
    before = allocated(top)
    qemu.img("rebase", "-b", "", top)
    assert allocated(top) - before == said.extra_bytes
    assert lists(read(top).data) == from_map(top, data=True)


@a_few
@given(some=st.lists(writes, min_size=1, max_size=5))
def test_mean_depth_is_that_of_qemus_map(
    tmp_path: Path, some: list[list[tuple[str, int, int]]]
) -> None:
    base: Path | None = None
    chain: list[Layer] = []
    for number, each in enumerate(some):
        path = qemu.create(new(tmp_path / f"{number}.qcow2"), "4M", base=base)
        write(path, each)
        chain.insert(0, read(path))
        base = path
    assert base is not None
    found = [each for each in qemu.mapped(base) if each["present"]]
    total = sum(each["length"] for each in found)
    depth = mean_read_depth(chain)
    if not total:
        assert depth is None
    else:
        assert depth == pytest.approx(
            sum(each["length"] * each["depth"] for each in found) / total, abs=1e-9
        )


def span(start: int, end: int) -> Extents:
    return Extents.of(np.array([start]), np.array([end]))


def test_mean_depth_of_a_known_chain() -> None:
    top, middle = Layer(100, span(0, 10)), Layer(100, span(5, 30), span(30, 40))
    base = Layer.raw(100)
    # 10 bytes at depth 0, 30 at 1, 60 at 2
    assert mean_read_depth([top, middle, base]) == pytest.approx(1.5)
    assert mean_read_depth([Layer(100, span(0, 0))]) is None


def test_holes_of_a_raw_layer_are_zeros() -> None:
    layer = Layer.raw(100, span(20, 30))
    assert lists(layer.zeros) == [(0, 20), (30, 100)]
    assert lists(Layer.raw(100).data) == [(0, 100)]


def grown_tree(tmp_path: Path) -> tuple[dict[str, Path], dict[str, str | None]]:
    """A base, a chain of two on it, and from the first a second branch."""
    parents: dict[str, str | None] = {"base": None, "a": "base", "b": "a", "c": "b", "d": "a"}
    paths: dict[str, Path] = {}
    for number, (name, parent) in enumerate(parents.items()):
        paths[name] = qemu.create(
            tmp_path / f"{name}.qcow2", "8M", base=paths[parent] if parent else None
        )
        qemu.io(
            paths[name], f"write -P {number + 1} {number * 256}k 1M", f"write -P 9 {number}M 1M"
        )
    return paths, parents


@pytest.mark.parametrize(
    "given_up",
    [["d"], ["c", "d"], ["b"], ["a", "d"], ["b", "d"], ["a", "b", "d"], ["base", "a", "b", "d"]],
    ids="+".join,
)
def test_freed_in_a_tree_is_what_joining_really_frees(tmp_path: Path, given_up: list[str]) -> None:
    paths, parents = grown_tree(tmp_path)
    layers = {name: read(path) for name, path in paths.items()}
    said = freed_bytes(layers, parents, given_up)
    before = sum(allocated(path) for path in paths.values())
    kept = dict(parents)
    gone = set(given_up)
    while True:  # leaves that are given up go; one whose single child is kept takes that in
        children = {name: [c for c in kept if kept[c] == name] for name in kept}
        leaf = next((n for n in gone if n in kept and not children[n]), None)
        if leaf is not None:
            del kept[leaf]
            continue
        ready = (n for n in gone if n in kept and len(children[n]) == 1)
        single = next((n for n in ready if children[n][0] not in gone), None)
        if single is None:
            break
        (child,) = children[single]
        qemu.img("commit", "-q", "-d", paths[child])
        for name in children[child]:
            qemu.img("rebase", "-u", "-b", paths[single], "-F", "qcow2", paths[name])
            kept[name] = single
        del kept[child]
        gone.remove(single)  # its file holds the child's state now
    assert said == before - sum(allocated(paths[name]) for name in kept)


def test_freed_is_unknown_where_a_size_is() -> None:
    layers = {"a": Layer.raw(100), "b": Layer(100, span(0, 10))}
    assert freed_bytes(layers, {"a": None, "b": "a"}, ["b"]) is None
    assert freed_bytes(layers, {"a": None, "b": "a"}, []) == 0


def test_layers_that_several_need_stay(tmp_path: Path) -> None:
    paths, parents = grown_tree(tmp_path)
    layers = {name: read(path) for name, path in paths.items()}
    assert freed_bytes(layers, parents, ["a"]) == 0


def test_cache_need_of_a_large_disk(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "1T")
    with FileSource(path) as source:
        need = cache_need(Qcow2(source).header)
    assert need.l2_bytes == 32 * MIB
    assert need.covered_bytes == 256 << 30
    assert need.worst_bytes == 32 * MIB + 4 * 65536


def test_cache_need_with_subclusters(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "1T", extended_l2="on", cluster_size="128k")
    with FileSource(path) as source:
        assert cache_need(Qcow2(source).header).covered_bytes == 256 << 30
        assert cache_need(Qcow2(source).header, 1 * MIB).covered_bytes == 8 << 30


def test_a_small_disk_is_covered(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "8G")
    with FileSource(path) as source:
        need = cache_need(Qcow2(source).header)
    assert need.covered_bytes == 8 << 30
    assert need.l2_bytes == MIB


def test_subclusters_that_are_data_and_zeros_at_once_are_refused(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "4M", extended_l2="on", cluster_size="16k")
    qemu.io(path, "write -P 3 0 4k")
    with FileSource(path) as source:
        image = Qcow2(source)
        at = int(image.l1(0).offsets[0]) + 8
    copy = tmp_path / "b.qcow2"
    shutil.copy(path, copy)
    with copy.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 8)
    with FileSource(copy) as source, pytest.raises(BadImage, match="subclusters"):
        layer_of(Qcow2(source))
