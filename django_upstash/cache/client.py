"""django-redis' client over a connection of this package: what ``cache.client`` is, and what runs sets and hashes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django_redis.util import CacheKey  # type: ignore[import-untyped]

from django_upstash.cache.client_values import ClientValues
from django_upstash.cache.hashes_and_lists import HashesAndLists
from django_upstash.cache.readable_members import ReadableMembers
from django_upstash.codecs import decode_member, encode_field, encode_member
from django_upstash.operations.key_kind import texts

if TYPE_CHECKING:
    import redis

    from django_upstash.cache.connected_cache import ConnectedCache


class UpstashClient(ClientValues, HashesAndLists, ReadableMembers):
    """
    django-redis' ``DefaultClient`` on the cache's connection.

    Members, scores, fields and items are run by redis-py's API over that connection, on either route; values under a
    key of their own by the cache. It opens no connection of its own.
    """

    _backend: ConnectedCache

    def __init__(self, server: Any, params: dict[str, Any], backend: ConnectedCache) -> None:
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
