import os
import signal
import threading

import pytest

from snapview.cli.errand import Errand, GaveUp, cancellable, interruptible
from snapview.core.errors import HostError


def test_results_and_errors_come_back() -> None:
    assert interruptible(divmod, 7, 2) == (3, 1)

    def fail() -> None:
        raise HostError("It failed.")

    with pytest.raises(HostError, match="It failed"):
        interruptible(fail)


def test_waiting_says_whether_the_end_has_come() -> None:
    gate = threading.Event()
    errand = Errand(lambda: gate.wait(60))
    assert not errand.wait(0.01)
    gate.set()
    assert errand.wait(60)
    assert errand.result()


def test_the_first_ctrl_c_cancels_and_the_end_is_awaited() -> None:
    asked = threading.Event()
    ticks: list[int] = []

    def work() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.wait(60)
        return "stopped in order"

    done = cancellable(work, cancel=asked.set, tick=lambda: ticks.append(1))
    assert done == "stopped in order"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_ctrl_c_gives_up() -> None:
    gate = threading.Event()

    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        gate.wait(60)

    try:
        with pytest.raises(GaveUp):
            cancellable(work, cancel=lambda: os.kill(os.getpid(), signal.SIGINT))
    finally:
        gate.set()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert cancellable(lambda: os.kill(os.getpid(), signal.SIGINT), cancel=pytest.fail) is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)


def test_ctrl_c_ends_the_wait_whichever_thread_takes_the_signal() -> None:
    release, strike_now = threading.Event(), threading.Event()

    def strike() -> None:
        strike_now.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    striker = threading.Thread(target=strike)
    striker.start()
    errand = Errand(lambda: release.wait(30))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        strike_now.set()
        with pytest.raises(KeyboardInterrupt):
            errand.result()
        assert not errand.wait(0), "it came only when the work was over"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        release.set()
        striker.join()
