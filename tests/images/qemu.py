"""Makes images with QEMU's own tools, and asks those tools what they think of them."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def img(*arguments: str | Path) -> str:
    """Run qemu-img and return what it prints."""
    return _run("qemu-img", *arguments)


def create(path: Path, size: str, *, base: Path | None = None, **options: object) -> Path:
    """Make a qcow2 image; options as qemu-img names them."""
    told = ",".join(f"{name}={value}" for name, value in options.items())
    chosen = ["-o", told] if told else []
    backing = ["-b", str(base), "-F", format_of(base)] if base else []
    img("create", "-q", "-f", "qcow2", *chosen, *backing, path, size)
    return path


def create_encrypted(path: Path, size: str) -> Path:
    """Make an image encrypted with LUKS; QEMU gives up where it cannot time its hashing."""
    secret = ["--object", "secret,id=s0,data=x"]
    options = "encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=10"
    for _ in range(50):
        command = [
            "qemu-img",
            "create",
            "-q",
            *secret,
            "-f",
            "qcow2",
            "-o",
            options,
            str(path),
            size,
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if "accurate CPU usage" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    return path


def format_of(path: Path) -> str:
    """Return the format that the name tells."""
    return "raw" if path.suffix == ".raw" else "qcow2"


def io(path: Path, *commands: str) -> None:
    """Have qemu-io run commands: "write -P 7 64k 4k", "discard 0 1M", "write -z 0 64k"."""
    words = [word for command in commands for word in ("-c", command)]
    if words:
        out = _run("qemu-io", "-f", format_of(path), "-d", "unmap", *words, path)
        assert "failed" not in out, out


def snapshot(path: Path, name: str) -> None:
    img("snapshot", "-c", name, path)


def save_memory(path: Path, name: str) -> None:
    """Take a snapshot with the memory of a VM that has not begun to run."""
    drive = f"if=none,format=qcow2,file={path}"
    machine = ["-machine", "pc,accel=tcg", "-m", "16", "-nodefaults", "-display", "none", "-S"]
    done = subprocess.run(
        ["qemu-system-x86_64", *machine, "-monitor", "stdio", "-drive", drive],
        check=True,
        capture_output=True,
        text=True,
        input=f"savevm {name}\nquit\n",
    )
    assert "Error" not in done.stdout, done.stdout


def delete(path: Path, names: Sequence[str]) -> None:
    for name in names:
        img("snapshot", "-d", name, path)


def check(path: Path) -> dict[str, Any]:
    """Return what qemu-img check counts."""
    done = subprocess.run(
        ["qemu-img", "check", "--output=json", "-f", "qcow2", str(path)],
        check=False,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def mapped(path: Path) -> list[dict[str, Any]]:
    """Return the extents that qemu-img map finds."""
    found: list[dict[str, Any]] = json.loads(img("map", "--output=json", path))
    return found
