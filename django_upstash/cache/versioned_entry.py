"""Looking for a value with all that its envelope says, and storing one where nobody has been faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from django_upstash.cache import tags
from django_upstash.cache.cache_keys import Keyspace
from django_upstash.cache.operations import MISSING
from django_upstash.codecs import Label, bound, opened, sealed
from django_upstash.operations import Command, Operation, Reply, checked, only, then
from django_upstash.operations.compare_and_set import Swap, compare_digest_and_set

_NO_LABEL = Label()


class FoundEntry(NamedTuple):
    """
    A value, ``MISSING`` if there is none that is valid, and what is stored under its key, None for nothing.

    ``inner`` is the stored form within the envelope, and ``context`` what that is signed for. ``versions`` are those
    that the tags had which were asked about.
    """

    value: Any = MISSING
    stored: bytes | None = None
    label: Label = _NO_LABEL
    inner: bytes = b""
    context: bytes = b""
    versions: Mapping[str, bytes | None] = {}

    def copied(self, space: Keyspace) -> Any:
        """Return the value made again from its stored form, so that nobody else changes it."""
        return space.loads(self.inner, self.context, self.value)


def look(space: Keyspace, stored: str, context: bytes, asked: Sequence[str] = ()) -> Operation[FoundEntry]:
    """Return what is found under a key, and the versions of the tags that are asked about, in one request."""
    commands: list[Command] = [("GET", stored)]
    if asked:
        commands += tags.present(space, asked).commands

    def parse(replies: list[Reply]) -> Any:
        checked(replies)
        now = dict(zip(asked, replies[1], strict=True)) if asked else {}  # type: ignore[arg-type]
        return _read(space, replies[0], context, now)  # type: ignore[arg-type]

    return Operation(commands, parse)


def after(first: Command, looking: Operation[FoundEntry]) -> Operation[tuple[Reply, FoundEntry]]:
    """Return the operation that runs a command and then looks, in one request; its result is the reply and the find."""

    def parse(replies: list[Reply]) -> Any:
        reply = only(replies)
        found = looking.parse(replies[1:])
        return then(found, lambda later: (reply, later)) if isinstance(found, Operation) else (reply, found)

    return Operation((first, *looking.commands), parse)


def beside(operation: Operation[Any], last: Command) -> Operation[Any]:
    """Return the operation that runs one more command in its first request."""

    def parse(replies: list[Reply]) -> Any:
        *others, reply = replies
        only([reply])
        return operation.parse(others)

    return Operation((*operation.commands, last), parse)


def seal(space: Keyspace, value: Any, context: bytes, label: Label | None) -> FoundEntry:
    """Return a value as it is found once it is stored, in an envelope where it has a label."""
    if label is None:
        inner = space.dumps(value, context)
        return FoundEntry(value, inner, inner=inner, context=context)
    line = label.line()
    context = bound(context, line)
    inner = space.dumps(value, context)
    return FoundEntry(value, sealed(line, inner), label, inner, context)


def store(space: Keyspace, stored: str, before: FoundEntry, now: FoundEntry, options: Sequence[str]) -> Operation[bool]:
    """Store a value where nothing has changed since the look ``before``; return whether it was stored."""
    replacement, replaced = cast(bytes, now.stored), before.stored
    if replaced is None:
        return Operation((("SET", stored, replacement, *options, "NX"),), _was_stored)
    swap = Swap(stored, replaced, replacement, tuple(options), reads=False)
    return then(compare_digest_and_set(space.capabilities, swap), bool)


def _was_stored(replies: list[Reply]) -> bool:
    return only(replies) is not None


def _read(
    space: Keyspace, stored: bytes | None, context: bytes, now: Mapping[str, bytes | None]
) -> FoundEntry | Operation[FoundEntry]:
    if stored is None:
        return FoundEntry(versions=now)
    envelope = opened(stored)
    if envelope is None:
        return FoundEntry(space.loads(stored, context, MISSING), stored, _NO_LABEL, stored, context, now)
    inner, context = envelope.inner, envelope.context(context)
    found = FoundEntry(space.loads(inner, context, MISSING), stored, envelope.label, inner, context, now)
    return found if found.value is MISSING else _validated(space, found)


def _validated(space: Keyspace, found: FoundEntry) -> FoundEntry | Operation[FoundEntry]:
    carried = found.label.tags
    invalid = found._replace(value=MISSING)
    if all(tag in found.versions for tag, _ in carried):
        return found if tags.valid(carried, [found.versions[tag] for tag, _ in carried]) else invalid
    asking = tags.present(space, [tag for tag, _ in carried])
    return then(asking, lambda now: found if tags.valid(carried, now) else invalid)
