"""
Work that one does at a time, and whose result all who ask meanwhile share.

``cache/single_flight.py`` is for what callers compute themselves, which may ask for each other's values.
"""

from __future__ import annotations

from concurrent.futures import Future
from time import monotonic
from typing import Generic, TypeVar

from django_upstash.forks import ForkSafeLock

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """One kind of work in a process. Threads and tasks wait for ``latest``, and none of them can cancel it."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._latest: Future[Result] = Future()
        self._began = float("-inf")

    @property
    def latest(self) -> Future[Result]:
        """What the last one to begin finds. Where nobody has begun, it neither runs nor is done."""
        return self._latest

    def begin(self, max_age: float = 0.0) -> Future[Result] | None:
        """
        Return the future that the caller is to fulfil by doing the work.

        None where somebody is at it, or has begun less than ``max_age`` seconds ago.
        """
        with self._lock:
            if self._latest.running() or monotonic() - self._began < max_age:
                return None
            self._latest, self._began = Future(), monotonic()
            self._latest.set_running_or_notify_cancel()  # so that no waiter's end can end it
            return self._latest

    def forget(self) -> None:
        """Share nothing that has begun so far, as in a forked child."""
        self._latest = Future()
        self._began = float("-inf")
