"""A merge of images as a state machine: what to do next about a block job. Pure.

No clock and no libvirt. Whoever drives it looks at the job and then at the chain, asks, acts,
pauses, and looks again. Hides libvirt's ways of ending a job: that a job which is gone may have
done everything or nothing, that full bytes are no readiness, that a pivot may come too early.
"""

from dataclasses import dataclass, replace
from enum import Enum

from snapview.core.under_way import BlockJob, BlockJobType

PIVOTS_AT_MOST = 5
ABORTS_AT_MOST = 3
LOOKS_FOR_CHAIN = 20  # at a job that is gone; libvirt may tell of the new chain a little later
LOOKS_FOR_END = 40  # at a job that was aborted, before it is aborted again

FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.25


class Phase(Enum):
    """Where a merge is."""

    STARTING = "starting"
    COPYING = "copying"
    PIVOTING = "pivoting"
    ABORTING = "aborting"
    DONE = "done"
    ABORTED = "aborted"  # as asked; the chain is as before
    FAILED = "failed"  # the chain is as before

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self in {Phase.DONE, Phase.ABORTED, Phase.FAILED}


class Do(Enum):
    """What to do before the next look."""

    START = "start"
    WAIT = "wait"
    PIVOT = "pivot"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look has shown: first the disk's job, then its chain.

    ``is_merged``: the chain is as the merge is to leave it. ``is_unwanted``: somebody asked to
    stop.
    """

    job: BlockJob | None
    is_merged: bool = False
    is_unwanted: bool = False


@dataclass(frozen=True, slots=True)
class MergeJob:
    """One merge; every look makes a new one. ``is_failing``: its end will be a failure."""

    types: frozenset[BlockJobType]
    phase: Phase = Phase.STARTING
    looks: int = 0  # in this phase
    tries: int = 0  # to pivot, or to abort
    is_failing: bool = False

    @classmethod
    def commit(cls) -> "MergeJob":
        """A merge downwards that is to be started; one that is found running is taken over."""
        return cls(frozenset({BlockJobType.COMMIT, BlockJobType.ACTIVE_COMMIT}))

    @classmethod
    def pull(cls) -> "MergeJob":
        """A merge upwards that is to be started; one that is found running is taken over."""
        return cls(frozenset({BlockJobType.PULL}))

    @classmethod
    def to_finish(cls) -> "MergeJob":
        """Any job that is running already, to be brought to its end."""
        return cls(frozenset(BlockJobType), Phase.COPYING)

    @classmethod
    def to_abort(cls) -> "MergeJob":
        """Any job that is running already, to be aborted."""
        return cls(frozenset(BlockJobType), Phase.ABORTING)

    def after(self, seen: Seen) -> tuple["MergeJob", Do]:
        """Return the merge as it is after a look, and what to do now.

        ===========  ==========================================================================
        STARTING     merged already: done. A job of its kind: taken over. Of another: failed.
                     Else start it, unless nobody wants it any more.
        COPYING      gone: done if merged, else failed. Not wanted: abort. Ready: pivot.
        PIVOTING     gone and merged: done. Still there and ready: pivot again, so many times;
                     then abort and fail. Too late to be unwanted.
        ABORTING     gone: aborted; or done, if the merge was faster. Still there: wait, abort
                     again, give up.
        ===========  ==========================================================================
        """
        looked = replace(self, looks=self.looks + 1)
        match self.phase:
            case Phase.STARTING:
                return looked._starting(seen)
            case Phase.COPYING:
                return looked._copying(seen)
            case Phase.PIVOTING:
                return looked._pivoting(seen)
            case Phase.ABORTING:
                return looked._aborting(seen)
            case _:
                return self, Do.WAIT

    def _to(self, phase: Phase, do: Do = Do.WAIT) -> tuple["MergeJob", Do]:
        tries = 1 if do in {Do.PIVOT, Do.ABORT} else 0
        return replace(self, phase=phase, looks=0, tries=tries), do

    def _again(self, do: Do) -> tuple["MergeJob", Do]:
        return replace(self, looks=0, tries=self.tries + 1), do

    def _starting(self, seen: Seen) -> tuple["MergeJob", Do]:
        if seen.job is not None:
            if seen.job.type not in self.types:
                return self._to(Phase.FAILED)
            return replace(self, phase=Phase.COPYING)._copying(seen)
        if seen.is_merged:
            return self._to(Phase.DONE)
        if seen.is_unwanted:
            return self._to(Phase.ABORTED)
        return self._to(Phase.COPYING, Do.START)

    def _copying(self, seen: Seen) -> tuple["MergeJob", Do]:
        if seen.job is None:
            return self._gone(seen, Phase.ABORTED if seen.is_unwanted else Phase.FAILED)
        if seen.is_unwanted:
            return self._to(Phase.ABORTING, Do.ABORT)
        if seen.job.type.needs_pivot and seen.job.is_ready:
            return self._to(Phase.PIVOTING, Do.PIVOT)
        return replace(self, looks=0), Do.WAIT  # only looks at a job that is gone are counted

    def _pivoting(self, seen: Seen) -> tuple["MergeJob", Do]:
        if seen.job is None:
            return self._gone(seen, Phase.FAILED)
        if not seen.job.is_ready:
            return replace(self, looks=0), Do.WAIT
        if self.tries < PIVOTS_AT_MOST:
            return self._again(Do.PIVOT)
        return replace(self, is_failing=True)._to(Phase.ABORTING, Do.ABORT)

    def _aborting(self, seen: Seen) -> tuple["MergeJob", Do]:
        if seen.job is None:
            return self._gone(seen, Phase.FAILED if self.is_failing else Phase.ABORTED)
        if not self.tries:
            return self._again(Do.ABORT)
        if self.looks < LOOKS_FOR_END:
            return self, Do.WAIT
        if self.tries < ABORTS_AT_MOST:
            return self._again(Do.ABORT)
        return self._to(Phase.FAILED)

    def _gone(self, seen: Seen, otherwise: Phase) -> tuple["MergeJob", Do]:
        """The job is gone: it has done everything, or nothing, or the chain is not told yet."""
        if seen.is_merged:
            return self._to(Phase.DONE)
        if self.looks < LOOKS_FOR_CHAIN and self.phase is not Phase.ABORTING:
            return self, Do.WAIT
        return self._to(otherwise)


def pause_seconds(looks: int) -> float:
    """Return how long to pause before look number ``looks``: about a twentieth of all so far."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 1.05 ** min(looks, 100))
