"""VMs with thousands of snapshots, which exist as libvirt's records only: loaded with REDEFINE.

The documents are what libvirt 9.0 writes: of an internal snapshot with memory two domains inside,
of an external one the domain with the image that was frozen.
"""

import re
from xml.sax.saxutils import escape

import libvirt

from snapview.core.vm import Snapshot
from tests.lab import Lab
from tests.trees import random_tree


def make_recorded_vm(lab: Lab, name: str, size: int, *, external: bool = False) -> str:
    """Define a VM that is off, with a branching tree of ``size`` snapshots; return its UUID."""
    uuid = lab.make_vm(name, running=False)
    connection = libvirt.open(lab.uri)
    try:
        vm = connection.lookupByUUIDString(uuid)
        machine = vm.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
        tree = random_tree(size)
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
        for snapshot in tree:
            if snapshot.name == tree.current:
                flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT
            make = _external if external else _internal
            vm.snapshotCreateXML(make(snapshot, machine), flags)
    finally:
        connection.close()
    return uuid


def _internal(snapshot: Snapshot, machine: str) -> str:
    """Return the document of an internal snapshot with memory."""
    inactive = machine.replace("<domain ", "<inactiveDomain ", 1)
    inactive = inactive.replace("</domain>", "</inactiveDomain>")
    disks = "<memory snapshot='internal'/><disks><disk name='vda' snapshot='internal'/></disks>"
    return _document(snapshot, "running", disks, machine + inactive)


def _external(snapshot: Snapshot, machine: str) -> str:
    """Return the document of an external disk-only snapshot; its overlay is named after it."""
    base = re.search(r"<source file='(.*/vda)\.qcow2'", machine)
    assert base is not None
    if snapshot.parent is not None:
        machine = machine.replace(base[0], f"<source file='{base[1]}.{snapshot.parent}.qcow2'")
    disks = f"""<memory snapshot='no'/><disks><disk name='vda' snapshot='external' type='file'>
        <driver type='qcow2'/><source file='{base[1]}.{snapshot.name}.qcow2'/>
        </disk></disks>"""
    return _document(snapshot, "disk-snapshot", disks, machine)


def _document(snapshot: Snapshot, state: str, disks: str, machines: str) -> str:
    parent = f"<parent><name>{snapshot.parent}</name></parent>" if snapshot.parent else ""
    description = escape(f"{snapshot.title}\n{snapshot.description}\nNaïve, before & after <it>.")
    return f"""<domainsnapshot><name>{snapshot.name}</name>
        <description>{description}</description><state>{state}</state>{parent}
        <creationTime>{int(snapshot.created_at.timestamp())}</creationTime>
        {disks}{machines}</domainsnapshot>"""
