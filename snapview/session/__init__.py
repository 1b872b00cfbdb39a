"""The GUI side's session: connections, what was read, and jobs, behind one facade."""

from snapview.session.connection import Timing
from snapview.session.facade import Session
from snapview.session.planner import Answer, AskPlan, TakeBack, plan_at_once
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
    "Answer",
    "AskPlan",
    "ConnectionState",
    "ConnectionView",
    "History",
    "JobState",
    "JobView",
    "Session",
    "TakeBack",
    "Timing",
    "VmKey",
    "VmView",
    "plan_at_once",
]
