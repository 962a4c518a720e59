"""How long to wait before the next attempt."""

from __future__ import annotations

from dataclasses import dataclass

from django_upstash.forks import random


@dataclass(frozen=True, slots=True)
class Backoff:
    """
    Waits ``first`` seconds after the first failure, ``factor`` times as long after each further one, ``most`` at most.

    Of each wait, up to the share ``jitter`` is left away at random, so that what failed together does not return so.
    """

    first: float = 1.0
    factor: float = 2.0
    most: float = 300.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if not (self.first >= 0 and self.factor >= 1 and self.most >= self.first and 0 <= self.jitter <= 1):
            raise ValueError("A backoff needs first >= 0, factor >= 1, most >= first and jitter from 0 to 1.")

    def seconds(self, failures: int) -> float:
        """Return how long to wait after so many failures."""
        # The exponent is bounded, for a float overflows at 1024.
        longest = min(self.most, self.first * self.factor ** min(max(failures - 1, 0), 64))
        return longest * (1 - self.jitter * random.random())
