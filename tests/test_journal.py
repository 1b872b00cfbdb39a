"""The journal on real files: kills at any moment, full disks, strangers' files, two at a time."""

import errno
import os
import random
import select
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from snapview.core.errors import Conflict, HostError, NoSpace, NotFound
from snapview.core.journal import Begun, Entry, OpenEntry
from snapview.core.moves import DefineAsAt, MakeOverlay, Move, RemoveFile, StartVm, StopVm
from snapview.core.operations import RevertSnapshot
from snapview.core.vm import DiskLayer
from snapview.journal import FileJournal
from tests.conftest import AllowLog
from tests.lab_fixtures import own_mounts

URI, UUID = "qemu:///x", "5f1c6e0a-7d58-4b27-9a55-1e1f6f0d2c11"
AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
REVERT = RevertSnapshot(UUID, "früh")
MOVES: tuple[Move, ...] = (
    StopVm(),
    MakeOverlay("vda", "/i/new", DiskLayer("/i/base", "qcow2")),
    DefineAsAt("früh", (("vda", "/i/new"),)),
    StartVm(),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal"


@pytest.fixture
def journal(folder: Path) -> FileJournal:
    return FileJournal(folder, now=lambda: AT)


@contextmanager
def opened(journal: FileJournal, uuid: str = UUID) -> Iterator[OpenEntry]:
    entry = journal.open(URI, uuid, "web", REVERT, MOVES)
    try:
        yield entry
    finally:
        entry.close(is_settled=False)


def the_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def interrupted(journal: FileJournal, *, done: int = 1) -> Entry:
    """Leave an entry as one that died leaves it: ``done`` moves, and one in doubt."""
    with opened(journal) as entry:
        for move in MOVES[:done]:
            entry.begin(move)
            entry.done()
        entry.begin(MOVES[done], {"definition": "<domain/>"})
        return entry.entry


def test_without_an_operation_there_is_nothing_not_even_a_folder(
    journal: FileJournal, folder: Path
) -> None:
    assert journal.find(URI, UUID) is None
    assert not folder.exists()


def test_another_snapview_reads_how_far_things_got(journal: FileJournal, folder: Path) -> None:
    other = FileJournal(folder)
    with opened(journal) as entry:
        found = other.find(URI, UUID)
        assert found == entry.entry
        assert found is not None
        assert (found.operation, found.moves, found.began_at) == (REVERT, MOVES, AT)
        assert (found.uri, found.vm_uuid, found.vm_name, found.begun) == (URI, UUID, "web", ())
        entry.begin(MOVES[0], {"of": "before"})
        found = other.find(URI, UUID)
        assert found is not None
        assert found.begun == (Begun(MOVES[0], {"of": "before"}),)
        entry.done()
        found = other.find(URI, UUID)
        assert found is not None
        assert found.begun == (Begun(MOVES[0], {"of": "before"}, is_done=True),)


def test_an_entry_lives_as_long_as_its_snapview(journal: FileJournal, folder: Path) -> None:
    def is_alive() -> bool:
        found = FileJournal(folder).find(URI, UUID)
        assert found is not None
        return found.is_alive

    with opened(journal) as entry:
        entry.begin(MOVES[0])
        assert is_alive()
    assert not is_alive()


def test_a_settled_entry_is_forgotten(journal: FileJournal, folder: Path) -> None:
    entry = journal.open(URI, UUID, "web", REVERT, MOVES)
    entry.begin(MOVES[0])
    entry.close(is_settled=True)
    assert journal.find(URI, UUID) is None
    assert list(folder.iterdir()) == []


def test_others_may_not_look(journal: FileJournal, folder: Path) -> None:
    with opened(journal):  # definitions hold passwords
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(the_file(folder).stat().st_mode) == 0o600


def test_one_operation_at_a_time_on_a_vm_and_any_number_on_others(
    journal: FileJournal, folder: Path
) -> None:
    with opened(journal) as entry:
        for same in (journal, FileJournal(folder)):
            with pytest.raises(Conflict, match="at work"):
                same.open(URI, UUID, "web", REVERT, MOVES)
            with pytest.raises(Conflict, match="at work"):
                same.resume(entry.entry.id)
        with opened(journal, "another VM"):
            other_host = journal.open("qemu:///y", UUID, "web", REVERT, MOVES)
            other_host.close(is_settled=True)
        assert journal.find(URI, UUID) == entry.entry


def test_of_many_at_once_one_gets_the_vm_however_many_look(
    journal: FileJournal, folder: Path
) -> None:
    stop, start = threading.Event(), threading.Barrier(8)

    def look() -> None:
        while not stop.is_set():
            FileJournal(folder).find(URI, UUID)

    def work(_number: int) -> OpenEntry | None:
        start.wait()
        try:
            return FileJournal(folder).open(URI, UUID, "web", REVERT, MOVES)
        except Conflict:
            return None

    with ThreadPoolExecutor(10) as pool:
        lookers = [pool.submit(look) for _ in range(2)]
        for _ in range(25):
            won = [entry for entry in pool.map(work, range(8)) if entry is not None]
            for entry in won:
                entry.close(is_settled=True)
            assert len(won) == 1
        stop.set()
    for looker in lookers:
        looker.result()


# Going on


def test_going_on_adds_to_what_was_written(journal: FileJournal, folder: Path) -> None:
    left = interrupted(journal)
    entry = FileJournal(folder).resume(left.id)
    assert entry.entry == left
    entry.begin(MOVES[1])
    entry.done()
    entry.close(is_settled=False)
    found = journal.find(URI, UUID)
    assert found is not None
    assert found.begun == (*left.begun, Begun(MOVES[1], is_done=True))


def test_something_unfinished_has_to_be_settled_before_something_new(journal: FileJournal) -> None:
    left = interrupted(journal)
    with pytest.raises(Conflict, match="The revert to “früh” was interrupted"):
        journal.open(URI, UUID, "web", REVERT, MOVES)
    journal.resume(left.id).close(is_settled=True)
    with opened(journal):
        pass


def test_what_was_never_begun_or_is_all_done_stands_in_nobodys_way(journal: FileJournal) -> None:
    with opened(journal) as entry:
        first = entry.entry.id
    with opened(journal) as entry:
        assert entry.entry.id != first
        for move in MOVES:
            entry.begin(move)
            entry.done()
    with opened(journal) as entry:
        assert entry.entry.begun == ()
        found = journal.find(URI, UUID)
        assert found is not None
        assert found.begun == ()


@pytest.mark.parametrize("entry_id", ["", "x", "../../etc/passwd", f"{'0' * 32}.{'0' * 8}"])
def test_an_unknown_entry_is_settled(journal: FileJournal, entry_id: str) -> None:
    interrupted(journal)
    with pytest.raises(NotFound):
        journal.resume(entry_id)


def test_an_entry_that_was_settled_and_followed_by_another_is_settled(journal: FileJournal) -> None:
    first = interrupted(journal)
    journal.resume(first.id).close(is_settled=True)
    with pytest.raises(NotFound):
        journal.resume(first.id)
    interrupted(journal)
    with pytest.raises(NotFound):
        journal.resume(first.id)


# Torn and strange files


def test_wherever_the_last_line_is_torn_it_was_not_written(
    journal: FileJournal, folder: Path
) -> None:
    left = interrupted(journal, done=2)
    file = the_file(folder)
    data = file.read_bytes()
    ends = [at + 1 for at, byte in enumerate(data) if byte == ord("\n")]
    for length in range(len(data)):
        for tail in (b"", b"\0\0\0"):
            file.write_bytes(data[:length] + tail)
            whole_lines = sum(end <= length for end in ends)
            found = journal.find(URI, UUID)
            assert (found is None) == (whole_lines == 0), length
            if found is not None:
                lines = whole_lines - 1
                assert len(found.begun) == (lines + 1) // 2
                assert sum(begun.is_done for begun in found.begun) == lines // 2
                assert [b.move for b in found.begun] == [b.move for b in left.begun][
                    : (lines + 1) // 2
                ]


def test_going_on_after_a_torn_line_writes_over_it(journal: FileJournal, folder: Path) -> None:
    left = interrupted(journal)
    with the_file(folder).open("ab") as stream:
        stream.write(b'{"begin": {"_type": "MakeOv' + b"x" * 500)
    entry = journal.resume(left.id)
    entry.begin(RemoveFile("/i/new"))
    entry.close(is_settled=False)
    found = journal.find(URI, UUID)
    assert found is not None
    assert found.begun == (*left.begun, Begun(RemoveFile("/i/new")))


def test_an_entry_torn_in_its_first_line_gives_way(journal: FileJournal, folder: Path) -> None:
    interrupted(journal)
    file = the_file(folder)
    file.write_bytes(file.read_bytes()[:40])
    with opened(journal) as entry:
        assert journal.find(URI, UUID) == entry.entry


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.replace(b'"schema": 1', b'"schema": 2', 1),
        lambda data: data.replace(b"StopVm", b"BurnVm"),
        lambda data: b"\n" + data,
        lambda _: b"not a journal\n",
        lambda _: b"no line at all",
        lambda _: b"\x00\xff" * 100 + b"\n",
    ],
)
def test_a_strange_file_is_left_alone_logged_once_and_nothing_is_begun_over_it(
    journal: FileJournal, folder: Path, damage: Callable[[bytes], bytes], allow_log: AllowLog
) -> None:
    allow_log("cannot be read, and is left alone")
    left = interrupted(journal)
    file = the_file(folder)
    file.write_bytes(damage(file.read_bytes()))
    before = file.read_bytes()
    assert journal.find(URI, UUID) is None
    for attempt in (
        partial(journal.open, URI, UUID, "web", REVERT, MOVES),
        partial(journal.resume, left.id),
    ):
        with pytest.raises(HostError) as caught:
            attempt()
        assert str(file) in caught.value.advice
    assert file.read_bytes() == before
    with opened(journal, "another VM"):
        pass


def test_the_entry_of_another_vm_under_this_ones_name_is_strange(
    journal: FileJournal, folder: Path, allow_log: AllowLog
) -> None:
    allow_log("it is of another VM")
    interrupted(journal)
    mine = the_file(folder)
    with opened(journal, "another VM"):
        (others,) = set(folder.iterdir()) - {mine}
    mine.replace(others)
    assert journal.find(URI, "another VM") is None


# Disks


def test_each_call_is_on_the_disk_when_it_returns(
    journal: FileJournal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsynced: dict[int, str] = {}  # by inode: what a power cut would take away
    real_write, real_sync, real_unlink = os.pwrite, os.fsync, Path.unlink

    def write(file: int, data: bytes, at: int) -> int:
        unsynced[os.fstat(file).st_ino] = "data"
        if at == 0:
            unsynced[folder.stat().st_ino] = "a new name"
        return real_write(file, data, at)

    def unlink(path: Path, missing_ok: bool = False) -> None:
        unsynced[folder.stat().st_ino] = "a name that is gone"
        real_unlink(path, missing_ok)

    def sync(file: int) -> None:
        unsynced.pop(os.fstat(file).st_ino, None)
        real_sync(file)

    monkeypatch.setattr(os, "pwrite", write)
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "unlink", unlink)
    entry = journal.open(URI, UUID, "web", REVERT, MOVES)
    assert not unsynced
    entry.begin(MOVES[0])
    assert not unsynced
    entry.done()
    assert not unsynced
    entry.close(is_settled=True)
    assert not unsynced


def test_when_the_disk_is_full_in_the_middle_of_a_line_nothing_is_begun_and_all_is_as_before(
    journal: FileJournal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite

    def half(file: int, data: bytes, at: int) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data[: len(data) // 2], at)

    with opened(journal) as entry:
        entry.begin(MOVES[0])
        before = the_file(folder).read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", half)
            for write in (entry.done, lambda: entry.begin(MOVES[1])):
                with pytest.raises(NoSpace) as caught:
                    write()
                assert str(folder) in caught.value.advice
        assert the_file(folder).read_bytes() == before
        assert entry.entry.begun == (Begun(MOVES[0]),)
        entry.done()
        assert journal.find(URI, UUID) == entry.entry


def test_a_folder_that_cannot_be_made_forbids_the_operation(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    journal = FileJournal(tmp_path / "file" / "journal")
    with pytest.raises(HostError, match="cannot be written down, so it was not begun"):
        journal.open(URI, UUID, "web", REVERT, MOVES)


_ON_A_SMALL_DISK = """
import sys
from dataclasses import replace
from pathlib import Path
from snapview.core.errors import HostError, NoSpace
from tests.test_journal import *
folder = Path(sys.argv[1])
journal = FileJournal(folder)
entry = journal.open(URI, UUID, "web", REVERT, MOVES)
written = 0
try:
    while True:
        entry.begin(MOVES[0], {"definition": "x" * 3000})
        written += 1
except NoSpace as error:
    assert "Make room" in error.advice, error.advice
found = journal.find(URI, UUID)
assert found == entry.entry and len(found.begun) == written > 3, written
try:
    journal.open(URI, "another VM", "db", REVERT, MOVES)
except NoSpace as error:
    assert "not begun" in error.message
assert journal.find(URI, "another VM") is None
entry.close(is_settled=False)
subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
for attempt in (
    lambda: journal.resume(found.id),
    lambda: journal.open(URI, "a third", "x", REVERT, MOVES),
):
    try:
        attempt()
        raise AssertionError
    except HostError as error:
        assert "can be written to" in error.advice
assert journal.find(URI, UUID) == replace(found, is_alive=False)
"""


def test_a_really_full_and_then_read_only_disk(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small file system needs root to mount it")
    script = 'mount -t tmpfs -o size=24k tmpfs "$1" && exec "$2" -W ignore -c "$3" "$1"'
    done = subprocess.run(
        [*own_mounts(), "sh", "-c", script, "sh", str(tmp_path), sys.executable, _ON_A_SMALL_DISK],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr


# Kills


_WRITER = """
import itertools, sys
from pathlib import Path
from tests.test_journal import *
journal = FileJournal(Path(sys.argv[1]))
entry = journal.open(URI, UUID, "web", REVERT, MOVES)
say = lambda word: os.write(1, word)
say(b"o")
for number in itertools.count():
    say(b"b")
    entry.begin(RemoveFile(f"/i/{number}"), {"definition": "x" * (number * 997 % 5000)})
    say(b"d")
    entry.done()
    say(b".")
"""


@pytest.mark.parametrize("seed", range(12))
def test_after_a_kill_at_any_moment_at_most_the_last_word_is_in_doubt(
    folder: Path, seed: int
) -> None:
    chance = random.Random(seed)
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    said, wanted = b"", chance.randrange(1, 60)
    while len(said) < wanted:
        said += os.read(writer.stdout.fileno(), 1)
    for _ in range(chance.randrange(3000)):  # somewhere within the next line
        select.select([], [], [], 0)
    os.kill(writer.pid, signal.SIGKILL)
    said += writer.stdout.read()
    assert writer.wait() == -signal.SIGKILL
    writer.stdout.close()

    found = FileJournal(folder).find(URI, UUID)
    assert found is not None, said
    assert not found.is_alive
    numbers = range(len(found.begun))
    assert [begun.move for begun in found.begun] == [RemoveFile(f"/i/{n}") for n in numbers]
    assert all(begun.is_done for begun in found.begun[:-1])
    begun, done = len(found.begun), sum(each.is_done for each in found.begun)
    assert said.count(b"d") <= begun <= said.count(b"b")
    assert said.count(b".") <= done <= said.count(b"d")
    entry = FileJournal(folder).resume(found.id)
    entry.begin(StartVm())
    entry.close(is_settled=True)
