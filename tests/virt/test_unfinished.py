from collections.abc import Sequence
from pathlib import Path

import pytest

from snapview.core.errors import ConnectionLost, HostError, SnapviewError
from snapview.core.journal import OpenEntry
from snapview.core.moves import Move, StartVm, StopVm, TakeSnapshot
from snapview.core.operations import CreateSnapshot, RevertSnapshot
from snapview.core.vm import SnapshotKind
from snapview.journal import FileJournal
from snapview.virt.unfinished import Unfinished

URI, UUID = "qemu:///x", "u"
FROZEN = TakeSnapshot("x", "", SnapshotKind.EXTERNAL, quiesce=True)
REVERT: tuple[Move, ...] = (StopVm(), StartVm())


class Guest:
    """Counts how often it is thawed."""

    def __init__(self) -> None:
        self.thawed: list[str] = []
        self.error: SnapviewError | None = None

    def thaw(self, uuid: str) -> None:
        self.thawed.append(uuid)
        if self.error is not None:
            raise self.error


@pytest.fixture
def guest() -> Guest:
    return Guest()


@pytest.fixture
def journal(tmp_path: Path) -> FileJournal:
    return FileJournal(tmp_path)


@pytest.fixture
def unfinished(journal: FileJournal, guest: Guest) -> Unfinished:
    return Unfinished(journal, URI, guest.thaw)


def begin(journal: FileJournal, moves: Sequence[Move], *, done: int, in_doubt: int) -> OpenEntry:
    operation = (
        CreateSnapshot(UUID, "x", quiesce=True) if FROZEN in moves else RevertSnapshot(UUID, "x")
    )
    entry = journal.open(URI, UUID, "web", operation, tuple(moves))
    for move in moves[:done]:
        entry.begin(move)
        entry.done()
    for move in moves[done : done + in_doubt]:
        entry.begin(move)
    return entry


def test_usually_there_is_nothing(unfinished: Unfinished) -> None:
    assert unfinished.interruption(UUID) is None
    assert unfinished.fingerprint(UUID) == ""


def test_an_interrupted_operation_is_shown_with_its_ways_out(
    unfinished: Unfinished, journal: FileJournal, guest: Guest
) -> None:
    begin(journal, REVERT, done=1, in_doubt=1).close(is_settled=False)
    found = unfinished.interruption(UUID)
    assert found is not None
    assert (found.what, found.is_alive) == ("the revert to “x”", False)
    assert found.finish
    assert found.undo
    assert unfinished.interruption("another") is None
    assert guest.thawed == []


def test_what_is_under_way_is_alive_and_left_alone(
    unfinished: Unfinished, journal: FileJournal, guest: Guest
) -> None:
    entry = begin(journal, [FROZEN], done=0, in_doubt=1)
    found = unfinished.interruption(UUID)
    assert found is not None
    assert found.is_alive
    assert guest.thawed == []
    entry.close(is_settled=True)
    assert unfinished.interruption(UUID) is None


@pytest.mark.parametrize("done", [0, 2])
def test_an_entry_with_nothing_to_do_is_dropped(
    unfinished: Unfinished, journal: FileJournal, tmp_path: Path, done: int
) -> None:
    begin(journal, REVERT, done=done, in_doubt=0).close(is_settled=False)
    assert unfinished.interruption(UUID) is None
    assert list(tmp_path.iterdir()) == []


def test_it_is_not_dropped_while_somebody_works_on_it(
    unfinished: Unfinished, journal: FileJournal
) -> None:
    entry = begin(journal, REVERT, done=2, in_doubt=0)
    assert unfinished.interruption(UUID) is not None
    entry.close(is_settled=True)


def test_a_guest_that_may_be_frozen_is_thawed_once(
    unfinished: Unfinished, journal: FileJournal, guest: Guest
) -> None:
    begin(journal, [FROZEN, StopVm()], done=0, in_doubt=1).close(is_settled=False)
    assert unfinished.interruption(UUID) is not None
    assert unfinished.interruption(UUID) is not None
    assert guest.thawed == [UUID]


def test_it_is_thawed_also_when_nothing_else_is_left_to_do(
    unfinished: Unfinished, journal: FileJournal, guest: Guest
) -> None:
    begin(journal, [FROZEN], done=1, in_doubt=0).close(is_settled=False)
    assert unfinished.interruption(UUID) is None
    assert guest.thawed == [UUID]


def test_an_agent_that_is_gone_is_asked_once(
    unfinished: Unfinished, journal: FileJournal, guest: Guest
) -> None:
    guest.error = HostError("The agent does not answer.")
    begin(journal, [FROZEN], done=0, in_doubt=1).close(is_settled=False)
    assert unfinished.interruption(UUID) is not None
    assert unfinished.interruption(UUID) is not None
    assert guest.thawed == [UUID]


def test_after_a_lost_connection_it_is_asked_again(
    unfinished: Unfinished, journal: FileJournal, guest: Guest
) -> None:
    guest.error = ConnectionLost("Gone.")
    begin(journal, [FROZEN], done=0, in_doubt=1).close(is_settled=False)
    with pytest.raises(ConnectionLost):
        unfinished.interruption(UUID)
    guest.error = None
    assert unfinished.interruption(UUID) is not None
    assert guest.thawed == [UUID, UUID]


def test_the_fingerprint_changes_with_all_that_is_shown(
    unfinished: Unfinished, journal: FileJournal
) -> None:
    seen = [unfinished.fingerprint(UUID)]
    entry = begin(journal, REVERT, done=0, in_doubt=0)
    seen.append(unfinished.fingerprint(UUID))
    for move in REVERT:
        entry.begin(move)
        seen.append(unfinished.fingerprint(UUID))
        entry.done()
        seen.append(unfinished.fingerprint(UUID))
    entry.close(is_settled=False)
    seen.append(unfinished.fingerprint(UUID))
    assert len(set(seen)) == len(seen)
