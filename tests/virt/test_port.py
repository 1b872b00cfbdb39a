"""What the port asks of libvirt, by its own numbers, and what comes of it on both generations."""

from collections.abc import Iterator

import libvirt
import pytest

from snapview.core.errors import NotFound, SnapviewError
from snapview.core.operations import Afterwards
from snapview.core.vm import DiskLayer, RunState, SnapshotKind
from snapview.virt import port, reading, workbench
from snapview.virt.host import LibvirtHost
from snapview.virt.port import LibvirtVm
from snapview.virt.vm_port import VmPort
from snapview.virt.xml_edits import domain_in, with_images
from tests.backends import Backend, lab_backend
from tests.lab import Lab


def test_the_flags_are_libvirts() -> None:
    for flag in port.CreateFlag:
        assert flag == getattr(libvirt, f"VIR_DOMAIN_SNAPSHOT_CREATE_{flag.name}")
    for name, value in port.DomainFlag.__members__.items():
        assert value == getattr(libvirt, f"VIR_DOMAIN_{name}")
    assert port.XML_SECURE == libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE
    assert port.XML_SECURE == libvirt.VIR_DOMAIN_XML_SECURE
    assert port.REVERT_FLAGS == {
        Afterwards.AS_IT_WAS: 0,
        Afterwards.RUNNING: libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING,
        Afterwards.PAUSED: libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED,
    }
    for each in workbench.StartFlag:
        assert each == getattr(libvirt, f"VIR_DOMAIN_START_{each.name}")
    assert reading.CONTROL_OK == libvirt.VIR_DOMAIN_CONTROL_OK


# On real VMs; block jobs, files and the workbench have tests of their own


@pytest.fixture
def vm(lab: Lab) -> Iterator[Backend]:
    backend = lab_backend(lab)
    yield backend
    backend.host.close()


def port_of(backend: Backend) -> LibvirtVm:
    assert isinstance(backend.host, LibvirtHost)
    return LibvirtVm(backend.host, backend.uuid)


def take_three(vm: Backend) -> None:
    assert vm.lab is not None
    for name in ("one", "two", "three"):
        vm.lab.virsh("snapshot-create-as", vm.name, name, "--disk-only")


def test_it_is_a_port(vm: Backend) -> None:
    port: VmPort = port_of(vm)
    assert port.uri == vm.host.uri
    assert port.read().uuid == vm.uuid
    assert str(vm.lab and vm.lab.active_disk(vm.name)) in port.read_storage().images


@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_a_forgotten_snapshot_leaves_its_children_to_its_parent_and_every_file(
    vm: Backend, name: str
) -> None:
    assert vm.lab is not None
    take_three(vm)
    before = sorted(vm.lab.vm_folder(vm.name).iterdir())
    port_of(vm).forget_snapshot(name)
    assert sorted(vm.lab.vm_folder(vm.name).iterdir()) == before
    left = [each for each in ("one", "two", "three") if each != name]
    assert vm.other.parents() == {left[0]: None, left[1]: left[0]}
    assert vm.other.current() == left[1]
    assert port_of(vm).snapshot_names() == set(left)
    with pytest.raises(NotFound):
        port_of(vm).forget_snapshot(name)


def test_a_record_is_replaced_and_only_on_demand_the_vm_stands_on_it(vm: Backend) -> None:
    take_three(vm)
    port = port_of(vm)
    text = port.snapshot_xml("one").replace("</name>", "</name><description>x</description>", 1)
    port.redefine_snapshot(text)
    assert vm.other.current() == "three"
    assert vm.vm().tree["one"].description == "x"
    port.redefine_snapshot(port.snapshot_xml("one"), current=True)
    assert vm.other.current() == "one"
    assert vm.other.parents() == {"one": None, "two": "one", "three": "two"}


def test_the_definition_is_read_and_replaced_whole(vm: Backend) -> None:
    port = port_of(vm)
    text = port.definition()
    assert "id='" not in text.partition(">")[0]
    port.define(text.replace("</name>", "</name><title>new</title>", 1))
    assert "<title>new</title>" in port.definition()
    port.define(text)
    assert port.definition() == text


@pytest.mark.parametrize("paused", [True, False])
def test_a_vm_is_started_once_and_stopped_once(vm: Backend, paused: bool) -> None:
    port = port_of(vm)
    port.stop()
    port.stop()
    port.start(paused=paused)
    port.start(paused=not paused)
    assert vm.vm().run_state is (RunState.PAUSED if paused else RunState.RUNNING)


@pytest.mark.parametrize("paused", [True, False])
def test_memory_comes_back_from_its_file_with_disks_on_other_images(
    vm: Backend, paused: bool
) -> None:
    assert vm.lab is not None
    lab, port = vm.lab, port_of(vm)
    at = lab.wait_for_count(vm.name, 2).count
    name = vm.take("mem", kind=SnapshotKind.EXTERNAL, memory=True)
    snapshot = vm.vm().tree[name]
    later = lab.wait_for_count(vm.name, at + 3).count
    frozen, memory = snapshot.disks[0].frozen, snapshot.memory_path
    assert frozen is not None
    assert memory is not None
    port.stop()
    again = f"{frozen.path}.again"
    port.make_overlay(again, frozen)
    xml = domain_in(port.snapshot_xml(name), is_live=True)
    xml = with_images(xml, {"vda": DiskLayer(again, "qcow2")})
    port.restore_memory(memory, xml, paused=paused)
    assert port.chain("vda") == (again, frozen.path)
    if paused:
        assert vm.vm().run_state is RunState.PAUSED
        lab.virsh("resume", vm.name)
    back = lab.counter_from_serial(vm.name)
    assert at <= back.count < later
    assert back.boots == 1
    port.stop()
    with pytest.raises(SnapviewError):
        port.restore_memory(f"{memory}.gone", xml, paused=False)
