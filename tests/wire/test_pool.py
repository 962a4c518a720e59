"""The pool, over real sockets: bounded, fair, and never handing out a dead wire."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from django_upstash.exceptions import ConnectionError, MaxConnectionsError
from django_upstash.wire.places import Place
from django_upstash.wire.pool import IDLE_BEFORE_CHECK, Pool
from django_upstash.wire.sockets import is_quiet


class PairWire:
    """One end of a socket pair; the other is the peer."""

    place: Place | None = None
    haste: Place | None = None

    def __init__(self) -> None:
        self.socket, self.peer = socket.socketpair()
        self.idle_since = self.taken = monotonic()

    def is_alive(self) -> bool:
        return is_quiet(self.socket)

    def close(self) -> None:
        self.socket.close()
        self.peer.close()

    @property
    def is_closed(self) -> bool:
        return self.socket.fileno() == -1


@pytest.fixture
def opened() -> Iterator[list[PairWire]]:
    wires: list[PairWire] = []
    yield wires
    for wire in wires:
        wire.close()


def make_pool(opened: list[PairWire], size: int = 2, timeout: float = 0.05) -> Pool[PairWire]:
    def open_wire() -> PairWire:
        opened.append(PairWire())
        return opened[-1]

    return Pool(open_wire, size, timeout)


def rest(wire: PairWire) -> None:
    """Make a wire look as if it had been idle for long."""
    wire.idle_since -= 2 * IDLE_BEFORE_CHECK


def test_acquire__reuses_the_wire_used_last(opened: list[PairWire]) -> None:
    pool = make_pool(opened)
    first, second = pool.acquire(), pool.acquire()
    pool.release(first)
    pool.release(second)
    assert pool.acquire() is second
    assert len(opened) == len(pool) == 2


def test_acquire__waits_no_longer_than_the_timeout(opened: list[PairWire]) -> None:
    pool = make_pool(opened, size=1)
    wire = pool.acquire()
    with pytest.raises(MaxConnectionsError, match=r"All 1 connections were in use for 0\.05 s; raise MAX_CONNECTIONS"):
        pool.acquire()
    pool.release(wire)
    assert pool.acquire() is wire


def test_acquire__finds_a_wire_that_the_peer_closed(opened: list[PairWire]) -> None:
    pool = make_pool(opened)
    dead = pool.acquire()
    pool.release(dead)
    dead.peer.close()
    rest(dead)
    assert pool.acquire() is not dead
    assert dead.is_closed
    assert len(pool) == 1


def test_acquire__verify_looks_at_a_wire_used_just_now(opened: list[PairWire]) -> None:
    pool = make_pool(opened)
    dead = pool.acquire()
    pool.release(dead)
    dead.peer.close()
    assert pool.acquire(verify=True) is not dead


def test_acquire__finds_a_wire_with_bytes_nobody_asked_for(opened: list[PairWire]) -> None:
    pool = make_pool(opened)
    dirty = pool.acquire()
    pool.release(dirty)
    dirty.peer.sendall(b"+OK\r\n")
    rest(dirty)
    assert pool.acquire() is not dirty


def test_acquire__a_failed_opening_leaves_room(opened: list[PairWire]) -> None:
    failures = [ConnectionError("refused")] * 3

    def open_wire() -> PairWire:
        if failures:
            raise failures.pop()
        opened.append(PairWire())
        return opened[-1]

    pool = Pool(open_wire, 1, 0.05)
    for _ in range(3):
        with pytest.raises(ConnectionError, match="refused"):
            pool.acquire()
    assert pool.acquire() is opened[0]


def test_release__serves_who_has_waited_longest_before_the_one_that_releases(opened: list[PairWire]) -> None:
    pool = make_pool(opened, size=1, timeout=5)
    wire = pool.acquire()
    served = threading.Event()

    def wait_for_wire() -> None:
        taken = pool.acquire()
        served.set()
        pool.release(taken)

    waiter = threading.Thread(target=wait_for_wire)
    waiter.start()
    while not pool._line:
        pass
    pool.release(wire)
    assert not pool._idle or served.is_set()  # handed over, not left for whoever comes first
    again = pool.acquire()
    assert served.is_set()
    pool.release(again)
    waiter.join()


def test_discard__makes_room_for_who_waits(opened: list[PairWire]) -> None:
    pool = make_pool(opened, size=1, timeout=5)
    wire = pool.acquire()
    taken: list[PairWire] = []
    waiter = threading.Thread(target=lambda: taken.append(pool.acquire()))
    waiter.start()
    while not pool._line:
        pass
    pool.discard(wire)
    waiter.join()
    assert taken == [opened[1]]
    assert wire.is_closed


def test_close__closes_idle_wires_now_and_the_others_as_they_come_back(opened: list[PairWire]) -> None:
    pool = make_pool(opened)
    idle, busy = pool.acquire(), pool.acquire()
    pool.release(idle)
    pool.close()
    assert [idle.is_closed, busy.is_closed] == [True, False]
    pool.release(busy)
    assert [idle.is_closed, busy.is_closed] == [True, True]
    assert len(pool) == 0
    assert pool.acquire() not in (idle, busy)


def test_close__what_a_straggler_opens_afterwards_is_not_kept(opened: list[PairWire]) -> None:
    pool = make_pool(opened)
    pool.close()
    wire = pool.acquire()
    pool.release(wire)
    assert wire.is_closed
    assert len(pool) == 0


def test_pool__under_more_threads_than_wires(opened: list[PairWire]) -> None:
    pool = make_pool(opened, size=4, timeout=10)
    in_use: set[PairWire] = set()
    mistakes: list[str] = []

    def work() -> None:
        for turn in range(300):
            wire = pool.acquire()
            if wire in in_use:
                mistakes.append("shared")
            in_use.add(wire)
            in_use.discard(wire)
            (pool.discard if turn % 50 == 49 else pool.release)(wire)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not mistakes
    assert len(pool) <= 4
    assert sum(not wire.is_closed for wire in opened) == len(pool)
