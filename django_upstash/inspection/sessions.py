"""
The sessions of a database: how many, how long they have left, how large they are, and whether they may be evicted.

Counting costs one SCAN for hundreds of keys; lifetime and size cost two commands a key, so they are asked for some.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django_upstash.exceptions import ResponseError
from django_upstash.inspection.server import server_info
from django_upstash.keys import glob_escape
from django_upstash.operations import Operation, Reply, checked, only

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_upstash.connections import Connection

SCAN_COUNT = 1000
MOST_SESSIONS = 10_000_000
_PER_REQUEST = 100
_NEVER_EVICTS = "noeviction"
_WITHOUT_TTL = -1
_GONE = -2


@dataclass
class SessionSurvey:
    """
    What was found. Lifetimes are in seconds, sizes in bytes of the bodies.

    ``eviction`` is the database's policy, None where it does not tell. ``is_complete`` is whether all were counted.
    """

    prefix: str
    count: int = 0
    is_complete: bool = True
    without_ttl: int = 0
    lifetimes: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    eviction: str | None = None

    @property
    def evicts(self) -> bool:
        return self.eviction not in (None, _NEVER_EVICTS)

    @property
    def measured(self) -> int:
        return len(self.sizes)

    def as_json(self) -> dict[str, Any]:
        return {
            "prefix": self.prefix,
            "sessions": self.count,
            "is_complete": self.is_complete,
            "measured": self.measured,
            "without_ttl": self.without_ttl,
            "ttl_seconds": spread(self.lifetimes),
            "bytes": spread(self.sizes),
            "eviction": self.eviction,
        }


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Return the least, the median and the most of some values, None of none."""
    if not values:
        return None
    return {"min": min(values), "median": round(statistics.median(values), 3), "max": max(values)}


def survey(
    connection: Connection, prefix: str, *, limit: int, sample: int, progress: Callable[[SessionSurvey], None]
) -> SessionSurvey:
    """Count the sessions with this prefix, up to about ``limit``, and measure so many of them."""
    found = SessionSurvey(prefix)
    names: list[bytes] = []
    cursor = "0"
    while True:
        cursor, page = connection.run(_page(prefix, cursor))
        found.count += len(page)
        names += page[: max(0, sample - len(names))]
        progress(found)
        if cursor == "0" or found.count >= limit:
            break
    found.is_complete = cursor == "0"
    for start in range(0, len(names), _PER_REQUEST):
        connection.run(_lifetimes_and_sizes(found, names[start : start + _PER_REQUEST]))
    found.eviction = _eviction_policy(connection)
    return found


def _page(prefix: str, cursor: str) -> Operation[tuple[str, list[bytes]]]:
    def parse(replies: list[Reply]) -> tuple[str, list[bytes]]:
        next_cursor, names = only(replies)
        return next_cursor.decode(), names

    scanning = ("SCAN", cursor, "MATCH", f"{glob_escape(prefix)}:*", "COUNT", str(SCAN_COUNT))
    return Operation((scanning,), parse)


def _lifetimes_and_sizes(found: SessionSurvey, names: Sequence[bytes]) -> Operation[None]:
    commands = [command for name in names for command in (("PTTL", name), ("STRLEN", name))]

    def parse(replies: list[Reply]) -> None:
        answers = iter(replies)
        for lifetime, size in zip(answers, answers, strict=True):
            if isinstance(size, ResponseError) or lifetime == _GONE:
                continue  # no session, or gone since
            only_lifetime, only_size = checked([lifetime, size])
            found.sizes.append(only_size)
            if only_lifetime == _WITHOUT_TTL:
                found.without_ttl += 1
            else:
                found.lifetimes.append(only_lifetime / 1000)

    return Operation(commands, parse)


def _eviction_policy(connection: Connection) -> str | None:
    try:
        return connection.run(server_info(connection.settings.database)).eviction_policy
    except ResponseError:  # a user or a server that does not tell
        return None
