"""What a connection has cost and how it has fared, counted in this process."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence
from operator import itemgetter
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from django_upstash.forks import check_fork
from django_upstash.wire.traffic import Traffic

if TYPE_CHECKING:
    from django_upstash.operations import Operation

# Upper ends of the buckets of latencies in seconds, 10 µs to 82 s: the E12 series, each a fifth above the last.
BOUNDS = tuple(
    step * 10.0**power for power in range(-6, 1) for step in (10, 12, 15, 18, 22, 27, 33, 39, 47, 56, 68, 82)
)
_SCRIPTS = frozenset({"EVAL", "EVALSHA", "EVALSHA_RO", "EVAL_RO", "FCALL", "FCALL_RO"})
_NAME = itemgetter(0)


class MeterReading(NamedTuple):
    """
    A connection's counts at one moment.

    ``commands`` are those sent, MULTI and EXEC included; what ``scripts`` of them run inside is billed and not known
    here. ``latencies`` are the counts of round trips by ``BOUNDS``, the slower ones last. ``age`` is in seconds.
    """

    hits: int
    misses: int
    requests: int
    commands: int
    scripts: int
    errors: int
    bytes_sent: int
    bytes_received: int
    seconds: float
    latencies: Sequence[int]
    age: float


class Meter:
    """
    Counts of one connection: round trips asked for, commands in them, failures, and the seconds they took.

    ``commands`` are those sent and answered; Upstash bills those a script runs inside as well, and a transaction's
    MULTI and EXEC, of which there is one each in ``transactions``.
    """

    def __init__(self) -> None:
        self.traffic = Traffic()
        self._restart()

    @property
    def requests(self) -> int:
        """Round trips asked for, those that failed included."""
        return sum(self._latencies)

    def ran(self, operation: Operation[Any], seconds: float) -> None:
        commands = operation.commands
        count = len(commands)
        place = bisect_left(BOUNDS, seconds)
        with self._lock:
            self.commands += count
            self.seconds += seconds
            self._latencies[place] += 1
            if count == 1:
                if commands[0][0] in _SCRIPTS:
                    self.scripts += 1
            else:
                self._count_several(operation)

    def failed(self, operation: Operation[Any], seconds: float, error: Exception) -> None:
        with self._lock:
            self.errors += 1
            self.seconds += seconds
            self._latencies[bisect_left(BOUNDS, seconds)] += 1

    def looked_up(self, hits: int, misses: int) -> None:
        """Count keys whose values a cache was asked for, and gave or did not have."""
        with self._lock:
            self.hits += hits
            self.misses += misses

    def read(self) -> MeterReading:
        """Return all counts; but for the bytes, which pass unlocked, they are of the same moment."""
        check_fork()
        sent, received = self.traffic.totals()
        with self._lock:
            return MeterReading(
                self.hits,
                self.misses,
                self.requests,
                self.commands + 2 * self.transactions,
                self.scripts,
                self.errors,
                sent,
                received,
                self.seconds,
                tuple(self._latencies),
                monotonic() - self._since,
            )

    def after_fork(self) -> None:
        """In a forked child: start from zero, for the parent counts its own."""
        self.traffic.after_fork()
        self._restart()

    def _restart(self) -> None:
        self._lock = threading.RLock()
        self._since = monotonic()
        self.commands = self.transactions = self.scripts = self.errors = 0
        self.hits = self.misses = 0
        self.seconds = 0.0
        self._latencies = [0] * (len(BOUNDS) + 1)

    def _count_several(self, operation: Operation[Any]) -> None:
        self.transactions += operation.atomic
        names = map(_NAME, operation.commands)
        if not _SCRIPTS.isdisjoint(names):
            self.scripts += sum(command[0] in _SCRIPTS for command in operation.commands)


def percentile(latencies: Sequence[int], share: float) -> float | None:
    """Return the upper end, in seconds, of the bucket that holds this share of the latencies; None of none."""
    rank, seen = share * sum(latencies), 0
    for bound, count in zip(BOUNDS, latencies, strict=False):
        seen += count
        if count and seen >= rank:
            return bound
    return BOUNDS[-1] if any(latencies) else None
