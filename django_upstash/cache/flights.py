"""
One computation per key and process: who finds a value missing computes it, and whoever else asks meanwhile waits.

Threads and tasks of all event loops wait alike. A waiter is given the value, or the lead where the one before failed.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final, TypeAlias


class Lead:
    """The type of ``LEAD``: compute the value yourself."""

    def __repr__(self) -> str:
        return "<lead>"


LEAD: Final = Lead()
Landing: TypeAlias = Any
Waiting: TypeAlias = "Future[Landing | Lead]"


class Flight:
    """All who ask for one key at the moment, whether one of them computes it, and what was computed last."""

    __slots__ = ("callers", "landing", "landings", "led", "waiting")

    def __init__(self) -> None:
        self.callers = self.landings = 0
        self.led = False
        self.landing: Landing = None
        self.waiting: deque[Waiting] = deque()


class Flights:
    """The flights of a process. A flight lasts while anybody asks for its key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, Flight] = {}

    @contextmanager
    def visit(self, name: Hashable) -> Iterator[Flight]:
        """Take part in the flight of this name from before the first look at the cache until the value is known."""
        with self._lock:
            flight = self._flights.setdefault(name, Flight())
            flight.callers += 1
        try:
            yield flight
        finally:
            with self._lock:
                flight.callers -= 1
                if not flight.callers and self._flights.get(name) is flight:
                    del self._flights[name]

    def join(self, flight: Flight, seen: int) -> Waiting | Landing | Lead:
        """
        Return ``LEAD``, or a future of that or of the landing where somebody else has the lead.

        Where there have been more landings than the caller has ``seen`` before it looked, it is the last of them.
        """
        with self._lock:
            if flight.landings != seen:
                return flight.landing
            if not flight.led:
                flight.led = True
                return LEAD
            waiting: Waiting = Future()
            flight.waiting.append(waiting)
            return waiting

    def take(self, flight: Flight, seen: int) -> bool:
        """Take the lead, unless somebody has it, or has landed since; tell whether it was taken."""
        with self._lock:
            if flight.led or flight.landings != seen:
                return False
            flight.led = True
            return True

    def land(self, flight: Flight, landing: Landing) -> None:
        """Give up the lead, and everybody who waits the value."""
        with self._lock:
            flight.led = False
            flight.landings += 1
            flight.landing = landing
            waiting, flight.waiting = flight.waiting, deque()
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(landing)

    def pass_on(self, flight: Flight) -> None:
        """Give the lead to the next who waits, if anybody does."""
        while True:
            with self._lock:
                if not flight.waiting:
                    flight.led = False
                    return
                future = flight.waiting.popleft()
            if future.set_running_or_notify_cancel():
                future.set_result(LEAD)
                return

    def leave(self, flight: Flight, waiting: Waiting) -> None:
        """Wait no longer; the lead that has been given meanwhile goes to the next."""
        if not waiting.cancel() and waiting.result() is LEAD:
            self.pass_on(flight)

    def after_fork(self) -> None:
        """In a forked child: forget the parent's flights, whose waiters are not here."""
        self._lock = threading.Lock()
        for flight in self._flights.values():
            flight.waiting = deque()
        self._flights = {}


flights = Flights()
os.register_at_fork(after_in_child=flights.after_fork)
