"""django-redis' client over a connection of this package: what ``cache.client`` is, and what runs sets and hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from django_redis.client import DefaultClient  # type: ignore[import-untyped]
from django_redis.util import CacheKey  # type: ignore[import-untyped]

from django_upstash.cache.hashes_and_lists import HashesAndLists
from django_upstash.cache.scans import texts
from django_upstash.codecs import UNREADABLE, decode_member, encode_field, encode_member

if TYPE_CHECKING:
    import redis

    from django_upstash.cache.backend import UpstashCache

# The methods that return members, which others may have written.
_READING_MEMBERS = (
    *("sdiff", "sinter", "smembers", "spop", "srandmember", "sscan", "sscan_iter", "sunion"),
    *("zpopmax", "zpopmin", "zrange", "zrangebyscore", "zrevrange", "zrevrangebyscore"),
)
_OF_THE_CACHE = (
    *("add", "clear", "decr", "delete", "delete_many", "delete_pattern", "expire", "expire_at", "get", "get_many"),
    *("has_key", "incr", "incr_version", "iter_keys", "keys", "persist", "pexpire", "pexpire_at", "pttl", "set"),
    *("set_many", "touch", "ttl"),
)


class UpstashClient(HashesAndLists, DefaultClient):  # type: ignore[misc]
    """
    django-redis' ``DefaultClient`` on the cache's connection.

    Members, scores, fields and items are run by redis-py's API over that connection, on either route; values under a
    key of their own by the cache. It opens no connection of its own.
    """

    def __init__(self, server: Any, params: dict[str, Any], backend: UpstashCache) -> None:
        self._backend = backend
        self._server = server
        self._params = params
        self._options = params.get("OPTIONS", {})

    @property
    def reverse_key(self) -> Callable[[str], str]:
        return self._backend.keyspace.reverse

    def get_client(self, write: bool = True, tried: list[int] | None = None) -> redis.Redis:
        """Return redis-py's API over the cache's connection."""
        return self._backend.connection.redis

    def get_client_with_index(self, write: bool = True, tried: list[int] | None = None) -> tuple[redis.Redis, int]:
        return self.get_client(), 0

    def get_next_client_index(self, write: bool = True, tried: list[int] | None = None) -> int:
        return 0

    def connect(self, index: int = 0) -> redis.Redis:
        return self.get_client()

    def disconnect(self, index: int = 0, client: redis.Redis | None = None) -> None:
        """Do nothing: the connection belongs to the process."""

    def close(self) -> None:
        """Do nothing: the connection belongs to the process."""

    def do_close_clients(self) -> None:
        """Do nothing: the connection belongs to the process."""

    def make_key(self, key: Any, version: int | None = None, prefix: str | None = None) -> CacheKey:
        return self._backend.keyspace.stored_key(key, version, prefix)

    def make_pattern(self, pattern: str, version: int | None = None, prefix: str | None = None) -> str:
        return self._backend.keyspace.pattern(pattern, version, prefix)

    def encode(self, value: Any, *, allow_int: bool = True) -> bytes:
        return encode_member(value)

    def decode(self, value: bytes) -> Any:
        return decode_member(value)

    def hset(
        self,
        key: Any,
        field: Any = None,
        value: Any = None,
        mapping: Mapping[Any, Any] | None = None,
        version: int | None = None,
        client: redis.Redis | None = None,
    ) -> int:
        """Set one field, or those of ``mapping``, to values that JSON has; return how many of them are new."""
        items = {name: encode_field(item) for name, item in (mapping or {}).items()}
        if field is not None:
            items[field] = encode_field(value)
        return int((client or self.get_client()).hset(self.make_key(key, version), mapping=items))

    def hkeys(self, key: Any, version: int | None = None, client: redis.Redis | None = None) -> list[str]:
        """Return the names of the fields, without those that are no text."""
        found: Any = (client or self.get_client()).hkeys(self.make_key(key, version))
        return [*texts(found)]

    def _has_compression_enabled(self) -> bool:
        return False  # of members


def _of_the_cache(name: str) -> Callable[..., Any]:
    def method(self: UpstashClient, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._backend, name)(*args, **kwargs)

    method.__name__, method.__doc__ = name, f"Do as the cache's ``{name}`` does."
    return method


def _readable(inherited: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(inherited)
    def method(self: UpstashClient, *args: Any, **kwargs: Any) -> Any:
        return _without_unreadable(inherited(self, *args, **kwargs))

    return method


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


for _name in _OF_THE_CACHE:
    setattr(UpstashClient, _name, _of_the_cache(_name))
for _name in _READING_MEMBERS:
    setattr(UpstashClient, _name, _readable(getattr(DefaultClient, _name)))
