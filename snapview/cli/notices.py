"""What is going on with a VM, or was left unfinished, as sentences with the way out."""

from collections.abc import Iterator

from snapview.cli.output import note
from snapview.cli.text import local_time, neutral, quoted, size
from snapview.core.under_way import BlockJob, Interruption
from snapview.core.vm import Vm


def show_notices(vm: Vm) -> None:
    """Say on stderr what a user has to know before anything is done to a VM."""
    for line in notices(vm):
        note(f"snapview: notice: {line}")


def notices(vm: Vm) -> Iterator[str]:
    """Yield a line for an interrupted operation and for each block job."""
    if vm.interruption is not None:
        yield _interruption_notice(vm, vm.interruption)
    for job in vm.block_jobs if not (vm.interruption and vm.interruption.is_alive) else ():
        yield _job_notice(vm, job)


def _interruption_notice(vm: Vm, found: Interruption) -> str:
    what = f"{neutral(found.what[:1].upper() + found.what[1:])} on {quoted(vm.name)}"
    if found.is_alive:
        return f"{what} is under way."
    return f"{what} was interrupted. “snapview recover {neutral(vm.name)}” says how to go on."


def _job_notice(vm: Vm, job: BlockJob) -> str:
    figures = ""
    if job.total_bytes:
        figures = f", {size(job.done_bytes)} of {size(job.total_bytes)} done"
    if job.is_ready:
        figures += ", ready to be finished"
    command = f"snapview job {neutral(vm.name)} {neutral(job.disk)}"
    ways = f"“{command} --abort” aborts it"
    if job.type.needs_pivot:
        ways = f"“{command} --finish” or “--abort” ends it"
    kind = {"unknown": "A block job"}.get(job.type.value, f"A block job ({job.type.value})")
    return f"{kind} runs on {neutral(job.disk)} of {quoted(vm.name)}{figures}. {ways}."


def interruption_lines(vm: Vm) -> Iterator[str]:
    """Yield all there is to say of an interrupted operation, and of its ways out."""
    found = vm.interruption
    if found is None:
        yield f"Nothing of {quoted(vm.name)} is left unfinished."
        return
    what = neutral(found.what[:1].upper() + found.what[1:])
    if found.is_alive:
        yield f"{what}, begun {local_time(found.began_at)}, is under way."
        return
    yield f"{what}, begun {local_time(found.began_at)}, was interrupted."
    yield from _way("--finish", "Nothing is left to be done.", found.finish)
    if found.undo is None:
        yield "It is too late to take it back."
    else:
        yield from _way("--undo", "Nothing has to be taken back.", found.undo)


def _way(option: str, empty: str, sentences: tuple[str, ...]) -> Iterator[str]:
    yield f"With {option}:"
    for number, sentence in enumerate(sentences or (empty,), 1):
        yield f"  {number}. {neutral(sentence)}"
