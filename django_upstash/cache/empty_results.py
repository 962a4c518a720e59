"""
What a method returns when the server cannot be asked and ``ON_FAILURE`` is not "raise": what an empty cache would say.

One place for every method. A result that the caller may change is made again for each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django_upstash.exceptions import ConnectionError, ResponseError, TimeoutError, as_redis_raises
from django_upstash.operations.key_scan import Page

Fallback = Callable[..., Any]


def ignorable() -> tuple[type[Exception], ...]:
    """Return the errors that ``ON_FAILURE`` is about: not ``DataError``, which is the caller's mistake."""
    return as_redis_raises(ConnectionError, TimeoutError, ResponseError)


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


def _no(*args: Any, **kwargs: Any) -> bool:
    return False


def _zero(*args: Any, **kwargs: Any) -> int:
    return 0


def _list(*args: Any, **kwargs: Any) -> list[Any]:
    return []


def _set(*args: Any, **kwargs: Any) -> set[Any]:
    return set()


def _dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    return {}


def _default(key: Any, default: Any = None, *args: Any, **kwargs: Any) -> Any:
    return default


def _every_key(data: Mapping[Any, Any], *args: Any, **kwargs: Any) -> list[Any]:
    return list(data)


def _none_refused(key: Any, *members: Any, **kwargs: Any) -> list[bool]:
    return [False] * len(members)


def _none_found(key: Any, *fields: Any, **kwargs: Any) -> list[None]:
    return [None] * len(fields)


def _counted_or_one(key: Any, count: int | None = None, *args: Any, **kwargs: Any) -> Any:
    return None if count is None else []


def _popped_from_set(key: Any, count: int | None = None, *args: Any, **kwargs: Any) -> Any:
    return None if count is None else set()


def _empty_iterator(*args: Any, **kwargs: Any) -> Iterator[Any]:
    return iter(())


def _empty_page(*args: Any, **kwargs: Any) -> Page:
    return Page([], None)


FALLBACKS: dict[str, Fallback] = {
    "get": _default,
    "get_many": _dict,
    "set_many": _every_key,
    "keys": _list,
    "page": _empty_page,
    **dict.fromkeys(("add", "delete", "expire", "expire_at", "has_key", "persist"), _no),
    **dict.fromkeys(("pexpire", "pexpire_at", "set", "touch"), _no),
    **dict.fromkeys(("delete_many", "delete_pattern", "pttl", "store", "touch_piece", "ttl"), _zero),
    **dict.fromkeys(("clear", "decr", "decr_version", "incr", "incr_version", "invalidate_tags"), _nothing),
}
COLLECTION_FALLBACKS: dict[str, Fallback] = {
    "hgetall": _dict,
    "hmget": _none_found,
    "smismember": _none_refused,
    "spop": _popped_from_set,
    "sscan_iter": _empty_iterator,
    **dict.fromkeys(("sdiff", "sinter", "smembers", "sscan", "sunion"), _set),
    **dict.fromkeys(("hexists", "ltrim", "sismember", "smove"), _no),
    **dict.fromkeys(("hdel", "hlen", "hset", "llen", "lpush", "rpush", "sadd", "scard", "srem"), _zero),
    **dict.fromkeys(("sdiffstore", "sinterstore", "sunionstore"), _zero),
    **dict.fromkeys(("zadd", "zcard", "zcount", "zrem", "zremrangebyscore"), _zero),
    **dict.fromkeys(("lpop", "rpop", "srandmember", "zpopmax", "zpopmin"), _counted_or_one),
    **dict.fromkeys(("hkeys", "hvals", "lrange", "zrange", "zrangebyscore", "zrevrange", "zrevrangebyscore"), _list),
    **dict.fromkeys(("hget", "hincrby", "zincrby", "zrank", "zscore"), _nothing),
}
