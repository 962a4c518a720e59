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
from typing import Any, Final, NamedTuple


class Lead:
    """The type of ``LEAD``: compute the value yourself."""

    def __repr__(self) -> str:
        return "<lead>"


LEAD: Final = Lead()


class Party(NamedTuple):
    """Who asks: a task or a thread, and whom it may wait for without holding up whoever it waits for."""

    is_task: bool = False
    waits: bool = True
    waits_for_tasks: bool = True


class Waiter(NamedTuple):
    """One who waits, for a landing or the lead."""

    party: Party
    future: Future[Any]


class Flight:
    """All who ask for one key at the moment, who of them computes it, and what was computed last."""

    __slots__ = ("callers", "landing", "landings", "leader", "waiting")

    def __init__(self) -> None:
        self.callers = self.landings = 0
        self.leader: Party | None = None
        self.landing: Any = None
        self.waiting: deque[Waiter] = deque()


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

    def join(self, flight: Flight, seen: int, party: Party) -> Any:
        """
        Return ``LEAD``, or where somebody has it, a ``Waiter`` for that or the landing, None for who must not wait.

        Where there have been more landings than the caller has ``seen`` before it looked, it is the last of them.
        """
        with self._lock:
            if flight.landings != seen:
                return flight.landing
            if flight.leader is None:
                flight.leader = party
                return LEAD
            if not party.waits or (flight.leader.is_task and not party.waits_for_tasks):
                return None
            waiter = Waiter(party, Future())
            flight.waiting.append(waiter)
            return waiter

    def take(self, flight: Flight, seen: int, party: Party) -> bool:
        """Take the lead, unless somebody has it, or has landed since; tell whether it was taken."""
        with self._lock:
            if flight.leader is not None or flight.landings != seen:
                return False
            flight.leader = party
            return True

    def land(self, flight: Flight, landing: Any) -> None:
        """Give up the lead, and give everybody who waits the landing."""
        with self._lock:
            flight.leader = None
            flight.landings += 1
            flight.landing = landing
            waiting, flight.waiting = flight.waiting, deque()
        for _, future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(landing)

    def pass_on(self, flight: Flight) -> None:
        """Give the lead to the next who waits, if anybody does."""
        while True:
            with self._lock:
                flight.leader = None
                if not flight.waiting:
                    return
                flight.leader, future = flight.waiting.popleft()
            if future.set_running_or_notify_cancel():
                future.set_result(LEAD)
                return

    def leave(self, flight: Flight, waiter: Waiter) -> None:
        """Wait no longer; the lead, where it has been given meanwhile, goes to the next."""
        if not waiter.future.cancel() and waiter.future.result() is LEAD:
            self.pass_on(flight)

    def after_fork(self) -> None:
        """In a forked child: forget the parent's flights, whose waiters are not here."""
        self._lock = threading.Lock()
        for flight in self._flights.values():
            flight.waiting = deque()
        self._flights = {}


flights = Flights()
os.register_at_fork(after_in_child=flights.after_fork)
