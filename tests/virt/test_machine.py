"""Random lives of a VM: whatever is done to it in whatever order, nothing is lost or left over.

After every step the content of the live disks and of every remaining snapshot, read through QEMU,
is compared with a model of bytes, and the files with those that are needed. 200 steps by default;
``SNAPVIEW_ORACLE_STEPS`` sets another number, ``SNAPVIEW_ORACLE_SEED`` another life.
"""

import os
from collections import Counter
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from snapview.core.operations import (
    Afterwards,
    Cancelled,
    Consolidate,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    EditDescription,
    Failed,
    Operation,
    RevertSnapshot,
)
from snapview.core.planning import Plan, Refusal, RefusalCode
from snapview.core.vm import SnapshotKind
from tests.lab import Lab
from tests.virt.machine import FIRST_CHUNK, LAST_CHUNK, Machine

STEPS = int(os.environ.get("SNAPVIEW_ORACLE_STEPS", "200"))
STEPS_OF_A_LIFE = 25
MOST_SNAPSHOTS = 6
GENERATIONS = 2

EXTERNAL, INTERNAL = SnapshotKind.EXTERNAL, SnapshotKind.INTERNAL


class Life(RuleBasedStateMachine):
    """One VM from its definition to its end."""

    lab: Lab
    did: Counter[str]
    refused: Counter[str]

    @initialize(
        disks=st.sampled_from([1, 1, 2]), kind=st.sampled_from([EXTERNAL, EXTERNAL, INTERNAL])
    )
    def make(self, disks: int, kind: SnapshotKind) -> None:
        self.machine = Machine(self.lab, disks)
        self.kind = kind
        self.numbers = iter(range(1, 10_000))

    def teardown(self) -> None:
        if hasattr(self, "machine"):
            self.machine.close()

    @property
    def names(self) -> list[str]:
        return sorted(self.machine.states)

    @property
    def has_external(self) -> bool:
        return EXTERNAL in {state.kind for state in self.machine.states.values()}

    @property
    def is_mixed(self) -> bool:
        return len({state.kind for state in self.machine.states.values()}) > 1

    def perform(self, operation: Operation) -> Done | None:
        """Do it; None when it was refused, and then nothing may have changed."""
        planned, outcome = self.machine.attempt(operation)
        word = type(operation).__name__
        if isinstance(planned, Refusal):
            assert isinstance(outcome, Failed), f"refused for {planned.reason}, done all the same"
            self.refused[f"{word} {planned.code.value}"] += 1
            is_excused = self.is_mixed or planned.code is RefusalCode.NOTHING_TO_DO
            assert is_excused, f"{operation} was refused: {planned.reason}"
            return None
        assert isinstance(planned, Plan)
        assert not isinstance(outcome, Cancelled)
        assert isinstance(outcome, Done), f"{operation}: {outcome}"
        self.did[word] += 1
        return outcome

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        """One rule draws what happens: hypothesis would switch some of several off for a life."""
        if data.draw(st.booleans(), "written to"):
            self.write(data)
        self.machine.take_images_back()
        possible: list[Callable[[st.DataObject], None]] = [self.switch]
        if len(self.names) < MOST_SNAPSHOTS:
            possible += [self.take] * 4 + [self.virsh_takes]
        if self.names:
            possible += [self.revert] * 3 + [self.delete] * 3 + [self.describe]
            possible += [self.consolidate] * self.has_external
            possible += [self.virsh_forgets_the_newest_external]
            possible += [self.virsh_deletes_an_internal_one]
        data.draw(st.sampled_from(possible), "happens")(data)

    # -- snapview

    def take(self, data: st.DataObject) -> None:
        kind = self.kind
        if self.names and data.draw(st.integers(0, 19), "mixing") == 19:
            kind = EXTERNAL if kind is INTERNAL else INTERNAL
        memory = data.draw(st.booleans(), "memory") or kind is INTERNAL
        name = f"s{next(self.numbers)}"
        operation = CreateSnapshot(
            self.machine.vm.uuid, name, "", kind, memory and self.machine.power != "off", mix=True
        )
        done = self.perform(operation)
        if done is not None:
            assert done.created == name
            self.machine.took(name, kind)

    def revert(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.names), "to")
        safety = data.draw(st.booleans(), "safety")
        afterwards = data.draw(st.sampled_from(Afterwards), "afterwards")
        machine = self.machine
        snapshot = machine.vm.vm().tree[name]
        had_memory = snapshot.state.value if snapshot.has_memory else None
        operation = RevertSnapshot(machine.vm.uuid, name, safety, afterwards=afterwards)
        done = self.perform(operation)
        if done is None:
            return
        if safety:
            assert done.created is not None
            machine.took(done.created, machine.states[name].kind)
        machine.reverted(name, afterwards, had_memory=had_memory)

    def delete(self, data: st.DataObject) -> None:
        most = min(3, len(self.names))
        some = st.lists(st.sampled_from(self.names), min_size=1, max_size=most, unique=True)
        names, subtree = data.draw(some, "which"), data.draw(st.booleans(), "subtree")
        machine = self.machine
        if self.perform(DeleteSnapshot(machine.vm.uuid, tuple(names), subtree)) is None:
            return
        gone = {each for name in names for each in (machine.subtree(name) if subtree else [name])}
        for each in gone:
            machine.lost(each)

    def consolidate(self, _data: st.DataObject) -> None:
        machine = self.machine
        if self.perform(Consolidate(machine.vm.uuid)) is None:
            return
        left = set(machine.vm.other.parents())
        line, at = [], machine.current
        while at is not None:
            line.append(at)
            at = machine.states[at].parent
        gone = [name for name in line if name not in left]
        assert set(machine.states) - set(gone) == left, "only the live line may be merged"
        for each in gone:
            machine.lost(each)

    def describe(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.names), "which")
        text = data.draw(st.text("ab <&é", max_size=8), "text")
        self.perform(EditDescription(self.machine.vm.uuid, name, name, text))

    # -- the guest, and whoever has virsh

    def write(self, data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(self.machine.targets), "disk")
        chunks = st.lists(st.integers(FIRST_CHUNK, LAST_CHUNK), min_size=1, max_size=4)
        byte = data.draw(st.integers(1, 255), "byte")
        for chunk in data.draw(chunks, "chunks"):
            self.machine.write(target, chunk, byte)

    def switch(self, data: st.DataObject) -> None:
        self.machine.switch(data.draw(st.sampled_from(["running", "paused", "off"]), "power"))

    def virsh_takes(self, _data: st.DataObject) -> None:
        if self.is_mixed:
            return
        name = f"v{next(self.numbers)}"
        kind = self.machine.states[self.names[0]].kind if self.names else self.kind
        only = ["--disk-only", "--atomic"] if kind is EXTERNAL else []
        self.machine.lab.virsh("snapshot-create-as", self.machine.vm.name, name, *only)
        self.machine.took(name, kind)

    def virsh_forgets_the_newest_external(self, _data: st.DataObject) -> None:
        """A layer without a record stays behind in the chain (and so would a memory file)."""
        machine = self.machine
        name = machine.current
        if name is None or self.is_mixed or machine.states[name].kind is INTERNAL:
            return
        if not machine.memory_file(name):
            machine.lab.virsh("snapshot-delete", machine.vm.name, name, "--metadata")
            machine.lost(name)

    def virsh_deletes_an_internal_one(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.names), "which")
        if not self.is_mixed and self.machine.states[name].kind is INTERNAL:
            self.machine.lab.virsh("snapshot-delete", self.machine.vm.name, name)
            self.machine.lost(name)

    # -- the truth

    @invariant()
    def nothing_is_lost_or_left(self) -> None:
        if hasattr(self, "machine"):
            self.machine.check()


def test_random_lives(lab: Lab) -> None:
    did: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    life = type("LifeHere", (Life,), {"lab": lab, "did": did, "refused": refused})
    number = int(os.environ.get("SNAPVIEW_ORACLE_SEED", "1"))
    run_state_machine_as_test(
        seed(number)(life),
        settings=settings(
            max_examples=max(1, STEPS // GENERATIONS // STEPS_OF_A_LIFE),
            stateful_step_count=STEPS_OF_A_LIFE,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # a failure tells its steps; shrinking would take hours
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
    print(f"did {dict(did)}, refused {dict(refused)}")  # noqa: T201 - shown with -s, for reports
    assert set(did) >= {"CreateSnapshot", "RevertSnapshot", "DeleteSnapshot", "Consolidate"}, did
