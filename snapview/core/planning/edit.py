"""Planning a new title or description."""

from dataclasses import replace

from snapview.core.marks import with_consistency_of
from snapview.core.moves import SetDescription
from snapview.core.operations import (
    EditDescription,
    join_description,
    plain_text,
    plain_title,
)
from snapview.core.planning.plans import Act, Plan, Refusal, RefusalCode, Step
from snapview.core.vm import Vm


def plan_edit(vm: Vm, operation: EditDescription) -> Plan | Refusal:
    """Plan an edit. libvirt's name stays: it is the tag inside the images.

    What the description notes of the state's consistency stays as well.
    """
    snapshot = vm.tree.get(operation.snapshot)
    if snapshot is None:
        return not_found(vm, operation.snapshot)
    if snapshot.problem is not None:
        return unreadable(snapshot.label, snapshot.problem)
    title = plain_title(operation.title) or snapshot.name
    others = (other for other in vm.tree if other.name != snapshot.name)
    if title != snapshot.label and any(title in {s.name, s.title} for s in others):
        reason = f"“{vm.name}” already has a snapshot called “{title}”."
        return Refusal(RefusalCode.NAME_EXISTS, reason, "Choose another name.")
    description = with_consistency_of(snapshot.description, plain_text(operation.description))
    text = join_description(snapshot.name, title, description)
    return Plan(
        operation=replace(operation, title=title, description=description),
        steps=(Step(Act.EDIT, "Title and description are changed.", snapshot=snapshot.name),),
        moves=(SetDescription(snapshot.name, text),),
        kept=("Everything: only the words change",),
        undo="Edit it again.",
    )


def not_found(vm: Vm, name: str) -> Refusal:
    """Refuse because there is no such snapshot."""
    reason = f"“{vm.name}” has no snapshot called “{name}”."
    return Refusal(RefusalCode.NOT_FOUND, reason, "Refresh; another program may have deleted it.")


def unreadable(label: str, problem: str) -> Refusal:
    """Refuse because libvirt's record of the snapshot cannot be read."""
    reason = f"The record of “{label}” cannot be read: {problem}"
    advice = "Look at it with: virsh snapshot-dumpxml"
    return Refusal(RefusalCode.UNREADABLE, reason, advice)
