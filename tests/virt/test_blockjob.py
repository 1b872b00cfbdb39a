"""Merges as a state machine, driven against a small QEMU that obeys, dawdles, or misbehaves."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapview.core.under_way import BlockJob, BlockJobType
from snapview.virt.blockjob import (
    ABORTS_AT_MOST,
    LONGEST_PAUSE_SECONDS,
    PIVOTS_AT_MOST,
    Do,
    MergeJob,
    Phase,
    Seen,
    pause_seconds,
)

LOOKS_AT_MOST = 1000
ACTIVE, MIDDLE, PULL = BlockJobType.ACTIVE_COMMIT, BlockJobType.COMMIT, BlockJobType.PULL


@dataclass
class Qemu:
    """One disk of a QEMU. ``steps`` are looks until all is copied, each a number of bytes."""

    type: BlockJobType = MIDDLE
    copies: int = 3
    ready_after: int = 0  # looks between the last byte and the mirror's flag
    early_pivots: int = 0  # so many pivots change nothing
    deaf_to_aborts: int = 0
    slow_chain: int = 0  # looks between the end of the job and the new chain
    breaks_at: int | None = None  # after so many copies the job ends with an error
    job_done: int | None = None  # bytes; None: no job
    is_copied: bool = False
    is_merged: bool = False
    asked: list[Do] = field(default_factory=list)

    @property
    def job(self) -> BlockJob | None:
        if self.job_done is None:
            return None
        full = self.job_done >= self.copies
        is_ready = full and self.ready_after <= 0 and self.type.needs_pivot
        return BlockJob("vda", self.type, min(self.job_done, self.copies), self.copies, 0, is_ready)

    def look(self, *, is_unwanted: bool = False) -> Seen:
        job = self.job
        if job is None and self.is_copied:
            self.slow_chain -= 1
            self.is_merged = self.is_merged or self.slow_chain < 0
        return Seen(job, self.is_merged, is_unwanted)

    def obey(self, do: Do) -> None:
        self.asked.append(do)
        if do is Do.START:
            assert self.job_done is None, "started while a job runs"
            self.job_done = 0
        elif do is Do.PIVOT:
            assert self.job is not None
            assert self.job.is_ready, "pivoted before the mirror was ready"
            self.early_pivots -= 1
            if self.early_pivots < 0:
                self._end(copied=True)
        elif do is Do.ABORT:
            self.deaf_to_aborts -= 1
            if self.deaf_to_aborts < 0:
                self._end(copied=False)

    def time_passes(self) -> None:
        if self.job_done is None:
            return
        if self.job_done == self.breaks_at:
            self._end(copied=False)
        elif self.job_done >= self.copies:
            self.ready_after -= 1
            if not self.type.needs_pivot:
                self._end(copied=True)
        else:
            self.job_done += 1

    def _end(self, *, copied: bool) -> None:
        self.job_done, self.is_copied = None, copied


def drive(merge: MergeJob, qemu: Qemu, unwanted_from: int | None = None) -> Iterator[MergeJob]:
    """Look, act, and let time pass, as the real driver does; yields what the merge has become."""
    for look in range(LOOKS_AT_MOST):
        seen = qemu.look(is_unwanted=unwanted_from is not None and look >= unwanted_from)
        merge, do = merge.after(seen)
        yield merge
        if merge.phase.is_over:
            return
        qemu.obey(do)
        qemu.time_passes()
    raise AssertionError(f"it never ends: {merge}")


def end(merge: MergeJob, qemu: Qemu, unwanted_from: int | None = None) -> Phase:
    return list(drive(merge, qemu, unwanted_from))[-1].phase


def count(qemu: Qemu, do: Do) -> int:
    return qemu.asked.count(do)


# What it is for


def test_a_middle_layer_is_merged_without_a_pivot() -> None:
    qemu = Qemu()
    assert end(MergeJob.commit(), qemu) is Phase.DONE
    assert (count(qemu, Do.START), count(qemu, Do.PIVOT), count(qemu, Do.ABORT)) == (1, 0, 0)


def test_the_active_layer_is_merged_with_one_pivot() -> None:
    qemu = Qemu(ACTIVE)
    phases = [merge.phase for merge in drive(MergeJob.commit(), qemu)]
    assert phases[-2:] == [Phase.PIVOTING, Phase.DONE]
    assert count(qemu, Do.PIVOT) == 1


def test_full_bytes_are_no_readiness() -> None:
    qemu = Qemu(ACTIVE, ready_after=30)
    assert end(MergeJob.commit(), qemu) is Phase.DONE
    assert count(qemu, Do.PIVOT) == 1
    assert len(qemu.asked) > 30


def test_an_empty_layer_is_ready_at_once() -> None:
    assert end(MergeJob.commit(), Qemu(ACTIVE, copies=0)) is Phase.DONE


def test_a_pull_ends_by_itself() -> None:
    qemu = Qemu(PULL)
    assert end(MergeJob.pull(), qemu) is Phase.DONE
    assert count(qemu, Do.PIVOT) == 0


def test_what_is_merged_already_is_not_started() -> None:
    qemu = Qemu(is_merged=True)
    assert end(MergeJob.commit(), qemu) is Phase.DONE
    assert qemu.asked == []


def test_the_chain_may_be_told_later_than_the_end() -> None:
    assert end(MergeJob.commit(), Qemu(slow_chain=5)) is Phase.DONE


# Going wrong


def test_a_pivot_that_comes_too_early_is_tried_again() -> None:
    qemu = Qemu(ACTIVE, early_pivots=PIVOTS_AT_MOST - 1)
    assert end(MergeJob.commit(), qemu) is Phase.DONE
    assert count(qemu, Do.PIVOT) == PIVOTS_AT_MOST


def test_pivots_are_not_tried_for_ever() -> None:
    qemu = Qemu(ACTIVE, early_pivots=1000)
    assert end(MergeJob.commit(), qemu) is Phase.FAILED
    assert count(qemu, Do.PIVOT) == PIVOTS_AT_MOST
    assert count(qemu, Do.ABORT) == 1


@pytest.mark.parametrize("kind", [ACTIVE, MIDDLE])
@pytest.mark.parametrize("breaks_at", [0, 2])
def test_a_job_that_breaks_off_has_failed(kind: BlockJobType, breaks_at: int) -> None:
    qemu = Qemu(kind, breaks_at=breaks_at)
    assert end(MergeJob.commit(), qemu) is Phase.FAILED
    assert count(qemu, Do.START) == 1


def test_a_job_of_another_kind_is_left_alone() -> None:
    qemu = Qemu(BlockJobType.BACKUP, job_done=1)
    assert end(MergeJob.commit(), qemu) is Phase.FAILED
    assert qemu.asked == []
    assert end(MergeJob.pull(), Qemu(MIDDLE, job_done=0)) is Phase.FAILED


# Stopping


def test_unwanted_before_it_began_nothing_is_done() -> None:
    qemu = Qemu()
    assert end(MergeJob.commit(), qemu, unwanted_from=0) is Phase.ABORTED
    assert qemu.asked == []


@pytest.mark.parametrize("kind", [ACTIVE, MIDDLE])
def test_unwanted_while_copying_it_is_aborted(kind: BlockJobType) -> None:
    qemu = Qemu(kind, copies=9)
    assert end(MergeJob.commit(), qemu, unwanted_from=4) is Phase.ABORTED
    assert count(qemu, Do.ABORT) == 1
    assert not qemu.is_merged


def test_unwanted_when_it_is_ready_it_is_aborted_all_the_same() -> None:
    qemu = Qemu(ACTIVE, copies=2)
    assert end(MergeJob.commit(), qemu, unwanted_from=2) is Phase.ABORTED
    assert count(qemu, Do.PIVOT) == 0


def test_unwanted_during_the_pivot_is_too_late() -> None:
    qemu = Qemu(ACTIVE, copies=0, early_pivots=2)
    looks = list(drive(MergeJob.commit(), qemu, unwanted_from=2))
    assert looks[1].phase is Phase.PIVOTING
    assert looks[-1].phase is Phase.DONE


def test_a_merge_that_was_faster_than_the_abort_is_done() -> None:
    merge, do = MergeJob.commit().after(Seen(BlockJob("vda", MIDDLE), is_unwanted=True))
    assert (merge.phase, do) == (Phase.ABORTING, Do.ABORT)
    assert merge.after(Seen(None, is_merged=True, is_unwanted=True))[0].phase is Phase.DONE


def test_somebody_elses_abort_counts_as_ours_when_it_is_unwanted() -> None:
    assert end(MergeJob.commit(), Qemu(copies=99, breaks_at=3), unwanted_from=5) is Phase.ABORTED


def test_a_deaf_job_is_aborted_again_but_not_for_ever() -> None:
    qemu = Qemu(ACTIVE, copies=10**6, deaf_to_aborts=1)
    assert end(MergeJob.commit(), qemu, unwanted_from=3) is Phase.ABORTED
    assert count(qemu, Do.ABORT) == 2
    qemu = Qemu(ACTIVE, copies=10**6, deaf_to_aborts=1000)
    assert end(MergeJob.commit(), qemu, unwanted_from=3) is Phase.FAILED
    assert count(qemu, Do.ABORT) == ABORTS_AT_MOST


# Found running


@pytest.mark.parametrize("kind", [ACTIVE, MIDDLE])
def test_a_job_found_running_is_taken_over(kind: BlockJobType) -> None:
    qemu = Qemu(kind, job_done=1)
    assert end(MergeJob.commit(), qemu) is Phase.DONE
    assert count(qemu, Do.START) == 0


def test_a_job_found_ready_is_pivoted() -> None:
    qemu = Qemu(ACTIVE, job_done=3)
    assert end(MergeJob.to_finish(), qemu) is Phase.DONE
    assert qemu.asked == [Do.PIVOT]


def test_a_job_found_running_is_aborted() -> None:
    qemu = Qemu(BlockJobType.COPY, job_done=3)
    assert end(MergeJob.to_abort(), qemu) is Phase.ABORTED
    assert qemu.asked == [Do.ABORT]


def test_a_job_found_that_has_ended_meanwhile() -> None:
    assert end(MergeJob.to_abort(), Qemu(is_merged=True)) is Phase.DONE
    assert end(MergeJob.to_finish(), Qemu(is_merged=True)) is Phase.DONE


# Whatever happens


@given(
    qemu=st.builds(
        Qemu,
        type=st.sampled_from([ACTIVE, MIDDLE]),
        copies=st.integers(0, 9),
        ready_after=st.integers(0, 9),
        early_pivots=st.integers(0, 9),
        deaf_to_aborts=st.integers(0, 5),
        slow_chain=st.integers(0, 9),
        breaks_at=st.none() | st.integers(0, 9),
        job_done=st.none() | st.integers(0, 9),
    ),
    unwanted_from=st.none() | st.integers(0, 30),
)
def test_it_ends_and_tells_the_truth(qemu: Qemu, unwanted_from: int | None) -> None:
    was_running = qemu.job_done is not None
    merge = list(drive(MergeJob.commit(), qemu, unwanted_from))[-1]
    assert (merge.phase is Phase.DONE) == qemu.is_merged
    assert count(qemu, Do.START) <= (0 if was_running else 1)
    if merge.phase is Phase.ABORTED:
        assert unwanted_from is not None
    if qemu.deaf_to_aborts < 0:
        assert qemu.job is None


def test_pauses_grow_with_the_time_that_has_passed_already() -> None:
    passed = 0.0
    for look in range(400):
        pause = pause_seconds(look)
        assert 0 < pause <= LONGEST_PAUSE_SECONDS
        assert pause <= 0.02 + passed * 0.0501, "more than a twentieth is waste"
        passed += pause
    assert pause_seconds(10**9) == LONGEST_PAUSE_SECONDS
