"""The storage around a VM: read after the VM, never in its way, and not for every look at it."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from snapview.core.errors import HostError
from snapview.core.operations import CreateSnapshot, EditDescription
from snapview.core.storage import ImageFile, Storage
from snapview.core.under_way import BlockJob, Interruption
from snapview.core.vm import EPOCH, SnapshotKind
from snapview.session import JobState
from snapview.session.storage_reads import with_known_storage
from tests.fakes import FakeHost, FakeWorld
from tests.session.conftest import Open
from tests.session.witness import DB, NEVER, ONE, WEB, Witness
from tests.trees import make_vm

OVERLAY = CreateSnapshot(WEB.uuid, "new", kind=SnapshotKind.EXTERNAL, memory=False, mix=True)


class Disks:
    """What the host says of its files: the images of a VM as it is at that moment."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def read(self, host: FakeHost, uuid: str) -> Storage:
        host.world.calls["read_storage"] += 1
        if self.error is not None:
            raise self.error
        layers = [layer for disk in host.world.vm(uuid).disks for layer in disk.layers]
        images = {layer.path: ImageFile(layer.path, allocation_bytes=1 << 20) for layer in layers}
        return Storage(MappingProxyType(images), MappingProxyType({"/images": 1 << 30}))


@pytest.fixture(autouse=True)
def disks(monkeypatch: pytest.MonkeyPatch) -> Disks:
    made = Disks()

    def read_storage(host: FakeHost, uuid: str) -> Storage:
        return made.read(host, uuid)

    monkeypatch.setattr(FakeHost, "read_storage", read_storage)
    return made


def storage(witness: Witness) -> Storage | None:
    return witness.view().vm.storage


def test_it_follows_the_vm(world: FakeWorld, shown: Witness) -> None:
    shown.wait(lambda: storage(shown))
    assert shown.vms[0].vm.storage is None, "the tree does not wait for it"
    found = storage(shown)
    assert found is not None
    assert set(found.images) == {"/images/web-vda.qcow2"}


def test_looking_at_the_vm_does_not_read_it_again(world: FakeWorld, shown: Witness) -> None:
    shown.wait(lambda: storage(shown))
    read, looked = world.calls["read_storage"], world.calls["read_fingerprint"]
    shown.wait(lambda: world.calls["read_fingerprint"] > looked + 5)
    assert world.calls["read_storage"] == read


def test_after_a_job_it_is_read_again(world: FakeWorld, shown: Witness) -> None:
    shown.wait(lambda: storage(shown))
    read = world.calls["read_storage"]
    job = shown.do(EditDescription(WEB.uuid, "tuned", "Other", ""))
    assert job.state is JobState.DONE
    assert storage(shown) is not None, "no image has changed, so it is still right meanwhile"
    shown.wait(lambda: world.calls["read_storage"] > read)


def test_what_is_known_of_other_images_is_forgotten(
    world: FakeWorld, shown: Witness, disks: Disks
) -> None:
    shown.wait(lambda: storage(shown))
    disks.error = HostError("The pool is gone.")
    world.act(OVERLAY)
    shown.wait(lambda: "new" in shown.names())
    assert storage(shown) is None
    disks.error = None
    shown.session.refresh()
    shown.wait(lambda: storage(shown))
    found = storage(shown)
    assert found is not None
    assert set(found.images) == {layer.path for layer in world.vm(WEB.uuid).disks[0].layers}
    assert len(found.images) == 2


def test_a_host_that_cannot_tell_is_put_up_with(
    world: FakeWorld, start: Open, disks: Disks
) -> None:
    disks.error = HostError("There is no pool.")
    witness = start(NEVER)
    witness.session.open(ONE)
    witness.session.select(WEB)
    witness.wait_for_vm()
    witness.wait(lambda: world.calls["read_storage"])
    assert witness.do(CreateSnapshot(WEB.uuid, "new")).state is JobState.DONE
    assert storage(witness) is None
    assert not witness.unreadable


def test_others_work_is_watched_without_reading_the_storage(
    world: FakeWorld, shown: Witness
) -> None:
    shown.wait(lambda: storage(shown))
    busy = replace(world.vm(WEB.uuid), block_jobs=(BlockJob("vda", done_bytes=1, total_bytes=9),))
    world.define(busy)
    shown.wait(lambda: shown.view().vm.block_jobs)
    read = world.calls["read_vm"]
    shown.wait(lambda: world.calls["read_vm"] > read + 2)
    storages = world.calls["read_storage"]
    further = (BlockJob("vda", done_bytes=5, total_bytes=9),)
    world.simulation.vms[WEB.uuid] = replace(busy, block_jobs=further)  # as jobs do: silently
    shown.wait(lambda: shown.view().vm.block_jobs == further)
    assert world.calls["read_storage"] == storages
    alive = Interruption("1", "the revert to “x”", EPOCH, is_alive=True)
    world.simulation.vms[WEB.uuid] = replace(busy, block_jobs=(), interruption=alive)
    shown.wait(lambda: shown.view().vm.interruption == alive)
    world.simulation.vms[WEB.uuid] = replace(busy, block_jobs=())
    shown.wait(lambda: shown.view().vm.interruption is None)
    read, looked = world.calls["read_vm"], world.calls["read_fingerprint"]
    shown.wait(lambda: world.calls["read_fingerprint"] > looked + 3)
    assert world.calls["read_vm"] == read


def test_vms_nobody_looks_at_have_it_after_their_jobs(shown: Witness) -> None:
    shown.do(CreateSnapshot(DB.uuid, "new"), DB)
    shown.wait(lambda: shown.view(DB).vm.storage)


def test_only_the_same_images_keep_it() -> None:
    known = replace(make_vm(), storage=Storage())
    assert with_known_storage(make_vm(), known).storage == Storage()
    assert with_known_storage(make_vm("other"), known).storage is None
    assert with_known_storage(make_vm(), None).storage is None
    assert with_known_storage(make_vm(), make_vm()).storage is None
