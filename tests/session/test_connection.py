"""Connecting, losing the daemon, connecting again; two hosts that do not hold each other up."""

import pytest
from PySide6.QtCore import QTimer

from snapview.core.errors import ConnectionLost, HostError, NotInstalled, NotPermitted
from snapview.core.operations import CreateSnapshot
from snapview.session import ConnectionState, Timing, VmKey
from tests.fakes import FakeWorld
from tests.session.conftest import Open
from tests.session.witness import NEVER, ONE, SOON, TWO, WEB, Witness
from tests.trees import vm_uuid

MAIL = VmKey(TWO, vm_uuid("mail"))


def test_changes_of_others_are_due_within_five_seconds() -> None:
    assert Timing().list_seconds < 5
    assert Timing().fingerprint_seconds < 5
    assert Timing().back_off_seconds == (1, 2, 4, 8, 15)


def test_a_connection_says_what_it_does(start: Open) -> None:
    witness = start()
    witness.session.open(ONE)
    witness.session.open(ONE)
    witness.wait_for_list()
    assert [vm.name for vm in witness.connection().vms] == ["db", "web"]
    assert witness.connection().capabilities is not None
    assert witness.connection().read_at is not None
    told = [state for _, state in witness.states]
    assert told[0] is ConnectionState.CONNECTING
    assert set(told[1:]) == {ConnectionState.CONNECTED}


def test_a_list_that_stays_the_same_is_not_told_again(world: FakeWorld, start: Open) -> None:
    witness = start()
    witness.session.open(ONE)
    witness.wait_for_list()
    told, read = len(witness.states), world.calls["list_vms"]
    witness.wait(lambda: world.calls["list_vms"] >= read + 5)
    assert len(witness.states) == told


def test_while_lost_all_stays_shown_and_is_marked(world: FakeWorld, shown: Witness) -> None:
    before = shown.view()
    world.go_down()
    shown.wait_for_state(ConnectionState.LOST)
    assert shown.connection().is_stale
    assert [vm.name for vm in shown.connection().vms] == ["db", "web"]
    assert shown.connection().error is not None
    shown.wait(lambda: shown.view().is_stale)
    assert shown.view().vm == before.vm
    assert shown.vms[-1].is_stale, "the window was told"


def test_it_connects_again_and_reads_again(world: FakeWorld, shown: Witness) -> None:
    world.go_down()
    shown.wait_for_state(ConnectionState.LOST)
    tried = world.calls["connect"]
    shown.wait(lambda: world.calls["connect"] >= tried + 3)
    assert shown.connection().state is ConnectionState.LOST, "no flicker while it tries"
    world.act(CreateSnapshot(WEB.uuid, "while away"))
    world.come_up()
    shown.wait_for_state(ConnectionState.CONNECTED)
    shown.wait_for_vm()
    assert "while-away" in shown.names()
    shown.wait(lambda: not shown.connection().is_stale)
    assert shown.do().outcome is not None, "the operations' connection works again too"
    assert "new" in shown.names()


def test_a_daemon_that_dies_silently_is_noticed_by_the_poll(
    world: FakeWorld, shown: Witness
) -> None:
    world.subscribers.clear()
    world.go_down()
    shown.wait_for_state(ConnectionState.LOST)
    world.come_up()
    shown.wait_for_state(ConnectionState.CONNECTED)


def test_f5_tries_at_once(world: FakeWorld, start: Open) -> None:
    witness = start(Timing(back_off_seconds=(3600,)))
    world.is_up = False
    witness.session.open(ONE)
    witness.wait_for_state(ConnectionState.FAILED)
    world.come_up()
    witness.session.refresh()
    witness.wait_for_state(ConnectionState.CONNECTED)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (NotInstalled("No libvirt."), ConnectionState.NOT_INSTALLED),
        (ConnectionLost("Nobody there."), ConnectionState.FAILED),
    ],
)
def test_what_may_heal_by_itself_is_tried_again(
    world: FakeWorld, start: Open, error: ConnectionLost, state: ConnectionState
) -> None:
    witness = start()
    world.connect_error = error
    witness.session.open(ONE)
    witness.wait_for_state(state)
    assert witness.connection().error is error
    world.connect_error = None
    witness.wait_for_state(ConnectionState.CONNECTED)
    assert witness.connection().error is None


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (NotPermitted("You may not."), ConnectionState.NOT_PERMITTED),
        (HostError("Broken."), ConnectionState.FAILED),
    ],
)
def test_what_needs_the_user_waits_for_the_user(
    world: FakeWorld, start: Open, error: HostError, state: ConnectionState
) -> None:
    witness = start()
    world.connect_error = error
    witness.session.open(ONE)
    witness.wait_for_state(state)
    tried = world.calls["connect"]
    let_timers_fire(witness, 10)
    assert world.calls["connect"] == tried, "no password box every 15 seconds"
    world.connect_error = None
    witness.session.retry(ONE)
    assert witness.connection().state is ConnectionState.CONNECTING
    witness.wait_for_state(ConnectionState.CONNECTED)


def test_a_list_that_cannot_be_read_is_stale_and_says_why(
    world: FakeWorld, shown: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise HostError("The list cannot be read.")

    with monkeypatch.context() as patched:
        patched.setattr(world, "summaries", refuse)
        shown.wait(lambda: shown.connection().error)
        assert shown.connection().is_stale
        assert shown.connection().vms
    shown.wait(lambda: not shown.connection().error and not shown.connection().is_stale)


def test_a_host_that_hangs_holds_up_nobody_else(
    world: FakeWorld, other_world: FakeWorld, start: Open
) -> None:
    world.hold_reads()
    witness = start()
    witness.session.open(ONE)
    witness.session.open(TWO)
    witness.session.select(MAIL)
    witness.wait_for_list(TWO)
    witness.wait_for_vm(MAIL)
    assert witness.do(key=MAIL).outcome is not None
    assert "new" in witness.names(MAIL)
    assert witness.connection(ONE).state is ConnectionState.CONNECTING
    world.release_reads()
    witness.wait_for_list(ONE)


def test_polls_never_stack(world: FakeWorld, shown: Witness) -> None:
    world.hold_reads()
    shown.wait(lambda: world.waiting_reads)
    before = world.calls.copy()
    let_timers_fire(shown, 10)
    shown.session.read_detail(WEB, "tuned")  # stands behind whatever has piled up
    world.release_reads()
    shown.wait(lambda: shown.details)
    assert world.calls["list_vms"] - before["list_vms"] <= 2
    assert world.calls["read_fingerprint"] - before["read_fingerprint"] <= 2


def test_pressing_f5_often_reads_once_more(world: FakeWorld, start: Open) -> None:
    witness = start(NEVER)
    witness.session.open(ONE)
    witness.session.select(WEB)
    witness.wait_for_list()
    witness.wait_for_vm()
    before = world.calls.copy()
    world.hold_reads()
    for _ in range(50):
        witness.session.refresh()
    witness.wait(lambda: world.waiting_reads)
    world.release_reads()
    witness.wait(lambda: world.calls["read_vm"] == before["read_vm"] + 2)
    witness.session.read_detail(WEB, "tuned")
    witness.wait(lambda: witness.details)
    assert world.calls["read_vm"] == before["read_vm"] + 2
    assert world.calls["list_vms"] == before["list_vms"] + 2


def test_a_removed_connection_is_gone_at_once(world: FakeWorld, shown: Witness) -> None:
    world.hold_reads()
    shown.wait(lambda: world.waiting_reads)
    shown.session.remove_connection(ONE)
    shown.session.remove_connection(ONE)
    assert shown.session.connections == ()
    assert shown.session.view(WEB) is None
    assert shown.session.selected is None
    world.release_reads()
    shown.session.open(ONE)
    shown.wait_for_list()
    shown.wait(lambda: world.calls["close"] == 2)


def test_events_are_followed_at_once(world: FakeWorld, start: Open) -> None:
    witness = start(NEVER)
    witness.session.open(ONE)
    witness.session.select(WEB)
    witness.wait_for_list()
    witness.wait_for_vm()
    world.act(CreateSnapshot(WEB.uuid, "by virsh"))
    world.define(world.vm(WEB.uuid))  # tells of it, as libvirt does of a changed VM
    witness.wait(lambda: "by-virsh" in witness.names())


def let_timers_fire(witness: Witness, times: int) -> None:
    """Let timers of the session's own interval fire so often."""
    fired: list[None] = []
    timer = QTimer()
    timer.timeout.connect(lambda: fired.append(None))
    timer.start(round(SOON.list_seconds * 1000))
    witness.wait(lambda: len(fired) >= times)
    timer.stop()
