"""snapview in another process, as an account that may neither read nor write what root owns.

``DesktopUser`` is a ``Host`` on this side: every call goes to a process that gave up its rights
before it connected. What comes back are the same values that a host of this process would return.
"""

import copyreg
import importlib
import os
import pickle
import pkgutil
import pwd
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Self

from snapview.core.operations import HostEvent, Operation, Outcome, Progress
from snapview.core.storage import Storage
from snapview.core.vm import HostCapabilities, SnapshotDetail, Vm, VmSummary

ROOT = Path(__file__).parents[1]
ACCOUNT = "nobody"  # without any rights, and there is one everywhere
_PACKAGES = ("snapview.core", "snapview.virt", "snapview.cli", "platformdirs", "click", "rich")
# Not by -m, so that what is pickled has the same module on both sides.
_START = "import sys; from tests.desktop_user import main; sys.exit(main(sys.argv[1:]))"
_MODULES = ("snapview.__main__", "snapview.journal")


def _read_only(values: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(values)


def _reduced(values: MappingProxyType[Any, Any]) -> tuple[Any, tuple[dict[Any, Any]]]:
    return _read_only, (dict(values),)


copyreg.pickle(MappingProxyType, _reduced)


class DesktopUser:
    """Implements ``core.operations.Host`` by a process of another account; one thread at a time.

    Args:
        uri: the libvirt URI.
        home: a folder that is made for the account; its journal and settings lie in it.
    """

    def __init__(self, uri: str, home: Path) -> None:
        self.uri = uri
        self.home = home
        self._lock = threading.Lock()
        self.start_again()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
        self.end()

    def start_again(self) -> None:
        """Start the process, which is not connected yet."""
        self._process = start_as_user(self.home, ["serve", self.uri], stdin=subprocess.PIPE)

    def kill(self) -> None:
        """End the process as a power cut would."""
        self._process.kill()
        self.end()

    def end(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait(timeout=30)

    def ask(self, method: str, *arguments: object) -> Any:
        """Have the other process call a method of its host; its errors are raised here."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            pickle.dump((method, arguments), self._process.stdin)
            self._process.stdin.flush()
            is_error, answer = pickle.load(self._process.stdout)
        if is_error:
            raise answer
        return answer

    def connect(self) -> HostCapabilities:
        answer = self.ask("connect")
        assert isinstance(answer, HostCapabilities)
        return answer

    def close(self) -> None:
        self.ask("close")

    def list_vms(self) -> tuple[VmSummary, ...]:
        answer: tuple[VmSummary, ...] = self.ask("list_vms")
        return answer

    def read_vm(self, uuid: str) -> Vm:
        answer = self.ask("read_vm", uuid)
        assert isinstance(answer, Vm)
        return answer

    def read_fingerprint(self, uuid: str) -> str:
        return str(self.ask("read_fingerprint", uuid))

    def read_detail(self, uuid: str, snapshot: str) -> SnapshotDetail:
        answer = self.ask("read_detail", uuid, snapshot)
        assert isinstance(answer, SnapshotDetail)
        return answer

    def read_storage(self, uuid: str) -> Storage:
        answer = self.ask("read_storage", uuid)
        assert isinstance(answer, Storage)
        return answer

    def start(self, operation: Operation, agreed: object = None) -> "RemoteJob":
        return RemoteJob(self, self.ask("start", operation, agreed))

    def sample(self, uuid: str) -> Progress | None:
        answer: Progress | None = self.ask("sample", uuid)
        return answer

    def limit(self, uuid: str, bytes_per_second: int) -> None:
        self.ask("limit", uuid, bytes_per_second)

    def abort(self, uuid: str) -> None:
        self.ask("abort", uuid)

    def subscribe(self, callback: Callable[[HostEvent], None]) -> None:
        raise NotImplementedError


class RemoteJob:
    """A job of the other process."""

    def __init__(self, user: DesktopUser, number: int) -> None:
        self._user = user
        self._number = number

    def step(self) -> Progress | Outcome:
        answer: Progress | Outcome = self._user.ask("step", self._number)
        return answer

    def request_cancel(self) -> None:
        self._user.ask("request_cancel", self._number)


def start_as_user(home: Path, arguments: list[str], **streams: Any) -> "subprocess.Popen[bytes]":
    """Start this module as the account, with everything of its own in ``home``."""
    entry = pwd.getpwnam(ACCOUNT)
    if not home.exists():
        home.mkdir(mode=0o700, parents=True)
        os.chown(home, entry.pw_uid, entry.pw_gid)
    folders = {f"XDG_{name}_HOME": str(home) for name in ("DATA", "STATE", "CONFIG", "CACHE")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", **folders}
    return subprocess.Popen(
        [sys.executable, "-c", _START, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        **streams,
    )


def command_line(uri: str, home: Path, *arguments: str) -> tuple[int, str, str]:
    """Run snapview's command line as the account; its status, and what it printed."""
    words = ["command-line", "-c", uri, *arguments]
    with start_as_user(home, words, stderr=subprocess.PIPE) as running:
        out, err = running.communicate(timeout=120)
    return running.returncode, out.decode(), err.decode()


def _become_user() -> None:
    """Give up all rights. The account may not be able to enter the checkout, so import first."""
    for package in map(importlib.import_module, _PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                with suppress(ImportError, AssertionError):  # for other systems
                    importlib.import_module(module.name)
    for name in _MODULES:
        importlib.import_module(name)
    entry = pwd.getpwnam(ACCOUNT)
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    os.chdir("/")


def _serve(uri: str, requests: IO[bytes], answers: IO[bytes]) -> None:
    from platformdirs import user_state_path

    from snapview.journal import FileJournal
    from snapview.virt.host import LibvirtHost

    host = LibvirtHost(uri, FileJournal(user_state_path("snapview") / "journal"))
    jobs: list[Any] = []
    while True:
        try:
            method, arguments = pickle.load(requests)
        except EOFError:
            return
        try:
            match method:
                case "start":
                    jobs.append(host.start(*arguments))
                    answer: object = len(jobs) - 1
                case "step" | "request_cancel":
                    answer = getattr(jobs[arguments[0]], method)()
                case _:
                    answer = getattr(host, method)(*arguments)
            text = pickle.dumps((False, answer))
        except Exception as error:  # noqa: BLE001 - all of them are the other side's
            text = pickle.dumps((True, error))
        answers.write(text)
        answers.flush()


def main(arguments: list[str]) -> int:
    _become_user()
    if arguments[0] == "serve":
        _serve(arguments[1], sys.stdin.buffer, sys.stdout.buffer)
        return 0
    from snapview.__main__ import main as snapview

    sys.argv = ["snapview", *arguments[1:]]
    return snapview() or 0
