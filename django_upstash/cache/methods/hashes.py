"""The cache's methods on hashes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django_upstash.cache.methods.members import MemberMethods

# mypy: disable-error-code="no-any-return"
# redis-py's client has the types of the replies, and a project's own CLIENT_CLASS the last word.


class HashMethods(MemberMethods):
    """Hashes, whose fields are JSON text."""

    def hset(
        self,
        key: Any,
        field: Any = None,
        value: Any = None,
        mapping: Mapping[Any, Any] | None = None,
        version: int | None = None,
        client: Any = None,
    ) -> int:
        """Set one field, or those of ``mapping``, to values that JSON has; return how many of them are new."""
        return self._members("hset", key, field, value, mapping=mapping, version=version, client=client)

    async def ahset(
        self,
        key: Any,
        field: Any = None,
        value: Any = None,
        mapping: Mapping[Any, Any] | None = None,
        version: int | None = None,
        client: Any = None,
    ) -> int:
        """Async version of ``hset``."""
        return await self._amembers("hset", key, field, value, mapping=mapping, version=version, client=client)

    def hget(self, key: Any, field: Any, version: int | None = None, client: Any = None) -> Any:
        """Return the field's value, None if there is none."""
        return self._members("hget", key, field, version=version, client=client)

    async def ahget(self, key: Any, field: Any, version: int | None = None, client: Any = None) -> Any:
        """Async version of ``hget``."""
        return await self._amembers("hget", key, field, version=version, client=client)

    def hmget(self, key: Any, *fields: Any, version: int | None = None, client: Any = None) -> list[Any]:
        """Return the values of the fields, in their order, None for one that is missing."""
        return self._members("hmget", key, *fields, version=version, client=client)

    async def ahmget(self, key: Any, *fields: Any, version: int | None = None, client: Any = None) -> list[Any]:
        """Async version of ``hmget``."""
        return await self._amembers("hmget", key, *fields, version=version, client=client)

    def hgetall(self, key: Any, version: int | None = None, client: Any = None) -> dict[str, Any]:
        """Return all fields and their values."""
        return self._members("hgetall", key, version=version, client=client)

    async def ahgetall(self, key: Any, version: int | None = None, client: Any = None) -> dict[str, Any]:
        """Async version of ``hgetall``."""
        return await self._amembers("hgetall", key, version=version, client=client)

    def hkeys(self, key: Any, version: int | None = None, client: Any = None) -> list[str]:
        """Return the names of the fields, without those that are no text."""
        return self._members("hkeys", key, version=version, client=client)

    async def ahkeys(self, key: Any, version: int | None = None, client: Any = None) -> list[str]:
        """Async version of ``hkeys``."""
        return await self._amembers("hkeys", key, version=version, client=client)

    def hvals(self, key: Any, version: int | None = None, client: Any = None) -> list[Any]:
        """Return the values of all fields."""
        return self._members("hvals", key, version=version, client=client)

    async def ahvals(self, key: Any, version: int | None = None, client: Any = None) -> list[Any]:
        """Async version of ``hvals``."""
        return await self._amembers("hvals", key, version=version, client=client)

    def hexists(self, key: Any, field: Any, version: int | None = None, client: Any = None) -> bool:
        """Return whether the hash has the field."""
        return self._members("hexists", key, field, version=version, client=client)

    async def ahexists(self, key: Any, field: Any, version: int | None = None, client: Any = None) -> bool:
        """Async version of ``hexists``."""
        return await self._amembers("hexists", key, field, version=version, client=client)

    def hlen(self, key: Any, version: int | None = None, client: Any = None) -> int:
        """Return how many fields the hash has."""
        return self._members("hlen", key, version=version, client=client)

    async def ahlen(self, key: Any, version: int | None = None, client: Any = None) -> int:
        """Async version of ``hlen``."""
        return await self._amembers("hlen", key, version=version, client=client)

    def hdel(self, key: Any, field: Any, version: int | None = None, client: Any = None) -> int:
        """Remove the field; return how many were removed."""
        return self._members("hdel", key, field, version=version, client=client)

    async def ahdel(self, key: Any, field: Any, version: int | None = None, client: Any = None) -> int:
        """Async version of ``hdel``."""
        return await self._amembers("hdel", key, field, version=version, client=client)

    def hincrby(self, key: Any, field: Any, amount: int = 1, version: int | None = None, client: Any = None) -> int:
        """Add to the field, which counts from 0, and return the sum; ``ResponseError`` where it is no integer."""
        return self._members("hincrby", key, field, amount, version=version, client=client)

    async def ahincrby(
        self, key: Any, field: Any, amount: int = 1, version: int | None = None, client: Any = None
    ) -> int:
        """Async version of ``hincrby``."""
        return await self._amembers("hincrby", key, field, amount, version=version, client=client)
