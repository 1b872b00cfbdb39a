"""Planning a consolidation: which images of the live chains are merged, which have to stay."""

from snapview.core.operations import Consolidate
from snapview.core.planning.plans import Plan, Refusal, RefusalCode
from snapview.core.vm import Vm


def plan_consolidate(vm: Vm, operation: Consolidate) -> Plan | Refusal:
    """Plan to merge the live chains."""
    reason = f"The chains of “{vm.name}” cannot be merged yet: {operation.disks}"
    return Refusal(RefusalCode.NOTHING_TO_DO, reason)
