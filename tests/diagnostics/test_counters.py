"""Counters found among all keys, and judged by the policies that are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_upstash.diagnostics.admin_connection import AdminConnection, admin_connection
from django_upstash.exceptions import ServerAwayError, UpstashError
from django_upstash.operations import Operation
from django_upstash.ratelimit import Concurrency, FixedWindow, RateLimiter, SlidingWindow, TokenBucket
from django_upstash.ratelimit.policy_registry import catalogue
from django_upstash.ratelimit.report import changes
from django_upstash.ratelimit.report.counters import ENOUGH, CounterStanding, Search, find, lifetimes, named, read
from django_upstash.ratelimit.server import memory_for
from tests.servers import start_valkey

POLICIES = [
    FixedWindow("4/h", scope="window"),
    SlidingWindow("5/h", scope="ring"),
    TokenBucket("1/h", burst=3, scope="bucket"),
    Concurrency(9, scope="leases"),
]


@pytest.fixture(autouse=True)
def _patience(settings: Any) -> Iterator[None]:
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}
    catalogue.clear()
    yield
    catalogue.clear()


@pytest.fixture(params=["native", "rest"])
def connection(request: pytest.FixtureRequest, upstash: dict[str, dict[str, Any]]) -> AdminConnection:
    return admin_connection(str(request.param), 20)


@pytest.fixture
def limiter(connection: AdminConnection) -> RateLimiter:
    return RateLimiter(POLICIES, alias=connection.alias)


def found(connection: AdminConnection, search: Search, pages: int = 20) -> list[str]:
    return [
        f"{one.scope} {one.identity}"
        for one in find(connection.spending, memory_for(connection.alias), search, pages, 20).stored
    ]


def test_named__is_what_this_package_writes() -> None:
    stored = named("ratelimit:acme%20inc:few:user:1")
    assert stored is not None
    assert (stored.tenant, stored.scope, stored.identity) == ("acme inc", "few", "user:1")
    others = ["ratelimit:a:b", "ratelimit:a:b:", "ratelimit::b:c", "ratelimit:a%2f:b:c", "ratelimit-rules:a", 7, None]
    assert [name for name in others if named(name) is not None] == []


@pytest.mark.parametrize("cursor", ["", "-1", "x", "1" * 21, "0\n"])
def test_search__refuses_what_is_no_cursor(cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        Search(cursor=cursor)


def test_judged__is_what_the_limiter_says(connection: AdminConnection, limiter: RateLimiter) -> None:
    for _ in range(3):
        limiter.hit("user:1")
    said = {outcome.scope: outcome for outcome in limiter.peek("user:1").outcomes}
    reading = connection.spending.run(read(memory_for(connection.alias), Search(identity="user:1").names))
    assert {counter.stored.scope: counter.remaining for counter in reading.counters} == {
        scope: outcome.remaining for scope, outcome in said.items()
    }
    standings = {counter.stored.scope: counter.standing for counter in reading.counters}
    assert standings == {
        "window": CounterStanding.BELOW,
        "ring": CounterStanding.BELOW,
        "bucket": CounterStanding.AT_LIMIT,
        "leases": CounterStanding.BELOW,
    }
    limits = {counter.stored.scope: (counter.used, counter.limit, counter.share) for counter in reading.counters}
    assert limits["window"] == (3, 4, 0.75)


def test_judged__follows_the_rules(connection: AdminConnection, limiter: RateLimiter) -> None:
    for name in ("user:1", "user:2", "user:3"):
        limiter.hit(name)
    connection.spending.run(changes.set_limit(memory_for(connection.alias), "default", "window", 1, "user:1"))
    connection.spending.run(changes.block(memory_for(connection.alias), "default", ["user:2"], 60))
    limiter.allow("user:3")
    names = [one for name in ("user:1", "user:2", "user:3") for one in Search(scope="window", identity=name).names]
    first, second, third = connection.spending.run(read(memory_for(connection.alias), names)).counters
    assert (first.standing, first.limit) == (CounterStanding.AT_LIMIT, 1)
    assert second.standing is CounterStanding.BLOCKED
    assert second.listed_for is not None
    assert 0 < second.listed_for <= 60
    assert (third.standing, third.listed_for) == (CounterStanding.EXEMPT, None)
    connection.spending.run(changes.unblock(memory_for(connection.alias), "default", ["user:2"]))
    connection.spending.run(changes.set_limit(memory_for(connection.alias), "default", "window", None, "user:1"))
    again = connection.spending.run(read(memory_for(connection.alias), names)).counters
    assert [counter.standing for counter in again] == [
        CounterStanding.BELOW,
        CounterStanding.BELOW,
        CounterStanding.EXEMPT,
    ]


def test_set_limit__refuses_what_the_policy_cannot_have(connection: AdminConnection, limiter: RateLimiter) -> None:
    for scope, limit in (("leases", 10_001), ("window", -1), ("unknown", 5)):
        with pytest.raises(ValueError, match=r"must be|No limiter"):
            changes.set_limit(memory_for(connection.alias), "default", scope, limit)


def test_unknown_policy__tells_what_is_stored_and_when_it_ends(
    connection: AdminConnection, limiter: RateLimiter
) -> None:
    limiter.hit("user:1")
    names = Search(scope="ring", identity="user:1").names
    catalogue.clear()
    (counter,) = connection.spending.run(read(memory_for(connection.alias), names)).counters
    assert (counter.standing, counter.algorithm, counter.used) == (CounterStanding.UNKNOWN, "sliding", 1)
    assert (counter.limit, counter.share, counter.reset_after) == (None, None, None)
    (ending,) = connection.spending.run(lifetimes([counter]))
    assert ending.reset_after is not None
    assert ending.reset_after > 3500


def test_find__by_name_by_beginning_and_by_scope(connection: AdminConnection, limiter: RateLimiter) -> None:
    for name in ("user:1", "user:12", "user:2", "ann@example.com"):
        limiter.hit(name)
    window = [f"window user:{number}" for number in (1, 12, 2)]
    assert sorted(found(connection, Search(scope="window", identity="user:*"))) == window
    assert sorted(found(connection, Search(scope="window", identity="user:1*"))) == window[:2]
    assert found(connection, Search(scope="window", identity="user:2")) == window[2:]
    assert found(connection, Search(scope="window", identity="user:2", everywhere=True)) == window[2:]
    assert len(found(connection, Search(identity="ann@example.com", everywhere=True))) == len(POLICIES)
    assert len(found(connection, Search())) == 4 * len(POLICIES)
    assert found(connection, Search(tenant="acme")) == []


def test_find__stops_after_pages_and_after_enough(connection: AdminConnection) -> None:
    redis = connection.spending.connection.redis
    redis.mset({f"neighbour:{number}": "" for number in range(3000)})
    assert find(connection.spending, memory_for(connection.alias), Search(), 2, 20).pages == 2
    redis.flushdb()
    redis.mset({f"ratelimit:default:few:user:{number}": "" for number in range(4000)})
    some = find(connection.spending, memory_for(connection.alias), Search(), 20, 20)
    assert ENOUGH <= len(some.stored) < 4000
    rest = find(connection.spending, memory_for(connection.alias), Search(cursor=some.cursor), 1, 20)
    assert {one.key for one in some.stored}.isdisjoint(one.key for one in rest.stored)


def test_spending__counts_every_round_trip(connection: AdminConnection) -> None:
    def follow(_: Any) -> Any:
        return Operation((("GET", "a"), ("GET", "b")), len)

    assert connection.spending.run(Operation((("PING",),), follow)) == 2
    assert (connection.spending.requests, connection.spending.commands) == (2, 3)
    assert connection.spending.run(Operation((), lambda replies: "known")) == "known"
    assert (connection.spending.requests, connection.spending.commands) == (2, 3)


def test_spending__leaves_a_server_alone_that_is_away_unless_somebody_asked(settings: Any) -> None:
    ping = Operation((("PING",),), len)
    with start_valkey() as server:
        settings.UPSTASH = {"default": {"URL": server.url}}
        asked, automatic = (
            admin_connection("default", 5).spending,
            admin_connection("default", 5, is_automatic=True).spending,
        )
        assert automatic.run(ping) == 1
        automatic.connection.availability.pause = 3600.0
        server.stop()
        for _ in range(2):  # the connection in use breaks, which is no outage; a new one cannot be opened
            with pytest.raises(UpstashError):
                automatic.run(ping)
        failed = automatic.connection.meter.errors
        with pytest.raises(ServerAwayError):
            automatic.run(ping)
        assert automatic.connection.meter.errors == failed
        server.start()
        assert asked.run(ping) == 1
        assert automatic.run(ping) == 1
