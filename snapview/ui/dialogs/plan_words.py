"""What a plan costs, does to the guest, and who carries it out, in words and figures. Pure text.

A figure is exact, or says where it comes from; what nobody knows is "unknown", never 0.
"""

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from snapview.core.moves import (
    CommitImages,
    DefineAsAt,
    DeleteByLibvirt,
    PullImages,
    RestoreMemory,
    RevertByLibvirt,
    TakeSnapshot,
)
from snapview.core.planning import Act, Plan
from snapview.core.vm import RunState, SnapshotKind, Vm
from snapview.ui.format import duration_text, exact_size_text, rate_text, size_text

COPYING = CommitImages | PullImages
Lines = tuple[tuple[str, str], ...]  # a word, and what is said of it


@dataclass(frozen=True, slots=True)
class CostFigure:
    """One key figure: a value, what it is, and its exact form for the tooltip."""

    value: str
    word: str
    tip: str = ""


def _tr(text: str) -> str:
    return QCoreApplication.translate("PlanWords", text)


def cost_figures(planned: Plan, vm: Vm) -> tuple[CostFigure, ...]:
    """Return what a plan gives back and takes: space, bytes, time."""
    found = []
    copies = Act.MERGE in planned.acts
    if planned.freed_bytes is not None:
        found.append(_size(planned.freed_bytes, _tr("comes back")))
    if not copies:
        return tuple(found)
    found.append(_size(planned.bytes_to_copy, _tr("to copy")))
    found.append(_size(planned.extra_bytes_needed, _extra_word(planned, vm)))
    found.append(_time(planned, vm))
    if planned.freed_bytes is None:
        found.append(_size(None, _tr("comes back; known when it is done")))
    return tuple(found)


def _size(size_bytes: int | None, word: str) -> CostFigure:
    return CostFigure(size_text(size_bytes), word, exact_size_text(size_bytes))


def _extra_word(planned: Plan, vm: Vm) -> str:
    free = free_bytes(planned, vm)
    if free is None:
        return _tr("extra at the peak, free: unknown")
    return _tr("extra at the peak, of {free} free").format(free=size_text(free))


def _time(planned: Plan, vm: Vm) -> CostFigure:
    if planned.estimated_seconds is None:
        speed = vm.storage.copy_bytes_per_second if vm.storage else None
        if speed is None:
            word = _tr("time, until the first merge on this host")
            return CostFigure(_tr("unknown"), word)
        return CostFigure(_tr("unknown"), _tr("time: the size is not known"))
    took = _tr("about {time}").format(time=duration_text(planned.estimated_seconds))
    speed = vm.storage.copy_bytes_per_second if vm.storage else None
    limit = limit_of(planned)
    if limit and (speed is None or limit < speed):
        return CostFigure(took, _tr("at the limit of {speed}").format(speed=rate_text(limit)))
    if speed is None:
        return CostFigure(took, _tr("estimated"))
    return CostFigure(took, _tr("at {speed}, as measured here").format(speed=rate_text(speed)))


def limit_of(planned: Plan) -> int:
    """Return how fast the plan may copy, in bytes/s; 0: as fast as it can."""
    return max(
        (m.bandwidth_bytes_per_second for m in planned.moves if isinstance(m, COPYING)), default=0
    )


def free_bytes(planned: Plan, vm: Vm) -> int | None:
    """Return the free bytes where the plan writes: of several places, the least."""
    if vm.storage is None:
        return None
    paths = {path for step in planned.steps for path in step.files}
    known = [free for path in paths if (free := vm.storage.free_beside(path)) is not None]
    return min(known, default=None)


def guest_effect(planned: Plan, vm: Vm) -> str:
    """Return what the guest notices of a merge or discard, as a sentence."""
    is_on = vm.run_state.is_active
    if any(isinstance(move, COPYING) and move.in_vm for move in planned.moves):
        if vm.run_state is RunState.PAUSED:
            return _tr("It stays paused.")
        return _tr("It runs on; its disk is a little slower meanwhile.")
    if any(isinstance(move, COPYING) for move in planned.moves):
        if is_on:
            return _tr("It runs on; what is merged belongs to branches that it does not use.")
        return _tr("It stays off.")
    if is_on and any(isinstance(move, DeleteByLibvirt) for move in planned.moves):
        return _tr("It runs on; it may stand still for a moment.")
    return _tr("It notices nothing.") if is_on else _tr("It stays off.")


def way_text(planned: Plan, vm: Vm) -> str:
    """Return who reverts: libvirt itself, or snapview by a way of its own; empty: nobody."""
    host = vm.capabilities.libvirt_text
    if any(isinstance(move, RevertByLibvirt) for move in planned.moves):
        return _tr("by {host} itself").format(host=host)
    if any(isinstance(move, DefineAsAt | RestoreMemory) for move in planned.moves):
        return _tr("by snapview’s own way, step by step")
    return ""


def cost_lines(planned: Plan, vm: Vm) -> Lines:
    """Return what a new snapshot costs: how long the VM stands still, and space."""
    lines = []
    if still := _standstill(planned, vm):
        lines.append((_tr("VM stands still"), still))
    needed, free = planned.extra_bytes_needed, free_bytes(planned, vm)
    if needed is not None:
        text = _tr("at most {size}") if Act.SAVE_MEMORY in planned.acts else _tr("{size}")
        space = text.format(size=size_text(needed))
        if free is not None:
            space = _tr("{size} of {free} free").format(size=space, free=size_text(free))
        lines.append((_tr("Space now"), space))
    elif free is not None:
        lines.append((_tr("Space free"), size_text(free)))
    if any(isinstance(move, TakeSnapshot) and move.disks for move in planned.moves):
        grows = _tr("by whatever is written from now on")
        lines.append((_tr("Grows"), grows))
    return tuple(lines)


def _standstill(planned: Plan, vm: Vm) -> str:
    """Return how long a running VM stands still; empty: it does not run."""
    taken = next((move for move in planned.moves if isinstance(move, TakeSnapshot)), None)
    if vm.run_state is not RunState.RUNNING or taken is None:
        return ""
    if Act.SAVE_MEMORY not in planned.acts:
        return _tr("for an instant only")
    if taken.kind is SnapshotKind.INTERNAL:
        return _tr("until its memory is written")
    return _tr("shortly, when nearly all of its memory is written")
