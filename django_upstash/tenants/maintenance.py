"""
Which tenants there are, what one of them takes, and how all of it is removed.

Everything of a tenant is known by the beginning of its keys, which holds the tenant's name in a form that no other name
can imitate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from django_upstash.callbacks import refuse_awaitable
from django_upstash.connections import Connection, connections
from django_upstash.exceptions import ResponseError
from django_upstash.idempotency.keys import beginning as beginning_of_keys
from django_upstash.idempotency.settings import idempotency_settings
from django_upstash.operations import Operation, Reply, checked
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.key_scan import START, Progress, Swept, collect, removal
from django_upstash.operations.keys import glob_escape, percent_decoded, percent_encoded
from django_upstash.operations.steps import Flow, Run, twins
from django_upstash.ratelimit.keys import beginning as beginning_of_limits
from django_upstash.settings import conf
from django_upstash.tenants import metering, snapshots
from django_upstash.tenants.caches import cache_beginning, forget_near, shared_caches, tenant_cache, tenant_keys
from django_upstash.tenants.places import Database, UsagePlace, ambiguous, database_of, without_doubles
from django_upstash.tenants.tenant_keys import space

LIMIT = 100_000
SAMPLE = 100
_NAME = r"\{([^{}]+)\}"


# Which connection is used in the place of a site's own.
Through: TypeAlias = Callable[[Connection], Connection]


def _directly(connection: Connection) -> Connection:
    return connection


@dataclass(frozen=True)
class Measure:
    """
    One kind of a tenant's keys. ``bytes`` is an estimate from a sample, None where the server does not tell.

    Where ``is_complete`` is False, ``keys`` are those counted before the limit was reached.
    """

    name: str
    keys: int
    bytes: int | None
    is_complete: bool


def places(tenant: str, through: Through = _directly) -> list[UsagePlace]:
    """Return where a tenant's keys are: its record, usage and limits, and its parts of all caches of this package."""
    home = space()
    own = [UsagePlace(name, home.connection, kind) for name, kind in home.kinds(tenant)]
    encoded = percent_encoded(tenant)
    endings = {"": ":*", "rules": "", "stats": ":*"}
    limits = [f"{beginning_of_limits(kind)}{encoded}{ending}" for kind, ending in endings.items()]
    own += [UsagePlace("limits", home.connection, Kind(pattern)) for pattern in limits]
    alias = idempotency_settings().alias
    if alias in conf.aliases():
        own.append(UsagePlace("idempotency", connections[alias], Kind(f"{beginning_of_keys()}{encoded}:*")))
    own += [
        UsagePlace(f"cache:{alias}", tenant_cache(alias, tenant).connection, tenant_keys(alias, tenant))
        for alias in shared_caches()
    ]
    return [place._replace(connection=through(place.connection)) for place in own]


def measure(tenant: str, limit: int, sample: int, through: Through = _directly) -> Flow[list[Measure]]:
    """Count the keys of each place, and ask for the size of some of them."""
    found: dict[str, Measure] = {}
    for place in (yield from _distinct(places(tenant, through))):
        names, is_complete = yield from collect(place.connection, place.kind, limit)
        mean = yield from _mean_size(place.connection, sorted(names)[:sample])
        so_far = found.get(place.name, Measure(place.name, 0, 0, True))
        taken = 0 if not names else None if mean is None else round(mean * len(names))
        total = None if taken is None or so_far.bytes is None else so_far.bytes + taken
        found[place.name] = Measure(place.name, so_far.keys + len(names), total, so_far.is_complete and is_complete)
    return list(found.values())


def _distinct(places: Sequence[UsagePlace]) -> Flow[list[UsagePlace]]:
    databases: dict[Connection, Database] = {}
    for connection in ambiguous(places):
        databases[connection] = yield Run(connection, database_of(connection))
    return without_doubles(places, databases)


def erase(
    tenant: str, cursor: str, most: int | None, progress: Progress | None, through: Through = _directly
) -> Flow[Swept]:
    """Remove the keys of one place after the other; a cursor is the number of a place and the cursor there."""
    first, _, inner = cursor.rpartition("/")
    removed = 0
    metering.meter_of(space()).forget(tenant)
    for number, place in list(enumerate(places(tenant, through)))[int(first or 0) :]:
        left = None if most is None else most - removed

        def tell(swept: Swept, before: int = removed, number: int = number) -> None:
            if progress is not None:
                place_reached = f"{number}/{swept.cursor or START}"
                refuse_awaitable("progress", progress(Swept(before + swept.removed, place_reached)))

        swept: Swept = yield Run(place.connection, removal(place.kind, inner, most=left, progress=tell))
        removed, inner = removed + swept.removed, START
        if most is not None and removed >= most:
            return Swept(removed, f"{number}/{swept.cursor}" if swept.cursor else f"{number + 1}/{START}")
    snapshots.forget(tenant)
    forget_near(tenant)
    return Swept(removed, None)


def _stored_tenants(limit: int = LIMIT, through: Through = _directly) -> Flow[list[str]]:
    """Return the names of the tenants of whom configuration, flags, usage or cached values are stored, sorted."""
    found: set[str] = set()
    for connection, beginning in beginnings():
        place = UsagePlace("", through(connection), Kind(f"{glob_escape(beginning)}{{*}}*"))
        names, _ = yield from collect(place.connection, place.kind, limit)
        found.update(tenants_of(names, beginning))
    return sorted(found)


stored_tenants, astored_tenants = twins(_stored_tenants)


def beginnings() -> Iterator[tuple[Connection, str]]:
    """Yield what precedes a tenant's brace in keys that tell of it, and the connection that they are on."""
    home = space()
    for beginning in home.beginnings:
        yield home.connection, beginning
    for alias in shared_caches():
        entry = conf.caches()[alias]
        settings = conf.cache_location_settings(entry.get("LOCATION"), entry.get("OPTIONS"))
        is_named = settings.alias in conf.aliases()
        yield connections[settings.alias] if is_named else connections.for_settings(settings), cache_beginning(alias)


def tenants_of(names: Iterable[str], beginning: str) -> Iterator[str]:
    """Yield whose keys these are, of those that begin so; one tenant as often as there are keys of it."""
    pattern = re.compile(rf"{re.escape(beginning)}{_NAME}(:.*)?", re.DOTALL)
    for key in names:
        if match := pattern.fullmatch(key):
            # Of all that others may have written, names are what this package would have called so.
            name = percent_decoded(match[1])
            if name is not None:
                yield name


def _mean_size(connection: Connection, keys: Sequence[str]) -> Flow[float | None]:
    """Return the mean size of some keys in bytes, None where the server does not tell."""
    if not keys:
        return None
    sizes = yield Run(connection, Operation([("MEMORY", "USAGE", key) for key in keys], _sizes))
    return sum(sizes) / len(sizes) if sizes else None


def _sizes(replies: list[Reply]) -> list[int]:
    told = [reply for reply in replies if not isinstance(reply, ResponseError)]
    return [size for size in checked(told) if size is not None]
