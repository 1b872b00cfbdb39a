"""The log file: where it lies, and that no thread but its own ever waits for the disk."""

import atexit
import logging
import queue
import sys
import threading
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from types import TracebackType

from platformdirs import user_log_path

_log = logging.getLogger(__name__)

_FILE_MAX_BYTES = 1_000_000
_OLD_FILES = 3
_FORMAT = "%(asctime)s %(levelname)s %(process)d %(threadName)s %(name)s: %(message)s"


def log_file() -> Path:
    """Return where this user's log lies."""
    return user_log_path("snapview") / "snapview.log"


def set_up_logging() -> None:
    """Send all records to the log file, written by a thread of its own; call once.

    Nothing is created before something is logged.
    """
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    file = _LogFile(log_file())
    file.setFormatter(logging.Formatter(_FORMAT))
    listener = QueueListener(records, file)
    root = logging.getLogger()
    root.addHandler(QueueHandler(records))
    root.setLevel(logging.WARNING)
    logging.getLogger("snapview").setLevel(logging.INFO)
    listener.start()
    atexit.register(listener.stop)  # writes what is still queued
    threading.excepthook = _log_thread_error
    sys.unraisablehook = _log_unraisable


def show_on_stderr() -> logging.Handler:
    """Show snapview's own records on stderr too; return what does it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("snapview")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return handler


class _LogFile(RotatingFileHandler):
    """Makes its folder with the first record; a disk that is full or read-only bothers nobody."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path, maxBytes=_FILE_MAX_BYTES, backupCount=_OLD_FILES, encoding="utf-8", delay=True
        )

    def emit(self, record: logging.LogRecord) -> None:
        try:
            Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            return
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Drop the record: the inherited method prints a traceback."""


def log_crash(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> str:
    """Log an error nobody expected; return one sentence for the user."""
    _log.critical("Unexpected error", exc_info=(kind, error, traceback))
    what = " ".join(str(error).split())
    name = kind.__name__
    return f"Something went wrong that should not have: {name}{f' ({what})' if what else ''}."


def _log_thread_error(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is not None:
        name = found.thread.name if found.thread else "a thread"
        exc_info = (found.exc_type, found.exc_value, found.exc_traceback)
        _log.critical("Unexpected error in %s", name, exc_info=exc_info)


def _log_unraisable(found: "sys.UnraisableHookArgs") -> None:
    if found.exc_value is not None:
        exc_info = (found.exc_type, found.exc_value, found.exc_traceback)
        _log.error("Error that nobody could take: %r", found.object, exc_info=exc_info)
