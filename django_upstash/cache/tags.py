"""
Tags: names that many values carry, to be invalidated together.

Each tag in use has a record with a random version. A value carries the versions that its tags had before it was
computed, and counts as missing once a record has another one, or is gone. So invalidating is deleting records: one
command, however many values carry the tags. A record that is evicted takes its values with it, and none comes back.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from hashlib import blake2b
from secrets import token_urlsafe
from typing import Any, Concatenate, ParamSpec, TypeAlias

from django.core.exceptions import ImproperlyConfigured

from django_upstash import scripts
from django_upstash.cache.chains import known, then
from django_upstash.cache.keyspace import Keyspace
from django_upstash.codecs import Opened
from django_upstash.keys import check_encodable
from django_upstash.operations import Command, Operation, Reply, checked, only

P = ParamSpec("P")
Tags: TypeAlias = tuple[tuple[str, str], ...]  # id and version of each

MOST = 64
_VERSION_BYTES = 12
_ID_BYTES = 16


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
    ids = _ids(space, tags)
    if len(ids) > MOST:
        raise ValueError(f"A value can carry up to {MOST} tags, not {len(ids)}; give it one tag for several of them.")
    return _versions(space, ids) if ids else known(())


def present(space: Keyspace, ids: Sequence[str]) -> Operation[list[bytes | None]]:
    """Return the version that each of the tags has at present, None for one without record."""
    return Operation((("MGET", *(_record(space, tag) for tag in ids)),), only)


def if_valid(space: Keyspace, found: Opened, value: Any, otherwise: Any) -> Operation[Any]:
    """Return the operation whose result is ``value`` where what was found is valid still, or else ``otherwise``."""
    tags = found.label.tags
    return then(
        present(space, [tag for tag, _ in tags]), lambda now: value if valid(tags, now) else otherwise
    )


def valid(tags: Tags, now: Sequence[bytes | None]) -> bool:
    """Tell whether the versions of these tags are the present ones."""
    return all(version.encode() == current for (_, version), current in zip(tags, now, strict=True))


def unless_invalidated(
    build: Callable[Concatenate[Keyspace, P], Operation[Any]],
) -> Callable[Concatenate[Keyspace, P], Operation[Any]]:
    """Make of a function that makes an operation on one key one that takes an invalidated value there for missing."""

    @wraps(build)
    def guarded(space: Keyspace, /, *args: P.args, **kwargs: P.kwargs) -> Operation[Any]:
        operation = build(space, *args, **kwargs)
        return guard(space, operation) if space.tags else operation

    return guarded


def guard(space: Keyspace, operation: Operation[Any]) -> Operation[Any]:
    """Return the operation, on the key of its first command, that removes an invalidated value before."""
    if len(operation.commands) > 1:
        looking = _guarded(space, ("EXISTS", operation.commands[0][1]), only, b"")
        return then(looking, lambda _: operation)
    return _guarded(space, operation.commands[0], lambda reply: operation.parse(reply), b"")


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

    return scripts.load("unless_invalidated").operation(
        space.capabilities, [key, *records, *others], [tags, str(len(records)), name, *arguments], after
    )


def _versions(space: Keyspace, ids: Sequence[str]) -> Operation[Tags]:
    reading: Command = ("MGET", *(_record(space, tag) for tag in ids))

    def parse(replies: list[Reply]) -> Any:
        now = checked(replies)[-1]
        missing = [tag for tag, version in zip(ids, now, strict=True) if version is None]
        if missing:
            return Operation((*(_creating(space, tag) for tag in missing), reading), parse)
        return tuple((tag, version.decode()) for tag, version in zip(ids, now, strict=True))

    return Operation((reading,), parse)


def _creating(space: Keyspace, tag: str) -> Command:
    return "SET", _record(space, tag), token_urlsafe(_VERSION_BYTES), "NX"


def _record(space: Keyspace, tag: str) -> str:
    return space.aside("tag", tag)


def _ids(space: Keyspace, tags: Iterable[str]) -> list[str]:
    """Return what tags are called in the database: all of one length, whatever they are made of."""
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
    assert isinstance(reply, bytes)
    return reply


def _nothing(replies: list[Reply]) -> None:
    only(replies)
