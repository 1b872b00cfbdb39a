"""How fast merges may be: the speeds that are offered, and their words."""

from PySide6.QtCore import QCoreApplication

from snapview.ui.format import MIB, rate_text

NO_LIMIT = 0  # as libvirt has it
PAUSE = 1  # bytes/s: QEMU knows no pause, but a job that slow stands still
SPEEDS = (NO_LIMIT, 100 * MIB, 50 * MIB, 10 * MIB)


def limit_text(bytes_per_second: int) -> str:
    """Return a limit in words: "no limit", "50 MiB/s", "paused"."""
    if bytes_per_second == NO_LIMIT:
        return QCoreApplication.translate("Limits", "no limit")
    if bytes_per_second <= PAUSE:
        return QCoreApplication.translate("Limits", "paused")
    return rate_text(bytes_per_second)
