"""How single moves are made: libvirt's faults got round, files proven unneeded, records right."""

import re
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from snapview.core.errors import Conflict, HostError, ImageNotWritable, NoSpace, Unsupported
from snapview.core.marks import Consistency, marks_of
from snapview.core.moves import MakeOverlay, RemoveFile, SetCurrent, StartVm, TakeSnapshot
from snapview.core.operations import (
    Afterwards,
    Cancelled,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    Failed,
    Operation,
    Outcome,
    Recover,
    RevertSnapshot,
)
from snapview.core.vm import DiskChain, DiskLayer, RunState, Vm
from snapview.virt.job import run
from snapview.virt.moves import make
from snapview.virt.moves.site import Patience, Site
from snapview.virt.snapshot_text import read_snapshot
from tests.virt.memory_libvirt import UUID, MemoryLibvirt, path_of
from tests.virt.operating import (
    EXTERNAL,
    NEW,
    OLD,
    PATIENCE,
    Before,
    branches,
    do,
    failure,
    internals,
    interruption,
    job_of,
    line,
)
from tests.virt.ports import Killed, MemoryPort, Trouble, reborn
from tests.waiting import eventually

TAKE = CreateSnapshot(UUID, "new one", "words", EXTERNAL, memory=False)
QUIESCED = replace(TAKE, quiesce=True)
BACK = RevertSnapshot(UUID, "one")
RISKY = RevertSnapshot(UUID, "one", safety_snapshot=False)
DROP = DeleteSnapshot(UUID, ("two",))
FULL = NoSpace("Could not. The file system of the images is full.", advice="Free some space.")


def site_of(port: MemoryPort) -> Site:
    vm = port.libvirt.vm().with_storage(port.libvirt.storage())
    return Site(port, threading.Event(), vm, PATIENCE)


def do_with(port: MemoryPort, operation: Operation, patience: Patience) -> Outcome:
    return run(job_of(port, operation, patience=patience), lambda _: None)


# Two reverts within one second (trap 26)


def second_passes(libvirt: MemoryLibvirt) -> Patience:
    def pause(_stop: threading.Event, _seconds: float) -> None:
        libvirt.second += 1

    return replace(PATIENCE, pause=pause)


def test_two_reverts_within_a_second_are_waited_out() -> None:
    port = MemoryPort(line())
    port.libvirt.put(path_of(f"vda.{port.libvirt.second}"), path_of("vda.qcow2"))
    assert isinstance(do_with(port, RISKY, second_passes(port.libvirt)), Done)
    assert port.calls.count("revert") == 2
    assert port.libvirt.current == "one"


def test_they_are_not_waited_out_for_ever() -> None:
    port = MemoryPort(line())
    port.libvirt.put(path_of(f"vda.{port.libvirt.second}"), path_of("vda.qcow2"))
    before = Before.of(port.libvirt)
    assert isinstance(failure(port, RISKY), Unsupported)
    assert port.calls.count("revert") == 3
    assert Before.of(port.libvirt) == before


def test_other_refusals_are_not_waited_out() -> None:
    port = MemoryPort(line(), errors={"revert": Unsupported("No.", detail="not supported yet")})
    assert isinstance(failure(port, RISKY), Unsupported)
    assert port.calls.count("revert") == 1


def test_a_cancel_ends_the_wait() -> None:
    port = MemoryPort(line())
    port.libvirt.put(path_of(f"vda.{port.libvirt.second}"), path_of("vda.qcow2"))
    job = job_of(port, RISKY)
    port.before["revert"] = job.request_cancel
    assert isinstance(run(job, lambda _: None), Cancelled)
    assert port.calls.count("revert") == 1


# A delete that drops the record and leaves the state (trap 18)


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_state_that_stays_inside_gets_its_record_back(name: str) -> None:
    port = MemoryPort(internals())
    port.libvirt.keeps_tags = True
    before = Before.of(port.libvirt)
    parents = {n: read_snapshot(t).parent for n, t in port.libvirt.records.items()}
    error = failure(port, DeleteSnapshot(UUID, (name,)))
    assert "still inside" in error.message
    assert error.advice
    assert Before.of(port.libvirt) == before
    assert {n: read_snapshot(t).parent for n, t in port.libvirt.records.items()} == parents


def test_an_image_that_cannot_be_read_is_no_hindrance() -> None:
    port = MemoryPort(internals(), lies={"tags"})
    assert isinstance(do(port, DeleteSnapshot(UUID, ("one",))), Done)


# Freezing


def test_frozen_around_the_snapshot_alone() -> None:
    port = MemoryPort(line(on=True))
    assert isinstance(do(port, QUIESCED), Done)
    assert port.acts == ["freeze", "create", "thaw"]


def test_a_guest_that_is_frozen_for_too_long_is_thawed_and_the_snapshot_says_so() -> None:
    port = MemoryPort(line(on=True))
    port.before["create"] = lambda: eventually(lambda: "thaw" in port.calls, "nobody thawed it")
    outcome = do_with(port, QUIESCED, replace(PATIENCE, thaw_seconds=0.01))
    assert isinstance(outcome, Done)
    assert outcome.created == "new-one"
    (remark,) = outcome.remarks
    assert "thawed early" in remark
    made = port.libvirt.vm().tree["new-one"]
    assert made.title == "new one"
    assert made.description.startswith("words")
    assert marks_of(made.description).consistency is Consistency.CRASH


def test_in_time_it_stays_as_consistent_as_it_is() -> None:
    port = MemoryPort(line(on=True))
    assert isinstance(do(port, QUIESCED), Done)
    description = port.libvirt.vm().tree["new-one"].description
    assert marks_of(description).consistency is Consistency.FROZEN


def test_nobody_thaws_later_what_was_thawed_in_time() -> None:
    port = MemoryPort(line(on=True))
    do_with(port, QUIESCED, replace(PATIENCE, thaw_seconds=1.0))

    def names() -> set[str]:
        return {thread.name for thread in threading.enumerate()}

    eventually(lambda: "snapview-thaw" not in names(), "the watchdog goes on")
    assert port.calls.count("thaw") == 1


@pytest.mark.parametrize("call", ["freeze", "create"])
def test_thawed_whatever_happens(call: str) -> None:
    port = MemoryPort(line(on=True), errors={call: FULL})
    assert failure(port, QUIESCED) is FULL
    assert port.acts[-1] == "thaw"
    assert not port.libvirt.is_frozen


def fault_of_ours() -> None:
    raise ZeroDivisionError


def test_thawed_even_after_a_fault_of_our_own() -> None:
    port = MemoryPort(line(on=True), before={"create": fault_of_ours})
    with pytest.raises(ZeroDivisionError):
        do(port, QUIESCED)
    assert port.acts[-1] == "thaw"


@pytest.mark.parametrize("call", ["freeze", "create"])
def test_a_thaw_that_fails_too_does_not_hide_why(call: str) -> None:
    first = NoSpace("Could not. It is full.", advice="Free some space.")
    dumb = Conflict("It does not answer.")
    port = MemoryPort(line(on=True), errors={call: first, "thaw": dumb})
    error = failure(port, QUIESCED)
    assert error is first
    assert "still frozen" in error.advice
    assert "It does not answer." in error.advice
    assert port.calls.count("thaw") == 3


def test_a_thaw_that_fails_alone_is_the_failure() -> None:
    frozen = Conflict("Could not thaw the guest's file systems.")
    port = MemoryPort(line(on=True), errors={"thaw": frozen})
    assert failure(port, QUIESCED) is frozen
    assert "new-one" in port.libvirt.records


# Files in the way of a snapshot, and left by one that failed


def test_a_file_of_somebody_elses_is_not_overwritten() -> None:
    """libvirt truncates an existing memory file without a word."""
    port = MemoryPort(line(on=True))
    site = site_of(port)
    take = TakeSnapshot("new", "", EXTERNAL, STRAY)
    port.libvirt.put(STRAY, path_of("vda.qcow2"))
    site.vm = site.vm.with_storage(port.libvirt.storage())
    with pytest.raises(Conflict, match="a file"):
        list(make(take, site))
    assert "create" not in port.calls


def test_what_a_failed_snapshot_has_left_is_removed() -> None:
    port = MemoryPort(line(on=True), errors={"create": FULL})
    before = Before.of(port.libvirt)
    stray = path_of("vda.new-one.qcow2")
    port.before["create"] = lambda: port.libvirt.put(stray, path_of("vda.three.qcow2"))
    assert failure(port, TAKE) is FULL
    assert Before.of(port.libvirt) == before


def test_what_the_vm_uses_is_not_left_over() -> None:
    """libvirt died after QEMU had changed over, and has no record."""
    port = MemoryPort(line(on=True), errors={"create": FULL})

    def half() -> None:
        port.libvirt.take("new-one")
        port.libvirt.forget("new-one")

    port.before["create"] = half
    live = port.libvirt.live()
    assert failure(port, TAKE) is FULL
    assert port.libvirt.live() == live
    assert port.libvirt.active("vda") == path_of("vda.new-one.qcow2")


# Files that something refers to


STRAY = path_of("stray.qcow2")


def _with_memory_file(vm: Vm) -> Vm:
    tree = [replace(s, memory_path=STRAY) if s.name == "one" else s for s in vm.tree]
    return replace(vm, tree=type(vm.tree)(tree, vm.tree.current))


def _with_problem(vm: Vm) -> Vm:
    tree = [replace(s, problem="It is odd.") if s.name == "one" else s for s in vm.tree]
    return replace(vm, tree=type(vm.tree)(tree, vm.tree.current))


def remove(port: MemoryPort, path: str) -> None:
    list(make(RemoveFile(path), site_of(port)))


def test_a_file_that_nothing_refers_to_is_removed() -> None:
    port = MemoryPort(line())
    port.libvirt.put(STRAY, path_of("vda.qcow2"))
    remove(port, STRAY)
    assert STRAY not in port.libvirt.files
    remove(port, STRAY)  # again


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("vda.three.qcow2", "the VM's disk vda"),
        ("vda.two.qcow2", "the snapshot “three”"),
        ("vda.qcow2", "the snapshot “one”"),
    ],
)
def test_a_file_that_is_needed_stays(path: str, words: str) -> None:
    port = MemoryPort(line())
    before = Before.of(port.libvirt)
    with pytest.raises(HostError, match=words):
        remove(port, path_of(path))
    assert Before.of(port.libvirt) == before


@pytest.mark.parametrize("path", ["vda.three.qcow2", "vda.two.qcow2", "vda.qcow2"])
def test_what_the_vm_has_open_stays(path: str) -> None:
    port = MemoryPort(line(on=True))
    for name in ("one", "two", "three"):
        port.libvirt.forget(name)
    with pytest.raises(HostError, match="the VM's disk vda"):
        remove(port, path_of(path))
    assert path_of(path) in port.libvirt.files


@pytest.mark.parametrize(
    ("change", "words"),
    [(_with_memory_file, "the snapshot “one” needs it"), (_with_problem, "cannot be read")],
)
def test_what_the_records_say_forbids_it(change: Callable[[Vm], Vm], words: str) -> None:
    port = MemoryPort(line(), changes=change)
    port.libvirt.put(STRAY, path_of("vda.qcow2"))
    with pytest.raises(HostError, match=words):
        remove(port, STRAY)
    assert STRAY in port.libvirt.files


def test_an_image_on_which_another_lies_stays_whoever_that_is() -> None:
    port = MemoryPort(line())
    port.libvirt.put(STRAY, path_of("vda.qcow2"))
    port.libvirt.put(path_of("other.qcow2"), STRAY)
    with pytest.raises(HostError, match=r"other\.qcow2 lies on it"):
        remove(port, STRAY)


@pytest.mark.parametrize(
    ("users", "unreadable", "words"),
    [({STRAY: ("db",)}, (), "the VM “db” uses it"), ({}, ("/images",), "does not tell")],
)
def test_what_libvirt_tells_of_the_folder_forbids_it(
    users: dict[str, tuple[str, ...]], unreadable: tuple[str, ...], words: str
) -> None:
    port = MemoryPort(line())
    port.libvirt.put(STRAY, path_of("vda.qcow2"))
    storage = port.libvirt.storage
    port.libvirt.storage = lambda: replace(  # type: ignore[method-assign]
        storage(), users=users, unreadable=frozenset(unreadable)
    )
    with pytest.raises(HostError, match=words):
        remove(port, STRAY)
    assert STRAY in port.libvirt.files


@pytest.mark.parametrize("make_vm", [lambda: branches(on=True), lambda: line(on=True)])
def test_no_document_names_a_file_that_is_gone(make_vm: Callable[[], MemoryLibvirt]) -> None:
    """Chains that libvirt has written down would break the VM at its next start or revert."""
    port = MemoryPort(make_vm())
    for name in ({"side", "two"} & port.libvirt.records.keys(), {"one"}):
        assert isinstance(do(port, DeleteSnapshot(UUID, tuple(name))), Done)
    files = set(port.libvirt.files)
    for text in (*port.libvirt.records.values(), port.libvirt.definition):
        domains = text.partition("<domain ")[2]  # the overlays of <disks> may be long gone
        assert set(re.findall(r"<source file='([^']*)'", domains)) <= files


# Where the VM stands


def test_after_our_merge_libvirts_own_revert_destroys_nothing() -> None:
    """It unlinks what the record of the current snapshot names as made last."""
    port = MemoryPort(branches())
    assert isinstance(do(port, DeleteSnapshot(UUID, ("side",))), Done)
    states = port.libvirt.states()
    port.libvirt.revert("three", Afterwards.AS_IT_WAS)
    assert port.libvirt.states() == states


def test_after_our_revert_libvirts_own_revert_destroys_nothing() -> None:
    drive = DiskChain("sda", (DiskLayer("/dev/sr0", "raw", "block"),), device="cdrom")
    port = MemoryPort(line())
    port.changes = lambda vm: replace(vm, disks=(*vm.disks, drive))
    assert isinstance(do(port, RISKY), Done)
    assert "revert" not in port.calls, "libvirt would have refused"
    states, overlay = port.libvirt.states(), port.libvirt.active("vda")
    port.libvirt.second += 1
    port.libvirt.revert("two", Afterwards.AS_IT_WAS)
    assert port.libvirt.states() == states
    assert overlay not in port.libvirt.files


def test_older_libvirts_are_told_nothing_they_do_not_know() -> None:
    port = MemoryPort(line(version=OLD))
    assert isinstance(do(port, RISKY), Done)
    assert port.calls.count("redefine") == 1  # the VM stands on it
    assert port.libvirt.version < NEW


def test_standing_there_already_nothing_is_forgotten() -> None:
    """A second REDEFINE with CURRENT would make libvirt forget its <revertDisks> (trap 6)."""
    port = MemoryPort(branches())
    port.libvirt.revert("one", Afterwards.AS_IT_WAS)
    noted = port.libvirt.records["one"]
    list(make(SetCurrent("one"), site_of(port)))
    assert port.libvirt.records["one"] == noted


# Merges


def test_an_image_that_may_not_be_written_to_costs_nothing() -> None:
    """Trap 5: AppArmor forbids it when the job is to start."""
    error = ImageNotWritable("The host's QEMU may not write to it.")
    port = MemoryPort(line(on=True), errors={"commit": error})
    before = Before.of(port.libvirt)
    assert failure(port, DROP) is error
    assert "lost" not in error.advice
    assert Before.of(port.libvirt) == before


def test_a_vm_that_goes_off_in_the_middle_costs_the_snapshot_and_no_more() -> None:
    port = MemoryPort(line(on=True))
    states = {k: v for k, v in port.libvirt.states().items() if k[0] != "two"}
    looks: list[None] = []
    original = port.libvirt.qemu.look  # type: ignore[union-attr]

    def look(disk: str) -> object:
        looks.append(None)
        if len(looks) == 3:
            port.libvirt.stop()
            return None
        return original(disk)

    port.libvirt.qemu.look = look  # type: ignore[union-attr,method-assign]
    error = failure(port, DROP)
    assert "broke off" in error.message
    assert "“two” is lost" in error.advice
    assert "The VM is off now." in error.advice
    assert port.libvirt.states() == states
    port.libvirt.start()


def test_looks_that_fail_now_and_then_are_borne() -> None:
    port = MemoryPort(line(on=True))
    busy = Conflict("The VM is busy with another job.")
    original = port.libvirt.qemu.look  # type: ignore[union-attr]
    looks: list[None] = []

    def look(disk: str) -> object:
        looks.append(None)
        if len(looks) % 2 == 0:
            raise busy
        return original(disk)

    port.libvirt.qemu.look = look  # type: ignore[union-attr,method-assign]
    assert isinstance(do(port, DROP), Done)


def test_a_job_found_running_by_a_recovery_is_taken_over() -> None:
    port = MemoryPort(line(on=True))
    port.trouble = Trouble(_index("commit") + 2)
    with pytest.raises(Killed):
        do(port, DROP)
    port = reborn(port)
    found = interruption(port)
    assert found is not None
    assert isinstance(do(port, Recover(UUID, found.id, finish=True)), Done)
    assert "commit" not in port.calls, port.calls
    assert "two" not in port.libvirt.records


def test_a_job_that_ends_while_a_recovery_looks_is_no_surprise() -> None:
    port = MemoryPort(line(on=True))
    port.trouble = Trouble(_index("commit") + 2)
    with pytest.raises(Killed):
        do(port, DROP)
    port = reborn(port)
    found = interruption(port)
    assert found is not None

    def ends() -> None:
        assert port.libvirt.qemu is not None
        while port.libvirt.qemu.look("vda") is not None:
            pass

    port.before["chain"] = ends
    assert isinstance(do(port, Recover(UUID, found.id, finish=True)), Done)
    assert "two" not in port.libvirt.records


def test_a_merge_of_a_vm_that_is_off_by_now_goes_on_at_a_workbench() -> None:
    port = MemoryPort(line(on=True))
    port.trouble = Trouble(_index("commit") + 2)
    with pytest.raises(Killed):
        do(port, DROP)
    port = reborn(port)
    port.libvirt.stop()
    found = interruption(port)
    assert found is not None
    assert isinstance(do(port, Recover(UUID, found.id, finish=True)), Done)
    assert "open" in port.calls


def _index(call: str) -> int:
    """The number of a call when all goes well."""
    twin = MemoryPort(line(on=True))
    do(twin, DROP)
    return twin.calls.index(call)


def test_images_that_lie_otherwise_by_now_are_not_touched() -> None:
    port = MemoryPort(line())

    def meanwhile() -> None:
        port.libvirt.files[path_of("vda.three.qcow2")].backing = path_of("vda.one.qcow2")

    job = job_of(port, DROP)
    job.step()
    meanwhile()
    outcome = run(job, lambda _: None)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, Conflict)
    assert "commit" not in port.calls


def test_an_overlay_is_not_put_over_a_file_of_somebody_elses() -> None:
    port = MemoryPort(line(version=OLD))
    job = job_of(port, RISKY)
    job.step()  # planned
    path = next(m.path for m in port.journal.entries[UUID].moves if isinstance(m, MakeOverlay))
    port.libvirt.put(path, path_of("vda.qcow2"))
    outcome = run(job, lambda _: None)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, Conflict)
    assert path in port.libvirt.files
    assert port.acts == []


# On and off


def test_paused_when_that_was_asked_for() -> None:
    port = MemoryPort(line())
    list(make(StartVm(paused=True), site_of(port)))
    assert port.libvirt.vm().run_state is RunState.PAUSED
    list(make(StartVm(), site_of(port)))  # it is on
    assert port.libvirt.vm().run_state is RunState.PAUSED
    assert port.calls.count("start") == 1
