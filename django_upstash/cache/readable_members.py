"""django-redis' methods that return members, without those that cannot be read: others may have written them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django_redis.client import DefaultClient  # type: ignore[import-untyped]

from django_upstash.codecs import UNREADABLE

# mypy: disable-error-code="no-any-return"
# django-redis is not typed.


class ReadableMembers(DefaultClient):  # type: ignore[misc]
    """A client whose sets and sorted sets skip members that are not of this package's or django-redis' making."""

    def sdiff(self, *keys: Any, version: int | None = None, client: Any = None) -> set[Any]:
        """Like django-redis' ``sdiff``, of what can be read."""
        return _without_unreadable(super().sdiff(*keys, version=version, client=client))

    def sinter(self, *keys: Any, version: int | None = None, client: Any = None) -> set[Any]:
        """Like django-redis' ``sinter``, of what can be read."""
        return _without_unreadable(super().sinter(*keys, version=version, client=client))

    def smembers(self, key: Any, version: int | None = None, client: Any = None) -> set[Any]:
        """Like django-redis' ``smembers``, of what can be read."""
        return _without_unreadable(super().smembers(key, version, client))

    def spop(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Like django-redis' ``spop``, of what can be read."""
        return _without_unreadable(super().spop(key, count, version, client))

    def srandmember(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Like django-redis' ``srandmember``, of what can be read."""
        return _without_unreadable(super().srandmember(key, count, version, client))

    def sscan(
        self, key: Any, match: str | None = None, count: int | None = 10, version: int | None = None, client: Any = None
    ) -> set[Any]:
        """Like django-redis' ``sscan``, of what can be read."""
        return _without_unreadable(super().sscan(key, match, count, version, client))

    def sscan_iter(
        self, key: Any, match: str | None = None, count: int | None = 10, version: int | None = None, client: Any = None
    ) -> Iterator[Any]:
        """Like django-redis' ``sscan_iter``, of what can be read."""
        return _without_unreadable(super().sscan_iter(key, match, count, version, client))

    def sunion(self, *keys: Any, version: int | None = None, client: Any = None) -> set[Any]:
        """Like django-redis' ``sunion``, of what can be read."""
        return _without_unreadable(super().sunion(*keys, version=version, client=client))

    def zpopmax(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Like django-redis' ``zpopmax``, of what can be read."""
        return _without_unreadable(super().zpopmax(key, count, version, client))

    def zpopmin(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Like django-redis' ``zpopmin``, of what can be read."""
        return _without_unreadable(super().zpopmin(key, count, version, client))

    def zrange(
        self,
        key: Any,
        start: int,
        end: int,
        desc: bool = False,
        withscores: bool = False,
        score_cast_func: Any = "float",
        version: int | None = None,
        client: Any = None,
    ) -> list[Any]:
        """Like django-redis' ``zrange``, of what can be read."""
        return _without_unreadable(super().zrange(key, start, end, desc, withscores, score_cast_func, version, client))

    def zrangebyscore(
        self,
        key: Any,
        min: float | str,
        max: float | str,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: Any = "float",
        version: int | None = None,
        client: Any = None,
    ) -> list[Any]:
        """Like django-redis' ``zrangebyscore``, of what can be read."""
        return _without_unreadable(
            super().zrangebyscore(key, min, max, start, num, withscores, score_cast_func, version, client)
        )

    def zrevrange(
        self,
        key: Any,
        start: int,
        end: int,
        withscores: bool = False,
        score_cast_func: Any = "float",
        version: int | None = None,
        client: Any = None,
    ) -> list[Any]:
        """Like django-redis' ``zrevrange``, of what can be read."""
        return _without_unreadable(super().zrevrange(key, start, end, withscores, score_cast_func, version, client))

    def zrevrangebyscore(
        self,
        key: Any,
        max: float | str,
        min: float | str,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: Any = "float",
        version: int | None = None,
        client: Any = None,
    ) -> list[Any]:
        """Like django-redis' ``zrevrangebyscore``, of what can be read."""
        return _without_unreadable(
            super().zrevrangebyscore(key, max, min, start, num, withscores, score_cast_func, version, client)
        )


def _without_unreadable(found: Any) -> Any:
    if isinstance(found, set):
        return found - {UNREADABLE}
    if isinstance(found, list):
        return [item for item in found if not _is_unreadable(item)]
    if isinstance(found, Iterator):
        return (item for item in found if not _is_unreadable(item))
    return None if _is_unreadable(found) else found


def _is_unreadable(item: Any) -> bool:
    # Sorted sets give pairs of a member and its score.
    return item is UNREADABLE or (isinstance(item, tuple) and item[:1] == (UNREADABLE,))
