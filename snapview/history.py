"""What snapview did to VMs, planned and actual: a small SQLite file. Hides SQL.

A history that cannot be read or written, because it is damaged or of a newer snapview, is left
alone: snapview works without it, and says so where somebody asks for it.
"""

import logging
import os
import sqlite3
import statistics
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields, replace
from datetime import datetime
from pathlib import Path

from snapview.core.errors import HostError
from snapview.core.operations import (
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    Failed,
    Outcome,
)
from snapview.core.phrases import operation_phrase
from snapview.core.planning import Act, Plan
from snapview.core.vm import Vm

_log = logging.getLogger(__name__)

_VERSION = 1
_APPLICATION_ID = 0x534E_5056  # so that no other program's file is taken for ours
_PATIENCE_SECONDS = 5.0  # while another snapview writes
_SPEED_FROM_RECORDS = 9
_SPEED_FROM_BYTES = 32 << 20  # less says more about the overhead than about the disk


@dataclass(frozen=True, slots=True)
class OperationRecord:
    """One operation that ended. Sizes in bytes, durations in seconds; None is unknown."""

    at: datetime
    uri: str
    vm_uuid: str
    vm_name: str
    operation: str  # its class: RevertSnapshot
    what: str  # a noun phrase: the revert to “x”
    outcome: str  # done, failed, cancelled
    message: str = ""  # why it failed, what went otherwise than hoped
    planned_bytes: int | None = None  # to copy
    planned_seconds: float | None = None
    planned_freed_bytes: int | None = None
    actual_bytes: int | None = None
    actual_seconds: float | None = None
    actual_freed_bytes: int | None = None
    is_limited: bool = False  # its speed was limited, so it says nothing of the disk's


_COLUMNS = tuple(field.name for field in fields(OperationRecord))


def record_of(at: datetime, uri: str, vm: Vm, made: Plan, outcome: Outcome) -> OperationRecord:
    """Return what is to be kept of an operation; ``vm`` as it was before."""
    actual = outcome.actual if isinstance(outcome, Done) else None
    asked = made.operation
    is_limited = (
        isinstance(asked, Consolidate | DeleteSnapshot) and asked.bandwidth_bytes_per_second > 0
    )
    said = (outcome.error.message,) if isinstance(outcome, Failed) else outcome.remarks
    return OperationRecord(
        at=at,
        uri=uri,
        vm_uuid=vm.uuid,
        vm_name=vm.name,
        operation=type(asked).__name__,
        what=_what(made),
        outcome=type(outcome).__name__.lower(),
        message=" ".join(said),
        planned_bytes=made.bytes_to_copy,
        planned_seconds=made.estimated_seconds,
        planned_freed_bytes=made.freed_bytes,
        actual_bytes=actual.copied_bytes if actual else None,
        actual_seconds=actual.seconds if actual else None,
        actual_freed_bytes=actual.freed_bytes if actual else None,
        is_limited=is_limited,
    )


def _what(made: Plan) -> str:
    """Return what was done, as a noun phrase; a merge and a discard are never both a deletion."""
    asked, phrase, acts = made.operation, operation_phrase(made.operation), made.acts
    if isinstance(asked, CreateSnapshot) and not asked.title and made.new_name:
        return operation_phrase(replace(asked, title=made.new_name))
    if not isinstance(asked, DeleteSnapshot) or not acts & {Act.MERGE, Act.DISCARD}:
        return phrase
    words = {Act.MERGE: "merge", Act.DISCARD: "discard"}
    word = " and ".join(word for act, word in words.items() if act in acts)
    return phrase.replace("the deletion", f"the {word}", 1)


class History:
    """The operations of this account. Any thread but the GUI's; any number of processes.

    Args:
        path: the file, made when something is first recorded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._has_complained = False

    def record(self, record: OperationRecord) -> None:
        """Keep a record. That it cannot be kept is logged once and keeps nobody from working."""
        places = ", ".join("?" * len(_COLUMNS))
        values = [v.isoformat() if isinstance(v, datetime) else v for v in astuple(record)]
        try:
            with self._opened(is_made=True) as db:
                db.execute(f"INSERT INTO operations ({_NAMES}) VALUES ({places})", values)
                db.commit()
        except HostError as error:
            self._complain(error)

    def operations(self, uri: str, vm_uuid: str, limit: int = 100) -> tuple[OperationRecord, ...]:
        """Return the newest operations on a VM, the newest first.

        Raises:
            HostError: the history cannot be read.
        """
        query = (
            f"SELECT {_NAMES} FROM operations WHERE uri = ? AND vm_uuid = ?"
            " ORDER BY id DESC LIMIT ?"
        )
        if not self._is_there():
            return ()
        with self._opened() as db:
            return tuple(_record(row) for row in db.execute(query, (uri, vm_uuid, limit)))

    def copy_bytes_per_second(self, uri: str) -> float | None:
        """Return how fast merges copied on a host lately; None: not known.

        The median of the last few that copied enough without a limit, so that one that was
        slowed down by something else does not count.
        """
        query = (
            "SELECT actual_bytes / actual_seconds FROM operations WHERE uri = ? AND NOT is_limited"
            " AND outcome = 'done' AND actual_bytes >= ? AND actual_seconds > 0"
            " ORDER BY id DESC LIMIT ?"
        )
        if not self._is_there():
            return None
        try:
            with self._opened() as db:
                found = db.execute(query, (uri, _SPEED_FROM_BYTES, _SPEED_FROM_RECORDS)).fetchall()
        except HostError as error:
            self._complain(error)
            return None
        return statistics.median(speed for (speed,) in found) if found else None

    def _is_there(self) -> bool:
        try:
            return self._path.exists()
        except OSError:  # opening it will say why
            return True

    @contextmanager
    def _opened(self, *, is_made: bool = False) -> Iterator[sqlite3.Connection]:
        """Open the file; one connection a call, so that any thread can.

        Raises:
            HostError: it cannot be opened, read or written.
        """
        try:
            if is_made:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with closing(sqlite3.connect(self._path, timeout=_PATIENCE_SECONDS)) as db:
                _set_up(db)
                yield db
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:
            raise HostError(
                "The history of operations cannot be used.",
                advice=f"snapview works without it. It is kept in {self._path}, which may be "
                "damaged, of a newer snapview, or on a full disk.",
                detail=str(error),
            ) from error

    def _complain(self, error: HostError) -> None:
        if not self._has_complained:
            self._has_complained = True
            _log.warning("%s %s (%s)", error.message, error.advice, error.detail)


_NAMES = ", ".join(_COLUMNS)
_TABLE = f"""
CREATE TABLE operations (
    id INTEGER PRIMARY KEY,
    {", ".join(_COLUMNS)}
)
"""


def _set_up(db: sqlite3.Connection) -> None:
    """Make the table in a new file; see that an old one is ours and of this version."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if (version, application) == (_VERSION, _APPLICATION_ID):
        return
    db.execute("BEGIN IMMEDIATE")  # another snapview may be making it as well
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (count,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version == 0 and count == 0:
        db.execute(_TABLE)
        db.execute("CREATE INDEX by_vm ON operations (uri, vm_uuid)")
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {_VERSION}")
    db.commit()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if (version, application) != (_VERSION, _APPLICATION_ID):
        raise ValueError(f"version {version} of application {application:#x}")


def _record(row: tuple[object, ...]) -> OperationRecord:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["at"] = datetime.fromisoformat(str(values["at"]))
    values["is_limited"] = bool(values["is_limited"])
    return OperationRecord(**values)  # type: ignore[arg-type]  # as they were written
