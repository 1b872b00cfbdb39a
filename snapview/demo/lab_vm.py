"""One VM of the demo lab while its history is made: its files, its guest, its snapshots.

Hides how its guest is told to have written something, and that every state is made by the same
operations that users have.
"""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from snapview.core.errors import HostError
from snapview.core.operations import (
    CreateSnapshot,
    Done,
    Failed,
    Host,
    Operation,
    Progress,
    RevertSnapshot,
)
from snapview.core.planning import Refusal, plan
from snapview.demo.daemon import PrivateDaemon
from snapview.demo.recipes import GoBack, Take, VmRecipe, domain_xml

_GUEST = Path(__file__).with_name("guest.bin")
_DISK_SIZE = "8M"
_COUNT = re.compile(rb"^count (\d+) boots \d+\r$", re.MULTILINE)
_LINE_MAX_BYTES = 4096
_PATIENCE_SECONDS = 60.0  # it takes half a second, and many times that on a busy machine
_POLL_SECONDS = 0.02
_COMMAND_SECONDS = 60.0


class LabHost(Host, Protocol):
    """A host that can also make VMs, which snapview otherwise leaves to other programs."""

    def define_vm(self, xml: str) -> str:
        """Define a VM; return its UUID."""
        ...

    def start_vm(self, uuid: str) -> None:
        """Start a VM that is off."""
        ...

    def stop_vm(self, uuid: str) -> None:
        """Switch a VM off at once."""
        ...

    def set_created_at(self, uuid: str, snapshot: str, created_at: datetime) -> None:
        """Give a snapshot another time of creation."""
        ...


class LabCancelled(HostError):
    """The lab is not being made any further, because somebody said so or a part of it failed."""


class LabVm:
    """Makes one VM and its history. Used by one thread.

    Args:
        daemon: the running daemon of the lab.
        host: a connection to it, for this VM alone.
        recipe: what to make.
        stop: when set, the next step raises ``LabCancelled``.
    """

    def __init__(
        self, daemon: PrivateDaemon, host: LabHost, recipe: VmRecipe, stop: threading.Event
    ) -> None:
        self._daemon = daemon
        self._host = host
        self._recipe = recipe
        self._stop = stop
        self._folder = daemon.images / recipe.name
        self._serial = self._folder / "serial.log"
        self._uuid = ""
        self._is_on = False
        self._names: dict[str, str] = {}  # of the snapshots taken, by title

    def make(self, say: Callable[[str], None], now: datetime) -> None:
        """Make disk, definition, every snapshot and the state it is left in.

        Args:
            say: told what is being made, as a phrase; from this thread.
            now: the moment from which the ages count.
        """
        self._make_disk()
        disk = self._folder / "vda.qcow2"
        self._uuid = self._host.define_vm(domain_xml(self._recipe, disk=disk, serial=self._serial))
        for deed in self._recipe.deeds:
            match deed:
                case Take():
                    say(f"taking “{deed.title}”")
                    self._take(deed)
                case GoBack():
                    say(f"reverting to “{deed.title}”")
                    self._go_back(deed)
        for deed in self._recipe.deeds:
            if isinstance(deed, Take):
                self._host.set_created_at(self._uuid, self._names[deed.title], now - deed.age)
        if self._recipe.is_running and not self._is_on:
            self._switch_on()

    def _make_disk(self) -> None:
        raw = self._folder / "guest.raw"
        self._run("install", "-d", "-m", "0700", str(self._folder))
        self._run("tee", str(raw), text=_GUEST.read_bytes())
        self._run("truncate", f"--size={_DISK_SIZE}", str(raw))
        ways = ("-f", "raw", "-O", "qcow2")
        self._run("qemu-img", "convert", *ways, str(raw), str(self._folder / "vda.qcow2"))
        self._run("rm", str(raw))

    def _run(self, *command: str, text: bytes = b"") -> None:
        run_as_account(self._daemon, command, text=text)

    def _take(self, deed: Take) -> None:
        if not self._is_on:
            self._switch_on()
        else:
            self._let_write()
        if deed.is_off:
            self._host.stop_vm(self._uuid)
            self._is_on = False
        operation = CreateSnapshot(
            vm_uuid=self._uuid,
            title=deed.title,
            description=deed.description,
            kind=deed.kind,
            memory=deed.memory,
        )
        created = self._do(operation).created
        assert created is not None
        self._names[deed.title] = created

    def _go_back(self, deed: GoBack) -> None:
        name = self._names[deed.title]
        self._do(RevertSnapshot(vm_uuid=self._uuid, snapshot=name, safety_snapshot=False))

    def _switch_on(self) -> None:
        self._host.start_vm(self._uuid)
        self._is_on = True
        self._wait(lambda: self._count() is not None)

    def _let_write(self) -> None:
        """Wait until the guest wrote to its disk at least once more."""
        # A revert begins a new serial log, so there may be no line yet.
        self._wait(lambda: self._count() is not None)
        seen = self._count() or 0
        self._wait(lambda: (self._count() or 0) > seen)

    def _count(self) -> int | None:
        """Return how often the guest has written since it booted; None before the first time."""
        try:
            with self._serial.open("rb") as log:
                log.seek(0, 2)
                log.seek(max(0, log.tell() - _LINE_MAX_BYTES))
                counts = _COUNT.findall(log.read())
        except FileNotFoundError:
            return None
        return int(counts[-1]) if counts else None

    def _do(self, operation: Operation) -> Done:
        if self._stop.is_set():
            raise LabCancelled("The demo lab was not made.")
        made = plan(self._host.read_vm(self._uuid), operation)
        if isinstance(made, Refusal):
            raise HostError(f"The demo lab cannot be made here: {made.reason}", advice=made.advice)
        job = self._host.start(made.operation)
        while isinstance(outcome := job.step(), Progress):
            pass
        if isinstance(outcome, Failed):
            raise outcome.error
        if not isinstance(outcome, Done):
            raise LabCancelled("The demo lab was not made.")
        return outcome

    def _wait(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not holds():
            if self._stop.wait(_POLL_SECONDS):
                raise LabCancelled("The demo lab was not made.")
            if time.monotonic() > deadline:
                raise HostError(
                    f"The guest of “{self._recipe.name}” does not boot.",
                    advice=f"Look into the log of its QEMU below {self._daemon.folder}.",
                )


def run_as_account(daemon: PrivateDaemon, command: Sequence[str], *, text: bytes = b"") -> None:
    """Run a command as the lab's account: root must not write where that account may lay links.

    Raises:
        HostError: it failed.
    """
    try:
        subprocess.run(
            daemon.as_account(command),
            input=text,
            capture_output=True,
            timeout=_COMMAND_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        raise HostError(
            "The files of the demo lab cannot be made.",
            advice="See that qemu-img is installed and that there is room on the disk.",
            detail=f"{error} {said.decode(errors='replace')}".strip(),
        ) from error
