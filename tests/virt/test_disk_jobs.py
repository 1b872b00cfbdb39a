"""Block jobs of a running VM on both generations, and of a libvirt that fails half-way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import libvirt
import pytest

from snapview.core.errors import Conflict, HostError, ImageNotWritable, SnapviewError
from snapview.core.under_way import BlockJob, BlockJobType
from snapview.virt import disk_jobs
from snapview.virt.disk_jobs import JOB_TYPES, DiskJobs, JobFlag
from snapview.virt.disk_xml import Mirror
from snapview.virt.host import LibvirtHost
from snapview.virt.port import LibvirtVm
from tests.backends import Backend, lab_backend
from tests.lab import Lab
from tests.virt.images import Images
from tests.waiting import eventually


def test_the_numbers_are_libvirts() -> None:
    for name, value in JobFlag.__members__.items():
        assert value == getattr(libvirt, f"VIR_DOMAIN_BLOCK_{name}")
    for number, kind in JOB_TYPES.items():
        assert number == getattr(libvirt, f"VIR_DOMAIN_BLOCK_JOB_TYPE_{kind.name}")


# A running VM


@pytest.fixture
def vm(lab: Lab) -> Iterator[Backend]:
    """A running VM on a chain of four: three overlays with 2 MiB each on a base."""
    backend = lab_backend(lab, running=False)
    images = Images(lab, lab.vm_folder(backend.name))
    for number in (1, 2, 3):
        path = images.path(f"{number}.qcow2")
        words = ["snapshot-create-as", backend.name, "--disk-only", "--atomic", "--no-metadata"]
        lab.virsh(*words, "--diskspec", f"vda,snapshot=external,file={path}")
        images.run("qemu-io", "-f", "qcow2", "-c", f"write {2 * number}M 2M", path)
    lab.start_vm(backend.name)
    yield backend
    backend.host.close()


def port_of(backend: Backend) -> LibvirtVm:
    assert isinstance(backend.host, LibvirtHost)
    return LibvirtVm(backend.host, backend.uuid)


def names(paths: tuple[str, ...]) -> list[str]:
    return [path.rpartition("/")[2] for path in paths]


def over(port: LibvirtVm) -> Callable[[], bool]:
    return lambda: port.block_job("vda") is None


def speed(port: LibvirtVm) -> int | None:
    job = port.block_job("vda")
    return None if job is None else job.bandwidth_bytes_per_second


def virsh_chain(backend: Backend) -> list[str]:
    assert backend.lab is not None
    text = backend.lab.virsh("domblklist", backend.name, "--details")
    return [line.split()[-1].rpartition("/")[2] for line in text.splitlines() if "vda" in line]


def test_an_active_commit_waits_for_its_pivot(vm: Backend) -> None:
    port = port_of(vm)
    chain = port.chain("vda")
    assert names(chain) == ["3.qcow2", "2.qcow2", "1.qcow2", "vda.qcow2"]
    port.commit("vda", chain[0], chain[2], 0)
    eventually(lambda: (job := port.block_job("vda")) is not None and job.is_ready, "never ready")
    job = port.block_job("vda")
    assert job is not None
    assert job.type is BlockJobType.ACTIVE_COMMIT
    assert 0 < job.done_bytes <= job.total_bytes
    assert vm.vm().block_jobs == (job,)
    port.end_job("vda", pivot=True)
    assert names(port.chain("vda")) == ["1.qcow2", "vda.qcow2"]
    assert virsh_chain(vm) == ["1.qcow2"]
    assert vm.vm().block_jobs == ()
    assert vm.lab is not None
    vm.lab.wait_for_count(vm.name, vm.lab.counter_from_serial(vm.name).count + 1)


def test_a_middle_commit_ends_by_itself(vm: Backend) -> None:
    port = port_of(vm)
    chain = port.chain("vda")
    port.commit("vda", chain[1], chain[2], 0)
    eventually(over(port), "it does not end")
    assert names(port.chain("vda")) == ["3.qcow2", "1.qcow2", "vda.qcow2"]
    port.end_job("vda", pivot=True)  # no job: nothing
    port.end_job("vda", pivot=False)
    assert names(port.chain("vda")) == ["3.qcow2", "1.qcow2", "vda.qcow2"]


@pytest.mark.parametrize("base", [2, None])
def test_a_pull_brings_what_lies_below_up(vm: Backend, base: int | None) -> None:
    port = port_of(vm)
    chain = port.chain("vda")
    port.pull("vda", None if base is None else chain[base], 0)
    eventually(over(port), "it does not end")
    assert port.chain("vda") == ((chain[0],) if base is None else (chain[0], *chain[base:]))


def test_a_job_is_found_running_limited_and_aborted_without_loss(vm: Backend) -> None:
    port, chain = port_of(vm), port_of(vm).chain("vda")
    port.commit("vda", chain[1], chain[3], 1)
    (job,) = vm.vm().block_jobs
    assert (job.disk, job.type, job.bandwidth_bytes_per_second) == ("vda", BlockJobType.COMMIT, 1)
    assert not job.is_ready
    port.set_bandwidth("vda", 2)
    assert speed(port) == 2
    with pytest.raises(Conflict):  # one at a time
        port.commit("vda", chain[1], chain[2], 0)
    vm.host.limit(vm.uuid, 3)
    assert speed(port) == 3
    port.end_job("vda", pivot=False)
    assert port.block_job("vda") is None
    assert port.chain("vda") == chain
    port.set_bandwidth("vda", 1)  # no job: nothing
    vm.host.limit(vm.uuid, 0)


def test_a_pivot_that_comes_too_early_is_a_conflict_and_harms_nothing(vm: Backend) -> None:
    port, chain = port_of(vm), port_of(vm).chain("vda")
    port.commit("vda", chain[0], chain[3], 1)
    job = port.block_job("vda")
    assert job is not None
    assert not job.is_ready
    with pytest.raises(Conflict):
        port.end_job("vda", pivot=True)
    assert port.block_job("vda") is not None
    port.end_job("vda", pivot=False)
    assert port.chain("vda") == chain


def test_what_is_not_open_or_upside_down_is_refused(vm: Backend) -> None:
    port, chain = port_of(vm), port_of(vm).chain("vda")
    for top, base in ((chain[0], "/nowhere"), ("/nowhere", chain[1]), (chain[2], chain[1])):
        with pytest.raises(Conflict):
            port.commit("vda", top, base, 0)
    for below in (chain[0], "/nowhere"):
        with pytest.raises(Conflict):
            port.pull("vda", below, 0)
    with pytest.raises(SnapviewError):
        port.commit("vdz", chain[0], chain[1], 0)
    assert port.chain("vdz") == ()
    assert port.chain("vda") == chain


@pytest.mark.parametrize("top", [0, 1])
def test_a_base_that_qemu_may_not_write_to_is_merged_upwards_instead(vm: Backend, top: int) -> None:
    """Trap 5, by rights of the file here and by AppArmor elsewhere."""
    assert vm.lab is not None
    port, chain = port_of(vm), port_of(vm).chain("vda")
    Images(vm.lab, vm.lab.vm_folder(vm.name)).run("chmod", "0444", chain[3])
    with pytest.raises(ImageNotWritable):
        port.commit("vda", chain[top], chain[3], 0)
    assert port.block_job("vda") is None
    assert port.chain("vda") == chain
    port.pull("vda", None, 0)
    eventually(over(port), "it does not end")
    assert port.chain("vda") == chain[:1]


def test_a_vm_that_is_off_has_no_jobs(lab: Lab) -> None:
    backend = lab_backend(lab, running=False)
    port = port_of(backend)
    assert port.block_job("vda") is None
    assert port.chain("vda") == ()
    port.end_job("vda", pivot=True)
    port.set_bandwidth("vda", 1)
    backend.host.limit(backend.uuid, 1)
    with pytest.raises(SnapviewError):
        port.pull("vda", None, 0)
    backend.host.close()


def test_the_fingerprint_changes_with_a_job(vm: Backend) -> None:
    vm.vm()
    quiet = vm.host.read_fingerprint(vm.uuid)
    port, chain = port_of(vm), port_of(vm).chain("vda")
    port.commit("vda", chain[1], chain[3], 1)
    busy = vm.host.read_fingerprint(vm.uuid)
    assert busy != quiet
    port.end_job("vda", pivot=False)
    assert vm.host.read_fingerprint(vm.uuid) == quiet


def test_a_backup_and_its_checkpoints_are_seen(vm: Backend, tmp_path: Any) -> None:
    assert vm.lab is not None
    assert not vm.vm().has_backup_job
    backup, checkpoint = tmp_path / "backup.xml", tmp_path / "checkpoint.xml"
    socket = vm.lab.vm_folder(vm.name) / "nbd.sock"
    scratch = vm.lab.vm_folder(vm.name) / "scratch.qcow2"
    backup.write_text(
        f"<domainbackup mode='pull'><server transport='unix' socket='{socket}'/>"
        f"<disks><disk name='vda' backup='yes' type='file'><scratch file='{scratch}'/></disk>"
        "</disks></domainbackup>"
    )
    checkpoint.write_text("<domaincheckpoint><name>first</name></domaincheckpoint>")
    vm.lab.virsh("backup-begin", vm.name, str(backup), "--checkpointxml", str(checkpoint))
    read = vm.vm()
    assert read.has_backup_job
    assert read.checkpoints == ("first",)
    assert [job.type for job in read.block_jobs] in ([], [BlockJobType.BACKUP])
    vm.lab.virsh("domjobabort", vm.name)
    eventually(lambda: not vm.vm().has_backup_job, "the backup does not end")
    assert vm.vm().checkpoints == ("first",)


# A libvirt that fails half-way

LIVE = """<domain><devices><disk type='file' device='disk'><source file='/top' index='1'/>
    <backingStore type='file' index='3'><source file='/base'/></backingStore>{mirror}
    <target dev='vda'/></disk></devices></domain>"""
MIRROR = "<mirror type='file' job='active-commit' ready='yes'><source file='/base'/></mirror>"
JOB = {"type": 4, "bandwidth": 0, "cur": 5, "end": 5}


class OddDomain:
    """A handle that does what the test says when a job is to be ended."""

    def __init__(self, ends: Callable[["OddDomain"], None]) -> None:
        self.ends = ends
        self.text = LIVE.format(mirror=MIRROR)
        self.info: dict[str, int] = JOB

    def isActive(self) -> bool:
        return True

    def XMLDesc(self, _flags: int) -> str:
        return self.text

    def blockJobInfo(self, _disk: str, _flags: int) -> dict[str, int]:
        return self.info

    def blockJobAbort(self, _disk: str, _flags: int) -> None:
        self.ends(self)

    def finish(self) -> None:
        self.text = LIVE.format(mirror="").replace("/top", "/base", 1)
        self.info = {}

    def give_up(self) -> None:
        self.text, self.info = LIVE.format(mirror=""), {}


@contextmanager
def told(doing: str = "") -> Iterator[None]:
    yield


def jobs_of(domain: OddDomain) -> DiskJobs:
    return DiskJobs(lambda: domain, told)


def fail(domain: OddDomain) -> None:
    raise HostError("It failed.")


def test_a_pivot_that_libvirt_only_says_it_did_is_an_error() -> None:
    with pytest.raises(HostError, match="is not on"):
        jobs_of(OddDomain(OddDomain.give_up)).end_job("vda", pivot=True)


def test_a_pivot_that_failed_and_took_the_job_along_is_that_failure() -> None:
    def ends(domain: OddDomain) -> None:
        domain.give_up()
        fail(domain)

    with pytest.raises(HostError, match="It failed"):
        jobs_of(OddDomain(ends)).end_job("vda", pivot=True)
    jobs_of(OddDomain(ends)).end_job("vda", pivot=False)  # it is gone, as was asked for


def test_a_pivot_that_happened_all_the_same_is_no_failure() -> None:
    def ends(domain: OddDomain) -> None:
        domain.finish()
        fail(domain)

    domain = OddDomain(ends)
    jobs_of(domain).end_job("vda", pivot=True)
    assert jobs_of(domain).chain("vda") == ("/base",)


def test_a_job_that_stays_is_the_failure_it_gave() -> None:
    with pytest.raises(HostError, match="It failed"):
        jobs_of(OddDomain(fail)).end_job("vda", pivot=False)


def test_a_job_that_never_ends_is_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_jobs, "_PATIENCE_SECONDS", 0.05)
    with pytest.raises(HostError, match="does not come to its end"):
        jobs_of(OddDomain(lambda _domain: None)).end_job("vda", pivot=True)


def test_a_document_that_cannot_be_read_is_an_error_that_says_so() -> None:
    domain = OddDomain(fail)
    domain.text, domain.info = "<domain", {}
    for call in (
        lambda: jobs_of(domain).chain("vda"),
        lambda: jobs_of(domain).limit(1),
        lambda: jobs_of(domain).commit("vda", "/top", "/base", 0),
    ):
        with pytest.raises(HostError, match="cannot be read"):
            call()


def test_figures_that_cannot_be_are_nothing() -> None:
    job = disk_jobs.to_block_job("vda", {"type": 77, "cur": -1}, is_ready=False)
    assert job == BlockJob("vda", BlockJobType.UNKNOWN)
    assert disk_jobs.mirrored_job(Mirror("vda", "odd")).type is BlockJobType.UNKNOWN
    ready = disk_jobs.mirrored_job(Mirror("vda", "copy", "/x", is_ready=True))
    assert ready == BlockJob("vda", BlockJobType.COPY, is_ready=True)
