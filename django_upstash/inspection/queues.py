"""The queues of a database and what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from django_upstash.connections import Connection
from django_upstash.queues.clocks import clock_of
from django_upstash.queues.keys import PATTERN, QueueKeys, queue_name
from django_upstash.queues.operations import QueueStats, stats
from django_upstash.sweeps import START, Kind, page

_QUEUES = Kind(PATTERN, lambda key: queue_name(key) is not None and ":id:" not in key)


class FoundQueue(NamedTuple):
    name: str
    stats: QueueStats


def found_names(connection: Connection, most: int) -> Iterator[str]:
    """Yield the names of queues that have keys, each once, after looking at pages of the whole database."""
    seen: set[str] = set()
    cursor: str | None = START
    while cursor is not None:
        keys, cursor = connection.run(page(_QUEUES, cursor))
        for name in sorted(filter(None, map(queue_name, keys))):
            if name not in seen:
                seen.add(name)
                yield name
            if len(seen) >= most:
                return


def look(connection: Connection, name: str) -> FoundQueue:
    """Return what is in a queue, in one request."""
    keys = QueueKeys(name)
    found = clock_of(connection).timed(lambda now: stats(connection.capabilities, keys, now))
    return FoundQueue(name, connection.run(found))
