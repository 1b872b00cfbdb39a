"""Every action of the window, declared once: text, icon, key, what it plans, when it may be used.

Toolbar, menus, context menu, shortcuts and the list of shortcuts are all built from ``ACTIONS``
(``action_set.ActionSet`` makes the ``QAction`` objects).

Hides how an action's availability follows from ``plan``: what the plan refuses is disabled, and
its tooltip says why.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import cast

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication
from PySide6.QtGui import QKeySequence

from snapview.core.operations import (
    CreateSnapshot,
    DeleteSnapshot,
    Operation,
    RevertSnapshot,
)
from snapview.core.planning import Act, Plan, Refusal, plan
from snapview.core.vm import SnapshotKind, Vm

CONTEXT = "Actions"


class ActionId(Enum):
    """Names of the actions; the window has one method for each."""

    TAKE = "take"
    TAKE_MEMORY = "take-memory"
    TAKE_DISK = "take-disk"
    REVERT = "revert"
    MERGE = "merge"
    DISCARD = "discard"
    REMOVE = "remove"
    DESCRIBE = "describe"
    COPY_NAME = "copy-name"
    SEARCH = "search"
    REFRESH = "refresh"
    NEXT_PANE = "next-pane"
    YOU_ARE_HERE = "you-are-here"
    NEWEST_FIRST = "newest-first"
    ADD_CONNECTION = "add-connection"
    REMOVE_CONNECTION = "remove-connection"
    DEMO_LAB = "demo-lab"
    SHORTCUTS = "shortcuts"
    ABOUT = "about"
    QUIT = "quit"


class Place(Enum):
    """Where an action appears besides its key."""

    TOOLBAR = "toolbar"
    TAKE_MENU = "take-menu"
    ROW_MENU = "row-menu"
    WINDOW_MENU = "window-menu"


class Needs(Enum):
    """What has to be there before an action makes sense at all."""

    NOTHING = "nothing"
    VM = "vm"
    RUNNING_VM = "running-vm"
    ONE_SNAPSHOT = "one-snapshot"
    SNAPSHOTS = "snapshots"


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


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One action.

    ``operations`` makes what the action could submit; it is enabled when ``plan`` accepts one of
    them. ``act`` further asks that the plan's worst act is this one, so that *merge* and
    *discard* are never enabled together.
    """

    id: ActionId
    text: str
    icon: str
    tooltip: str
    shortcut: str = ""
    places: frozenset[Place] = frozenset()
    needs: Needs = Needs.NOTHING
    operations: Callable[[Vm, tuple[str, ...]], tuple[Operation, ...]] | None = None
    act: Act | None = None
    is_danger: bool = False
    is_checkable: bool = False


def _take(vm: Vm, *, memory: bool) -> tuple[Operation, ...]:
    kinds = (SnapshotKind.INTERNAL, SnapshotKind.EXTERNAL)
    return tuple(CreateSnapshot(vm.uuid, kind=kind, memory=memory) for kind in kinds)


def _take_any(vm: Vm, _: tuple[str, ...]) -> tuple[Operation, ...]:
    with_memory = _take(vm, memory=True) if vm.run_state.is_active else ()
    return with_memory + _take(vm, memory=False)


def _take_memory(vm: Vm, _: tuple[str, ...]) -> tuple[Operation, ...]:
    return _take(vm, memory=True)


def _take_disk(vm: Vm, _: tuple[str, ...]) -> tuple[Operation, ...]:
    return _take(vm, memory=False)


def _revert(vm: Vm, selected: tuple[str, ...]) -> tuple[Operation, ...]:
    return tuple(
        RevertSnapshot(vm.uuid, selected[0], safety_snapshot=safety) for safety in (True, False)
    )


def _remove(vm: Vm, selected: tuple[str, ...]) -> tuple[Operation, ...]:
    alone = DeleteSnapshot(vm.uuid, selected)
    return (alone, DeleteSnapshot(vm.uuid, selected, subtree=True))


# Marks a text for the translators; it is translated when it is shown.
_N = cast("Callable[[str, str], str]", QT_TRANSLATE_NOOP)
_IN_BAR = frozenset({Place.TOOLBAR, Place.ROW_MENU})
_IN_ROW_MENU = frozenset({Place.ROW_MENU})
_IN_MENU = frozenset({Place.WINDOW_MENU})

ACTIONS: tuple[ActionSpec, ...] = (
    ActionSpec(
        ActionId.TAKE,
        _N(CONTEXT, "Take snapshot"),
        "camera",
        _N(CONTEXT, "Keep the state of now, to get back to it later"),
        "Ctrl+T",
        _IN_BAR,
        Needs.VM,
        _take_any,
    ),
    ActionSpec(
        ActionId.TAKE_MEMORY,
        _N(CONTEXT, "Disk and memory…"),
        "camera",
        _N(CONTEXT, "Programs go on where they were after a revert"),
        "Ctrl+Shift+T",
        frozenset({Place.TAKE_MENU}),
        Needs.RUNNING_VM,
        _take_memory,
    ),
    ActionSpec(
        ActionId.TAKE_DISK,
        _N(CONTEXT, "Disk only…"),
        "disk",
        _N(CONTEXT, "Smaller; after a revert the VM starts as after a power cut"),
        "Ctrl+Alt+T",
        frozenset({Place.TAKE_MENU}),
        Needs.VM,
        _take_disk,
    ),
    ActionSpec(
        ActionId.REVERT,
        _N(CONTEXT, "Revert…"),
        "revert",
        _N(CONTEXT, "Put the VM back to the selected snapshot"),
        "Ctrl+R",
        _IN_BAR,
        Needs.ONE_SNAPSHOT,
        _revert,
    ),
    ActionSpec(
        ActionId.MERGE,
        _N(CONTEXT, "Merge…"),
        "merge",
        _N(CONTEXT, "Remove the point, keep everything written after it"),
        "Ctrl+M",
        _IN_BAR,
        Needs.SNAPSHOTS,
        _remove,
        Act.MERGE,
    ),
    ActionSpec(
        ActionId.DISCARD,
        _N(CONTEXT, "Discard…"),
        "discard",
        _N(CONTEXT, "Throw the state of the selected snapshot away"),
        "Ctrl+D",
        _IN_BAR,
        Needs.SNAPSHOTS,
        _remove,
        Act.DISCARD,
        is_danger=True,
    ),
    ActionSpec(
        ActionId.REMOVE,
        _N(CONTEXT, "Merge or discard…"),
        "discard",
        _N(CONTEXT, "Open whichever of the two applies to the selected snapshot"),
        "Del",
        needs=Needs.SNAPSHOTS,
        operations=_remove,
        is_danger=True,
    ),
    ActionSpec(
        ActionId.DESCRIBE,
        _N(CONTEXT, "Edit name and description…"),
        "edit",
        _N(CONTEXT, "Change what the selected snapshot is called and says"),
        "F2",
        _IN_ROW_MENU,
        Needs.ONE_SNAPSHOT,
    ),
    ActionSpec(
        ActionId.COPY_NAME,
        _N(CONTEXT, "Copy name"),
        "copy",
        _N(CONTEXT, "Copy the names of the selected snapshots, as virsh knows them"),
        "Ctrl+Shift+C",
        _IN_ROW_MENU,
        Needs.SNAPSHOTS,
    ),
    ActionSpec(
        ActionId.YOU_ARE_HERE,
        _N(CONTEXT, "Go to “You are here”"),
        "you-are-here",
        _N(CONTEXT, "Select the state the VM is in now"),
        "End",
        _IN_ROW_MENU,
        Needs.VM,
    ),
    ActionSpec(
        ActionId.SEARCH,
        _N(CONTEXT, "Search snapshots"),
        "search",
        _N(CONTEXT, "Find snapshots by name or description"),
        "Ctrl+F",
        _IN_MENU,
    ),
    ActionSpec(
        ActionId.REFRESH,
        _N(CONTEXT, "Read again"),
        "refresh",
        _N(CONTEXT, "Read the list of VMs and the shown VM again"),
        "F5",
        _IN_MENU,
    ),
    ActionSpec(
        ActionId.NEXT_PANE,
        _N(CONTEXT, "Next pane"),
        "next-pane",
        _N(CONTEXT, "Move on to the next pane of the window"),
        "F6",
    ),
    ActionSpec(
        ActionId.NEWEST_FIRST,
        _N(CONTEXT, "Newest first"),
        "sort",
        _N(CONTEXT, "Turn the tree round, so that “You are here” is on top"),
        "",
        _IN_MENU,
        is_checkable=True,
    ),
    ActionSpec(
        ActionId.ADD_CONNECTION,
        _N(CONTEXT, "Add connection…"),
        "add",
        _N(CONTEXT, "Show the VMs of another libvirt, here or on another machine"),
        "Ctrl+N",
        _IN_MENU,
    ),
    ActionSpec(
        ActionId.REMOVE_CONNECTION,
        _N(CONTEXT, "Remove this connection"),
        "discard",
        _N(CONTEXT, "Take the connection out of the list; its VMs stay as they are"),
        "",
        _IN_MENU,
    ),
    ActionSpec(
        ActionId.DEMO_LAB,
        _N(CONTEXT, "Make the demo lab"),
        "flask",
        _N(CONTEXT, "Four small VMs to try everything on, with nothing at stake"),
        "",
        _IN_MENU,
    ),
    ActionSpec(
        ActionId.SHORTCUTS,
        _N(CONTEXT, "Keyboard shortcuts"),
        "keyboard",
        _N(CONTEXT, "Show every key of this window"),
        "F1",
        _IN_MENU,
    ),
    ActionSpec(
        ActionId.ABOUT,
        _N(CONTEXT, "About snapview"),
        "info",
        _N(CONTEXT, "Version, licence and what snapview does to your VMs"),
        "",
        _IN_MENU,
    ),
    ActionSpec(
        ActionId.QUIT,
        _N(CONTEXT, "Quit"),
        "quit",
        _N(CONTEXT, "Close snapview; the VMs are not touched"),
        "Ctrl+Q",
        _IN_MENU,
    ),
)


def translated(text: str) -> str:
    """Return a text of an ``ActionSpec`` in the user's language."""
    return QCoreApplication.translate(CONTEXT, text)


Planner = Callable[[Vm, Operation], Plan | Refusal]


def why_not(spec: ActionSpec, context: ActionContext, ask: Planner = plan) -> str:
    """Return why the action cannot be used now, as a sentence; empty when it can.

    Args:
        spec: the action.
        context: what is shown and selected.
        ask: ``plan``, or one that remembers what it was asked before.
    """
    missing = _what_is_missing(spec, context)
    if missing or spec.operations is None or context.vm is None:
        return missing
    if context.is_stale:
        return translated("The connection is lost. It is possible again once it is back.")
    first_refusal: Refusal | None = None
    for operation in spec.operations(context.vm, context.selected):
        planned = ask(context.vm, operation)
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
