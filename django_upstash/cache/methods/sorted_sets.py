"""The cache's methods on sorted sets."""

from __future__ import annotations

from typing import Any

from django_upstash.cache.methods.members import MemberMethods

# mypy: disable-error-code="no-any-return"
# redis-py's client has the types of the replies, and a project's own CLIENT_CLASS the last word.


class SortedSetMethods(MemberMethods):
    """Sorted sets."""

    def zadd(
        self,
        key: Any,
        mapping: dict[Any, float],
        nx: bool = False,
        xx: bool = False,
        ch: bool = False,
        incr: bool = False,
        gt: bool = False,
        lt: bool = False,
        version: int | None = None,
        client: Any = None,
    ) -> int | float | None:
        """Add members with their scores, or change scores, as ZADD's options say; return how many members are new."""
        return self._members("zadd", key, mapping, nx, xx, ch, incr, gt, lt, version=version, client=client)

    async def azadd(
        self,
        key: Any,
        mapping: dict[Any, float],
        nx: bool = False,
        xx: bool = False,
        ch: bool = False,
        incr: bool = False,
        gt: bool = False,
        lt: bool = False,
        version: int | None = None,
        client: Any = None,
    ) -> int | float | None:
        """Async version of ``zadd``."""
        return await self._amembers("zadd", key, mapping, nx, xx, ch, incr, gt, lt, version=version, client=client)

    def zcard(self, key: Any, version: int | None = None, client: Any = None) -> int:
        """Return how many members the sorted set has."""
        return self._members("zcard", key, version=version, client=client)

    async def azcard(self, key: Any, version: int | None = None, client: Any = None) -> int:
        """Async version of ``zcard``."""
        return await self._amembers("zcard", key, version=version, client=client)

    def zcount(
        self, key: Any, min: float | str, max: float | str, version: int | None = None, client: Any = None
    ) -> int:
        """Return how many members have scores from ``min`` to ``max``."""
        return self._members("zcount", key, min, max, version=version, client=client)

    async def azcount(
        self, key: Any, min: float | str, max: float | str, version: int | None = None, client: Any = None
    ) -> int:
        """Async version of ``zcount``."""
        return await self._amembers("zcount", key, min, max, version=version, client=client)

    def zincrby(
        self, key: Any, amount: float, value: Any, version: int | None = None, client: Any = None
    ) -> float | None:
        """Add ``amount`` to the member's score and return the sum."""
        return self._members("zincrby", key, amount, value, version=version, client=client)

    async def azincrby(
        self, key: Any, amount: float, value: Any, version: int | None = None, client: Any = None
    ) -> float | None:
        """Async version of ``zincrby``."""
        return await self._amembers("zincrby", key, amount, value, version=version, client=client)

    def zpopmax(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Remove and return the member with the highest score, and that; with ``count`` the list of so many at most."""
        return self._members("zpopmax", key, count, version=version, client=client)

    async def azpopmax(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Async version of ``zpopmax``."""
        return await self._amembers("zpopmax", key, count, version=version, client=client)

    def zpopmin(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Remove and return the member with the lowest score, and that; with ``count`` the list of so many at most."""
        return self._members("zpopmin", key, count, version=version, client=client)

    async def azpopmin(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Async version of ``zpopmin``."""
        return await self._amembers("zpopmin", key, count, version=version, client=client)

    def zrange(
        self,
        key: Any,
        start: int,
        end: int,
        desc: bool = False,
        withscores: bool = False,
        score_cast_func: Any = float,
        version: int | None = None,
        client: Any = None,
    ) -> list[Any]:
        """Return the members of these ranks, both included; -1 is the last. With scores, as pairs."""
        return self._members(
            "zrange", key, start, end, desc, withscores, score_cast_func, version=version, client=client
        )

    async def azrange(
        self,
        key: Any,
        start: int,
        end: int,
        desc: bool = False,
        withscores: bool = False,
        score_cast_func: Any = float,
        version: int | None = None,
        client: Any = None,
    ) -> list[Any]:
        """Async version of ``zrange``."""
        return await self._amembers(
            "zrange", key, start, end, desc, withscores, score_cast_func, version=version, client=client
        )

    def zrevrange(
        self,
        key: Any,
        start: int,
        end: int,
        withscores: bool = False,
        score_cast_func: Any = float,
        version: int | None = None,
        client: Any = None,
    ) -> list[Any]:
        """Like ``zrange``, from the highest score downwards."""
        return self._members("zrevrange", key, start, end, withscores, score_cast_func, version=version, client=client)

    async def azrevrange(
        self,
        key: Any,
        start: int,
        end: int,
        withscores: bool = False,
        score_cast_func: Any = float,
        version: int | None = None,
        client: Any = None,
    ) -> list[Any]:
        """Async version of ``zrevrange``."""
        return await self._amembers(
            "zrevrange", key, start, end, withscores, score_cast_func, version=version, client=client
        )

    def zrangebyscore(
        self,
        key: Any,
        min: float | str,
        max: float | str,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: Any = float,
        version: int | None = None,
        client: Any = None,
    ) -> list[Any]:
        """Return the members with scores from ``min`` to ``max``; ``num`` of them at most, from ``start`` on."""
        return self._members(
            "zrangebyscore", key, min, max, start, num, withscores, score_cast_func, version=version, client=client
        )

    async def azrangebyscore(
        self,
        key: Any,
        min: float | str,
        max: float | str,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: Any = float,
        version: int | None = None,
        client: Any = None,
    ) -> list[Any]:
        """Async version of ``zrangebyscore``."""
        return await self._amembers(
            "zrangebyscore", key, min, max, start, num, withscores, score_cast_func, version=version, client=client
        )

    def zrevrangebyscore(
        self,
        key: Any,
        max: float | str,
        min: float | str,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: Any = float,
        version: int | None = None,
        client: Any = None,
    ) -> list[Any]:
        """Like ``zrangebyscore``, from the highest score downwards."""
        return self._members(
            "zrevrangebyscore", key, max, min, start, num, withscores, score_cast_func, version=version, client=client
        )

    async def azrevrangebyscore(
        self,
        key: Any,
        max: float | str,
        min: float | str,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: Any = float,
        version: int | None = None,
        client: Any = None,
    ) -> list[Any]:
        """Async version of ``zrevrangebyscore``."""
        return await self._amembers(
            "zrevrangebyscore", key, max, min, start, num, withscores, score_cast_func, version=version, client=client
        )

    def zrank(
        self, key: Any, value: Any, withscore: bool = False, version: int | None = None, client: Any = None
    ) -> Any:
        """Return the member's rank by ascending scores, with its score if asked for; None if there is none."""
        return self._members("zrank", key, value, withscore, version=version, client=client)

    async def azrank(
        self, key: Any, value: Any, withscore: bool = False, version: int | None = None, client: Any = None
    ) -> Any:
        """Async version of ``zrank``."""
        return await self._amembers("zrank", key, value, withscore, version=version, client=client)

    def zscore(self, key: Any, value: Any, version: int | None = None, client: Any = None) -> float | None:
        """Return the member's score, None if there is none."""
        return self._members("zscore", key, value, version=version, client=client)

    async def azscore(self, key: Any, value: Any, version: int | None = None, client: Any = None) -> float | None:
        """Async version of ``zscore``."""
        return await self._amembers("zscore", key, value, version=version, client=client)

    def zrem(self, key: Any, *values: Any, version: int | None = None, client: Any = None) -> int:
        """Remove members; return how many there were."""
        return self._members("zrem", key, *values, version=version, client=client)

    async def azrem(self, key: Any, *values: Any, version: int | None = None, client: Any = None) -> int:
        """Async version of ``zrem``."""
        return await self._amembers("zrem", key, *values, version=version, client=client)

    def zremrangebyscore(
        self, key: Any, min: float | str, max: float | str, version: int | None = None, client: Any = None
    ) -> int:
        """Remove the members with scores from ``min`` to ``max``; return how many there were."""
        return self._members("zremrangebyscore", key, min, max, version=version, client=client)

    async def azremrangebyscore(
        self, key: Any, min: float | str, max: float | str, version: int | None = None, client: Any = None
    ) -> int:
        """Async version of ``zremrangebyscore``."""
        return await self._amembers("zremrangebyscore", key, min, max, version=version, client=client)
