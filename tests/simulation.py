"""What operations do to VMs, in memory: trees, image files and what runs; no threads.

Plans are carried out move by move on a graph of image files with sizes, each move looking at
nothing but that graph and the records, as libvirt and QEMU would.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import PurePosixPath

from snapview.core.errors import Conflict, NotFound
from snapview.core.journal import (
    OLD_CURRENT,
    OLD_DEFINITION,
    Begun,
    Entry,
    interruption_of,
    moves_left,
    undo_moves,
)
from snapview.core.moves import DefineAsAt, Move, SetCurrent, TakeSnapshot
from snapview.core.operations import Operation, Recover
from snapview.core.planning import Plan, Refusal, plan
from snapview.core.storage import ImageFile, Storage
from snapview.core.vm import DiskLayer, Vm
from tests.simulated_moves import Machine

MIB = 1 << 20
CAPACITY_BYTES = 1 << 30
BASE_BYTES = 200 * MIB
OVERLAY_BYTES = 20 * MIB
FREE_BYTES = 100 << 30
COPY_BYTES_PER_SECOND = 100 * MIB


@dataclass
class Simulation:
    """The VMs of one host, its image files, and what each operation does to them."""

    now: datetime = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
    vms: dict[str, Vm] = field(default_factory=dict)
    files: dict[str, ImageFile] = field(default_factory=dict)
    versions: Counter[str] = field(default_factory=Counter)  # by VM; grows with each change
    entries: dict[str, Entry] = field(default_factory=dict)  # what was interrupted, by VM
    free_bytes: int = FREE_BYTES
    copied_bytes: int = 0  # by the operation carried out last

    def define(self, vm: Vm) -> None:
        """Add a VM, or replace it; make the image files that it and its snapshots name."""
        for disk in vm.disks:
            self._make_chain(disk.layers)
        for snapshot in vm.tree:
            above = vm.tree.get(snapshot.parent) if snapshot.parent is not None else None
            below = {each.target: each.frozen for each in above.disks} if above else {}
            for state in snapshot.disks:
                base = below.get(state.target)
                if state.frozen is not None:
                    is_other = base is not None and base.path != state.frozen.path
                    self._make_chain([state.frozen, *([base] if base and is_other else [])])
            if snapshot.memory_path is not None:
                self._make_file(ImageFile(snapshot.memory_path, allocation_bytes=OVERLAY_BYTES))
        self.put(vm)

    def _make_chain(self, layers: Iterable[DiskLayer]) -> None:
        known = [layer for layer in layers if layer.type == "file"]
        for upper, lower in zip_longest(known, known[1:]):
            size = BASE_BYTES if lower is None else OVERLAY_BYTES
            backing, backing_format = (lower.path, lower.format) if lower else (None, None)
            self._make_file(
                ImageFile(upper.path, upper.format, backing, backing_format, CAPACITY_BYTES, size)
            )

    def _make_file(self, file: ImageFile) -> None:
        old = self.files.get(file.path)
        if old is None or (old.backing is None and file.backing is not None):
            self.files[file.path] = file

    def require(self, uuid: str) -> Vm:
        """Return a VM; raises NotFound."""
        if uuid not in self.vms:
            raise NotFound("This virtual machine does not exist any more.")
        vm, entry = self.vms[uuid], self.entries.get(uuid)
        return vm if entry is None else replace(vm, interruption=interruption_of(entry))

    def put(self, vm: Vm) -> None:
        """Replace a VM as it is after a change."""
        self.vms[vm.uuid] = vm
        self.versions[vm.uuid] += 1

    def storage(self, uuid: str) -> Storage:
        """Return the image files of the host, and which other VMs use them."""
        users: dict[str, set[str]] = {}
        for vm in self.vms.values():
            for path in self._paths(vm) if vm.uuid != uuid else ():
                users.setdefault(path, set()).add(vm.name)
        folders = {str(PurePosixPath(path).parent) for path in self.files}
        return Storage(
            images=dict(self.files),
            free_bytes=dict.fromkeys(folders, self.free_bytes),
            users={path: tuple(sorted(names)) for path, names in users.items()},
        )

    def _paths(self, vm: Vm) -> set[str]:
        return {layer.path for disk in vm.disks for layer in disk.layers}

    # Operations

    def planned(self, operation: Operation) -> Plan | Refusal:
        """Plan as whoever carries it out does: with the image files as they are now."""
        vm = self.require(operation.vm_uuid)
        if vm.capabilities.touches_disks:
            vm = replace(vm, storage=self.storage(vm.uuid))
        return plan(replace(vm, read_at=self.now), operation)

    def apply(self, operation: Operation) -> str | None:
        """Do an operation; return the name of the snapshot it created, if any.

        Raises:
            Conflict: planning refuses it.
        """
        made = self.planned(operation)
        if isinstance(made, Refusal):
            raise Conflict(made.reason, advice=made.advice)
        return self.carry_out(made)

    def carry_out(self, made: Plan) -> str | None:
        """Make the moves of a plan; return the name of the snapshot it created, if any."""
        self.now += timedelta(minutes=1)
        self.copied_bytes = 0
        uuid = made.operation.vm_uuid
        if isinstance(made.operation, Recover):
            entry = self.entries[uuid]
            moves = moves_left(entry) if made.operation.finish else undo_moves(entry)
            assert moves is not None, "planning should have refused it"
            self._make(uuid, moves)
            del self.entries[uuid]
        else:
            moves = made.moves
            self._make(uuid, moves)
        taken = [move.name for move in moves if isinstance(move, TakeSnapshot)]
        return taken[0] if taken else None

    def interrupt(self, operation: Operation, done: int, *, in_doubt: bool = True) -> Entry:
        """Do the first moves of an operation, then die, perhaps in the middle of one more."""
        made = self.planned(operation)
        assert isinstance(made, Plan), made
        uuid = operation.vm_uuid
        begun = []
        for move in made.moves[:done]:
            begun.append(Begun(move, self._note(uuid, move), is_done=True))
            self._make(uuid, [move])
        begun += [Begun(move, self._note(uuid, move)) for move in made.moves[done:][:in_doubt]]
        name = self.vms[uuid].name
        entry = Entry(
            f"interrupted-{uuid}", "", uuid, name, made.operation, made.moves, self.now, (*begun,)
        )
        self.entries[uuid] = entry
        self.versions[uuid] += 1
        return entry

    def _note(self, uuid: str, move: Move) -> dict[str, str]:
        vm = self.vms[uuid]
        if isinstance(move, SetCurrent) and vm.tree.current is not None:
            return {OLD_CURRENT: vm.tree.current}
        if isinstance(move, DefineAsAt):
            return {
                OLD_DEFINITION: " ".join(
                    f"{d.target}={d.layers[0].path}" for d in vm.disks if d.layers
                )
            }
        return {}

    def _make(self, uuid: str, moves: Iterable[Move]) -> None:
        machine = Machine(self.vms[uuid], self.files, self.now, self._needed_by_others(uuid))
        for move in moves:
            machine.make(move)
        self.copied_bytes += machine.copied_bytes
        self.put(machine.vm)

    def _needed_by_others(self, uuid: str) -> frozenset[str]:
        return frozenset(self.storage(uuid).users)
