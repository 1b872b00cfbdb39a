"""What the journal says of a connection's VMs, and what is put right without asking.

Two things are: a guest that was left frozen is thawed, since until then it does nothing; and an
entry with nothing left to do is dropped.
"""

import logging
from collections.abc import Callable
from contextlib import suppress

from snapview.core.errors import ConnectionLost, SnapviewError
from snapview.core.journal import Entry, Journal, interruption_of, is_moot, needs_thaw
from snapview.core.under_way import Interruption

_log = logging.getLogger(__name__)


class Unfinished:
    """Looks into the journal for one connection. Its thread.

    Args:
        journal: of this account.
        uri: of the connection.
        thaw: thaws the file systems of the VM with that UUID.
    """

    def __init__(self, journal: Journal, uri: str, thaw: Callable[[str], None]) -> None:
        self._journal = journal
        self._uri = uri
        self._thaw = thaw
        self._thawed: set[str] = set()  # ids of entries; an agent that is gone keeps one waiting

    def interruption(self, vm_uuid: str) -> Interruption | None:
        """Return what of a VM was begun and not ended; 20 µs when there is nothing."""
        entry = self._journal.find(self._uri, vm_uuid)
        if entry is None:
            return None
        if needs_thaw(entry):
            self._thaw_once(entry)
        if is_moot(entry) and not entry.is_alive:
            with suppress(SnapviewError):  # somebody else was quicker
                self._journal.resume(entry.id).close(is_settled=True)
            return None
        return interruption_of(entry)

    def fingerprint(self, vm_uuid: str) -> str:
        """Return what changes with ``interruption``."""
        entry = self._journal.find(self._uri, vm_uuid)
        if entry is None:
            return ""
        done = sum(begun.is_done for begun in entry.begun)
        return f"{entry.id} {entry.is_alive} {len(entry.begun)} {done}"

    def _thaw_once(self, entry: Entry) -> None:
        if entry.id in self._thawed:
            return
        self._thawed.add(entry.id)
        try:
            self._thaw(entry.vm_uuid)
            _log.info("thawed VM %s, which an interrupted snapshot may have frozen", entry.vm_uuid)
        except ConnectionLost:
            self._thawed.discard(entry.id)
            raise
        except SnapviewError as error:
            _log.info("VM %s cannot be thawed, or need not be: %s", entry.vm_uuid, error)
