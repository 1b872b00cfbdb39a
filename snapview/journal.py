"""The journal on files: what is being done to which VM, written down before it is done.

Hides the files: one for each VM at work, JSON lines, locked for as long as its snapview lives. A
line that was cut off, because the machine or snapview died over it, counts as not written.
"""

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from snapview.core.errors import Conflict, HostError, NoSpace, NotFound
from snapview.core.journal import NO_NOTE, Begun, Entry, is_moot
from snapview.core.moves import Move
from snapview.core.operations import Operation
from snapview.core.phrases import operation_phrase
from snapview.journal_lines import JournalLines, Unreadable, first_bytes

_log = logging.getLogger(__name__)

_FULL = {errno.ENOSPC, errno.EDQUOT}
_ENTRY_ID = re.compile(r"([0-9a-f]{32})\.[0-9a-f]{8}")
_LOCK_ATTEMPTS = 100
_NOT_BEGUN = "What is about to be done cannot be written down, so it was not begun."
_NOT_NOTED = "What was done cannot be written down; the VM itself is as it should be."


class FileJournal:
    """Implements ``core.journal.Journal`` in a folder of this account. Any thread.

    Args:
        folder: made when something is first written.
        now: the clock.
    """

    def __init__(
        self, folder: Path, now: Callable[[], datetime] = lambda: datetime.now(tz=UTC)
    ) -> None:
        self._folder = folder
        self._now = now
        self._complained: set[Path] = set()

    def open(
        self, uri: str, vm_uuid: str, vm_name: str, operation: Operation, moves: tuple[Move, ...]
    ) -> "OpenFile":
        """Begin an entry; it is on the disk when this returns.

        Raises:
            Conflict: this or another snapview is at work on the VM, or was interrupted.
            NoSpace, HostError: it cannot be written.
        """
        stem = _stem(uri, vm_uuid)
        path = self._path(stem)
        with _sentence(_NOT_BEGUN, self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = _locked(path, os.O_RDWR | os.O_CREAT)
        entry = Entry(
            id=f"{stem}.{secrets.token_hex(4)}",
            uri=uri,
            vm_uuid=vm_uuid,
            vm_name=vm_name,
            operation=operation,
            moves=moves,
            began_at=self._now(),
            is_alive=True,
        )
        with _closed_on_error(file):
            old = self._read_or_refuse(file, stem).entry
            _require_moot(old)
            opened = OpenFile(path, file, self._lines, entry)
            opened.write_head()
        return opened

    def find(self, uri: str, vm_uuid: str) -> Entry | None:
        """Return the entry of a VM that was not settled; cheap when there is none.

        A file that cannot be read is none: that is logged, once.
        """
        stem = _stem(uri, vm_uuid)
        path = self._path(stem)
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain(path, error)
            return None
        try:
            is_alive = _is_locked(file)
            found = self._read(file, stem).entry
            is_settled = os.fstat(file).st_nlink == 0  # while we read
        except (OSError, Unreadable) as error:
            self._complain(path, error)
            return None
        finally:
            os.close(file)
        if found is None or is_settled:
            return None
        return replace(found, is_alive=is_alive)

    def resume(self, entry_id: str) -> "OpenFile":
        """Go on with an entry whose snapview is gone.

        Raises:
            NotFound: it was settled meanwhile.
            Conflict: another snapview is at work on it.
            HostError: it cannot be read or written.
        """
        match = _ENTRY_ID.fullmatch(entry_id)
        stem = match[1] if match else ""
        path = self._path(stem)
        with _sentence("What was interrupted cannot be gone on with.", self._folder):
            try:
                file = _locked(path, os.O_RDWR)
            except FileNotFoundError as error:
                raise _settled() from error
        with _closed_on_error(file):
            written = self._read_or_refuse(file, stem)
            entry = _require_same(written.entry, entry_id)
        return OpenFile(path, file, self._lines, replace(entry, is_alive=True), written.length)

    @cached_property
    def _lines(self) -> JournalLines:
        return JournalLines()

    def _path(self, stem: str) -> Path:
        return self._folder / f"{stem}.jsonl"

    def _read_or_refuse(self, file: int, stem: str) -> "_Written":
        """Read a file that would otherwise be overwritten: it may tell of something unfinished."""
        try:
            return self._read(file, stem)
        except Unreadable as error:
            raise HostError(
                "What is written down of an earlier operation on this VM cannot be understood.",
                advice="A newer snapview may understand it. If the VM is as it should be, move "
                f"{self._path(stem)} away.",
                detail=str(error),
            ) from error

    def _read(self, file: int, stem: str) -> "_Written":
        os.lseek(file, 0, os.SEEK_SET)
        with open(file, "rb", closefd=False) as stream:
            data = stream.read()
        whole, _, torn = data.rpartition(b"\n")
        if not whole:
            torn = torn.rstrip(b"\0")  # as a power cut leaves some file systems
            ours = first_bytes(stem)
            if not ours.startswith(torn) and not torn.startswith(ours):
                raise Unreadable("it does not begin as a journal does")
            return _Written(None, 0)
        entry = self._lines.entry(whole.split(b"\n"))
        if not entry.id.startswith(f"{stem}."):
            raise Unreadable("it is of another VM")
        return _Written(entry, len(whole) + 1)

    def _complain(self, path: Path, error: Exception) -> None:
        if path not in self._complained:
            self._complained.add(path)
            _log.warning("the journal %s cannot be read, and is left alone: %s", path, error)


@dataclass(frozen=True, slots=True)
class _Written:
    """What of a file is whole."""

    entry: Entry | None
    length: int


class OpenFile:
    """Implements ``core.journal.OpenEntry``. Worker thread."""

    def __init__(
        self, path: Path, file: int, lines: JournalLines, entry: Entry, length: int = 0
    ) -> None:
        self._path = path
        self._file = file
        self._lines = lines
        self._entry = entry
        self._length = length  # of what is whole

    @property
    def entry(self) -> Entry:
        """What is written so far."""
        return self._entry

    def write_head(self) -> None:
        """Write down what is going to be done, in place of whatever the file held.

        Raises:
            NoSpace, HostError: it cannot be written.
        """
        with _sentence(_NOT_BEGUN, self._path.parent):
            self._append(self._lines.head(self._entry))
            _sync_folder(self._path.parent)

    def begin(self, move: Move, note: Mapping[str, str] = NO_NOTE) -> None:
        """Write down that a move is about to be made.

        Raises:
            NoSpace, HostError: it cannot be written, so the move must not be made.
        """
        with _sentence(_NOT_BEGUN, self._path.parent):
            self._append(self._lines.begin(move, note))
        begun = (*self._entry.begun, Begun(move, dict(note)))
        self._entry = replace(self._entry, begun=begun)

    def done(self) -> None:
        """Write down that the move begun last is done and verified.

        Raises:
            NoSpace, HostError: it cannot be written.
        """
        *before, last = self._entry.begun
        with _sentence(_NOT_NOTED, self._path.parent):
            self._append({"done": True})
        self._entry = replace(self._entry, begun=(*before, replace(last, is_done=True)))

    def close(self, *, is_settled: bool) -> None:
        """Let go of the entry. Never fails: one that cannot be removed says all is done."""
        if is_settled:
            try:
                self._path.unlink(missing_ok=True)
                _sync_folder(self._path.parent)
            except OSError as error:
                _log.warning("the journal %s cannot be removed: %s", self._path, error)
        with suppress(OSError):
            os.close(self._file)

    def _append(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(record).encode() + b"\n"
        try:
            os.ftruncate(self._file, self._length)  # a piece of a line may follow
            at = self._length
            while at < self._length + len(line):
                at += os.pwrite(self._file, line[at - self._length :], at)
            os.fsync(self._file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._length)
            raise
        self._length = at


def _stem(uri: str, vm_uuid: str) -> str:
    return hashlib.sha256(f"{uri}\0{vm_uuid}".encode(errors="backslashreplace")).hexdigest()[:32]


def _require_moot(entry: Entry | None) -> None:
    """See that no earlier operation waits for its end."""
    if entry is not None and not is_moot(entry):
        what = operation_phrase(entry.operation)
        raise Conflict(
            f"{what[:1].upper()}{what[1:]} was interrupted.",
            advice="Finish it, or take it back, first.",
        )


def _require_same(entry: Entry | None, entry_id: str) -> Entry:
    if entry is None or entry.id != entry_id:
        raise _settled()
    return entry


def _settled() -> NotFound:
    return NotFound("What was interrupted has been settled meanwhile.", advice="Refresh.")


def _locked(path: Path, flags: int) -> int:
    """Open a file for this process alone.

    Raises:
        Conflict: another one has it, or this one already.
        OSError: it cannot be opened.
    """
    for _ in range(_LOCK_ATTEMPTS):
        file = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last owner may have removed it between our two calls.
            if os.fstat(file).st_nlink > 0:
                return file
        except BlockingIOError:
            if _is_locked(file):
                os.close(file)
                break
            os.sched_yield()  # somebody only looks whether it is locked
        except BaseException:
            os.close(file)
            raise
        os.close(file)
    raise Conflict(
        "A snapview is at work on this VM already.", advice="Wait until it has ended, then refresh."
    )


def _is_locked(file: int) -> bool:
    """Whether somebody writes to a file."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def _closed_on_error(file: int) -> Iterator[None]:
    """Let go of a file, and with it of its lock, unless all goes well."""
    try:
        yield
    except BaseException:
        os.close(file)
        raise


@contextmanager
def _sentence(message: str, folder: Path) -> Iterator[None]:
    """Turn what the system says into our errors."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            advice = f"Make room on the file system of {folder}."
            raise NoSpace(message, advice=advice, detail=str(error)) from error
        advice = f"See that {folder} can be written to."
        raise HostError(message, advice=advice, detail=str(error)) from error
