"""Real VMs for tests, made and looked at with virsh and qemu-img only.

Nothing here uses snapview's own libvirt code, so that it can serve as the second opinion on it.
The guest is snapview's demo guest; ``snapview/demo/guest.S`` says what its counters mean.
"""

import itertools
import re
import shutil
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from snapview.demo import daemon as daemon_module
from snapview.demo.daemon import PrivateDaemon
from tests.journals import new_journal

GUEST = Path(daemon_module.__file__).with_name("guest.bin")
READY = "snapview demo guest ready"
MAGIC = b"SNAPVIEW"
SECTOR_BYTES = 512
COUNTER_SECTOR = 2048
DISK_MIB = 8

_LINE = re.compile(r"^count (\d+) boots (\d+)\r$", re.MULTILINE)
_PATIENCE_SECONDS = 40.0  # a guest needs half a second; a loaded machine may need much longer
_POLL_SECONDS = 0.02

_DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
{disks}
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'><source path={serial}/></serial>
    <video><model type='vga'/></video>
{extra_devices}
  </devices>
</domain>
"""
_DISK = """\
    <disk type='file' device='disk'>
      <driver name='qemu' type={format}/>
      <source file={file}/>
      <target dev='{target}' bus='virtio'/>
    </disk>"""


@dataclass(frozen=True, slots=True)
class Counters:
    """What the guest counted: loop turns since its cold boot (one a second), and cold boots."""

    count: int
    boots: int


class Lab:
    """A private libvirt daemon with VMs that are ready in half a second.

    Everything of a VM, its disks, overlays that libvirt names by itself and its serial log, lies
    in ``images/NAME`` of the lab's folder.
    """

    folder_mode = "0700"

    def __init__(self, daemon: PrivateDaemon) -> None:
        self.daemon = daemon
        self.journal = new_journal()
        self.vm_names: list[str] = []
        self._numbers = itertools.count(1)
        self._guest_disk = daemon.images / "guest.raw"
        self._as_account("tee", str(self._guest_disk), stdin=GUEST.read_bytes())
        self._as_account("truncate", f"--size={DISK_MIB}M", str(self._guest_disk))

    @property
    def uri(self) -> str:
        return self.daemon.uri

    @property
    def folder(self) -> Path:
        return self.daemon.folder

    def virsh(self, *arguments: str, check: bool = True) -> str:
        """Run virsh and return what it printed; with ``check=False`` also when it failed."""
        done = subprocess.run(
            ["virsh", "--quiet", "--connect", self.uri, *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(self.folder / "home")},
            timeout=180,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"virsh {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout if done.returncode == 0 else done.stdout + done.stderr

    def unique_name(self, prefix: str = "vm") -> str:
        return f"{prefix}-{next(self._numbers)}"

    def make_vm(
        self,
        name: str,
        *,
        running: bool = True,
        disks: int = 1,
        disk_format: str = "qcow2",
        memory_mib: int = 16,
        extra_devices: str = "",
    ) -> str:
        """Define a VM, start it and wait for its ready line; return its UUID.

        The first disk, vda, boots the guest; the others are empty. ``extra_devices`` is XML.
        """
        self._as_account("install", "-d", "-m", self.folder_mode, str(self.vm_folder(name)))
        targets = [f"vd{chr(ord('a') + index)}" for index in range(disks)]
        files = [self.vm_folder(name) / f"{target}.{disk_format}" for target in targets]
        for file in files:
            self._make_disk(file, disk_format, bootable=file == files[0])
        xml = _DOMAIN.format(
            name=escape(name),
            memory_mib=memory_mib,
            serial=quoteattr(str(self.serial_log(name))),
            disks="\n".join(
                _DISK.format(
                    format=quoteattr(disk_format), file=quoteattr(str(file)), target=target
                )
                for file, target in zip(files, targets, strict=True)
            ),
            extra_devices=extra_devices,
        )
        with tempfile.NamedTemporaryFile("w", suffix=".xml", encoding="utf-8") as definition:
            definition.write(xml)
            definition.flush()
            self.virsh("define", "--validate", definition.name)
        self.vm_names.append(name)
        if running:
            self.start_vm(name)
        return self.virsh("domuuid", name).strip()

    def start_vm(self, name: str) -> None:
        """Boot it and wait for the ready line."""
        self.virsh("start", name)
        self._wait(lambda: READY in self.serial_tail(name), name, "the ready line")

    def destroy_vm(self, name: str) -> None:
        """End the VM and forget it, its snapshots' metadata and its files."""
        self.virsh("destroy", name, check=False)
        kinds = ("--managed-save", "--snapshots-metadata", "--checkpoints-metadata")
        self.virsh("undefine", name, *kinds, check=False)
        if name in self.virsh("list", "--all", "--name").split("\n"):
            raise AssertionError(f"{name} is still defined")
        shutil.rmtree(self.vm_folder(name), ignore_errors=True)
        self.vm_names.remove(name)

    def vm_folder(self, name: str) -> Path:
        return self.daemon.images / name

    def serial_log(self, name: str) -> Path:
        return self.vm_folder(name) / "serial.log"

    def active_disk(self, name: str, target: str = "vda") -> Path:
        """Return the file on top of a disk's chain, as libvirt names it now."""
        for line in self.virsh("domblklist", name).splitlines():
            words = line.split(maxsplit=1)
            if words and words[0] == target:
                return Path(words[1].strip())
        raise AssertionError(f"{name} has no disk {target}")

    def serial_tail(self, name: str, max_bytes: int = 4096) -> str:
        """Return the end of the serial log. Every start of QEMU, also by a revert, empties it."""
        try:
            log = self.serial_log(name).read_bytes()
        except FileNotFoundError:
            return ""
        return log[-max_bytes:].decode("ascii", errors="replace")

    def counter_from_serial(self, name: str) -> Counters:
        """Return the guest's newest line; waits for one when QEMU has only just started."""
        return self.wait_for_count(name, at_least=0)

    def wait_for_count(self, name: str, at_least: int) -> Counters:
        """Wait until the guest in memory has counted that far."""
        found: list[Counters] = []

        def has_counted() -> bool:
            lines = _LINE.findall(self.serial_tail(name))
            if lines:
                found.append(Counters(*map(int, lines[-1])))
            return bool(found) and found[-1].count >= at_least

        self._wait(has_counted, name, f"count {at_least}")
        return found[-1]

    def disk_counter(
        self, path: Path, snapshot: str | None = None, *, disk_format: str = "qcow2"
    ) -> Counters | None:
        """Read the counters from a disk image, or from an internal snapshot in it.

        None when the guest never wrote there. Under a running VM the answer may be older than
        the guest's last write, because QEMU keeps new cluster tables in memory for a while.
        """
        with tempfile.TemporaryDirectory(prefix="snapview-test-") as folder:
            out = Path(folder) / "raw"
            ways = ["-U", "-f", disk_format, "-O", "raw"]
            if snapshot is None:
                operands = ["bs=512", "count=2049", f"if={path}", f"of={out}"]
                command = ["qemu-img", "dd", *ways, *operands]
            else:
                select = ["-l", f"snapshot.name={snapshot}"]
                command = ["qemu-img", "convert", *ways, *select, str(path), str(out)]
            _check(command)
            with out.open("rb") as raw:
                raw.seek(COUNTER_SECTOR * SECTOR_BYTES)
                sector = raw.read(SECTOR_BYTES)
        magic, count, boots = struct.unpack_from("<8sII", sector)
        return Counters(count, boots) if magic == MAGIC else None

    def close(self) -> None:
        """End all VMs and the daemon, and delete the folder."""
        self.daemon.remove()

    def _make_disk(self, file: Path, disk_format: str, *, bootable: bool) -> None:
        if bootable:
            operands = ["convert", "-f", "raw", "-O", disk_format, str(self._guest_disk), str(file)]
        else:
            operands = ["create", "-q", "-f", disk_format, str(file), f"{DISK_MIB}M"]
        self._as_account("qemu-img", *operands)

    def _as_account(self, *command: str, stdin: bytes = b"") -> None:
        _check(self.daemon.as_account(command), stdin=stdin)

    def _wait(self, holds: Callable[[], bool], name: str, what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        pause = threading.Event()
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} never came to {what}: {self.serial_tail(name)!r}")
            pause.wait(_POLL_SECONDS)


def _check(command: list[str], *, stdin: bytes = b"") -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.decode(errors='replace')}")
