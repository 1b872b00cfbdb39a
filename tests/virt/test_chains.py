"""Chains that libvirt has only half written down; ``test_xml`` has those of real documents."""

from dataclasses import replace

from snapview.core.vm import (
    DiskChain,
    DiskLayer,
    Snapshot,
    SnapshotDisk,
    SnapshotKind,
    SnapshotTree,
)
from snapview.virt.chains import complete_chain


def test_after_libvirt_forgot_the_reverts_overlay_its_base_is_known_from_the_tree() -> None:
    """As seen on 11.3: a snapshot taken on the overlay wipes ``<revertDisks>``."""
    base, gone, overlay, top = (DiskLayer(f"/images/{n}", "qcow2") for n in ("b", "g", "r", "t"))
    one = external("one", None, base, gone)
    chain = DiskChain("vda", (top,), defined=1)
    two = external("two", "one", overlay, top)
    assert complete_chain(chain, SnapshotTree([one, two], "two")).layers == (top, overlay, base)
    on_it = DiskChain("vda", (overlay,), defined=1)
    assert complete_chain(on_it, SnapshotTree([one], "one")).layers == (overlay, base)


def external(name: str, parent: str | None, frozen: DiskLayer, overlay: DiskLayer) -> Snapshot:
    disks = (SnapshotDisk("vda", "external", frozen, overlay),)
    return Snapshot(name, name, parent=parent, kind=SnapshotKind.EXTERNAL, disks=disks)


def test_records_that_go_round_in_a_circle_end() -> None:
    one, two = DiskLayer("/1"), DiskLayer("/2")
    tree = SnapshotTree([external("a", None, one, two), external("b", None, two, one)])
    assert complete_chain(DiskChain("vda", (one,)), tree).layers == (one, two)


def test_a_chain_that_libvirt_has_walked_is_left_as_it_is() -> None:
    base, overlay = DiskLayer("/images/b"), DiskLayer("/images/o")
    tree = SnapshotTree([external("one", None, base, overlay)], "one")
    walked = DiskChain("vda", (overlay,), is_complete=True)
    assert complete_chain(walked, tree) is walked
    empty = DiskChain("vda", ())
    assert complete_chain(empty, tree) is empty
    assert complete_chain(replace(walked, is_complete=False), tree).layers == (overlay, base)
    elsewhere = DiskChain("vdb", (overlay,))
    assert complete_chain(elsewhere, tree).layers == (overlay,)


def test_internal_snapshots_say_nothing_of_chains() -> None:
    image, other = DiskLayer("/images/a"), DiskLayer("/images/b")
    inside = Snapshot("one", disks=(SnapshotDisk("vda", "internal", image),))
    chain = DiskChain("vda", (other,))
    assert complete_chain(chain, SnapshotTree([inside], "one")).layers == (other,)
