"""What ends a wait for an answer: the kernel, where no timer can interrupt it, and ``poll`` everywhere else."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from django_upstash.wire.sockets import Line

LONG = 20.0
SHORT = 0.05
TIMERS = [signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF]


@pytest.fixture
def pair() -> Iterator[tuple[Line, socket.socket]]:
    """A line that the kernel may watch for a short time, and its other end."""
    ours, peer = socket.socketpair()
    line = Line(ours)
    line.set_kernel_timeout(SHORT)
    with ours, peer:
        yield line, peer


def receive(line: Line, seconds: float) -> int:
    return line.receive(bytearray(8), monotonic() + seconds, remaining=seconds)


def waited(line: Line) -> list[float]:
    """Return the list of the times, in milliseconds, that ``poll`` is asked to wait from now on."""
    times: list[float] = []
    wait = line.wait

    def noting(milliseconds: float) -> object:
        times.append(milliseconds)
        return wait is not None and wait(milliseconds)

    line.wait = noting
    return times


def test_receive__is_one_system_call(pair: tuple[Line, socket.socket]) -> None:
    line, peer = pair
    times = waited(line)
    peer.send(b"xy")
    assert (receive(line, SHORT), times) == (2, [])


@pytest.mark.parametrize("timer", TIMERS, ids=lambda timer: str(timer.name))
def test_receive__polls_where_a_timer_has_a_handler(pair: tuple[Line, socket.socket], timer: signal.Signals) -> None:
    line, peer = pair
    times = waited(line)
    peer.send(b"xy")
    before = signal.signal(timer, lambda number, frame: None)
    try:
        assert receive(line, SHORT) == 2
    finally:
        signal.signal(timer, before)
    assert len(times) == 1


def test_receive__polls_where_less_is_left_than_the_kernel_waits(pair: tuple[Line, socket.socket]) -> None:
    line, peer = pair
    times = waited(line)
    peer.send(b"xy")
    assert (receive(line, SHORT / 2), len(times)) == (2, 1)


def test_receive__goes_on_after_the_kernels_timeout(pair: tuple[Line, socket.socket]) -> None:
    line, peer = pair
    sender = threading.Timer(4 * SHORT, peer.send, [b"x"])
    sender.start()
    assert receive(line, LONG) == 1
    sender.join()


def test_receive__raises_after_the_deadline(pair: tuple[Line, socket.socket]) -> None:
    line, _ = pair
    began = monotonic()
    with pytest.raises(TimeoutError):
        receive(line, 2 * SHORT)
    assert monotonic() - began >= 2 * SHORT


def test_receive__waits_no_longer_than_the_deadline_where_the_kernel_watched_it() -> None:
    ours, peer = socket.socketpair()
    with ours, peer:
        line = Line(ours)
        line.set_kernel_timeout(SHORT)
        times = waited(line)
        with pytest.raises(TimeoutError):
            line.receive(bytearray(8), monotonic() + SHORT, least=LONG, remaining=SHORT)
        assert len(times) == 1
        assert times[0] <= 1000 * SHORT
