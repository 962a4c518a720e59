"""Breakers as an operator sees and forces them."""

from __future__ import annotations

from typing import Any

import pytest

from django_upstash.breaker import CircuitBreaker, CircuitOpen, State
from django_upstash.breaker.report import force_breaker, read_breakers, release_breaker
from django_upstash.connections import Connection
from tests.servers import Server


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def breaker(upstash: Any, route: str) -> CircuitBreaker:
    return CircuitBreaker("stripe", alias=route, failure_threshold=1, redis_timeout=20, timeout=3600)


def test_read_breakers__none(connection: Connection, breaker: CircuitBreaker) -> None:
    assert read_breakers(connection) == []


def test_read_breakers__shows_the_next_probe(connection: Connection, breaker: CircuitBreaker) -> None:
    with pytest.raises(ZeroDivisionError), breaker:
        raise ZeroDivisionError
    (found,) = read_breakers(connection)
    assert (found.name, found.state, found.opens, found.forced_for) == ("stripe", State.OPEN, 1, None)
    assert found.next_probe is not None
    assert 3500 < found.next_probe <= 3600
    assert found.opened_at == breaker.stats.opened_at


def test_read_breakers__costs_three_commands(
    connection: Connection, breaker: CircuitBreaker, valkey: Server, route: str
) -> None:
    breaker.force_open()
    read_breakers(connection)
    with valkey.counting() as counted:
        read_breakers(connection)
    assert counted.by_command == {"zrange": 1, "time": 1, "mget": 1}


def test_force_breaker__and_release(connection: Connection, breaker: CircuitBreaker) -> None:
    forced = force_breaker(connection, "stripe", State.FORCED_OPEN, 60)
    assert forced.forced_for is not None
    assert 59 < forced.forced_for <= 60
    assert breaker.read().state is State.FORCED_OPEN
    with pytest.raises(CircuitOpen):
        breaker.call(int)
    assert release_breaker(connection, "stripe").state is State.CLOSED
    assert breaker.read().state is State.CLOSED
    assert breaker.call(int) == 0


def test_force_breaker__to_what_cannot_be_forced(connection: Connection) -> None:
    with pytest.raises(ValueError, match="can be forced to FORCED_OPEN"):
        force_breaker(connection, "stripe", State.HALF_OPEN)
    with pytest.raises(ValueError, match="between 0 and one year"):
        force_breaker(connection, "stripe", State.FORCED_OPEN, -1)


def test_index__forgets_records_that_have_ended(
    connection: Connection, breaker: CircuitBreaker, valkey: Server
) -> None:
    breaker.force_open()
    valkey.call("ZADD", "breakers", "1", "long%20ago")
    assert [found.name for found in read_breakers(connection)] == ["stripe"]
    breaker.release()
    assert valkey.call("ZRANGE", "breakers", "0", "-1") == [b"stripe"]
