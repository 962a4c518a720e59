"""Whether a server is worth asking: told by what its callers met with, and tried by one of them per pause."""

from __future__ import annotations

import pytest
import redis

from django_upstash import exceptions
from django_upstash.availability import Availability
from django_upstash.conf import make_settings
from django_upstash.connections import Connection
from django_upstash.operations import command
from tests.servers import Server
from tests.wire import FaultProxy


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def availability(clock: Clock) -> Availability:
    return Availability(pause=1.0, clock=clock)


def test_availability__is_up_until_something_fails(availability: Availability) -> None:
    assert availability.is_up
    assert [availability.may_ask() for _ in range(3)] == [True] * 3


@pytest.mark.parametrize("error", [redis.ResponseError("OOM"), redis.DataError("x"), ValueError("x")])
def test_failed__what_a_server_or_nobody_said_is_no_outage(availability: Availability, error: Exception) -> None:
    availability.failed(error, 100.0)
    assert availability.is_up


@pytest.mark.parametrize("error", [exceptions.TimeoutError("x"), exceptions.ServiceUnavailableError("x")])
def test_may_ask__one_caller_per_pause(availability: Availability, clock: Clock, error: Exception) -> None:
    availability.failed(error, 100.0)
    assert [availability.may_ask() for _ in range(3)] == [False] * 3
    for _ in range(3):
        clock.now += 1.0
        # The next one tries whether or not the one before has its answer yet.
        assert [availability.may_ask() for _ in range(3)] == [True, False, False]
        availability.failed(error, clock.now)


def test_answered__ends_it_for_everybody(availability: Availability) -> None:
    availability.failed(exceptions.TimeoutError("x"), 100.0)
    availability.answered()
    assert availability.is_up
    assert availability.may_ask()


def test_failed__what_was_sent_before_the_return_says_nothing(availability: Availability, clock: Clock) -> None:
    availability.failed(exceptions.TimeoutError("x"), 100.0)
    clock.now = 103.0
    availability.answered()
    availability.failed(exceptions.TimeoutError("x"), 102.0)
    assert availability.is_up
    availability.failed(exceptions.TimeoutError("x"), 103.5)
    assert not availability.is_up


def test_connection__tells_its_own(valkey: Server) -> None:
    with FaultProxy(valkey.port) as proxy:
        connection = Connection(make_settings("x", {"URL": proxy.url, "RETRIES": 0}))
        connection.run(command("PING"))
        proxy.close_before_reply()
        with pytest.raises(exceptions.ConnectionError):
            connection.run(command("PING"))
        assert connection.availability.may_ask() is False
        connection.run(command("PING"))
        assert connection.availability.is_up
        connection.close()
