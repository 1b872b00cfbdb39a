"""The errors a user can meet. Each is a whole sentence with advice on what to do.

Only ``virt/host.py`` turns libvirt's errors into these, by error code. Expected refusals are
values (``planning.Refusal``), not exceptions.
"""


class SnapviewError(Exception):
    """Something failed in a way that the user can understand and act on.

    Args:
        message: one whole sentence: what happened.
        advice: what the user can do about it; empty when there is nothing to do.
        detail: what libvirt or the system said, word for word, for the fold-out.
    """

    def __init__(self, message: str, *, advice: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.detail = detail


class ConnectionLost(SnapviewError):
    """The libvirt daemon cannot be reached, or went away."""


class NotInstalled(ConnectionLost):
    """There is no libvirt daemon on this machine."""


class NotPermitted(SnapviewError):
    """The daemon is there, but this account may not use it."""


class NotFound(SnapviewError):
    """A VM or snapshot does not exist (any more)."""


class Unsupported(SnapviewError):
    """This host cannot do that for this VM."""


class Conflict(SnapviewError):
    """The VM is in a state, or busy with a job, that forbids the operation."""


class PlanChanged(Conflict):
    """The VM has changed since the user agreed to a plan; it has to be shown again."""


class ImageNotWritable(SnapviewError):
    """The host's QEMU may not write to an image; merging upwards avoids that (trap 5)."""


class RevertRisky(Conflict):
    """A revert would throw away a saved state (managed save)."""


class NoSpace(SnapviewError):
    """The file system of the images is full."""


class HostError(SnapviewError):
    """Anything else that libvirt or QEMU refused or failed to do."""
