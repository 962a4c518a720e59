"""
The operations behind the methods for any number of keys: in pieces, so that neither a request nor this process grows.

What they take is consumed piece by piece, and may be an iterator that never was a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from django_upstash.cache import expiry, many, operations
from django_upstash.cache.cache_keys import Keyspace
from django_upstash.cache.combinators import together
from django_upstash.callbacks import refuse_awaitable
from django_upstash.operations import Command, Operation, checked, then

CHUNK = 1000
Progress = Callable[[int], object]


def store(space: Keyspace, pairs: dict[str, bytes], timeout: Any) -> Operation[int]:
    """Store encoded values, and return how many there were."""
    options = space.default_options if timeout is DEFAULT_TIMEOUT else expiry.options(timeout)
    return then(many.store(space, pairs, options or ()), lambda _: len(pairs))


def touch_piece(space: Keyspace, keys: list[Any], timeout: Any, version: Any) -> Operation[int]:
    """Give these keys a new lifetime; return how many there are."""
    timeout = space.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
    if timeout is None and not space.tags:
        return _persist(space, keys, version)
    return together([operations.touch(space, key, timeout, version) for key in keys], sum)


def stored_pieces(
    space: Keyspace, items: Any, timeout: Any, version: Any, chunk: int
) -> Iterator[tuple[dict[str, bytes], int]]:
    """Yield encoded pairs, as many as one request holds, and of how many of the items they are."""
    _check(chunk)
    if (space.default_options if timeout is DEFAULT_TIMEOUT else expiry.options(timeout)) is None:
        raise ValueError("warm() stores values, so its timeout is more than 0 seconds, or None; delete_many() removes.")
    pairs: dict[str, bytes] = {}
    handled, room = 0, space.max_request_size
    for key, value in items.items() if isinstance(items, Mapping) else items:
        stored, context = space.name(key, version)
        encoded = space.dumps(value, context)
        size = many.size(stored, encoded)
        if handled and (handled == chunk or size >= room):
            yield pairs, handled
            pairs, handled, room = {}, 0, space.max_request_size
        if space.admits(encoded, stored):
            pairs[stored] = encoded
            room -= size
        handled += 1
    if handled:
        yield pairs, handled


def key_pieces(space: Keyspace, keys: Iterable[Any], chunk: int) -> Iterator[list[Any]]:
    _check(chunk)
    source = iter(keys)
    # With tags, a server that has not seen the script gets its source for each key.
    overhead = 16_000 if space.tags else 400
    while piece := list(islice(source, chunk)):
        longest = max(len(str(key)) for key in piece)
        fitting = max(1, space.max_request_size // (4 * longest + overhead))
        yield from (piece[start : start + fitting] for start in range(0, len(piece), fitting))


def _check(chunk: int) -> None:
    if chunk < 1:
        raise ValueError(f"chunk is the number of keys in one request, 1 or more, not {chunk}.")


def tell(progress: Progress | None, done: int) -> None:
    if progress is not None:
        refuse_awaitable("progress", progress(done))


def _persist(space: Keyspace, keys: list[Any], version: Any) -> Operation[int]:
    """Remove expiries and count the keys: PERSIST alone says 0 of one that had no expiry either."""
    stored = [space.name(key, version)[0] for key in keys]
    persisting: list[Command] = [("PERSIST", name) for name in stored]
    return Operation((*persisting, ("EXISTS", *stored)), lambda replies: checked(replies)[-1])
