"""Planning what to do about something that is under way already: a block job, an interruption."""

from dataclasses import dataclass

from snapview.core.moves import EndJob, StopVm
from snapview.core.operations import EndBlockJob, Recover
from snapview.core.phrases import move_sentence
from snapview.core.planning.plans import (
    NO_INTERRUPTION,
    Act,
    Plan,
    Refusal,
    RefusalCode,
    Rule,
    Step,
    VmFacts,
    first_refusal,
)
from snapview.core.under_way import BlockJob, BlockJobType, Interruption
from snapview.core.vm import SnapshotKind, Vm


@dataclass(frozen=True, slots=True)
class _JobFacts(VmFacts):
    """What the rows for a block job look at."""

    operation: EndBlockJob

    @property
    def job(self) -> BlockJob | None:
        return next((job for job in self.vm.block_jobs if job.disk == self.operation.disk), None)

    @property
    def name(self) -> str:
        return f"The {_words(self.job)} on {self.operation.disk}"


def _words(job: BlockJob | None) -> str:
    kind = job.type if job is not None else BlockJobType.UNKNOWN
    return {
        BlockJobType.ACTIVE_COMMIT: "merge",
        BlockJobType.COMMIT: "merge",
        BlockJobType.UNKNOWN: "job",
    }.get(kind, kind.value)


END_JOB_RULES: tuple[Rule[_JobFacts], ...] = (
    NO_INTERRUPTION,  # the job is part of it, and its recovery knows what else to do
    Rule(
        RefusalCode.NOTHING_TO_DO,
        lambda f: f.job is None,
        lambda f: f"No block job runs on {f.operation.disk} of “{f.vm.name}”.",
        "Refresh; it may have ended.",
    ),
    Rule(
        RefusalCode.NOTHING_TO_DO,
        lambda f: f.operation.finish and f.job and not f.job.type.needs_pivot,
        lambda f: f"{f.name} ends by itself.",
        "Wait, or abort it.",
    ),
    Rule(
        RefusalCode.BLOCK_JOB,
        lambda f: f.operation.finish and f.job and not f.job.is_ready,
        lambda f: f"{f.name} is not ready yet.",
        "Wait until it has caught up.",
    ),
)


def plan_end_job(vm: Vm, operation: EndBlockJob) -> Plan | Refusal:
    """Plan to finish or abort a block job that somebody else, or an earlier run, has begun."""
    facts = _JobFacts(vm, operation)
    if (refusal := first_refusal(END_JOB_RULES, facts)) is not None:
        return refusal
    disk = operation.disk
    job_type = facts.job.type if facts.job is not None else BlockJobType.UNKNOWN
    what = (
        f"{disk} moves over to the image that the job has made."
        if operation.finish
        else f"The job on {disk} is aborted; the VM goes on with the images it has."
    )
    return Plan(
        operation=operation,
        steps=(Step(Act.FINISH if operation.finish else Act.ABORT, what, disk),),
        moves=(EndJob(disk, operation.finish),),
        kept=("The VM as it is now",),
        lost=() if operation.finish else _lost_by_abort(vm, job_type),
        warnings=_of_finish(vm, job_type) if operation.finish else _of_abort(job_type),
    )


def _lost_by_abort(vm: Vm, job_type: BlockJobType) -> tuple[str, ...]:
    match job_type:
        case BlockJobType.COMMIT | BlockJobType.ACTIVE_COMMIT if _has_external(vm):
            text = "The snapshot whose image is being merged into: later data are in it already"
            return (text,)
        case BlockJobType.BACKUP:
            return ("The backup that is being made",)
        case _:
            return ()


def _of_abort(job_type: BlockJobType) -> tuple[str, ...]:
    match job_type:
        case BlockJobType.COPY:
            return ("The unfinished copy stays as a file.",)
        case BlockJobType.UNKNOWN:
            return ("libvirt does not say what this job does; whoever began it may know.",)
        case _:
            return ()


def _of_finish(vm: Vm, job_type: BlockJobType) -> tuple[str, ...]:
    if job_type is BlockJobType.COPY:
        return ("The images used until now stay as files.",)
    if _has_external(vm):
        return ("There is no way back to a snapshot whose image has been merged by the job.",)
    return ()


def _has_external(vm: Vm) -> bool:
    return any(snapshot.kind is not SnapshotKind.INTERNAL for snapshot in vm.tree)


@dataclass(frozen=True, slots=True)
class _RecoverFacts(VmFacts):
    """What the rows for an interruption look at."""

    operation: Recover

    @property
    def found(self) -> Interruption | None:
        found = self.vm.interruption
        return found if found is not None and found.id == self.operation.interruption else None

    @property
    def what(self) -> str:
        return self.found.what if self.found is not None else ""

    @property
    def sentences(self) -> tuple[str, ...] | None:
        if self.found is None:
            return None
        return self.found.finish if self.operation.finish else self.found.undo


RECOVER_RULES: tuple[Rule[_RecoverFacts], ...] = (
    Rule(
        RefusalCode.NOTHING_TO_DO,
        lambda f: f.found is None,
        lambda f: f"Nothing of “{f.vm.name}” is left unfinished.",
        "Refresh; it was settled meanwhile.",
    ),
    Rule(
        RefusalCode.INTERRUPTED,
        lambda f: f.found and f.found.is_alive,
        lambda f: f"Another snapview is at work on {f.what}.",
        "Wait until it has ended.",
    ),
    Rule(
        RefusalCode.TOO_LATE,
        lambda f: f.sentences is None,
        lambda f: f"It is too late to take back {f.what}.",
        "Finish it.",
    ),
)


def plan_recover(vm: Vm, operation: Recover) -> Plan | Refusal:
    """Plan to finish or undo what was interrupted; the journal knows the moves."""
    facts = _RecoverFacts(vm, operation)
    if (refusal := first_refusal(RECOVER_RULES, facts)) is not None:
        return refusal
    act = Act.FINISH if operation.finish else Act.ABORT
    sentences = facts.sentences or ()
    # It may have gone on for hours since: then what it wrote goes with the images that are left.
    is_stopped = vm.run_state.is_active and move_sentence(StopVm()) in sentences
    since = f"Everything that “{vm.name}” has done since it was interrupted: it is switched off"
    return Plan(
        operation=operation,
        steps=tuple(Step(act, text) for text in sentences),
        lost=(since,) if is_stopped else (),
    )
