"""A private libvirt session daemon that lives in one folder and ends without a trace.

Hides how libvirtd is told to keep everything in the folder, as which account it runs, how it and
its QEMU processes are found again, and how they are ended without ever hitting a stranger.
Nothing here is remembered between calls: what runs is read from ``/proc`` each time, so that the
daemon is found again after this process was killed.
"""

import functools
import grp
import logging
import os
import pwd
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from snapview.core.errors import Conflict, HostError, NotInstalled, NotPermitted, Unsupported
from snapview.demo.processes import Process, end, processes

_log = logging.getLogger(__name__)

# Packages put libvirtd where an ordinary user's PATH does not look.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The accounts that libvirt's packages make for QEMU: Debian and Ubuntu, Fedora and openSUSE, Arch.
_QEMU_ACCOUNTS = ("libvirt-qemu", "qemu")
_GROUPS_WITHOUT_RIGHTS = ("nogroup", "nobody")

_MARKER = "snapview-private-libvirt"
_MARKER_TEXT = (
    "snapview made this folder for a libvirt daemon of its own, and may remove it as a whole.\n"
)

# Without this, libvirtd starts a virtlogd that outlives it. KVM is not needed, and neither are
# security labels: everything runs as one account in one folder.
_QEMU_CONF = 'stdio_handler = "file"\nsecurity_driver = "none"\nnamespaces = []\n'

_SOCKET_PATH_MAX_BYTES = 107  # sun_path, less the closing zero
_VM_NAME_MAX_CHARACTERS = 20  # libvirt shortens the name in its socket paths to this

_START_SECONDS = 30.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Account:
    """The account a private daemon runs as, and that its files belong to."""

    name: str
    uid: int
    gid: int


class PrivateDaemon:
    """A libvirt session daemon of our own, with all its state in one folder.

    As an ordinary user it runs as that user. As root it runs as the account that libvirt's
    package made for QEMU, in a group without any rights, so that it can open no ``/dev/kvm``.

    All methods block for up to seconds; call them from any thread but the GUI's.

    Args:
        folder: where everything goes. It is made when missing; an existing one must be empty or
            be such a folder already.
        launcher: words put before the daemon's command, for example to enter a chroot in which
            the folder has the same path. It runs with the caller's rights.
        longest_vm_name: the longest name that a VM will get; QEMU's monitor socket carries it.
    """

    def __init__(
        self, folder: Path, *, launcher: Sequence[str] = (), longest_vm_name: str = "demo-fresh"
    ) -> None:
        self.folder = folder.absolute()
        self._launcher = tuple(launcher)
        self._longest_vm_name = longest_vm_name

    @functools.cached_property
    def account(self) -> Account:
        """Tell the account the daemon runs as.

        Raises:
            Unsupported: we are root and there is no account to run QEMU as.
        """
        if os.geteuid() != 0:
            return Account(pwd.getpwuid(os.geteuid()).pw_name, os.geteuid(), os.getegid())
        return _unprivileged_account()

    @property
    def uri(self) -> str:
        """The connection URI; it works from any process, whatever its environment."""
        return f"qemu+unix:///session?socket={quote(str(self._socket))}"

    @property
    def images(self) -> Path:
        """The folder for disk images, which belongs to the account."""
        return self.folder / "images"

    @property
    def log(self) -> Path:
        """The daemon's log file."""
        return self.folder / "log" / "libvirtd.log"

    @property
    def is_running(self) -> bool:
        """Whether the daemon's process is there, whoever started it."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """The daemon's process, or None.

        Found by its command line. The pid file is for libvirtd's own use only: it may be stale,
        or name a process that is not ours.
        """
        return next((process.pid for process in processes() if self._is_daemon(process)), None)

    def as_account(self, command: Sequence[str]) -> list[str]:
        """Return the command changed so that it runs as the daemon's account."""
        if os.geteuid() != 0:
            return list(command)
        account = self.account
        ids = [f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
        return ["setpriv", *ids, "--", *command]

    def start(self) -> None:
        """Start the daemon if it does not run, and wait until it takes connections.

        Raises:
            NotInstalled: there is no libvirtd on this machine.
            NotPermitted: the account cannot enter the folder.
            Unsupported: the folder's path is too long or has spaces, or root has no account to
                run it as.
            Conflict: the folder is somebody else's.
            HostError: the daemon does not start; its own words are in ``detail``.
        """
        if not self.is_running:
            self._check_path()
            self._prepare_folder()
            self._launch()
        self._wait_for_socket()

    def stop(self) -> None:
        """End the daemon and the QEMU processes it started, and nothing else.

        Raises:
            HostError: a process did not end.
        """
        # QEMU first, so that libvirtd notices and writes down that the VMs are off; then once
        # more for those that were being started meanwhile.
        self._end(process for process in processes() if self._is_qemu(process))
        self._end(process for process in processes() if self._is_daemon(process))
        self._end(process for process in processes() if self._is_qemu(process))

    def remove(self) -> None:
        """Stop everything and delete the folder. Does nothing when there is no folder.

        Raises:
            Conflict: snapview did not make this folder.
            HostError: a process did not end, or a file cannot be deleted.
        """
        if not os.path.lexists(self.folder):
            return
        if not self._is_marked():
            raise Conflict(
                f"“{self.folder}” was not made by snapview, so it is left alone.",
                advice="If nothing in it is needed, delete it yourself.",
            )
        self.stop()
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            raise HostError(
                f"“{self.folder}” cannot be deleted completely.", detail=str(error)
            ) from error

    @property
    def _socket(self) -> Path:
        return self.folder / "run" / "libvirt" / "libvirt-sock"

    @property
    def _pid_file(self) -> Path:
        return self.folder / "run" / "libvirtd.pid"

    @property
    def _domains_folder(self) -> Path:
        """Where libvirt keeps a folder for each running QEMU; the path is in QEMU's arguments."""
        return self.folder / "etc" / "libvirt" / "qemu" / "lib"

    def _is_daemon(self, process: Process) -> bool:
        return (
            process.program == "libvirtd"
            and str(self._pid_file) in process.arguments
            and process.uid == self.account.uid
        )

    def _is_qemu(self, process: Process) -> bool:
        inside = f"{self._domains_folder}/"
        # As a whole path: QEMU gets it as file=PATH, as unix:PATH and in JSON.
        marks = [f"{before}{inside}" for before in '=:"']
        return (
            process.program.startswith("qemu")
            and any(mark in argument for mark in marks for argument in process.arguments)
            and process.uid == self.account.uid
        )

    def _is_marked(self) -> bool:
        """Say whether this account made the folder: root must not remove another's by mistake."""
        if self.folder.is_symlink():
            return False
        try:
            status = (self.folder / _MARKER).lstat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_uid == self.account.uid

    def _check_path(self) -> None:
        # libvirt separates its log outputs by spaces; it would log to the path's first half.
        if any(character.isspace() for character in str(self.folder)):
            raise Unsupported(
                f"The path “{self.folder}” has a space in it, which libvirt cannot log to.",
                advice="Choose a folder whose path has no spaces.",
            )
        name = self._longest_vm_name[:_VM_NAME_MAX_CHARACTERS]
        longest = self._domains_folder / f"domain-99-{name}" / "monitor.sock"
        excess_bytes = len(os.fsencode(longest)) - _SOCKET_PATH_MAX_BYTES
        if excess_bytes > 0:
            limit_bytes = len(os.fsencode(self.folder)) - excess_bytes
            raise Unsupported(
                f"The path “{self.folder}” is too long for the sockets that libvirt makes in it.",
                advice=f"Choose a folder whose path is at most {limit_bytes} bytes long.",
            )

    def _prepare_folder(self) -> None:
        self._make_folder()
        # From here on as the account: root must not write where the account may have laid a link.
        self._run_as_account(["tee", str(self.folder / _MARKER)], text=_MARKER_TEXT)
        inner = ("run", "etc", "etc/libvirt", "cache", "data", "home", "log", "images")
        self._run_as_account(
            ["install", "-d", "-m", "0700", *(str(self.folder / i) for i in inner)]
        )
        self._run_as_account(["tee", str(self.folder / "etc/libvirt/qemu.conf")], text=_QEMU_CONF)

    def _make_folder(self) -> None:
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            raise Conflict(f"“{self.folder}” is not a folder.", advice="Choose another folder.")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # In this order: another process may be setting it up, and its mark comes first.
            is_empty = not any(self.folder.iterdir())
            if not is_empty and not self._is_marked():
                raise Conflict(
                    f"“{self.folder}” holds something else.", advice="Choose an empty folder."
                )
            if is_empty and os.geteuid() == 0:
                os.chown(self.folder, self.account.uid, self.account.gid, follow_symlinks=False)
        except OSError as error:
            raise NotPermitted(
                f"“{self.folder}” cannot be used.",
                advice="Choose a folder that you may write to.",
                detail=str(error),
            ) from error
        if _run(self.as_account(["test", "-w", str(self.folder), "-a", "-x", str(self.folder)])):
            raise NotPermitted(
                f"The account “{self.account.name}” cannot enter “{self.folder}”.",
                advice="Choose a folder below one that everyone may enter, such as /var/tmp.",
            )

    def _run_as_account(self, command: Sequence[str], *, text: str = "") -> None:
        failure = _run(self.as_account(command), text=text)
        if failure is not None:
            raise HostError(f"The folder “{self.folder}” cannot be set up.", detail=failure)

    def _launch(self) -> None:
        program = shutil.which("libvirtd", path=_PATH)
        if program is None:
            raise NotInstalled(
                "There is no libvirt daemon on this machine.",
                advice="Install libvirt and QEMU; the package is called libvirt-daemon-system "
                "on Debian and Ubuntu, libvirt on Fedora.",
            )
        arguments = [program, "--daemon", "--pid-file", str(self._pid_file)]
        failure = _run(
            [*self._launcher, *self.as_account(arguments)], environment=self._environment()
        )
        # Another process may have started it at the same moment; that one is as good as ours.
        if failure is not None and not self.is_running:
            raise HostError(
                "The private libvirt daemon does not start.",
                advice=f"Look into its log, {self.log}.",
                detail=failure,
            )
        _log.info("private libvirt daemon started in %s", self.folder)

    def _environment(self) -> dict[str, str]:
        """Build the daemon's whole environment; nothing of the caller's gets in."""
        folders = {
            "HOME": "home",
            "XDG_RUNTIME_DIR": "run",
            "XDG_CONFIG_HOME": "etc",  # short: it is part of every monitor socket's path
            "XDG_CACHE_HOME": "cache",
            "XDG_DATA_HOME": "data",
        }
        return {
            "PATH": _PATH,
            "LC_ALL": "C.UTF-8",
            "USER": self.account.name,
            "LOGNAME": self.account.name,
            "LIBVIRT_LOG_OUTPUTS": f"3:file:{self.log}",
            **{variable: str(self.folder / name) for variable, name in folders.items()},
        }

    def _wait_for_socket(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        pause = threading.Event()
        while not self._answers():
            if time.monotonic() > deadline:
                raise HostError(
                    "The private libvirt daemon runs but does not answer.",
                    advice=f"Look into its log, {self.log}.",
                )
            pause.wait(_POLL_SECONDS)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            try:
                client.connect(str(self._socket))
            except OSError:
                return False
        return True

    def _end(self, processes: Iterable[Process]) -> None:
        for process in processes:
            _log.info("ending %s, process %d", process.program, process.pid)
            if not end(process):
                raise HostError(
                    f"Process {process.pid} ({process.program}) does not end.",
                    advice="Restart the machine if it stays.",
                )


def _run(
    command: Sequence[str], *, text: str = "", environment: dict[str, str] | None = None
) -> str | None:
    """Run a command; return None when it succeeded, else what it said."""
    try:
        done = subprocess.run(
            command,
            input=text,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_START_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return done.stderr.strip() or f"{command[0]} ended with status {done.returncode}"


def _unprivileged_account() -> Account:
    for name in _QEMU_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, _group_without_rights())
    raise Unsupported(
        "Root must not run the demo's VMs, and there is no account for QEMU on this machine.",
        advice="Run snapview as an ordinary user, or install libvirt's QEMU driver, "
        "whose package makes the account.",
    )


def _group_without_rights() -> int:
    for name in _GROUPS_WITHOUT_RIGHTS:
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            continue
    raise Unsupported(
        "There is no group without rights (nogroup or nobody) on this machine.",
        advice="Run snapview as an ordinary user.",
    )
