"""The cache's methods on values: reading, storing, counting, and many keys at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from django_upstash.cache import counters, many, operations
from django_upstash.cache.connected_cache import ConnectedCache
from django_upstash.cache.empty_results import ignorable
from django_upstash.cache.explicit_client import through
from django_upstash.cache.tags import invalidate_tags

# mypy: disable-error-code="no-any-return"
# Runners, and clients that callers bring, run operations of every type.


class ValueMethods(ConnectedCache):
    """
    Django's methods on values, with django-redis' arguments, and the asynchronous version of each.

    The reading ones are written without ``_run``: they are the most frequent, and a Python call costs 1 % of them.
    """

    def get(self, key: Any, default: Any = None, version: Any = None, client: Any = None) -> Any:
        """Return the value, or ``default`` if there is none or none that can be trusted and read."""
        try:
            operation = operations.get(self.keyspace, key, default, version)
            return self.runner.run(operation) if client is None else through(client, operation)
        except ignorable() as error:
            return self._instead_of("get", error, key, default)

    async def aget(self, key: Any, default: Any = None, version: Any = None, client: Any = None) -> Any:
        """Async version of ``get``."""
        try:
            operation = operations.get(self.keyspace, key, default, version)
            return await self.runner.arun(operation) if client is None else through(client, operation)
        except ignorable() as error:
            return self._instead_of("get", error, key, default)

    def get_many(self, keys: Iterable[Any], version: Any = None, client: Any = None) -> dict[Any, Any]:
        """Return the values that there are, by the keys as they were given."""
        try:
            operation = many.get_many(self.keyspace, keys, version)
            if client is not None:
                return through(client, operation)
            return self.runner.run(operation) if operation.commands else operation.parse([])  # type: ignore[return-value]
        except ignorable() as error:
            return self._instead_of("get_many", error, keys)

    async def aget_many(self, keys: Iterable[Any], version: Any = None, client: Any = None) -> dict[Any, Any]:
        """Async version of ``get_many``."""
        try:
            operation = many.get_many(self.keyspace, keys, version)
            if client is not None:
                return through(client, operation)
            return await self.runner.arun(operation) if operation.commands else operation.parse([])  # type: ignore[return-value]
        except ignorable() as error:
            return self._instead_of("get_many", error, keys)

    def set(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        client: Any = None,
        nx: bool = False,
        xx: bool = False,
        *,
        tags: Iterable[str] = (),
    ) -> bool:
        """Store the value, only if there is none (``nx``) or one (``xx``) if so asked; return whether it was stored."""
        return self._run(client, operations.set, key, value, timeout, version, nx, xx, tags=tags)

    async def aset(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        client: Any = None,
        nx: bool = False,
        xx: bool = False,
        *,
        tags: Iterable[str] = (),
    ) -> bool:
        """Async version of ``set``."""
        return await self._arun(client, operations.set, key, value, timeout, version, nx, xx, tags=tags)

    def add(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        client: Any = None,
        *,
        tags: Iterable[str] = (),
    ) -> bool:
        """Store the value if there is none; return whether it was stored."""
        return self._run(client, operations.add, key, value, timeout, version, tags=tags)

    async def aadd(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        client: Any = None,
        *,
        tags: Iterable[str] = (),
    ) -> bool:
        """Async version of ``add``."""
        return await self._arun(client, operations.add, key, value, timeout, version, tags=tags)

    def delete(self, key: Any, version: Any = None, prefix: str | None = None, client: Any = None) -> bool:
        """Remove the key; return whether there was one."""
        return self._run(client, operations.delete, key, version, prefix)

    async def adelete(self, key: Any, version: Any = None, prefix: str | None = None, client: Any = None) -> bool:
        """Async version of ``delete``."""
        return await self._arun(client, operations.delete, key, version, prefix)

    def has_key(self, key: Any, version: Any = None, client: Any = None) -> bool:
        """Return whether there is such a key."""
        return self._run(client, operations.has_key, key, version)

    async def ahas_key(self, key: Any, version: Any = None, client: Any = None) -> bool:
        """Async version of ``has_key``."""
        return await self._arun(client, operations.has_key, key, version)

    def set_many(
        self,
        data: Mapping[Any, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        client: Any = None,
        *,
        tags: Iterable[str] = (),
    ) -> list[Any]:
        """
        Store the values, and return the list of the keys that were not stored: those of values that are too large.

        Atomic where the server has MSETEX and one request holds them all.
        """
        return self._run(client, many.set_many, data, timeout, version, tags=tags)

    async def aset_many(
        self,
        data: Mapping[Any, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        client: Any = None,
        *,
        tags: Iterable[str] = (),
    ) -> list[Any]:
        """Async version of ``set_many``."""
        return await self._arun(client, many.set_many, data, timeout, version, tags=tags)

    def delete_many(self, keys: Iterable[Any], version: Any = None, client: Any = None) -> int | None:
        """Remove the keys; return how many there were, or None, as Django's own caches do, where none was named."""
        return self._run(client, many.delete_many, keys, version)

    async def adelete_many(self, keys: Iterable[Any], version: Any = None, client: Any = None) -> int | None:
        """Async version of ``delete_many``."""
        return await self._arun(client, many.delete_many, keys, version)

    def incr(
        self, key: Any, delta: Any = 1, version: Any = None, client: Any = None, ignore_key_check: bool = False
    ) -> Any:
        """
        Add ``delta``, keep the lifetime, and return the sum.

        Raises ``ValueError`` for a missing key, unless ``ignore_key_check`` lets it begin at ``delta``.
        """
        return self._run(client, counters.incr, key, delta, version, ignore_key_check=ignore_key_check)

    async def aincr(
        self, key: Any, delta: Any = 1, version: Any = None, client: Any = None, ignore_key_check: bool = False
    ) -> Any:
        """Async version of ``incr``."""
        return await self._arun(client, counters.incr, key, delta, version, ignore_key_check=ignore_key_check)

    def decr(self, key: Any, delta: Any = 1, version: Any = None, client: Any = None) -> Any:
        """Subtract ``delta``, keep the lifetime, and return the difference; ``ValueError`` for a missing key."""
        return self._run(client, counters.decr, key, delta, version)

    async def adecr(self, key: Any, delta: Any = 1, version: Any = None, client: Any = None) -> Any:
        """Async version of ``decr``."""
        return await self._arun(client, counters.decr, key, delta, version)

    def invalidate_tags(self, *tags: str) -> None:
        """
        Let every value that carries one of these tags count as missing, in one command.

        A value that is being computed meanwhile, from what was true before, is missing as well once it is stored.
        """
        return self._run(None, invalidate_tags, *tags)

    async def ainvalidate_tags(self, *tags: str) -> None:
        """Async version of ``invalidate_tags``."""
        return await self._arun(None, invalidate_tags, *tags)
