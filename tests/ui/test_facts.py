"""The words of the detail pane."""

from dataclasses import replace

import pytest

from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    Hardware,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotTree,
)
from snapview.ui.facts import (
    LIVE,
    Section,
    file_name,
    hardware_line,
    hardware_section,
    live_sections,
    memory_size,
    snapshot_sections,
    summary_sections,
)
from tests.trees import branching_tree, make_snapshot, make_vm

pytestmark = pytest.mark.usefixtures("qapp")


def said(sections: tuple[Section, ...]) -> dict[str, list[str]]:
    facts = [fact for section in sections for fact in section.facts]
    return {fact.key: [value.text for value in fact.values] for fact in facts}


def test_a_snapshot_names_its_relatives() -> None:
    vm = make_vm(tree=branching_tree())
    facts = said(snapshot_sections(vm, vm.tree["updated"]))
    assert facts["Parent"] == ["installed"]
    assert facts["Later states"] == ["try-nginx", "try-caddy"]
    assert facts["Memory"] == ["inside the image"]
    assert facts["vda"] == ["inside the image", "/images/web-vda.qcow2"]


def test_the_current_snapshot_leads_to_the_live_state() -> None:
    vm = make_vm(tree=branching_tree())
    values = snapshot_sections(vm, vm.tree["tuned"])[0].facts[3].values
    assert [value.snapshot for value in values] == [LIVE]


def test_missing_parents_are_named() -> None:
    vm = make_vm(tree=SnapshotTree([make_snapshot("a", "gone")]))
    assert said(snapshot_sections(vm, vm.tree["a"]))["Parent"] == ["“gone” is missing"]


def test_external_snapshots_name_both_files() -> None:
    disk = SnapshotDisk("vda", "external", DiskLayer("/i/base"), DiskLayer("/i/top"))
    external = Snapshot(
        "e",
        "title",
        kind=SnapshotKind.EXTERNAL,
        has_memory=True,
        memory_path="/i/e.mem",
        disks=(disk, SnapshotDisk("vdb", "no"), SnapshotDisk("vdc", "manual")),
    )
    vm = make_vm(tree=SnapshotTree([external]))
    facts = said(snapshot_sections(vm, external))
    assert facts["vda"] == ["/i/base", "what came after is in", "/i/top"]
    assert facts["vdc"] == ["unknown"]
    assert "vdb" not in facts
    assert facts["Memory"] == ["/i/e.mem"]
    assert facts["Name in virsh"] == ["e"]


def test_the_live_state_lists_its_layers() -> None:
    chain = DiskChain("vda", (DiskLayer("/i/top"), DiskLayer("/i/base")))
    facts = said(live_sections(make_vm(tree=branching_tree(), disks=(chain,))))
    assert facts["vda"] == ["/i/top", "/i/base"]
    assert facts["Comes from"] == ["tuned"]
    assert facts["Changed since"] == ["yes"]
    assert said(live_sections(make_vm()))["Comes from"] == ["no snapshot"]


def test_hardware_that_differs_is_marked() -> None:
    then = Hardware(vcpus=2, memory_bytes=1 << 31, machine="pc", interfaces=1)
    section = hardware_section(then, replace(then, vcpus=4, interfaces=2))
    facts = said((section,))
    assert facts["Processors"] == ["2 vCPU (now 4 vCPU)"]
    assert facts["Memory"] == ["2 GiB"]
    marked = {fact.key for fact in section.facts if fact.values[0].is_difference}
    assert marked == {"Processors", "Network"}


def test_unknown_is_never_zero() -> None:
    assert memory_size(None) == "unknown"
    assert memory_size(512 * 1024**2) == "512 MiB"
    assert memory_size(3 * 1024**3 // 2) == "1.5 GiB"
    assert said((hardware_section(Hardware(), Hardware()),))["Processors"] == ["unknown"]


def test_hardware_line_says_what_is_known() -> None:
    assert hardware_line(make_vm()) == "2 vCPU · 2 GiB memory · vda"
    assert hardware_line(replace(make_vm(), hardware=Hardware(), disks=())) == ""


def test_several_are_summed_up() -> None:
    vm = make_vm(tree=branching_tree())
    facts = said(summary_sections(vm, [snapshot.name for snapshot in vm.tree]))
    assert facts["Internal"] == ["8"]
    assert facts["With memory"] == ["8"]


def test_file_names() -> None:
    assert file_name("/a/b.qcow2") == "b.qcow2"
    assert file_name("pool/volume") == "volume"
    assert file_name("///") == "///"


def test_what_the_description_notes_is_a_fact() -> None:
    marked = "Words.\nConsistency: file systems frozen\nKept until 2020-01-31"
    vm = make_vm(tree=SnapshotTree([replace(make_snapshot("a"), description=marked)]))
    sections = snapshot_sections(vm, vm.tree["a"])
    facts = said(sections)
    assert facts["Consistency"] == ["File systems were frozen: clean"]
    assert facts["Retention"] == ["may go since 31 January 2020"]
    over = next(fact for fact in sections[0].facts if fact.key == "Retention")
    assert over.values[0].is_difference
    plain = said(snapshot_sections(make_vm(tree=branching_tree()), branching_tree()["tuned"]))
    assert {"Consistency", "Retention"}.isdisjoint(plain)
