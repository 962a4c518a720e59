"""The server's clock for each connection: jobs are due by it, whatever this machine's clock says."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django_upstash.forks import PerConnection
from django_upstash.operations import Operation, Reply, only
from django_upstash.ratelimit.clock import ServerClock

if TYPE_CHECKING:
    from django_upstash.connections import Connection

_CORRECTION = 1000


class QueueClock:
    """A server's time in milliseconds, which never goes back here: jobs stay in the order of a process' calls."""

    def __init__(self, server: ServerClock | None = None, wall: Callable[[], float] = time.time) -> None:
        self._server = server or ServerClock()
        self._wall = wall
        self._latest = 0

    def now(self) -> int:
        now = self._server.now() // 1000
        # What a new sample corrects is less. A server whose clock has been set back is believed.
        self._latest = now if now < self._latest - _CORRECTION else max(now, self._latest)
        return self._latest

    def owner(self, now: int) -> str:
        """
        Return the token of a new reservation: nobody else's, and how far the machine's clock is behind the server's.

        By that others can tell, once somebody has set the server's clock, whether the reservation goes on.
        """
        return f"{secrets.token_hex(8)}.{now - int(self._wall() * 1000)}"

    def timed(self, build: Callable[[int], Operation[Any]]) -> Operation[Any]:
        """
        Return the operation that ``build`` makes of the time.

        Once in five minutes that takes a round trip of its own.
        """
        if not self._server.is_due:
            return build(self.now())
        started = self._server.started()

        def parse(replies: list[Reply]) -> Operation[Any]:
            seconds, microseconds = only(replies)
            self._server.sample(started, int(seconds), int(microseconds))
            return build(self.now())

        return Operation((("TIME",),), parse, replay_safe=True)


_clocks = PerConnection(QueueClock)


def clock_of(connection: Connection) -> QueueClock:
    """Return what this process knows of a server's time; all queues on the connection share it."""
    return _clocks.of(connection)
