"""The cache's operations on many keys at once, in pieces where a request or a reply would be too large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from django_upstash.cache import expiry
from django_upstash.cache.cache_keys import Keyspace
from django_upstash.cache.combinators import in_turn, known
from django_upstash.cache.operations import MISSING
from django_upstash.cache.tags import Dumps, labelled, present, valid
from django_upstash.codecs import opened
from django_upstash.exceptions import PayloadTooLargeError
from django_upstash.operations import Argument, Operation, Reply, checked, only, then

# What an argument costs on the wire beyond its bytes, in the Redis protocol as in JSON, at most.
_FRAME = 16


def get_many(space: Keyspace, keys: Iterable[Any], version: Any = None) -> Operation[dict[Any, Any]]:
    """Return the values that there are, by the keys as they were given."""
    name = space.name
    wanted: dict[str, tuple[Any, bytes]] = {}
    for key in keys:
        stored, context = name(key, version)
        wanted[stored] = key, context
    if not wanted:
        return known({})

    def counted(found: dict[Any, Any]) -> dict[Any, Any]:
        space.looked_up(len(found), len(wanted) - len(found))
        return found

    return then(_get_piece(space, wanted, [list(wanted)], {}), counted)


def set_many(
    space: Keyspace,
    data: Mapping[Any, Any],
    timeout: Any = DEFAULT_TIMEOUT,
    version: Any = None,
    *,
    tags: Iterable[str] = (),
) -> Operation[list[Any]]:
    """
    Store the values, and return the list of the keys that were not stored: those of values that are too large.

    Atomic where the server has MSETEX and one request holds them all.
    """
    options = space.default_options if timeout is DEFAULT_TIMEOUT else expiry.options(timeout)
    if options is None:
        return then(delete_many(space, data, version), lambda _: [])
    if tags and data:
        return labelled(space, tags, lambda dumps: _set_all(space, data, version, dumps, options))
    return _set_all(space, data, version, space.dumps, options)


def delete_many(space: Keyspace, keys: Iterable[Any], version: Any = None) -> Operation[int | None]:
    """Remove the keys; return how many there were, or None, as Django's own caches do, where none was named."""
    pairs = {space.name(key, version)[0]: b"" for key in keys}
    pieces = [Operation((("DEL", *piece),), only) for piece in _pieces(pairs, space.max_request_size)]
    return in_turn(pieces, lambda counts: sum(counts) if counts else None)


def _get_piece(
    space: Keyspace, wanted: dict[str, tuple[Any, bytes]], pieces: list[list[str]], found: dict[Any, Any]
) -> Operation[dict[Any, Any]]:
    """Fetch the last of the pieces, in halves where the server finds the reply too large, and then the others."""
    *others, piece = pieces

    def parse(replies: list[Reply]) -> Any:
        if isinstance(replies[0], PayloadTooLargeError) and len(piece) > 1:
            middle = len(piece) // 2
            return _get_piece(space, wanted, [*others, piece[middle:], piece[:middle]], found)
        unread = _read_values(space, wanted, zip(piece, only(replies), strict=True), found)
        tagged = _get_tagged(space, wanted, unread, found) if unread else None
        if tagged is not None:
            return then(tagged, lambda _: _get_piece(space, wanted, others, found) if others else found)
        return _get_piece(space, wanted, others, found) if others else found

    return Operation((("MGET", *piece),), parse)


def _read_values(
    space: Keyspace,
    wanted: dict[str, tuple[Any, bytes]],
    replies: Iterable[tuple[str, bytes | None]],
    found: dict[Any, Any],
) -> dict[str, bytes]:
    """Add the values that can be read to what was found, and return the others as they are stored."""
    unread: dict[str, bytes] = {}
    loads = space.loads
    for stored, reply in replies:
        if reply is not None:
            key, context = wanted[stored]
            value = loads(reply, context, MISSING)
            if value is not MISSING:
                found[key] = value
            else:
                unread[stored] = reply
    return unread


def _get_tagged(
    space: Keyspace, wanted: dict[str, tuple[Any, bytes]], unread: dict[str, bytes], found: dict[Any, Any]
) -> Operation[None] | None:
    """Return the operation that adds what is valid of the values with tags; None if there are none among them."""
    tagged = {
        stored: envelope for stored, reply in unread.items() if (envelope := opened(reply)) and envelope.label.tags
    }
    if not tagged:
        return None
    ids = list(dict.fromkeys(tag for envelope in tagged.values() for tag, _ in envelope.label.tags))

    def add(now: list[bytes | None]) -> None:
        versions = dict(zip(ids, now, strict=True))
        for stored, envelope in tagged.items():
            carried = envelope.label.tags
            if valid(carried, [versions[tag] for tag, _ in carried]):
                key, context = wanted[stored]
                value = space.loads(envelope.inner, envelope.context(context), MISSING)
                if value is not MISSING:
                    found[key] = value

    return then(present(space, ids), add)


def _set_all(
    space: Keyspace, data: Mapping[Any, Any], version: Any, dumps: Dumps, options: tuple[str, ...]
) -> Operation[list[Any]]:
    name, admits = space.name, space.admits
    pairs: dict[str, bytes] = {}
    refused: dict[str, Any] = {}
    for key, value in data.items():
        stored, context = name(key, version)
        encoded = dumps(value, context)
        if admits(encoded, stored):
            pairs[stored] = encoded
        else:
            refused[stored] = key
    removing = [Operation((("DEL", *refused),), only)] if refused else []
    storing = [store(space, pairs, options)] if pairs else []
    return in_turn([*removing, *storing], lambda _: [*refused.values()])


def store(space: Keyspace, pairs: dict[str, bytes], options: tuple[str, ...]) -> Operation[None]:
    """Store encoded values under their keys in the database."""
    pieces = [_set_piece(space, piece, options) for piece in _pieces(pairs, space.max_request_size)]
    return in_turn(pieces, lambda _: None)


def size(stored: str, encoded: bytes) -> int:
    """Return what a pair takes of a request at most: text four bytes a character, bytes a third more as base64."""
    return len(stored) * 4 + len(encoded) * 4 // 3 + 2 * _FRAME


def _set_piece(space: Keyspace, pairs: dict[str, bytes], options: tuple[str, ...]) -> Operation[Any]:
    if not options:
        return Operation((("MSET", *_flat(pairs)),), only)
    if len(pairs) == 1 or not space.capabilities.has("MSETEX"):
        return Operation([("SET", stored, encoded, *options) for stored, encoded in pairs.items()], checked)

    def parse(replies: list[Reply]) -> Any:
        if space.capabilities.withholds("MSETEX", replies[0]):
            return _set_piece(space, pairs, options)
        return only(replies)

    return Operation((("MSETEX", str(len(pairs)), *_flat(pairs), *options),), parse)


def _flat(pairs: dict[str, bytes]) -> Iterator[Argument]:
    for stored, encoded in pairs.items():
        yield stored
        yield encoded


def _pieces(pairs: dict[str, bytes], limit: int) -> Iterator[dict[str, bytes]]:
    """Yield the pairs in pieces whose requests stay within the limit, if a single pair does."""
    sizes = [size(stored, encoded) for stored, encoded in pairs.items()]
    if sum(sizes) < limit:
        yield from (pairs,) if pairs else ()
        return
    piece: dict[str, bytes] = {}
    room = limit
    for (stored, encoded), needed in zip(pairs.items(), sizes, strict=True):
        if piece and needed >= room:
            yield piece
            piece, room = {}, limit
        piece[stored] = encoded
        room -= needed
    yield piece
