"""Plan an operation, do it, read the VM again, and say in one line what is true now.

Success is never taken from libvirt's word: the line at the end comes from the VM as it was read
afterwards, also when the operation failed or was cancelled.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from snapview.cli.documents import (
    outcome_document,
    plan_document,
    refusal_document,
)
from snapview.cli.errand import Errand, cancellable, interruptible
from snapview.cli.invocation import ExitStatus, FoundVm, Invocation, status_of
from snapview.cli.notices import show_notices
from snapview.cli.output import complain, meter, note, print_document, say
from snapview.cli.plan_text import plan_lines
from snapview.cli.text import neutral, quoted
from snapview.cli.verdict import checked, figures_text, outcome_text
from snapview.core.errors import ImageNotWritable, PlanChanged, SnapviewError
from snapview.core.operations import (
    Cancelled,
    Done,
    EndBlockJob,
    Failed,
    Host,
    Operation,
    Outcome,
    Progress,
    Recover,
)
from snapview.core.planning import Plan, Refusal, RefusalCode, plan
from snapview.core.vm import Vm

_log = logging.getLogger(__name__)

_SAMPLE_SECONDS = 0.5


def run_operation(
    invocation: Invocation,
    found: FoundVm,
    operation: Operation,
    *,
    command: str,
    is_dry_run: bool = False,
) -> ExitStatus:
    """Carry out one operation, or only say what it would do."""
    if not isinstance(operation, Recover | EndBlockJob):  # those are what the notices speak of
        show_notices(found.vm)
    made = plan(found.vm, operation)
    if isinstance(made, Refusal):
        return _refuse(invocation, found.vm, made)
    if is_dry_run:
        if invocation.as_json:
            print_document(plan_document(found.vm, made))
        else:
            say("Nothing has been changed. This is what would happen:")
            for line in plan_lines(made):
                say(line)
        return ExitStatus.DONE
    for warning in made.warnings:
        note(f"snapview: warning: {neutral(warning)}")
    outcome = _carry_out(invocation, found, made)
    if isinstance(outcome, Failed) and isinstance(outcome.error, PlanChanged):
        return _show_anew(invocation, found, operation, outcome.error)
    return _conclude(invocation, found, made, outcome, command)


def _show_anew(
    invocation: Invocation, found: FoundVm, operation: Operation, error: PlanChanged
) -> ExitStatus:
    """Say that a plan was overtaken, and what would be done now; nothing was."""
    refusal = Refusal(RefusalCode.PLAN_CHANGED, error.message, error.advice)
    status = _refuse(invocation, found.vm, refusal)
    now = invocation.with_images(
        FoundVm(found.host, interruptible(found.host.read_vm, found.vm.uuid))
    )
    made = plan(now.vm, operation)
    if isinstance(made, Plan):
        note("This is what would happen now:")
        for line in plan_lines(made):
            note(line)
    return status


def _refuse(invocation: Invocation, vm: Vm, refusal: Refusal) -> ExitStatus:
    note(f"snapview: refused: {neutral(refusal.reason)}")
    if refusal.advice:
        note(neutral(refusal.advice))
    if invocation.as_json:
        print_document(refusal_document(vm, refusal))
    return ExitStatus.REFUSED


def _carry_out(invocation: Invocation, found: FoundVm, made: Plan) -> Outcome:
    """Step the job on another thread; show how far it is; Ctrl-C asks it to stop."""
    host = found.host
    job = host.start(made.operation, made.gist)
    newest: list[Progress] = []  # at most one; only the job's thread replaces it

    def step_to_the_end() -> Outcome:
        _log.info("%s of VM %s begins", name, found.vm.uuid)
        while isinstance(state := job.step(), Progress):
            newest[:] = [state]
        return state

    second = _SecondConnection(lambda: invocation.open_host(host.uri), found.vm.uuid)

    def cancel() -> None:
        note("snapview: cancelling. Press Ctrl-C again to leave it to libvirt.")
        job.request_cancel()
        second.abort()

    def tick() -> None:
        second.sample()
        shown.show(_merged(next(iter(newest), None), second.newest))

    name = type(made.operation).__name__
    started_at = time.monotonic()
    with meter() as shown:
        outcome = cancellable(step_to_the_end, cancel=cancel, tick=tick)
    seconds = time.monotonic() - started_at
    _log.info("%s of VM %s: %s in %.2f s", name, found.vm.uuid, type(outcome).__name__, seconds)
    return outcome


def _merged(step: Progress | None, figures: Progress | None) -> Progress | None:
    """Return the job's own phase with libvirt's figures, as far as both are known."""
    if step is None or figures is None:
        return step or figures
    return replace(figures, phase=figures.phase or step.phase)


class _SecondConnection:
    """Asks how far a job is, and aborts it, while the first connection is blocked by it.

    Never blocks: each question is an errand of its own, one at a time. The connection is made
    only for jobs that take longer than a moment, and its failure is none of the job's: without
    it there are no figures and no abort.
    """

    def __init__(self, open_host: Callable[[], Host], uuid: str) -> None:
        self.newest: Progress | None = None
        self._open_host = open_host
        self._uuid = uuid
        self._host: Host | None = None
        self._next_at = time.monotonic() + _SAMPLE_SECONDS
        self._errand: Errand[None] | None = None
        self._shall_abort = False

    def abort(self) -> None:
        """Ask libvirt to abort what it is doing for the VM, as soon as that is possible."""
        self._shall_abort = True
        self.sample()

    def sample(self) -> None:
        """Have libvirt's figures asked for, at most twice a second."""
        is_due = self._shall_abort or time.monotonic() >= self._next_at
        if is_due and (self._errand is None or self._errand.wait(0)):
            self._next_at = time.monotonic() + _SAMPLE_SECONDS
            ask = self._ask_to_abort if self._shall_abort else self._ask_how_far
            self._shall_abort = False
            self._errand = Errand(lambda: self._ask(ask))

    def _ask_how_far(self, host: Host) -> None:
        self.newest = host.sample(self._uuid)

    def _ask_to_abort(self, host: Host) -> None:
        host.abort(self._uuid)

    def _ask(self, question: Callable[[Host], None]) -> None:
        try:
            if self._host is None:
                self._host = self._open_host()
            question(self._host)
        except SnapviewError as error:
            _log.info("the second connection does not help: %s", error)


def _conclude(
    invocation: Invocation, found: FoundVm, made: Plan, outcome: Outcome, command: str
) -> ExitStatus:
    """Read the VM again and say what is true now."""
    try:
        vm: Vm | None = interruptible(found.host.read_vm, found.vm.uuid)
    except SnapviewError as error:
        vm = None
        note(f"snapview: {quoted(found.vm.name)} cannot be read again.")
        complain(error, is_verbose=invocation.is_verbose)
    if isinstance(outcome, Done):
        outcome = checked(found.vm, vm, made, outcome)
    _keep(invocation, found, made, outcome)
    if isinstance(outcome, Failed) and isinstance(outcome.error, ImageNotWritable):
        hint = "--pull merges upwards, and does not write to that image."
        outcome.error.advice = f"{outcome.error.advice} {hint}".strip()
    text = outcome_text(found.vm, vm, made, outcome)
    if invocation.as_json:
        print_document(outcome_document(vm, command, made, outcome, text))
    for remark in () if isinstance(outcome, Failed) else outcome.remarks:
        note(f"snapview: {neutral(remark)}")
    match outcome:
        case Done():
            if not invocation.as_json:
                say("\n".join([text, *figures_text(made, outcome)]))
            return ExitStatus.DONE
        case Failed():
            complain(outcome.error, is_verbose=invocation.is_verbose)
            note(text)
            return status_of(outcome.error)
        case Cancelled():
            note(text)
            return ExitStatus.CANCELLED
        case _:
            assert_never(outcome)


def _keep(invocation: Invocation, found: FoundVm, made: Plan, outcome: Outcome) -> None:
    """Keep what was planned and what came of it."""
    from snapview.history import record_of  # SQLite is not needed before

    record = record_of(invocation.services.now(), found.host.uri, found.vm, made, outcome)
    invocation.history.record(record)
