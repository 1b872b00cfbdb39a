"""An operation under way: forward move by move, each written down first, or out where it is safe.

Decides where a cancel is safe and what has to be done when it is not to go on: what can be taken
back is; of what cannot, the records say the truth afterwards. Either way the VM is whole.
"""

import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import dropwhile

from snapview.core.errors import Conflict, ConnectionLost, HostError, SnapviewError
from snapview.core.journal import NO_NOTE, Begun, Entry, OpenEntry, undo_moves
from snapview.core.moves import (
    CommitImages,
    DeleteByLibvirt,
    ForgetSnapshot,
    MakeOverlay,
    Move,
    PullImages,
    RemoveFile,
    RevertByLibvirt,
    SetActive,
    SetFrozen,
    TakeSnapshot,
)
from snapview.core.operations import Progress
from snapview.core.vm import SnapshotTree
from snapview.virt.moves import is_made, make, note_of, phase_of
from snapview.virt.moves.files import remove_unneeded
from snapview.virt.moves.merges import overwritten
from snapview.virt.moves.site import Site, Stopped

_log = logging.getLogger(__name__)

Progresses = Generator[Progress, None, None]

# Before these it can be stopped although what was done cannot be taken back; the others go with
# what was done before them.
_BEGINNINGS = (CommitImages, PullImages, DeleteByLibvirt, TakeSnapshot, RevertByLibvirt)


class Course:
    """One operation's moves with their journal entry. Worker thread.

    Args:
        site: where they are made.
        entry: where they are written down; ``close`` lets go of it.
        is_recovery: the entry was begun by a snapview that is gone.
    """

    def __init__(self, site: Site, entry: OpenEntry, *, is_recovery: bool = False) -> None:
        self._site = site
        self._entry = entry
        self._is_recovery = is_recovery
        self._is_settled = False
        self._is_written_out = False
        moves = entry.entry.moves
        site.doomed = doomed_in(moves, site.vm.tree)
        site.is_recovery = is_recovery
        if is_recovery:
            site.spoil(spoilt_before(entry.entry, site.vm.tree))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let go of the entry in the end; unless it was settled, it stays for a recovery."""
        try:
            yield
        finally:
            with _logged("the journal"):
                self._entry.close(is_settled=self._is_settled)

    def settle(self) -> None:
        """Note that there is nothing left to be done or taken back."""
        self._is_settled = True

    def forward(self, moves: Sequence[Move]) -> Progresses:
        """Make the moves.

        Raises:
            Stopped: the user cancelled, and ``leave`` is to be called.
            SnapviewError: a move failed, and ``leave`` is to be called.
        """
        site = self._site
        begun_before = self._entry.entry.begun
        for number, move in enumerate(moves):
            yield Progress(phase_of(move, site))
            if site.stop.is_set() and self._may_stop(move):
                raise Stopped
            doubtful = begun_before[-1] if begun_before and number == 0 else None
            yield from self._make(move, doubtful)

    def _make(self, move: Move, doubtful: Begun | None) -> Progresses:
        site = self._site
        note: Mapping[str, str] = NO_NOTE
        if self._is_recovery:
            is_again = doubtful is not None and doubtful.move == move
            note = doubtful.note if doubtful is not None and is_again else NO_NOTE
            if is_made(move, site, note):
                self._entry.begin(move, note)
                self._note_done(move)
                return
        else:
            self._check(move)
        self._require_not_overtaken(move)
        self._entry.begin(move, note or note_of(move, site))
        if isinstance(move, RemoveFile):
            self._write_out()
        yield from make(move, site)
        self._note_done(move)

    def _write_out(self) -> None:
        """See that what the VM's QEMU has copied up is on the disk before its source goes."""
        moves = self._entry.entry.moves
        is_at_risk = any(isinstance(each, PullImages) and each.in_vm for each in moves)
        if is_at_risk and not self._is_written_out:
            self._site.port.write_out()
            self._is_written_out = True

    def _check(self, move: Move) -> None:
        """Let nothing be begun that would take something of somebody else's for ours."""
        if isinstance(move, MakeOverlay) and move.path in self._site.port.read_storage().images:
            raise Conflict(f"There is a file {move.path} already.", advice="Try again.")

    def _require_not_overtaken(self, move: Move) -> None:
        """Let no record be put right by a plan that somebody else has overtaken meanwhile.

        Who deleted what this one is still to forget may have gone by records that were not put
        right yet, and written to images of which they say otherwise.
        """
        if not isinstance(move, SetFrozen | SetActive | RemoveFile):
            return
        if gone := self._overtaken():
            raise Conflict(
                f"Somebody else has deleted {' and '.join(gone)} meanwhile.",
                advice="Look at the VM again before you go on.",
            )

    def _overtaken(self) -> list[str]:
        """Return the snapshots that are still to be forgotten and are gone all the same."""
        written = self._entry.entry
        begun = [each.move for each in written.begun]
        waiting = {m.snapshot for m in written.moves if isinstance(m, ForgetSnapshot)}
        waiting -= {m.snapshot for m in begun if isinstance(m, ForgetSnapshot)}
        there = self._site.port.snapshot_names() if waiting else frozenset()
        return [f"“{self._site.label(name)}”" for name in sorted(waiting - there)]

    def _note_done(self, move: Move) -> None:
        self._entry.done()
        if isinstance(move, ForgetSnapshot):
            self._site.spoilt.pop(move.snapshot, None)

    def _may_stop(self, move: Move) -> bool:
        """Whether the VM is whole without this move and all after it, or can be made so."""
        if undo_moves(self._entry.entry) is not None:
            return True
        if isinstance(move, ForgetSnapshot):  # of the next one
            return not self._site.spoilt
        return isinstance(move, _BEGINNINGS)

    def leave(self) -> Progresses:
        """Leave the VM whole: take back what can be taken back, else say what is lost.

        A recovery takes nothing back that was not asked for: what can be taken back stays as it
        is, and can be tried again.

        Raises:
            SnapviewError: that failed too; the entry stays for a recovery.
        """
        site, written = self._site, self._entry.entry
        in_doubt = written.begun[-1] if written.begun and not written.begun[-1].is_done else None
        merge = in_doubt.move if in_doubt is not None else None
        if isinstance(merge, CommitImages | PullImages) and self._is_ours(merge):
            site.port.end_job(merge.target, pivot=False)
        back = undo_moves(written)
        if back is not None and self._is_recovery:
            return
        for move in back or ():
            yield Progress("Taking back what was done")
            yield from self._take_back(move)
        if back is None:
            yield from self._give_up_spoilt()
        self.settle()

    def _is_ours(self, merge: CommitImages | PullImages) -> bool:
        """Whether a job that runs on its disk now is the one that was begun for it."""
        return self._is_recovery or merge.target in self._site.own_jobs

    def take_back(self, moves: Sequence[Move]) -> Progresses:
        """Make the moves of an undo that was asked for.

        Raises:
            SnapviewError: a move failed; the entry stays.
        """
        for move in moves:
            yield Progress(phase_of(move, self._site))
            yield from self._take_back(move)

    def _take_back(self, move: Move) -> Progresses:
        with suppress(SnapviewError):  # that nobody can write it down must not hinder it
            self._entry.begin(move)
        yield from make(move, self._site)
        with suppress(SnapviewError):
            self._entry.done()

    def _give_up_spoilt(self) -> Progresses:
        """Drop the records of states that a merge has begun to overwrite, and what was theirs."""
        site = self._site
        there = site.port.snapshot_names()
        lost = [name for name in site.spoilt if name in there]
        for name in lost:
            yield Progress(phase_of(ForgetSnapshot(name), site))
            yield from make(ForgetSnapshot(name), site)
        if lost:
            site.remarks.append(_loss([f"“{site.label(name)}”" for name in lost]))
        for path in (path for files in site.spoilt.values() for path in files):
            with suppress(HostError):  # needed after all: it stays
                remove_unneeded(path, site)
        site.spoilt.clear()


def _loss(labels: Sequence[str]) -> str:
    """Say which points in time are lost."""
    *first, last = labels
    text = f"{', '.join(first)} and {last} are lost" if first else f"{last} is lost"
    return (
        f"{text}: the merge had begun to overwrite "
        f"{'their images' if first else 'its image'}. "
        "The VM and all other snapshots are whole."
    )


def doomed_in(moves: Sequence[Move], tree: SnapshotTree) -> dict[str, tuple[str, ...]]:
    """Return the snapshots that the moves forget, each with the files that may go with it.

    Those are its memory, and what is removed right after its record is dropped. Of these some may
    still be needed when the merges before did not come to their end.
    """
    removed = {move.path for move in moves if isinstance(move, RemoveFile)}
    found: dict[str, tuple[str, ...]] = {}
    for at, move in enumerate(moves):
        if isinstance(move, ForgetSnapshot):
            snapshot = tree.get(move.snapshot)
            memory = snapshot.memory_path if snapshot is not None else None
            files = [*_removed_next(moves[at:]), *([memory] if memory in removed else [])]
            found[move.snapshot] = tuple(dict.fromkeys(filter(None, files)))
    return found


def _removed_next(moves: Sequence[Move]) -> Iterator[str]:
    """Yield the files that are removed right after the records that the moves begin with."""
    for move in dropwhile(lambda each: isinstance(each, ForgetSnapshot), moves):
        if not isinstance(move, RemoveFile):
            return
        yield move.path


def spoilt_before(entry: Entry, tree: SnapshotTree) -> Iterator[str]:
    """Yield the snapshots whose states the merges begun so far have overwritten.

    They are those that are to be forgotten after a merge before the next ones begin, and whose
    images are among those overwritten. What is forgotten already is not in the tree any more.
    """
    begun = [each.move for each in entry.begun]
    merges: list[CommitImages] = []
    has_forgotten = False
    for move in entry.moves:
        if isinstance(move, CommitImages | PullImages):
            merges, has_forgotten = ([] if has_forgotten else merges), False
            merges += [move] if isinstance(move, CommitImages) and move in begun else []
        elif isinstance(move, ForgetSnapshot):
            has_forgotten = True
            snapshot = tree.get(move.snapshot)
            if snapshot is not None and any(
                disk.frozen is not None
                and disk.target == merge.target
                and disk.frozen.path in overwritten(merge)
                for merge in merges
                for disk in snapshot.disks
            ):
                yield snapshot.name


@contextmanager
def _logged(what: str) -> Iterator[None]:
    """Do without something that fails; what was done to the VM is not changed by it."""
    try:
        yield
    except ConnectionLost:
        raise
    except SnapviewError as error:
        _log.warning("%s: %s", what, error.message)
