"""
Writing, reading and deleting a string, a hash and a list, to see whether a server obeys.

The keys lie under a prefix of their own, have a random part, and expire by themselves: where the process ends between
the two requests, nothing is left after a minute.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django_upstash.codecs import Encoded
from django_upstash.operations import Command, Operation, Reply, checked, only
from django_upstash.operations.keys import root
from django_upstash.operations.scripts import load

if TYPE_CHECKING:
    from django_upstash.operations.capabilities import Capabilities

PREFIX = "django_upstash:health:"
LIFETIME = 60  # seconds
_EXACT = 2**53  # from here on, a double has no place for every whole number
# Text that is more than ASCII, so that a route or server that garbles UTF-8 is seen.
_STRING, _FIELD, _ITEMS = "déjà vu ✓", "field", ("first", "second ✓")


def beginning() -> str:
    """Return what the names of all tests' keys begin with."""
    return root(PREFIX)


def new_name() -> str:
    """Return the common part of the keys of one test; in braces, so that scripts and clusters see one slot."""
    return f"{beginning()}{{{secrets.token_hex(8)}}}"


@dataclass(frozen=True)
class SelfTestOutcome:
    """The types that came back different from what was written, and the errors of the writes that were refused."""

    different: tuple[str, ...] = ()
    refused: tuple[Exception, ...] = ()
    has_written: bool = True


def write_read_delete(name: str) -> Operation[SelfTestOutcome]:
    """Return the operation that writes, then reads and deletes what was written: two requests, nine commands."""
    string, hash_, list_ = (f"{name}:{kind}" for kind in ("string", "hash", "list"))
    # A server runs a pipeline that arrived without heeding whether the client is still there: EXPIRE follows for sure.
    commands: tuple[Command, ...] = (
        ("SET", string, _STRING, "EX", LIFETIME),
        ("HSET", hash_, _FIELD, _STRING),
        ("EXPIRE", hash_, LIFETIME),
        ("RPUSH", list_, *_ITEMS),
        ("EXPIRE", list_, LIFETIME),
    )

    def parse(replies: list[Reply]) -> Operation[SelfTestOutcome] | SelfTestOutcome:
        refused = tuple(reply for reply in replies if isinstance(reply, Exception))
        if len(refused) == len(replies):
            return SelfTestOutcome(refused=refused, has_written=False)
        return _read_and_delete((string, hash_, list_), refused)

    return Operation(commands, parse)


def _read_and_delete(keys: tuple[str, str, str], refused: tuple[Exception, ...]) -> Operation[SelfTestOutcome]:
    string, hash_, list_ = keys
    commands: tuple[Command, ...] = (("GET", string), ("HGETALL", hash_), ("LRANGE", list_, 0, -1), ("DEL", *keys))

    def parse(replies: list[Reply]) -> SelfTestOutcome:
        if refused:
            return SelfTestOutcome(refused=refused)
        text, items = _STRING.encode(), [item.encode() for item in _ITEMS]
        expected: dict[str, Reply] = {"string": text, "hash": [_FIELD.encode(), text], "list": [*items], "delete": 3}
        found = zip(expected.items(), checked(replies), strict=True)
        return SelfTestOutcome(tuple(kind for (kind, value), reply in found if reply != value))

    return Operation(commands, parse)


def write_large(name: str) -> Operation[Reply]:
    """Return the operation that writes 2 KB which are no text, as a cache does: one request, one command."""
    body = Encoded(bytes(range(256)) * 8)
    return Operation((("SET", f"{name}:large", body, "EX", LIFETIME),), only)


def read_large_and_count(name: str) -> Operation[SelfTestOutcome]:
    """Return the operation that reads and deletes that, and counts above 2**53: one request, four commands."""
    large, number = f"{name}:large", f"{name}:number"
    body = Encoded(bytes(range(256)) * 8)
    commands: tuple[Command, ...] = (
        ("GET", large),
        ("SET", number, str(_EXACT), "EX", LIFETIME),
        ("INCR", number),
        ("DEL", large, number),
    )

    def parse(replies: list[Reply]) -> SelfTestOutcome:
        large, _, number, _ = checked(replies)
        is_intact = large in (bytes(body), body.as_text().encode())
        return SelfTestOutcome((*(() if is_intact else ("large",)), *(() if number == _EXACT + 1 else ("integer",))))

    return Operation(commands, parse)


def run_script(capabilities: Capabilities, name: str) -> Operation[Any]:
    """Return the operation that runs a script which looks at one key and writes nothing; it returns 0."""
    return load("diagnostics/look").operation(capabilities, (f"{name}:script",), (), only, replay_safe=True)
