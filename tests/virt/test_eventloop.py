"""libvirt's event loop: runs while somebody needs it, and nobody can hold it up for long."""

import threading

import libvirt

from snapview.virt.eventloop import LONGEST_PAUSE_SECONDS, EventLoop


def loops() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "libvirt-events"]


def beats_within(seconds: float) -> bool:
    beat = threading.Event()
    timer = libvirt.virEventAddTimeout(0, lambda *_: beat.set(), None)
    try:
        return beat.wait(seconds)
    finally:
        libvirt.virEventRemoveTimeout(timer)


def test_it_runs_while_it_is_needed_and_again_later() -> None:
    loop = EventLoop(libvirt)
    for _ in range(3):
        loop.acquire()
        loop.acquire()
        assert len(loops()) == 1
        assert beats_within(10)
        loop.release()
        assert beats_within(10)
        loop.release()
        assert not loops()


def test_a_pause_that_does_not_end_does_not_stop_it() -> None:
    loop = EventLoop(libvirt)
    loop.acquire()
    with loop.paused():
        assert beats_within(10 * LONGEST_PAUSE_SECONDS)
    assert beats_within(10)
    loop.release()
