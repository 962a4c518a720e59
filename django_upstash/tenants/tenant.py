"""One tenant, and everything that is its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django_upstash.operations.key_scan import START, Progress, Swept
from django_upstash.operations.steps import Flow, adrive, drive, twins
from django_upstash.ratelimit.limiter import RateLimiter
from django_upstash.tenants import maintenance
from django_upstash.tenants.caches import tenant_cache
from django_upstash.tenants.flags import Flags
from django_upstash.tenants.maintenance import Measure
from django_upstash.tenants.snapshots import CONFIG, load, remove, store, stored_field
from django_upstash.tenants.tenant_keys import check_name, space
from django_upstash.tenants.usage import Usage

if TYPE_CHECKING:
    from django_upstash.cache import UpstashCache
    from django_upstash.ratelimit.policies import Policy


class Tenant:
    """
    One customer of the site, by name: with a cache, limits, configuration, flags and usage that are nobody else's.

        tenant = Tenant("acme")
        tenant.cache.set("greeting", "hello")

    Making one does no I/O. Raises ``ValueError`` for a name that cannot be one, ``TypeError`` for what is no text.
    """

    def __init__(self, name: str) -> None:
        self.name = check_name(name)
        self.flags = Flags(name)
        self.usage = Usage(name)

    def __repr__(self) -> str:
        return f"<Tenant {self.name!r}>"

    def __str__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tenant) and other.name == self.name

    def __hash__(self) -> int:
        return hash((Tenant, self.name))

    @property
    def cache(self) -> UpstashCache:
        """The tenant's part of the cache that ``CACHE`` of ``UPSTASH_TENANTS`` names."""
        return self.cache_in(space().settings.cache)

    def cache_in(self, alias: str) -> UpstashCache:
        """Return the tenant's part of one of the ``CACHES``."""
        return tenant_cache(alias, self.name)

    def limiter(self, policies: Policy | Iterable[Policy], **options: Any) -> RateLimiter:
        """Return a limiter whose counters and rules are the tenant's own; the options are those of ``RateLimiter``."""
        return RateLimiter(policies, tenant=self.name, **{"alias": space().settings.alias, **options})

    @property
    def config(self) -> Mapping[str, Any]:
        """
        The tenant's configuration as it was read last, at most ``REFRESH`` seconds ago; read-only.

        While the server is away the last one stays. Raises what keeps it from being read if there is none.
        """
        return drive(load(self.name)).config

    async def aconfig(self) -> Mapping[str, Any]:
        """Return what ``config`` is, without blocking the event loop."""
        return (await adrive(load(self.name))).config

    def _configure(self, **values: Any) -> Flow[None]:
        """Store some of the configuration, as JSON has it; other processes follow within ``REFRESH``."""
        fields = {stored_field(CONFIG, name): json.dumps(value, allow_nan=False) for name, value in values.items()}
        yield from store(self.name, fields)

    def _unconfigure(self, *names: str) -> Flow[None]:
        """Remove some of the configuration."""
        yield from remove(self.name, [stored_field(CONFIG, name) for name in names])

    def _measure(self, *, limit: int = maintenance.LIMIT, sample: int = maintenance.SAMPLE) -> Flow[list[Measure]]:
        """
        Return how many keys the tenant has, of which kind, and about how many bytes they take.

        Counts up to about ``limit`` keys of each kind, and asks for the size of ``sample`` of them.
        """
        return (yield from maintenance.measure(self.name, limit, sample))

    def _erase(self, *, cursor: str = START, most: int | None = None, progress: Progress | None = None) -> Flow[Swept]:
        """
        Remove everything that is stored of the tenant, and nothing of any other.

        Returns how many keys were removed, and the cursor at which another call goes on: None at the end, another after
        about ``most`` keys. ``progress`` is called with the same after each request. What other processes count after
        that is stored again.
        """
        return (yield from maintenance.erase(self.name, cursor, most, progress))

    configure, aconfigure = twins(_configure)
    unconfigure, aunconfigure = twins(_unconfigure)
    measure, ameasure = twins(_measure)
    erase, aerase = twins(_erase)
