"""Taking a lock: one token asks until the lock is taken or the time is over."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from django_upstash.connections import Connection
from django_upstash.exceptions import ConnectionError, TimeoutError
from django_upstash.forks import random
from django_upstash.locks import operations
from django_upstash.locks.holding import Holding, now
from django_upstash.operations import Operation, leases
from django_upstash.operations.steps import Flow, Run, Sleep

FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.02, 1.0, 2.0
LOST_REPLY = (ConnectionError, TimeoutError)


@dataclass
class Acquisition:
    """
    One acquisition of a lock, as its token asks for it.

    A request whose answer is lost may have taken the lock, or may yet. From then on the same token asks in a way that
    finds the lock its own; a second loss in a row is raised.
    """

    connection: Connection
    name: str
    token: str
    wait: float | None  # seconds; None: as long as it takes
    lease: float  # seconds
    fencing: bool
    _in_doubt: bool = False

    def steps(self) -> Flow[Holding | None]:
        """Ask until the lock is taken, and return the ``Holding``; None once the time is over."""
        gives_up = math.inf if self.wait is None else now() + self.wait
        for pause in pauses():
            holding = yield from self._ask()
            if holding is not None:
                return holding
            left = gives_up - now()
            if left <= 0:
                break
            yield Sleep(min(pause, left))
        if self._in_doubt:
            yield Run(self.connection, self._deleting())
        return None

    def _ask(self) -> Flow[Holding | None]:
        began = now()
        try:
            number: int | None = yield Run(self.connection, self._asking())
        except LOST_REPLY:
            self._in_doubt = True
            began = now()
            number = yield Run(self.connection, self._asking())
        ends = began + self.lease
        if number is not None and now() < ends:
            return Holding(self.token, ends, number if self.fencing else None)
        self._in_doubt = self._in_doubt or number is not None  # an answer that took longer than the lease
        return None

    def _asking(self) -> Operation[int | None]:
        return operations.acquire(
            self.connection.capabilities,
            self.name,
            self.token,
            milliseconds(self.lease),
            fencing=self.fencing,
            in_doubt=self._in_doubt,
        )

    def _deleting(self) -> Operation[int]:
        return leases.release(self.connection.capabilities, operations.key(self.name), self.token)


def pauses() -> Iterator[float]:
    """Yield the seconds between attempts: longer and longer, and never the same for two who wait."""
    longest = FIRST_PAUSE
    while True:
        yield longest * random.uniform(0.5, 1.0)
        longest = min(longest * GROWTH, LONGEST_PAUSE)


def milliseconds(seconds: float) -> int:
    """Return seconds in whole milliseconds, rounded up."""
    return math.ceil(seconds * 1000)
