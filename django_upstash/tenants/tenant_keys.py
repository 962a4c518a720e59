"""
Where tenants' data lives: the connection, and what everything of one tenant is called there.

A tenant's name is percent-encoded in braces, so that no name can end its own brace and begin another's, and so that
all keys of a tenant are in one slot of a cluster.
"""

from __future__ import annotations

from functools import cache, lru_cache

from django.core.signals import setting_changed

from django_upstash.connections import Connection, connections
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.keys import glob_escape, percent_encoded, root
from django_upstash.ratelimit.limiter_base import DEFAULT_TENANT
from django_upstash.settings.key_prefix import PREFIX_SETTING
from django_upstash.tenants.settings import SCHEMA, TenantSettings

LONGEST_NAME = 100
_SETTINGS = frozenset({SCHEMA.name, PREFIX_SETTING, "UPSTASH", "CACHES"})


class Space:
    """The tenants of this site in their database."""

    def __init__(self, settings: TenantSettings) -> None:
        self.settings = settings
        self._beginning = root(f"{settings.prefix}:" if settings.prefix else "")

    @property
    def connection(self) -> Connection:
        return connections[self.settings.alias]

    def record(self, tenant: str) -> str:
        """Return the key of the hash with a tenant's configuration and flags."""
        return f"{self._beginning}tenant:{tag(tenant)}"

    def usage(self, tenant: str, period: str) -> str:
        """Return the key of the hash with a tenant's usage in a period."""
        return f"{self._beginning}usage:{tag(tenant)}:{period}"

    def usage_ids(self, tenant: str, period: str) -> str:
        """Return the key of the set of what has been counted in a period and must not be counted again."""
        return f"{self._beginning}usage:{tag(tenant)}:{period}:ids"

    def usage_from(self, tenant: str, process: str) -> str:
        """Return the key with the number of the last batch of a process that has been counted."""
        return f"{self._beginning}usage:{tag(tenant)}:from:{process}"

    def kinds(self, tenant: str) -> list[tuple[str, Kind]]:
        """Return the keys of a tenant on the tenants' own connection, by what they are."""
        return [
            ("config", Kind(glob_escape(self.record(tenant)))),
            ("usage", Kind(f"{glob_escape(self.usage(tenant, ''))}*")),
        ]

    @property
    def beginnings(self) -> tuple[str, str]:
        """What precedes a tenant's brace in the keys of records and of usage."""
        return f"{self._beginning}tenant:", f"{self._beginning}usage:"


@lru_cache(maxsize=4096)
def tag(tenant: str) -> str:
    """Return a tenant's name as keys have it."""
    return f"{{{percent_encoded(tenant)}}}"


def check_name(name: object) -> str:
    """Return a tenant's name; raise ``TypeError`` or ``ValueError`` for what cannot be one."""
    if not isinstance(name, str):
        raise TypeError(f"A tenant's name must be text, not {type(name).__name__}.")
    if not name:
        raise ValueError("A tenant's name must not be empty.")
    if len(name) > LONGEST_NAME or len(percent_encoded(name)) > LONGEST_NAME:
        raise ValueError(f"A tenant's name takes at most {LONGEST_NAME} characters, percent-encoded as keys have it.")
    if name == DEFAULT_TENANT:
        raise ValueError(f"{name!r} is what limiters without a tenant count under: give the tenant another name.")
    return name


@cache
def space() -> Space:
    """Return where this site's tenants live; raise ``ImproperlyConfigured`` for settings that make no sense."""
    return Space(SCHEMA.read())


def _forget_changed(*, setting: str, **kwargs: object) -> None:
    if setting in _SETTINGS:
        space.cache_clear()


setting_changed.connect(_forget_changed, dispatch_uid="django_upstash.tenants")
