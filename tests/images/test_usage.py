"""Who needs which clusters, against a plain walk and against what deleting really frees."""

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from snapview.images.qcow2 import Qcow2
from snapview.images.source import BadImage, FileSource
from snapview.images.usage import Usage, usage_of
from tests.images import qemu
from tests.images.brute_force import Walked

SIZE = 4 << 20
FORMATS: list[dict[str, Any]] = [
    {},
    {"cluster_size": "4k"},
    {"cluster_size": 512},
    {"cluster_size": "2M"},
    {"cluster_size": "16k", "extended_l2": "on"},
    {"cluster_size": "4k", "refcount_bits": 8},
    {"cluster_size": "4k", "refcount_bits": 32},
    {"cluster_size": "64k", "refcount_bits": 64},
    {"cluster_size": "64k", "refcount_bits": 4},
    {"compat": "0.10"},
    {"cluster_size": "4k", "compression_type": "zstd"},
]


def name_of(options: dict[str, Any]) -> str:
    return "-".join(str(each) for each in options.values()) or "default"


def usage(path: Path) -> Usage:
    with FileSource(path) as source:
        return usage_of(Qcow2(source))


kinds = ["data"] * 6 + [
    "zero",
    "discard",
    "compressed",
    "snapshot",
    "snapshot",
    "snapshot",
    "revert",
    "delete",
]
steps = st.lists(
    st.tuples(st.sampled_from(kinds), st.integers(0, 1000), st.integers(1, 60)),
    min_size=8,
    max_size=30,
)


def write(path: Path, commands: list[str]) -> None:
    """Let QEMU write; 7.2 may trip over itself where compressed clusters were written over."""
    try:
        qemu.io(path, *commands)
    except AssertionError as error:
        if "Marking image as corrupt" in str(error):
            reject()
        raise


def grow(path: Path, some: list[tuple[str, int, int]], cluster: int, most_snapshots: int) -> None:
    """Do these steps to an image; several writes in one call of qemu-io."""
    waiting: list[str] = []
    names: list[str] = []
    made = 0
    for kind, place, length in [*some, ("end", 0, 0)]:
        at = place * 4096 % SIZE
        size = min(length * 4096, SIZE - at)
        if kind == "data":
            waiting.append(f"write -P {place % 254 + 1} {at} {size}")
        elif kind == "zero":
            waiting.append(f"write -z {'-u ' if place % 2 else ''}{at} {size}")
        elif kind == "discard":
            waiting.append(f"discard {at} {size}")
        elif kind == "compressed":
            at = at // cluster * cluster
            # QEMU compresses nothing into a cluster that is in use.
            waiting.append(f"discard {at} {cluster}")
            waiting.append(f"write -c -P {place % 254 + 1} {at} {cluster}")
        else:
            write(path, waiting)
            waiting.clear()
            if kind == "snapshot" and len(names) < most_snapshots:
                names.append(f"s{made}")
                made += 1
                qemu.snapshot(path, names[-1])
            elif kind == "revert" and names:
                qemu.img("snapshot", "-a", names[place % len(names)], path)
            elif kind == "delete" and names:
                qemu.delete(path, [names.pop(place % len(names))])


@pytest.mark.parametrize("options", FORMATS, ids=name_of)
@settings(
    max_examples=28,  # 308 images in all
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(some=steps, chosen=st.integers(0, (1 << 12) - 1))
def test_shares_are_those_of_a_plain_walk_and_freed_is_what_goes(
    tmp_path: Path, options: dict[str, Any], some: list[tuple[str, int, int]], chosen: int
) -> None:
    path = tmp_path / "a.qcow2"
    path.unlink(missing_ok=True)
    qemu.create(path, str(SIZE), **options)
    with FileSource(path) as source:
        cluster = Qcow2(source).header.cluster_bytes
    grow(path, some, cluster, 12)
    said, truth = usage(path), Walked(path)
    assert dict(said.shares) == truth.shares()
    assert said.metadata_bytes == len(truth.image) * cluster
    assert said.allocated_bytes == truth.taken()
    assert said.leaked_bytes == qemu.check(path).get("leaks", 0) * cluster
    assert said.uncounted_bytes == 0
    states = range(1, len(said.snapshots) + 1)
    for state in states:
        assert said.exclusive_bytes(state) == truth.freed({state})
        assert said.state_bytes(state) == len(truth.states[state]) * cluster
    selected = [state for state in states if chosen >> state & 1]
    copy = tmp_path / "b.qcow2"
    shutil.copy(path, copy)
    qemu.delete(copy, [said.snapshots[state - 1].name for state in selected])
    assert said.freed_bytes(selected) == truth.taken() - Walked(copy).taken()
    assert not qemu.check(copy).get("leaks")


@pytest.mark.parametrize("refcount_bits", [1, 2, 4, 8, 16, 32, 64])
def test_any_width_of_refcounts(tmp_path: Path, refcount_bits: int) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "8M", refcount_bits=refcount_bits)
    qemu.io(path, "write -P 1 0 1M", "write -P 2 3M 192k")
    if refcount_bits > 1:
        qemu.snapshot(path, "one")
        qemu.io(path, "write -P 3 512k 1M")
    said, truth = usage(path), Walked(path)
    assert said.allocated_bytes == truth.taken()
    assert dict(said.shares) == truth.shares()
    assert (said.leaked_bytes, said.uncounted_bytes) == (0, 0)


def test_many_snapshots_need_more_bits_than_a_word_has(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "8M", cluster_size="4k")
    chance = random.Random(7)
    for number in range(90):
        qemu.io(path, *(f"write -P {number} {chance.randrange(2000) * 4}k 12k" for _ in range(3)))
        qemu.snapshot(path, f"s{number}")
        if number % 25 == 24:
            qemu.img("snapshot", "-a", f"s{chance.randrange(number)}", path)
    said, truth = usage(path), Walked(path)
    assert dict(said.shares) == truth.shares()
    selected = sorted(chance.sample(range(1, 91), 40))
    qemu.delete(path, [said.snapshots[state - 1].name for state in selected])
    assert said.freed_bytes(selected) == truth.taken() - Walked(path).taken()


def test_the_file_really_shrinks_by_what_is_freed(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "64M")
    for number in range(4):
        qemu.io(
            path, f"write -P {number + 1} {number * 3}M 8M", f"write -P 9 {number * 7 + 20}M 1M"
        )
        qemu.snapshot(path, f"s{number}")
    for names in (["s1"], ["s0", "s3"]):
        said = usage(path)
        states = [n for n, each in enumerate(said.snapshots, 1) if each.name in names]
        before = path.stat().st_blocks * 512
        qemu.delete(path, names)
        freed = before - path.stat().st_blocks * 512
        assert abs(said.freed_bytes(states) - freed) <= 65536 * len(names)


@pytest.mark.parametrize("options", [{}, {"cluster_size": "16k", "extended_l2": "on"}], ids=name_of)
def test_saved_memory_is_part_of_a_snapshot(tmp_path: Path, options: dict[str, Any]) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "8M", **options)
    qemu.io(path, "write -P 1 0 1M")
    qemu.save_memory(path, "one")
    qemu.io(path, "write -P 2 0 192k")
    said, truth = usage(path), Walked(path)
    assert dict(said.shares) == truth.shares()
    saved = said.snapshots[0].vm_state_bytes
    assert 0 < said.memory_bytes[0] - saved < 4 * said.cluster_bytes + saved // 100
    tables = 3 * said.cluster_bytes  # its L1 table, and one L2 table or two
    assert said.exclusive_bytes(1) - said.memory_bytes[0] - 196608 in range(1, tables)
    qemu.delete(path, ["one"])
    assert said.freed_bytes([1]) == truth.taken() - Walked(path).taken()


def test_freed_together_is_more_than_the_sum(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "8M")
    qemu.io(path, "write -P 1 0 2M")
    qemu.snapshot(path, "one")
    qemu.snapshot(path, "two")
    qemu.io(path, "write -P 2 0 2M")
    said = usage(path)
    assert said.freed_bytes([1]) == said.freed_bytes([2]) == 65536  # an L1 table each
    assert said.freed_bytes([1, 2]) == (2 << 20) + 4 * 65536  # and an L2 table, and their list
    assert said.freed_bytes([]) == 0
    with pytest.raises(ValueError, match="active"):
        said.freed_bytes([0, 1])


def test_compressed_clusters_that_share_a_host_cluster(tmp_path: Path) -> None:
    plain = qemu.create(tmp_path / "plain.qcow2", "8M")
    qemu.io(plain, *(f"write -P {n + 1} {n * 64}k 64k" for n in range(100)))
    path = tmp_path / "a.qcow2"
    qemu.img("convert", "-c", "-O", "qcow2", plain, path)
    qemu.snapshot(path, "one")
    qemu.io(path, "write -P 7 0 3M")  # half of them are the snapshot's alone now
    said, truth = usage(path), Walked(path)
    assert dict(said.shares) == truth.shares()
    qemu.delete(path, ["one"])
    assert said.freed_bytes([1]) == truth.taken() - Walked(path).taken()


def test_bitmaps_are_metadata(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "64M")
    empty = usage(path)
    assert empty.bitmap_bytes == 0
    for name in ("one", "two"):
        qemu.img("bitmap", "--add", "--enable", "-g", "64k", path, name)
    qemu.io(path, "write -P 1 0 1M")
    said, truth = usage(path), Walked(path)
    assert said.metadata_bytes == len(truth.image) * 65536
    assert said.metadata_bytes - empty.metadata_bytes == said.bitmap_bytes == 5 * 65536
    assert said.leaked_bytes == 0


def test_an_encryption_header_is_metadata(tmp_path: Path) -> None:
    path = qemu.create_encrypted(tmp_path / "a.qcow2", "8M")
    said = usage(path)
    assert said.metadata_bytes == len(Walked(path).image) * 65536
    assert said.leaked_bytes == said.uncounted_bytes == 0


def test_a_data_file_is_not_counted(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "8M", data_file=tmp_path / "data.raw")
    qemu.io(path, "write -P 1 0 4M")
    said = usage(path)
    assert dict(said.shares) == Walked(path).shares() == {1: 2 * 65536}
    assert said.leaked_bytes == 0


def test_refcounts_of_a_dirty_image_say_nothing(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "8M")
    with path.open("r+b") as file:
        file.seek(79)
        file.write(b"\x01")
    said = usage(path)
    assert (said.allocated_bytes, said.leaked_bytes, said.uncounted_bytes) == (None, None, None)
    assert said.state_bytes(0) == 65536


def test_leaks_are_found(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "8M")
    qemu.io(path, "write -P 1 0 256k")
    with FileSource(path) as source:
        image = Qcow2(source)
        table_at = int(image.l1(0).offsets[0])
    with path.open("r+b") as file:
        file.seek(table_at)
        file.write(bytes(16))  # two clusters that nothing refers to any more
    assert usage(path).leaked_bytes == qemu.check(path)["leaks"] * 65536 == 2 * 65536


def test_a_cluster_that_is_metadata_and_data_is_refused(tmp_path: Path) -> None:
    path = qemu.create(tmp_path / "a.qcow2", "8M")
    qemu.io(path, "write -P 1 0 64k")
    with FileSource(path) as source:
        image = Qcow2(source)
        table_at = int(image.l1(0).offsets[0])
        refcounts_at = image.header.refcount_table.offset
    with path.open("r+b") as file:
        file.seek(table_at)
        file.write((refcounts_at | 1 << 63).to_bytes(8, "big"))
    with pytest.raises(BadImage, match="both"):
        usage(path)
