"""What every host has to do, the fake included, so that tests on the fake mean something.

The same cases run on the fake, on libvirt's test driver, and on real QEMU under libvirt 9.0 and
11.3, where virsh and the guest's own counters are the second opinion.
"""

import gc
from collections.abc import Iterator
from contextlib import suppress

import pytest

from snapview.core.errors import NotFound
from snapview.core.marks import words_of
from snapview.core.operations import (
    Afterwards,
    CreateSnapshot,
    DeleteSnapshot,
    Done,
    EditDescription,
    Failed,
    RevertSnapshot,
)
from snapview.core.vm import RunState, SnapshotState
from tests.backends import Backend, driver_backend, fake_backend, lab_backend
from tests.fakes import FakeWorld
from tests.trees import make_vm

BACKENDS = ["fake", "testdriver", "qemu9", pytest.param("qemu11", marks=pytest.mark.newer)]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    match request.param:
        case "fake":
            made = fake_backend(FakeWorld(make_vm("contract")))
        case "testdriver":
            made = driver_backend()
        case "qemu9":
            made = lab_backend(request.getfixturevalue("lab9"))
        case _:
            made = lab_backend(request.getfixturevalue("lab11"))
    yield made
    made.host.close()
    with suppress(AttributeError):
        made.other._host.close()  # type: ignore[attr-defined]
    # The test driver forgets its VMs only when the last handle is gone, also those that errors
    # of this test still hold.
    gc.collect()


def agrees(backend: Backend) -> None:
    """See that the second client sees the same tree."""
    vm = backend.vm()
    assert backend.other.parents() == {s.name: s.parent for s in vm.tree}
    assert backend.other.current() == vm.tree.current


def test_a_taken_snapshot_is_the_current_child_of_the_last(backend: Backend) -> None:
    first = backend.take("clean install", "Nothing but the system.\nSecond line & <more>.")
    second = backend.take("before upgrade")
    vm = backend.vm()
    assert backend.tree() == {first: None, second: first}
    assert vm.tree.current == second
    snapshot = vm.tree[first]
    assert (snapshot.name, snapshot.title) == ("clean-install", "clean install")
    assert words_of(snapshot.description) == "Nothing but the system.\nSecond line & <more>."
    assert snapshot.state is SnapshotState.RUNNING
    agrees(backend)


def test_the_list_counts_them(backend: Backend) -> None:
    backend.take("one")
    backend.take("two")
    summary = next(vm for vm in backend.host.list_vms() if vm.uuid == backend.uuid)
    assert summary.snapshot_count == 2
    assert summary.run_state is RunState.RUNNING


def test_revert_goes_back_and_branches(backend: Backend) -> None:
    first, second = backend.take("one"), backend.take("two")
    backend.done(RevertSnapshot(backend.uuid, first, safety_snapshot=False))
    assert backend.vm().tree.current == first
    third = backend.take("three")
    assert backend.tree() == {first: None, second: first, third: first}
    agrees(backend)


def test_the_safety_snapshot_keeps_the_state_of_now(backend: Backend) -> None:
    first, second = backend.take("one"), backend.take("two")
    outcome = backend.done(RevertSnapshot(backend.uuid, first))
    vm = backend.vm()
    assert outcome.created is not None
    kept = vm.tree[outcome.created]
    assert kept.title == "before revert to ‘one’"
    assert kept.parent == second
    assert vm.tree.current == first
    backend.done(RevertSnapshot(backend.uuid, kept.name, safety_snapshot=False))
    assert backend.vm().tree.current == kept.name
    agrees(backend)


@pytest.mark.parametrize(
    ("afterwards", "state"),
    [
        (Afterwards.RUNNING, RunState.RUNNING),
        (Afterwards.PAUSED, RunState.PAUSED),
        (Afterwards.OFF, RunState.SHUTOFF),
    ],
)
def test_after_a_revert_the_vm_does_what_was_asked(
    backend: Backend, afterwards: Afterwards, state: RunState
) -> None:
    name = backend.take("one")
    revert = RevertSnapshot(backend.uuid, name, safety_snapshot=False, afterwards=afterwards)
    backend.done(revert)
    assert backend.vm().run_state is state


def test_delete_leaf_middle_and_root(backend: Backend) -> None:
    names = [backend.take(title) for title in ("one", "two", "three", "four")]
    one, two, three, four = names
    backend.done(DeleteSnapshot(backend.uuid, (four,)))
    assert backend.tree() == {one: None, two: one, three: two}
    assert backend.vm().tree.current == three
    backend.done(DeleteSnapshot(backend.uuid, (two,)))
    assert backend.tree() == {one: None, three: one}
    backend.done(DeleteSnapshot(backend.uuid, (one,)))
    assert backend.tree() == {three: None}
    agrees(backend)


def test_delete_a_subtree_and_nothing_else(backend: Backend) -> None:
    one, two, three = (backend.take(title) for title in ("one", "two", "three"))
    backend.done(RevertSnapshot(backend.uuid, one, safety_snapshot=False))
    side = backend.take("side")
    assert backend.tree() == {one: None, two: one, three: two, side: one}
    backend.done(DeleteSnapshot(backend.uuid, (two,), subtree=True))
    assert backend.tree() == {one: None, side: one}
    agrees(backend)


def test_describe_changes_the_words_only(backend: Backend) -> None:
    one, two = backend.take("one", "old"), backend.take("two")
    before = backend.vm().tree
    backend.done(EditDescription(backend.uuid, two, "A new title", "New\n\nwords ✓ <b>&amp;"))
    after = backend.vm().tree
    assert after[two].title == "A new title"
    assert words_of(after[two].description) == "New\n\nwords ✓ <b>&amp;"
    assert after.current == two
    assert after[one] == before[one]
    assert (after[two].parent, after[two].created_at) == (one, before[two].created_at)
    agrees(backend)


@pytest.mark.parametrize(
    "title",
    [
        "../x",
        "-x",
        "a/b",
        "x" * 255,
        "“quotes” 'and' \"more\"",
        "Überprüfung ✓",
        "東京",
        "two\nlines",
        "<b>bold</b> & %s {0}",
    ],
)
def test_any_title_becomes_a_snapshot(backend: Backend, title: str) -> None:
    name = backend.take(title)
    assert backend.vm().tree[name].title == " ".join(title.split())
    backend.done(DeleteSnapshot(backend.uuid, (name,)))
    assert backend.tree() == {}


def test_an_existing_name_is_refused_and_nothing_changes(backend: Backend) -> None:
    name = backend.take("one")
    before = backend.vm().tree
    outcome = backend.do(CreateSnapshot(backend.uuid, "one"))
    assert isinstance(outcome, Failed)
    assert "already has a snapshot called “one”" in outcome.error.message
    assert outcome.changed == {backend.uuid}
    assert backend.vm().tree == before
    assert name in before


def test_unknown_things_are_said_to_be_unknown(backend: Backend) -> None:
    for operation in (
        RevertSnapshot(backend.uuid, "nowhere"),
        DeleteSnapshot(backend.uuid, ("nowhere",)),
        EditDescription(backend.uuid, "nowhere", "x", "y"),
    ):
        outcome = backend.do(operation)
        assert isinstance(outcome, Failed)
        assert "nowhere" in outcome.error.message
    missing = "00000000-1111-2222-3333-444444444444"
    with pytest.raises(NotFound):
        backend.host.read_vm(missing)
    with pytest.raises(NotFound):
        backend.host.read_fingerprint(missing)
    outcome = backend.do(CreateSnapshot(missing, "x"))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, NotFound)


def test_another_client_is_seen(backend: Backend) -> None:
    backend.take("one")
    before = backend.host.read_fingerprint(backend.uuid)
    assert backend.host.read_fingerprint(backend.uuid) == before
    backend.other.take("theirs")
    changed = backend.host.read_fingerprint(backend.uuid)
    assert changed != before
    assert backend.tree() == {"one": None, "theirs": "one"}
    backend.other.delete("theirs")
    assert backend.host.read_fingerprint(backend.uuid) != changed


def test_deleting_what_another_client_has_deleted_is_said(backend: Backend) -> None:
    backend.take("one")
    name = backend.take("two")
    backend.other.delete(name)
    outcome = backend.do(DeleteSnapshot(backend.uuid, (name,)))
    assert isinstance(outcome, Failed)
    assert "two" in outcome.error.message
    assert backend.tree() == {"one": None}


def test_cancelled_before_the_first_step_nothing_happens(backend: Backend) -> None:
    job = backend.host.start(CreateSnapshot(backend.uuid, "one"))
    job.request_cancel()
    assert not isinstance(job.step(), Done)
    assert backend.tree() == {}


def test_detail_shows_the_hardware_of_that_time(backend: Backend) -> None:
    name = backend.take("one")
    detail = backend.host.read_detail(backend.uuid, name)
    assert detail.name == name
    assert detail.hardware.vcpus == backend.vm().hardware.vcpus
    with pytest.raises(NotFound):
        backend.host.read_detail(backend.uuid, "nowhere")


def test_closing_and_connecting_again(backend: Backend) -> None:
    backend.host.close()
    backend.host.close()
    backend.host.connect()
    assert backend.host.connect() == backend.vm().capabilities
