"""The queues of a database and what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from django_upstash.connections import Connection
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.key_scan import pages
from django_upstash.queues.clocks import clock_of
from django_upstash.queues.keys import QueueKeys, pattern, queue_name
from django_upstash.queues.operations import QueueStats, stats


class FoundQueue(NamedTuple):
    name: str
    stats: QueueStats


def found_names(connection: Connection, most: int) -> Iterator[str]:
    """Yield the names of queues that have keys, each once, after looking at pages of the whole database."""
    queues = Kind(pattern(), lambda key: queue_name(key) is not None and ":id:" not in key)
    seen: set[str] = set()
    for found in pages(connection.run, queues):
        for name in sorted(filter(None, map(queue_name, found.keys))):
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
