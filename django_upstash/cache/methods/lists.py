"""The cache's methods on lists."""

from __future__ import annotations

from typing import Any

from django_upstash.cache.methods.members import MemberMethods

# mypy: disable-error-code="no-any-return"
# redis-py's client has the types of the replies, and a project's own CLIENT_CLASS the last word.


class ListMethods(MemberMethods):
    """Lists, whose items are JSON text."""

    def lpush(self, key: Any, *values: Any, version: int | None = None, client: Any = None) -> int:
        """Put values, one after the other, at the head of the list; return its length."""
        return self._members("lpush", key, *values, version=version, client=client)

    async def alpush(self, key: Any, *values: Any, version: int | None = None, client: Any = None) -> int:
        """Async version of ``lpush``."""
        return await self._amembers("lpush", key, *values, version=version, client=client)

    def rpush(self, key: Any, *values: Any, version: int | None = None, client: Any = None) -> int:
        """Put values at the end of the list; return its length."""
        return self._members("rpush", key, *values, version=version, client=client)

    async def arpush(self, key: Any, *values: Any, version: int | None = None, client: Any = None) -> int:
        """Async version of ``rpush``."""
        return await self._amembers("rpush", key, *values, version=version, client=client)

    def lpop(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Remove and return the first item, None if there is none; with ``count`` the list of so many at most."""
        return self._members("lpop", key, count, version=version, client=client)

    async def alpop(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Async version of ``lpop``."""
        return await self._amembers("lpop", key, count, version=version, client=client)

    def rpop(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Remove and return the last item, None if there is none; with ``count`` the list of so many at most."""
        return self._members("rpop", key, count, version=version, client=client)

    async def arpop(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Async version of ``rpop``."""
        return await self._amembers("rpop", key, count, version=version, client=client)

    def lrange(
        self, key: Any, start: int = 0, end: int = -1, version: int | None = None, client: Any = None
    ) -> list[Any]:
        """Return the items from ``start`` to ``end``, both included; -1 is the last."""
        return self._members("lrange", key, start, end, version=version, client=client)

    async def alrange(
        self, key: Any, start: int = 0, end: int = -1, version: int | None = None, client: Any = None
    ) -> list[Any]:
        """Async version of ``lrange``."""
        return await self._amembers("lrange", key, start, end, version=version, client=client)

    def llen(self, key: Any, version: int | None = None, client: Any = None) -> int:
        """Return how many items the list has."""
        return self._members("llen", key, version=version, client=client)

    async def allen(self, key: Any, version: int | None = None, client: Any = None) -> int:
        """Async version of ``llen``."""
        return await self._amembers("llen", key, version=version, client=client)

    def ltrim(self, key: Any, start: int, end: int, version: int | None = None, client: Any = None) -> bool:
        """Keep only the items from ``start`` to ``end``, both included; -1 is the last."""
        return self._members("ltrim", key, start, end, version=version, client=client)

    async def altrim(self, key: Any, start: int, end: int, version: int | None = None, client: Any = None) -> bool:
        """Async version of ``ltrim``."""
        return await self._amembers("ltrim", key, start, end, version=version, client=client)
