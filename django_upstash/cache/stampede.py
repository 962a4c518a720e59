"""
``get_or_set``: a value is computed by one caller, however many find it missing at once.

The steps are written once, as a flow, for threads and tasks. Whatever is computed is computed in a caller that waits
for it; nothing goes on in the background.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from asgiref.sync import SyncToAsync
from django.core.cache.backends.base import DEFAULT_TIMEOUT

from django_upstash.cache import expiry, tags, versioned_entry
from django_upstash.cache.empty_results import ignorable
from django_upstash.cache.operations import MISSING
from django_upstash.cache.single_flight import LEAD, Flight, FlightWaiter, Party, flights
from django_upstash.cache.versioned_entry import FoundEntry
from django_upstash.callbacks import is_async
from django_upstash.codecs import Label
from django_upstash.forks import Owner, random
from django_upstash.log import get_logger
from django_upstash.operations import Operation, leases, only
from django_upstash.operations.steps import Call, Flow, Run, Sleep, Wait, adrive, drive

if TYPE_CHECKING:
    from django_upstash.cache.connected_cache import ConnectedCache
    from django_upstash.cache.protection import CacheProtection

_FIRST_POLL, _LONGEST_POLL, _POLL_GROWTH = 0.02, 0.25, 1.5
_TASK = Party(is_task=True)
_THREAD = Party()
_WORKER = Party(waits_for_tasks=False)
_BLOCKING = Party(waits=False)
_computing_now: ContextVar[frozenset[Any]] = ContextVar("django_upstash_computing", default=frozenset())
logger = get_logger("django_upstash.cache")


class Landing(NamedTuple):
    """What a flight ended with; ``stale`` where that is the copy of a value that has expired."""

    found: FoundEntry
    stale: bool = False


class GetOrSet:
    """One call of ``get_or_set``."""

    def __init__(
        self, cache: ConnectedCache, key: Any, default: Any, timeout: Any, version: Any, protection: CacheProtection
    ) -> None:
        self._cache, self._runner, self._space = cache, cache.runner, cache.keyspace
        self._stored, self._context = self._space.name(key, version)
        self._name = (cache.connection, self._stored)
        self._default = default
        self._lifetime = expiry.milliseconds(self._space.default_timeout if timeout is DEFAULT_TIMEOUT else timeout)
        self._protection = protection
        self._tags = tags.ids(self._space, protection.tags) if protection.tags else []
        self._landing: Landing | None = None
        self._is_counted = False
        self._owner = Owner()

    def flow(self, party: Party) -> Flow[Any]:
        """Find the value, or compute and store it, or wait for the caller that does, and return it."""
        with flights.visit(self._name) as flight:
            while True:
                seen = flight.landings
                found = yield from self._look()
                self._count(found)
                if found.value is not MISSING:
                    return (
                        (yield from self._refreshed(flight, seen, party, found)) if self._is_due(found) else found.value
                    )
                found = yield from self._with_versions(found)
                party = _as_one(party)
                # Who asks for a value in the midst of computing it would wait for itself.
                joined = None if self._name in party.chain else flights.join(flight, seen, party)
                if joined is None:
                    return (yield from self._produced(found))
                landing = (yield from self._waited(flight, joined)) if isinstance(joined, FlightWaiter) else joined
                if landing is LEAD:
                    return (yield from self._led(flight, party, self._leased(found, patient=True)))
                if self._suits(landing, found):
                    return landing.found.copied(self._space)

    def _count(self, found: FoundEntry) -> None:
        """Count the first look; the later ones of a call are for the same value."""
        if not self._is_counted:
            self._is_counted = True
            self._space.looked_up(found.value is not MISSING, found.value is MISSING)

    def _look(self) -> Flow[Any]:
        return (yield from self._ask(self._looking(), FoundEntry()))

    def _looking(self) -> Operation[FoundEntry]:
        return versioned_entry.look(self._space, self._stored, self._context, self._tags)

    def _with_versions(self, found: FoundEntry) -> Flow[Any]:
        """Return the find with a version of every tag, each from before the value is computed."""
        if all(found.versions.get(tag) for tag in self._tags):
            return found
        versions = yield from self._ask(tags.versions_of(self._space, self._tags), ())
        return found._replace(versions={tag: version.encode() for tag, version in versions})

    def _suits(self, landing: Landing, found: FoundEntry) -> bool:
        """Tell whether somebody else's value is as good as one computed now: of tags that were valid at this look."""
        if landing.stale and not self._protection.grace:
            return False
        return all(found.versions.get(tag) == version.encode() for tag, version in landing.found.label.tags)

    def _is_due(self, found: FoundEntry) -> bool:
        """Tell whether to compute again before the value expires, the likelier the nearer and the longer it takes."""
        expires = found.label.expires
        if not self._protection.early or expires is None:
            return False
        ahead = -found.label.took * self._protection.early * math.log(1.0 - random.random())
        return _now() + ahead >= expires

    def _refreshed(self, flight: Flight, seen: int, party: Party, found: FoundEntry) -> Flow[Any]:
        """Compute a value that is valid still, unless somebody else does; it stays where that fails."""
        party = _as_one(party)
        if self._name in party.chain or not flights.take(flight, seen, party):
            return found.value
        try:
            return (yield from self._led(flight, party, self._leased(found, patient=False)))
        except Exception as error:
            logger.warning("An early refresh failed with %s; the value stays.", type(error).__name__, exc_info=True)
            return found.value

    def _led(self, flight: Flight, party: Party, work: Flow[Any]) -> Flow[Any]:
        """Do the work of who has the lead, and let those who wait have what came of it."""
        try:
            return (yield from work)
        finally:
            if self._landing is None:
                flights.pass_on(flight, party)
            else:
                flights.land(flight, party, self._landing)

    def _waited(self, flight: Flight, waiter: FlightWaiter) -> Flow[Any]:
        """Return the landing or the lead, which one who waits takes where that has taken as long as a lease lasts."""
        longest = self._protection.lease
        try:
            while True:
                try:
                    return (yield Wait(waiter.future, flights.patience(flight, longest)))
                except TimeoutError:
                    if flights.take_over(flight, waiter, longest):
                        return LEAD
        except BaseException:
            flights.leave(flight, waiter)
            raise
        finally:
            flights.arrive(flight, waiter)

    def _leased(self, found: FoundEntry, patient: bool) -> Flow[Any]:
        """Compute the value under the lease, if there is one. If ``patient`` is False, do not wait for it."""
        if not self._protection.cross_process:
            return (yield from self._produced((yield from self._with_versions(found))))
        token = token_hex(16)
        taken, latest = yield from self._take_lease(token, patient)
        try:
            value = yield from self._produced_since(found, latest, taken or patient)
        except GeneratorExit:  # nothing can be sent any more; the lease ends by itself
            raise
        except BaseException:
            yield from self._release(token, taken)
            raise
        yield from self._release(token, taken)
        return value

    def _take_lease(self, token: str, patient: bool) -> Flow[Any]:
        """Return whether the lease was taken, and what is found since: it ends with a value, the lease, or patience."""
        name = self._space.aside("lease", self._stored)
        asking = leases.asking(name, token, math.ceil(self._protection.lease * 1000))
        deadline = time.monotonic() + self._protection.lease
        pause = _FIRST_POLL
        while True:
            reply, latest = yield from self._ask(versioned_entry.after(asking, self._looking()), (b"OK", FoundEntry()))
            left = deadline - time.monotonic()
            if reply is not None or latest.value is not MISSING or left <= 0 or not patient:
                return reply is not None, latest
            yield Sleep(min(pause * random.uniform(0.5, 1.0), left))
            pause = min(pause * _POLL_GROWTH, _LONGEST_POLL)

    def _release(self, token: str, taken: bool) -> Flow[Any]:
        if not (taken and self._owner.is_here):
            return
        name = self._space.aside("lease", self._stored)
        try:
            yield Run(self._runner, leases.release(self._space.capabilities, name, token))
        except ignorable() as error:
            logger.debug("A lease was not released (%s); it ends by itself.", type(error).__name__)

    def _produced_since(self, found: FoundEntry, latest: FoundEntry, may_compute: bool) -> Flow[Any]:
        """Return what another process has stored since the look, or else produce the value."""
        if latest.value is not MISSING and latest.stored != found.stored:
            self._landing = Landing(latest)
            return latest.value
        if not may_compute:
            return found.value
        return (yield from self._produced((yield from self._with_versions(latest))))

    def _produced(self, before: FoundEntry) -> Flow[Any]:
        """Compute the value and store it, and return it, or what somebody else has stored meanwhile."""
        now, is_stale = yield from self._computed(before)
        self._landing = Landing(now, is_stale)
        if is_stale or not self._can_store(before):
            return now.value
        if not (yield from self._ask(self._storing(before, now), True)):
            theirs = yield from self._look()
            now = now if theirs.value is MISSING else theirs
            self._landing = Landing(now)
        return now.value

    def _computed(self, before: FoundEntry) -> Flow[Any]:
        """Return the value as it will be found, and False; the copy of the last one, and True, where that fails."""
        started = time.perf_counter()
        try:
            value = (yield Call(self._default, self._within)) if callable(self._default) else self._default
        except Exception as error:
            stale = (yield from self._copy()) if self._protection.grace else None
            if stale is None:
                raise
            logger.warning(
                "Computing a value failed with %s; its last one is used.", type(error).__name__, exc_info=True
            )
            return stale, True
        took = math.ceil((time.perf_counter() - started) * 1000)
        return versioned_entry.seal(self._space, value, self._context, self._label(took, before)), False

    def _label(self, took: int, before: FoundEntry) -> Label | None:
        if not (self._protection.early or self._protection.grace or self._tags):
            return None
        expires = None if self._lifetime is None else _now() + self._lifetime
        versions = before.versions
        return Label(
            took, expires, tuple((tag, version.decode()) for tag in self._tags if (version := versions.get(tag)))
        )

    def _can_store(self, before: FoundEntry) -> bool:
        # Where the server could not be asked, there are no versions to store with the value.
        return (self._lifetime is None or self._lifetime > 0) and all(before.versions.get(tag) for tag in self._tags)

    def _storing(self, before: FoundEntry, now: FoundEntry) -> Operation[bool]:
        stored = cast(bytes, now.stored)
        if not self._space.admits(stored, self._stored):
            return Operation((("DEL", self._stored),), lambda replies: only(replies) is not None, replay_safe=True)
        lifetime = () if self._lifetime is None else ("PX", str(self._lifetime))
        storing = versioned_entry.store(self._space, self._stored, before, now, lifetime)
        if not self._protection.grace or self._lifetime is None:
            return storing
        until = self._lifetime + math.ceil(self._protection.grace * 1000)
        copying = "SET", self._copy_name(), stored, "PX", str(min(until, expiry.LONGEST))
        return versioned_entry.beside(storing, copying)

    def _copy(self) -> Flow[Any]:
        """Return the copy of the last value, or None if there is none, or it has not expired but been removed."""
        looking = versioned_entry.look(self._space, self._copy_name(), self._context)
        found = yield from self._ask(looking, FoundEntry())
        expires = found.label.expires
        return None if found.value is MISSING or expires is None or expires > _now() else found

    def _copy_name(self) -> str:
        return self._space.aside("grace", self._stored)

    def _ask(self, operation: Operation[Any], instead: Any) -> Flow[Any]:
        try:
            return (yield Run(self._runner, operation))
        except ignorable() as error:
            return self._cache.fall_back(error, lambda: instead, (), {})

    @contextmanager
    def _within(self) -> Iterator[None]:
        token = _computing_now.set(_computing_now.get() | {self._name})
        try:
            yield
        finally:
            with suppress(ValueError):  # the collector closes an abandoned task in a context of another
                _computing_now.reset(token)


def get_or_set(
    cache: ConnectedCache, key: Any, default: Any, timeout: Any, version: Any, protection: CacheProtection
) -> Any:
    """Run the flow in this thread."""
    if is_async(default):
        raise TypeError("The default of get_or_set() returns an awaitable, which aget_or_set() awaits.")
    return drive(GetOrSet(cache, key, default, timeout, version, protection).flow(_this_thread()))


async def aget_or_set(
    cache: ConnectedCache, key: Any, default: Any, timeout: Any, version: Any, protection: CacheProtection
) -> Any:
    """Run the flow in this task."""
    return await adrive(GetOrSet(cache, key, default, timeout, version, protection).flow(_TASK))


def _this_thread() -> Party:
    """Return how this thread may wait: not for a task whose loop, or whose thread for synchronous code, it holds up."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _WORKER if hasattr(SyncToAsync.threadlocal, "main_event_loop") else _THREAD
    return _BLOCKING


def _as_one(party: Party) -> Party:
    """Return a party as one of its own, with what is computed at the moment around it."""
    thread = None if party.is_task else threading.get_ident()
    return party._replace(chain=_computing_now.get(), thread=thread)


def _now() -> int:
    return int(time.time() * 1000)
