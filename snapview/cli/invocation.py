"""One run of the command line: its global options, its connections, and which VM is meant."""

import difflib
import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from snapview.cli.errand import interruptible
from snapview.cli.output import complain, note
from snapview.cli.text import listing, quoted
from snapview.core.errors import ConnectionLost, NotFound, NotPermitted, SnapviewError
from snapview.core.operations import Host, Progress
from snapview.core.vm import Snapshot, Vm, VmSummary

if TYPE_CHECKING:
    from snapview.history import OperationRecord

LAB_HINT = "The demo lab has VMs too: snapview -c demo list"
DEMO_ALIAS = "demo"  # -c demo: the demo lab, whatever folder it lives in
_DEFAULT_URIS = ("qemu:///system", "qemu:///session")


class ExitStatus(IntEnum):
    """What the shell gets to see; other programs rely on it."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    NO_CONNECTION = 4
    CANCELLED = 130


def status_of(error: SnapviewError) -> ExitStatus:
    """Return the exit status for an error."""
    no_connection = isinstance(error, ConnectionLost | NotPermitted)
    return ExitStatus.NO_CONNECTION if no_connection else ExitStatus.FAILED


class Lab(Protocol):
    """The demo lab, as far as the command line needs it."""

    @property
    def uri(self) -> str:
        """The connection to it, also when it is not there."""
        ...

    @property
    def exists(self) -> bool:
        """Whether it was made."""
        ...

    def ensure(self, report: Callable[[Progress], None]) -> str:
        """Make it, or start what is there; return its URI."""
        ...

    def cancel(self) -> None:
        """Stop making it and take away what was begun; ``ensure`` raises. Any thread."""
        ...

    def remove(self) -> bool:
        """Take it away with everything; return whether there was something."""
        ...


class HistoryBook(Protocol):
    """What is kept of operations."""

    def record(self, record: "OperationRecord") -> None:
        """Keep a record; never fails."""
        ...

    def operations(self, uri: str, vm_uuid: str, limit: int = 100) -> "tuple[OperationRecord, ...]":
        """Return the newest operations on a VM, the newest first; raises HostError."""
        ...

    def copy_bytes_per_second(self, uri: str) -> float | None:
        """Return how fast merges copied on a host lately; None: not known."""
        ...


def _now() -> datetime:
    return datetime.now(tz=UTC)


@dataclass(frozen=True, slots=True)
class Services:
    """What the command line needs from outside."""

    make_host: Callable[[str], Host]
    make_lab: Callable[[], Lab]
    open_window: Callable[[Sequence[str]], int]
    make_history: Callable[[], HistoryBook]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    now: Callable[[], datetime] = _now


@dataclass(frozen=True, slots=True)
class FoundVm:
    """A VM together with the connection it was found on."""

    host: Host
    vm: Vm


class Invocation:
    """Options of this run and the hosts it opened. Used by one thread."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.as_json = False
        self.is_verbose = False
        self._uris: list[str] = []
        self._hosts: list[Host] = []
        self._log_handler: logging.Handler | None = None

    def add_uri(self, uri: str) -> None:
        """Take one ``-c``; the same one twice counts once."""
        uri = self._lab.uri if uri == DEMO_ALIAS else uri
        if uri not in self._uris:
            self._uris.append(uri)

    def be_verbose(self) -> None:
        """Show the log on stderr from now on."""
        if not self.is_verbose:
            from snapview.logs import show_on_stderr

            self.is_verbose = True
            self._log_handler = show_on_stderr()

    @property
    def uris(self) -> tuple[str, ...]:
        """The connections to use: those asked for, else the user's default, else both local."""
        if self._uris:
            return tuple(self._uris)
        default = self.services.environment.get("LIBVIRT_DEFAULT_URI", "")
        return (default,) if default else _DEFAULT_URIS

    def open_host(self, uri: str) -> Host:
        """Connect; the host is closed with this invocation."""
        host = self.services.make_host(uri)
        self._hosts.append(host)
        try:
            interruptible(host.connect)
        except ConnectionLost as error:
            if uri != self._lab.uri:
                raise
            raise ConnectionLost(
                "The demo lab is not there, or does not run.",
                advice="“snapview demo” makes it, or starts it again.",
                detail=error.detail,
            ) from error
        return host

    def uri_label(self, uri: str) -> str:
        """Return how to write a connection after ``-c``."""
        return DEMO_ALIAS if uri == self._lab.uri else uri

    @functools.cached_property
    def _lab(self) -> Lab:
        return self.services.make_lab()

    @property
    def is_lab_left_out(self) -> bool:
        """Whether there is a demo lab, and nobody said which connections are wanted."""
        return not self._uris and self._lab.exists

    def list_all(self) -> Iterator[tuple[Host, tuple[VmSummary, ...]]]:
        """List the VMs of all connections. One that fails is a warning, unless all do.

        Raises:
            SnapviewError: none could be read; the first one's error.
        """
        failures: list[tuple[str, SnapviewError]] = []
        for uri in self.uris:
            try:
                host = self.open_host(uri)
                found = interruptible(host.list_vms)
            except SnapviewError as error:
                failures.append((uri, error))
                continue
            yield host, found
        if len(failures) < len(self.uris):
            for uri, failure in failures:
                note(f"snapview: warning: {quoted(uri)} is left out.")
                complain(failure, is_verbose=self.is_verbose)
            return
        for uri, failure in failures[1:]:
            note(f"snapview: {quoted(uri)} cannot be reached.")
            complain(failure, is_verbose=self.is_verbose)
        first = failures[0][1]
        if self.is_lab_left_out:
            first.advice = f"{first.advice} {LAB_HINT}".strip()
        raise first

    @functools.cached_property
    def history(self) -> HistoryBook:
        """What was done before, and where what is done now is kept."""
        return self.services.make_history()

    def find_vm(self, text: str, *, with_images: bool = False) -> FoundVm:
        """Read the VM of that UUID, name or title; on demand with the image files around it.

        Raises:
            NotFound: there is none, or there are several.
        """
        everything = [
            (host, summary) for host, summaries in self.list_all() for summary in summaries
        ]
        for matches in (
            [(h, s) for h, s in everything if s.uuid == text.lower()],
            [(h, s) for h, s in everything if s.name == text],
            [(h, s) for h, s in everything if s.title and s.title == text],
        ):
            if len(matches) > 1:
                raise _ambiguous_vm(text, matches)
            if matches:
                host, summary = matches[0]
                found = FoundVm(host, interruptible(host.read_vm, summary.uuid))
                return self.with_images(found) if with_images else found
        known = [s.name for _, s in everything]
        raise NotFound(
            f"There is no VM called {quoted(text)}.",
            advice=_did_you_mean(text, [*known, *(s.title for _, s in everything if s.title)])
            or ("“snapview list” shows all VMs." if known else "There is no VM at all here."),
        )

    def with_images(self, found: FoundVm) -> FoundVm:
        """Read the image files around a VM; what is planned about them then has figures."""
        vm, host = found.vm, found.host
        if not vm.capabilities.touches_disks:
            return found
        storage = interruptible(host.read_storage, vm.uuid)
        speed = self.history.copy_bytes_per_second(host.uri)
        return FoundVm(host, vm.with_storage(replace(storage, copy_bytes_per_second=speed)))

    def close(self) -> None:
        """Close all connections."""
        if self._log_handler is not None:
            logging.getLogger("snapview").removeHandler(self._log_handler)
        for host in self._hosts:
            host.close()
        self._hosts.clear()


def find_snapshot(vm: Vm, text: str) -> Snapshot:
    """Return the snapshot of that name, or the only one of that title.

    Raises:
        NotFound: there is none, or there are several, or the snapshots cannot be read.
    """
    found = vm.tree.find(text)
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFound(
            f"{quoted(text)} is the title of several snapshots of {quoted(vm.name)}.",
            advice="Use one of their names: " + listing(s.name for s in found) + ".",
        )
    if vm.problem:
        raise NotFound(f"The snapshots of {quoted(vm.name)} are unknown.", advice=vm.problem)
    candidates = [s.name for s in vm.tree] + [s.title for s in vm.tree if s.title]
    raise NotFound(
        f"{quoted(vm.name)} has no snapshot called {quoted(text)}.",
        advice=_did_you_mean(text, candidates)
        or (
            f"“snapview tree {vm.name}” shows its snapshots."
            if len(vm.tree)
            else "It has no snapshots at all."
        ),
    )


def _did_you_mean(text: str, candidates: Iterable[str]) -> str:
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    close = difflib.get_close_matches(text.casefold(), by_folded, n=3, cutoff=0.5)
    if not close:
        return ""
    return f"Did you mean {' or '.join(quoted(by_folded[folded]) for folded in close)}?"


def _ambiguous_vm(text: str, matches: Sequence[tuple[Host, VmSummary]]) -> NotFound:
    places = listing(f"{summary.uuid} on {host.uri}" for host, summary in matches)
    return NotFound(
        f"{quoted(text)} can mean several VMs: {places}.",
        advice="Use the UUID, or name the connection with -c.",
    )
