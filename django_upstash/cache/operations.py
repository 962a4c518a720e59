"""
The cache's operations on one key: what each sends and how it reads the replies.

Each takes the ``Keyspace`` and then what Django's method, or django-redis', takes, but for ``client``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from django_upstash.cache import expiry
from django_upstash.cache.cache_keys import Keyspace
from django_upstash.cache.combinators import known
from django_upstash.cache.tags import guard, labelled, validated
from django_upstash.exceptions import ResponseError
from django_upstash.operations import Operation, Reply, checked, only, then

MISSING: Final = object()


def get(space: Keyspace, key: Any, default: Any = None, version: Any = None) -> Operation[Any]:
    """Return the value, or ``default`` if there is none or none that can be trusted and read."""
    stored, context = space.name(key, version)
    loads, looked_up = space.loads, space.looked_up

    def parse(replies: list[Reply]) -> Any:
        reply = replies[0]
        if isinstance(reply, bytes):
            found = loads(reply, context, MISSING)
            if found is MISSING:
                return _tagged(space, reply, context, default)
            looked_up(1, 0)
            return found
        if reply is None:
            looked_up(0, 1)
            return default
        return only(replies)

    return Operation((("GET", stored),), parse)


def set(
    space: Keyspace,
    key: Any,
    value: Any,
    timeout: Any = DEFAULT_TIMEOUT,
    version: Any = None,
    nx: bool = False,
    xx: bool = False,
    *,
    tags: Iterable[str] = (),
) -> Operation[bool]:
    """Store the value, only if there is none (``nx``) or one (``xx``) if so asked; return whether it was stored."""
    stored, context = space.name(key, version)
    options = space.default_options if timeout is DEFAULT_TIMEOUT else expiry.options(timeout)
    if tags:
        return labelled(space, tags, lambda dumps: _set(space, stored, dumps(value, context), options, nx, xx))
    return _set(space, stored, space.dumps(value, context), options, nx, xx)


def add(
    space: Keyspace,
    key: Any,
    value: Any,
    timeout: Any = DEFAULT_TIMEOUT,
    version: Any = None,
    *,
    tags: Iterable[str] = (),
) -> Operation[bool]:
    """Store the value if there is none; return whether it was stored."""
    return set(space, key, value, timeout, version, nx=True, tags=tags)


def touch(space: Keyspace, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> Operation[bool]:
    """Give the key a new lifetime, none with ``None``; return whether there is such a key."""
    stored, _ = space.name(key, version)
    lifetime = expiry.milliseconds(space.default_timeout if timeout is DEFAULT_TIMEOUT else timeout)
    if lifetime is None:
        return guard(space, _touch_forever(space, stored))
    return guard(
        space, Operation((("DEL", stored) if lifetime <= 0 else ("PEXPIRE", stored, str(lifetime)),), _is_some)
    )


def delete(space: Keyspace, key: Any, version: Any = None, prefix: str | None = None) -> Operation[bool]:
    """Remove the key; return whether there was one."""
    stored, _ = space.name(key, version, prefix)
    return guard(space, Operation((("DEL", stored),), _is_some))


def has_key(space: Keyspace, key: Any, version: Any = None) -> Operation[bool]:
    """Return whether there is such a key."""
    stored, _ = space.name(key, version)
    return guard(space, Operation((("EXISTS", stored),), _is_some))


def incr_version(space: Keyspace, key: Any, delta: int = 1, version: Any = None) -> Operation[int]:
    """Move the value, with its lifetime, to another version, and return that; ``ValueError`` if there is none."""
    version = space.version if version is None else version
    stored, _ = space.name(key, version)
    moved, _ = space.name(space.original(key), version + delta)

    def parse(replies: list[Reply]) -> int:
        reply = replies[0]
        if isinstance(reply, ResponseError) and "no such key" in str(reply):
            raise ValueError(f"Key '{key}' not found")
        only(replies)
        new_version: int = version + delta
        return new_version

    return guard(space, Operation((("RENAME", stored, moved),), parse))


def decr_version(space: Keyspace, key: Any, delta: int = 1, version: Any = None) -> Operation[int]:
    """Like ``incr_version``, downwards."""
    return incr_version(space, key, -delta, version)


def ttl(space: Keyspace, key: Any, version: Any = None) -> Operation[int | None]:
    """Return the seconds the key has left, None where it does not expire, 0 where it is missing."""
    return _lifetime_left("TTL", space, key, version)


def pttl(space: Keyspace, key: Any, version: Any = None) -> Operation[int | None]:
    """Return the milliseconds the key has left, None where it does not expire, 0 where it is missing."""
    return _lifetime_left("PTTL", space, key, version)


def persist(space: Keyspace, key: Any, version: Any = None) -> Operation[bool]:
    """Remove the key's expiry; return whether it had one."""
    stored, _ = space.name(key, version)
    return guard(space, Operation((("PERSIST", stored),), _is_some))


def expire(space: Keyspace, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> Operation[bool]:
    """Let the key expire after so many seconds, or a ``timedelta``; return whether there is such a key."""
    timeout = space.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
    return _expire("PEXPIRE", space, key, version, expiry.duration(timeout, expiry.SECOND))


def pexpire(space: Keyspace, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> Operation[bool]:
    """Let the key expire after so many milliseconds, or a ``timedelta``; return whether there is such a key."""
    if timeout is DEFAULT_TIMEOUT:
        return expire(space, key, version=version)
    return _expire("PEXPIRE", space, key, version, expiry.duration(timeout, expiry.MILLISECOND))


def expire_at(space: Keyspace, key: Any, when: Any, version: Any = None) -> Operation[bool]:
    """Let the key expire at a Unix time in seconds, or a ``datetime``; return whether there is such a key."""
    return _expire("PEXPIREAT", space, key, version, expiry.moment(when, expiry.SECOND))


def pexpire_at(space: Keyspace, key: Any, when: Any, version: Any = None) -> Operation[bool]:
    """Let the key expire at a Unix time in milliseconds, or a ``datetime``; return whether there is such a key."""
    return _expire("PEXPIREAT", space, key, version, expiry.moment(when, expiry.MILLISECOND))


def _tagged(space: Keyspace, reply: bytes, context: bytes, default: Any) -> Any:
    def counted(found: Any) -> Any:
        space.looked_up(found is not MISSING, found is MISSING)
        return default if found is MISSING else found

    found = validated(space, reply, context, MISSING)
    return then(found, counted) if isinstance(found, Operation) else counted(found)


def _set(
    space: Keyspace, stored: str, encoded: bytes, options: Sequence[str] | None, nx: bool, xx: bool
) -> Operation[bool]:
    if not space.admits(encoded, stored):
        # What is there stays where it would have stayed; nothing older stays in the place of what is too large.
        return known(False) if nx else then(Operation((("DEL", stored),), only), lambda _: False)
    if options is None:
        expired = Operation((("EXISTS", stored),), _is_none) if nx else Operation((("DEL", stored),), _is_some)
        return guard(space, expired)
    if not (nx or xx):
        return Operation((("SET", stored, encoded, *options),), _was_done)
    conditions = (*(("NX",) if nx else ()), *(("XX",) if xx else ()))
    return guard(space, Operation((("SET", stored, encoded, *options, *conditions),), _was_done))


def _expire(command: str, space: Keyspace, key: Any, version: Any, milliseconds: int) -> Operation[bool]:
    stored, _ = space.name(key, version)
    return guard(space, Operation(((command, stored, str(milliseconds)),), _is_some))


def _lifetime_left(command: str, space: Keyspace, key: Any, version: Any) -> Operation[int | None]:
    stored, _ = space.name(key, version)

    def parse(replies: list[Reply]) -> int | None:
        left: int = only(replies)
        return None if left == -1 else max(left, 0)

    return guard(space, Operation(((command, stored),), parse))


def _touch_forever(space: Keyspace, stored: str) -> Operation[bool]:
    """Remove the expiry and tell whether there is a key: PERSIST alone says 0 of one that had no expiry either."""

    def parse(replies: list[Reply]) -> Any:
        reply = replies[0]
        is_of_another_type = isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE")
        if is_of_another_type or space.capabilities.withholds("GETEX", reply):
            return persisting
        return only(replies) is not None

    persisting = Operation((("PERSIST", stored), ("EXISTS", stored)), lambda replies: checked(replies)[1] == 1)
    return Operation((("GETEX", stored, "PERSIST"),), parse) if space.capabilities.has("GETEX") else persisting


def _was_done(replies: list[Reply]) -> bool:
    return only(replies) is not None


def _is_some(replies: list[Reply]) -> bool:
    return bool(only(replies) > 0)


def _is_none(replies: list[Reply]) -> bool:
    return bool(only(replies) == 0)
