"""``get_or_set``: the cache's methods that compute what they do not find."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from django_upstash.cache import stampede
from django_upstash.cache.connected_cache import ConnectedCache
from django_upstash.cache.protection import LEASE, CacheProtection


class ComputedMethods(ConnectedCache):
    """Values that are computed where they are missing, by one caller at a time."""

    def get_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        *,
        early: float = 0,
        grace: float = 0,
        cross_process: bool = False,
        lease: float = LEASE,
        tags: Iterable[str] = (),
    ) -> Any:
        """
        Return the value, or store ``default``, or what it returns when called, and return that.

        Of the callers in this process that find none at the same time, one calls its ``default``; of all processes,
        with ``cross_process``, one at a time, for ``lease`` seconds at most. ``early`` is how eagerly a value is
        computed again before it expires (1 is usual); ``grace`` for how many seconds after that the last one serves
        where ``default`` raises. ``tags`` are what ``invalidate_tags`` knows the value by.
        """
        protection = CacheProtection(early, grace, cross_process, lease, tags)
        return stampede.get_or_set(self, key, default, timeout, version, protection)

    async def aget_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        *,
        early: float = 0,
        grace: float = 0,
        cross_process: bool = False,
        lease: float = LEASE,
        tags: Iterable[str] = (),
    ) -> Any:
        """Like ``get_or_set``; what a callable ``default`` returns is awaited where it can be."""
        protection = CacheProtection(early, grace, cross_process, lease, tags)
        return await stampede.aget_or_set(self, key, default, timeout, version, protection)
