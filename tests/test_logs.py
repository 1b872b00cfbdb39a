import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from snapview import logs

TALK = """
import logging, threading
from snapview.logs import set_up_logging
set_up_logging()
log = logging.getLogger("snapview.x")
log.debug("too small")
log.info("said")
logging.getLogger("other").info("not ours")
def fail():
    raise ZeroDivisionError
thread = threading.Thread(target=fail, name="culprit")
thread.start()
thread.join()
class Odd:
    def __del__(self):
        raise KeyError("odd")
Odd()
"""


def talk(folder: Path, code: str = TALK) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "XDG_STATE_HOME": str(folder)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )


def test_everything_ends_in_the_file_and_nothing_on_the_screen(tmp_path: Path) -> None:
    done = talk(tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
    written = (tmp_path / "snapview" / "log" / "snapview.log").read_text()
    assert "INFO" in written
    assert "snapview.x: said" in written
    assert "too small" not in written
    assert "not ours" not in written
    assert "Unexpected error in culprit" in written
    assert "ZeroDivisionError" in written
    assert "KeyError: 'odd'" in written


def test_nothing_is_made_before_something_is_logged(tmp_path: Path) -> None:
    talk(tmp_path, "from snapview.logs import set_up_logging; set_up_logging()")
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_bothers_nobody(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    done = talk(blocked)
    assert done.stderr == ""


def test_a_file_in_place_of_the_log_bothers_nobody(tmp_path: Path) -> None:
    (tmp_path / "snapview" / "log" / "snapview.log").mkdir(parents=True)
    assert talk(tmp_path).stderr == ""


def test_it_can_be_shown_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logs.show_on_stderr()
    try:
        logging.getLogger("snapview.x").info("seen")
    finally:
        logging.getLogger("snapview").removeHandler(handler)
    assert capsys.readouterr().err == "INFO snapview.x: seen\n"


def test_the_path_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert logs.log_file() == tmp_path / "snapview" / "log" / "snapview.log"
