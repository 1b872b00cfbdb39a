"""snapview: browse, take, revert and prove the snapshots of libvirt/QEMU virtual machines."""

__version__ = "0.1.0"
