"""
Tags: names that many values carry, to be invalidated together.

Each tag in use has a record with a random version. A value carries the versions that its tags had before it was
computed, and counts as missing once a record has another one, or is gone. So invalidating is deleting records: one
command, however many values carry the tags. A record that is evicted takes its values with it, and none comes back.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from secrets import token_urlsafe
from typing import Any, TypeAlias

from django.core.exceptions import ImproperlyConfigured

from django_upstash.cache.cache_keys import Keyspace
from django_upstash.cache.combinators import known
from django_upstash.codecs import Label, bound, opened, sealed
from django_upstash.exceptions import ProtocolError
from django_upstash.operations import Argument, Command, Operation, Reply, checked, only, scripts, then
from django_upstash.operations.keys import check_encodable

Dumps: TypeAlias = Callable[[Any, bytes], bytes]
Tags: TypeAlias = tuple[tuple[str, str], ...]  # id and version of each

MOST = 64
_VERSION_BYTES = 12
_ID_BYTES = 16
# As in lua/unless_invalidated.lua.
_TAGS = re.compile(rb"~e1:\d*:\d*:([\w,=-]+)\n", re.ASCII)


def invalidate_tags(space: Keyspace, *tags: str) -> Operation[None]:
    """
    Let every value that carries one of these tags count as missing, in one command.

    A value that is being computed meanwhile, from what was true before, is missing as well once it is stored.
    """
    records = [_record(space, tag) for tag in _ids(space, tags)]
    # Deleting them twice may cost somebody a miss; not deleting them, a wrong value.
    return Operation((("DEL", *records),), _nothing, replay_safe=True) if records else known(None)


def versions(space: Keyspace, tags: Iterable[str]) -> Operation[Tags]:
    """Return the tags with their present versions; a tag that has no record receives one."""
    found = ids(space, tags)
    return versions_of(space, found) if found else known(())


def versions_of(space: Keyspace, ids: Sequence[str]) -> Operation[Tags]:
    """Like ``versions``, for tags by their ids."""
    reading: Command = ("MGET", *(_record(space, tag) for tag in ids))

    def parse(replies: list[Reply]) -> Any:
        now = checked(replies)[-1]
        missing = [tag for tag, version in zip(ids, now, strict=True) if version is None]
        if missing:
            return Operation((*(_creating(space, tag) for tag in missing), reading), parse)
        return tuple((tag, version.decode()) for tag, version in zip(ids, now, strict=True))

    return Operation((reading,), parse)


def present(space: Keyspace, ids: Sequence[str]) -> Operation[list[bytes | None]]:
    """Return the version that each of the tags has at present, None for one without record."""
    return Operation((("MGET", *(_record(space, tag) for tag in ids)),), only)


def validated(space: Keyspace, stored: bytes, context: bytes, default: Any) -> Any:
    """
    Return the value of a stored form that the codec did not read, for it carries tags.

    That is an operation, which asks for their versions; ``default`` if there are none, or the value is unreadable.
    """
    found = opened(stored)
    if found is None or not found.label.tags:
        return default
    value = space.loads(found.inner, found.context(context), default)
    carried = found.label.tags
    return then(present(space, [tag for tag, _ in carried]), lambda now: value if valid(carried, now) else default)


def valid(tags: Tags, now: Sequence[bytes | None]) -> bool:
    """Tell whether the versions of these tags are the present ones."""
    return all(version.encode() == current for (_, version), current in zip(tags, now, strict=True))


def labelled(space: Keyspace, tags: Iterable[str], build: Callable[[Dumps], Operation[Any]]) -> Operation[Any]:
    """Return the operation that ``build`` makes, given the way to a stored form that carries these tags."""

    def with_versions(now: Tags) -> Operation[Any]:
        line = Label(tags=now).line()
        return build(lambda value, context: sealed(line, space.dumps(value, bound(context, line))))

    return then(versions(space, tags), with_versions)


def guard(space: Keyspace, operation: Operation[Any]) -> Operation[Any]:
    """Return the operation on one key as it is where an invalidated value there has been removed before."""
    if not space.tags:
        return operation
    if len(operation.commands) > 1:
        return then(remains(space, operation.commands[0][1]), lambda _: operation)
    return _guarded(space, operation.commands[0], operation.parse, b"")


def remains(space: Keyspace, stored: Argument) -> Operation[bool]:
    """Return whether something is stored under a key once an invalidated value there has been removed."""
    return _guarded(space, ("EXISTS", stored), lambda replies: bool(only(replies)), b"")


def _guarded(space: Keyspace, command: Command, parse: Callable[[list[Reply]], Any], tags: bytes) -> Operation[Any]:
    name, key, *arguments = command
    records = [_record(space, pair.partition("=")[0]) for pair in tags.decode().split(",") if pair]
    # RENAME has a second key, which is declared as well.
    others = arguments[:1] if name == "RENAME" else []

    def after(replies: list[Reply]) -> Any:
        reply = replies[0]
        if isinstance(reply, list):
            return _guarded(space, command, parse, _bytes(reply[0]))
        return parse(replies)

    return scripts.load("cache/unless_invalidated").operation(
        space.capabilities,
        [key, *records, *others],
        [tags, str(len(records)), name, *arguments],
        after,
        instead=lambda: _guarded_by_commands(space, command, parse),
    )


def _guarded_by_commands(space: Keyspace, command: Command, parse: Callable[[list[Reply]], Any]) -> Operation[Any]:
    """Return what the script does, in commands: what is stored in between may be removed with the invalidated value."""
    running, stored = Operation((command,), parse), command[1]

    def looked(replies: list[Reply]) -> Any:
        match = _TAGS.match(replies[0]) if isinstance(replies[0], bytes) else None
        if match is None:
            return running
        pairs = [pair.partition("=")[::2] for pair in match[1].decode().split(",")]
        removing = Operation((("DEL", stored), command), lambda replies: parse(replies[1:]))
        asking = present(space, [tag for tag, _ in pairs])
        return then(asking, lambda now: running if valid(tuple(pairs), now) else removing)

    return Operation((("GETRANGE", stored, "0", "4095"),), looked)


def _creating(space: Keyspace, tag: str) -> Command:
    return "SET", _record(space, tag), token_urlsafe(_VERSION_BYTES), "NX"


def _record(space: Keyspace, tag: str) -> str:
    return space.aside("tag", tag)


def ids(space: Keyspace, tags: Iterable[str]) -> list[str]:
    """Return what the tags of a value are called in the database: all of one length, whatever they are made of."""
    found = _ids(space, tags)
    if len(found) > MOST:
        raise ValueError(f"A value can carry up to {MOST} tags, not {len(found)}; give it one tag for several of them.")
    return found


def _ids(space: Keyspace, tags: Iterable[str]) -> list[str]:
    if not space.tags:
        raise ImproperlyConfigured(
            'Tags need OPTIONS["TAGS"] = True in this cache\'s entry of CACHES, in every process that uses it.'
        )
    if isinstance(tags, str | bytes):
        raise TypeError(f"tags must be a list or tuple of texts, not {type(tags).__name__}; write [tag] for one.")
    return list(dict.fromkeys(map(_id, tags)))


def _id(tag: str) -> str:
    if not isinstance(tag, str):
        raise TypeError(f"A tag must be text, not {type(tag).__name__}; write str(tag).")
    if not tag:
        raise ValueError("A tag must not be empty.")
    check_encodable(tag)
    return urlsafe_b64encode(blake2b(tag.encode(), digest_size=_ID_BYTES).digest()).rstrip(b"=").decode()


def _bytes(reply: Reply) -> bytes:
    if not isinstance(reply, bytes):
        raise ProtocolError(f"A tag's version is {type(reply).__name__} where text was expected.")
    return reply


def _nothing(replies: list[Reply]) -> None:
    only(replies)
