"""The GUI side's session: connections, what was read, and jobs, behind one facade."""

from snapview.session.connection import Timing
from snapview.session.facade import Session
from snapview.session.records import History
from snapview.session.views import (
    ConnectionState,
    ConnectionView,
    JobState,
    JobView,
    VmKey,
    VmView,
)

__all__ = [
    "ConnectionState",
    "ConnectionView",
    "History",
    "JobState",
    "JobView",
    "Session",
    "Timing",
    "VmKey",
    "VmView",
]
