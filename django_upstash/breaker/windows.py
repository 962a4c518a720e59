"""Outcomes of calls that a process has seen, and whether they are reason to open a circuit."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from django_upstash.breaker.settings import BreakerOptions

_PARTS = 10


class Window(Protocol):
    """Whoever uses one takes care that nobody else does at the same time. Times are of a steady clock, in seconds."""

    def add(self, failed: bool, now: float) -> None: ...
    def trips(self, now: float) -> bool: ...
    def clear(self) -> None: ...


class Uncounted:
    """Failures in a row are counted where all processes can see them: nothing here trips."""

    def add(self, failed: bool, now: float) -> None:
        pass

    def trips(self, now: float) -> bool:
        return False

    def clear(self) -> None:
        pass


class LastCalls:
    """The share of failures among the last so many calls."""

    def __init__(self, options: BreakerOptions) -> None:
        self._rate = options.failure_rate or 1.0
        self._minimum = options.minimum_calls
        self._outcomes: deque[bool] = deque(maxlen=options.window_length)
        self._failures = 0

    def add(self, failed: bool, now: float) -> None:
        if len(self._outcomes) == self._outcomes.maxlen:
            self._failures -= self._outcomes[0]
        self._outcomes.append(failed)
        self._failures += failed

    def trips(self, now: float) -> bool:
        calls = len(self._outcomes)
        return calls >= self._minimum and self._failures >= self._rate * calls

    def clear(self) -> None:
        self._outcomes.clear()
        self._failures = 0


class LastSeconds:
    """The share of failures among the calls of the last so many seconds, kept in ten parts."""

    def __init__(self, options: BreakerOptions) -> None:
        self._rate = options.failure_rate or 1.0
        self._minimum = options.minimum_calls
        self._part = (options.window_seconds or 1.0) / _PARTS
        self._parts: deque[list[int]] = deque()  # when each began, in parts; its calls; its failures

    def add(self, failed: bool, now: float) -> None:
        number = self._forget(now)
        if not self._parts or self._parts[-1][0] != number:
            self._parts.append([number, 0, 0])
        self._parts[-1][1] += 1
        self._parts[-1][2] += failed

    def trips(self, now: float) -> bool:
        self._forget(now)
        calls = sum(part[1] for part in self._parts)
        return calls >= self._minimum and sum(part[2] for part in self._parts) >= self._rate * calls

    def clear(self) -> None:
        self._parts.clear()

    def _forget(self, now: float) -> int:
        number = int(now / self._part)
        while self._parts and self._parts[0][0] <= number - _PARTS:
            self._parts.popleft()
        return number


def make_window(options: BreakerOptions) -> Window:
    """Return the window that the options ask for."""
    if options.failure_rate is None:
        return Uncounted()
    return LastCalls(options) if options.window_seconds is None else LastSeconds(options)
