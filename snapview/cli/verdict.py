"""What is true after an operation, in words, judged by the VM as it was read again. Pure."""

from collections.abc import Iterator
from typing import assert_never

from snapview.cli.text import counted, duration, listing, neutral, quoted, run_state, size
from snapview.core.errors import HostError
from snapview.core.moves import RemoveFile, SetDescription
from snapview.core.operations import (
    Cancelled,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    EditDescription,
    EndBlockJob,
    Failed,
    Outcome,
    Recover,
    RevertSnapshot,
    plain_name,
    split_description,
)
from snapview.core.planning import Plan
from snapview.core.vm import Vm


def checked(before: Vm, after: Vm | None, made: Plan, outcome: Done) -> Done | Failed:
    """Turn a success that cannot be seen in the VM into a failure."""
    if after is None:
        return outcome
    if after.problem is not None:
        error = HostError("The snapshots cannot be read to check the result.", advice=after.problem)
        return Failed(error, outcome.changed)
    missing = _what_is_missing(after, made, outcome)
    if not missing:
        return outcome
    error = HostError(
        f"libvirt reported success, but {missing}.",
        advice=f"Look at “snapview tree {neutral(before.name)}”; another program may have changed "
        "the VM at the same time.",
    )
    return Failed(error, outcome.changed)


def _what_is_missing(vm: Vm, made: Plan, outcome: Done) -> str:
    """Return what of the plan's promise does not hold, as half a sentence, or nothing."""
    operation = made.operation
    match operation:
        case CreateSnapshot():
            name = outcome.created or made.new_name
            return "" if name in vm.tree else f"{quoted(name or 'the snapshot')} is not there"
        case RevertSnapshot(snapshot=name):
            if vm.tree.current != name:
                return f"the VM does not stand at {quoted(name)}"
            created = outcome.created
            lacks_safety = created is not None and created not in vm.tree
            return f"the safety snapshot {quoted(created or '')} is not there" * lacks_safety
        case DeleteSnapshot(snapshots=names):
            left = [name for name in names if name in vm.tree]
            return f"{listing(map(quoted, left))} still exists" if left else ""
        case EditDescription(snapshot=name):
            edited = vm.tree.get(name)
            (text,) = (m.description for m in made.moves if isinstance(m, SetDescription))
            is_same = edited is not None and edited.description == split_description(name, text)[1]
            return "" if is_same else "the text is not the new one"
        case Consolidate():
            gone = {move.path for move in made.moves if isinstance(move, RemoveFile)}
            left = [d.target for d in vm.disks if gone & {layer.path for layer in d.layers}]
            return f"{listing(left)} still has all its images" if left else ""
        case EndBlockJob(disk=disk):
            left = [job.disk for job in vm.block_jobs if job.disk == disk]
            return f"the job on {disk} still runs" if left else ""
        case Recover(interruption=number):
            is_left = vm.interruption is not None and vm.interruption.id == number
            return "it is still unfinished" if is_left else ""
        case _:
            assert_never(operation)


def outcome_text(before: Vm, after: Vm | None, made: Plan, outcome: Outcome) -> str:
    """Return one line that says what is true now."""
    state = state_text(after) if after else f"The state of {quoted(before.name)} is unknown."
    match outcome:
        case Done():
            return f"{_done_text(before, after, made, outcome)} {state}"
        case Failed():
            return f"It failed. {state}"
        case Cancelled():
            return f"Cancelled. {state}"
        case _:
            assert_never(outcome)


def _done_text(before: Vm, after: Vm | None, made: Plan, outcome: Done) -> str:
    operation = made.operation
    match operation:
        case CreateSnapshot():
            return f"Took {_labelled(after, outcome.created or made.new_name or '')}."
        case RevertSnapshot():
            text = f"Reverted to {_labelled(before, operation.snapshot)}."
            if outcome.created:
                text += f" The state before is kept as {_labelled(after, outcome.created)}."
            return text
        case DeleteSnapshot():
            names = [_labelled(before, name) for name in operation.snapshots]
            return f"Deleted {listing(names)}."
        case EditDescription():
            return f"Described {_labelled(after or before, operation.snapshot)}."
        case Consolidate():
            return _merged_text(before, after)
        case EndBlockJob(disk=disk, finish=finish):
            return f"{'Finished' if finish else 'Aborted'} the job on {disk}."
        case Recover(finish=finish):
            return "Finished what was interrupted." if finish else "Took back what was interrupted."
        case _:
            assert_never(operation)


def _merged_text(before: Vm, after: Vm | None) -> str:
    """Say by how much the chains have become shorter."""
    now = {disk.target: len(disk.layers) for disk in after.state_disks} if after else {}
    disks = [
        f"{neutral(disk.target)} ({counted(len(disk.layers), 'image')}, now {now[disk.target]})"
        for disk in before.state_disks
        if now.get(disk.target, len(disk.layers)) != len(disk.layers)
    ]
    return f"Merged the images of {listing(disks)}." if disks else "Merged the images."


def figures_text(made: Plan, outcome: Done) -> Iterator[str]:
    """Yield one line with planned and actual figures, where anything was copied or freed."""
    actual = outcome.actual
    if actual is None or not (actual.copied_bytes or actual.freed_bytes):
        return
    parts = []
    if actual.copied_bytes:
        planned = _planned(made.bytes_to_copy, made.estimated_seconds)
        parts.append(f"Copied {size(actual.copied_bytes)} in {duration(actual.seconds)}{planned}")
    if actual.freed_bytes:
        text = f"freed {size(actual.freed_bytes)}"
        if actual.freed_bytes < 0:
            text = f"took {size(-actual.freed_bytes)} of the disk"
        if made.freed_bytes is not None:
            text += f" (planned {size(made.freed_bytes)})"
        parts.append(text)
    line = "; ".join(parts)
    yield f"{line[0].upper()}{line[1:]}."


def _planned(copied_bytes: int | None, seconds: float | None) -> str:
    if copied_bytes is None:
        return ""
    when = f" in about {duration(seconds)}" if seconds is not None else ""
    return f" (planned {size(copied_bytes)}{when})"


def _labelled(vm: Vm | None, name: str) -> str:
    """Return a snapshot's title, with its name unless that is just the title made plain."""
    snapshot = vm.tree.get(name) if vm else None
    if snapshot is None:
        return quoted(name)
    if name in {snapshot.label, plain_name(snapshot.label)}:
        return quoted(snapshot.label)
    return f"{quoted(snapshot.label)} ({neutral(name)})"


def state_text(vm: Vm) -> str:
    """Return where the VM stands, as one sentence."""
    if vm.problem is not None:
        return f"The snapshots of {quoted(vm.name)} are unknown: {neutral(vm.problem)}"
    count = counted(len(vm.tree), "snapshot")
    stands = f", now at {_labelled(vm, vm.tree.current)}" if vm.tree.current else ""
    return f"{quoted(vm.name)} has {count}{stands}, and is {run_state(vm.run_state)}."
