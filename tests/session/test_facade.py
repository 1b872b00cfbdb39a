"""Closing at every moment, and work in the background."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from snapview.core.operations import CreateSnapshot, DeleteSnapshot
from snapview.session import JobState, Session, Timing
from tests.conftest import AllowLog
from tests.fakes import FakeWorld
from tests.session.witness import DB, ONE, WEB, Witness


@pytest.mark.parametrize("moment", ["at once", "connected", "lost", "listed"])
def test_closing_ends_the_threads(qtbot: QtBot, world: FakeWorld, moment: str) -> None:
    session = Session(world.make_host)
    witness = Witness(session, qtbot)
    session.open(ONE)
    if moment != "at once":
        witness.wait(lambda: world.calls["connect"] >= 1)
    if moment in {"listed", "lost"}:
        session.select(WEB)
        witness.wait_for_vm()
    if moment == "lost":
        world.go_down()
    assert session.close()
    assert session.close()
    assert session.connections == ()


def test_closing_aborts_running_jobs_and_drops_the_others(world: FakeWorld, shown: Witness) -> None:
    world.hold_jobs()
    running = shown.session.submit(WEB, CreateSnapshot(WEB.uuid, "running"))
    shown.wait(lambda: world.waiting_jobs == 1)  # the thread is busy, so the others are queued
    other = shown.session.submit(DB, CreateSnapshot(DB.uuid, "other"))
    queued = shown.session.submit(WEB, CreateSnapshot(WEB.uuid, "queued"))
    waiting = shown.session.submit(WEB, DeleteSnapshot(WEB.uuid, ("tuned",)), grace_seconds=3600)
    shown.wait_for_job(running, JobState.RUNNING)
    assert shown.session.close()
    assert world.calls["abort"] == 1
    assert shown.job(queued).state is JobState.CANCELLED
    assert shown.job(waiting).state is JobState.CANCELLED
    assert shown.job(other).state is JobState.CANCELLED
    assert world.calls["start"] == 1
    assert {s.name for s in world.vm(WEB.uuid).tree}.isdisjoint({"running", "queued"})
    assert "tuned" in world.vm(WEB.uuid).tree
    assert "other" not in world.vm(DB.uuid).tree


def test_a_removed_connections_job_ends_too(world: FakeWorld, shown: Witness) -> None:
    world.hold_jobs()
    running = shown.session.submit(WEB, CreateSnapshot(WEB.uuid, "running"))
    queued = shown.session.submit(WEB, CreateSnapshot(WEB.uuid, "queued"))
    shown.wait_for_job(running, JobState.RUNNING)
    shown.session.remove_connection(ONE)
    assert shown.job(queued).state is JobState.CANCELLED
    shown.wait_for_job(running, JobState.CANCELLED)
    shown.wait(lambda: world.calls["close"] == 2)


def test_closing_does_not_wait_for_ever(
    qtbot: QtBot, world: FakeWorld, allow_log: AllowLog
) -> None:
    allow_log("does not answer")
    session = Session(world.make_host, Timing(close_seconds=0.01))
    world.hold_reads()
    session.open(ONE)
    qtbot.waitUntil(lambda: world.waiting_reads > 0)
    assert not session.close()
    world.release_reads()
    qtbot.waitUntil(session.close)


def test_background_work_is_done_elsewhere_and_before_closing(
    qtbot: QtBot, world: FakeWorld
) -> None:
    session = Session(world.make_host)
    threads: list[int] = []
    session.run_in_background(lambda: threads.append(threading.get_ident()))
    session.run_in_background(lambda: threads.append(threading.get_ident()))
    assert session.close()
    assert len(threads) == 2
    assert threading.get_ident() not in threads


def test_background_work_that_fails_is_logged(
    qtbot: QtBot, world: FakeWorld, allow_log: AllowLog
) -> None:
    allow_log("in the background failed")
    session = Session(world.make_host)

    def fail() -> None:
        raise OSError("disk full")

    session.run_in_background(fail)
    assert session.close()


def test_sharing_glibs_main_loop_with_libvirt_is_reported() -> None:
    code = (
        "from PySide6.QtCore import QCoreApplication\n"
        "from snapview.session import Session\n"
        "app = QCoreApplication([])\n"
        "Session(lambda uri: None).close()\n"
    )
    for chosen, complains in (("1", False), ("", True)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "QT_NO_GLIB": chosen},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ("share GLib" in done.stderr) is complains
