"""Recovery held against a little machine on which every move and every crash can be tried."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.journal import (
    NO_NOTE,
    OLD_CURRENT,
    OLD_DEFINITION,
    Begun,
    Entry,
    interruption_of,
    is_moot,
    moves_left,
    needs_thaw,
    undo_moves,
)
from snapview.core.moves import (
    CommitImages,
    DefineAsAt,
    DeleteByLibvirt,
    EndJob,
    ForgetSnapshot,
    MakeOverlay,
    Move,
    PointTo,
    PullImages,
    RemoveFile,
    RestoreDefinition,
    RestoreMemory,
    RevertByLibvirt,
    SetCurrent,
    SetDescription,
    SetFrozen,
    StartVm,
    StopVm,
    TakeSnapshot,
)
from snapview.core.operations import DeleteSnapshot, Operation, RevertSnapshot
from snapview.core.vm import DiskLayer, SnapshotKind

AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
BASE = DiskLayer("/i/base", "qcow2")
ACTIVE = DiskLayer("/i/active", "qcow2")


@dataclass
class Machine:
    """What an own-path revert changes. Each move looks first whether it is already so."""

    is_on: bool = True
    definition: str = "of now"
    images: Mapping[str, str] = field(default_factory=lambda: {"vda": ACTIVE.path})
    current: str | None = "later"
    snapshots: set[str] = field(default_factory=lambda: {"early", "later"})
    files: set[str] = field(default_factory=lambda: {BASE.path, ACTIVE.path})

    def note(self, move: Move) -> Mapping[str, str]:
        match move:
            case DefineAsAt():
                return {OLD_DEFINITION: f"{self.definition} on {self.images['vda']}"}
            case SetCurrent() if self.current is not None:
                return {OLD_CURRENT: self.current}
            case _:
                return NO_NOTE

    def make(self, move: Move) -> None:
        match move:
            case TakeSnapshot(name=name):
                self._take(name)
            case StopVm():
                self.is_on = False
            case StartVm() | RestoreMemory():
                self.is_on = True
            case MakeOverlay(path=path):
                self.files.add(path)
            case DefineAsAt(snapshot=name, images=images):
                assert not self.is_on
                self.definition, self.images = f"as at {name}", dict(images)
            case RestoreDefinition(xml=xml):
                assert not self.is_on
                self.definition, _, path = xml.rpartition(" on ")
                self.images = {"vda": path}
            case SetCurrent(snapshot=name):
                assert name in self.snapshots
                self.current = name
            case RemoveFile(path=path):
                assert path not in self.images.values(), "something still refers to it"
                self.files.discard(path)
            case _:
                raise AssertionError(move)

    def _take(self, name: str) -> None:
        if name not in self.snapshots:
            self.snapshots.add(name)
            self.current, self.images = name, {"vda": "/i/after-safety"}
            self.files.add("/i/after-safety")


@dataclass
class Logbook:
    """A journal's entry as whoever makes the moves writes it."""

    entry: Entry
    machine: Machine

    def make(self, moves: Iterable[Move], until: int | None = None, *, torn: str = "no") -> None:
        """Make moves; then begin one more, and crash before it, after it, or not at all."""
        planned = list(moves)
        stop = len(planned) if until is None else min(until, len(planned))
        for move in planned[:stop]:
            self._begin(move)
            self.machine.make(move)
            self._done()
        if torn != "no" and stop < len(planned):
            self._begin(planned[stop])
            if torn == "after":
                self.machine.make(planned[stop])

    def _begin(self, move: Move) -> None:
        begun = Begun(move, self.machine.note(move))
        self.entry = replace(self.entry, begun=(*self.entry.begun, begun))

    def _done(self) -> None:
        *before, last = self.entry.begun
        self.entry = replace(self.entry, begun=(*before, replace(last, is_done=True)))


def entry_of(
    *moves: Move, begun: tuple[Begun, ...] = (), operation: Operation | None = None
) -> Entry:
    asked = operation or RevertSnapshot("u", "early")
    return Entry("7", "qemu:///x", "u", "web", asked, moves, AT, begun)


@st.composite
def reverts(draw: st.DrawFn) -> tuple[Move, ...]:
    """Own-path reverts: with and without safety snapshot, of a VM on or off."""
    moves: list[Move] = []
    if draw(st.booleans()):
        moves.append(TakeSnapshot("kept", "", SnapshotKind.EXTERNAL))
    if draw(st.booleans()) or not moves:
        moves.append(StopVm())
    moves.append(MakeOverlay("vda", "/i/new", BASE))
    moves.append(DefineAsAt("early", (("vda", "/i/new"),)))
    moves.append(SetCurrent("early"))
    ending = draw(st.sampled_from([StartVm(), RestoreMemory("early", "/i/mem", ()), None]))
    return (*moves, ending) if ending else tuple(moves)


def begin(moves: tuple[Move, ...]) -> Logbook:
    machine = Machine(is_on=StopVm() in moves)
    return Logbook(entry_of(*moves), machine)


CRASHES = st.tuples(st.integers(0, 8), st.sampled_from(["no", "before", "after"]))


def without_what_stays(machine: Machine, before: Machine) -> Machine:
    """The machine as an undo may leave it: a kept state and a VM that is off are no harm."""
    seen = deepcopy(machine)
    if "kept" in seen.snapshots:
        seen.snapshots.remove("kept")
        seen.files.discard("/i/after-safety")
        if seen.current == "kept":
            seen.current = before.current
        if seen.images == {"vda": "/i/after-safety"}:
            seen.images = before.images
    seen.is_on = before.is_on
    return seen


@given(reverts(), CRASHES)
def test_finishing_after_a_crash_anywhere_gives_the_end_state(
    moves: tuple[Move, ...], crash: tuple[int, str]
) -> None:
    whole, broken = begin(moves), begin(moves)
    whole.make(moves)
    broken.make(moves, crash[0], torn=crash[1])
    broken.make(moves_left(broken.entry))
    assert broken.machine == whole.machine
    assert is_moot(broken.entry)
    assert moves_left(broken.entry) == ()


@given(reverts(), CRASHES)
def test_undoing_after_a_crash_anywhere_gives_the_state_of_before(
    moves: tuple[Move, ...], crash: tuple[int, str]
) -> None:
    log = begin(moves)
    before = deepcopy(log.machine)
    log.make(moves, crash[0], torn=crash[1])
    back = undo_moves(log.entry)
    assert back is not None
    log.make(back)
    assert without_what_stays(log.machine, before) == before
    assert is_moot(log.entry) == (bool(back) or not log.entry.begun or crash[0] >= len(moves))


@given(
    reverts(),
    st.lists(st.tuples(st.sampled_from(["finish", "undo"]), CRASHES), max_size=4),
    st.sampled_from(["finish", "undo"]),
)
def test_recoveries_that_crash_themselves_can_be_turned_either_way(
    moves: tuple[Move, ...], attempts: list[tuple[str, tuple[int, str]]], last: str
) -> None:
    whole, log = begin(moves), begin(moves)
    whole.make(moves)
    before = deepcopy(log.machine)
    for way, crash in attempts:
        log.make(_way(log.entry, way), crash[0], torn=crash[1])
    log.make(_way(log.entry, last))
    if last == "finish":
        assert log.machine == whole.machine
    else:
        assert without_what_stays(log.machine, before) == before


def _way(entry: Entry, way: str) -> tuple[Move, ...]:
    moves = moves_left(entry) if way == "finish" else undo_moves(entry)
    assert moves is not None
    return moves


CHAIN = (ACTIVE, BASE)
COMMIT = CommitImages("vda", ACTIVE.path, BASE.path, CHAIN, in_vm=True)


@pytest.mark.parametrize(
    "move",
    [
        RevertByLibvirt("early"),
        DeleteByLibvirt("early"),
        ForgetSnapshot("early"),
        SetDescription("early", "text"),
        SetFrozen("early", "vda", "/a", "/b"),
        COMMIT,
        PointTo("vda", ACTIVE, (BASE,)),
        RemoveFile("/i/old"),
        EndJob("vda", pivot=True),
        RestoreDefinition("<domain/>"),
        DefineAsAt("early", ()),  # without a note of the old document
    ],
)
def test_what_was_begun_and_cannot_be_had_back_can_only_be_finished(move: Move) -> None:
    safe = MakeOverlay("vda", "/i/new", BASE)
    not_yet = entry_of(safe, move, begun=(Begun(safe, is_done=True),))
    assert undo_moves(not_yet) == (RemoveFile("/i/new"),)
    in_doubt = entry_of(safe, move, begun=(Begun(safe, is_done=True), Begun(move)))
    assert undo_moves(in_doubt) is None
    assert interruption_of(in_doubt).undo is None
    assert moves_left(in_doubt) == (move,)


def test_a_pull_is_taken_back_by_aborting_it_where_the_vm_does_it() -> None:
    own = PullImages("vda", None, CHAIN, in_vm=True)
    bench = replace(own, in_vm=False)
    assert undo_moves(entry_of(own, begun=(Begun(own),))) == (EndJob("vda", pivot=False),)
    assert undo_moves(entry_of(own, begun=(Begun(own, is_done=True),))) == ()
    assert undo_moves(entry_of(bench, begun=(Begun(bench),))) == ()


def test_without_a_current_snapshot_before_the_undo_says_that_the_mark_stays() -> None:
    move = SetCurrent("early")
    entry = entry_of(move, begun=(Begun(move),))
    assert undo_moves(entry) == ()
    assert interruption_of(entry).undo == ("libvirt goes on to say that the VM stands at “early”.",)


def test_an_interruption_says_what_would_be_done() -> None:
    moves = (StopVm(), MakeOverlay("vda", "/i/new", BASE), StartVm())
    begun = (Begun(moves[0], is_done=True), Begun(moves[1]))
    found = interruption_of(replace(entry_of(*moves, begun=begun), is_alive=True))
    assert (found.id, found.what, found.began_at) == ("7", "the revert to “early”", AT)
    assert found.is_alive
    assert found.finish == (
        "vda: the new image new is put on base.",
        "The VM is started, if it is off.",
    )
    assert found.undo == (
        "The file new is removed, unless something still refers to it.",
        "The VM stays off; what was in its memory alone is lost.",
    )


def test_nothing_begun_or_nothing_left_is_moot() -> None:
    operation = DeleteSnapshot("u", ("early",))
    moves = (COMMIT, ForgetSnapshot("early"))
    assert is_moot(entry_of(*moves, operation=operation))
    assert not is_moot(entry_of(*moves, begun=(Begun(COMMIT),)))
    assert not is_moot(entry_of(*moves, begun=(Begun(COMMIT, is_done=True),)))
    all_done = tuple(Begun(move, is_done=True) for move in moves)
    assert is_moot(entry_of(*moves, begun=all_done))


@pytest.mark.parametrize("is_done", [True, False])
def test_a_guest_may_be_frozen_only_if_its_freeze_was_begun_and_nobody_cares(is_done: bool) -> None:
    take = TakeSnapshot("x", "", SnapshotKind.EXTERNAL, quiesce=True)
    entry = entry_of(take, begun=(Begun(take, is_done=is_done),))
    assert needs_thaw(entry)
    assert not needs_thaw(replace(entry, is_alive=True))
    assert not needs_thaw(replace(entry, begun=()))
    calm = replace(take, quiesce=False)
    assert not needs_thaw(entry_of(calm, begun=(Begun(calm),)))
