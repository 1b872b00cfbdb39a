"""Trees of any metadata, however broken, against oracles that do it the slow and obvious way."""

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapview.core.storage import ImageFile, Storage
from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    RunState,
    Snapshot,
    SnapshotTree,
)
from tests.trees import branching_tree, linear_tree, make_snapshot, make_vm, random_tree, tree_of

NAMES = ["a", "b", "c", "d", "e", "", " ", "ä", "e\u0301", "\u202ex", "x" * 300, "<b>", "a\nb"]
SNAPSHOTS = st.lists(
    st.builds(
        Snapshot,
        name=st.sampled_from(NAMES),
        title=st.sampled_from(["", "a", "t"]),
        parent=st.none() | st.sampled_from([*NAMES, "missing"]),
        created_at=st.integers(0, 3).map(lambda n: datetime.fromtimestamp(n, tz=UTC)),
    ),
    max_size=20,
)


def firsts(snapshots: list[Snapshot]) -> dict[str, Snapshot]:
    """The first snapshot of each name."""
    found: dict[str, Snapshot] = {}
    for snapshot in snapshots:
        if snapshot.name not in found:
            found[snapshot.name] = snapshot
    return found


def cycles(by_name: dict[str, Snapshot]) -> set[frozenset[str]]:
    """Every cycle of parents, found by walking from each snapshot as often as there are any."""
    found = set()
    for name in by_name:
        at: str | None = name
        for _ in by_name:
            at = by_name[at].parent if at in by_name else None
        if at is None or at not in by_name:
            continue
        members = [at]  # after so many steps we are within a cycle
        while (up := by_name[members[-1]].parent) != at:
            assert up is not None
            members.append(up)
        found.add(frozenset(members))
    return found


@given(SNAPSHOTS, st.none() | st.sampled_from([*NAMES, "missing"]))
@example([Snapshot("a", parent="a")], "a")
@example([Snapshot("a", parent="b"), Snapshot("b", parent="a"), Snapshot("c", parent="a")], "c")
def test_a_tree_holds_each_snapshot_once_whatever_the_metadata_say(
    snapshots: list[Snapshot], current: str | None
) -> None:
    by_name = firsts(snapshots)
    tree = SnapshotTree(snapshots, current)
    assert {s.name: s for s in tree} == by_name
    assert tree.current == (current if current in by_name else None)
    assert tree.orphans == {
        s.name for s in by_name.values() if s.parent is not None and s.parent not in by_name
    }
    loops = cycles(by_name)
    assert tree.cut == {
        min(loop, key=lambda name: (by_name[name].created_at, name)) for loop in loops
    }
    placed = [name for root in tree.roots for name in tree.subtree(root)]
    assert sorted(placed) == sorted(by_name)


@given(SNAPSHOTS, st.none() | st.sampled_from(NAMES))
def test_family_relations_agree_with_each_other(
    snapshots: list[Snapshot], current: str | None
) -> None:
    tree = SnapshotTree(snapshots, current)
    names = {s.name for s in tree}
    for name in names:
        above = tree.ancestors(name)
        assert above[:1] == ((tree.parent(name),) if tree.parent(name) is not None else ())
        assert tree.subtree(name)[0] == name
        assert set(tree.subtree(name)) == {
            n for n in names if name == n or name in tree.ancestors(n)
        }
        assert name not in above
        assert (above[-1] if above else name) in tree.roots
        assert set(tree.children(name)) == {n for n in names if tree.parent(n) == name}
    for siblings in (tree.roots, *map(tree.children, names)):
        assert list(siblings) == sorted(siblings, key=lambda n: (tree[n].created_at, n))
    if tree.current is not None:
        assert tree.live_path() == (tree.current, *tree.ancestors(tree.current))
    else:
        assert tree.live_path() == ()


@given(SNAPSHOTS, SNAPSHOTS)
def test_trees_are_equal_when_what_they_hold_is(one: list[Snapshot], two: list[Snapshot]) -> None:
    assert SnapshotTree(one) == SnapshotTree(list(firsts(one).values())[::-1])
    if firsts(one) != firsts(two):
        assert SnapshotTree(one) != SnapshotTree(two)
    else:
        assert hash(SnapshotTree(one)) == hash(SnapshotTree(two))
    assert SnapshotTree(one) != "a tree"


def test_the_order_of_reading_does_not_matter() -> None:
    snapshots = list(random_tree(60))
    forwards, backwards = SnapshotTree(snapshots), SnapshotTree(reversed(snapshots))
    assert forwards.roots == backwards.roots
    assert all(forwards.children(s.name) == backwards.children(s.name) for s in snapshots)


def test_a_cycle_with_a_tail_is_cut_at_its_oldest_member_only() -> None:
    tree = tree_of([("tail", "c"), ("c", "b"), ("a", "c"), ("b", "a"), ("tip", "tail")])
    assert tree.cut == {"c"}
    assert tree.roots == ("c",)
    assert tree.orphans == frozenset()
    assert tree.subtree("c") == ("c", "tail", "a", "tip", "b")


def test_the_first_of_two_with_one_name_counts() -> None:
    old, new = make_snapshot("x"), replace(make_snapshot("x"), title="second")
    assert SnapshotTree([old, new])["x"] is old


def test_what_is_not_there() -> None:
    tree = branching_tree()
    assert tree.get("nowhere") is None
    assert "nowhere" not in tree
    assert tree.children("nowhere") == ()
    with pytest.raises(KeyError):
        tree["nowhere"]
    assert SnapshotTree().live_path() == ()
    assert len(SnapshotTree()) == 0


def test_find_prefers_the_name_and_tells_all_of_a_title() -> None:
    named = replace(make_snapshot("weekly"), title="other")
    one = replace(make_snapshot("s1"), title="weekly")
    two = replace(make_snapshot("s2"), title="nightly")
    three = replace(make_snapshot("s3"), title="nightly")
    tree = SnapshotTree([named, one, two, three])
    assert tree.find("weekly") == (named,)
    assert tree.find("nightly") == (two, three)
    assert tree.find("Nightly") == ()
    assert tree.find("") == ()


def parent_of(shape: str, number: int, size: int) -> str | None:
    """The parent in a tree in which recursion would go as deep as there are snapshots."""
    if shape == "cycle":
        return f"s{(number - 1) % size}"
    if number == 0:
        return None
    return {"line": f"s{number - 1}", "star": "s0", "random": f"s{7919**2 % number}"}[shape]


@pytest.mark.parametrize("shape", ["line", "star", "cycle", "random"])
def test_ten_thousand_need_no_recursion(shape: str) -> None:
    size = 10 * sys.getrecursionlimit()
    snapshots = [make_snapshot(f"s{n}", parent_of(shape, n, size), number=n) for n in range(size)]
    tree = SnapshotTree(snapshots, f"s{size - 1}")
    assert len(tree.subtree("s0")) == size
    assert tree.live_path()[-1] == "s0"


@pytest.mark.parametrize("shape", ["line", "star", "cycle", "random"])
def test_twice_as_many_are_twice_the_work(shape: str) -> None:
    def lines_run(size: int) -> int:
        """Count the lines of Python that building and walking a tree takes."""
        snapshots = [make_snapshot(f"s{n}", parent_of(shape, n, size)) for n in range(size)]
        count = 0

        def on_event(_frame: FrameType, event: str, _argument: object) -> Any:
            nonlocal count
            count += event == "line"
            return on_event

        before = sys.gettrace()
        sys.settrace(on_event)
        try:
            tree = SnapshotTree(snapshots, f"s{size - 1}")
            tree.subtree("s0")
            tree.live_path()
        finally:
            sys.settrace(before)
        return count

    assert lines_run(1000) < 2.2 * lines_run(500)


@pytest.mark.parametrize(
    ("run_state", "memory", "differs"),
    [
        (RunState.RUNNING, True, True),
        (RunState.RUNNING, False, True),
        (RunState.PAUSED, True, None),  # just reverted, perhaps
        (RunState.PAUSED, False, None),
        (RunState.SUSPENDED, True, None),
        (RunState.CRASHED, True, None),
        (RunState.SHUTOFF, True, True),  # the memory is not there any more
        (RunState.SHUTOFF, False, None),
        (RunState.UNKNOWN, False, None),
    ],
)
def test_the_live_state_differs_when_that_is_certain(
    run_state: RunState, memory: bool, differs: bool | None
) -> None:
    tree = SnapshotTree([replace(make_snapshot("s"), has_memory=memory)], "s")
    assert make_vm(tree=tree, run_state=run_state).live_differs is differs
    without = SnapshotTree(tree)
    assert make_vm(tree=without, run_state=run_state).live_differs is None


def layers(count: int) -> tuple[DiskLayer, ...]:
    return tuple(DiskLayer(f"/images/{n}.qcow2", "qcow2") for n in range(count))


def test_depth_counts_the_overlays_of_disks_that_hold_state() -> None:
    disks = (
        DiskChain("vda", layers(3)),
        DiskChain("vdb", layers(1)),
        DiskChain("vdc", layers(2), is_readonly=True),
        DiskChain("vdd", layers(4), device="lun"),
        DiskChain("sda", layers(2), device="cdrom"),
        DiskChain("fda", (), device="floppy"),
        DiskChain("vde", ()),
    )
    vm = make_vm(disks=disks)
    assert vm.chain_depth == {"vda": 2, "vdb": 0, "vdd": 3}
    assert [disk.target for disk in vm.state_disks] == ["vda", "vdb", "vdd"]
    assert disks[-1].active is None
    assert disks[-1].depth == 0
    assert disks[0].active == layers(1)[0]


@pytest.mark.parametrize(
    ("state", "active"),
    [
        (RunState.RUNNING, True),
        (RunState.PAUSED, True),
        (RunState.SUSPENDED, True),
        (RunState.CRASHED, True),
        (RunState.SHUTOFF, False),
        (RunState.UNKNOWN, False),
    ],
)
def test_an_active_vm_is_one_with_a_process(state: RunState, active: bool) -> None:
    assert state.is_active is active


def test_the_time_of_a_snapshot_orders_siblings_then_the_name() -> None:
    late = replace(make_snapshot("a"), created_at=make_snapshot("a").created_at + timedelta(1))
    tree = SnapshotTree([late, make_snapshot("c"), make_snapshot("b")])
    assert tree.roots == ("b", "c", "a")
    assert linear_tree(3).roots == ("s0",)


# Chains and headers

TOP, MID, BASE = (DiskLayer(f"/i/{name}", "qcow2") for name in ("top", "mid", "base"))
RAW = DiskLayer("/i/base", "raw")


def headers(*pairs: tuple[str, str | None], folders: tuple[str, ...] = ("/i",)) -> Storage:
    """Storage in which each image lies on the next name; the last is a raw base."""
    images = {
        path: ImageFile(path, "qcow2", backing, "raw" if backing == "/i/base" else "qcow2")
        for path, backing in pairs
    }
    return Storage(images, dict.fromkeys(folders, 0))


WHOLE = headers(("/i/top", "/i/mid"), ("/i/mid", "/i/base"), ("/i/base", None))


@pytest.mark.parametrize(
    ("chain", "storage", "layers", "is_complete"),
    [
        (DiskChain("vda", (TOP,), defined=1), WHOLE, (TOP, MID, RAW), True),
        (DiskChain("vda", (TOP, MID), defined=2), WHOLE, (TOP, MID, RAW), True),
        # What records say gives way to the headers, what definitions say does not.
        (DiskChain("vda", (TOP, BASE), defined=1), WHOLE, (TOP, MID, RAW), True),
        (DiskChain("vda", (TOP, BASE), defined=2), WHOLE, (TOP, BASE), False),
        (DiskChain("vda", (TOP,), defined=1, is_complete=True), WHOLE, (TOP,), True),
        (DiskChain("vda", (TOP,), defined=1), Storage(), (TOP,), False),
        (DiskChain("hda", ()), WHOLE, (), False),
        (
            DiskChain("vda", (DiskLayer("/i/top", None, "block"),), defined=1),
            WHOLE,
            (DiskLayer("/i/top", None, "block"),),
            False,
        ),
        # The chain goes on where nobody may look; there records are all there is.
        (
            DiskChain("vda", (TOP, MID, DiskLayer("/j/x"), BASE), defined=1),
            headers(("/i/top", "/j/x")),
            (TOP, DiskLayer("/j/x"), BASE),
            False,
        ),
        (
            DiskChain("vda", (TOP, MID), defined=1),
            headers(("/i/top", "/j/x")),
            (TOP, DiskLayer("/j/x", "qcow2")),
            False,
        ),
        (DiskChain("vda", (TOP, MID), defined=1), headers(("/i/top", "/i/gone")), (TOP,), False),
        (DiskChain("vda", (TOP,), defined=1), headers(("/i/top", "json:{}")), (TOP,), False),
        (
            DiskChain("vda", (TOP,), defined=1),
            headers(("/i/top", "/i/mid"), ("/i/mid", "/i/top")),
            (TOP, MID),
            False,
        ),
    ],
    ids=range(13),
)
def test_a_chain_goes_on_as_the_headers_say(
    chain: DiskChain, storage: Storage, layers: tuple[DiskLayer, ...], is_complete: bool
) -> None:
    found = make_vm("x", disks=(chain,)).with_storage(storage)
    assert found.storage is storage
    assert found.disks == (replace(chain, layers=layers, is_complete=is_complete),)
    assert found.with_storage(storage) == found
