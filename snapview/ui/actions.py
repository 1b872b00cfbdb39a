"""Every action of the window, declared once: text, icon, key, what it plans, when it may be used.

Toolbar, menus, context menu, shortcuts and the list of shortcuts are all built from ``ACTIONS``
(``action_set.ActionSet`` makes the ``QAction`` objects).

When an action may be used is worked out in ``availability``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import cast

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

from snapview.core.operations import (
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    Operation,
    RevertSnapshot,
)
from snapview.core.planning import Act
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
    CONSOLIDATE = "consolidate"
    DESCRIBE = "describe"
    COPY_NAME = "copy-name"
    HISTORY = "history"
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


def _consolidate(vm: Vm, _: tuple[str, ...]) -> tuple[Operation, ...]:
    return (Consolidate(vm.uuid),)


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
        ActionId.CONSOLIDATE,
        _N(CONTEXT, "Merge chain…"),
        "layers",
        _N(CONTEXT, "Make one image of those that lie on one another; the VM keeps its state"),
        "Ctrl+Shift+M",
        _IN_BAR,
        Needs.VM,
        _consolidate,
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
        ActionId.HISTORY,
        _N(CONTEXT, "What was done…"),
        "clock",
        _N(CONTEXT, "Show what snapview did to this VM, and what it took"),
        "Ctrl+H",
        frozenset({Place.ROW_MENU, Place.WINDOW_MENU}),
        Needs.VM,
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
