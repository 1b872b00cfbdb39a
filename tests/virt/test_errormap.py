"""Each of libvirt's codes as a type, a whole sentence and advice."""

import errno
import re

import libvirt
import pytest

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
from snapview.virt import errormap
from snapview.virt.errormap import LibvirtFault, to_connect_error, to_error

CODES = [
    (errormap.INTERNAL, HostError),
    (errormap.NO_SUPPORT, Unsupported),
    (errormap.INVALID_ARG, Unsupported),
    (errormap.UNSUPPORTED, Unsupported),
    (errormap.UNSUPPORTED_CONFIG, Unsupported),
    (errormap.FAILED, HostError),
    (errormap.SYSTEM, HostError),
    (errormap.INVALID, Conflict),
    (errormap.TIMEOUT, Conflict),
    (errormap.NO_SNAPSHOT, NotFound),
    (errormap.NO_DOMAIN, NotFound),
    (errormap.REVERT_RISKY, RevertRisky),
    (errormap.ABORTED, Conflict),
    (errormap.COPY_ACTIVE, Conflict),
    (errormap.NO_AGENT, Conflict),
    (errormap.AGENT_UNSYNCED, Conflict),
    (errormap.AGENT_TIMEOUT, Conflict),
    (errormap.AGENT_COMMAND, Conflict),
    (errormap.RPC, ConnectionLost),
    (errormap.ACCESS_DENIED, NotPermitted),
    (errormap.AUTH, NotPermitted),
    (errormap.AUTH_CANCELLED, NotPermitted),
    (errormap.NO_POOL, NotFound),
    (errormap.NO_VOLUME, NotFound),
    (errormap.VOLUME_EXISTS, Conflict),
    (errormap.NO_CHECKPOINT, NotFound),
    (errormap.NO_BACKUP, NotFound),
    (errormap.BAD_CHECKPOINT, HostError),
    (9999, HostError),
]

CONSTANTS = {
    "INTERNAL": "INTERNAL_ERROR",
    "NO_SUPPORT": "NO_SUPPORT",
    "NO_CONNECT": "NO_CONNECT",
    "INVALID_ARG": "INVALID_ARG",
    "FAILED": "OPERATION_FAILED",
    "RPC": "RPC",
    "SYSTEM": "SYSTEM_ERROR",
    "NO_DOMAIN": "NO_DOMAIN",
    "AUTH": "AUTH_FAILED",
    "INVALID": "OPERATION_INVALID",
    "UNSUPPORTED_CONFIG": "CONFIG_UNSUPPORTED",
    "TIMEOUT": "OPERATION_TIMEOUT",
    "NO_SNAPSHOT": "NO_DOMAIN_SNAPSHOT",
    "AUTH_CANCELLED": "AUTH_CANCELLED",
    "REVERT_RISKY": "SNAPSHOT_REVERT_RISKY",
    "ABORTED": "OPERATION_ABORTED",
    "COPY_ACTIVE": "BLOCK_COPY_ACTIVE",
    "UNSUPPORTED": "OPERATION_UNSUPPORTED",
    "ACCESS_DENIED": "ACCESS_DENIED",
    "NO_POOL": "NO_STORAGE_POOL",
    "NO_VOLUME": "NO_STORAGE_VOL",
    "VOLUME_EXISTS": "STORAGE_VOL_EXIST",
    "NO_CHECKPOINT": "NO_DOMAIN_CHECKPOINT",
    "NO_BACKUP": "NO_DOMAIN_BACKUP",
    "BAD_CHECKPOINT": "CHECKPOINT_INCONSISTENT",
    "NO_AGENT": "AGENT_UNRESPONSIVE",
    "AGENT_UNSYNCED": "AGENT_UNSYNCED",
    "AGENT_TIMEOUT": "AGENT_COMMAND_TIMEOUT",
    "AGENT_COMMAND": "AGENT_COMMAND_FAILED",
}
NEWER_CODES = {"AGENT_COMMAND_TIMEOUT": 112, "AGENT_COMMAND_FAILED": 113}  # from libvirt 11.2

SENTENCE = re.compile(r"([A-Z“]|libvirt |snapview ).*\.", re.DOTALL)


@pytest.mark.parametrize("name", CONSTANTS)
def test_the_numbers_are_libvirts(name: str) -> None:
    theirs = CONSTANTS[name]
    expected = getattr(libvirt, f"VIR_ERR_{theirs}", NEWER_CODES.get(theirs))
    assert getattr(errormap, name) == expected


@pytest.mark.parametrize(("code", "kind"), CODES)
@pytest.mark.parametrize("doing", ["", "take the snapshot"])
def test_a_code_gives_its_type_a_sentence_and_advice(
    code: int, kind: type[SnapviewError], doing: str
) -> None:
    error = to_error(LibvirtFault(code, "word for\nword"), doing)
    assert type(error) is kind
    assert SENTENCE.fullmatch(error.message)
    assert "\n" not in error.message
    assert error.message.startswith("Could not take the snapshot. ") is bool(doing)
    assert error.detail == "word for\nword"
    assert SENTENCE.fullmatch(error.advice) or code == errormap.ABORTED


def test_only_one_code_offers_to_force_a_revert() -> None:
    forced = [code for code, kind in CODES if issubclass(kind, RevertRisky)]
    assert forced == [libvirt.VIR_ERR_SNAPSHOT_REVERT_RISKY]


@pytest.mark.parametrize(
    "fault",
    [
        LibvirtFault(errormap.SYSTEM, "cannot write data to file", errno.ENOSPC),
        LibvirtFault(errormap.SYSTEM, "Could not write: No space left on device"),
        LibvirtFault(errormap.INTERNAL, "unable to execute: No space left on device"),
        LibvirtFault(errormap.FAILED, "qemu-img failed: No space left on device"),
    ],
)
def test_a_full_disk_is_one_whoever_met_it(fault: LibvirtFault) -> None:
    assert type(to_error(fault)) is NoSpace


@pytest.mark.parametrize("code", [errormap.INTERNAL, errormap.FAILED, errormap.SYSTEM])
@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Could not open '/a': Permission denied", "may not use"),
        ("Invalid job ID 'a b'", "name"),
        ("Error while writing VM state: Input/output error", "memory"),
        ("something  else\n", "libvirt said: something else"),
    ],
)
def test_of_a_catch_all_code_qemus_words_say_the_cause(code: int, text: str, word: str) -> None:
    error = to_error(LibvirtFault(code, text, 5 if code == errormap.SYSTEM else 0))
    assert type(error) is HostError
    assert word in error.message
    assert error.detail == text


COMMAND = "internal error: unable to execute QEMU command"


@pytest.mark.parametrize(
    "text",
    [
        f"{COMMAND} 'blockdev-reopen': Could not reopen file: Permission denied",
        f"{COMMAND} 'block-commit': Could not reopen file: Permission denied",
        f"{COMMAND} 'block-commit': Block node is read-only",
        f"{COMMAND} 'block-stream': Block node is read-only",
    ],
)
def test_an_image_that_qemu_may_not_write_to_has_a_way_out(text: str) -> None:
    error = to_error(LibvirtFault(errormap.INTERNAL, text), "merge the images")
    assert type(error) is ImageNotWritable
    assert "upwards" in error.advice


@pytest.mark.parametrize("lock", ['"write"', 'shared "write"', '"consistent read"'])
def test_an_image_that_somebody_has_open_is_a_conflict(lock: str) -> None:
    text = f"{COMMAND} 'blockdev-add': Failed to get {lock} lock\nIs another process using it?"
    error = to_error(LibvirtFault(errormap.INTERNAL, text))
    assert type(error) is Conflict
    assert "Another program" in error.message


def test_a_missing_file_is_told_from_other_failures_of_the_system() -> None:
    missing = LibvirtFault(errormap.SYSTEM, "cannot open directory", errno.ENOENT)
    assert type(to_error(missing)) is errormap.MissingFile
    denied = LibvirtFault(errormap.SYSTEM, "cannot open directory", errno.EACCES)
    assert type(to_error(denied)) is HostError


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errormap.AGENT_TIMEOUT, "in time"),
        (errormap.AGENT_COMMAND, "failed"),
        (errormap.NO_AGENT, "does not answer"),
        (errormap.AGENT_UNSYNCED, "out of step"),
    ],
)
def test_the_agents_ways_to_fail_are_told_apart(code: int, words: str) -> None:
    assert words in to_error(LibvirtFault(code, "")).message


REFUSED = LibvirtFault(errormap.SYSTEM, "unable to connect: Connection refused", errno.ECONNREFUSED)
MISSING = LibvirtFault(errormap.SYSTEM, "Failed to connect socket", errno.ENOENT)
DENIED = LibvirtFault(errormap.SYSTEM, "Failed to connect socket", errno.EACCES)
SSH = LibvirtFault(errormap.SYSTEM, "Cannot recv data: ssh: refused", errno.ECONNRESET)
NO_PERMISSION = LibvirtFault(errormap.AUTH, "authentication failed: no agent available")
NO_DRIVER = LibvirtFault(errormap.NO_CONNECT, "no connection driver available for x:///")
BAD_PATH = LibvirtFault(errormap.INTERNAL, "unexpected qemu URI path '/foo', try qemu:///session")
NO_CA = LibvirtFault(errormap.SYSTEM, "Cannot read CA certificate", errno.ENOENT)


@pytest.mark.parametrize(
    ("fault", "uri", "is_installed", "kind", "words"),
    [
        (MISSING, "qemu:///system", False, NotInstalled, "no libvirt on this machine"),
        (MISSING, "qemu:///system", True, ConnectionLost, "does not answer"),
        (REFUSED, "qemu:///system", True, ConnectionLost, "does not answer"),
        (DENIED, "qemu:///system", True, NotPermitted, "may not use"),
        (NO_PERMISSION, "qemu:///system", True, NotPermitted, "may not use"),
        (DENIED, "qemu:///system", False, NotPermitted, "may not use"),
        (SSH, "qemu+ssh://host/system", False, ConnectionLost, "cannot be reached"),
        (SSH, "qemu+ssh:///system", False, ConnectionLost, "cannot be reached"),
        (SSH, "qemu+libssh2://host/system", False, ConnectionLost, "cannot be reached"),
        (REFUSED, "qemu+tcp://host/system", False, ConnectionLost, "cannot be reached"),
        (NO_CA, "qemu://host/system", False, ConnectionLost, "cannot be reached"),
        (MISSING, "qemu+unix:///system", True, ConnectionLost, "does not answer"),
        (NO_DRIVER, "x:///", False, ConnectionLost, "is not an address"),
        (NO_DRIVER, "+ssh", False, ConnectionLost, "is not an address"),
        (BAD_PATH, "qemu:///foo", True, ConnectionLost, "is not an address"),
    ],
)
def test_a_failure_to_connect_says_where_the_trouble_is(
    fault: LibvirtFault, uri: str, is_installed: bool, kind: type[SnapviewError], words: str
) -> None:
    error = to_connect_error(fault, uri, is_installed=is_installed)
    assert type(error) is kind
    assert words in error.message
    assert error.message.endswith(".")
    assert error.advice
    assert error.detail == fault.message


@pytest.mark.parametrize("uri", ["nonsense:///", "nonsense+ssh://host/system"])
def test_an_address_without_a_driver_is_no_dead_daemon(uri: str) -> None:
    missing = LibvirtFault(38, "Failed to connect socket", errno.ENOENT)
    error = to_connect_error(missing, uri, is_installed=True)
    assert "not an address" in error.message
    assert "qemu:///system" in error.advice


@pytest.mark.parametrize(
    "text",
    [
        "Error -5 while writing VM state",  # libvirt 9.0 with QEMU 7.2
        "operation failed: snapshot-save job failed: ram_save_setup failed: Input/output error",
    ],
)
def test_memory_that_cannot_be_written_points_to_the_disk(text: str) -> None:
    error = to_error(LibvirtFault(9, text), "take the snapshot")
    assert "full" in error.advice
    assert "memory could not be written" in error.message


@pytest.mark.parametrize(
    ("code", "number", "text"),
    [
        (1, 0, "unable to execute QEMU command 'block-commit': x: Read-only file system"),
        (38, 30, "Failed to create file '/x'"),
    ],
)
def test_a_file_system_that_is_read_only_is_called_so(code: int, number: int, text: str) -> None:
    error = to_error(LibvirtFault(code, text, number), "merge the images")
    assert (
        error.message == "Could not merge the images. The file system of the images is read-only."
    )
    assert "mount it" in error.advice


def test_a_block_job_of_somebody_else_is_no_want_of_the_host() -> None:
    error = to_error(LibvirtFault(84, "disk 'vda' already in active block job"), "merge the images")
    assert isinstance(error, Conflict)
    assert "block job" in error.message
