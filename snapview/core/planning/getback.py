"""Can I get back? Whether a snapshot can later be reverted to and removed on its host.

Asked of planning itself, for the VM as it will be right after the snapshot: so what is promised
and what is planned later can never disagree.
"""

from dataclasses import replace

from snapview.core.moves import TakeSnapshot
from snapview.core.operations import Afterwards, CreateSnapshot, DeleteSnapshot, RevertSnapshot
from snapview.core.planning.delete import plan_delete
from snapview.core.planning.plans import GetBack, Plan, Refusal
from snapview.core.planning.revert import decide
from snapview.core.planning.taken import after_taking
from snapview.core.vm import SnapshotKind, Vm


def with_verdict(vm: Vm, planned: Plan | Refusal) -> Plan | Refusal:
    """Add to the plan of a new snapshot whether one can get back to it."""
    if isinstance(planned, Refusal):
        return planned
    (take,) = (move for move in planned.moves if isinstance(move, TakeSnapshot))
    is_with_memory = isinstance(planned.operation, CreateSnapshot) and planned.operation.memory
    verdict = get_back(after_taking(vm, take, memory=is_with_memory), take.name)
    no = [] if verdict.revert else [verdict.revert_text]
    no += [] if verdict.remove else [verdict.remove_text]
    return replace(planned, get_back=verdict, warnings=(*no, *planned.warnings))


def get_back(vm: Vm, name: str) -> GetBack:
    """Say whether a VM can be reverted to a snapshot, and whether that can be removed."""
    revert, revert_text = _revert(vm, name)
    remove, remove_text = _remove(vm, name)
    return GetBack(revert, revert_text, remove, remove_text)


def _revert(vm: Vm, name: str) -> tuple[bool, str]:
    # One that is transient can only go back to run: off, it would not exist any more.
    afterwards = Afterwards.AS_IT_WAS if vm.is_persistent else Afterwards.RUNNING
    operation = RevertSnapshot(vm.uuid, name, safety_snapshot=False, afterwards=afterwards)
    decided = decide(vm, operation)
    if isinstance(decided, Refusal):
        return False, decided.reason
    if decided.why_own:
        return True, f"Yes, by snapview's own way. {decided.why_own}"
    return True, f"Yes, by {vm.capabilities.libvirt_text} itself."


def _remove(vm: Vm, name: str) -> tuple[bool, str]:
    planned = plan_delete(vm, DeleteSnapshot(vm.uuid, (name,)))
    if isinstance(planned, Refusal):
        return False, planned.reason
    is_external = vm.tree[name].kind is SnapshotKind.EXTERNAL
    if is_external and vm.capabilities.touches_disks:
        return True, "Yes, by snapview's own way, also while the VM runs."
    if any(disk.layers[0].type not in {"file", "block"} for disk in vm.state_disks):
        return True, f"Yes, by {vm.capabilities.libvirt_text} itself, while the VM is on."
    return True, f"Yes, by {vm.capabilities.libvirt_text} itself."
