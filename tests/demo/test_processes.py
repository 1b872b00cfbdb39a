"""Processes are told apart by what /proc says, and ended only if they still are the same."""

import os
import subprocess
import sys
from dataclasses import replace

from snapview.demo.processes import end, process_by_pid, processes
from tests.waiting import eventually

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)", "--marker=a b", ""]


def started() -> "subprocess.Popen[bytes]":
    """Start it, and wait until it is what it was started as and not Python's own copy."""
    child = subprocess.Popen(SLEEP)
    eventually(
        lambda: (found := process_by_pid(child.pid)) and list(found.arguments) == SLEEP, "no start"
    )
    return child


def test_a_process_is_found_with_its_arguments() -> None:
    child = started()
    try:
        found = process_by_pid(child.pid)
        assert found is not None
        assert found.pid == child.pid
        assert found.uid == os.geteuid()
        assert list(found.arguments) == SLEEP
        assert found in list(processes())
    finally:
        child.kill()
        child.wait()


def test_nobody_is_found_where_nobody_is() -> None:
    child = started()
    child.kill()
    child.wait()
    assert process_by_pid(child.pid) is None
    assert child.pid not in {each.pid for each in processes()}


def test_ending_ends_that_process_and_can_be_repeated() -> None:
    child, other = started(), started()
    try:
        found = process_by_pid(child.pid)
        assert found is not None
        end(found)
        assert child.wait(10) != 0
        end(found)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_another_process_under_the_same_number_is_left_alone() -> None:
    child = started()
    try:
        found = process_by_pid(child.pid)
        assert found is not None
        end(replace(found, arguments=("/usr/sbin/libvirtd", "-p", "/elsewhere")))
        assert child.poll() is None
        end(replace(found, uid=found.uid + 1))
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()
