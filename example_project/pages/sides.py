"""One cache as a page shows it: what it reads, what that cost, or what keeps it from reading."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter

from django.conf import settings
from django.core.cache import caches

from django_upstash.connections import connections
from django_upstash.exceptions import UpstashError

READS = 50
TITLES = {"native": "Native", "embedded": "Native", "rest": "REST"}
ADVERBS = {"native": "natively", "embedded": "natively", "rest": "over REST"}


class Side:
    """One of the site's caches and the route it takes."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.cache = caches[alias]
        self.connection = connections[alias]
        self.title = TITLES[self.connection.settings.route]
        self.adverb = ADVERBS[self.connection.settings.route]
        self.address = self.connection.settings.safe_url
        self.note = self.error = ""
        self.visits: list[tuple[str, int]] = []
        self.one_by_one = self.together = 0.0  # milliseconds
        self._spent_before = self._meter_reading()

    @property
    def spent(self) -> tuple[int, int]:
        """Operations and commands since this object was made."""
        operations, commands = self._meter_reading()
        return operations - self._spent_before[0], commands - self._spent_before[1]

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Keep what goes wrong in the block as this side's error: the other side may work."""
        try:
            yield
        except UpstashError as error:
            self.error = str(error)

    def write(self, note: str) -> None:
        self.cache.set("note", note, timeout=None)

    def count_visit(self) -> None:
        try:
            self.cache.incr(f"visits:{self.alias}")
        except ValueError:  # what Django's caches raise for a key that does not exist
            self.cache.add(f"visits:{self.alias}", 1, timeout=None)

    def read(self, sides: Iterable[Side]) -> None:
        """Read in one round trip what every side has written."""
        found = self.cache.get_many(["note", *(f"visits:{side.alias}" for side in sides)])
        self.note = found.get("note", "")
        self.visits = [(side.adverb, found.get(f"visits:{side.alias}", 0)) for side in sides]

    async def time_reads(self) -> None:
        """Time the same reads one by one, and awaited together."""
        keys = [f"read:{number}" for number in range(READS)]
        await self.cache.aset_many(dict.fromkeys(keys, "value"), timeout=60)
        started = perf_counter()
        for key in keys:
            await self.cache.aget(key)
        between = perf_counter()
        await asyncio.gather(*(self.cache.aget(key) for key in keys))
        self.one_by_one = 1000 * (between - started)
        self.together = 1000 * (perf_counter() - between)

    def _meter_reading(self) -> tuple[int, int]:
        return self.connection.meter.requests, self.connection.meter.commands


def make_sides() -> list[Side]:
    return [Side(alias) for alias in settings.CACHES]
