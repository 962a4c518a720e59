"""
Counting in the process, and writing by the batch, each batch once.

No thread of its own writes: a caller that adds writes what is due, and so do the ends of requests, tasks and
the process (flushing.py). A batch whose answer was lost is sent again under the number it had, and counts once. While
the server is away, counts are kept and added up, within bounds.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from time import monotonic
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_upstash import flushing
from django_upstash.connections import Connection
from django_upstash.exceptions import TimeoutError, UpstashError
from django_upstash.forks import ForkSafeLock, PerConnection, Turn, check_fork
from django_upstash.log import get_logger
from django_upstash.operations.steps import Flow, Run, adrive, drive
from django_upstash.tenants.batches import MOST_EVENTS, Batch, write
from django_upstash.tenants.settings import TenantSettings
from django_upstash.tenants.tenant_keys import Space
from django_upstash.wire.refusals import reports

_PAUSE = 1.0  # after a failure
_AT_ONCE = 20  # batches in one request
_MOST_ROUNDS = 3
_TURN_PAUSE = 0.005
_MOST_ROUNDS = 5  # in which the end of one request writes what others add meanwhile
logger = get_logger("django_upstash.tenants")


@dataclass
class Pile:
    """What has been counted of one tenant in one period and is in no batch yet."""

    counts: Counter[str] = field(default_factory=Counter)
    events: dict[str, tuple[str, int]] = field(default_factory=dict)


class UsageMeter:
    """What this process has counted of the tenants of one space, and not yet written."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._lock = ForkSafeLock()
        self._turn = Turn()
        self.after_fork()

    def after_fork(self) -> None:
        # What the parent has counted, the parent writes.
        self._process = secrets.token_urlsafe(9)
        self._number = 0
        self._piles: dict[tuple[str, str], Pile] = {}
        self._unsent: list[Batch] = []
        self._entries = self._additions = 0
        self._since = self._paused_until = float("-inf")
        self._is_failing = False
        self.dropped = 0

    @property
    def pending(self) -> int:
        """How many counters and additions with an id wait to be written."""
        check_fork()
        return self._entries

    @property
    def is_due(self) -> bool:
        """Whether it is time for the one who adds to write."""
        # With FLUSH_SECONDS 0 that is left to the end of the request.
        is_full = self._additions >= self._space.settings.flush_count
        return (is_full and self._is_free) or self._is_overdue(least=0.001)

    @property
    def is_due_at_request_end(self) -> bool:
        """Whether it is time for the end of a request to write."""
        return self.is_due or self._is_overdue(least=0)

    def _is_overdue(self, least: float) -> bool:
        seconds = self._space.settings.flush_seconds
        return seconds >= least and self._is_free and monotonic() - self._since >= seconds

    @property
    def _is_free(self) -> bool:
        return self._entries > 0 and monotonic() >= self._paused_until

    def add(self, tenant: str, period: str, name: str, amount: int, id: str | None) -> None:
        """Count; where more would be held than the settings allow, say so in the log and count in ``dropped``."""
        with self._lock:
            pile = self._piles.get((tenant, period)) or Pile()
            digest = None if id is None else _digest(name, id)
            is_known = name in pile.counts if digest is None else digest in pile.events
            if not is_known and not self._has_room():
                return
            self._piles[tenant, period] = pile
            if not self._additions:
                self._since = monotonic()
            self._additions += 1
            self._entries += not is_known
            if digest is None:
                pile.counts[name] += amount
            else:
                pile.events.setdefault(digest, (name, amount))

    def forget(self, tenant: str) -> None:
        """Drop what waits of one tenant."""
        with self._lock:
            self._piles = {key: pile for key, pile in self._piles.items() if key[0] != tenant}
            self._unsent = [batch for batch in self._unsent if batch.tenant != tenant]
            self._count_entries()

    def flush(self) -> int:
        """Write everything and return how many batches that were; raise what keeps it from being written."""
        written: int = drive(self._write(insists=True))
        return written

    async def aflush(self) -> int:
        """Async version of ``flush``."""
        written: int = await adrive(self._write(insists=True))
        return written

    def write_due(self) -> int:
        """
        Write, unless somebody is at it or the server is away, and return how many batches that were.

        A failure is logged, and all is kept for later.
        """
        try:
            written: int = drive(self._write_while_due())
        except UpstashError as error:
            self._failed(error)
            return 0
        return written

    async def awrite_due(self) -> None:
        """Async version of ``write_due``."""
        try:
            await adrive(self._write_while_due())
        except UpstashError as error:
            self._failed(error)

    def _write(self, *, insists: bool) -> Flow[Any]:
        connection = self._space.connection
        if not (yield _FlushTurn(self._turn, 2 * connection.settings.timeout if insists else 0.0)):
            if insists:
                raise TimeoutError("Timed out waiting for another flush of usage in this process.")
            return 0
        try:
            if not (insists or connection.availability.may_ask()):
                return 0
            return (yield from self._write_all(connection))
        finally:
            self._turn.end()

    def _write_while_due(self) -> Flow[Any]:
        """Write what is due, and then what others have added meanwhile: they have left it to the one that writes."""
        written = 0
        for _ in range(_MOST_ROUNDS):
            written += yield from self._write(insists=False)
            if not self.is_due_at_request_end:
                break
        return written

    def _write_all(self, connection: Connection) -> Flow[Any]:
        written, refused = 0, dict[str, UpstashError]()
        # What has been counted since those were made that are left from before, in another round.
        for _ in range(2 if self._unsent else 1):
            self._collect()
            written += yield from self._send(connection, refused)
        if refused:
            raise next(iter(refused.values()))
        return written

    def _send(self, connection: Connection, refused: dict[str, UpstashError]) -> Flow[Any]:
        written = 0
        while batches := self._next(refused):
            errors = yield Run(connection, write(self._space, connection.capabilities, self._process, batches))
            # One tenant's trouble must not keep the others' usage.
            refused.update((batch.tenant, error) for batch, error in zip(batches, errors, strict=True) if error)
            sent = [batch for batch in batches if batch.tenant not in refused]
            self._sent(sent)
            written += len(sent)
        return written

    def _next(self, refused: Container[str]) -> list[Batch]:
        """Return the batches of the next request, one of each tenant: the server knows the last one of each alone."""
        with self._lock:
            first = {batch.tenant: batch for batch in reversed(self._unsent) if batch.tenant not in refused}
            return list(islice(first.values(), _AT_ONCE))

    def _collect(self) -> None:
        """Make batches of what has been counted, but for tenants some of whose batches wait: that goes on adding up."""
        with self._lock:
            waiting = {batch.tenant for batch in self._unsent}
            piles, self._piles = self._piles, {key: pile for key, pile in self._piles.items() if key[0] in waiting}
            self._additions = 0
            for (tenant, period), pile in piles.items():
                if tenant in waiting:
                    continue
                for counts, events in _portions(pile):
                    self._number += 1
                    self._unsent.append(Batch(tenant, period, self._number, counts, events))
            self._count_entries()

    def _sent(self, batches: list[Batch]) -> None:
        numbers = {batch.number for batch in batches}
        with self._lock:
            self._unsent = [batch for batch in self._unsent if batch.number not in numbers]
            self._count_entries()
            self._is_failing = False

    def _count_entries(self) -> None:
        piles = (len(pile.counts) + len(pile.events) for pile in self._piles.values())
        self._entries = sum(piles) + sum(batch.size for batch in self._unsent)

    def _has_room(self) -> bool:
        if self._entries < self._space.settings.pending:
            return True
        if not self.dropped:
            logger.error("Usage is no longer counted in this process: it holds as much as PENDING of UPSTASH_TENANTS.")
        self.dropped += 1
        return False

    def _failed(self, error: UpstashError) -> None:
        self._paused_until = monotonic() + _PAUSE
        where = self._space.connection.settings.safe_url
        reports.report(logger, where, "Usage is kept in this process, for it cannot be written to the server", error)
        if not self._is_failing:
            self._is_failing = True
            logger.warning("Usage is kept in this process, for it cannot be written at present: %s", error)


class _FlushTurn:
    """Try so many seconds to take a turn, without blocking an event loop; tell whether it was taken."""

    def __init__(self, turn: Turn, seconds: float) -> None:
        self._turn = turn
        self._seconds = seconds

    def do(self) -> bool:
        until = monotonic() + self._seconds
        while not self._turn.take():
            if monotonic() >= until:
                return False
            time.sleep(_TURN_PAUSE)
        return True

    async def ado(self) -> bool:
        until = monotonic() + self._seconds
        while not self._turn.take():
            if monotonic() >= until:
                return False
            await asyncio.sleep(_TURN_PAUSE)
        return True


def _portions(pile: Pile) -> Iterator[tuple[dict[str, int], dict[str, tuple[str, int]]]]:
    """Yield a pile in pieces that a script can take; the counts are in the first one."""
    counts, events = {name: amount for name, amount in pile.counts.items() if amount}, iter(pile.events.items())
    names = iter(counts.items())
    while True:
        some, others = dict(islice(names, MOST_EVENTS)), dict(islice(events, MOST_EVENTS))
        if not (some or others):
            return
        yield some, others


def _digest(name: str, id: str) -> str:
    text = f"{len(name)} {name}{id}".encode("utf-8", "surrogatepass")
    return urlsafe_b64encode(blake2b(text, digest_size=12).digest()).decode()


def _reset_meters(meters: dict[TenantSettings, UsageMeter]) -> None:
    for meter in meters.values():
        meter.after_fork()


_meters: PerConnection[dict[TenantSettings, UsageMeter]] = PerConnection(dict, _reset_meters)
_lock = ForkSafeLock()


def meter_of(space: Space) -> UsageMeter:
    """Return this process's one meter of a space; the first one begins to watch the ends of requests and its own."""
    by_settings = _meters.of(space.connection)
    with _lock:
        meter = by_settings.get(space.settings)
        if meter is None:
            meter = by_settings[space.settings] = UsageMeter(space)
            flushing.register(_COUNTED)
        return meter


def all_meters() -> list[UsageMeter]:
    """Return this process's meters."""
    with _lock:
        return [meter for _, by_settings in _meters.items() for meter in by_settings.values()]


def _write_due() -> None:
    for meter in all_meters():
        for _ in range(_MOST_ROUNDS):
            # What was added meanwhile: the requests that did so have left it to this one, and may be the last.
            if not (meter.is_due_at_request_end and meter.write_due()):
                break


def _write_all() -> None:
    for meter in all_meters():
        try:
            meter.flush()
        except (UpstashError, ImproperlyConfigured) as error:  # the other meters are written all the same
            logger.error("Usage is lost, counters and ids: %d, for it cannot be written: %s", meter.pending, error)


_COUNTED = flushing.Counted(_write_due, _write_all)
