"""What django-redis lacks: reading the fields of hashes, and lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django_upstash.codecs import UNREADABLE, decode_field, encode_field
from django_upstash.operations.key_kind import texts


class HashesAndLists:
    """
    Methods of a client, whose fields and items are JSON text.

    A field or an item that somebody else wrote and that is no JSON is as good as missing.
    """

    if TYPE_CHECKING:  # the client has them

        def get_client(self, write: bool = True, tried: list[int] | None = None) -> Any: ...

        def make_key(self, key: Any, version: int | None = None, prefix: str | None = None) -> Any: ...

    def hget(self, key: Any, field: Any, version: int | None = None, client: Any = None) -> Any:
        """Return the field's value, None if there is none."""
        return _value((client or self.get_client()).hget(self.make_key(key, version), field))

    def hmget(self, key: Any, *fields: Any, version: int | None = None, client: Any = None) -> list[Any]:
        """Return the values of the fields, in their order, None for one that is missing."""
        if not fields:
            return []
        return [_value(item) for item in (client or self.get_client()).hmget(self.make_key(key, version), list(fields))]

    def hgetall(self, key: Any, version: int | None = None, client: Any = None) -> dict[str, Any]:
        """Return all fields and their values."""
        found = (client or self.get_client()).hgetall(self.make_key(key, version))
        named = {name: decode_field(item) for field, item in found.items() for name in texts([field])}
        return {name: value for name, value in named.items() if value is not UNREADABLE}

    def hvals(self, key: Any, version: int | None = None, client: Any = None) -> list[Any]:
        """Return the values of all fields."""
        return _values((client or self.get_client()).hvals(self.make_key(key, version)))

    def hincrby(self, key: Any, field: Any, amount: int = 1, version: int | None = None, client: Any = None) -> int:
        """Add to the field, which counts from 0, and return the sum; ``ResponseError`` where it is no integer."""
        return int((client or self.get_client()).hincrby(self.make_key(key, version), field, amount))

    def lpush(self, key: Any, *values: Any, version: int | None = None, client: Any = None) -> int:
        """Put values, one after the other, at the head of the list; return its length."""
        items = map(encode_field, values)
        return int((client or self.get_client()).lpush(self.make_key(key, version), *items))

    def rpush(self, key: Any, *values: Any, version: int | None = None, client: Any = None) -> int:
        """Put values at the end of the list; return its length."""
        items = map(encode_field, values)
        return int((client or self.get_client()).rpush(self.make_key(key, version), *items))

    def lpop(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Remove and return the first item, None if there is none; with ``count`` the list of so many at most."""
        return _popped((client or self.get_client()).lpop(self.make_key(key, version), count), count)

    def rpop(self, key: Any, count: int | None = None, version: int | None = None, client: Any = None) -> Any:
        """Remove and return the last item, None if there is none; with ``count`` the list of so many at most."""
        return _popped((client or self.get_client()).rpop(self.make_key(key, version), count), count)

    def lrange(
        self, key: Any, start: int = 0, end: int = -1, version: int | None = None, client: Any = None
    ) -> list[Any]:
        """Return the items from ``start`` to ``end``, which is one of them; -1 is the last."""
        return _values((client or self.get_client()).lrange(self.make_key(key, version), start, end))

    def llen(self, key: Any, version: int | None = None, client: Any = None) -> int:
        """Return how many items the list has."""
        return int((client or self.get_client()).llen(self.make_key(key, version)))

    def ltrim(self, key: Any, start: int, end: int, version: int | None = None, client: Any = None) -> bool:
        """Keep the items from ``start`` to ``end`` alone, which is one of them; -1 is the last."""
        return bool((client or self.get_client()).ltrim(self.make_key(key, version), start, end))


def _value(data: bytes | None) -> Any:
    found = None if data is None else decode_field(data)
    return None if found is UNREADABLE else found


def _values(items: Iterable[bytes]) -> list[Any]:
    return [found for item in items if (found := decode_field(item)) is not UNREADABLE]


def _popped(found: Any, count: int | None) -> Any:
    return _value(found) if count is None else _values(found or ())
