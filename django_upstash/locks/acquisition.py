"""Taking a lock: one token asks until the lock is taken or the time is over."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from django_upstash.exceptions import ConnectionError, TimeoutError
from django_upstash.forks import random
from django_upstash.locks import operations
from django_upstash.locks.holding import Holding, now
from django_upstash.operations import Operation
from django_upstash.operations.steps import Flow, Run, Sleep

if TYPE_CHECKING:
    from django_upstash.locks.lock import Lock

FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.02, 1.0, 2.0
LOST_REPLY = (ConnectionError, TimeoutError)


class Acquisition:
    """
    One acquisition of a lock, as its token asks for it.

    A request whose answer is lost may have taken the lock, or may yet. From then on the same token asks in a way that
    finds the lock its own; a second loss in a row is raised.
    """

    def __init__(self, lock: Lock, token: str) -> None:
        self._lock = lock
        self._token = token
        self._in_doubt = False

    def steps(self) -> Flow[Holding | None]:
        """Ask until the lock is taken, and return the ``Holding``; None once the time is over."""
        wait = self._lock.wait
        gives_up = math.inf if wait is None else now() + wait
        for pause in pauses():
            holding = yield from self._ask()
            if holding is not None:
                return holding
            left = gives_up - now()
            if left <= 0:
                break
            yield Sleep(min(pause, left))
        if self._in_doubt:
            yield Run(self._lock.connection, self._lock.deleting(self._token))
        return None

    def _ask(self) -> Flow[Holding | None]:
        began = now()
        try:
            number: int | None = yield Run(self._lock.connection, self._asking())
        except LOST_REPLY:
            self._in_doubt = True
            began = now()
            number = yield Run(self._lock.connection, self._asking())
        ends = began + self._lock.lease
        if number is not None and now() < ends:
            return Holding(self._token, ends, number if self._lock.fencing else None)
        self._in_doubt = self._in_doubt or number is not None  # an answer that took longer than the lease
        return None

    def _asking(self) -> Operation[int | None]:
        lock = self._lock
        return operations.acquire(
            lock.connection.capabilities,
            lock.name,
            self._token,
            milliseconds(lock.lease),
            fencing=lock.fencing,
            in_doubt=self._in_doubt,
        )


def pauses() -> Iterator[float]:
    """Yield the seconds between attempts: longer and longer, and never the same for two who wait."""
    longest = FIRST_PAUSE
    while True:
        yield longest * random.uniform(0.5, 1.0)
        longest = min(longest * GROWTH, LONGEST_PAUSE)


def milliseconds(seconds: float) -> int:
    """Return seconds in whole milliseconds, rounded up."""
    return math.ceil(seconds * 1000)
