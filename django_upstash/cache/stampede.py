"""
``get_or_set``: a value is computed by one caller, however many find it missing at once.

The steps are written once, as a flow, for threads and tasks. Whatever is computed is computed in a caller that waits
for it; nothing goes on in the background.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from django_upstash.cache import expiry, leases, lookups, tags
from django_upstash.cache.effects import Call, Flow, Run, Sleep, Wait
from django_upstash.cache.failures import IGNORABLE
from django_upstash.cache.flights import LEAD, Flight, flights
from django_upstash.cache.lookups import Found
from django_upstash.cache.operations import MISSING
from django_upstash.codecs import Label
from django_upstash.operations import Operation

if TYPE_CHECKING:
    from django_upstash.cache.backend import UpstashCache

LEASE = 10.0
_FIRST_POLL, _LONGEST_POLL, _POLL_GROWTH = 0.02, 0.25, 1.5
_computing: ContextVar[frozenset[Any]] = ContextVar("django_upstash_computing", default=frozenset())
logger = logging.getLogger("django_upstash.cache")


@dataclass(frozen=True, kw_only=True)
class Protection:
    """
    How ``get_or_set`` protects what it computes.

    ``early`` is XFetch's beta: how eagerly a value is computed again before it expires. ``grace`` is for how many
    seconds after that its copy is there for want of a new one. ``cross_process`` lets one process at a time compute,
    for ``lease`` seconds at most.
    """

    early: float = 0.0
    grace: float = 0.0
    cross_process: bool = False
    lease: float = LEASE
    tags: Iterable[str] = ()

    def __post_init__(self) -> None:
        for name in ("early", "grace"):
            if not _is_number(getattr(self, name)) or getattr(self, name) < 0:
                raise ValueError(f"{name} must be a number, 0 for none, not {getattr(self, name)!r}.")
        if not _is_number(self.lease) or self.lease < 0.001:
            raise ValueError(f"lease must be a number of seconds, 0.001 or more, not {self.lease!r}.")


class Landing(NamedTuple):
    """What a flight ended with; ``stale`` where that is the copy of a value that has expired."""

    found: Found
    stale: bool = False


class GetOrSet:
    """One call of ``get_or_set``."""

    def __init__(
        self, cache: UpstashCache, key: Any, default: Any, timeout: Any, version: Any, protection: Protection
    ) -> None:
        self._cache, self._connection, self._space = cache, cache.connection, cache.keyspace
        self._stored, self._context = self._space.name(key, version)
        self._name = (self._connection, self._stored)
        self._default = default
        self._lifetime = expiry.milliseconds(self._space.default_timeout if timeout is DEFAULT_TIMEOUT else timeout)
        self._protection = protection
        self._tags = tags.ids(self._space, protection.tags) if protection.tags else []
        self._labelled = bool(protection.early or protection.grace or self._tags)

    def flow(self, party: Party) -> Flow:
        """Find the value, or compute and store it, or wait for whoever does, and return it."""
        with flights.visit(self._name) as flight:
            while True:
                seen = flight.landings
                found = yield from self._look()
                if found.value is not MISSING:
                    return (yield from self._refreshed(flight, seen, party, found)) if self._is_due(found) else found.value
                found = yield from self._with_versions(found)
                # Who asks for a value in the midst of computing it would wait for itself.
                joined = None if self._name in _computing.get() else flights.join(flight, seen, party)
                if joined is None:
                    return (yield from self._produced(found))
                landing = (yield from _waited(flight, joined)) if isinstance(joined, Waiter) else joined
                if landing is LEAD:
                    return (yield from self._led(flight, self._under_lease(found)))
                if self._suits(landing, found):
                    return landing.found.copied(self._space)

    def _look(self) -> Flow:
        return (yield from self._ask(lookups.look(self._space, self._stored, self._context, self._tags), Found()))

    def _with_versions(self, found: Found) -> Flow:
        """Return the find with a version of every tag, each from before the value is computed."""
        if all(found.versions.get(tag) for tag in self._tags):
            return found
        versions = yield from self._ask(tags.versions_of(self._space, self._tags), ())
        return found._replace(versions={tag: version.encode() for tag, version in versions})

    def _suits(self, landing: Landing, found: Found) -> bool:
        """Tell whether somebody else's value is as good as one computed now: of tags that are valid at this look."""
        if landing.stale and not self._protection.grace:
            return False
        return all(found.versions.get(tag) == version.encode() for tag, version in landing.found.label.tags)

    def _is_due(self, found: Found) -> bool:
        """Tell whether to compute again before the value expires, the likelier the nearer and the longer it takes."""
        expires = found.label.expires
        if not self._protection.early or expires is None:
            return False
        ahead = -found.label.took * self._protection.early * math.log(1.0 - random.random())
        return time.time() * 1000 + ahead >= expires

    def _led(self, flight: Flight, work: Flow) -> Flow:
        """Do the work of who has the lead, and let those who wait have what came of it."""
        try:
            return (yield from work)
        finally:
            if self._landing is None:
                flights.pass_on(flight)
            else:
                flights.land(flight, self._landing)

    def _under_lease(self, found: Found) -> Flow:
        if not self._protection.cross_process:
            return (yield from self._produced(found))
        return (yield from self._cache_lease.held(self._with_versions, self._produced_unless_found, found))

    def _produced_unless_found(self, found: Found) -> Flow:
        if found.value is MISSING:
            return (yield from self._produced(found))
        self._landing = Landing(found)
        return found.value

    def _refreshed(self, flight: Flight, seen: int, party: Party, found: Found) -> Flow:
        """Compute a value that is still valid again, unless somebody does already; where that fails, it stays."""
        if self._name in _computing.get() or not flights.take(flight, seen, party):
            return found.value
        return (yield from self._led(flight, self._renewed(found)))

    def _produced(self, before: Found) -> Flow:
        """Compute the value and store it, and return it, or what somebody else has stored meanwhile."""
        now, is_stale = yield from self._computed(before)
        self._landing = Landing(now, is_stale)
        if is_stale or self._options is None:
            return now.value
        if not (yield from self._ask(self._storing(before, now), True)):
            theirs = yield from self._look()
            now = now if theirs.value is MISSING else theirs
            self._landing = Landing(now)
        return now.value
