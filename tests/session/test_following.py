"""The visible VM: read, followed, and what happens when it cannot be read or is gone."""

import pytest

from snapview.core.errors import HostError
from snapview.core.layout import layout_tree
from snapview.core.operations import CreateSnapshot
from snapview.core.vm import Vm
from snapview.session import VmKey
from tests.fakes import FakeWorld
from tests.session.conftest import Open
from tests.session.witness import DB, NEVER, ONE, WEB, Witness


def test_a_selected_vm_arrives_laid_out(shown: Witness) -> None:
    view = shown.view()
    assert view.vm.name == "web"
    assert view.layout == layout_tree(view.vm.tree)
    assert not view.is_stale


def test_what_virsh_does_appears(world: FakeWorld, shown: Witness) -> None:
    world.act(CreateSnapshot(WEB.uuid, "by virsh"))
    shown.wait(lambda: "by-virsh" in shown.names())
    shown.wait(lambda: [vm.snapshot_count for vm in shown.connection().vms] == [3, 9])


def test_a_change_in_the_middle_of_a_read_is_not_missed(
    world: FakeWorld, shown: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, operations = world.read, [CreateSnapshot(WEB.uuid, "in between")]

    def read_then_change(uuid: str) -> Vm:
        vm = read(uuid)
        if operations:
            world.act(operations.pop())
        return vm

    monkeypatch.setattr(world, "read", read_then_change)
    shown.session.refresh()
    shown.wait(lambda: "in-between" in shown.names())


def test_a_vm_that_stays_the_same_is_not_read_again(world: FakeWorld, shown: Witness) -> None:
    read, looked = world.calls["read_vm"], world.calls["read_fingerprint"]
    shown.wait(lambda: world.calls["read_fingerprint"] > looked + 5)
    assert world.calls["read_vm"] == read


def test_only_the_visible_vm_is_followed(world: FakeWorld, shown: Witness) -> None:
    shown.session.select(DB)
    shown.wait_for_vm(DB)
    read, looked = world.calls["read_vm"], world.calls["read_fingerprint"]
    world.act(CreateSnapshot(WEB.uuid, "unseen"))
    shown.wait(lambda: world.calls["read_fingerprint"] > looked + 3)
    assert world.calls["read_vm"] == read
    shown.session.select(WEB)
    assert "unseen" not in shown.names(), "what was read before is there at once"
    shown.wait(lambda: "unseen" in shown.names())
    shown.session.select(None)
    looked, listed = world.calls["read_fingerprint"], world.calls["list_vms"]
    shown.wait(lambda: world.calls["list_vms"] > listed + 3)
    assert world.calls["read_fingerprint"] <= looked + 1, "one may have been under way"


def test_a_vm_that_is_undefined_is_gone(world: FakeWorld, shown: Witness) -> None:
    world.undefine(WEB.uuid)
    shown.wait(lambda: shown.gone == [WEB])
    assert shown.session.view(WEB) is None
    assert shown.session.selected is None
    shown.wait(lambda: [vm.name for vm in shown.connection().vms] == ["db"])
    shown.session.select(DB)
    shown.wait_for_vm(DB)
    assert shown.gone == [WEB]


def test_a_vm_that_never_was_is_gone(start: Open) -> None:
    witness = start()
    witness.session.open(ONE)
    nobody = VmKey(ONE, "00000000-0000-0000-0000-000000000000")
    witness.session.select(nobody)
    witness.wait(lambda: witness.gone == [nobody])


def test_an_unreadable_vm_is_told_once_and_recovers(world: FakeWorld, shown: Witness) -> None:
    world.read_errors[WEB.uuid] = HostError("The metadata is broken.")
    world.act(CreateSnapshot(WEB.uuid, "new"))
    shown.wait(lambda: shown.unreadable)
    looked = world.calls["read_fingerprint"]
    shown.wait(lambda: world.calls["read_fingerprint"] > looked + 4)
    assert shown.unreadable == [(WEB, "The metadata is broken.")]
    assert "tuned" in shown.names(), "what was read before stays"
    del world.read_errors[WEB.uuid]
    shown.wait(lambda: "new" in shown.names())


def test_details_are_read(shown: Witness) -> None:
    shown.session.read_detail(WEB, "updated")
    shown.wait(lambda: shown.details == ["updated"])


def test_of_many_details_the_last_one_is_answered(world: FakeWorld, start: Open) -> None:
    witness = start(NEVER)
    witness.session.open(ONE)
    witness.wait_for_list()
    world.hold_reads()
    for name in ("installed", "updated", "try-nginx", "nginx-tls", "tuned"):
        witness.session.read_detail(WEB, name)
    witness.wait(lambda: world.waiting_reads == 1)
    world.release_reads()
    witness.wait(lambda: witness.details)
    assert witness.details == ["tuned"]
    assert world.calls["read_detail"] == 2


def test_a_detail_that_is_gone_is_told(shown: Witness) -> None:
    shown.session.read_detail(WEB, "nix")
    shown.wait(lambda: shown.missing_details == ["nix"])


def test_what_belongs_to_an_unknown_connection_is_ignored(shown: Witness) -> None:
    elsewhere = VmKey("fake:///unknown", WEB.uuid)
    shown.session.read_detail(elsewhere, "tuned")
    shown.session.retry("fake:///unknown")
    shown.session.remove_connection("fake:///unknown")
    assert shown.session.view(elsewhere) is None
    job_id = shown.session.submit(elsewhere, CreateSnapshot(WEB.uuid, "x"))
    assert shown.job(job_id).state.is_over
