"""A cache of this site with a part of its own for one tenant."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

from django_upstash import conf
from django_upstash.keys import glob_escape
from django_upstash.sweeps import Kind
from django_upstash.tenants.space import Space, space, tag

if TYPE_CHECKING:
    from django_upstash.cache import UpstashCache


def tenant_cache(alias: str, tenant: str) -> UpstashCache:
    """
    Return the cache of this alias with the tenant in the prefix of its keys, so that nothing of it is anybody else's.

    Raises ``ImproperlyConfigured`` where the alias is no cache of this package.
    """
    return _made(space(), alias, tenant)


@lru_cache(maxsize=1024)
def _made(home: Space, alias: str, tenant: str) -> UpstashCache:
    # Cache objects hold no state of a thread or a task, and making one takes longer than asking one.
    from django_upstash.cache import UpstashCache

    entry = _entry(alias)
    return UpstashCache(entry.get("LOCATION", ""), {**entry, "KEY_PREFIX": _prefix(entry, tenant)})


def tenant_keys(alias: str, tenant: str) -> Kind:
    """Return the keys of a tenant in the cache of this alias, in every version."""
    beginning = f"{glob_escape(_prefix(_entry(alias), tenant))}:*"
    return Kind(beginning)


def cache_beginning(alias: str) -> str:
    """Return what stands before a tenant's brace in the keys of a cache."""
    return _beginning(_entry(alias))


def _prefix(entry: Any, tenant: str) -> str:
    return f"{_beginning(entry)}{tag(tenant)}"


def _beginning(entry: Any) -> str:
    prefix = entry.get("KEY_PREFIX", "")
    return f"{prefix}:" if prefix else ""


def _entry(alias: str) -> Any:
    entry = conf.caches().get(alias)
    if entry is None:
        raise ImproperlyConfigured(
            f"CACHES has no {alias!r} of this package, in which tenants could have parts of their own: give it the "
            f"BACKEND {conf.CACHE_BACKEND!r}, or name another with CACHE of UPSTASH_TENANTS."
        )
    return entry
