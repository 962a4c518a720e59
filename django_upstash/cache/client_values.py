"""The client's methods on values and keys: those of the cache, whatever a subclass of that makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from django_upstash.cache import scans
from django_upstash.cache.methods.keys import KeyMethods
from django_upstash.cache.methods.values import ValueMethods
from django_upstash.operations.key_scan import Progress


class ClientValues:
    """
    Runs the cache's own methods, never a subclass' overrides of them.

    Otherwise a subclass written over django-redis, whose ``get`` ends in ``self.client.get(…)``, would call itself.
    """

    _backend: Any

    def get(self, key: Any, default: Any = None, version: Any = None, client: Any = None) -> Any:
        """Run the cache's own ``get``."""
        return ValueMethods.get(self._backend, key, default, version, client)

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
        """Run the cache's own ``set``."""
        return ValueMethods.set(self._backend, key, value, timeout, version, client, nx, xx, tags=tags)

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
        """Run the cache's own ``add``."""
        return ValueMethods.add(self._backend, key, value, timeout, version, client, tags=tags)

    def delete(self, key: Any, version: Any = None, prefix: str | None = None, client: Any = None) -> bool:
        """Run the cache's own ``delete``."""
        return ValueMethods.delete(self._backend, key, version, prefix, client)

    def has_key(self, key: Any, version: Any = None, client: Any = None) -> bool:
        """Run the cache's own ``has_key``."""
        return ValueMethods.has_key(self._backend, key, version, client)

    def get_many(self, keys: Iterable[Any], version: Any = None, client: Any = None) -> dict[Any, Any]:
        """Run the cache's own ``get_many``."""
        return ValueMethods.get_many(self._backend, keys, version, client)

    def set_many(
        self,
        data: Mapping[Any, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        client: Any = None,
        *,
        tags: Iterable[str] = (),
    ) -> list[Any]:
        """Run the cache's own ``set_many``."""
        return ValueMethods.set_many(self._backend, data, timeout, version, client, tags=tags)

    def delete_many(self, keys: Iterable[Any], version: Any = None, client: Any = None) -> int | None:
        """Run the cache's own ``delete_many``."""
        return ValueMethods.delete_many(self._backend, keys, version, client)

    def incr(
        self, key: Any, delta: Any = 1, version: Any = None, client: Any = None, ignore_key_check: bool = False
    ) -> Any:
        """Run the cache's own ``incr``."""
        return ValueMethods.incr(self._backend, key, delta, version, client, ignore_key_check)

    def decr(self, key: Any, delta: Any = 1, version: Any = None, client: Any = None) -> Any:
        """Run the cache's own ``decr``."""
        return ValueMethods.decr(self._backend, key, delta, version, client)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None) -> bool:
        """Run the cache's own ``touch``."""
        return KeyMethods.touch(self._backend, key, timeout, version, client)

    def ttl(self, key: Any, version: Any = None, client: Any = None) -> int | None:
        """Run the cache's own ``ttl``."""
        return KeyMethods.ttl(self._backend, key, version, client)

    def pttl(self, key: Any, version: Any = None, client: Any = None) -> int | None:
        """Run the cache's own ``pttl``."""
        return KeyMethods.pttl(self._backend, key, version, client)

    def persist(self, key: Any, version: Any = None, client: Any = None) -> bool:
        """Run the cache's own ``persist``."""
        return KeyMethods.persist(self._backend, key, version, client)

    def expire(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None) -> bool:
        """Run the cache's own ``expire``."""
        return KeyMethods.expire(self._backend, key, timeout, version, client)

    def pexpire(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None) -> bool:
        """Run the cache's own ``pexpire``."""
        return KeyMethods.pexpire(self._backend, key, timeout, version, client)

    def expire_at(self, key: Any, when: Any, version: Any = None, client: Any = None) -> bool:
        """Run the cache's own ``expire_at``."""
        return KeyMethods.expire_at(self._backend, key, when, version, client)

    def pexpire_at(self, key: Any, when: Any, version: Any = None, client: Any = None) -> bool:
        """Run the cache's own ``pexpire_at``."""
        return KeyMethods.pexpire_at(self._backend, key, when, version, client)

    def incr_version(self, key: Any, delta: int = 1, version: Any = None, client: Any = None) -> int:
        """Run the cache's own ``incr_version``."""
        return KeyMethods.incr_version(self._backend, key, delta, version, client)

    def keys(self, search: str, version: Any = None, client: Any = None) -> list[str]:
        """Run the cache's own ``keys``."""
        return KeyMethods.keys(self._backend, search, version, client)

    def iter_keys(
        self, search: str, itersize: int | None = None, client: Any = None, version: Any = None
    ) -> Iterator[str]:
        """Run the cache's own ``iter_keys``."""
        return KeyMethods.iter_keys(self._backend, search, itersize, client, version)

    def delete_pattern(
        self,
        pattern: str,
        version: Any = None,
        prefix: str | None = None,
        client: Any = None,
        itersize: int | None = None,
        *,
        cursor: str = scans.START,
        progress: Progress | None = None,
    ) -> int:
        """Run the cache's own ``delete_pattern``."""
        return KeyMethods.delete_pattern(
            self._backend, pattern, version, prefix, client, itersize, cursor=cursor, progress=progress
        )

    def clear(
        self, *, itersize: int | None = None, cursor: str = scans.START, progress: Progress | None = None
    ) -> None:
        """Run the cache's own ``clear``."""
        return KeyMethods.clear(self._backend, itersize=itersize, cursor=cursor, progress=progress)
