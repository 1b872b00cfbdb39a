"""Read VMs and trees through libvirt's handles. Does not import libvirt: it is given handles."""

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from snapview.core.errors import ConnectionLost, HostError, NotFound, SnapviewError
from snapview.core.vm import (
    HostCapabilities,
    RunState,
    Snapshot,
    SnapshotTree,
    Vm,
    VmSummary,
)
from snapview.virt.chains import complete_chain
from snapview.virt.disk_jobs import JobFlag, mirrored_job, to_block_job
from snapview.virt.disk_xml import Mirror
from snapview.virt.errormap import Translated
from snapview.virt.snapshot_text import read_snapshot
from snapview.virt.xml import BadXml, DomainFacts, parse_domain

_log = logging.getLogger(__name__)

FETCH_THREADS = 4  # libvirt's server answers five requests of one connection at a time
FETCH_BATCH = 500  # snapshots; then the event loop gets a turn, for the keepalive of others

CONTROL_OK = 0  # VIR_DOMAIN_CONTROL_OK: it would answer at once

RUN_STATES = {  # virDomainState
    0: RunState.UNKNOWN,
    1: RunState.RUNNING,
    2: RunState.RUNNING,  # blocked: waits for a resource
    3: RunState.PAUSED,
    4: RunState.RUNNING,  # shutting down
    5: RunState.SHUTOFF,
    6: RunState.CRASHED,
    7: RunState.SUSPENDED,
}


@dataclass(frozen=True, slots=True)
class _LastJobs:
    """The disks of a VM, and the kinds of their block jobs when it last answered."""

    targets: tuple[str, ...]
    types: tuple[object, ...] = ()


class Reader:
    """Reads what one connection's handles know. Worker thread; raises SnapviewError.

    Args:
        translated: turns libvirt's errors into ours.
        paused: holds libvirt's event loop, which makes many calls in a row twice as fast.
    """

    def __init__(
        self, translated: Translated, paused: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._translated = translated
        self._paused = paused
        self._last_jobs: dict[str, _LastJobs] = {}  # by VM, as far as they were read

    def summary(self, domain: Any) -> VmSummary | None:
        """Return one line of the list; None when the VM does not exist any more."""
        try:
            with self._translated("list the VMs"):
                state = RUN_STATES.get(domain.state()[0], RunState.UNKNOWN)
        except NotFound:
            return None
        count: int | None = None  # this driver may have no snapshots
        with _if_told(), self._translated():
            count = domain.snapshotNum(0)
        return VmSummary(domain.UUIDString(), domain.name(), state, count)

    def vm(self, domain: Any, capabilities: HostCapabilities) -> Vm:
        """Read everything of one VM; what cannot be read of its snapshots is said in it."""
        with self._translated("read the VM"):
            state = RUN_STATES.get(domain.state()[0], RunState.UNKNOWN)
            facts = _domain_facts(domain)
            is_persistent = bool(domain.isPersistent())
            saved = is_persistent and bool(domain.hasManagedSaveImage(0))
        vm = Vm(
            uuid=domain.UUIDString(),
            name=facts.name,
            title=facts.title,
            run_state=state,
            disks=facts.hardware.disks,
            hardware=facts.hardware,
            capabilities=capabilities,
            has_managed_save=saved,
            is_persistent=is_persistent,
            read_at=datetime.now(tz=UTC),
        )
        try:
            tree = self.tree(domain)
        except ConnectionLost:
            raise
        except SnapviewError as error:
            return replace(vm, problem=error.message)
        disks = tuple(complete_chain(disk, tree) for disk in vm.disks)
        vm = replace(vm, tree=tree, disks=disks, checkpoints=self._checkpoints(domain))
        targets = tuple(disk.target for disk in vm.state_disks)
        self._last_jobs[vm.uuid] = _LastJobs(targets)
        return self._with_jobs(domain, vm, facts.mirrors) if state.is_active else vm

    def fingerprint(self, domain: Any) -> str:
        """Read name, state, jobs, snapshot names and the current one: 1 ms even for hundreds."""
        with self._translated("look at the VM"):
            names = sorted(snapshot.getName() for snapshot in domain.listAllSnapshots(0))
            saved = bool(domain.isPersistent()) and bool(domain.hasManagedSaveImage(0))
            known = (domain.name(), domain.state()[0], saved)
        return repr((*known, self._job_types(domain), self._current(domain), names))

    def _job_types(self, domain: Any) -> tuple[object, ...]:
        """Return the kinds of block jobs; of a busy VM, which would not answer, the last known."""
        uuid = domain.UUIDString()
        last = self._last_jobs.get(uuid)
        if last is None:
            return ()
        found: list[object] = []
        with _if_told(), self._translated():
            if domain.isActive():
                if domain.controlInfo(0)[0] != CONTROL_OK:
                    return last.types
                jobs = (domain.blockJobInfo(target, 0) for target in last.targets)
                found = [job.get("type") for job in jobs]
        types = tuple(found) if any(found) else ()
        self._last_jobs[uuid] = replace(last, types=types)
        return types

    def tree(self, domain: Any) -> SnapshotTree:
        """Read all snapshots, several at a time: while libvirt writes one, another is parsed."""
        with self._translated("read the snapshots"):
            handles = domain.listAllSnapshots(0)
        current = self._current(domain)
        if len(handles) < 2 * FETCH_THREADS:
            return SnapshotTree(self._snapshots(handles), current)
        found: list[Snapshot] = []
        with ThreadPoolExecutor(FETCH_THREADS, thread_name_prefix="fetch") as pool:
            for start in range(0, len(handles), FETCH_BATCH):
                batch = handles[start : start + FETCH_BATCH]
                with self._paused():
                    shares = (batch[first::FETCH_THREADS] for first in range(FETCH_THREADS))
                    for share in pool.map(self._snapshots, shares):
                        found.extend(share)
        return SnapshotTree(found, current)

    def _current(self, domain: Any) -> str | None:
        """Return the current snapshot's name; None also when it is deleted in between."""
        with self._translated("look at the VM"):
            if not domain.hasCurrentSnapshot(0):
                return None
        try:
            with self._translated():
                return str(domain.snapshotCurrent(0).getName())
        except NotFound:
            return None

    def _snapshots(self, handles: Iterable[Any]) -> list[Snapshot]:
        return [found for handle in handles if (found := self._snapshot(handle)) is not None]

    def _snapshot(self, handle: Any) -> Snapshot | None:
        """Read one snapshot; what cannot be read is kept with its problem. None: it is gone."""
        try:
            with self._translated():
                text = handle.getXMLDesc(0)
            return read_snapshot(text)
        except NotFound:
            return None
        except ConnectionLost:
            raise
        except SnapviewError as error:
            problem = error.message
        except BadXml as error:
            problem = f"{error}"
        name = str(handle.getName())
        return Snapshot(name, title=name, problem=problem)

    def _checkpoints(self, domain: Any) -> tuple[str, ...]:
        names: list[str] = []
        with _if_told(), self._translated():
            names = [str(checkpoint.getName()) for checkpoint in domain.listAllCheckpoints(0)]
        return tuple(sorted(names))

    def _with_jobs(self, domain: Any, vm: Vm, mirrors: Iterable[Mirror]) -> Vm:
        """Add what is under way on the disks; a busy VM does not tell of all."""
        jobs = {each.disk: mirrored_job(each) for each in mirrors}
        for disk in vm.state_disks:
            with _if_told(), self._translated():
                info = domain.blockJobInfo(disk.target, int(JobFlag.JOB_INFO_BANDWIDTH_BYTES))
                if info:
                    known = jobs.get(disk.target)
                    is_ready = known is not None and known.is_ready
                    jobs[disk.target] = to_block_job(disk.target, info, is_ready=is_ready)
        has_backup = False
        with _if_told(), self._translated():
            has_backup = bool(domain.backupGetXMLDesc(0))
        found = tuple(job for _target, job in sorted(jobs.items()))
        return replace(vm, block_jobs=found, has_backup_job=has_backup)


@contextmanager
def _if_told() -> Iterator[None]:
    """Do without what a driver cannot say or a busy VM does not tell; not without a connection."""
    try:
        yield
    except ConnectionLost:
        raise
    except SnapviewError as error:
        _log.debug("not told: %s", error.detail)


def _domain_facts(domain: Any) -> DomainFacts:
    try:
        return parse_domain(domain.XMLDesc(0))
    except BadXml as error:
        sentence = f"The definition of “{domain.name()}” cannot be read: {error}."
        raise HostError(sentence, advice="Look at it with: virsh dumpxml") from error
