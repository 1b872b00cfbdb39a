"""What happens to a VM before and between the operations that are planned, drawn by hypothesis."""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from snapview.core.vm import SnapshotKind
from tests.core.planning.worlds import FileWorld

Story = list[tuple[str, int]]

WHOLE = {"take": 6, "take with memory": 1, "write": 3, "revert": 4, "switch": 1}
PLAIN = {**WHOLE, "take one disk": 1}
BY_HAND = {**PLAIN, "layer": 2, "forget": 2}  # virsh and others at work beside us
MIXED = {**BY_HAND, "take internal": 3}
OTHERS = {**PLAIN, "add a VM": 1, "add a stray": 1}

Act = Callable[[FileWorld, int], object]


@st.composite
def stories(draw: st.DrawFn, acts: dict[str, int], most: int = 30) -> Story:
    """Acts with numbers that say upon what; the more often, the greater their weight."""
    weighted = [act for act, weight in acts.items() for _ in range(weight)]
    one = st.tuples(st.sampled_from(weighted), st.integers(0, 9999))
    least = draw(st.integers(0, most // 2))  # hypothesis loves short ones
    return draw(st.lists(one, min_size=least, max_size=most))


@st.composite
def worlds(
    draw: st.DrawFn, acts: dict[str, int], *, base_formats: tuple[str, ...] = ("qcow2", "raw")
) -> FileWorld:
    """A VM to which a story has happened."""
    formats = ("qcow2",) if "take internal" in acts else base_formats
    world = FileWorld(
        targets=draw(st.sampled_from([("vda",), ("vda", "vdb")])),
        base_format=draw(st.sampled_from(formats)),
        updates_definition=draw(st.booleans()),
    )
    world.switch(on=draw(st.booleans()))
    for act, number in draw(stories(acts)):
        happen(world, act, number)
    return world


def happen(world: FileWorld, act: str, number: int) -> None:
    """Let one thing happen; what makes no sense now does not."""
    target = world.targets[number % len(world.targets)]
    match act:
        case "take" | "take with memory":
            world.take(memory=act == "take with memory")
        case "take one disk":
            world.take(targets=(target,))
        case "take internal":
            world.take(SnapshotKind.INTERNAL)
        case "write":
            world.write(target, number // 7)
        case "layer":
            world.layer(target)
        case "switch":
            world.switch(on=world.open is None)
        case _ if world.records:
            _happen_to_one(world, act, number, target)


def _happen_to_one(world: FileWorld, act: str, number: int, target: str) -> None:
    names = sorted(world.records)
    name = names[number % len(names)]
    frozen = world.records[name].frozen.get(target)
    match act:
        case "revert" if number % 16 == 0 or _fits(world, name):
            world.revert(name)
        case "forget":
            world.forget(name)
        case "add a VM" if frozen is not None:
            world.add_vm(frozen)
        case "add a stray" if frozen is not None:
            world.add_stray(frozen)


def _fits(world: FileWorld, name: str) -> bool:
    """Whether a revert to an internal snapshot leaves the external ones above it as they are."""
    record = world.records[name]
    is_inner = record.kind is SnapshotKind.INTERNAL
    return not is_inner or all(world.active(t) == p for t, p in record.frozen.items())


@dataclass(frozen=True)
class Chosen:
    """Snapshots chosen by numbers, for a world that is not known yet."""

    numbers: tuple[int, ...]

    def of(self, world: FileWorld) -> tuple[str, ...]:
        names = sorted(world.records)
        return tuple(dict.fromkeys(names[n % len(names)] for n in self.numbers)) if names else ()


def choices() -> st.SearchStrategy[Chosen]:
    """Some snapshots: one, several, or all."""
    numbers = st.lists(st.integers(0, 9999), min_size=1, max_size=4).map(tuple)
    everything = st.just(tuple(range(100)))
    return st.one_of(numbers, numbers, everything).map(Chosen)
