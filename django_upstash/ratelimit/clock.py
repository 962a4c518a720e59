"""The server's clock, as a process knows it: asked once in five minutes, and kept going by a clock that never jumps."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

LIFETIME = 300.0
# A sample that took longer than this, for it opened a connection on its way perhaps, is followed by another.
_SHARP = 0.02
# The wall clock has jumped, or the machine has slept while the steady clock stood still.
_JUMP = 1.0


# Unlike monotonic(), the first goes on while the machine is suspended.
steady: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)


class ServerClock:
    """
    Tells the server's time from samples of it, to about half of a round trip.

    The wall clock of this machine is never believed; that it has moved against the steady one asks for a new sample.
    ``steady`` and ``wall`` return seconds.
    """

    def __init__(self, steady: Callable[[], float] = steady, wall: Callable[[], float] = time.time) -> None:
        self._steady = steady
        self._wall = wall
        self._offset = 0.0
        self._taken = self._drift = 0.0
        self._doubt = float("inf")
        self._again = False
        self.is_known = False

    @property
    def is_due(self) -> bool:
        """Whether the next request shall ask for the time again."""
        return self.read()[1]

    def now(self) -> int:
        """Return the server's time in microseconds since 1970; this machine's steady clock, before any sample."""
        return self.read()[0]

    def read(self) -> tuple[int, bool]:
        """Return what ``now`` and ``is_due`` say, of one moment."""
        now = self._steady()
        is_due = self._again or now - self._taken > LIFETIME or abs(self._wall() - now - self._drift) > _JUMP
        return int((now + self._offset) * 1_000_000), is_due

    def started(self) -> float:
        """Return what ``sample`` wants as the beginning of a round trip that begins now."""
        return self._steady()

    def sample(self, started: float, seconds: int, microseconds: int) -> None:
        """Take the server's reply to TIME, from a round trip that ends now."""
        ended = self._steady()
        doubt = (ended - started) / 2
        second_try, self._again = self._again, not self.is_known and doubt > _SHARP
        if second_try and doubt > self._doubt:
            return
        self._offset = seconds + microseconds / 1_000_000 - (started + ended) / 2
        self._taken, self._doubt = ended, doubt
        self._drift = self._wall() - ended
        self.is_known = True  # last, for other threads read the rest at once
