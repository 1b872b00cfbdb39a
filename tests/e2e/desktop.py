"""A person at a virtual screen: mouse and keys through the X server, eyes through the driver."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.05


class Desktop:
    """The window on its screen, and what a person does to it."""

    def __init__(self, process: "subprocess.Popen[str]", display: str) -> None:
        self._process = process
        self._display = display

    # Eyes

    def ask(self, question: str) -> object:
        """Ask the driver; its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the window is gone"
        return json.loads(line)

    def words(self) -> list[str]:
        answer = self.ask("words")
        assert isinstance(answer, list)
        return [str(word) for word in answer]

    def rows(self) -> list[str]:
        answer = self.ask("rows")
        assert isinstance(answer, list)
        return [str(row) for row in answer]

    def wait(self, what: str, holds: Callable[[], object]) -> None:
        """Wait until something is seen."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        pause = threading.Event()
        while not holds():
            assert time.monotonic() < deadline, f"{what}: {self.words()} {self.ask('jobs')}"
            pause.wait(POLL_SECONDS)

    def wait_for_rows(self, *names: str) -> None:
        self.wait(f"rows {names}", lambda: self.rows() == [*names, "You are here"])

    def wait_for_front(self, title: str) -> None:
        self.wait(f"a window {title!r}", lambda: title in str(self.ask("front")))

    def wait_for_words(self, part: str) -> None:
        self.wait(f"words {part!r}", lambda: part in " ".join(self.words()))

    def wait_for_job(self, part: str) -> None:
        self.wait(f"a job {part!r}", lambda: part in " ".join(map(str, _list(self.ask("jobs")))))

    def grab(self, path: Path) -> None:
        """Save what is on the screen."""
        assert self.ask(f"grab {path}")

    # Hands

    def click(self, question: str, button: int = 1) -> None:
        """Click what the driver finds: ``button TEXT``, ``row TEXT``, ``item TEXT``."""
        found: list[object] = []

        def is_there() -> bool:
            found[:] = [self.ask(question)]
            return found[0] is not None

        self.wait(question, is_there)
        x, y = _list(found[0])
        self._xdotool("mousemove", str(x), str(y), "click", str(button))

    def key(self, *keys: str) -> None:
        """Press keys, in xdotool's names: ``ctrl+t``, ``Return``."""
        self._xdotool("key", "--delay", "30", *keys)

    def type(self, text: str) -> None:
        self._xdotool("type", "--delay", "10", text)

    def kill(self) -> None:
        """End the window as a crash would."""
        self._process.kill()
        self._process.wait(10)

    def _xdotool(self, *arguments: str) -> None:
        subprocess.run(
            ["xdotool", *arguments],
            env={**os.environ, "DISPLAY": self._display},
            check=True,
            timeout=20,
        )


def _list(answer: object) -> list[object]:
    assert isinstance(answer, list)
    return answer


@contextmanager
def screen(size: str = "1440x900") -> Iterator[str]:
    """Run a virtual X server on a free display."""
    read_end, write_end = os.pipe()
    command = [
        "Xvfb",
        "-displayfd",
        str(write_end),
        "-screen",
        "0",
        f"{size}x24",
        "-nolisten",
        "tcp",
    ]
    server = subprocess.Popen(
        command, pass_fds=[write_end], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(write_end)
    try:
        with os.fdopen(read_end) as pipe:
            number = pipe.readline().strip()
        assert number, "Xvfb did not start"
        yield f":{number}"
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def window(uri: str, home: Path, display: str, *, is_dark: bool = False) -> Iterator[Desktop]:
    """Run the real window on a display, with settings of its own."""
    environment = {
        **os.environ,
        "DISPLAY": display,
        "QT_QPA_PLATFORM": "xcb",
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_DATA_HOME": str(home / "data"),
    }
    with (home / "stderr").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.driver", uri, *["--dark"] * is_dark],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[2],
        )
        try:
            yield Desktop(process, display)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(30) in {0, -signal.SIGKILL}
        finally:
            process.kill()
            process.wait(10)
            with suppress(BrokenPipeError):  # what was not read by then
                if process.stdin is not None:
                    process.stdin.close()
            if process.stdout is not None:
                process.stdout.close()
    assert not (home / "stderr").read_text(), (home / "stderr").read_text()
