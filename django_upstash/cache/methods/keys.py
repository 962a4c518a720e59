"""The cache's methods on keys: their lifetimes and versions, and all that match a pattern."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from django_upstash.cache import operations, scans
from django_upstash.cache.connected_cache import ConnectedCache
from django_upstash.operations.key_scan import Progress


class KeyMethods(ConnectedCache):
    """Django's and django-redis' methods on keys whatever their values are, and the asynchronous version of each."""

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None) -> bool:
        """Give the key a new lifetime, none with ``None``; return whether there is such a key."""
        return self._run(client, operations.touch, key, timeout, version)

    async def atouch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None) -> bool:
        """Async version of ``touch``."""
        return await self._arun(client, operations.touch, key, timeout, version)

    def ttl(self, key: Any, version: Any = None, client: Any = None) -> int | None:
        """Return the seconds the key has left, None where it does not expire, 0 where it is missing."""
        return self._run(client, operations.ttl, key, version)

    async def attl(self, key: Any, version: Any = None, client: Any = None) -> int | None:
        """Async version of ``ttl``."""
        return await self._arun(client, operations.ttl, key, version)

    def pttl(self, key: Any, version: Any = None, client: Any = None) -> int | None:
        """Return the milliseconds the key has left, None where it does not expire, 0 where it is missing."""
        return self._run(client, operations.pttl, key, version)

    async def apttl(self, key: Any, version: Any = None, client: Any = None) -> int | None:
        """Async version of ``pttl``."""
        return await self._arun(client, operations.pttl, key, version)

    def persist(self, key: Any, version: Any = None, client: Any = None) -> bool:
        """Remove the key's expiry; return whether it had one."""
        return self._run(client, operations.persist, key, version)

    async def apersist(self, key: Any, version: Any = None, client: Any = None) -> bool:
        """Async version of ``persist``."""
        return await self._arun(client, operations.persist, key, version)

    def expire(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None) -> bool:
        """Let the key expire after so many seconds, or a ``timedelta``; return whether there is such a key."""
        return self._run(client, operations.expire, key, timeout, version)

    async def aexpire(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None) -> bool:
        """Async version of ``expire``."""
        return await self._arun(client, operations.expire, key, timeout, version)

    def pexpire(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None) -> bool:
        """Let the key expire after so many milliseconds, or a ``timedelta``; return whether there is such a key."""
        return self._run(client, operations.pexpire, key, timeout, version)

    async def apexpire(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, client: Any = None) -> bool:
        """Async version of ``pexpire``."""
        return await self._arun(client, operations.pexpire, key, timeout, version)

    def expire_at(self, key: Any, when: Any, version: Any = None, client: Any = None) -> bool:
        """Let the key expire at a Unix time in seconds, or a ``datetime``; return whether there is such a key."""
        return self._run(client, operations.expire_at, key, when, version)

    async def aexpire_at(self, key: Any, when: Any, version: Any = None, client: Any = None) -> bool:
        """Async version of ``expire_at``."""
        return await self._arun(client, operations.expire_at, key, when, version)

    def pexpire_at(self, key: Any, when: Any, version: Any = None, client: Any = None) -> bool:
        """Let the key expire at a Unix time in milliseconds, or a ``datetime``; return whether there is such a key."""
        return self._run(client, operations.pexpire_at, key, when, version)

    async def apexpire_at(self, key: Any, when: Any, version: Any = None, client: Any = None) -> bool:
        """Async version of ``pexpire_at``."""
        return await self._arun(client, operations.pexpire_at, key, when, version)

    def incr_version(self, key: Any, delta: int = 1, version: Any = None, client: Any = None) -> int:
        """Move the value, with its lifetime, to another version, and return that; ``ValueError`` if there is none."""
        return self._run(client, operations.incr_version, key, delta, version)

    async def aincr_version(self, key: Any, delta: int = 1, version: Any = None, client: Any = None) -> int:
        """Async version of ``incr_version``."""
        return await self._arun(client, operations.incr_version, key, delta, version)

    def decr_version(self, key: Any, delta: int = 1, version: Any = None, client: Any = None) -> int:
        """Like ``incr_version``, downwards."""
        return self._run(client, operations.decr_version, key, delta, version)

    async def adecr_version(self, key: Any, delta: int = 1, version: Any = None, client: Any = None) -> int:
        """Async version of ``decr_version``."""
        return await self._arun(client, operations.decr_version, key, delta, version)

    def keys(self, search: str, version: Any = None, client: Any = None) -> list[str]:
        """Return the keys that match ``search``, each once."""
        return self._run(client, scans.keys, search, version)

    async def akeys(self, search: str, version: Any = None, client: Any = None) -> list[str]:
        """Async version of ``keys``."""
        return await self._arun(client, scans.keys, search, version)

    def iter_keys(
        self, search: str, itersize: int | None = None, client: Any = None, version: Any = None
    ) -> Iterator[str]:
        """Yield the keys that match ``search``, a page at a time; one may come twice."""
        cursor: str | None = scans.START
        while cursor is not None:
            page = self._run(client, scans.page, search, cursor, itersize, version)
            cursor = page.cursor
            yield from page.keys

    async def aiter_keys(self, search: str, itersize: int | None = None, version: Any = None) -> AsyncIterator[str]:
        """Async version of ``iter_keys``."""
        cursor: str | None = scans.START
        while cursor is not None:
            page = await self._arun(None, scans.page, search, cursor, itersize, version)
            cursor = page.cursor
            for key in page.keys:
                yield key

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
        """
        Remove the keys that match ``pattern``, and return how many there were.

        Each request removes what the one before has found, and looks at ``itersize`` more keys of the database.
        ``progress`` is called with a ``Swept`` after each; with its ``cursor``, a later call goes on at that place.
        """
        return self._run(
            client, scans.delete_pattern, pattern, version, prefix, None, itersize, cursor=cursor, progress=progress
        )

    async def adelete_pattern(
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
        """Async version of ``delete_pattern``."""
        return await self._arun(
            client, scans.delete_pattern, pattern, version, prefix, None, itersize, cursor=cursor, progress=progress
        )

    def clear(
        self, *, itersize: int | None = None, cursor: str = scans.START, progress: Progress | None = None
    ) -> None:
        """Remove every key of this cache, of all versions, and nothing else; as ``delete_pattern`` does."""
        return self._run(None, scans.clear, itersize=itersize, cursor=cursor, progress=progress)

    async def aclear(
        self, *, itersize: int | None = None, cursor: str = scans.START, progress: Progress | None = None
    ) -> None:
        """Async version of ``clear``."""
        return await self._arun(None, scans.clear, itersize=itersize, cursor=cursor, progress=progress)
