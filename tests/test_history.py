"""The history on real files: damaged ones, newer ones, several writers."""

import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from snapview.core.errors import HostError
from snapview.core.operations import (
    Actual,
    Cancelled,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    Failed,
    Operation,
    Outcome,
    RevertSnapshot,
)
from snapview.core.planning import Act, Plan, Step
from snapview.history import History, OperationRecord, record_of
from tests.conftest import AllowLog
from tests.trees import make_vm

AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
URI, OTHER_URI = "qemu:///x", "qemu:///y"
MIB = 1 << 20
RECORD = OperationRecord(AT, URI, "u", "web", "Consolidate", "the consolidation of vda", "done")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history.sqlite"


@pytest.fixture
def history(path: Path) -> History:
    return History(path)


@pytest.mark.parametrize(
    ("acts", "what"),
    [
        ((Act.MERGE,), "the merge of “x”"),
        ((Act.DISCARD,), "the discard of “x”"),
        ((Act.DISCARD, Act.MERGE), "the merge and discard of “x”"),
        ((), "the deletion of “x”"),  # nobody was asked: it was refused when its turn came
    ],
)
def test_a_merge_and_a_discard_are_two_words(acts: tuple[Act, ...], what: str) -> None:
    made = Plan(DeleteSnapshot(VM.uuid, ("x",)), tuple(Step(act, "") for act in acts))
    assert record_of(AT, URI, VM, made, Done()).what == what


def test_a_snapshot_without_a_title_is_called_by_its_name() -> None:
    made = Plan(CreateSnapshot(VM.uuid), (), new_name="snapshot-20260301-090000")
    what = record_of(AT, URI, VM, made, Done()).what
    assert what == "the snapshot “snapshot-20260301-090000”"


def test_without_any_operation_there_is_no_file(history: History, path: Path) -> None:
    assert history.operations(URI, "u") == ()
    assert history.copy_bytes_per_second(URI) is None
    assert not path.parent.exists()


def test_what_was_recorded_is_read_again_the_newest_first(history: History, path: Path) -> None:
    first = replace(
        RECORD,
        message="Zwei Sätze. “x”",
        planned_bytes=1 << 50,
        planned_seconds=0.5,
        planned_freed_bytes=0,
        actual_bytes=3,
        actual_seconds=4.25,
        actual_freed_bytes=-5,
        is_limited=True,
    )
    second = replace(RECORD, at=AT + timedelta(seconds=1), vm_name="renamed", outcome="failed")
    for record in (first, second, replace(RECORD, vm_uuid="v"), replace(RECORD, uri=OTHER_URI)):
        history.record(record)
    assert History(path).operations(URI, "u") == (second, first)
    assert History(path).operations(URI, "u", limit=1) == (second,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


VM = make_vm("web")
MERGE = Plan(
    Consolidate(VM.uuid, ("vda",)), (), bytes_to_copy=7, freed_bytes=8, estimated_seconds=9.5
)


@pytest.mark.parametrize(
    ("outcome", "differs"),
    [
        (
            Done(actual=Actual(1.5, 2, 3), remarks=("A.", "B.")),
            {
                "outcome": "done",
                "message": "A. B.",
                "actual_bytes": 2,
                "actual_seconds": 1.5,
                "actual_freed_bytes": 3,
            },
        ),
        (Done(), {"outcome": "done"}),
        (Failed(HostError("No.", advice="x")), {"outcome": "failed", "message": "No."}),
        (Cancelled(remarks=("Lost.",)), {"outcome": "cancelled", "message": "Lost."}),
    ],
)
def test_a_record_holds_what_was_planned_and_what_came_of_it(
    outcome: Outcome, differs: dict[str, Any]
) -> None:
    expected = replace(
        RECORD,
        vm_uuid=VM.uuid,
        planned_bytes=7,
        planned_seconds=9.5,
        planned_freed_bytes=8,
        **differs,
    )
    assert record_of(AT, URI, VM, MERGE, outcome) == expected


@pytest.mark.parametrize(
    ("operation", "is_limited"),
    [
        (Consolidate("u"), False),
        (Consolidate("u", bandwidth_bytes_per_second=1), True),
        (DeleteSnapshot("u", ("s",)), False),
        (DeleteSnapshot("u", ("s",), bandwidth_bytes_per_second=1), True),
        (RevertSnapshot("u", "s"), False),
    ],
)
def test_a_limited_operation_is_marked(operation: Operation, is_limited: bool) -> None:
    record = record_of(AT, URI, VM, Plan(operation, ()), Done())
    assert record.is_limited is is_limited
    assert record.operation == type(operation).__name__


# How fast this disk copies


def merged(seconds: float, mebibytes: int = 100, **changes: Any) -> OperationRecord:
    return replace(RECORD, actual_bytes=mebibytes * MIB, actual_seconds=seconds, **changes)


def test_the_speed_is_the_median_so_that_one_slow_merge_does_not_count(history: History) -> None:
    for seconds in (1.0, 2.0, 1000.0):
        history.record(merged(seconds))
    assert history.copy_bytes_per_second(URI) == 50 * MIB
    assert history.copy_bytes_per_second(OTHER_URI) is None


@pytest.mark.parametrize(
    "useless",
    [
        merged(1.0, 10),
        merged(1.0, is_limited=True),
        merged(1.0, outcome="cancelled"),
        merged(1.0, outcome="failed"),
        merged(0.0),
        replace(merged(1.0), actual_seconds=None),
        replace(merged(1.0), actual_bytes=None),
    ],
)
def test_what_says_nothing_of_the_disk_does_not_count(
    history: History, useless: OperationRecord
) -> None:
    history.record(useless)
    assert history.copy_bytes_per_second(URI) is None
    history.record(merged(4.0))
    history.record(useless)
    assert history.copy_bytes_per_second(URI) == 25 * MIB


def test_a_new_disk_is_soon_known_by_its_own_speed(history: History) -> None:
    for _ in range(50):
        history.record(merged(100.0))
    for _ in range(9):
        history.record(merged(1.0))
    assert history.copy_bytes_per_second(URI) == 100 * MIB


# What may be wrong with the file


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE operations (id)")


def other_application(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE operations (id)")
        db.execute("PRAGMA user_version = 1")


def newer(path: Path) -> None:
    History(path).record(RECORD)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 2")
        db.execute("ALTER TABLE operations ADD COLUMN more")
        db.commit()


def damaged(path: Path) -> None:
    History(path).record(RECORD)
    data = path.read_bytes()
    path.write_bytes(data[:1024] + b"\xff" * (len(data) - 1024))


def no_database(path: Path) -> None:
    path.write_bytes(b"Dear diary,\n" * 1000)


def folder(path: Path) -> None:
    path.mkdir()


def odd_values(path: Path) -> None:
    History(path).record(RECORD)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE operations SET at = 'yesterday'")
        db.commit()


SPOILT = [foreign, other_application, newer, damaged, no_database, folder]


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_file_that_cannot_be_used_is_left_alone_and_nobody_is_kept_from_working(
    path: Path, spoil: Callable[[Path], None], allow_log: AllowLog
) -> None:
    allow_log("The history of operations cannot be used")
    path.parent.mkdir()
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    history = History(path)
    history.record(RECORD)
    assert history.copy_bytes_per_second(URI) is None
    with pytest.raises(HostError) as caught:
        history.operations(URI, "u")
    assert str(path) in caught.value.advice
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_the_log_says_it_once(
    path: Path, allow_log: AllowLog, caplog: pytest.LogCaptureFixture
) -> None:
    allow_log("The history of operations cannot be used")
    path.parent.mkdir()
    no_database(path)
    history = History(path)
    history.record(RECORD)
    history.record(RECORD)
    history.copy_bytes_per_second(URI)
    assert len(caplog.records) == 1


def test_odd_values_are_a_sentence_too(path: Path) -> None:
    path.parent.mkdir()
    odd_values(path)
    with pytest.raises(HostError, match="cannot be used"):
        History(path).operations(URI, "u")


def test_a_folder_that_cannot_be_made_keeps_nobody_from_working(
    tmp_path: Path, allow_log: AllowLog
) -> None:
    allow_log("The history of operations cannot be used")
    (tmp_path / "file").touch()
    history = History(tmp_path / "file" / "history.sqlite")
    history.record(RECORD)
    assert history.operations(URI, "u") == ()


def test_many_write_at_once_and_nothing_is_lost(path: Path) -> None:
    def write(number: int) -> None:
        History(path).record(replace(RECORD, what=str(number)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(64)))
    found = {record.what for record in History(path).operations(URI, "u")}
    assert found == {str(number) for number in range(64)}
