"""Counting: one script adds to an integer; what is no 64-bit integer is added to in Python, and compared-and-set."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha1
from typing import Any

from django_upstash import scripts
from django_upstash.cache.keyspace import Keyspace
from django_upstash.cache.operations import MISSING
from django_upstash.cache.tags import guard, remains
from django_upstash.codecs import opened, sealed
from django_upstash.operations import Argument, Operation, Reply, only, then


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
        again = partial(incr, space, key, delta, version, ignore_key_check=ignore_key_check)
        return _add_in_python(space, key, stored, context, delta, reply, again)

    return scripts.load("incr").operation(space.capabilities, [stored], [step], parse)


def decr(space: Keyspace, key: Any, delta: Any = 1, version: Any = None, client: Any = None) -> Operation[Any]:
    """Subtract ``delta``, keep the lifetime, and return the difference; ``ValueError`` for a missing key."""
    return incr(space, key, -delta, version)


def _begin(space: Keyspace, key: Any, delta: Any, version: Any) -> Operation[Any]:
    stored, context = space.name(key, version)

    def parse(replies: list[Reply]) -> Any:
        # Somebody else began in between: add to theirs.
        return incr(space, key, delta, version, ignore_key_check=True) if only(replies) is None else delta

    return guard(space, Operation((("SET", stored, space.dumps(delta, context), "NX"),), parse))


def _add_in_python(
    space: Keyspace, key: Any, stored: str, context: bytes, delta: Any, reply: Any, again: Callable[[], Operation[Any]]
) -> Any:
    """Return the operation that stores the sum unless the value has changed by then, in which case it goes on."""
    before: bytes | None = None if reply is None else reply[0]
    if before is None:
        raise ValueError(f"Key '{key}' not found")
    envelope = opened(before)
    line, inner = (envelope.line, envelope.inner) if envelope else (b"", before)
    bound_to = envelope.context(context) if envelope else context

    def add() -> Operation[Any]:
        value = space.loads(inner, bound_to, MISSING)
        if value is MISSING:
            raise ValueError(f"Key '{key}' not found")
        total = value + delta
        encoded = space.dumps(total, bound_to)
        replacing = _replace(space, stored, before, sealed(line, encoded) if line else encoded)
        return then(replacing, lambda answer: total if answer == 1 else onwards(answer))

    def onwards(answer: Any) -> Any:
        return _add_in_python(space, key, stored, context, delta, answer, again)

    if envelope and envelope.label.tags:
        return then(remains(space, stored), lambda there: add() if there else again())
    return add()


def _replace(space: Keyspace, stored: str, before: bytes, now: bytes) -> Operation[Any]:
    arguments: list[Argument] = [sha1(before, usedforsecurity=False).hexdigest(), now]
    return scripts.load("replace_if_unchanged").operation(space.capabilities, [stored], arguments)
