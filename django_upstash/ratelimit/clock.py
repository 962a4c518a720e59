"""
The server's clock, as a process knows it: asked once in five minutes, and kept going by a clock that never jumps.

Two processes that asked before and after somebody set the server's clock know different times. So each clock has a
name, which is stored beside what was decided by it: who meets a name it does not know compares the two, and asks again
where they disagree.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from functools import partial

LIFETIME = 300.0
# A sample that took longer than this, for it opened a connection on its way perhaps, is followed by another.
_SHARP = 0.02
# The wall clock has jumped, or the machine has slept while the steady clock stood still.
_JUMP = 1.0
# A sample that differs by more from what was expected says that somebody has set the server's clock, or this machine's.
_MOVED = 0.5
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MOST_NAMES = 16


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
        self.names = _name()  # its own, and those of other processes' clocks known to agree with it

    @property
    def is_due(self) -> bool:
        """Whether the next request shall ask for the time again."""
        return self.read()[1]

    def now(self) -> int:
        """Return the server's time in microseconds since 1970; this machine's steady clock, before any sample."""
        return self.read()[0]

    @property
    def sampled_at(self) -> int:
        """When the server was asked last, in microseconds since 1970 by this clock."""
        return int((self._taken + self._offset) * 1_000_000)

    def read(self) -> tuple[int, bool]:
        """Return what ``now`` and ``is_due`` say, of one moment."""
        now = self._steady()
        is_due = self._again or now - self._taken > LIFETIME or abs(self._wall() - now - self._drift) > _JUMP
        return int((now + self._offset) * 1_000_000), is_due

    @property
    def has_jumped(self) -> bool:
        """Whether the clocks of this machine have moved against each other, so that ``now`` may be wrong."""
        return abs(self._wall() - self._steady() - self._drift) > _JUMP

    def agrees_with(self, name: str) -> None:
        """Note that another process' clock agrees. The first name in the alphabet is then used by both."""
        own, *others = self.names.split()
        first, second = sorted((own, name))
        self.names = " ".join([first, second, *(other for other in others if other != name)][:_MOST_NAMES])

    def correct(self, started: float, seconds: int, microseconds: int) -> None:
        """
        Take the server's reply to TIME, because what another clock has written disagrees with this one.

        It has a new name from there on, so that those who know it compare as well.
        """
        self._doubt = float("inf")
        self.sample(started, seconds, microseconds)
        self.names = " ".join([_name(), *self.names.split()[1:]])

    def started(self) -> float:
        """Return what ``sample`` wants as the beginning of a round trip that begins now."""
        return self._steady()

    def sample(self, started: float, seconds: int, microseconds: int) -> None:
        """Take the server's reply to TIME, from a round trip that ends now."""
        ended = self._steady()
        doubt = (ended - started) / 2
        second_try, self._again = self._again, not self.is_known and doubt > _SHARP
        if second_try and doubt > self._doubt and not self.has_jumped:
            return
        offset = seconds + microseconds / 1_000_000 - (started + ended) / 2
        if abs(offset - self._offset) > _MOVED:
            self.names = _name()
        self._offset = offset
        self._taken, self._doubt = ended, doubt
        self._drift = self._wall() - ended
        self.is_known = True  # last, for other threads read the rest at once


def _name() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(4))
