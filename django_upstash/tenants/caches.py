"""A cache of this site with a part of its own for one tenant."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.cache.backends.base import get_key_func
from django.core.exceptions import ImproperlyConfigured

from django_upstash.operations.key_kind import Kind
from django_upstash.operations.keys import glob_escape, root
from django_upstash.settings import conf
from django_upstash.tenants.tenant_keys import Space, space, tag

if TYPE_CHECKING:
    from django_upstash.cache import UpstashCache


def tenant_cache(alias: str, tenant: str) -> UpstashCache:
    """
    Return the cache of this alias with the tenant in the prefix of its keys, so that nothing of it is anybody else's.

    Raises ``ImproperlyConfigured`` where the alias is no cache of this package, or its keys do not keep tenants apart.
    """
    return _made(space(), alias, tenant)


@lru_cache(maxsize=1024)
def _made(home: Space, alias: str, tenant: str) -> UpstashCache:
    # Cache objects hold no state of a thread or a task, and making one takes longer than asking one.
    from django_upstash.cache import UpstashCache

    entry = _entry(alias)
    if not _keeps_apart(entry):
        raise ImproperlyConfigured(
            f"KEY_FUNCTION of the cache {alias!r} makes keys that do not begin with the prefix and a colon, by which "
            "tenants' keys are told apart: let them begin so, or name another cache with CACHE of UPSTASH_TENANTS."
        )
    return UpstashCache(entry.get("LOCATION", ""), {**entry, "KEY_PREFIX": _prefix(entry, tenant)})


def shared_caches() -> list[str]:
    """Return the aliases of the caches in which tenants can have parts of their own."""
    return [alias for alias, entry in conf.caches().items() if _keeps_apart(entry)]


def tenant_keys(alias: str, tenant: str) -> Kind:
    """Return the keys of a tenant in the cache of this alias, in every version."""
    return Kind(f"{glob_escape(root(_prefix(_entry(alias), tenant)))}:*")


def forget_near(tenant: str) -> None:
    """Drop what this process remembers of a tenant's parts of all caches, in their near tiers."""
    from django_upstash.cache.near_cache import tiers

    for alias in shared_caches():
        cache = tenant_cache(alias, tenant)
        if cache.options.near_cache is not None:
            tiers.of(cache.connection, cache.key_prefix, cache.options.near_cache).forget_everything()


def cache_beginning(alias: str) -> str:
    """Return what precedes a tenant's brace in the keys of a cache."""
    return root(_beginning(_entry(alias)))


def _prefix(entry: Any, tenant: str) -> str:
    return f"{_beginning(entry)}{tag(tenant)}"


def _keeps_apart(entry: Any) -> bool:
    prefix = _prefix(entry, "acme")
    made: str = get_key_func(entry.get("KEY_FUNCTION"))("key", prefix, 1)
    return made.startswith(f"{prefix}:")


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
