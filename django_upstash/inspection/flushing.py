"""
What of a database belongs to which feature of this site, so that one can be emptied and nothing else.

Features are known by the beginning of their keys. FLUSHDB is never sent: other projects may share the database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from django.core.cache import caches

from django_upstash import conf
from django_upstash.breaker.operations import FORCED, INDEX, record_key
from django_upstash.conf import ConnectionSettings
from django_upstash.connections import Connection
from django_upstash.idempotency.keys import PREFIX as IDEMPOTENCY
from django_upstash.inspection.selftest import PREFIX as SELF_TEST
from django_upstash.keys import glob_escape
from django_upstash.queues.keys import PREFIX as QUEUES
from django_upstash.ratelimit.keys import PREFIX as LIMITS
from django_upstash.sweeps import START, Kind, Progress, Swept, page, removal
from django_upstash.tenants.space import space

CACHE = "cache"
Alias: TypeAlias = Callable[[], str]


@dataclass(frozen=True)
class Target:
    """The keys of one feature, and the connection they are on."""

    name: str
    settings: ConnectionSettings
    kinds: Sequence[Kind]


@dataclass
class Count:
    """How many keys a target has; of a part of the database where it is not ``complete``."""

    keys: int = 0
    is_complete: bool = True


def names() -> list[str]:
    """Return the words that name what can be flushed."""
    return [*(f"{CACHE}:{alias}" for alias in conf.caches()), *_FAMILIES]


def target(name: str, alias: Alias) -> Target:
    """
    Return what a word means; ``alias`` tells the connection of what has none of its own.

    Raises ``LookupError`` with the words there are.
    """
    feature, _, cache = name.partition(":")
    if feature == CACHE and (cache or conf.DEFAULT_ALIAS) in conf.caches():
        return _cache(cache or conf.DEFAULT_ALIAS)
    if name in _FAMILIES:
        return _FAMILIES[name](name, alias)
    raise LookupError(f"{name!r} is nothing that can be flushed; there is {', '.join(names())}.")


def count(connection: Connection, found: Target, limit: int) -> Count:
    """Count a target's keys, up to about ``limit``."""
    counted = Count()
    for kind in found.kinds:
        seen: set[str] = set()
        cursor: str | None = START
        while cursor is not None:
            keys, cursor = connection.run(page(kind, cursor))
            seen.update(keys)
            if counted.keys + len(seen) >= limit and cursor is not None:
                return Count(counted.keys + len(seen), is_complete=False)
        counted.keys += len(seen)
    return counted


def remove(connection: Connection, found: Target, place: str, progress: Callable[[int, str], None]) -> int:
    """
    Remove a target's keys and return how many there were.

    ``place`` is where to begin, ``0`` or what ``progress`` was last given; ``progress`` gets the number so far too.
    """
    first, _, cursor = place.rpartition("/")
    removed = 0
    for number in range(int(first or 0), len(found.kinds)):
        swept = connection.run(removal(found.kinds[number], cursor, progress=_telling(progress, removed, number)))
        removed, cursor = removed + swept.removed, START
    return removed


def _telling(progress: Callable[[int, str], None], before: int, number: int) -> Progress:
    def tell(swept: Swept) -> None:
        progress(before + swept.removed, f"{number}/{swept.cursor or START}")

    return tell


def _cache(alias: str) -> Target:
    entry = conf.caches()[alias]
    settings = conf.cache_location_settings(entry.get("LOCATION"), entry.get("OPTIONS"))
    pattern, belongs = caches[alias].keyspace.everything()  # type: ignore[attr-defined]
    return Target(f"{CACHE}:{alias}", settings, [Kind(pattern, belongs)])


def _sessions(name: str, alias: Alias) -> Target:
    settings = conf.read_session_settings()
    return _beginning(name, lambda: settings.alias, f"{settings.prefix}:", f"{settings.prefix}-of:")


def _limits(name: str, alias: Alias) -> Target:
    return _beginning(name, alias, *(f"{LIMITS}{kind}:" for kind in ("", "-rules", "-stats")))


def _idempotency(name: str, alias: Alias) -> Target:
    return _beginning(name, lambda: conf.idempotency_settings().alias, f"{IDEMPOTENCY}:")


def _breakers(name: str, alias: Alias) -> Target:
    found = _beginning(name, alias, record_key("x").removesuffix("x"))
    return Target(name, found.settings, [*found.kinds, Kind(INDEX), Kind(FORCED)])


def _queues(name: str, alias: Alias) -> Target:
    return _beginning(name, alias, QUEUES)


def _tenants(name: str, alias: Alias) -> Target:
    home = space()
    return _beginning(name, lambda: home.settings.alias, *(f"{beginning}{{" for beginning in home.beginnings))


def _self_tests(name: str, alias: Alias) -> Target:
    return _beginning(name, alias, SELF_TEST)


def _beginning(name: str, alias: Alias, *prefixes: str) -> Target:
    kinds = [Kind(f"{glob_escape(prefix)}*") for prefix in prefixes]
    return Target(name, conf.connection_settings(alias()), kinds)


_FAMILIES: dict[str, Callable[[str, Alias], Target]] = {
    "sessions": _sessions,
    "limits": _limits,
    "idempotency": _idempotency,
    "breakers": _breakers,
    "queues": _queues,
    "tenants": _tenants,
    "health": _self_tests,
}
