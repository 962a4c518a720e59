"""The members of a set, a page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from django_upstash.codecs import UNREADABLE, decode_member, encode_member
from django_upstash.operations import Operation, checked

if TYPE_CHECKING:
    from django_upstash.cache.cache_keys import Keyspace

_START = b"0"


async def members(
    space: Keyspace,
    run: Callable[[Operation[Any]], Any],
    key: Any,
    match: str | None = None,
    count: int | None = 10,
    version: Any = None,
) -> AsyncIterator[Any]:
    """Yield the members of a set, a page at a time; one may come twice."""
    stored, _ = space.name(key, version)
    options: list[Any] = [*(("MATCH", encode_member(match)) if match else ()), *(("COUNT", count) if count else ())]
    cursor = _START
    while True:
        cursor, found = await run(
            Operation((("SSCAN", stored, cursor, *options),), lambda replies: checked(replies)[0])
        )
        for item in found:
            member = decode_member(item)
            if member is not UNREADABLE:
                yield member
        if cursor == _START:
            return
