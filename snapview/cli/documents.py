"""The JSON documents of the command line. Pure; other programs rely on these shapes.

Sizes are integer bytes, moments ISO 8601 in UTC, unknown is null.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from snapview.cli.text import iso_time
from snapview.core.errors import SnapviewError
from snapview.core.moves import DeleteByLibvirt, ForgetSnapshot
from snapview.core.operations import Done, Failed, Outcome
from snapview.core.planning import GetBack, Plan, Refusal
from snapview.core.vm import RunState, Snapshot, SnapshotDisk, SnapshotState, Vm, VmSummary

if TYPE_CHECKING:
    from snapview.history import OperationRecord

SCHEMA = 1

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | dict[str, Json] | None"
Document: TypeAlias = dict[str, Json]


def vm_entry(uri: str, summary: VmSummary, vm: Vm | None) -> Document:
    """Return one VM of ``list``; ``vm`` is None when only the summary could be read."""
    tree_known = vm is not None and vm.problem is None
    return {
        "name": summary.name,
        "uuid": summary.uuid,
        "title": (vm.title if vm else summary.title) or None,
        "connection": uri,
        "state": _known(vm.run_state if vm else summary.run_state, RunState.UNKNOWN),
        "snapshots": len(vm.tree) if vm and tree_known else summary.snapshot_count,
        "current": vm.tree.current if vm and tree_known else None,
        "chain_depth": dict(vm.chain_depth) if vm else None,
        "problem": vm.problem if vm else None,
    }


def tree_document(uri: str, vm: Vm) -> Document:
    """Return the document of ``tree``."""
    return {
        "vm": vm.name,
        "uuid": vm.uuid,
        "connection": uri,
        "state": _known(vm.run_state, RunState.UNKNOWN),
        "problem": vm.problem,
        "live": {"parent": vm.tree.current, "differs": vm.live_differs},
        "snapshots": [_snapshot_entry(vm, snapshot) for snapshot in _in_order(vm)],
    }


def _in_order(vm: Vm) -> list[Snapshot]:
    """Return the snapshots with parents before their children."""
    return [vm.tree[name] for root in vm.tree.roots for name in vm.tree.subtree(root)]


def _snapshot_entry(vm: Vm, snapshot: Snapshot) -> Document:
    return {
        "name": snapshot.name,
        "title": snapshot.label,
        "parent": snapshot.parent,
        "children": list(vm.tree.children(snapshot.name)),
        "is_current": snapshot.name == vm.tree.current,
        "kind": snapshot.kind.value,
        "state": _known(snapshot.state, SnapshotState.UNKNOWN),
        "has_memory": snapshot.has_memory,
        "memory_file": snapshot.memory_path,
        "created_at": iso_time(snapshot.created_at),
        "description": snapshot.description,
        "disks": [_disk_entry(disk) for disk in snapshot.disks],
        "problem": snapshot.problem,
    }


def _disk_entry(disk: SnapshotDisk) -> Document:
    return {
        "disk": disk.target,
        "mode": disk.mode,
        "frozen": disk.frozen.path if disk.frozen else None,
        "overlay": disk.overlay.path if disk.overlay else None,
    }


def plan_document(vm: Vm, made: Plan) -> Document:
    """Return the document of ``--dry-run``."""
    return {
        "vm": vm.name,
        "plan": {
            "steps": [
                {
                    "action": step.act.value,
                    "what": step.what,
                    "disk": step.disk,
                    "files": list(step.files),
                    "snapshot": step.snapshot,
                }
                for step in made.steps
            ],
            "kept": list(made.kept),
            "lost": list(made.lost),
            "lost_snapshots": list(_lost_names(made)),
            "warnings": list(made.warnings),
            "name": made.new_name,
            "get_back": _get_back_entry(made.get_back) if made.get_back else None,
            "bytes_to_copy": made.bytes_to_copy,
            "extra_bytes_needed": made.extra_bytes_needed,
            "freed_bytes": made.freed_bytes,
            "estimated_seconds": made.estimated_seconds,
            "undo": made.undo or None,
        },
    }


def _lost_names(made: Plan) -> Iterator[str]:
    """Yield all snapshots that go: of many, only the first ones are named in sentences."""
    for move in made.moves:
        if isinstance(move, ForgetSnapshot | DeleteByLibvirt):
            yield move.snapshot


def _get_back_entry(get_back: GetBack) -> Document:
    return {
        "revert": get_back.revert,
        "revert_text": get_back.revert_text,
        "remove": get_back.remove,
        "remove_text": get_back.remove_text,
    }


def refusal_document(vm: Vm, refusal: Refusal) -> Document:
    """Return what is printed when ``plan`` says no."""
    return {
        "vm": vm.name,
        "refusal": {
            "code": refusal.code.value,
            "reason": refusal.reason,
            "advice": refusal.advice or None,
        },
    }


def error_document(error: SnapviewError) -> Document:
    """Return what is printed when something failed before an outcome."""
    return {"error": error_entry(error)}


def error_entry(error: SnapviewError) -> Document:
    """Return an error; ``kind`` is its class in lower-case words."""
    name = type(error).__name__
    return {
        "kind": "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-"),
        "message": error.message,
        "advice": error.advice or None,
        "detail": error.detail or None,
    }


def outcome_document(
    vm: Vm | None, command: str, made: Plan, outcome: Outcome, text: str
) -> Document:
    """Return what is printed after an operation; ``vm`` as it was read again afterwards."""
    error = outcome.error if isinstance(outcome, Failed) else None
    actual = outcome.actual if isinstance(outcome, Done) else None
    return {
        "vm": vm.name if vm else None,
        "operation": command,
        "outcome": type(outcome).__name__.lower(),
        "text": text,
        "created": outcome.created if isinstance(outcome, Done) else None,
        "current": vm.tree.current if vm else None,
        "snapshots": len(vm.tree) if vm and vm.problem is None else None,
        "remarks": [] if isinstance(outcome, Failed) else list(outcome.remarks),
        "planned": _figures(made.bytes_to_copy, made.estimated_seconds, made.freed_bytes),
        "actual": _figures(actual.copied_bytes, actual.seconds, actual.freed_bytes)
        if actual
        else None,
        "error": error_entry(error) if error else None,
    }


def _figures(copied_bytes: int | None, seconds: float | None, freed_bytes: int | None) -> Document:
    return {"copied_bytes": copied_bytes, "seconds": seconds, "freed_bytes": freed_bytes}


def interruption_document(vm: Vm) -> Document:
    """Return the document of ``recover`` without a way."""
    found = vm.interruption
    entry: Document | None = None
    if found is not None:
        entry = {
            "what": found.what,
            "began_at": iso_time(found.began_at),
            "is_under_way": found.is_alive,
            "finish": list(found.finish),
            "undo": None if found.undo is None else list(found.undo),
        }
    return {"vm": vm.name, "interruption": entry}


def history_document(vm: Vm, records: "Iterable[OperationRecord]") -> Document:
    """Return the document of ``history``, the newest operation first."""
    return {
        "vm": vm.name,
        "operations": [
            {
                "at": iso_time(record.at),
                "operation": record.operation,
                "what": record.what,
                "outcome": record.outcome,
                "message": record.message or None,
                "planned": _figures(
                    record.planned_bytes, record.planned_seconds, record.planned_freed_bytes
                ),
                "actual": _figures(
                    record.actual_bytes, record.actual_seconds, record.actual_freed_bytes
                ),
            }
            for record in records
        ],
    }


def _known(value: Enum, unknown: Enum) -> str | None:
    return None if value is unknown else str(value.value)
