"""What an operation will do, or why it must not: ``plan(vm, operation) -> Plan | Refusal``.

Pure. The window, the command line and the host all ask here, so that a disabled action, a dry
run and the act itself can never disagree. One file an operation; each decision is a row of a
table there.
"""

from typing import assert_never

from snapview.core.operations import (
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    EndBlockJob,
    Operation,
    Recover,
    RevertSnapshot,
)
from snapview.core.planning.consolidate import plan_consolidate
from snapview.core.planning.create import default_snapshot, plan_create, recommended_kind
from snapview.core.planning.delete import plan_delete
from snapview.core.planning.edit import plan_edit
from snapview.core.planning.getback import with_verdict
from snapview.core.planning.plans import Act, GetBack, Plan, Refusal, RefusalCode, Step
from snapview.core.planning.revert import plan_revert
from snapview.core.planning.under_way import plan_end_job, plan_recover
from snapview.core.vm import Vm

__all__ = [
    "Act",
    "GetBack",
    "Plan",
    "Refusal",
    "RefusalCode",
    "Step",
    "default_snapshot",
    "plan",
    "recommended_kind",
]


def plan(vm: Vm, operation: Operation) -> Plan | Refusal:
    """Say what ``operation`` would do to ``vm``, or why it must not be done.

    The plan's ``operation`` is complete: defaults are filled in, deletes are in their order.
    """
    match operation:
        case CreateSnapshot():
            return with_verdict(vm, plan_create(vm, operation))
        case RevertSnapshot():
            return plan_revert(vm, operation)
        case DeleteSnapshot():
            return plan_delete(vm, operation)
        case EditDescription():
            return plan_edit(vm, operation)
        case Consolidate():
            return plan_consolidate(vm, operation)
        case EndBlockJob():
            return plan_end_job(vm, operation)
        case Recover():
            return plan_recover(vm, operation)
        case _:
            assert_never(operation)
