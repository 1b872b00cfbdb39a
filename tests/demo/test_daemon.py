"""The private daemon: found again after every accident, and nobody else is ever ended."""

import os
import select
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from snapview.core.errors import (
    Conflict,
    HostError,
    NotInstalled,
    NotPermitted,
    SnapviewError,
    Unsupported,
)
from snapview.demo import daemon as daemon_module
from snapview.demo.daemon import PrivateDaemon
from snapview.demo.processes import Process, end, process_by_pid, processes
from tests.lab import Lab
from tests.lab_fixtures import REAPER, sweep
from tests.waiting import eventually

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def parent() -> Iterator[Path]:
    """A short folder that every account may enter."""
    with tempfile.TemporaryDirectory(prefix="sv-", dir="/var/tmp") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture
def daemon(parent: Path, lab9: Lab) -> Iterator[PrivateDaemon]:
    """A daemon of the test's own, not started; lab9 says whether there can be one at all."""
    made = PrivateDaemon(parent / "lab", launcher=REAPER)
    yield made
    made.remove()


def around(folder: Path) -> list[Process]:
    """Find every process that has to do with the folder, apart from the reaper."""
    return [
        process
        for process in processes()
        if any(str(folder) in argument for argument in process.arguments)
        and process.arguments[: len(REAPER)] != REAPER
    ]


def kill(pid: int) -> None:
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [], 10)
    finally:
        os.close(handle)


def write_pid_file(daemon: PrivateDaemon, pid: int) -> None:
    """Write it as the daemon's account: as root's file it would only stop the daemon."""
    path = daemon.folder / "run" / "libvirtd.pid"
    subprocess.run(
        daemon.as_account(["tee", str(path)]), input=b"%d\n" % pid, check=True, capture_output=True
    )


@contextmanager
def stranger(*arguments: str, account: PrivateDaemon | None = None) -> Iterator[Process]:
    """Run a harmless process that shows the given arguments, the first one as its name."""
    # Bash, because the account need not be able to enter the folder of this Python.
    disguise, wait = 'exec -a "$0" bash -c "$@"', "echo; read -r"
    command = ["bash", "-c", disguise, arguments[0], wait, *arguments[1:]]
    with subprocess.Popen(
        account.as_account(command) if account else command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        shown = process_by_pid(running.pid)
        assert shown is not None
        assert shown.program == arguments[0]
        yield shown
        assert running.poll() is None, "the stranger was ended"
        running.kill()


def test_everything_is_in_the_folder_and_closed_to_others(daemon: PrivateDaemon) -> None:
    daemon.start()
    assert daemon.is_running
    # Whatever is left outside would be in the account's home or in the usual runtime folders.
    account = daemon.account
    for process in around(daemon.folder):
        assert process.uid == account.uid
        assert not _files_outside(process.pid, daemon.folder)
    for name in ("run", "etc", "images"):
        status = (daemon.folder / name).stat()
        assert status.st_uid == account.uid
        assert stat.S_IMODE(status.st_mode) == 0o700
    assert daemon.log.is_file()


def _files_outside(pid: int, folder: Path) -> list[str]:
    """List the regular files that a process has open for writing outside the folder."""
    outside = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            target = link.readlink()
            writable = link.lstat().st_mode & stat.S_IWUSR
            if writable and target.is_file() and not target.is_relative_to(folder):
                outside.append(str(target))
    return outside


@needs_root
def test_root_runs_it_as_an_account_without_the_kvm_group(daemon: PrivateDaemon) -> None:
    daemon.start()
    status = Path(f"/proc/{daemon.pid}/status").read_text(encoding="utf-8")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == [str(daemon.account.uid)] * 4
    assert fields["Gid"].split() == [str(daemon.account.gid)] * 4
    assert fields["Groups"].strip() == ""
    assert daemon.account.name in {"libvirt-qemu", "qemu"}


def test_start_twice_is_one_daemon(daemon: PrivateDaemon) -> None:
    daemon.start()
    pid = daemon.pid
    daemon.start()
    assert daemon.pid == pid
    assert len(around(daemon.folder)) == 1


def test_starts_at_the_same_moment_are_one_daemon(daemon: PrivateDaemon) -> None:
    others = [PrivateDaemon(daemon.folder, launcher=REAPER) for _ in range(4)]
    with ThreadPoolExecutor(len(others)) as pool:
        for started in [pool.submit(other.start) for other in others]:
            started.result()
    eventually(lambda: len(around(daemon.folder)) == 1, "the daemons that came too late stay")
    Lab(daemon).virsh("list")


def test_another_object_finds_it_without_its_pid_file(daemon: PrivateDaemon) -> None:
    daemon.start()
    (daemon.folder / "run" / "libvirtd.pid").unlink()
    again = PrivateDaemon(daemon.folder)
    assert again.pid == daemon.pid
    again.start()
    assert len(around(daemon.folder)) == 1


def test_it_outlives_the_process_that_started_it(daemon: PrivateDaemon) -> None:
    program = (
        "import sys; from pathlib import Path; from snapview.demo.daemon import PrivateDaemon;"
        f"PrivateDaemon(Path(sys.argv[1]), launcher={REAPER!r}).start();"
        "print(flush=True); sys.stdin.read()"
    )
    root = Path(daemon_module.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", program, str(daemon.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
    ) as creator:
        assert creator.stdout is not None
        creator.stdout.readline()
        pid = daemon.pid
        assert pid is not None
        creator.kill()
    daemon.start()
    assert daemon.pid == pid


def test_after_a_kill_the_next_start_takes_its_running_vms_back(daemon: PrivateDaemon) -> None:
    daemon.start()
    own = Lab(daemon)
    own.make_vm("demo-fresh")
    before = own.counter_from_serial("demo-fresh")
    first = daemon.pid
    assert first is not None
    kill(first)
    assert not daemon.is_running

    daemon.start()
    assert daemon.pid not in {None, first}
    assert own.virsh("domstate", "demo-fresh").strip() == "running"
    # The same QEMU: it goes on counting.
    after = own.wait_for_count("demo-fresh", at_least=before.count + 1)
    assert after.boots == 1
    own.virsh("snapshot-create-as", "demo-fresh", "s1")


def test_stop_leaves_no_process_and_keeps_the_vms(daemon: PrivateDaemon) -> None:
    daemon.start()
    own = Lab(daemon)
    own.make_vm("demo-fresh")
    assert len(around(daemon.folder)) == 2
    daemon.stop()
    assert not daemon.is_running
    assert around(daemon.folder) == []
    daemon.stop()

    daemon.start()
    assert own.virsh("domstate", "demo-fresh").strip() == "shut off"
    own.start_vm("demo-fresh")
    assert own.counter_from_serial("demo-fresh").boots == 2


def test_stop_ends_a_vm_whose_daemon_was_killed(daemon: PrivateDaemon) -> None:
    daemon.start()
    Lab(daemon).make_vm("demo-fresh")
    pid = daemon.pid
    assert pid is not None
    kill(pid)
    assert len(around(daemon.folder)) == 1
    daemon.stop()
    assert around(daemon.folder) == []


def test_remove_leaves_no_process_and_no_folder(daemon: PrivateDaemon) -> None:
    daemon.start()
    Lab(daemon).make_vm("demo-fresh")
    daemon.remove()
    assert around(daemon.folder) == []
    assert not daemon.folder.exists()
    daemon.remove()


def test_a_pid_file_that_names_a_stranger_is_not_believed(daemon: PrivateDaemon) -> None:
    daemon.start()
    daemon.stop()
    with stranger("stranger", account=daemon) as innocent:
        write_pid_file(daemon, innocent.pid)
        assert not daemon.is_running
        daemon.stop()
        daemon.start()
        assert daemon.pid not in {None, innocent.pid}
        write_pid_file(daemon, innocent.pid)
        daemon.stop()
        assert not daemon.is_running


@needs_root
def test_a_process_of_another_account_is_never_ours(daemon: PrivateDaemon) -> None:
    pid_file = daemon.folder / "run" / "libvirtd.pid"
    monitor = daemon.folder / "etc/libvirt/qemu/lib/domain-1-x/monitor.sock"
    with (
        stranger("libvirtd", "--daemon", "--pid-file", str(pid_file)),
        stranger("qemu-system-x86_64", "-qmp", f"unix:{monitor}"),
    ):
        assert not daemon.is_running
        daemon.start()
        daemon.remove()


def test_processes_that_only_name_the_folder_are_left_alone(daemon: PrivateDaemon) -> None:
    daemon.start()
    pid_file = daemon.folder / "run" / "libvirtd.pid"
    monitor = "etc/libvirt/qemu/lib/domain-1-x/monitor.sock"
    with (
        stranger("less", str(pid_file), account=daemon),
        stranger("qemu-img", "convert", str(daemon.images / "a.qcow2"), account=daemon),
        stranger("qemu-system-x86_64", f"unix:{daemon.folder}2/{monitor}", account=daemon),
        stranger("qemu-system-x86_64", f"unix:/srv{daemon.folder}/{monitor}", account=daemon),
        stranger("libvirtd", "--pid-file", f"{pid_file}2", account=daemon),
    ):
        daemon.stop()
        assert not daemon.is_running


def test_a_number_that_was_given_to_another_process_is_not_ended() -> None:
    with stranger("stranger") as innocent:
        former = Process(innocent.pid, innocent.uid, ("libvirtd", "--daemon"))
        assert end(former)


def test_a_path_at_the_limit_works_and_one_byte_more_is_refused(parent: Path, lab9: Lab) -> None:
    tail_bytes = len("/etc/libvirt/qemu/lib/domain-99-demo-fresh/monitor.sock")
    name_bytes = 107 - tail_bytes - len(str(parent)) - 1
    longest = PrivateDaemon(parent / ("x" * name_bytes), launcher=REAPER)
    too_long = PrivateDaemon(parent / ("x" * (name_bytes + 1)), launcher=REAPER)
    try:
        longest.start()
        own = Lab(longest)
        own.make_vm("demo-fresh")
        assert own.counter_from_serial("demo-fresh").boots == 1
    finally:
        longest.remove()
    with pytest.raises(Unsupported, match="is too long") as refused:
        too_long.start()
    assert f"at most {107 - tail_bytes} bytes" in refused.value.advice
    assert not too_long.folder.exists()


def test_long_vm_names_count_as_libvirt_shortens_them(parent: Path, lab9: Lab) -> None:
    tail_bytes = len("/etc/libvirt/qemu/lib/domain-99-12345678901234567890/monitor.sock")
    name_bytes = 107 - tail_bytes - len(str(parent)) - 1
    name = "1234567890" * 9
    tight = PrivateDaemon(parent / ("x" * name_bytes), launcher=REAPER, longest_vm_name=name)
    try:
        tight.start()
        Lab(tight).make_vm(name)
    finally:
        tight.remove()


def test_spaces_in_the_path_are_refused(parent: Path) -> None:
    with pytest.raises(Unsupported, match="space") as refused:
        PrivateDaemon(parent / "my lab").start()
    assert refused.value.advice
    assert list(parent.iterdir()) == []


def test_other_odd_characters_in_the_path_work(parent: Path, lab9: Lab) -> None:
    odd = PrivateDaemon(parent / "é?#%&x", launcher=REAPER)
    try:
        odd.start()
        Lab(odd).make_vm("demo-fresh")
        odd.stop()
        assert around(odd.folder) == []
    finally:
        odd.remove()


@pytest.mark.parametrize("obstacle", ["full folder", "link", "file"])
def test_what_is_there_already_is_neither_used_nor_removed(parent: Path, obstacle: str) -> None:
    place, precious = parent / "lab", parent / "precious"
    match obstacle:
        case "full folder":
            place.mkdir()
            precious = place / "precious"
        case "link":
            place.symlink_to(parent)
        case _:
            precious = place
    precious.write_text("x", encoding="utf-8")
    daemon = PrivateDaemon(place, launcher=REAPER)
    with pytest.raises(Conflict) as refused:
        daemon.start()
    assert refused.value.advice
    with pytest.raises(Conflict):
        daemon.remove()
    assert precious.read_text(encoding="utf-8") == "x"


@needs_root
def test_a_folder_that_the_account_cannot_enter_is_refused(parent: Path) -> None:
    parent.chmod(0o700)
    with pytest.raises(NotPermitted, match="cannot enter") as refused:
        PrivateDaemon(parent / "lab").start()
    assert "/var/tmp" in refused.value.advice


def test_a_daemon_that_does_not_start_says_why(daemon: PrivateDaemon) -> None:
    words = ("sh", "-c", "echo no such luck >&2; exit 3")
    broken = PrivateDaemon(daemon.folder, launcher=words)
    with pytest.raises(HostError, match="does not start") as failure:
        broken.start()
    assert failure.value.detail == "no such luck"
    assert str(broken.log) in failure.value.advice


def test_without_libvirt_it_says_what_to_install(
    daemon: PrivateDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "_PATH", "/nonexistent")
    with pytest.raises(NotInstalled) as failure:
        daemon.start()
    assert "libvirt-daemon-system" in failure.value.advice


@needs_root
def test_root_without_an_account_for_qemu_is_refused(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "_QEMU_ACCOUNTS", ("no-such-account",))
    with pytest.raises(SnapviewError, match="no account for QEMU") as failure:
        PrivateDaemon(parent / "lab").start()
    assert "ordinary user" in failure.value.advice


def test_labs_of_killed_test_sessions_are_swept_and_others_are_not(lab9: Lab) -> None:
    abandoned = PrivateDaemon(
        Path(tempfile.mkdtemp(prefix="snapview-lab-", dir="/var/tmp")), launcher=REAPER
    )
    abandoned.start()
    sweep()
    assert around(abandoned.folder) == []
    assert not abandoned.folder.exists()
    assert lab9.daemon.is_running


@needs_root
def test_a_folder_made_by_another_account_is_not_removed(daemon: PrivateDaemon) -> None:
    daemon.start()
    marker = daemon.folder / "snapview-private-libvirt"
    os.chown(marker, 0, 0)
    with pytest.raises(Conflict):
        daemon.remove()
    assert daemon.is_running
    os.chown(marker, daemon.account.uid, daemon.account.gid)


@needs_root
def test_the_newer_daemon_is_as_private(lab11: Lab) -> None:
    assert "11.3" in lab11.virsh("version", "--daemon")
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    assert str(lab11.folder) not in mounts
    assert "trixie" not in mounts
    assert not Path(f"/proc/{lab11.daemon.pid}/root/dev/kvm").exists()
