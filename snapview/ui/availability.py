"""When an action may be used, and what its tooltip says.

Hides how that follows from ``plan``: what the plan refuses is disabled, and the tooltip says why.
"""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtGui import QKeySequence

from snapview.core.operations import Operation
from snapview.core.planning import Act, Plan, Refusal, plan
from snapview.core.vm import Vm
from snapview.ui.actions import ActionSpec, Needs, translated


@dataclass(frozen=True, slots=True)
class ActionContext:
    """What the actions would act on: the shown VM and the selected snapshots."""

    vm: Vm | None = None
    selected: tuple[str, ...] = ()
    is_stale: bool = False

    @property
    def single(self) -> str | None:
        """The selected snapshot when there is exactly one."""
        return self.selected[0] if len(self.selected) == 1 else None


Known = Callable[[Vm, Operation], Plan | Refusal | None]


def why_not(spec: ActionSpec, context: ActionContext, ask: Known = plan) -> str:
    """Return why the action cannot be used now, as a sentence; empty when it can.

    Args:
        spec: the action.
        context: what is shown and selected.
        ask: ``plan``, or one that remembers what it was asked before; None: the plan is still
            being worked out. Then the action can be used: its dialog will say.
    """
    missing = _what_is_missing(spec, context)
    if missing or spec.operations is None or context.vm is None:
        return missing
    if context.is_stale:
        return translated("The connection is lost. It is possible again once it is back.")
    first_refusal: Refusal | None = None
    for operation in spec.operations(context.vm, context.selected):
        planned = ask(context.vm, operation)
        if planned is None:
            return ""
        if isinstance(planned, Plan):
            return _other_word(spec, planned)
        first_refusal = first_refusal or planned
    if first_refusal is None:
        return ""
    return " ".join(filter(None, (first_refusal.reason, first_refusal.advice)))


def _what_is_missing(spec: ActionSpec, context: ActionContext) -> str:
    if spec.needs is Needs.NOTHING:
        return ""
    if context.vm is None:
        return translated("Choose a virtual machine first.")
    if spec.needs is Needs.RUNNING_VM and not context.vm.run_state.is_active:
        return translated("The VM is off and has no memory to keep.")
    if spec.needs is Needs.ONE_SNAPSHOT and context.single is None:
        return translated("Select one snapshot first.")
    if spec.needs is Needs.SNAPSHOTS and not context.selected:
        return translated("Select a snapshot first.")
    return ""


def _other_word(spec: ActionSpec, allowed: Plan) -> str:
    """Say that the other of *merge* and *discard* is the right word, if it is."""
    discards = Act.DISCARD in allowed.acts
    if spec.act is Act.MERGE and discards:
        return translated("This would lose a state, so it is called Discard here.")
    if spec.act is Act.DISCARD and not discards:
        return translated("Nothing would be lost here, so it is called Merge.")
    return ""


def tooltip(spec: ActionSpec, reason: str) -> str:
    """Return the tooltip: what it does and its key, or why it cannot be used."""
    key = QKeySequence(spec.shortcut).toString(QKeySequence.SequenceFormat.NativeText)
    head = f"{translated(spec.tooltip)} ({key})" if key else translated(spec.tooltip)
    return f"{head}\n{reason}" if reason else head
