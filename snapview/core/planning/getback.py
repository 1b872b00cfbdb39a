"""Can I get back? Whether a snapshot can later be reverted to and removed on its host."""

from snapview.core.operations import CreateSnapshot
from snapview.core.planning.plans import GetBack
from snapview.core.vm import SnapshotKind, Vm


def get_back(vm: Vm, operation: CreateSnapshot) -> GetBack:
    """Say whether the planned snapshot can later be reverted to and removed on this host."""
    host = vm.capabilities
    if operation.kind is SnapshotKind.INTERNAL:
        if host.libvirt_version[:2] == (11, 2):  # trap 9
            text = f"{host.libvirt_text} cannot revert to internal snapshots; 11.4 can again."
            return GetBack(False, text, True, f"Yes, by {host.libvirt_text} itself.")
        text = f"Yes, by {host.libvirt_text} itself."
        return GetBack(True, text, True, text)
    revert, revert_text = _reverts(vm, operation)
    if host.libvirt_version >= (9, 0, 0):
        return GetBack(revert, revert_text, True, "Yes, also while the VM runs.")
    remove_text = f"{host.libvirt_text} cannot delete external snapshots; 9.0 and newer can."
    return GetBack(revert, revert_text, False, remove_text)


def _reverts(vm: Vm, operation: CreateSnapshot) -> tuple[bool, str]:
    """Say whether an external snapshot can be reverted to, as a table of what forbids it."""
    host = vm.capabilities
    if not host.reverts_external:
        return False, f"{host.libvirt_text} cannot revert to external snapshots; 9.9 and newer can."
    is_disk_only = vm.run_state.is_active and not operation.memory
    if is_disk_only and host.libvirt_version[:2] == (10, 0):  # trap 12
        return False, f"{host.libvirt_text} cannot revert to a disk-only snapshot of a running VM."
    if any(disk.active and disk.active.type != "file" for disk in vm.disks):
        return False, "libvirt cannot revert while a drive of the VM is not an image file."
    return True, f"Yes, by {host.libvirt_text} itself."
