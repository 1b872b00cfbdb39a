"""The hosts on which the contract runs: the fake, libvirt's test driver, two real ones.

Each offers a VM with the project's guest where there is one, and a second client that is not
snapview, as a second opinion and as somebody who changes things behind our back.
"""

from dataclasses import dataclass
from typing import Protocol

from snapview.core.operations import CreateSnapshot, DeleteSnapshot, Done, Host, Operation, Outcome
from snapview.core.planning import default_snapshot
from snapview.core.vm import SnapshotKind, Vm
from snapview.virt.host import LibvirtHost
from snapview.virt.job import run
from tests.fakes import FakeWorld
from tests.journals import new_journal
from tests.lab import Lab


class OtherClient(Protocol):
    """Somebody else who works on the same VM."""

    def parents(self) -> dict[str, str | None]:
        """Name of each snapshot with its parent."""
        ...

    def current(self) -> str | None: ...
    def take(self, name: str) -> None: ...
    def delete(self, name: str) -> None: ...


@dataclass
class Backend:
    """One VM on one host, through snapview and through somebody else."""

    host: Host
    uuid: str
    other: OtherClient
    has_guest: bool = False
    name: str = ""
    lab: Lab | None = None

    def vm(self) -> Vm:
        return self.host.read_vm(self.uuid)

    def do(self, operation: Operation) -> Outcome:
        """Run an operation to its outcome."""
        return run(self.host.start(operation), lambda _progress: None)

    def done(self, operation: Operation) -> Done:
        """Run an operation that has to succeed."""
        outcome = self.do(operation)
        assert isinstance(outcome, Done), outcome
        return outcome

    def take(self, title: str, description: str = "", **changes: object) -> str:
        """Take the snapshot that the host's defaults offer, internal unless told; its name."""
        vm = self.vm()
        default = default_snapshot(vm)
        kind = changes.pop("kind", SnapshotKind.INTERNAL)
        memory = changes.pop("memory", default.memory)
        assert isinstance(kind, SnapshotKind)
        assert isinstance(memory, bool)
        operation = CreateSnapshot(self.uuid, title, description, kind, memory)
        created = self.done(operation).created
        assert created is not None
        return created

    def tree(self) -> dict[str, str | None]:
        """Name of each snapshot with its parent, as snapview reads it."""
        return {snapshot.name: snapshot.parent for snapshot in self.vm().tree}


class VirshClient:
    """virsh on a real host."""

    def __init__(self, lab: Lab, name: str) -> None:
        self._lab, self._name = lab, name

    def parents(self) -> dict[str, str | None]:
        names = self._lab.virsh("snapshot-list", self._name, "--name").split()
        return {
            name: self._lab.virsh(
                "snapshot-parent", self._name, "--snapshotname", name, check=False
            ).strip()
            or None
            if name not in self._roots()
            else None
            for name in names
        }

    def _roots(self) -> set[str]:
        return set(self._lab.virsh("snapshot-list", self._name, "--name", "--roots").split())

    def current(self) -> str | None:
        text = self._lab.virsh("snapshot-current", self._name, "--name", check=False).strip()
        return None if "no current snapshot" in text else text

    def take(self, name: str) -> None:
        self._lab.virsh("snapshot-create-as", self._name, name)

    def delete(self, name: str) -> None:
        self._lab.virsh("snapshot-delete", self._name, name)


class SecondConnection:
    """Another connection of ours, where there is no virsh for that host."""

    def __init__(self, host: Host, uuid: str) -> None:
        self._host, self._uuid = host, uuid

    def close(self) -> None:
        self._host.close()

    def parents(self) -> dict[str, str | None]:
        return {s.name: s.parent for s in self._host.read_vm(self._uuid).tree}

    def current(self) -> str | None:
        return self._host.read_vm(self._uuid).tree.current

    def take(self, name: str) -> None:
        operation = CreateSnapshot(self._uuid, name)
        assert isinstance(run(self._host.start(operation), lambda _: None), Done)

    def delete(self, name: str) -> None:
        operation = DeleteSnapshot(self._uuid, (name,))
        assert isinstance(run(self._host.start(operation), lambda _: None), Done)


def fake_backend(world: FakeWorld) -> Backend:
    """A VM of the fake world."""
    host, second = world.make_host(), world.make_host()
    host.connect()
    second.connect()
    uuid = host.list_vms()[0].uuid
    return Backend(host, uuid, SecondConnection(second, uuid))


def driver_backend() -> Backend:
    """The VM of libvirt's own test driver; both connections see the same."""
    journal = new_journal()
    host, second = (LibvirtHost("test:///default", journal) for _ in range(2))
    host.connect()
    second.connect()
    uuid = host.list_vms()[0].uuid
    return Backend(host, uuid, SecondConnection(second, uuid))


def lab_backend(lab: Lab, *, running: bool = True, **options: object) -> Backend:
    """A new real VM."""
    name = lab.unique_name("contract")
    uuid = lab.make_vm(name, running=running, **options)  # type: ignore[arg-type]
    host = LibvirtHost(lab.uri, lab.journal)
    host.connect()
    return Backend(host, uuid, VirshClient(lab, name), has_guest=True, name=name, lab=lab)
