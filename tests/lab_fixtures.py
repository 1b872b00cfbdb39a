"""Fixtures for real VMs: ``lab9`` on this machine's libvirt, ``lab11`` on 11.3, ``lab`` on both.

The labs live as long as the test session. VMs that a test makes end with the test; those made by
a fixture of a wider scope stay.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from snapview.core.errors import NotInstalled, SnapviewError
from snapview.demo.daemon import PrivateDaemon
from tests.lab import Lab

# Short, since sockets lie below it, and a folder that every account may enter.
_LABS_FOLDER = Path("/var/tmp")
_PREFIX = "snapview-lab"
_LABS = pytest.StashKey[list[Lab]]()

_CHROOT_VARIABLE = "SNAPVIEW_TEST_CHROOT"
_CHROOT_DEFAULT = "/var/cache/snapview-tests/trixie"
_CHROOT_SCRIPT = Path(__file__).with_name("make_newer_libvirt.sh")

# QEMU's end must not wait for process 1.
REAPER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("reaper.py")))

# The mounts are made in a namespace of the daemon's own: they end with it, also after a kill -9.
_ENTER_CHROOT = """
root=$1 folder=$2
shift 2
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=1777 tmpfs "$root/var/tmp"
mkdir -p "$root$folder"
mount --bind "$folder" "$root$folder"
exec chroot "$root" "$@"
"""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LABS] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if names & {"lab", "lab9", "lab11"}:
            item.add_marker("lab")
        if "lab11" in names:
            item.add_marker("newer")


@pytest.fixture(scope="session")
def lab9(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """A lab on the libvirt and QEMU of this machine."""
    sweep()
    with locked_folder() as folder:
        yield from _open(pytestconfig, PrivateDaemon(folder, launcher=REAPER))


@pytest.fixture(scope="session")
def lab11(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """A lab on libvirt 11.3 and QEMU 10, from a root folder of Debian 13 that is made once."""
    sweep()
    root = newer_root()
    with locked_folder() as folder:
        enter = [*own_mounts(), "sh", "-ec", _ENTER_CHROOT]
        launcher = [*REAPER, *enter, "enter-chroot", str(root), str(folder)]
        yield from _open(pytestconfig, PrivateDaemon(folder, launcher=launcher))


@pytest.fixture(params=["lab9", pytest.param("lab11", marks=pytest.mark.newer)])
def lab(request: pytest.FixtureRequest) -> Lab:
    """Run the test twice: on this machine's libvirt and on 11.3."""
    opened = request.getfixturevalue(request.param)
    assert isinstance(opened, Lab)
    return opened


@pytest.fixture(autouse=True)
def _vms_end_with_their_test(pytestconfig: pytest.Config) -> Iterator[None]:
    labs = pytestconfig.stash[_LABS]
    before = {(each.uri, name) for each in labs for name in each.vm_names}
    yield
    for each in labs:
        for name in list(each.vm_names):
            if (each.uri, name) not in before:
                each.destroy_vm(name)


def _open(config: pytest.Config, daemon: PrivateDaemon) -> Iterator[Lab]:
    try:
        try:
            daemon.start()
        except NotInstalled as error:
            _unavailable(error.message)
        lab = Lab(daemon)
        config.stash[_LABS].append(lab)
        yield lab
        config.stash[_LABS].remove(lab)
    finally:
        daemon.remove()


@contextmanager
def locked_folder(prefix: str = _PREFIX) -> Iterator[Path]:
    """Make a folder for a lab, locked for as long as this process lives."""
    folder = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=_LABS_FOLDER))
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(handle)
        with suppress(FileNotFoundError):
            folder.rmdir()


def own_mounts() -> list[str]:
    """Return the command in front of one that mounts things only it shall see.

    In a bare chroot "/" is no mount point, and its propagation cannot be set.
    """
    table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    is_mount_point = any(line.split()[4] == "/" for line in table.splitlines())
    return ["unshare", "--mount", "--propagation", "private" if is_mount_point else "unchanged"]


def sweep(prefix: str = _PREFIX, daemon: type[PrivateDaemon] = PrivateDaemon) -> None:
    """Remove labs of test sessions that were killed: the folders nobody holds a lock on."""
    for folder in _LABS_FOLDER.glob(f"{prefix}-*"):
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # another account's
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(SnapviewError):
                daemon(folder).remove()
        except BlockingIOError:
            continue
        finally:
            os.close(handle)


def newer_root() -> Path:
    if os.geteuid() != 0:
        _unavailable("libvirt 11.3 needs a chroot, and that needs root")
    if shutil.which("debootstrap", path="/usr/sbin:/usr/bin") is None:
        _unavailable("libvirt 11.3 needs a chroot, and debootstrap is not installed")
    root = Path(os.environ.get(_CHROOT_VARIABLE, _CHROOT_DEFAULT))
    done = subprocess.run(
        [str(_CHROOT_SCRIPT), str(root)], capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()[-5:]
        _unavailable("the chroot with libvirt 11.3 cannot be made: " + " / ".join(said))
    return root


def _unavailable(reason: str) -> None:
    """Skip; but where tests must not be skipped unnoticed, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
