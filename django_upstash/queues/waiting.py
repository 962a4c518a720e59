"""Waiting for a job: natively by a command that blocks, over REST by asking again, less and less often."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from django_upstash.forks import random

if TYPE_CHECKING:
    from django_upstash.connections import Connection
    from django_upstash.operations import Command

# A worker that died between its wake-up and its reservation is made up for after so many seconds.
LONGEST_BLOCK = 20.0
FIRST_POLL, LONGEST_POLL = 0.1, 5.0


class Patience:
    """
    How long a caller goes on waiting, and until when each time.

    ``seconds`` is in all; None is for ever. ``now`` returns seconds.
    """

    def __init__(
        self,
        seconds: float | None,
        *,
        blocks: bool,
        longest_poll: float = LONGEST_POLL,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._end = None if seconds is None else now() + seconds
        self._blocks = blocks
        self._longest_poll = longest_poll
        self._poll = min(FIRST_POLL, longest_poll)

    def next_wait(self, due_in: float | None = None) -> float | None:
        """Return for how many seconds to wait now, None once the time is over. ``due_in`` is when a job will be due."""
        left = None if self._end is None else self._end - self._now()
        if left is not None and left <= 0:
            return None
        longest = LONGEST_BLOCK if self._blocks else self._next_poll()
        return max(min(longest, *(limit for limit in (left, due_in) if limit is not None), longest), 0.001)

    def restart(self) -> None:
        """Ask often again, for there has been something to do."""
        self._poll = min(FIRST_POLL, self._longest_poll)

    def _next_poll(self) -> float:
        poll, self._poll = self._poll, min(self._poll * 2, self._longest_poll)
        return poll * (1 - 0.2 * random.random())


def blocks(connection: Connection) -> bool:
    """Tell whether the route has commands that block."""
    return connection.settings.route != "rest"


def block(connection: Connection, wakes: Sequence[str], seconds: float) -> None:
    """Wait for one of the queues to wake somebody, on a connection of its own."""
    connection.redis.execute_command(*blocking_command(wakes, seconds))  # type: ignore[no-untyped-call]


async def ablock(connection: Connection, wakes: Sequence[str], seconds: float) -> None:
    """Async version of ``block``."""
    await connection.async_redis.execute_command(*blocking_command(wakes, seconds))  # type: ignore[no-untyped-call]


def blocking_command(wakes: Sequence[str], seconds: float) -> Command:
    """Return the command that ends when one of the queues wakes somebody, or when the time is over."""
    return "BZPOPMIN", *wakes, f"{seconds:.3f}"
