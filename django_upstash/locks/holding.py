"""A lease as its holder knows it: since when, until when, and whether it is gone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from django_upstash.forks import Owner

# A clock that goes on while the machine sleeps, where the system has one: the lease ends on the server meanwhile.
_BOOT = getattr(time, "CLOCK_BOOTTIME", None)


def now() -> float:
    """Return seconds of a clock that nobody sets."""
    return time.monotonic() if _BOOT is None else time.clock_gettime(_BOOT)


@dataclass(slots=True, eq=False)
class Holding:
    """
    One acquisition of a lock.

    ``ends`` is the moment, by ``now()``, from which the server may have given the lock to somebody else. It is counted
    from before the request was sent, so that it comes no later than the server's own.
    """

    token: str
    ends: float
    fencing_number: int | None
    is_known_lost: bool = False
    owner: Owner = field(default_factory=Owner)

    @property
    def remaining(self) -> float:
        """Seconds for which the lock is this holder's for certain."""
        return 0.0 if self.is_known_lost else max(0.0, self.ends - now())
