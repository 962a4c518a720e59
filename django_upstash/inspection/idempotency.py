"""
The idempotency keys of a database: how many, in which state, how long they have left, and how large they are.

Counting costs one SCAN for hundreds of keys; what is known of one costs three commands, so that is asked for some.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django_upstash.exceptions import ResponseError
from django_upstash.idempotency.keys import PREFIX
from django_upstash.idempotency.records import DONE, IN_PROGRESS
from django_upstash.inspection.sessions import spread
from django_upstash.keys import glob_escape, percent_encoded
from django_upstash.operations import Command, Operation, Reply, checked, only

if TYPE_CHECKING:
    from django_upstash.connections import Connection

MOST_KEYS = 10_000_000
_SCAN_COUNT = 1000
_PER_REQUEST = 100
_GONE = -2
_WITHOUT_TTL = -1
_STATES = {DONE: "done", IN_PROGRESS: "in_progress"}


@dataclass
class IdempotencySurvey:
    """What was found. Lifetimes are in seconds, sizes in bytes; ``is_complete`` is whether all were counted."""

    tenant: str | None
    count: int = 0
    is_complete: bool = True
    states: Counter[str] = field(default_factory=Counter)
    without_ttl: int = 0
    lifetimes: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @property
    def measured(self) -> int:
        return self.states.total()

    def as_json(self) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "keys": self.count,
            "is_complete": self.is_complete,
            "measured": self.measured,
            "states": {name: self.states[name] for name in ("in_progress", "done", "foreign")},
            "without_ttl": self.without_ttl,
            "ttl_seconds": spread(self.lifetimes),
            "bytes": spread(self.sizes),
        }


def survey(
    connection: Connection,
    tenant: str | None,
    *,
    limit: int,
    sample: int,
    progress: Callable[[IdempotencySurvey], None],
) -> IdempotencySurvey:
    """Count the keys of a tenant, or of all, up to about ``limit``, and look closely at so many of them."""
    found = IdempotencySurvey(tenant)
    seen: dict[bytes, None] = {}  # SCAN may name a key twice
    cursor = "0"
    while True:
        cursor, page = connection.run(_page(tenant, cursor))
        seen.update(dict.fromkeys(page))
        found.count = len(seen)
        progress(found)
        if cursor == "0" or found.count >= limit:
            break
    found.is_complete = cursor == "0"
    names = list(seen)[:sample]
    for start in range(0, len(names), _PER_REQUEST):
        connection.run(_close_look(found, names[start : start + _PER_REQUEST]))
    return found


def _page(tenant: str | None, cursor: str) -> Operation[tuple[str, list[bytes]]]:
    def parse(replies: list[Reply]) -> tuple[str, list[bytes]]:
        next_cursor, names = only(replies)
        return next_cursor.decode(), names

    part = "*" if tenant is None else glob_escape(percent_encoded(tenant))
    return Operation((("SCAN", cursor, "MATCH", f"{PREFIX}:{part}:*", "COUNT", str(_SCAN_COUNT)),), parse)


def _close_look(found: IdempotencySurvey, names: Sequence[bytes]) -> Operation[None]:
    commands: list[Command] = []
    for name in names:
        commands += [("GETRANGE", name, "0", "1"), ("PTTL", name), ("STRLEN", name)]

    def parse(replies: list[Reply]) -> None:
        answers = iter(replies)
        for beginning, lifetime, size in zip(answers, answers, answers, strict=True):
            if lifetime == _GONE:
                continue
            if isinstance(beginning, ResponseError):  # of another type, which no key here has
                found.states["foreign"] += 1
                continue
            _add(found, *checked([beginning, lifetime, size]))

    return Operation(commands, parse)


def _add(found: IdempotencySurvey, beginning: bytes, lifetime: int, size: int) -> None:
    letter, separator = beginning[:1], beginning[1:]
    found.states[_STATES.get(letter, "foreign") if separator == b":" else "foreign"] += 1
    found.sizes.append(size)
    if lifetime == _WITHOUT_TTL:
        found.without_ttl += 1
    else:
        found.lifetimes.append(lifetime / 1000)
