"""The demo lab: four small real VMs with snapshots, on a libvirt daemon of their own.

Hides where it lives, that it may be half made, and that two may ask for it at once. Everything is
in one folder; nothing of the user's own libvirt is touched.
"""

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from platformdirs import user_data_path

from snapview.core.errors import NotPermitted
from snapview.core.operations import Progress
from snapview.core.vm import RunState
from snapview.demo.daemon import PrivateDaemon
from snapview.demo.lab_vm import LabCancelled, LabHost, LabVm, run_as_account
from snapview.demo.recipes import RECIPES, VmRecipe

_log = logging.getLogger(__name__)

_MARKER = "lab-is-complete"  # written last: a folder without it is half made
_LOCK_POLL_SECONDS = 0.1

Report = Callable[[Progress], None]


def lab_folder() -> Path:
    """Return where the lab lies for whoever runs this program."""
    if os.geteuid() == 0:
        # Root's lab runs under an unprivileged account, which cannot enter root's home; below
        # /var/lib it can, and that is where services keep such state (FHS 5.8).
        return Path("/var/lib/snapview/demo")
    return user_data_path("snapview") / "demo"


class DemoLab:
    """Makes, starts and removes the lab. All methods block; not for the GUI thread.

    Args:
        make_host: opens a connection that can also define VMs.
        folder: where the lab lies; its parent too is removed when it is left empty.
        recipes: the VMs to make.
        launcher: words put before the daemon's command, as ``PrivateDaemon`` has them.
    """

    def __init__(
        self,
        make_host: Callable[[str], LabHost],
        folder: Path | None = None,
        *,
        recipes: Sequence[VmRecipe] = RECIPES,
        launcher: Sequence[str] = (),
    ) -> None:
        self._make_host = make_host
        self._folder = folder or lab_folder()
        self._recipes = tuple(recipes)
        self._daemon = PrivateDaemon(
            self._folder,
            launcher=launcher,
            longest_vm_name=max((recipe.name for recipe in recipes), key=len),
        )
        self._stop = threading.Event()

    @property
    def uri(self) -> str:
        """The connection to the lab, also when it is not there."""
        return self._daemon.uri

    @property
    def exists(self) -> bool:
        """Whether a complete lab is there, running or not."""
        try:
            return (self._folder / _MARKER).is_file()
        except OSError:  # somebody else's folder
            return False

    def ensure(self, report: Report) -> str:
        """Make the lab, or start the one that is there; return its URI.

        Args:
            report: told what is going on; calls never overlap, but come from several threads.

        Raises:
            SnapviewError: it cannot be made; nothing of it is left.
            LabCancelled: ``cancel`` was called; nothing of it is left.
        """
        self._stop.clear()
        with self._lock(report):
            if self.exists:
                self._start_again(report)
            else:
                self._make(report)
        return self.uri

    def cancel(self) -> None:
        """Have a running ``ensure`` stop and clean up; any thread."""
        self._stop.set()

    def remove(self) -> bool:
        """End its processes and delete all its files; return whether there was anything.

        Raises:
            Conflict: the folder is not one that snapview made.
            HostError: something cannot be ended or deleted.
        """
        if not os.path.lexists(self._folder):
            return False
        with self._lock(lambda _progress: None):
            was_there = os.path.lexists(self._folder)
            self._daemon.remove()
        return was_there

    def _make(self, report: Report) -> None:
        """Make everything; on any failure take it all away again."""
        report(Progress("Starting a libvirt of its own for the demo lab."))
        self._daemon.remove()  # what a killed one left
        try:
            self._daemon.start()
            self._make_vms(report)
            self._write_marker()
        finally:
            if not self.exists:
                self._daemon.remove()

    def _make_vms(self, report: Report) -> None:
        total = sum(len(recipe.deeds) for recipe in self._recipes)
        done = 0
        lock = threading.Lock()
        now = datetime.now(tz=UTC)

        def work(recipe: VmRecipe) -> None:
            def say(phrase: str) -> None:
                nonlocal done
                with lock:
                    done += 1
                    report(Progress(f"{recipe.name}: {phrase} ({done} of {total})"))

            try:
                self._make_vm(recipe, say, now)
            except BaseException:
                self._stop.set()  # the others need not go on
                raise

        with ThreadPoolExecutor(max_workers=len(self._recipes), thread_name_prefix="lab") as pool:
            parts = [pool.submit(work, recipe) for recipe in self._recipes]
        errors = [error for part in parts if (error := part.exception()) is not None]
        errors.sort(key=lambda error: isinstance(error, LabCancelled))  # the cause comes first
        if errors:
            raise errors[0]

    def _make_vm(self, recipe: VmRecipe, say: Callable[[str], None], now: datetime) -> None:
        host = self._make_host(self.uri)
        try:
            host.connect()
            LabVm(self._daemon, host, recipe, self._stop).make(say, now)
        finally:
            host.close()

    def _start_again(self, report: Report) -> None:
        report(Progress("Starting the demo lab."))
        self._daemon.start()
        running = {recipe.name for recipe in self._recipes if recipe.is_running}
        host = self._make_host(self.uri)
        try:
            host.connect()
            for vm in host.list_vms():
                if vm.name in running and vm.run_state is RunState.SHUTOFF:
                    report(Progress(f"{vm.name}: starting"))
                    host.start_vm(vm.uuid)
        finally:
            host.close()

    def _write_marker(self) -> None:
        marker = str(self._folder / _MARKER)
        run_as_account(self._daemon, ("tee", marker), text=b"All VMs of the demo lab were made.\n")

    @contextmanager
    def _lock(self, report: Report) -> Iterator[None]:
        """Let one process at a time make or remove the lab; leave no file behind."""
        parent = self._folder.parent
        made_parent = not parent.exists()
        try:
            parent.mkdir(parents=True, exist_ok=True)
            if made_parent:
                parent.chmod(0o755)
        except OSError as error:
            raise NotPermitted(
                f"The demo lab has no place: “{parent}” cannot be made.", detail=str(error)
            ) from error
        path = parent / f".{self._folder.name}.lock"
        handle = self._take_lock(path, report)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(handle)
            with suppress(OSError):  # not empty: something else of snapview's is there
                parent.rmdir()

    def _take_lock(self, path: Path, report: Report) -> int:
        is_told = False
        while True:
            handle = _open_lock(path)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
            else:
                if _is_same_file(handle, path):
                    return handle
                os.close(handle)  # its holder has deleted it meanwhile
                continue
            if not is_told:
                report(Progress("Waiting for another snapview that makes or removes the lab."))
                is_told = True
            if self._stop.wait(_LOCK_POLL_SECONDS):
                raise LabCancelled("The demo lab was not made.")


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NotPermitted(
            f"The demo lab cannot be locked: “{path}” cannot be written.", detail=str(error)
        ) from error


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False
