"""Journals for tests, each in a folder of its own."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from snapview.journal import FileJournal


def new_journal() -> FileJournal:
    """Return a journal that nobody else knows."""
    return FileJournal(Path(tempfile.mkdtemp(dir=_folder())))


@cache
def _folder() -> Path:
    """Make one folder for all journals of this process; it goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="snapview-journals-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
