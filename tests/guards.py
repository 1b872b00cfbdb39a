"""What every test is watched for: log records, leaks, and a GUI thread that touches the world."""

import functools
import gc
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent, QObject, QThread, QTimer
from PySide6.QtWidgets import QApplication, QWidget

PACKAGE = str(Path(__file__).parents[1] / "snapview") + "/"
GUI_PARTS = tuple(PACKAGE + part for part in ("ui/", "session/", "worker.py"))
PATIENCE_SECONDS = 5.0

# Threads that live as long as the process: libvirt's event loop cannot be ended.
LASTING_THREADS = {"libvirt-events"}

TOUCHING = {
    "open",
    "os.exec",
    "os.fork",
    "os.listdir",
    "os.mkdir",
    "os.posix_spawn",
    "os.remove",
    "os.rename",
    "os.scandir",
    "os.system",
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "sqlite3.connect",
    "subprocess.Popen",
}

# Frames below which Python opens files of its own: imports, and source lines for tracebacks.
INTERPRETER = ("<frozen importlib", "linecache.py", "tokenize.py")

# The program's own files, and the kernel's, which take no time.
HARMLESS = (
    PACKAGE + "resources/",
    str(Path(PACKAGE).parent / "resources") + "/",
    "/proc/",
    "/dev/null",
    "/dev/urandom",
)


class LogWatch(logging.Handler):
    """Collects records of WARNING and above; ``allow`` names those that a test provokes."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._records: list[logging.LogRecord] = []
        self._allowed: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)

    def allow(self, pattern: str) -> None:
        self._allowed.append(pattern)

    def unexpected(self) -> list[str]:
        """Return the records that nobody allowed, one line each."""
        return [
            f"{record.levelname} {record.name}: {record.getMessage()}"
            for record in self._records
            if not any(re.search(pattern, record.getMessage()) for pattern in self._allowed)
        ]


class TouchWatch:
    """Sees through an audit hook what the GUI thread does to files, processes and sockets.

    Only what snapview does itself counts: a frame of the package is on the stack. Outside of the
    event loop, ``Settings.load`` and the like are allowed, as ``__main__`` does that before the
    window is shown; the window, the session and the worker's GUI side never are.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.is_armed = False
        self._is_inside = False
        sys.addaudithook(self._on_audit)  # for ever: a hook cannot be removed

    @contextmanager
    def armed(self) -> Iterator[None]:
        self.seen.clear()
        self.is_armed = True
        try:
            yield
        finally:
            self.is_armed = False

    def _on_audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.is_armed or event not in TOUCHING or self._is_inside:
            return
        if threading.get_ident() != threading.main_thread().ident:
            return
        self._is_inside = True
        try:
            self._judge(event, arguments)
        finally:
            self._is_inside = False

    def _judge(self, event: str, arguments: tuple[object, ...]) -> None:
        what = str(arguments[0]) if arguments else ""
        if what.startswith(HARMLESS) or (event == "open" and isinstance(arguments[0], int)):
            return
        culprit = gui_frame(sys._getframe())
        if culprit:
            self.seen.append(f"{event} {what} at {culprit}")


def gui_frame(frame: FrameType | None) -> str:
    """Return the innermost frame of snapview where the GUI thread is forbidden to block, or ''."""
    is_looping = QThread.currentThread().loopLevel() > 0
    ours: list[str] = []
    while frame is not None:
        name = frame.f_code.co_filename
        if any(part in name for part in INTERPRETER):
            return ""
        if name.startswith(PACKAGE):
            ours.append(f"{name}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    if not is_looping and not any(each.startswith(GUI_PARTS) for each in ours):
        return ""
    return ours[0] if ours else ""


def guard_hosts(monkeypatch: pytest.MonkeyPatch, seen: list[str]) -> None:
    """Let every method of every kind of host refuse to be called by the GUI thread."""
    from tests.fakes import FakeHost

    kinds: list[type] = [FakeHost]
    libvirt_side = sys.modules.get("snapview.virt.host")
    if libvirt_side is not None:
        kinds.append(libvirt_side.LibvirtHost)
    for kind in kinds:
        for name, method in list(vars(kind).items()):
            if callable(method) and not name.startswith("_"):
                monkeypatch.setattr(kind, name, _never_on_gui_thread(method, seen))


def _never_on_gui_thread(method: Callable[..., object], seen: list[str]) -> Callable[..., object]:
    @functools.wraps(method)
    def guarded(*args: object, **kwargs: object) -> object:
        if threading.current_thread() is threading.main_thread():
            culprit = gui_frame(sys._getframe())
            if culprit:
                seen.append(f"{method.__qualname__} at {culprit}")
        return method(*args, **kwargs)

    return guarded


def leaked_threads(before: set[threading.Thread]) -> list[str]:
    """Return the Python threads that began since and do not end."""
    new = [
        thread
        for thread in threading.enumerate()
        if thread not in before
        and thread.name not in LASTING_THREADS
        # What Qt's threads look like to Python; those are looked for among the QThreads.
        and not isinstance(thread, threading._DummyThread)
    ]
    for thread in new:
        thread.join(PATIENCE_SECONDS)
    return [f"thread {thread.name}" for thread in new if thread.is_alive()]


def qt_objects() -> set[int]:
    """Return the ids of the live things that a test must not leave behind."""
    return {id(each) for each in _lively()}


def leaked_qt_objects(before: set[int]) -> list[str]:
    """Return what is left of the windows, timers and Qt threads that began since."""
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    left = [each for each in _lively() if id(each) not in before]
    if any(not isinstance(each, QThread) for each in left):
        del left
        gc.collect()  # what only a cycle kept is no leak
        left = [each for each in _lively() if id(each) not in before]
    return [f"{type(each).__name__} {each.objectName()!r}" for each in left]


def _lively() -> list[QObject]:
    """Return all shown or hidden windows, active timers and running threads."""
    found: list[QObject] = []
    for each in gc.get_objects():
        if issubclass(type(each), QTimer | QThread) and shiboken6.isValid(each):
            is_lively = each.isActive() if isinstance(each, QTimer) else each.isRunning()
            if is_lively and each is not QThread.currentThread():
                found.append(each)
    if isinstance(QApplication.instance(), QApplication):
        found.extend(each for each in QApplication.topLevelWidgets() if _is_window_of_ours(each))
    return found


def _is_window_of_ours(widget: QWidget) -> bool:
    """Qt keeps one tooltip label and hides it."""
    return type(widget).__name__ != "QTipLabel" and widget.metaObject().className() != "QTipLabel"
