"""Images with known contents in a lab's folder, made and looked at with QEMU's own tools."""

import hashlib
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from snapview.core.vm import DiskLayer
from tests.lab import Lab

MIB = 1 << 20
JSON_FILE = '{"driver":"file","filename":"/etc/passwd"}'
FORMATS = ("-f", "qcow2", "-F", "qcow2")


@dataclass(frozen=True)
class Images:
    """The images of one folder below the lab's, which belongs to the account of its QEMU."""

    lab: Lab
    folder: Path

    @classmethod
    def beside(cls, lab: Lab, name: str) -> "Images":
        """Make a folder of its own."""
        images = cls(lab, lab.daemon.images / name)
        images.run("install", "-d", "-m", "0700", images.folder)
        return images

    def run(self, *command: str | Path) -> str:
        """Run a command as the account that images belong to."""
        words = self.lab.daemon.as_account([str(word) for word in command])
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def layer(self, name: str) -> DiskLayer:
        return DiskLayer(self.path(name), "raw" if name.endswith(".raw") else "qcow2")

    def chain(self, *names: str) -> tuple[DiskLayer, ...]:
        return tuple(self.layer(name) for name in names)

    def make(self, name: str, on: str | None = None, *, mib: int = 64, write: str = "") -> str:
        """Make an image, perhaps on another one, and let qemu-io write into it."""
        layer = self.layer(name)
        options = ["-f", layer.format or ""]
        if on is not None:
            options += ["-F", self.layer(on).format or "", "-b", self.path(on)]
        size = [] if on is not None else [f"{mib}M"]
        self.run("qemu-img", "create", "-q", *options, layer.path, *size)
        if write:
            self.run("qemu-io", "-f", layer.format or "", "-c", f"write {write}", layer.path)
        return layer.path

    def make_line(self, *names: str, mib: int = 4) -> tuple[DiskLayer, ...]:
        """Make a chain, base first; each holds ``mib`` MiB of its own. Returns it top first."""
        for number, name in enumerate(names):
            where = f"-P {number + 1} {number * mib}M {mib}M"
            self.make(name, names[number - 1] if number else None, mib=128, write=where)
        return self.chain(*reversed(names))

    def content(self, name: str) -> str:
        """Hash what a guest would read from an image, through its whole chain."""
        layer = self.layer(name)
        with tempfile.NamedTemporaryFile(prefix="snapview-test-") as raw:
            ways = ["-U", "-f", layer.format or "", "-O", "raw"]
            subprocess.run(
                ["qemu-img", "convert", *ways, layer.path, raw.name],
                capture_output=True,
                check=True,
            )
            return hashlib.file_digest(raw, "sha256").hexdigest()

    def info(self, name: str) -> dict[str, object]:
        """What qemu-img says of one image."""
        ways = ["-U", "-f", self.layer(name).format or "", "--output=json"]
        done = subprocess.run(
            ["qemu-img", "info", *ways, self.path(name)], capture_output=True, check=True
        )
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def put(self, name: str, data: bytes) -> None:
        """Make a file of any bytes."""
        tee = self.lab.daemon.as_account(["tee", self.path(name)])
        subprocess.run(tee, input=data, capture_output=True, check=True)

    def make_hostile(self) -> None:
        """Make images as only somebody hostile, or a crash, would, and an honest one."""
        self.make("honest.qcow2", write="-P 7 0 1M")
        backings = {
            "json.qcow2": f'json:{{"driver":"qcow2","file":{JSON_FILE}}}',
            "simple.qcow2": f"json:{JSON_FILE}",
            "missing.qcow2": self.path("gone.qcow2"),
            "self.qcow2": self.path("self.qcow2"),
            "one.qcow2": self.path("two.qcow2"),
            "two.qcow2": self.path("one.qcow2"),
            "nbd.qcow2": "nbd://127.0.0.1:1/x",
            "device.qcow2": "/dev/watchdog",
        }
        for name, backing in backings.items():
            self.make(name, mib=1)
            self.run("qemu-img", "rebase", "-u", *FORMATS, "-b", backing, self.path(name))
        magic = b"QFI\xfb"
        for name, data in {
            "empty.qcow2": b"",
            "magic.qcow2": magic,
            "garbage.qcow2": magic + bytes(range(256)) * 16,
            "ones.qcow2": magic + b"\0\0\0\x03" + b"\xff" * 4096,
            "far.qcow2": magic + b"\0\0\0\x03" + bytes(52) + b"\0\0\0\x01" + b"\x3f" * 99,
        }.items():
            self.put(name, data)
