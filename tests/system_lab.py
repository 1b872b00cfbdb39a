"""The desktop user's reality: a daemon of the system's, images of root's, and somebody else.

The daemon runs as root in a mount and network namespace of its own, with its configuration, state
and ``/dev`` out of the test's folder, so that it touches nothing of this machine's, and cannot see
``/dev/kvm``. Its QEMU runs as the account that libvirt's package made. The images are root's, mode
0600. Its socket takes everybody, as the socket of ``qemu:///system`` takes the libvirt group.

snapview runs in another process, as an account that may read none of it (``desktop_user``).
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from snapview.demo.daemon import Account, PrivateDaemon
from tests.lab import Lab
from tests.lab_fixtures import REAPER, locked_folder, own_mounts, sweep

_PREFIX = "snapview-system"

_LIBVIRTD_CONF = """\
unix_sock_dir = "{run}"
unix_sock_rw_perms = "0777"
auth_unix_ro = "none"
auth_unix_rw = "none"
"""
_QEMU_CONF = """\
stdio_handler = "file"
security_driver = "none"
namespaces = []
cgroup_controllers = []
"""

# What libvirt keeps of a system daemon lies in the folder instead; there is no system bus, and no
# group of processes either. $1 is the folder, $2 where the daemon's root is.
_OWN_STATE = """
mount --bind "$folder/etc/libvirt" "$root/etc/libvirt"
for each in lib cache log; do
    mount --bind "$folder/$each" "$root/var/$each/libvirt"
done
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
"""
_ENTER_OWN = f"""
folder=$1 root=
shift
{_OWN_STATE}
if test -d /sys/fs/cgroup; then
    mount -t tmpfs -o ro tmpfs /sys/fs/cgroup
fi
mount -t tmpfs -o mode=0755 tmpfs "$folder/dev"
mkdir "$folder/dev/pts" "$folder/dev/shm"
chmod 1777 "$folder/dev/shm"
for each in null zero full random urandom tty; do
    touch "$folder/dev/$each"
    mount --bind "/dev/$each" "$folder/dev/$each"
done
ln -s /proc/self/fd "$folder/dev/fd"
mount --rbind "$folder/dev" /dev
exec "$@"
"""
_ENTER_CHROOT = f"""
folder=$1 root=$2
shift 2
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=1777 tmpfs "$root/var/tmp"
mkdir -p "$root$folder"
mount --bind "$folder" "$root$folder"
{_OWN_STATE}
exec chroot "$root" "$@"
"""


class SystemDaemon(PrivateDaemon):
    """A daemon of root's, kept in one folder all the same."""

    @functools.cached_property
    def account(self) -> Account:
        return Account("root", 0, 0)

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={quote(str(self._socket))}"

    def _prepare_folder(self) -> None:
        super()._prepare_folder()
        for inner in ("lib", "dev", "run/libvirt"):
            (self.folder / inner).mkdir()
        # Everybody may come to the socket; QEMU's account to what is called by its name.
        for inner in (".", "run", "images", "lib", "home"):
            (self.folder / inner).chmod(0o711)
        etc = self.folder / "etc/libvirt"
        etc.joinpath("libvirtd.conf").write_text(
            _LIBVIRTD_CONF.format(run=self._socket.parent), encoding="utf-8"
        )
        etc.joinpath("qemu.conf").write_text(_QEMU_CONF, encoding="utf-8")

    def _is_qemu(self, process: Any) -> bool:
        inside = f"{self.folder}/"
        is_ours = any(inside in argument for argument in process.arguments)
        return process.program.startswith("qemu") and is_ours


class SystemLab(Lab):
    """VMs whose images belong to root."""

    folder_mode = "0711"

    def _make_disk(self, file: Path, disk_format: str, *, bootable: bool) -> None:
        super()._make_disk(file, disk_format, bootable=bootable)
        file.chmod(0o600)


@contextmanager
def system_lab(root: Path | None = None) -> Iterator[SystemLab]:
    """Run a system daemon, perhaps in a chroot; needs root."""
    sweep(_PREFIX, SystemDaemon)
    with locked_folder(_PREFIX) as folder:
        enter = [*own_mounts(), "--net", "sh", "-ec"]
        if root is None:
            words = [*REAPER, *enter, _ENTER_OWN, "enter-own", str(folder)]
        else:
            words = [*REAPER, *enter, _ENTER_CHROOT, "enter-chroot", str(folder), str(root)]
        daemon = SystemDaemon(folder, launcher=words)
        try:
            daemon.start()
            yield SystemLab(daemon)
        finally:
            daemon.remove()
