"""While the server is away, on_failure decides; no error leaves a decision."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from django_upstash.ratelimit import (
    Concurrency,
    FixedWindow,
    RateLimiter,
    Reason,
    SlidingWindow,
    TokenBucket,
    unavailable,
)
from tests.outages import find_back
from tests.ratelimit.conftest import MakeLimiter
from tests.servers import Server, start_valkey


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        yield int(bound.getsockname()[1])


@pytest.fixture
def gone(upstash: Any, route: str, closed_port: int, settings: Any) -> None:
    """Nobody listens where the route leads."""
    url = f"{'redis' if route == 'native' else 'http'}://127.0.0.1:{closed_port}"
    settings.UPSTASH = {route: {**upstash[route], "URL": url}}


@pytest.mark.usefixtures("gone")
def test_open__allows(open_limiter: MakeLimiter) -> None:
    decision = open_limiter(FixedWindow("1/h"), on_failure="open").hit("user:1")
    assert (decision.allowed, decision.reason, decision.remaining) == (True, Reason.UNAVAILABLE, 1)


@pytest.mark.usefixtures("gone")
def test_closed__denies(open_limiter: MakeLimiter) -> None:
    decision = open_limiter(FixedWindow("1/h"), on_failure="closed").hit("user:1")
    assert (decision.allowed, decision.reason, decision.retry_after) == (False, Reason.UNAVAILABLE, 1)


@pytest.mark.usefixtures("gone")
@pytest.mark.parametrize("policy", [FixedWindow("2/h"), SlidingWindow("2/h"), TokenBucket("2/h"), Concurrency(2)])
def test_local__limits_this_process(open_limiter: MakeLimiter, policy: Any) -> None:
    limiter = open_limiter(policy, on_failure="local")
    assert limiter.peek("user:1").remaining == 2
    decisions = [limiter.hit("user:1") for _ in range(3)]
    assert [decision.allowed for decision in decisions] == [True, True, False]
    assert decisions[2].retry_after > 0
    assert limiter.hit("user:2").allowed


@pytest.mark.usefixtures("gone")
def test_local__places_come_back(make_limiter: MakeLimiter) -> None:
    limiter = make_limiter(Concurrency(1), on_failure="local")
    for _ in range(3):
        with limiter.holding("user:1") as decision:
            assert decision.allowed


def test_local__places_come_back_without_redis(settings: Any) -> None:
    settings.UPSTASH = {}
    limiter = RateLimiter(Concurrency(1, scope="without redis"), on_failure="local")
    for _ in range(3):
        with limiter.holding("user:1") as decision:
            assert decision.allowed


def test_holding__outlasts_the_server(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    with start_valkey() as server:
        settings.UPSTASH = {"default": {"URL": server.url}}
        limiter = RateLimiter(Concurrency(1), on_failure="open")
        with caplog.at_level(logging.WARNING, "django_upstash.ratelimit"), limiter.holding("user:1") as decision:
            assert decision.reason is Reason.WITHIN_LIMITS
            server.stop()
        server.start()
    assert "A place under <RateLimiter default: default> is kept until its lease ends" in caplog.text


@pytest.mark.usefixtures("gone")
def test_policies__may_each_have_their_own_way(open_limiter: MakeLimiter) -> None:
    login = FixedWindow("5/h", scope="login", on_failure="closed")
    local, rest = FixedWindow("1/h", scope="local", on_failure="local"), FixedWindow("9/h", scope="rest")
    limiter = open_limiter([local, rest], on_failure="open")
    assert [limiter.hit("user:1").allowed for _ in range(2)] == [True, False]
    decision = open_limiter([login, rest], on_failure="open").hit("user:1")
    assert (decision.allowed, decision.violated) == (False, (login,))


@pytest.mark.usefixtures("gone")
def test_outage__is_one_attempt_a_second_and_one_line(
    make_limiter: MakeLimiter, caplog: pytest.LogCaptureFixture
) -> None:
    limiter = make_limiter(FixedWindow("1/h"), on_failure="open")
    received: list[Any] = []

    def note(error: Any, **ignored: Any) -> None:
        received.append(error)

    unavailable.connect(note)
    try:
        with caplog.at_level(logging.WARNING, "django_upstash.ratelimit"):
            assert all(limiter.hit("user:1").allowed for _ in range(20))
    finally:
        unavailable.disconnect(note)
    assert limiter.server.connection.meter.errors == 1
    assert len(received) == 20
    assert len(caplog.records) == 1


def test_outage__ends(settings: Any) -> None:
    with start_valkey() as server:
        settings.UPSTASH = {"default": {"URL": server.url}}
        limiter = RateLimiter(SlidingWindow("5/h"), on_failure="open")
        limiter.hit("user:1")
        server.stop()
        assert limiter.hit("user:1").reason is Reason.UNAVAILABLE
        server.start()
        find_back(limiter.server.connection)
        assert limiter.hit("user:1").reason is Reason.WITHIN_LIMITS


def test_paused_server__is_waited_for_no_longer_than_the_timeout(settings: Any) -> None:
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 0.05}
    with start_valkey() as server:
        settings.UPSTASH = {"default": {"URL": server.url, "TIMEOUT": 60}}
        limiter = RateLimiter(SlidingWindow("5/h"), on_failure="closed")
        assert limiter.server.connection.settings.timeout == 0.05
        assert limiter.server.connection.settings.connect_seconds == 0.05
        assert limiter.server.connection.settings.pool_seconds == 0.05
        server.pause()
        decision = limiter.hit("user:1")
        server.resume()
    assert (decision.allowed, decision.reason) == (False, Reason.UNAVAILABLE)


def test_refusing_server__is_as_one_that_is_away(open_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = open_limiter(SlidingWindow("5/h"), on_failure="local")
    limiter.hit("user:1")
    valkey.call("CONFIG", "SET", "maxmemory", "1")
    try:
        decision = limiter.hit("user:1")
    finally:
        valkey.call("CONFIG", "SET", "maxmemory", "0")
    assert decision.reason is Reason.UNAVAILABLE


def test_no_redis__follows_the_failure_policy(settings: Any) -> None:
    settings.UPSTASH = {}
    limiter = RateLimiter(FixedWindow("1/h", scope="without redis"), on_failure="local")
    assert [limiter.hit("user:1").allowed for _ in range(2)] == [True, False]


@pytest.mark.parametrize("value", ["open", "closed", "local"])
@pytest.mark.usefixtures("gone")
def test_setting__decides_where_the_limiter_does_not(make_limiter: MakeLimiter, settings: Any, value: str) -> None:
    settings.UPSTASH_RATELIMIT = {"ON_FAILURE": value}
    limiter = make_limiter(FixedWindow("1/h", scope=value))
    expected = {"open": [True, True], "closed": [False, False], "local": [True, False]}
    assert [limiter.hit("user:1").allowed for _ in range(2)] == expected[value]


def test_disabled__needs_no_server_and_counts_nothing(settings: Any) -> None:
    settings.UPSTASH = {}
    settings.UPSTASH_RATELIMIT = {"ENABLED": False, "STATISTICS": True}
    assert RateLimiter(FixedWindow("0/h")).hit("user:1").reason is Reason.DISABLED


def test_rules__are_obeyed_while_the_server_is_away_by_limiters_that_obey_them(settings: Any) -> None:
    with start_valkey() as server:
        settings.UPSTASH = {"default": {"URL": server.url}}
        limiter = RateLimiter(FixedWindow("9/h"), on_failure="open")
        limiter.block("user:1")
        assert limiter.hit("user:1").reason is Reason.BLOCKED
        server.stop()
        limiter.hit("user:2")
        assert limiter.hit("user:1").reason is Reason.BLOCKED
        assert RateLimiter(FixedWindow("9/h"), on_failure="open", rules=False).hit("user:1").allowed
