"""The composition root: arguments, logging, then the window or the command line.

The way to the window loads neither Click nor a command; the way to a command loads no Qt.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from snapview import __version__

if TYPE_CHECKING:
    from snapview.demo.lab import DemoLab
    from snapview.history import History
    from snapview.virt.host import LibvirtHost

_LOCAL_URIS = ("qemu:///system", "qemu:///session")
_FLAGS = {"--demo", "--version", "-v", "--verbose"}


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """What was asked for on a command line without a command."""

    uris: tuple[str, ...] = ()
    picture: Path | None = None
    is_demo: bool = False
    is_verbose: bool = False
    is_version: bool = False


def window_options(arguments: Sequence[str]) -> WindowOptions | None:
    """Read a command line that has no command; None: it has one, or it is wrong.

    By hand, since Click would double the time until the window is there; whatever is not
    understood goes to Click, which says what is wrong.
    """
    uris: list[str] = []
    pictures: list[str] = []
    flags: set[str] = set()
    words = iter(arguments)
    for word in words:
        name, has_value, value = word.partition("=")
        values = {"-c": uris, "--connect": uris, "--screenshot": pictures}.get(name)
        if values is not None:
            values.append(value if has_value else next(words, ""))
        elif word in _FLAGS:
            flags.add(word)
        else:
            return None
    if not all([*uris, *pictures]):  # a value is missing
        return None
    return WindowOptions(
        uris=tuple(uris),
        picture=Path(pictures[-1]) if pictures else None,
        is_demo="--demo" in flags,
        is_verbose=bool(flags & {"-v", "--verbose"}),
        is_version="--version" in flags,
    )


def main() -> int:
    """Run snapview and return its exit status."""
    arguments = sys.argv[1:]
    options = window_options(arguments)
    if options is not None and options.is_version:
        sys.stdout.write(f"snapview {__version__}\n")
        return 0
    from snapview.logs import set_up_logging

    set_up_logging()
    sys.excepthook = _on_unexpected_error
    if options is None:
        return _run_command_line(arguments, WindowOptions())
    if options.is_demo:  # the command makes the lab, says how far it is, and opens the window
        return _run_command_line(["demo", *["-v"] * options.is_verbose], options)
    return _open_window(options)


def _run_command_line(arguments: Sequence[str], options: WindowOptions) -> int:
    from snapview.cli.app import main as run
    from snapview.cli.invocation import Services

    def open_window(uris: Sequence[str]) -> int:
        return _open_window(replace(options, uris=(*uris, *options.uris)))

    return run(arguments, Services(make_host, make_lab, open_window, make_history))


def _open_window(options: WindowOptions) -> int:
    if options.is_verbose:
        from snapview.logs import show_on_stderr

        show_on_stderr()
    if not has_display(os.environ):
        sys.stderr.write(
            "snapview: there is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set), so "
            "the window cannot open.\n"
            "Use the command line, for instance “snapview list” and “snapview tree VM”, or come "
            "with “ssh -X”.\n"
        )
        return 1
    from snapview.application import DemoMaker, run_window

    lab = make_lab()
    default = os.environ.get("LIBVIRT_DEFAULT_URI", "")
    local_uris = (default,) if default else _LOCAL_URIS
    return run_window(
        make_host,
        DemoMaker(make=lambda: lab.ensure(lambda _progress: None), cancel=lab.cancel),
        tuple(lab.uri if uri == "demo" else uri for uri in options.uris),
        default_uris=(*local_uris, *([lab.uri] if lab.exists else [])),
        picture=options.picture,
        history=make_history(),
    )


def has_display(environment: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether there is a screen to show a window on, as far as that can be told beforehand."""
    if not platform.startswith("linux") or environment.get("QT_QPA_PLATFORM"):
        return True
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def make_host(uri: str) -> "LibvirtHost":
    """Make an unconnected host for a URI.

    Raises:
        NotInstalled: libvirt's library is not on this machine.
    """
    try:
        from snapview.virt.host import LibvirtHost
    except ImportError as error:
        from snapview.core.errors import NotInstalled

        raise NotInstalled(
            "libvirt's library is not installed on this machine, or not for this Python.",
            advice="Install libvirt (libvirt0 on Debian and Ubuntu, libvirt-libs on Fedora) and "
            "then snapview again.",
            detail=str(error),
        ) from error
    from platformdirs import user_state_path

    from snapview.journal import FileJournal

    return LibvirtHost(uri, FileJournal(user_state_path("snapview") / "journal"))


def make_history() -> "History":
    """Return the history of what this account did to VMs."""
    from platformdirs import user_data_path

    from snapview.history import History

    return History(user_data_path("snapview") / "history.sqlite")


def make_lab() -> "DemoLab":
    """Return the demo lab of whoever runs this program, whether it is there or not."""
    from snapview.demo.lab import DemoLab

    return DemoLab(make_host)


def _on_unexpected_error(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """End with a sentence instead of a traceback; Python then exits with status 1."""
    from snapview.logs import log_crash, log_file

    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("snapview: cancelled.\n")
        return
    sentence = log_crash(kind, error, traceback)
    sys.stderr.write(
        f"snapview: {sentence}\nThis is a fault of snapview. The details are in {log_file()}; "
        "with -v they are shown here.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
