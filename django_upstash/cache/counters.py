"""Counting: one script adds to an integer; what is no 64-bit integer is added to in Python, and compared-and-set."""

from __future__ import annotations

from hashlib import sha1
from typing import Any

from django_upstash import scripts
from django_upstash.cache.keyspace import Keyspace
from django_upstash.cache.operations import MISSING
from django_upstash.operations import Argument, Operation, Reply, only


def incr(
    space: Keyspace,
    key: Any,
    delta: Any = 1,
    version: Any = None,
    client: Any = None,
    ignore_key_check: bool = False,
) -> Operation[Any]:
    """
    Add ``delta``, keep the lifetime, and return the sum.

    Raises ``ValueError`` for a missing key, unless ``ignore_key_check`` lets it begin at ``delta``.
    """
    stored, context = space.name(key, version)
    step = str(delta) if type(delta) is int and delta.bit_length() < 64 else ""

    def parse(replies: list[Reply]) -> Any:
        reply = only(replies)
        if isinstance(reply, int | bytes):
            return int(reply)
        if reply is None and ignore_key_check:
            return _begin(space, key, delta, version)
        return _add_in_python(space, key, stored, context, delta, reply)

    return scripts.load("incr").operation(space.capabilities, [stored], [step], parse)


def decr(space: Keyspace, key: Any, delta: Any = 1, version: Any = None, client: Any = None) -> Operation[Any]:
    """Subtract ``delta``, keep the lifetime, and return the difference; ``ValueError`` for a missing key."""
    return incr(space, key, -delta, version)


def _begin(space: Keyspace, key: Any, delta: Any, version: Any) -> Operation[Any]:
    stored, context = space.name(key, version)

    def parse(replies: list[Reply]) -> Any:
        # Somebody else began in between: add to theirs.
        return incr(space, key, delta, version, ignore_key_check=True) if only(replies) is None else delta

    return Operation((("SET", stored, space.dumps(delta, context), "NX"),), parse)


def _add_in_python(space: Keyspace, key: Any, stored: str, context: bytes, delta: Any, reply: Any) -> Any:
    """Return the operation that stores the sum unless the value has changed by then, in which case it goes on."""
    before: bytes | None = None if reply is None else reply[0]
    value = MISSING if before is None else space.loads(before, context, MISSING)
    if before is None or value is MISSING:
        raise ValueError(f"Key '{key}' not found")
    total = value + delta

    def parse(replies: list[Reply]) -> Any:
        answer = only(replies)
        return total if answer == 1 else _add_in_python(space, key, stored, context, delta, answer)

    arguments: list[Argument] = [sha1(before, usedforsecurity=False).hexdigest(), space.dumps(total, context)]
    return scripts.load("replace_if_unchanged").operation(space.capabilities, [stored], arguments, parse)
