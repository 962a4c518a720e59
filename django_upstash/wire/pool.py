"""A bounded, fair pool of open wires, each used by one thread at a time."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from django_upstash.exceptions import PoolTimeoutError
from django_upstash.forks import ForkSafeLock, check_fork, mark
from django_upstash.wire.places import Place, Places

# A wire idle for longer is looked at before use: a poll costs a microsecond, a lost request a retry or an error.
IDLE_BEFORE_CHECK = 0.01
# Seconds between two looks of a thread that waits: a place that an exception has freed wakes nobody.
_BETWEEN_LOOKS = 0.1


class Wire(Protocol):
    """One open connection to the server."""

    place: Place | None  # the pool's, as long as the wire is open
    haste: Place | None  # held while an impatient caller uses the wire
    idle_since: float
    taken: float  # when its present user got it, in ``monotonic()`` time

    def is_alive(self) -> bool:
        """Tell whether the peer has neither closed the wire nor sent anything unasked."""
        ...

    def close(self) -> None: ...


W = TypeVar("W", bound=Wire)


class Waiter(Generic[W]):
    """A thread in the line: what it is given is either a wire or the place for one."""

    __slots__ = ("bell", "given", "is_patient")

    def __init__(self, is_patient: bool) -> None:
        self.is_patient = is_patient
        self.given: deque[W | Place] = deque()
        self.bell = threading.Lock()
        self.bell.acquire()

    def give(self, what: W | Place) -> None:
        self.given.append(what)
        with suppress(RuntimeError):  # it rings already
            self.bell.release()


class Stock(Generic[W]):
    """
    The wires of an alias, and the line of those who wait for one: pools with other deadlines share them.

    Where deadlines differ, the patient leave one wire of three or more to the impatient: otherwise calls that wait
    long for a silent server would keep a limit from finding that out in its own, shorter time.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.idle: deque[W] = deque()
        self.line: deque[Waiter[W]] = deque()
        self.places = Places(size)
        self.impatient = Places(sys.maxsize)
        self._patience: WeakKeyDictionary[Pool[W], float] = WeakKeyDictionary()
        self._lock = ForkSafeLock()

    def join(self, pool: Pool[W], patience: float) -> None:
        with self._lock:
            self._patience[pool] = patience
            self._judge_patience()

    def leave(self, pool: Pool[W]) -> None:
        with self._lock:
            self._patience.pop(pool, None)
            self._judge_patience()
            if not self._patience:
                self.places.reset()

    def reset(self) -> None:
        """In a forked child: forget everything of the parent's."""
        self.line.clear()
        self.places.reset()
        self.impatient.reset()
        while self.idle:
            self.idle.pop().close()

    def is_last_kept(self) -> bool:
        """Tell whether what a patient caller has just taken is what is kept for the impatient."""
        return not self.idle and len(self.places) >= self.size and not len(self.impatient)

    def make_place(self) -> Place | None:
        """Return a place for a connection outside of the pools, that of an idle wire if need be; None without any."""
        place = self.places.take()
        while place is None:
            try:
                wire = self.idle.pop()
            except IndexError:
                return None
            wire.close()
            if wire.place is not None:
                wire.place.free()
            place = self.places.take()
        return place

    def _judge_patience(self) -> None:
        longest = max(self._patience.values(), default=0.0)
        for pool, patience in self._patience.items():
            pool.is_hurried = patience < longest
            pool.leaves_one = self.size > 2 and patience == longest > min(self._patience.values())


class Pool(Generic[W]):
    """
    At most ``size`` wires, last used first. When every wire is in use, callers queue for up to ``timeout`` seconds.

    A wire that comes back goes to the thread that has waited longest: otherwise the thread that just released it
    would take it again before the waiting one wakes. There is no lock: each step on a ``deque`` or a ``dict`` is
    atomic. A thread joins the line before it looks once more, and one that releases looks at the line after, so no
    wake-up is lost. An exception that a signal raises between any two steps loses a wire at most, and no place.
    """

    is_hurried = leaves_one = False  # as the stock judges, among the pools that share it

    def __init__(
        self,
        open_wire: Callable[[], W],
        size: int,
        timeout: float,
        *,
        stock: Stock[W] | None = None,
        patience: float = 0.0,
    ) -> None:
        self._open_wire = open_wire
        self._size = size
        self._timeout = timeout
        self._stock: Stock[W] = Stock(size) if stock is None else stock
        self._idle, self._line, self._places = self._stock.idle, self._stock.line, self._stock.places
        self._is_closed = False
        self._stock.join(self, patience)

    def __len__(self) -> int:
        """Return how many wires are open."""
        return len(self._places)

    def acquire(self, *, verify: bool = False) -> W:
        """
        Return a wire for the caller's sole use; raise ``PoolTimeoutError`` when none became free in time.

        ``verify`` looks at the wire even if it has been used just now: where one was lost, others may be.
        """
        if not mark[0]:
            check_fork()
        while True:
            try:
                wire: W | None = self._idle.pop()
            except IndexError:
                wire = None  # a new one is opened outside of this block: its errors have nothing to do with this one
            if wire is None or (self.leaves_one and self._stock.is_last_kept()):
                given = self._next(wire)
                if isinstance(given, Place):
                    # Not looked at: TLS sends tickets unasked right after a handshake.
                    return self._open(given, self._open_wire)
                wire = given
            if self.is_hurried:
                wire.haste = self._stock.impatient.take()
            wire.taken = now = monotonic()
            if (not verify and now - wire.idle_since < IDLE_BEFORE_CHECK) or wire.is_alive():
                return wire
            self.discard(wire)

    def release(self, wire: W) -> None:
        """Take a wire back for the next caller."""
        wire.haste = None
        if self._is_closed or wire.place is None or wire.place.home is not self._places.home:
            self.discard(wire)
            return
        wire.idle_since = monotonic()
        self._idle.append(wire)
        if self._line:
            self._serve()

    def discard(self, wire: W) -> None:
        """Close a wire whose state is unknown, and make room for a new one."""
        wire.haste = None
        wire.close()
        if wire.place is not None:
            wire.place.free()
        if self._line:
            self._serve()

    def replace(self, wire: W, open_wire: Callable[[], W]) -> W:
        """Close a wire and return a new one in its place, so that nobody comes in between."""
        place, wire.place = wire.place, None
        wire.haste = None
        wire.close()
        if place is None or place.home is not self._places.home:
            return self.acquire(verify=True)
        return self._open(place, open_wire)

    def retire(self, before: float) -> None:
        """Close the wires idle since before that ``monotonic()`` time: what befell one may have befallen all."""
        for wire in list(self._idle):
            if wire.idle_since <= before:
                with suppress(ValueError):  # somebody has taken it
                    self._idle.remove(wire)
                    self.discard(wire)

    def close(self) -> None:
        """Close every idle wire now, and this pool's in use, or opened by stragglers, as they come back."""
        check_fork()
        self._is_closed = True
        self._stock.leave(self)
        while self._idle:
            with suppress(IndexError):
                self.discard(self._idle.pop())
        self._serve()

    def after_fork(self) -> None:
        """
        In a forked child: start empty.

        Closing the child's copies of the sockets sends nothing, so the parent's connections live on; kept open, they
        would hold those connections up after the parent has closed them.
        """
        self._is_closed = False
        self._stock.reset()

    def _serve(self) -> None:
        """Give those in line what there is, the first of them first."""
        while self._line:
            what = self._free()
            if what is None:
                return
            waiter = self._first(self._stock.is_last_kept())
            if waiter is not None:
                waiter.give(what)
                continue
            self._put_back(what)
            if all(waiter.is_patient for waiter in list(self._line)):
                return

    def _first(self, is_kept: bool) -> Waiter[W] | None:
        """Take the first in line out of it; where the last wire is kept, the first who may have it."""
        for waiter in list(self._line):
            if not (is_kept and waiter.is_patient):
                with suppress(ValueError):  # it has just left
                    self._line.remove(waiter)
                    return waiter
        return None

    def _next(self, last: W | None) -> W | Place:
        """Return a free wire or place, or wait for one; ``last`` is what this patient caller must leave to others."""
        if last is not None:
            self._put_back(last)
            return self._wait_in_line()
        place = self._places.take()
        if place is not None and self.leaves_one and self._stock.is_last_kept():
            self._put_back(place)
            place = None
        return place or self._wait_in_line()

    def _free(self) -> W | Place | None:
        with suppress(IndexError):
            return self._idle.pop()
        return self._places.take()

    def _put_back(self, what: W | Place) -> None:
        if isinstance(what, Place):
            what.free()
        elif what.place is not None and what.place.home is self._places.home:
            self._idle.append(what)
        else:
            what.close()

    def _wait_in_line(self) -> W | Place:
        waiter: Waiter[W] = Waiter(self.leaves_one)
        # Where the server is silent, those before may wait for it exactly as long: they tell of the outage first.
        deadline = monotonic() + self._timeout + _BETWEEN_LOOKS
        try:
            self._line.append(waiter)
            while not waiter.given:
                remaining = deadline - monotonic()
                self._serve()
                waiter.bell.acquire(timeout=max(0.0, min(remaining, _BETWEEN_LOOKS)))
                if remaining <= 0 and not waiter.given:
                    raise all_in_use(self._size, self._timeout)
                if waiter not in self._line:  # the thread that was to serve it may have been interrupted
                    self._line.appendleft(waiter)
            return waiter.given.popleft()
        finally:
            self._leave(waiter)

    def _leave(self, waiter: Waiter[W]) -> None:
        with suppress(ValueError):
            self._line.remove(waiter)
        while waiter.given:  # what came too late, or twice
            self._put_back(waiter.given.popleft())
        if self._line:
            self._serve()

    def _open(self, place: Place, open_wire: Callable[[], W]) -> W:
        try:
            wire = open_wire()
        except BaseException:
            self._put_back(place)
            if self._line:
                self._serve()
            raise
        wire.place, wire.taken = place, monotonic()
        if self.is_hurried:
            wire.haste = self._stock.impatient.take()
        return wire


def all_in_use(size: int, seconds: float) -> PoolTimeoutError:
    """Return the error of a caller who waited in line for so many seconds."""
    return PoolTimeoutError(
        f"All {size} connections were in use for {seconds:g} s; "
        "raise MAX_CONNECTIONS or POOL_TIMEOUT, or do less at once."
    )
