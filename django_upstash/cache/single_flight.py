"""
One computation per key and process: the first caller computes a missing value, the others wait for it.

Threads and tasks of all event loops wait alike. A waiter receives the value, or takes over when the leader fails.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final, NamedTuple

from django_upstash.forks import ForkSafeLock, reset_after_fork


class Lead:
    """The type of ``LEAD``: compute the value yourself."""

    def __repr__(self) -> str:
        return "<lead>"


LEAD: Final = Lead()


class Party(NamedTuple):
    """
    Who asks: a task or a thread, and the others it may wait for without blocking them.

    ``chain`` are the names of the flights that cannot land before this caller goes on, for it is part of what is
    computed there. ``thread`` is the one that a caller without an event loop runs in: a signal handler may ask for what
    its own thread computes. Each call is a party of its own.
    """

    is_task: bool = False
    waits: bool = True
    waits_for_tasks: bool = True
    chain: frozenset[Hashable] = frozenset()
    thread: int | None = None


class FlightWaiter(NamedTuple):
    """One who waits, for a landing or the lead, and the flights that wait with it."""

    party: Party
    future: Future[Any]
    held_up: list[Flight]


class Flight:
    """All who ask for one key at the moment, who of them computes it, and what was computed last."""

    __slots__ = ("awaits", "callers", "landing", "landings", "leader", "led_since", "waiting")

    def __init__(self) -> None:
        self.callers = self.landings = 0
        self.leader: Party | None = None
        self.led_since = 0.0
        self.awaits: list[Flight] = []
        self.landing: Any = None
        self.waiting: deque[FlightWaiter] = deque()


class Flights:
    """The flights of a process. A flight lasts while anybody asks for its key."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
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
        Return ``LEAD``, or where somebody has it, a ``FlightWaiter`` for that or the landing.

        It is None for a caller who must not wait: it would wait for one that waits for it, at however many removes.

        Where there have been more landings than the caller has ``seen`` before it looked, it is the last of them.
        """
        with self._lock:
            if flight.landings != seen:
                return flight.landing
            if flight.leader is None:
                self._lead(flight, party)
                return LEAD
            if not party.waits or (flight.leader.is_task and not party.waits_for_tasks):
                return None
            held_up = self._held_up_by(party)
            if _reaches(flight, held_up):
                return None
            waiter = FlightWaiter(party, Future(), held_up)
            for other in held_up:
                other.awaits.append(flight)
            flight.waiting.append(waiter)
            return waiter

    def take(self, flight: Flight, seen: int, party: Party) -> bool:
        """Take the lead, unless somebody has it, or has landed since; tell whether it was taken."""
        with self._lock:
            if flight.leader is not None or flight.landings != seen:
                return False
            self._lead(flight, party)
            return True

    def patience(self, flight: Flight, seconds: float) -> float:
        """Return how long to wait for the leader, which has ``seconds`` to compute."""
        return max(0.0, flight.led_since + seconds - monotonic())

    def take_over(self, flight: Flight, waiter: FlightWaiter, seconds: float) -> bool:
        """Take the lead of somebody who has had it for longer than ``seconds``; tell whether it was taken."""
        with self._lock:
            if waiter not in flight.waiting or self.patience(flight, seconds) > 0:
                return False
            flight.waiting.remove(waiter)
            self._lead(flight, waiter.party)
            return True

    def land(self, flight: Flight, leader: Party, landing: Any) -> None:
        """Give up the lead, and give everybody who waits the landing."""
        with self._lock:
            if flight.leader is leader:  # and nobody has taken over
                flight.leader = None
            flight.landings += 1
            flight.landing = landing
            waiting, flight.waiting = flight.waiting, deque()
        for waiter in waiting:
            if waiter.future.set_running_or_notify_cancel():
                waiter.future.set_result(landing)

    def pass_on(self, flight: Flight, leader: Party) -> None:
        """Give the lead to the next who waits, if anybody does."""
        while True:
            with self._lock:
                if flight.leader is not leader:
                    return
                flight.leader = None
                if not flight.waiting:
                    return
                waiter = flight.waiting.popleft()
                leader = waiter.party
                self._lead(flight, leader)
            if waiter.future.set_running_or_notify_cancel():
                waiter.future.set_result(LEAD)
                return

    def arrive(self, flight: Flight, waiter: FlightWaiter) -> None:
        """End a wait, however it has ended."""
        with self._lock:
            for other in waiter.held_up:
                other.awaits.remove(flight)

    def leave(self, flight: Flight, waiter: FlightWaiter) -> None:
        """Wait no longer; the lead, where it has been given meanwhile, goes to the next."""
        if not waiter.future.cancel() and waiter.future.result() is LEAD:
            self.pass_on(flight, waiter.party)

    def after_fork(self) -> None:
        """In a forked child: forget the parent's flights, whose waiters are not here."""
        for flight in self._flights.values():
            flight.waiting = deque()
        self._flights = {}

    def _lead(self, flight: Flight, party: Party) -> None:
        # The caller holds the lock.
        flight.leader, flight.led_since = party, monotonic()

    def _held_up_by(self, party: Party) -> list[Flight]:
        """Return the flights that cannot land while this caller waits. The lock is held."""
        return [
            flight
            for name, flight in self._flights.copy().items()  # the collector may end a visit meanwhile
            if name in party.chain
            or (party.thread is not None and flight.leader is not None and flight.leader.thread == party.thread)
        ]


def _reaches(flight: Flight, others: list[Flight]) -> bool:
    """Tell whether a flight is one of the others, or waits for one, directly or not."""
    seen: list[Flight] = []
    looking = [flight]
    while looking:
        at = looking.pop()
        if any(at is other for other in others):
            return True
        seen.append(at)
        looking += [other for other in at.awaits if not any(other is known for known in (*seen, *looking))]
    return False


flights = Flights()
reset_after_fork(flights.after_fork)
