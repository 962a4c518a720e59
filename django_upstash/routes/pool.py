"""A bounded, fair pool of open wires, each used by one thread at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Generic, Protocol, TypeVar

from django_upstash.exceptions import MaxConnectionsError

# A wire idle for longer is looked at before use: a poll costs a microsecond, a lost request a retry or an error.
IDLE_BEFORE_CHECK = 0.01


class Wire(Protocol):
    """One open connection to the server."""

    epoch: object  # the pool's, when it opened the wire: a wire of an earlier epoch is closed when it comes back
    idle_since: float

    def is_alive(self) -> bool:
        """Tell whether the peer has neither closed the wire nor sent anything unasked."""
        ...

    def close(self) -> None: ...


W = TypeVar("W", bound=Wire)


class _Waiter(Generic[W]):
    """A thread in the queue: what it waits for is either a wire or, as None, the right to open one."""

    def __init__(self) -> None:
        self.served = threading.Event()
        self.wire: W | None = None
        self.epoch: object = None


class Pool(Generic[W]):
    """
    At most ``size`` wires, last used first. Who finds all in use waits in line, up to ``timeout`` seconds.

    A wire that comes back goes to whoever has waited longest: otherwise the thread that just released it would take
    it again before the waiting one wakes. The common path takes no lock, for ``deque`` operations are atomic; a thread
    joins the line before it looks once more, and one that releases looks at the line after, so no wake-up is lost.
    """

    def __init__(self, open_wire: Callable[[], W], size: int, timeout: float) -> None:
        self._open_wire = open_wire
        self._size = size
        self._timeout = timeout
        self._start()

    def _start(self) -> None:
        self._idle: deque[W] = deque()
        self._line: deque[_Waiter[W]] = deque()
        self._lock = threading.Lock()
        self._opened = 0
        self._epoch = object()
        self._is_closed = False

    def __len__(self) -> int:
        """Return how many wires are open."""
        return self._opened

    def acquire(self, *, verify: bool = False) -> W:
        """
        Return a wire for the caller's sole use; raise ``MaxConnectionsError`` when none became free in time.

        ``verify`` looks at the wire even if it has been used just now: where one was lost, others may be.
        """
        while True:
            try:
                wire = self._idle.pop()
            except IndexError:
                waiter = self._wait_in_line()
                if waiter.wire is None:
                    return self._open(waiter.epoch)  # not looked at: TLS sends tickets unasked right after a handshake
                wire = waiter.wire
            if (not verify and monotonic() - wire.idle_since < IDLE_BEFORE_CHECK) or wire.is_alive():
                return wire
            self.discard(wire)

    def release(self, wire: W) -> None:
        """Take a wire back for the next caller."""
        if self._is_closed or wire.epoch is not self._epoch:
            self.discard(wire)
            return
        wire.idle_since = monotonic()
        self._idle.append(wire)
        if self._line:
            self._serve()

    def discard(self, wire: W) -> None:
        """Close a wire whose state is unknown, and make room for a new one."""
        wire.close()
        self._make_room(wire.epoch)

    def close(self) -> None:
        """Close every idle wire now, and those in use, or opened by stragglers, as they come back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, deque()
            self._opened, self._epoch = 0, object()
        while idle:
            idle.pop().close()
        self._serve()

    def after_fork(self) -> None:
        """
        In a forked child: start empty.

        Closing the child's copies of the sockets sends nothing, so the parent's connections live on; kept open, they
        would hold those connections up after the parent has closed them.
        """
        inherited = self._idle
        self._start()
        for wire in inherited:
            wire.close()

    def _make_room(self, epoch: object) -> None:
        with self._lock:
            if epoch is self._epoch:
                self._opened -= 1
        if self._line:
            self._serve()

    def _serve(self) -> None:
        with self._lock:
            while self._line:
                wire: W | None = None
                with suppress(IndexError):
                    wire = self._idle.pop()
                if wire is None:
                    if self._opened >= self._size:
                        return
                    self._opened += 1
                waiter = self._line.popleft()
                waiter.wire, waiter.epoch = wire, self._epoch
                waiter.served.set()

    def _wait_in_line(self) -> _Waiter[W]:
        waiter: _Waiter[W] = _Waiter()
        self._line.append(waiter)
        self._serve()
        try:
            was_served = waiter.served.wait(self._timeout)
        except BaseException:  # a signal's, such as Celery's soft time limit
            self._give_up(waiter)
            raise
        if not was_served and self._leave(waiter):
            raise all_in_use(self._size, self._timeout)
        return waiter

    def _give_up(self, waiter: _Waiter[W]) -> None:
        if self._leave(waiter):
            return
        if waiter.wire is not None:
            self.release(waiter.wire)
        else:
            self._make_room(waiter.epoch)

    def _leave(self, waiter: _Waiter[W]) -> bool:
        with self._lock:
            if waiter.served.is_set():
                return False
            self._line.remove(waiter)
            return True

    def _open(self, epoch: object) -> W:
        try:
            wire = self._open_wire()
        except BaseException:
            self._make_room(epoch)
            raise
        wire.epoch = epoch
        return wire


def all_in_use(size: int, seconds: float) -> MaxConnectionsError:
    """Return the error of a caller who waited in line for so many seconds."""
    return MaxConnectionsError(
        f"All {size} connections were in use for {seconds:g} s; "
        "raise MAX_CONNECTIONS or POOL_TIMEOUT, or do less at once."
    )
