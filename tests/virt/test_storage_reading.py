"""The image files around real VMs, with everybody who uses them; qemu-img is the second opinion."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import libvirt
import pytest

from snapview.core.errors import NotFound
from snapview.core.storage import Storage
from snapview.core.vm import SnapshotKind
from snapview.virt import storage_reading
from snapview.virt.host import LibvirtHost
from snapview.virt.port import LibvirtVm
from tests.backends import Backend, driver_backend, lab_backend
from tests.lab import Lab
from tests.virt.images import Images


@pytest.fixture
def vm(lab: Lab) -> Iterator[Backend]:
    """A VM that is off."""
    backend = lab_backend(lab, running=False)
    yield backend
    backend.host.close()


@pytest.fixture
def images(lab: Lab, vm: Backend) -> Images:
    """The folder of the VM."""
    return Images(lab, lab.vm_folder(vm.name))


def storage_of(vm: Backend) -> Storage:
    return vm.host.read_storage(vm.uuid)


def chain(storage: Storage, path: str | Path) -> list[str]:
    return [image.path for image in storage.chain(str(path))]


def qemus_chain(path: Path) -> list[str]:
    command = ["qemu-img", "info", "-U", "--backing-chain", "--output=json", str(path)]
    done = subprocess.run(command, capture_output=True, check=True)
    return [layer["filename"] for layer in json.loads(done.stdout)]


def put_disk_on(vm: Backend, path: str, image_format: str = "qcow2") -> None:
    """Have the VM's only disk lie on another image."""
    assert vm.lab is not None
    vm.lab.virsh("detach-disk", vm.name, "vda", "--config")
    words = ["--subdriver", image_format, "--targetbus", "virtio", "--config"]
    vm.lab.virsh("attach-disk", vm.name, path, "vda", *words)


@pytest.mark.parametrize("running", [True, False])
def test_the_chain_is_what_the_headers_say(lab: Lab, vm: Backend, running: bool) -> None:
    if running:
        lab.start_vm(vm.name)
    names = [vm.take(f"e{n}", kind=SnapshotKind.EXTERNAL, memory=False) for n in (1, 2)]
    if running:
        names.append(vm.take("mem", kind=SnapshotKind.EXTERNAL, memory=True))
    storage = storage_of(vm)
    active = lab.active_disk(vm.name)
    assert chain(storage, active) == qemus_chain(active)
    assert len(storage.chain(str(active))) == len(names) + 1
    assert storage.fault(str(active)) == ""
    folder = lab.vm_folder(vm.name)
    assert storage.free_bytes.keys() == {str(folder)}
    assert storage.unreadable == frozenset()
    assert storage.users == {}
    for path in folder.iterdir():
        if path.suffix in {".qcow2", ".mem"}:
            assert storage.images[str(path)].allocation_bytes == path.stat().st_blocks * 512


def test_branches_are_told_with_what_lies_below(vm: Backend, images: Images) -> None:
    images.make("left.qcow2", "vda.qcow2")
    images.make("right.qcow2", "vda.qcow2")
    storage = storage_of(vm)
    lying = {images.path("left.qcow2"), images.path("right.qcow2")}
    assert storage.overlays(images.path("vda.qcow2")) == lying


def test_a_chain_is_followed_into_other_folders(lab: Lab, vm: Backend) -> None:
    folders = [Images.beside(lab, f"{lab.unique_name('f')}-{number}") for number in range(3)]
    folders[0].make("base.raw")
    below = folders[0]
    for folder in folders[1:]:
        name = next(iter(below.files()))
        made = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", below.layer(name).format or ""]
        folder.run(*made, "-b", below.path(name), folder.path("top.qcow2"))
        below = folder
    put_disk_on(vm, below.path("top.qcow2"))
    storage = storage_of(vm)
    assert chain(storage, below.path("top.qcow2")) == qemus_chain(Path(below.path("top.qcow2")))
    assert storage.free_bytes.keys() >= {str(folder.folder) for folder in folders}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("json.qcow2", "no plain path"),
        ("nbd.qcow2", "no plain path"),
        ("missing.qcow2", "missing"),
        ("one.qcow2", "loop"),
        ("self.qcow2", "loop"),
        ("simple.qcow2", ""),  # a file of the system: into its folder nobody looks
        ("device.qcow2", ""),
        ("honest.qcow2", ""),
    ],
)
def test_a_hostile_header_is_a_fault_of_its_image_alone(
    lab: Lab, vm: Backend, images: Images, name: str, words: str
) -> None:
    images.make_hostile()
    put_disk_on(vm, images.path(name))
    storage = storage_of(vm)
    fault = storage.fault(images.path(name))
    assert words in fault
    assert bool(fault) is bool(words)
    assert storage.fault(images.path("vda.qcow2")) == ""
    assert storage.fault(images.path("honest.qcow2")) == ""
    assert not {"/etc", "/dev"} & storage.free_bytes.keys()


def test_an_image_on_what_is_gone_says_so(lab: Lab, vm: Backend, images: Images) -> None:
    images.make("top.qcow2", "vda.qcow2")
    gone = images.path("gone/x.qcow2")
    words = ["qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", gone]
    images.run(*words, images.path("top.qcow2"))
    put_disk_on(vm, images.path("top.qcow2"))
    assert "missing" in storage_of(vm).fault(images.path("top.qcow2"))


def test_what_a_guest_writes_into_its_raw_disk_is_no_header(
    lab: Lab, vm: Backend, images: Images
) -> None:
    """Trap of every prober: the daemon takes it for a qcow2 image on any file the guest names."""
    images.make("fake.qcow2", "vda.qcow2")
    images.run("cp", images.path("fake.qcow2"), images.path("disk.raw"))
    put_disk_on(vm, images.path("disk.raw"), "raw")
    found = storage_of(vm).images[images.path("disk.raw")]
    assert (found.format, found.backing) == ("raw", None)
    images.make("over.qcow2", "disk.raw")
    put_disk_on(vm, images.path("over.qcow2"))
    storage = storage_of(vm)
    assert chain(storage, images.path("over.qcow2")) == [
        images.path("over.qcow2"),
        images.path("disk.raw"),
    ]
    assert storage.overlays(images.path("vda.qcow2")) == {images.path("fake.qcow2")}


def test_a_folder_behind_a_link_is_one_folder(lab: Lab, vm: Backend, images: Images) -> None:
    """Definitions say it one way, headers another; it is the same base all the same."""
    link = images.folder.with_name(f"{images.folder.name}-link")
    images.run("ln", "-s", images.folder, link)
    made = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"]
    images.run(*made, link / "vda.qcow2", images.path("top.qcow2"))
    images.run(*made, link / "vda.qcow2", images.path("branch.qcow2"))
    put_disk_on(vm, images.path("top.qcow2"))
    storage = storage_of(vm)
    top, base = images.path("top.qcow2"), images.path("vda.qcow2")
    assert chain(storage, top) == [top, base]
    assert storage.overlays(base) == {top, images.path("branch.qcow2")}
    assert not any(str(link) in path for path in storage.images)
    images.run("rm", link)


def test_other_vms_that_need_an_image_are_named(lab: Lab, vm: Backend, images: Images) -> None:
    images.make("ours.qcow2", "vda.qcow2")
    elsewhere = Images.beside(lab, lab.unique_name("theirs"))
    base = images.path("vda.qcow2")
    for name in ("direct.qcow2", "on.qcow2"):
        made = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base]
        elsewhere.run(*made, elsewhere.path(name))
    put_disk_on(vm, images.path("ours.qcow2"))
    off, on = lab_backend(lab, running=False), lab_backend(lab, running=False)
    put_disk_on(off, elsewhere.path("direct.qcow2"))
    put_disk_on(on, elsewhere.path("on.qcow2"))
    lab.virsh("start", on.name, "--paused")
    storage = storage_of(vm)
    assert storage.users[base] == tuple(sorted([off.name, on.name]))
    assert images.path("ours.qcow2") not in storage.users
    assert storage.users[elsewhere.path("direct.qcow2")] == (off.name,)
    theirs = storage_of(off)
    assert theirs.users[base] == tuple(sorted([vm.name, on.name]))
    for backend in (off, on):
        backend.host.close()


def test_a_vm_that_was_defined_anew_while_it_runs_needs_both_images(
    lab: Lab, vm: Backend, images: Images
) -> None:
    other = lab_backend(lab, running=False)
    put_disk_on(other, images.path("vda.qcow2"))
    lab.virsh("start", other.name, "--paused")
    images.make("later.qcow2", "vda.qcow2")
    put_disk_on(other, images.path("later.qcow2"))
    users = storage_of(vm).users
    assert users[images.path("vda.qcow2")] == (other.name,)
    assert users[images.path("later.qcow2")] == (other.name,)
    other.host.close()


def test_a_workbench_is_no_other_vm(lab: Lab, vm: Backend, images: Images) -> None:
    assert isinstance(vm.host, LibvirtHost)
    with LibvirtVm(vm.host, vm.uuid).workbench([("vda", images.chain("vda.qcow2"))]):
        assert storage_of(vm).users == {}


def test_images_that_libvirt_may_not_read_are_not_called_missing(
    lab: Lab, vm: Backend, images: Images
) -> None:
    lab.start_vm(vm.name)
    images.run("chmod", "0000", images.path("vda.qcow2"))
    storage = storage_of(vm)
    images.run("chmod", "0600", images.path("vda.qcow2"))
    assert images.path("vda.qcow2") not in storage.images
    assert storage.unreadable == {str(images.folder)}
    assert storage.fault(images.path("vda.qcow2")) == ""


def test_a_missing_image_of_a_vm_that_is_off_is_missing(vm: Backend, images: Images) -> None:
    images.run("rm", images.path("vda.qcow2"))
    assert "missing" in storage_of(vm).fault(images.path("vda.qcow2"))


def test_headers_cannot_lead_on_for_ever(
    vm: Backend, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_reading, "MOST_FOLDERS", 1)
    images.make("top.qcow2", "vda.qcow2")
    other = Images.beside(images.lab, f"{images.folder.name}/deeper")
    made = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"]
    images.run("mv", images.path("vda.qcow2"), other.path("base.qcow2"))
    images.run(*made, other.path("base.qcow2"), images.path("vda.qcow2"))
    storage = storage_of(vm)
    assert storage.unreadable == {str(other.folder)}
    assert storage.fault(images.path("vda.qcow2")) == ""  # unknown, not missing


def test_another_vm_that_vanishes_meanwhile_is_left_out(lab: Lab, vm: Backend) -> None:
    other = lab_backend(lab, running=False)
    original: Any = libvirt.virDomain.XMLDesc

    def vanishing(domain: Any, flags: int = 0) -> Any:
        if domain.name() == other.name and other.name in lab.vm_names:
            lab.destroy_vm(other.name)
        return original(domain, flags)

    with patch.object(libvirt.virDomain, "XMLDesc", vanishing):
        storage = storage_of(vm)
    assert storage.users == {}
    assert storage.images
    other.host.close()


def test_another_vm_that_ends_meanwhile_is_off(lab: Lab, vm: Backend) -> None:
    other = lab_backend(lab, running=False)
    lab.virsh("start", other.name, "--paused")
    original: Any = libvirt.virDomain.controlInfo

    def ending(domain: Any, flags: int = 0) -> Any:
        if domain.name() == other.name:
            lab.virsh("destroy", other.name)
        return original(domain, flags)

    with patch.object(libvirt.virDomain, "controlInfo", ending):
        storage = storage_of(vm)
    assert storage.users == {str(lab.active_disk(other.name)): (other.name,)}
    other.host.close()


def test_a_busy_vm_is_not_waited_for_and_its_open_images_are_known_all_the_same(
    lab: Lab, vm: Backend, images: Images
) -> None:
    images.make("top.qcow2", "vda.qcow2")
    other = lab_backend(lab, running=False)
    defined = lab.active_disk(other.name)
    put_disk_on(other, images.path("top.qcow2"))
    lab.virsh("start", other.name, "--paused")
    put_disk_on(other, str(defined))
    seen: list[int] = []
    original: Any = libvirt.virDomain.XMLDesc

    def watched(domain: Any, flags: int = 0) -> Any:
        if domain.name() == other.name:
            seen.append(flags)
        return original(domain, flags)

    busy = [libvirt.VIR_DOMAIN_CONTROL_JOB, 0, 0]
    with (
        patch.object(libvirt.virDomain, "XMLDesc", watched),
        patch.object(libvirt.virDomain, "controlInfo", lambda *_: busy),
    ):
        users = storage_of(vm).users
    assert seen == [libvirt.VIR_DOMAIN_XML_INACTIVE]
    for path in (images.path("top.qcow2"), images.path("vda.qcow2"), str(defined)):
        assert users[path] == (other.name,)
    other.host.close()


def test_the_numbers_are_libvirts() -> None:
    for flag in storage_reading.StatsFlag:
        assert flag == getattr(libvirt, f"VIR_CONNECT_GET_ALL_DOMAINS_STATS_{flag.name}")
    assert storage_reading.STATS_BLOCK == libvirt.VIR_DOMAIN_STATS_BLOCK


def test_a_vm_that_is_gone_is_not_found(lab: Lab, vm: Backend) -> None:
    lab.destroy_vm(vm.name)
    with pytest.raises(NotFound):
        storage_of(vm)


def test_a_driver_without_disks_has_no_storage() -> None:
    backend = driver_backend()
    assert storage_of(backend) == Storage()
    backend.host.close()
