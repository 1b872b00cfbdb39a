"""Run a command that goes into the background, and bury the processes it leaves promptly.

QEMU's parent is process 1, and libvirt waits after "destroy" and in every revert until that has
buried it. In containers process 1 often does so once a second or never. This program adopts the
orphans instead, and ends with the last of them.

    python reaper.py COMMAND...
"""

import ctypes
import os
import sys

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main(command: list[str]) -> int:
    """Run the command, leave a reaper behind, and return the command's exit status."""
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.close(read_end)
        os.setsid()
        _reap(command, write_end)
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as report:
        status = report.read()
    return int(status or b"1")


def _reap(command: list[str], report: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.set_inheritable(report, False)
    first = os.posix_spawnp(command[0], command, os.environ)
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return
        if pid == first:
            # The caller reads our output to its end, so let go of it.
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(report)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
