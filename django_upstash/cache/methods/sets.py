"""The cache's methods on sets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from django_upstash.cache.empty_results import ignorable
from django_upstash.cache.methods.members import MemberMethods
from django_upstash.cache.set_scan import members

# mypy: disable-error-code="no-any-return"
# redis-py's client has the types of the replies, and a project's own CLIENT_CLASS the last word.


class SetMethods(MemberMethods):
    """Sets."""

    def sadd(self, key: Any, *values: Any, version: int | None = None, client: Any = None) -> int:
        """Add members to the set; return how many of them are new."""
        return self._members("sadd", key, *values, version=version, client=client)

    async def asadd(self, key: Any, *values: Any, version: int | None = None, client: Any = None) -> int:
        """Async version of ``sadd``."""
        return await self._amembers("sadd", key, *values, version=version, client=client)

    def srem(self, key: Any, *members: Any, version: int | None = None, client: Any = None) -> int:
        """Remove members from the set; return how many there were."""
        return self._members("srem", key, *members, version=version, client=client)

    async def asrem(self, key: Any, *members: Any, version: int | None = None, client: Any = None) -> int:
        """Async version of ``srem``."""
        return await self._amembers("srem", key, *members, version=version, client=client)

    def smembers(self, key: Any, version: int | None = None, client: Any = None) -> set[Any]:
        """Return all members of the set."""
        return self._members("smembers", key, version=version, client=client)

    async def asmembers(self, key: Any, version: int | None = None, client: Any = None) -> set[Any]:
        """Async version of ``smembers``."""
        return await self._amembers("smembers", key, version=version, client=client)

    def sismember(self, key: Any, member: Any, version: int | None = None, client: Any = None) -> bool:
        """Return whether ``member`` is in the set."""
        return self._members("sismember", key, member, version=version, client=client)

    async def asismember(self, key: Any, member: Any, version: int | None = None, client: Any = None) -> bool:
        """Async version of ``sismember``."""
        return await self._amembers("sismember", key, member, version=version, client=client)

    def smismember(self, key: Any, *members: Any, version: int | None = None, client: Any = None) -> list[bool]:
        """Return for each of ``members`` whether it is in the set."""
        return self._members("smismember", key, *members, version=version, client=client)

    async def asmismember(self, key: Any, *members: Any, version: int | None = None, client: Any = None) -> list[bool]:
        """Async version of ``smismember``."""
        return await self._amembers("smismember", key, *members, version=version, client=client)

    def scard(self, key: Any, version: int | None = None, client: Any = None) -> int:
        """Return how many members the set has."""
        return self._members("scard", key, version=version, client=client)

    async def ascard(self, key: Any, version: int | None = None, client: Any = None) -> int:
        """Async version of ``scard``."""
        return await self._amembers("scard", key, version=version, client=client)

    def spop(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Remove and return a random member, None if there is none; with ``count`` the set of so many at most."""
        return self._members("spop", key, count, version=version, client=client)

    async def aspop(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Async version of ``spop``."""
        return await self._amembers("spop", key, count, version=version, client=client)

    def srandmember(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Return a random member, None if there is none; with ``count`` the list of so many at most."""
        return self._members("srandmember", key, count, version=version, client=client)

    async def asrandmember(
        self, key: Any, count: int | None = None, version: int | None = None, client: Any = None
    ) -> Any:
        """Async version of ``srandmember``."""
        return await self._amembers("srandmember", key, count, version=version, client=client)

    def smove(self, source: Any, destination: Any, member: Any, version: int | None = None, client: Any = None) -> bool:
        """Move ``member`` from one set to another; return whether it was in the first."""
        return self._members("smove", source, destination, member, version=version, client=client)

    async def asmove(
        self, source: Any, destination: Any, member: Any, version: int | None = None, client: Any = None
    ) -> bool:
        """Async version of ``smove``."""
        return await self._amembers("smove", source, destination, member, version=version, client=client)

    def sdiff(self, *keys: Any, version: int | None = None, client: Any = None) -> set[Any]:
        """Return the members of the first set that are in none of the others."""
        return self._members("sdiff", *keys, version=version, client=client)

    async def asdiff(self, *keys: Any, version: int | None = None, client: Any = None) -> set[Any]:
        """Async version of ``sdiff``."""
        return await self._amembers("sdiff", *keys, version=version, client=client)

    def sinter(self, *keys: Any, version: int | None = None, client: Any = None) -> set[Any]:
        """Return the members that are in all of the sets."""
        return self._members("sinter", *keys, version=version, client=client)

    async def asinter(self, *keys: Any, version: int | None = None, client: Any = None) -> set[Any]:
        """Async version of ``sinter``."""
        return await self._amembers("sinter", *keys, version=version, client=client)

    def sunion(self, *keys: Any, version: int | None = None, client: Any = None) -> set[Any]:
        """Return the members that are in any of the sets."""
        return self._members("sunion", *keys, version=version, client=client)

    async def asunion(self, *keys: Any, version: int | None = None, client: Any = None) -> set[Any]:
        """Async version of ``sunion``."""
        return await self._amembers("sunion", *keys, version=version, client=client)

    def sdiffstore(
        self,
        dest: Any,
        *keys: Any,
        version_dest: int | None = None,
        version_keys: int | None = None,
        client: Any = None,
    ) -> int:
        """Store what ``sdiff`` returns under ``dest``; return how many members that has."""
        return self._members(
            "sdiffstore", dest, *keys, version_dest=version_dest, version_keys=version_keys, client=client
        )

    async def asdiffstore(
        self,
        dest: Any,
        *keys: Any,
        version_dest: int | None = None,
        version_keys: int | None = None,
        client: Any = None,
    ) -> int:
        """Async version of ``sdiffstore``."""
        return await self._amembers(
            "sdiffstore", dest, *keys, version_dest=version_dest, version_keys=version_keys, client=client
        )

    def sinterstore(self, dest: Any, *keys: Any, version: int | None = None, client: Any = None) -> int:
        """Store what ``sinter`` returns under ``dest``; return how many members that has."""
        return self._members("sinterstore", dest, *keys, version=version, client=client)

    async def asinterstore(self, dest: Any, *keys: Any, version: int | None = None, client: Any = None) -> int:
        """Async version of ``sinterstore``."""
        return await self._amembers("sinterstore", dest, *keys, version=version, client=client)

    def sunionstore(self, destination: Any, *keys: Any, version: int | None = None, client: Any = None) -> int:
        """Store what ``sunion`` returns under ``destination``; return how many members that has."""
        return self._members("sunionstore", destination, *keys, version=version, client=client)

    async def asunionstore(self, destination: Any, *keys: Any, version: int | None = None, client: Any = None) -> int:
        """Async version of ``sunionstore``."""
        return await self._amembers("sunionstore", destination, *keys, version=version, client=client)

    def sscan(
        self, key: Any, match: str | None = None, count: int | None = 10, version: int | None = None, client: Any = None
    ) -> set[Any]:
        """Return the members that match ``match`` of those that the server looks at first, about ``count``."""
        return self._members("sscan", key, match, count, version=version, client=client)

    async def asscan(
        self, key: Any, match: str | None = None, count: int | None = 10, version: int | None = None, client: Any = None
    ) -> set[Any]:
        """Async version of ``sscan``."""
        return await self._amembers("sscan", key, match, count, version=version, client=client)

    def sscan_iter(
        self, key: Any, match: str | None = None, count: int | None = 10, version: int | None = None, client: Any = None
    ) -> Iterator[Any]:
        """Yield the members of a set, a page at a time; one may come twice."""
        return self._members("sscan_iter", key, match, count, version=version, client=client)

    async def asscan_iter(
        self, key: Any, match: str | None = None, count: int | None = 10, version: Any = None
    ) -> AsyncIterator[Any]:
        """Async version of ``sscan_iter``."""
        try:
            async for member in members(self.keyspace, self._members_runner.arun, key, match, count, version):
                yield member
        except ignorable() as error:
            self.fall_back(error, lambda: None, (), {})
