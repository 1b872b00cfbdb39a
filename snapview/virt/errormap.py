"""libvirt's error codes as sentences with advice. Pure: takes numbers, knows no libvirt.

Decided by code, never by text, save for the two catch-all codes, in which QEMU's own words are
all there is.
"""

import errno
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from snapview.core.errors import (
    Conflict,
    ConnectionLost,
    HostError,
    ImageNotWritable,
    NoSpace,
    NotFound,
    NotInstalled,
    NotPermitted,
    RevertRisky,
    SnapviewError,
    Unsupported,
)

# virterror.h
INTERNAL, NO_MEMORY, NO_SUPPORT, NO_CONNECT, INVALID_ARG = 1, 2, 3, 5, 8
FAILED, RPC, SYSTEM, NO_DOMAIN, AUTH, INVALID, UNSUPPORTED_CONFIG = 9, 39, 38, 42, 45, 55, 67
TIMEOUT, NO_SNAPSHOT, AUTH_CANCELLED, REVERT_RISKY, ABORTED = 68, 72, 79, 77, 78
COPY_ACTIVE, UNSUPPORTED, ACCESS_DENIED = 83, 84, 88
NO_POOL, NO_VOLUME, VOLUME_EXISTS = 49, 50, 90
NO_CHECKPOINT, NO_BACKUP, BAD_CHECKPOINT = 103, 104, 109
NO_AGENT, AGENT_UNSYNCED, AGENT_TIMEOUT, AGENT_COMMAND = 86, 97, 112, 113

# https://libvirt.org/drivers.html
_DRIVERS = {"qemu", "test", "lxc", "xen", "ch", "vbox", "vz", "bhyve", "esx", "gsx", "vpx"}
_DRIVERS |= {"hyperv", "vmwareplayer", "vmwarews", "vmwarefusion", "openvz"}

GROUP_ADVICE = (
    "Add your account to the libvirt group (sudo usermod -aG libvirt $USER), log out and in again."
)


class Translated(Protocol):
    """Turns libvirt's errors into ours."""

    def __call__(self, doing: str = "") -> AbstractContextManager[None]:
        """Say what is being done, for the sentence."""
        ...


@dataclass(frozen=True, slots=True)
class LibvirtFault:
    """What libvirt reported: its code, its words, and the system's error number if any."""

    code: int
    message: str
    system_errno: int = 0


class MissingFile(HostError):
    """A file or folder that the host was to use does not exist."""


_SIMPLE: dict[int, tuple[type[SnapviewError], str, str]] = {
    NO_DOMAIN: (NotFound, "The VM does not exist any more.", "Refresh the list."),
    NO_SNAPSHOT: (NotFound, "The snapshot does not exist any more.", "Refresh the tree."),
    NO_SUPPORT: (Unsupported, "This host cannot do that.", "Another kind of snapshot may work."),
    UNSUPPORTED_CONFIG: (
        Unsupported,
        "This host cannot do that for this VM.",
        "Another kind of snapshot may work.",
    ),
    UNSUPPORTED: (
        Unsupported,
        "This host cannot do that for this VM.",
        "Another kind of snapshot may work.",
    ),
    INVALID_ARG: (
        Unsupported,
        "This host does not accept that.",
        "Another kind of snapshot may work.",
    ),
    INVALID: (Conflict, "The VM's state does not allow that now.", "Refresh and look at the VM."),
    TIMEOUT: (
        Conflict,
        "The VM is busy with another job.",
        "Wait until that job has ended, then try again.",
    ),
    COPY_ACTIVE: (
        Conflict,
        "A disk of the VM is busy with a block job, or that job is not ready yet.",
        "Wait until it has ended.",
    ),
    NO_POOL: (NotFound, "The host does not know this folder.", "Refresh and look at the VM."),
    NO_VOLUME: (NotFound, "The file does not exist any more.", "Refresh and look at the VM."),
    VOLUME_EXISTS: (Conflict, "There is such a file already.", "Move it away, then try again."),
    NO_CHECKPOINT: (NotFound, "The checkpoint does not exist any more.", "Refresh the tree."),
    NO_BACKUP: (NotFound, "No backup is under way.", "Refresh and look at the VM."),
    BAD_CHECKPOINT: (
        HostError,
        "The history of the VM's incremental backups is broken.",
        "Let your backup program make a full backup.",
    ),
    REVERT_RISKY: (
        RevertRisky,
        "The revert would throw away the VM's saved state.",
        "Start the VM first, so that its saved state lives on.",
    ),
    ABORTED: (Conflict, "The job was cancelled.", ""),
    RPC: (
        ConnectionLost,
        "The connection to libvirt was lost; the host may still be working.",
        "snapview connects again by itself and reads the VM anew.",
    ),
    AUTH: (NotPermitted, "libvirt did not let this account in.", GROUP_ADVICE),
    AUTH_CANCELLED: (NotPermitted, "The permission was not given.", GROUP_ADVICE),
    ACCESS_DENIED: (NotPermitted, "This account may not do that.", GROUP_ADVICE),
    NO_AGENT: (
        Conflict,
        "The guest agent does not answer.",
        "Start qemu-guest-agent in the guest, or leave the freezing out.",
    ),
    AGENT_UNSYNCED: (Conflict, "The guest agent is out of step.", "Restart it in the guest."),
    AGENT_COMMAND: (Conflict, "The guest agent failed.", "Check that the guest is not frozen."),
    AGENT_TIMEOUT: (
        Conflict,
        "The guest agent did not answer in time.",
        "Check that the guest is not frozen.",
    ),
}


def to_error(fault: LibvirtFault, doing: str = "") -> SnapviewError:
    """Turn a fault into an error with a sentence.

    Args:
        fault: what libvirt reported.
        doing: what was under way, as ``take the snapshot``.
    """
    prefix = f"Could not {doing}. " if doing else ""
    text = fault.message
    if "No space left on device" in text or fault.system_errno == errno.ENOSPC:
        sentence = f"{prefix}The file system of the images is full."
        advice = "Free some space, then try again. Nothing of the VM was lost."
        return NoSpace(sentence, advice=advice, detail=text)
    if "Read-only file system" in text or fault.system_errno == errno.EROFS:
        sentence = f"{prefix}The file system of the images is read-only."
        advice = (
            "Look why (dmesg tells of faults of a disk), and mount it so that it can be written."
        )
        return HostError(sentence, advice=advice, detail=text)
    if fault.code == SYSTEM and fault.system_errno == errno.ENOENT:
        sentence = f"{prefix}A file or folder that is needed is missing."
        return MissingFile(sentence, advice="Look where the images of the VM are.", detail=text)
    is_taken = "already in active block job" in text  # which libvirt calls unsupported
    known = _SIMPLE.get(COPY_ACTIVE if is_taken else fault.code)
    if known is not None:
        kind, sentence, advice = known
        return kind(prefix + sentence, advice=advice, detail=text)
    return _by_words(prefix, text)


def _by_words(prefix: str, text: str) -> SnapviewError:
    """Turn a catch-all code into a sentence, with QEMU's words where they say the cause."""
    if re.search('Failed to get .*"[a-z ]+" lock', text):
        sentence = f"{prefix}Another program has one of the images open."
        advice = "Stop that program (a backup, a second VM), then try again."
        return Conflict(sentence, advice=advice, detail=text)
    if _is_unwritable_image(text):
        sentence = f"{prefix}The host's QEMU may not write to one of the images."
        advice = "AppArmor or SELinux forbids it on many hosts. Merging upwards avoids it."
        return ImageNotWritable(sentence, advice=advice, detail=text)
    if "Permission denied" in text:
        sentence = f"{prefix}The host's QEMU may not use one of the files."
        advice = "Look at the owner of the images and at the host's AppArmor or SELinux messages."
    elif "writing VM state" in text or _is_failed_save(text):
        # QEMU says "Input/output error" even of a full disk.
        sentence = f"{prefix}The memory could not be written into the image."
        advice = "Look whether the file system of the images is full, then try again."
    elif "paused due to previous migration" in text:
        sentence = f"{prefix}QEMU saves the memory of a paused VM only once."
        advice = "Let the VM run for a moment first, or leave the memory out."
    elif "Invalid job ID" in text:
        sentence = f"{prefix}This host does not accept the snapshot's name."
        advice = "Take it with a name of plain letters and digits."
    else:
        sentence = f"{prefix}libvirt said: {' '.join(text.split()).rstrip('.')}."
        advice = "The VM was read anew, so what is shown is what is there."
    return HostError(sentence, advice=advice, detail=text)


def to_connect_error(fault: LibvirtFault, uri: str, *, is_installed: bool) -> SnapviewError:
    """Turn a failure to connect into an error.

    Args:
        fault: what libvirt reported.
        uri: where to.
        is_installed: whether this machine has a libvirt daemon at all.
    """
    denied = fault.system_errno in {errno.EACCES, errno.EPERM}
    if denied or fault.code in {AUTH, AUTH_CANCELLED, ACCESS_DENIED}:
        sentence = f"libvirt is there, but this account may not use {uri}."
        return NotPermitted(sentence, advice=GROUP_ADVICE, detail=fault.message)
    if _is_no_driver(uri) or (not fault.system_errno and _is_bad_address(fault)):
        sentence = f"{uri} is not an address that libvirt understands."
        advice = "Typical ones: qemu:///system, qemu:///session, qemu+ssh://user@host/system"
        return ConnectionLost(sentence, advice=advice, detail=fault.message)
    if _is_remote(uri):
        sentence = f"The host behind {uri} cannot be reached."
        advice = "Check the host's name and that ssh gets there without a password (ssh-agent)."
        return ConnectionLost(sentence, advice=advice, detail=fault.message)
    if not is_installed:
        sentence = "There is no libvirt on this machine."
        advice = "Install it: sudo apt install libvirt-daemon-system qemu-system-x86"
        return NotInstalled(sentence, advice=advice, detail=fault.message)
    sentence = f"The libvirt daemon behind {uri} does not answer."
    if "socket=" in uri:
        advice = "Start the program it belongs to; for the demo lab: snapview demo"
    elif "///session" in uri:
        advice = "libvirt starts it by itself; try again, and look at the messages of libvirtd."
    else:
        advice = "Start it: sudo systemctl start libvirtd (or virtqemud.socket)"
    return ConnectionLost(sentence, advice=advice, detail=fault.message)


def _is_failed_save(text: str) -> bool:
    """Whether QEMU's job that writes an internal snapshot could not write (libvirt 10.9 on)."""
    return "snapshot-save" in text and "Input/output error" in text


def _is_unwritable_image(text: str) -> bool:
    """Whether QEMU could not open for writing what a block job has to write to (trap 5)."""
    is_job = re.search("block-?(dev-reopen|-commit|-stream|dev-mirror)", text) is not None
    return is_job and ("Permission denied" in text or "read-only" in text)


def _is_no_driver(uri: str) -> bool:
    """Whether the address names no driver of libvirt, which libvirt itself says only of some."""
    scheme, separator, _ = uri.partition("://")  # without one it may be an alias of libvirt.conf
    return bool(separator) and scheme.partition("+")[0] not in _DRIVERS


def _is_bad_address(fault: LibvirtFault) -> bool:
    if fault.code == INTERNAL:  # a catch-all, so libvirt's words decide
        return "URI" in fault.message
    return fault.code in {NO_CONNECT, NO_SUPPORT, INVALID_ARG}


def _is_remote(uri: str) -> bool:
    """Whether an address names another host, or a way to one."""
    scheme, separator, rest = uri.partition("://")
    has_host = bool(separator) and not rest.startswith("/")
    return has_host or "+ssh" in scheme or "+libssh" in scheme
