"""The table of the contract is carried out, and the committed page says what really happened."""

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from snapview.core.vm import SnapshotKind
from tests.contract_bench import EXTERNAL, INTERNAL, Bench, Results, driver_bench, fake_bench
from tests.contract_table import PAGE, REWRITE_VARIABLE, MakeBench, parse, render, walk
from tests.lab import Lab

HOSTS = {
    "libvirt 9.0": "lab9",
    "libvirt 11.3": "lab11",
    "the tests' fake": "",
    "libvirt's test driver": "",
}
KINDS = dict.fromkeys(HOSTS, (INTERNAL, EXTERNAL)) | {"libvirt's test driver": (INTERNAL,)}
MARKS = {"lab9": [pytest.mark.lab], "lab11": [pytest.mark.lab, pytest.mark.newer], "": []}

MERGES = ("no snapshots", "a line", "on a branch point", "a line on a branch point")
MERGES_OF_TWO = ("one of two disks", "the other disk")

# All that may be refused, (operation, kind, what) with the reason's code; written here by hand.
REFUSED = {
    ("create", "internal", "disk only"): "running",
    ("create", "internal", "frozen"): "running",
    ("create", "internal", "of the other kind"): "mixed-kinds",
    ("create", "external", "frozen"): "no-agent",
    ("create", "external", "of the other kind"): "mixed-kinds",
    ("consolidate", "external", "no snapshots"): "nothing-to-do",
    ("consolidate", "external", "on a branch point"): "nothing-to-do",
    **{("consolidate", "internal", what): "nothing-to-do" for what in (*MERGES, *MERGES_OF_TWO)},
}
RECORDS_ONLY = {
    ("create", "internal", "of the other kind"): "host-too-old",
    ("create", "internal", "of the other kind, as asked"): "host-too-old",
    ("consolidate", "internal", "the other disk"): "no-disk",
}

Lane = Future[None]
Lanes = Mapping[tuple[str, SnapshotKind], Lane]


@pytest.fixture(scope="module")
def carried_out(request: pytest.FixtureRequest) -> tuple[Mapping[str, Results], Lanes]:
    """Carry out the cells of all hosts that a test was selected for, on several lanes at once."""
    items = [item for item in request.session.items if item.path == request.path]
    wanted = {getattr(item, "callspec").params.get("host") for item in items}  # noqa: B009
    results = {host: Results() for host in HOSTS if host in wanted}
    lanes: dict[tuple[str, SnapshotKind], Lane] = {}
    labs: dict[str, Lab] = {}
    with ThreadPoolExecutor(4) as pool:
        for host, noted in results.items():
            make: MakeBench = fake_bench if "fake" in host else driver_bench
            if HOSTS[host]:
                try:
                    labs[host] = request.getfixturevalue(HOSTS[host])
                except (pytest.skip.Exception, pytest.fail.Exception) as unavailable:
                    lanes |= {(host, kind): _failed(unavailable) for kind in KINDS[host]}
                    continue
                make = partial(Bench, labs[host])
            for kind in KINDS[host]:
                lanes[host, kind] = pool.submit(walk, make, kind, noted)
    for host in results:
        if (lab := labs.get(host)) is not None:
            assert lab.virsh("pool-list", "--all", "--name").strip() == ""
            assert "workbench" not in lab.virsh("list", "--all", "--name")
    return results, lanes


def _failed(error: BaseException) -> Lane:
    lane: Lane = Future()
    lane.set_exception(error)
    return lane


@pytest.mark.parametrize("host", [pytest.param(h, marks=MARKS[lab]) for h, lab in HOSTS.items()])
def test_the_page_says_what_happened(
    host: str, carried_out: tuple[Mapping[str, Results], Lanes]
) -> None:
    results, lanes = carried_out
    for kind in KINDS[host]:
        lanes[host, kind].result()
    if os.environ.get(REWRITE_VARIABLE) == "1":
        committed = parse(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
        PAGE.write_text(render({**committed, **results}), encoding="utf-8")
    assert results[host].words == parse(PAGE.read_text(encoding="utf-8"))[host].words
    assert parse(render(results))[host].words == results[host].words


@pytest.mark.parametrize("host", [pytest.param(h, marks=MARKS[lab]) for h, lab in HOSTS.items()])
def test_nothing_is_refused_that_could_be_done(
    host: str, carried_out: tuple[Mapping[str, Results], Lanes]
) -> None:
    results, lanes = carried_out
    for kind in KINDS[host]:
        lanes[host, kind].result()
    refused = {
        (cell.operation, cell.kind, cell.what): word.removeprefix("refused: ")
        for cell, word in results[host].words.items()
        if word.startswith("refused: ")
    }
    expected = REFUSED | RECORDS_ONLY if host == "libvirt's test driver" else REFUSED
    kinds = {kind.value for kind in KINDS[host]}
    assert refused == {key: code for key, code in expected.items() if key[1] in kinds}
