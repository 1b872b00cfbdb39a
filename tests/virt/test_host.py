"""What a real daemon does to a connection: it dies, it hides things, it loses them meanwhile.

The addresses come first, which need no daemon; then libvirt's test driver; then a private daemon
of this file's own, which may be killed.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from snapview.core.errors import (
    ConnectionLost,
    HostError,
    NotFound,
    NotInstalled,
    NotPermitted,
    SnapviewError,
)
from snapview.core.moves import TakeSnapshot
from snapview.core.operations import (
    ConnectionClosed,
    CreateSnapshot,
    DeleteSnapshot,
    EditDescription,
    Failed,
    HostEvent,
    Outcome,
    VmEvent,
)
from snapview.core.vm import SnapshotKind
from snapview.virt import host as host_module
from snapview.virt import reading
from snapview.virt.eventloop import EventLoop
from snapview.virt.host import LibvirtHost
from snapview.virt.job import run
from tests.backends import Backend, lab_backend
from tests.journals import new_journal
from tests.lab import Lab
from tests.waiting import eventually

PATIENCE_SECONDS = 20.0


def open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def failure_to_connect(uri: str) -> SnapviewError:
    host = LibvirtHost(uri, new_journal())
    began = time.monotonic()
    with pytest.raises(SnapviewError) as caught:
        host.connect()
    assert time.monotonic() - began < 10
    host.close()
    assert caught.value.message.endswith(".")
    assert caught.value.advice
    return caught.value


# Addresses


@pytest.mark.parametrize(
    "uri", ["nonsense", "qemu", "qemu+bogus:///system", "qemu+ssh://[x/", "a\0b", "\ud800"]
)
def test_an_address_that_is_none(uri: str) -> None:
    assert "is not an address that libvirt understands" in failure_to_connect(uri).message


@pytest.mark.parametrize(
    "uri",
    [
        "qemu+ssh://nobody@127.0.0.1:1/system?no_tty=1",
        "qemu+tcp://127.0.0.1:1/system",
        "qemu+libssh2://127.0.0.1:1/system",
        "qemu://127.0.0.1:1/system",
    ],
)
def test_a_host_that_cannot_be_reached(uri: str) -> None:
    error = failure_to_connect(uri)
    assert type(error) is ConnectionLost
    assert "cannot be reached" in error.message
    assert error.detail


def test_a_daemon_that_does_not_run() -> None:
    error = failure_to_connect("qemu+unix:///session?socket=/nonexistent")
    assert isinstance(error, ConnectionLost)
    assert "does not answer" in error.message or isinstance(error, NotInstalled)


def test_without_libvirt_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "_SBIN", "/nonexistent")
    error = failure_to_connect("qemu+unix:///system?socket=/nonexistent")
    assert isinstance(error, NotInstalled)
    assert "install" in error.advice


def test_without_a_connection_every_method_says_so() -> None:
    host = LibvirtHost("test:///default", new_journal())
    for call in every_method(host, "some-uuid"):
        with pytest.raises(ConnectionLost):
            call()
    host.close()


def every_method(
    host: LibvirtHost, uuid: str, *, of_a_vm: bool = False
) -> list[Callable[[], object]]:
    """Every way to ask a host for something, perhaps only those that ask for one VM."""
    others = [host.list_vms, lambda: host.define_vm("<domain/>")]
    return [
        *([] if of_a_vm else others),
        lambda: host.read_vm(uuid),
        lambda: host.read_fingerprint(uuid),
        lambda: host.read_detail(uuid, "one"),
        lambda: host.read_storage(uuid),
        lambda: host.sample(uuid),
        lambda: host.limit(uuid, 1),
        lambda: host.abort(uuid),
        lambda: host.start_vm(uuid),
        lambda: host.stop_vm(uuid),
        lambda: raise_failure(do(host, CreateSnapshot(uuid, "one"))),
    ]


def do(host: LibvirtHost, operation: Any) -> Outcome:
    return run(host.start(operation), lambda _progress: None)


def raise_failure(outcome: Outcome) -> None:
    assert isinstance(outcome, Failed)
    raise outcome.error


# The event loop, which a process has one of


def test_many_hosts_opening_and_closing_at_once_neither_hang_nor_leak() -> None:
    before = open_files()
    errors: list[BaseException] = []

    def go_round() -> None:
        try:
            for _ in range(30):
                host = LibvirtHost("test:///default", new_journal())
                host.subscribe(lambda _event: None)
                host.connect()
                host.close()
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=go_round, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert not any(thread.is_alive() for thread in threads), "a close never came back"
    assert not errors
    names = [thread.name for thread in threading.enumerate()]
    assert "libvirt-events" not in names
    assert open_files() <= before + 3  # libvirt's own, for its event loop


def test_the_loop_may_end_and_begin_in_several_threads_at_once() -> None:
    loop = EventLoop(libvirt)
    errors: list[BaseException] = []

    def go_round() -> None:
        try:
            for _ in range(40):
                loop.acquire()
                loop.release()
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=go_round, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    assert not errors


def test_the_loop_serves_the_second_host_after_the_first_is_closed() -> None:
    first, second = (
        LibvirtHost("test:///default", new_journal()),
        LibvirtHost("test:///default", new_journal()),
    )
    events: list[HostEvent] = []
    first.connect()
    second.connect()
    second.subscribe(events.append)
    first.close()
    uuid = second.list_vms()[0].uuid
    second.stop_vm(uuid)
    eventually(lambda: VmEvent(uuid) in events, "no event")
    second.start_vm(uuid)
    second.close()


def test_what_was_interrupted_is_read_with_the_vm() -> None:
    journal = new_journal()
    host = LibvirtHost("test:///default", journal)
    host.connect()
    uuid = host.list_vms()[0].uuid
    assert host.read_vm(uuid).interruption is None
    seen = [host.read_fingerprint(uuid)]
    frozen = TakeSnapshot("x", "", SnapshotKind.EXTERNAL, quiesce=True)
    entry = journal.open(host.uri, uuid, "test", CreateSnapshot(uuid, "x"), (frozen,))
    entry.begin(frozen)
    seen.append(host.read_fingerprint(uuid))
    entry.close(is_settled=False)
    seen.append(host.read_fingerprint(uuid))
    found = host.read_vm(uuid).interruption  # this driver cannot thaw; that loses nothing
    assert found is not None
    assert (found.id, found.what) == (entry.entry.id, "the snapshot “x”")
    assert len(set(seen)) == len(seen)
    journal.resume(found.id).close(is_settled=True)
    assert host.read_vm(uuid).interruption is None
    assert host.read_fingerprint(uuid) == seen[0]
    host.close()


# A real daemon


@pytest.fixture
def vm(lab9: Lab) -> Iterator[Backend]:
    backend = lab_backend(lab9, running=False)
    yield backend
    backend.host.close()


@pytest.fixture
def mortal(vm: Backend) -> Iterator[Callable[[], None]]:
    """Returns what kills the daemon; it runs again afterwards."""
    assert vm.lab is not None
    daemon = vm.lab.daemon

    def kill() -> None:
        pid = daemon.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: daemon.pid is None, "the daemon does not die")

    yield kill
    daemon.start()


def real(backend: Backend) -> LibvirtHost:
    assert isinstance(backend.host, LibvirtHost)
    return backend.host


@pytest.mark.parametrize(
    "number", range(len(every_method(LibvirtHost("x:///", new_journal()), "")))
)
def test_after_the_daemon_was_killed_every_method_says_the_connection_is_lost(
    vm: Backend, mortal: Callable[[], None], number: int
) -> None:
    call = every_method(real(vm), vm.uuid)[number]
    mortal()
    for _ in range(2):  # the first call may be the one that notices
        with pytest.raises(ConnectionLost) as caught:
            call()
        assert caught.value.advice


def test_a_killed_daemon_is_told_and_after_connecting_again_all_is_as_before(
    vm: Backend, mortal: Callable[[], None]
) -> None:
    assert vm.lab is not None
    events: list[HostEvent] = []
    real(vm).subscribe(events.append)
    capabilities = vm.host.connect()
    vm.take("one")
    mortal()
    eventually(lambda: any(isinstance(e, ConnectionClosed) for e in events), "not told")
    with pytest.raises(ConnectionLost):
        vm.host.connect()
    vm.lab.daemon.start()
    assert vm.host.connect() == capabilities
    assert vm.tree() == {"one": None}
    events.clear()
    vm.lab.virsh("start", vm.name, "--paused")
    eventually(lambda: VmEvent(vm.uuid) in events, "no event after connecting again")


def test_a_daemon_killed_in_the_middle_of_a_read_is_no_tree_of_broken_snapshots(
    vm: Backend, mortal: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    vm.take("one")
    vm.take("two")
    after_listing(monkeypatch, mortal)
    with pytest.raises(ConnectionLost):
        vm.vm()


def test_a_daemon_killed_in_the_middle_of_the_list_is_no_empty_list(
    vm: Backend, mortal: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before(monkeypatch, "summary", mortal)
    with pytest.raises(ConnectionLost):
        vm.host.list_vms()


def before(monkeypatch: pytest.MonkeyPatch, function: str, happens: Callable[[], None]) -> None:
    """Let something happen right before a step of a read, once."""
    original, pending = getattr(reading.Reader, function), [happens]

    def step(*arguments: Any) -> Any:
        if pending:
            pending.pop()()
        return original(*arguments)

    monkeypatch.setattr(reading.Reader, function, step)


def after_listing(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Let something happen when the snapshots are listed and not read yet."""
    before(monkeypatch, "_snapshot", happens)


def test_a_snapshot_deleted_between_list_and_read_is_left_out(
    vm: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vm.lab is not None
    lab, names = vm.lab, [vm.take(title) for title in ("one", "two", "three")]
    after_listing(monkeypatch, lambda: vm.other.delete("two"))
    read = vm.vm()
    assert {s.name for s in read.tree if s.problem is None} == {"one", "three"}
    assert "two" not in read.tree
    assert names == ["one", "two", "three"]
    assert lab.virsh("snapshot-list", vm.name, "--name").split() == ["one", "three"]


def test_a_vm_undefined_between_list_and_read_is_left_out(
    vm: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vm.lab is not None
    lab = vm.lab
    before(monkeypatch, "summary", lambda: lab.destroy_vm(vm.name))
    assert vm.uuid not in {each.uuid for each in vm.host.list_vms()}


def test_a_vm_that_is_gone_is_not_found(vm: Backend) -> None:
    assert vm.lab is not None
    vm.lab.destroy_vm(vm.name)
    for call in every_method(real(vm), vm.uuid, of_a_vm=True):
        with pytest.raises(NotFound):
            call()


def test_one_unreadable_record_does_not_lose_the_others(
    vm: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm.take("one")
    vm.take("two")
    original = getattr(reading, "read_snapshot")  # noqa: B009 - it is imported there

    def spoiled(text: str) -> Any:
        return original(text.replace("<name>two</name>", "<name>two", 1))

    monkeypatch.setattr(reading, "read_snapshot", spoiled)
    tree = vm.vm().tree
    assert tree["one"].problem is None
    assert tree["two"].problem
    for operation in (
        DeleteSnapshot(vm.uuid, ("two",)),
        EditDescription(vm.uuid, "two", "x", "y"),
    ):
        outcome = vm.do(operation)
        assert isinstance(outcome, Failed)
        assert "cannot be read" in outcome.error.message


def test_an_unreadable_definition_is_an_error_that_says_so(
    vm: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(reading, "parse_domain")  # noqa: B009 - it is imported there
    monkeypatch.setattr(reading, "parse_domain", lambda text: original(text[:-20]))
    with pytest.raises(HostError, match="cannot be read"):
        vm.vm()


def test_hosts_opened_and_closed_leave_no_files_and_no_threads(lab9: Lab) -> None:
    def cycle() -> None:
        host = LibvirtHost(lab9.uri, new_journal())
        host.subscribe(lambda _event: None)
        host.connect()
        host.list_vms()
        host.close()

    cycle()
    before = open_files()
    for _ in range(30):
        cycle()
    # libvirt lets go of a socket in a later turn of its loop: a few may wait, but not pile up
    assert open_files() <= before + 5
    assert "libvirt-events" not in [thread.name for thread in threading.enumerate()]


def test_two_hosts_work_on_two_vms_at_once(lab9: Lab) -> None:
    backends = [lab_backend(lab9, running=False) for _ in range(2)]
    failures: list[BaseException] = []

    def work(backend: Backend) -> None:
        try:
            for number in range(5):
                backend.take(f"s{number}")
            assert len(backend.tree()) == 5
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(backend,)) for backend in backends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for backend in backends:
        backend.host.close()


_CONNECT = """
import json, os, sys
from pathlib import Path
from snapview.core.errors import SnapviewError
from snapview.journal import FileJournal
from snapview.virt.host import LibvirtHost
# Only now: the other account may not be able to enter the checkout.
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    LibvirtHost(sys.argv[1], FileJournal(Path("/nowhere"))).connect()
except SnapviewError as error:
    print(json.dumps([type(error).__name__, error.message, error.advice]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_another_account_is_told_that_it_may_not(lab9: Lab) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CONNECT, lab9.uri],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kind, message, advice = json.loads(done.stdout)
    assert kind == NotPermitted.__name__
    assert "may not use" in message
    assert "libvirt group" in advice
