"""One key: its type, lifetime, size and encoding, and a safe look at its beginning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django_upstash.diagnostics.formatting import escaped, shortened
from django_upstash.diagnostics.preview import BEGINNING, is_secret, preview
from django_upstash.operations import Command, Operation, Reply, checked, only

MOST_ELEMENTS = 10
LARGEST_ELEMENT = 1 << 20  # bytes; where elements are larger on average they are counted, not fetched
_MUCH = 8 << 20  # bytes of a key that may hold such elements
_LONGEST_NAME = 120


@dataclass(kw_only=True)
class KeyDetails:
    """What is known of a key. ``length`` is that of its type: bytes of a string, elements of anything else."""

    name: str
    type: str
    ttl_ms: int | None  # None: it never expires
    memory: int | None = None  # bytes; None where the server refuses to tell
    encoding: str | None = None
    length: int | None = None
    preview: list[str] = field(default_factory=list)
    is_cut: bool = False  # there are more elements than shown


@dataclass(frozen=True)
class _Type:
    """How to look at a key of one type: its length, its first elements, and how these read as lines."""

    length: str
    elements: Callable[[bytes], Command]
    lines: Callable[[Any, KeyDetails], Iterator[str]]


def inspect_key(name: bytes) -> Operation[KeyDetails | None]:
    """Return the operation that looks at a key, in two requests; it returns None where there is no such key."""
    commands = (("TYPE", name), ("PTTL", name), ("MEMORY", "USAGE", name), ("OBJECT", "ENCODING", name))

    def parse(replies: list[Reply]) -> Operation[KeyDetails | None] | None:
        kind, ttl = checked(replies[:2])
        if kind == b"none":
            return None
        memory, encoding = replies[2:]  # refused by some servers
        details = KeyDetails(
            name=name.decode("utf-8", "backslashreplace"),
            type=kind.decode(),
            ttl_ms=ttl if ttl >= 0 else None,
            memory=memory if isinstance(memory, int) else None,
            encoding=encoding.decode() if isinstance(encoding, bytes) else None,
        )
        return _look_inside(details, name)

    return Operation(commands, parse)


def _look_inside(details: KeyDetails, name: bytes) -> Operation[KeyDetails | None]:
    kind = _TYPES.get(details.type)
    if kind is None:
        return Operation((), lambda replies: details)
    if details.type != "string" and (details.memory or 0) > _MUCH:
        return _count_first(details, kind, name)

    def parse(replies: list[Reply]) -> KeyDetails:
        details.length, elements = checked(replies)
        return _with_preview(details, kind, elements)

    return Operation(((kind.length, name), kind.elements(name)), parse)


def _count_first(details: KeyDetails, kind: _Type, name: bytes) -> Operation[KeyDetails | None]:
    def parse(replies: list[Reply]) -> Operation[KeyDetails | None] | KeyDetails:
        details.length = only(replies)
        if (details.memory or 0) > LARGEST_ELEMENT * (details.length or 1):
            details.is_cut = True
            return details
        return Operation((kind.elements(name),), lambda replies: _with_preview(details, kind, only(replies)))

    return Operation(((kind.length, name),), parse)


def _with_preview(details: KeyDetails, kind: _Type, elements: Any) -> KeyDetails:
    lines = list(kind.lines(elements, details))
    details.preview = lines[:MOST_ELEMENTS]
    details.is_cut = details.type != "string" and (details.length or 0) > len(details.preview)
    return details


def _string(beginning: bytes, details: KeyDetails) -> Iterator[str]:
    yield preview(beginning, details.length or 0, is_masked=is_secret(details.name))


def _items(items: list[bytes], details: KeyDetails) -> Iterator[str]:
    for item in items:
        yield _whole(item, is_secret(details.name))


def _scanned_items(page: list[Any], details: KeyDetails) -> Iterator[str]:
    return _items(page[1], details)


def _scanned_fields(page: list[Any], details: KeyDetails) -> Iterator[str]:
    return _fields(page[1], details)


def _fields(pairs: list[bytes], details: KeyDetails) -> Iterator[str]:
    for name, value in _pairs(pairs):
        shown = _name(name)
        yield f"{shown}: {_whole(value, is_secret(details.name) or is_secret(shown))}"


def _scores(pairs: list[bytes], details: KeyDetails) -> Iterator[str]:
    for member, score in _pairs(pairs):
        yield f"{score.decode()}: {_whole(member, is_secret(details.name))}"


def _entries(entries: list[Any], details: KeyDetails) -> Iterator[str]:
    for identifier, pairs in entries:
        yield f"{identifier.decode()} {', '.join(_fields(pairs[: 2 * MOST_ELEMENTS], details))}"


def _whole(value: bytes, is_masked: bool) -> str:
    return preview(value[:BEGINNING], len(value), is_masked=is_masked)


def _name(name: bytes) -> str:
    return shortened(escaped(name.decode("utf-8", "backslashreplace")), _LONGEST_NAME)


def _pairs(flat: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


_TYPES = {
    "string": _Type("STRLEN", lambda name: ("GETRANGE", name, 0, BEGINNING - 1), _string),
    "list": _Type("LLEN", lambda name: ("LRANGE", name, 0, MOST_ELEMENTS - 1), _items),
    "set": _Type("SCARD", lambda name: ("SSCAN", name, 0, "COUNT", MOST_ELEMENTS), _scanned_items),
    "hash": _Type("HLEN", lambda name: ("HSCAN", name, 0, "COUNT", MOST_ELEMENTS), _scanned_fields),
    "zset": _Type("ZCARD", lambda name: ("ZRANGE", name, 0, MOST_ELEMENTS - 1, "WITHSCORES"), _scores),
    "stream": _Type("XLEN", lambda name: ("XREVRANGE", name, "+", "-", "COUNT", MOST_ELEMENTS), _entries),
}
