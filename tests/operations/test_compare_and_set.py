"""A value is stored where nobody has been faster, however the server compares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from django_upstash.connections import Connection
from django_upstash.operations import Operation, checked
from django_upstash.operations.capabilities import Capabilities
from django_upstash.operations.compare_and_set import SET_IFEQ, Swap, compare_and_set, compare_digest_and_set

Way: TypeAlias = Callable[[Capabilities, Swap], Operation[Any]]

routes = pytest.mark.parametrize("route", ["native", "rest"])
ways = pytest.mark.parametrize("way", [compare_and_set, compare_digest_and_set])
comparing = pytest.mark.parametrize("compares", [True, False], ids=["SET IFEQ", "by script"])


def run(connection: Connection, way: Way, swap: Swap, *, compares: bool = True) -> object:
    if not compares:
        connection.capabilities.lacks.add(SET_IFEQ)
    return connection.run(way(connection.capabilities, swap))


@routes
@comparing
@ways
def test_value__is_stored_where_nothing_has_changed(connection: Connection, way: Way, compares: bool) -> None:
    redis = connection.redis
    redis.set("key", "before", px=60_000)
    assert run(connection, way, Swap("key", b"before", b"after", ("KEEPTTL",)), compares=compares) is True
    assert redis.get("key") == b"after"
    assert 0 < redis.pttl("key") <= 60_000


@routes
@comparing
@ways
def test_value__stays_where_it_has_changed_and_is_returned(connection: Connection, way: Way, compares: bool) -> None:
    connection.redis.set("key", "another's")
    assert run(connection, way, Swap("key", b"before", b"after"), compares=compares) == b"another's"
    assert connection.redis.get("key") == b"another's"
    assert run(connection, way, Swap("gone", b"before", b"after"), compares=compares) is None


@ways
def test_value_that_has_changed__is_not_sent_where_nobody_reads_it(connection: Connection, way: Way) -> None:
    connection.redis.set("key", "another's")
    assert run(connection, way, Swap("key", b"before", b"after", reads=False)) is None


@routes
@comparing
def test_commands_along__tell_the_result(connection: Connection, compares: bool) -> None:
    connection.redis.set("key", "before")
    swap = Swap("key", b"before", b"after", along=(("INCRBY", "other", "7"),), result=lambda told: ["stored", *told])
    assert run(connection, compare_and_set, swap, compares=compares) == ["stored", 7]


@ways
def test_options__are_those_of_set(connection: Connection, way: Way) -> None:
    connection.redis.set("key", "before")
    run(connection, way, Swap("key", b"before", b"after", ("PX", "60000")))
    stored, left = connection.run(Operation((("GET", "key"), ("PTTL", "key")), checked))
    assert stored == b"after"
    assert 0 < left <= 60_000
