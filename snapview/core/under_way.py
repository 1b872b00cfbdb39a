"""What is going on with a VM right now, or was when somebody was interrupted: immutable values."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class BlockJobType(Enum):
    """libvirt's kinds of block jobs (virDomainBlockJobType)."""

    PULL = "pull"
    COPY = "copy"
    COMMIT = "commit"
    ACTIVE_COMMIT = "active-commit"
    BACKUP = "backup"
    UNKNOWN = "unknown"

    @property
    def needs_pivot(self) -> bool:
        """Whether the job goes on for ever, until somebody finishes or aborts it."""
        return self in {BlockJobType.COPY, BlockJobType.ACTIVE_COMMIT}


@dataclass(frozen=True, slots=True)
class BlockJob:
    """A job on one disk. ``is_ready`` is the mirror's own flag, never worked out from bytes."""

    disk: str
    type: BlockJobType = BlockJobType.UNKNOWN
    done_bytes: int = 0
    total_bytes: int = 0
    bandwidth_bytes_per_second: int = 0  # 0: no limit
    is_ready: bool = False


@dataclass(frozen=True, slots=True)
class Interruption:
    """An operation of snapview's on this VM that did not come to its end.

    ``finish`` and ``undo`` are what would be done, as sentences; ``undo`` is None where it is too
    late for that. ``is_alive``: another snapview is at work on it at this moment.
    """

    id: str
    what: str  # as a noun phrase: the revert to “x”
    began_at: datetime
    finish: tuple[str, ...] = ()
    undo: tuple[str, ...] | None = None
    is_alive: bool = False
