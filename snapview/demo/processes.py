"""Which processes run, and how to end exactly one of them.

Hides ``/proc`` and the trouble with process numbers: they are given out again, so that a number
read a moment ago may name a stranger now.
"""

import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TERM_SECONDS = 10.0
_KILL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process as ``/proc`` shows it. Zombies have no arguments and are not listed."""

    pid: int
    uid: int
    arguments: tuple[str, ...]

    @property
    def program(self) -> str:
        """The name it was started by, without its folder."""
        return Path(self.arguments[0]).name


def process_by_pid(pid: int) -> Process | None:
    """Look at one process; None when there is none, or a zombie, or one hidden from us."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:  # ended meanwhile, or hidden from us and so not ours
        return None
    if not arguments:
        return None
    # The owner of /proc/PID would be root for a process that may not be traced.
    uid = next(int(line.split()[2]) for line in status.splitlines() if line.startswith("Uid:"))
    words = os.fsdecode(arguments.removesuffix(b"\0")).split("\0")
    return Process(pid, uid, tuple(words))


def processes() -> Iterator[Process]:
    """Go through all processes that this account may see."""
    for entry in os.listdir("/proc"):  # noqa: PTH208 - numbers, not paths, are wanted
        if entry.isdigit() and (process := process_by_pid(int(entry))) is not None:
            yield process


def end(process: Process) -> bool:
    """End exactly this process, and say whether it is gone."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        # The handle cannot change hands any more; the number could have done so before.
        if process_by_pid(process.pid) != process:
            return True
        # A pidfd becomes readable when its process ends, whoever the parent is.
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        for number, seconds in ((signal.SIGTERM, _TERM_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
            signal.pidfd_send_signal(handle, number)
            if poll.poll(seconds * 1000):
                return True
    except ProcessLookupError:
        return True
    finally:
        os.close(handle)
    return False
