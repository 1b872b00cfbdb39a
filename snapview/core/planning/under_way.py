"""Planning what to do about something that is under way already: a block job, an interruption."""

from snapview.core.moves import EndJob
from snapview.core.operations import EndBlockJob, Recover
from snapview.core.planning.plans import Act, Plan, Refusal, RefusalCode, Step
from snapview.core.vm import Vm


def plan_end_job(vm: Vm, operation: EndBlockJob) -> Plan | Refusal:
    """Plan to finish or abort a block job that somebody else, or an earlier run, has begun."""
    job = next((job for job in vm.block_jobs if job.disk == operation.disk), None)
    if job is None:
        reason = f"No block job runs on {operation.disk} of “{vm.name}”."
        return Refusal(RefusalCode.NOTHING_TO_DO, reason, "Refresh; it may have ended.")
    if operation.finish and not job.type.needs_pivot:
        reason = f"The {job.type.value} on {job.disk} ends by itself."
        return Refusal(RefusalCode.NOTHING_TO_DO, reason, "Wait, or abort it.")
    if operation.finish and not job.is_ready:
        reason = f"The {job.type.value} on {job.disk} is not ready yet."
        return Refusal(RefusalCode.BLOCK_JOB, reason, "Wait until it has caught up.")
    if operation.finish:
        what = f"{job.disk} moves over to the image that the job has made."
        kept = ("The VM as it is now",)
    else:
        what = f"The job on {job.disk} is aborted; the VM goes on with the images it has."
        kept = ("The VM as it is now, and all its images",)
    return Plan(
        operation=operation,
        steps=(Step(Act.FINISH if operation.finish else Act.ABORT, what, job.disk),),
        moves=(EndJob(job.disk, operation.finish),),
        kept=kept,
    )


def plan_recover(vm: Vm, operation: Recover) -> Plan | Refusal:
    """Plan to finish or undo what was interrupted; the journal knows the moves."""
    found = vm.interruption
    if found is None or found.id != operation.interruption:
        reason = f"Nothing of “{vm.name}” is left unfinished."
        return Refusal(RefusalCode.NOTHING_TO_DO, reason, "Refresh; it was settled meanwhile.")
    if found.is_alive:
        reason = f"Another snapview is at work on {found.what}."
        return Refusal(RefusalCode.INTERRUPTED, reason, "Wait until it has ended.")
    sentences = found.finish if operation.finish else found.undo
    if sentences is None:
        reason = f"It is too late to take back {found.what}."
        return Refusal(RefusalCode.TOO_LATE, reason, "Finish it.")
    act = Act.FINISH if operation.finish else Act.ABORT
    return Plan(operation=operation, steps=tuple(Step(act, text) for text in sentences))
