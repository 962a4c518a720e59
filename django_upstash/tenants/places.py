"""
Where a tenant's keys are. Several aliases may lead to one database, whose keys are then counted once.

Hosts of Upstash tell databases apart by their names, over REST and over TLS alike. Other servers are asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from django_upstash.connections import Connection
from django_upstash.operations import Operation, Reply
from django_upstash.operations.key_kind import Kind
from django_upstash.settings.hosts import is_upstash

_RUN = re.compile(rb"^run_id:(\w+)", re.MULTILINE)
Database = tuple[str, int]


class UsagePlace(NamedTuple):
    """One kind of a tenant's keys, and the connection they are on."""

    name: str
    connection: Connection
    kind: Kind


def ambiguous(places: Sequence[UsagePlace]) -> list[Connection]:
    """Return the connections that may lead to one database, and to the same keys in it."""
    on: dict[str, dict[Connection, None]] = {}
    for place in places:
        on.setdefault(place.kind.pattern, {})[place.connection] = None
    return list(dict.fromkeys(one for connections in on.values() if len(connections) > 1 for one in connections))


def database_of(connection: Connection) -> Operation[Database]:
    """Return the operation that tells which database a connection leads to, in one command; none for Upstash's."""
    settings = connection.settings
    if is_upstash(settings.parts.hostname):
        return Operation((), lambda _: _address(connection))

    def parse(replies: list[Reply]) -> Database:
        match = _RUN.search(replies[0]) if isinstance(replies[0], bytes) else None
        return _address(connection) if match is None else (match[1].decode(), settings.database)

    return Operation((("INFO", "server"),), parse)


def without_doubles(places: Sequence[UsagePlace], databases: Mapping[Connection, Database]) -> list[UsagePlace]:
    """Return the places without those that are the same keys of one database; their names are joined."""
    found: dict[tuple[str, Database], UsagePlace] = {}
    for place in places:
        where = place.kind.pattern, databases.get(place.connection) or _address(place.connection)
        first = found.get(where)
        names = [] if first is None else first.name.split(", ")
        if first is None:
            found[where] = place
        elif place.name not in names:
            found[where] = first._replace(name=", ".join([*names, place.name]))
    return list(found.values())


def _address(connection: Connection) -> Database:
    settings = connection.settings
    host = settings.parts.hostname
    return (host or "") if is_upstash(host) else settings.safe_url, settings.database
