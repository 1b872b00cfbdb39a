"""The desktop application around the window: display, Ctrl-C, faults, the picture of itself.

Hides how Qt is started and ended so that a user never sees a traceback or an abort.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import (
    QCoreApplication,
    QMessageLogContext,
    QObject,
    QSocketNotifier,
    Qt,
    QTimer,
    QtMsgType,
    Signal,
    Slot,
    qInstallMessageHandler,
)
from PySide6.QtGui import QIcon, QImage
from PySide6.QtWidgets import QApplication, QWidget

from snapview.core.errors import HostError
from snapview.core.operations import Host
from snapview.logs import log_crash, log_file
from snapview.session import ConnectionState, ConnectionView, History, Session, VmView
from snapview.settings import Settings
from snapview.ui.dialogs.error_dialog import ErrorDialog
from snapview.ui.icons import load_icons
from snapview.ui.main_window import MainWindow
from snapview.ui.theme import apply_style, resource_folder

_log = logging.getLogger(__name__)

APPLICATION_ID = "io.github.snapview.Snapview"  # of desktop entry, AppStream data and icon
_SETTLE_MS = 700  # after the last news, what the window shows is painted
_PICTURE_PATIENCE_MS = 30_000
# Where Qt takes the GTK theme by itself (QGenericUnixTheme::themeNames).
_GTK_DESKTOPS = {"GNOME", "X-CINNAMON", "PANTHEON", "UNITY", "MATE", "XFCE", "LXDE"}
_MESSAGE_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.DEBUG,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


@dataclass(frozen=True, slots=True)
class DemoMaker:
    """How the window has the demo lab made."""

    make: Callable[[], str]  # on a worker thread; returns the lab's URI
    cancel: Callable[[], None]  # any thread


def run_window(
    make_host: Callable[[str], Host],
    demo: DemoMaker,
    uris: Iterable[str],
    *,
    default_uris: Iterable[str] = (),
    picture: Path | None = None,
    history: History | None = None,
) -> int:
    """Open the window, and return the exit status when it is closed.

    Args:
        make_host: makes an unconnected host for a URI.
        demo: makes the demo lab when the user asks for it.
        uris: what to connect to.
        default_uris: what to connect to if neither ``uris`` nor the settings name anything.
        picture: save a picture of the window there once it shows a tree, and close it.
        history: where what was done is kept; None: nowhere.
    """
    app = make_application()
    settings = Settings.load()
    session = Session(make_host, history=history)
    for uri in tuple(uris) or settings.connections or default_uris:
        session.open(uri)
    window = MainWindow(session, settings, Settings.save, demo.make)
    faults = _Faults(window)
    interrupts = _Interrupts(window)
    photographer = _Photographer(window, session, picture) if picture else None
    window.show()
    status = app.exec()
    demo.cancel()
    has_ended = session.close()
    faults.stop()
    interrupts.stop()
    if photographer is not None:
        status = photographer.status
    status = interrupts.status or status
    if not has_ended:  # a thread hangs in libvirt; destroying it would crash
        logging.shutdown()
        os._exit(status)
    return status


def keep_glib_for_libvirt(environment: MutableMapping[str, str]) -> None:
    """Set up Qt's environment so that only libvirt uses GLib's default main context.

    libvirt's event loop runs on that context. If Qt's did too, libvirt's callbacks would run on
    the GUI thread, and closing would wait for itself. And Qt's GTK platform theme, which it
    takes on GTK desktops, would put GTK's work on libvirt's thread; Qt's own theme for them
    follows the desktop's dark mode as well.
    """
    environment["QT_NO_GLIB"] = "1"
    desktops = set(environment.get("XDG_CURRENT_DESKTOP", "").upper().split(":"))
    theme = environment.get("QT_QPA_PLATFORMTHEME", "")
    if theme in {"gtk2", "gtk3"} or (not theme and desktops & _GTK_DESKTOPS):
        environment["QT_QPA_PLATFORMTHEME"] = "gnome"


def make_application() -> QApplication:
    """Make the application with its style, icons and identity."""
    qInstallMessageHandler(_QtMessages())
    QCoreApplication.setApplicationName("snapview")
    keep_glib_for_libvirt(os.environ)
    app = QApplication(["snapview"])
    app.setApplicationDisplayName("snapview")
    app.setDesktopFileName(APPLICATION_ID)
    apply_style(app)
    load_icons()
    app.setWindowIcon(QIcon(str(resource_folder() / "icons" / f"{APPLICATION_ID}.svg")))
    return app


class _QtMessages:
    """Logs what Qt says. What it dies of becomes a sentence, instead of an abort with a core."""

    def __init__(self) -> None:
        self._last_warning = ""

    def __call__(self, kind: QtMsgType, _context: QMessageLogContext, text: str) -> None:
        _log.log(_MESSAGE_LEVELS.get(kind, logging.WARNING), "Qt: %s", text)
        if kind is QtMsgType.QtWarningMsg:
            self._last_warning = self._last_warning or text.strip().partition("\n")[0]
        if kind is QtMsgType.QtFatalMsg:
            reason = f"Qt says: {self._last_warning}\n" if self._last_warning else ""
            sys.stderr.write(
                f"snapview: the window cannot be opened.\n{reason}Check that the display can be "
                "reached and that Qt's libraries are installed (packaging/run.sh does that), or "
                "use the command line: snapview list\n"
            )
            sys.stderr.flush()
            os._exit(1)


class _Faults:
    """Shows and logs the errors nobody expected, while the window is open."""

    def __init__(self, window: QWidget) -> None:
        self._window = window
        self._is_showing = False
        self._previous = sys.excepthook
        sys.excepthook = self._on_error

    def stop(self) -> None:
        """Leave it to whoever did it before."""
        sys.excepthook = self._previous

    def _on_error(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            self._window.close()
            return
        sentence = log_crash(kind, error, traceback)
        sys.stderr.write(f"snapview: {sentence}\n")
        if self._is_showing:  # one dialog is enough, however often a timer fails
            return
        self._is_showing = True
        advice = f"The rest keeps working. The details are in {log_file()}."
        dialog = ErrorDialog(HostError(sentence, advice=advice), self._window)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.finished.connect(self._on_finished)
        dialog.open()

    def _on_finished(self) -> None:
        self._is_showing = False


class _Interrupts(QObject):
    """Closes the window on Ctrl-C and SIGTERM; the second time without asking anything."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self.status = 0  # of the process, as shells count: 130 after Ctrl-C
        self._window = window
        # Python runs signal handlers only between its own instructions, and Qt's loop runs none
        # while it waits; a byte on a socket wakes it.
        self._read_end, self._write_end = socket.socketpair()
        self._read_end.setblocking(False)
        self._write_end.setblocking(False)
        self._previous_fd = signal.set_wakeup_fd(
            self._write_end.fileno(), warn_on_full_buffer=False
        )
        self._previous = {
            number: signal.signal(number, _do_nothing) for number in (signal.SIGINT, signal.SIGTERM)
        }
        notifier = QSocketNotifier(self._read_end.fileno(), QSocketNotifier.Type.Read, self)
        notifier.activated.connect(self._on_signal)
        self._notifier = notifier

    def stop(self) -> None:
        """Put everything back."""
        self._notifier.setEnabled(False)
        signal.set_wakeup_fd(self._previous_fd)
        for number, handler in self._previous.items():
            signal.signal(number, handler or signal.SIG_DFL)
        self._read_end.close()
        self._write_end.close()

    @Slot()
    def _on_signal(self) -> None:
        for number in self._read_end.recv(64):
            if number not in self._previous:
                continue
            is_first = not self.status
            self.status = 128 + number
            if not is_first or self._window.close():
                QCoreApplication.quit()


def _do_nothing(*_arguments: object) -> None:
    """Stand in for a handler: the wake-up socket does the work."""


class _Photographer(QObject):
    """Saves a picture of the window once it shows what there is to show, then quits."""

    _saved = Signal(bool)

    def __init__(self, window: QWidget, session: Session, path: Path) -> None:
        super().__init__(window)
        self.status = 1
        self._window = window
        self._session = session
        self._path = path
        self._settling = QTimer(self, singleShot=True, interval=_SETTLE_MS)
        self._settling.timeout.connect(self._take)
        self._patience = QTimer(self, singleShot=True, interval=_PICTURE_PATIENCE_MS)
        self._patience.timeout.connect(self._give_up)
        self._patience.start()
        self._saved.connect(self._on_saved)
        session.vm_updated.connect(self._on_vm)
        session.connection_changed.connect(self._on_connection)

    @Slot(object)
    def _on_vm(self, _view: VmView) -> None:
        self._settling.start()

    @Slot(object)
    def _on_connection(self, _view: ConnectionView) -> None:
        views = self._session.connections
        is_reading = any(v.state is ConnectionState.CONNECTING or v.vms for v in views)
        if not is_reading:  # no tree will come: the page that says so is the picture
            self._settling.start()

    @Slot()
    def _give_up(self) -> None:
        sys.stderr.write("snapview: no tree was shown in time; the picture shows what there is.\n")
        self._take()

    def _take(self) -> None:
        self._settling.stop()
        self._patience.stop()
        self._session.vm_updated.disconnect(self._on_vm)
        self._session.connection_changed.disconnect(self._on_connection)
        image = self._window.grab().toImage()
        self._session.run_in_background(lambda: self._save(image))

    def _save(self, image: QImage) -> None:
        """Write the file; on a worker thread."""
        self._saved.emit(image.save(str(self._path), "PNG"))  # type: ignore[call-overload]

    @Slot(bool)
    def _on_saved(self, is_saved: bool) -> None:  # noqa: FBT001 - a slot
        if is_saved:
            self.status = 0
        else:
            sys.stderr.write(f"snapview: the picture cannot be saved as “{self._path}”.\n")
        self._window.close()
        QCoreApplication.quit()
