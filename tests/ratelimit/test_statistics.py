"""Allowed and denied, by scope and time, for a tenth of a command for each decision."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from django_upstash.ratelimit import RateLimiter, SlidingWindow
from tests.ratelimit.conftest import MakeLimiter
from tests.servers import Counts, Server


def billed(counted: Counts) -> int:
    """Count the commands, but for those by which the local REST server finds out what a script runs."""
    return sum(counted.by_command[name] for name in ("evalsha", "eval", "mget", "get", "set"))


def let_time_pass(limiter: Any) -> None:
    tallies = limiter.server.memory.tallies
    for tenant in tallies._written_at:
        tallies._written_at[tenant] -= 60


def test_statistics__tell_who_was_denied_most(open_limiter: MakeLimiter) -> None:
    limiter = open_limiter([SlidingWindow("3/h", scope="a b"), SlidingWindow("9/h", scope="c")], statistics=True)
    for _ in range(5):
        limiter.hit("user:1")
    for _ in range(4):
        limiter.hit("ann@example.com")
    limiter.write_statistics()
    limiter.hit("user:2")
    limiter.write_statistics()
    limiter.write_statistics()

    one, other = sorted(limiter.statistics(), key=lambda scope: str(scope.scope))
    assert (one.scope, one.allowed, one.denied) == ("a b", 7, 3)
    assert (other.scope, other.allowed, other.denied, other.top_denied) == ("c", 7, 0, {})
    assert list(one.top_denied.values()) == [2, 1]
    assert one.top_denied["user:1"] == 2
    assert "ann@example.com" not in str(one)


def test_statistics__cost_a_tenth_of_a_command(open_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = open_limiter(SlidingWindow("100000/h"), statistics=True, rules=False)
    plain = open_limiter(SlidingWindow("100000/h"), rules=False)
    limiter.hit("user:1")
    limiter.write_statistics()
    with valkey.counting() as counted:
        for _ in range(300):
            plain.hit("user:1")
    without = billed(counted)
    requests = limiter.server.connection.meter.requests
    with valkey.counting() as counted:
        for _ in range(300):
            let_time_pass(limiter)
            limiter.hit("user:1")
    assert 0 < billed(counted) - without <= 30
    assert limiter.server.connection.meter.requests - requests == 300


def test_statistics__are_written_where_the_server_has_not_seen_the_script(
    open_limiter: MakeLimiter, valkey: Server
) -> None:
    limiter = open_limiter(SlidingWindow("100000/h"), statistics=True)
    for _ in range(40):
        limiter.hit("user:1")
        let_time_pass(limiter)
    assert sum(scope.allowed for scope in limiter.statistics()) >= 30
    keys = valkey.call("KEYS", "ratelimit-stats:*")
    assert all(0 < int(valkey.call("TTL", key)) <= 7 * 86400 for key in keys)
    assert keys


def test_statistics__of_nobody(open_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = open_limiter(SlidingWindow("9/h"))
    for _ in range(40):
        limiter.hit("user:1")
    limiter.write_statistics()
    assert limiter.statistics(7200) == []
    assert valkey.call("KEYS", "ratelimit-stats:*") == []


def test_statistics__keep_the_fifty_largest(make_limiter: MakeLimiter, valkey: Server) -> None:
    limiter: RateLimiter = make_limiter(SlidingWindow("0/h"), statistics=True)
    for number in range(120):
        for _ in range(1 + (number == 77) * 5):
            limiter.hit(f"user:{number}")
    limiter.write_statistics()
    (scope,) = limiter.statistics()
    assert (scope.denied, len(scope.top_denied)) == (125, 50)
    assert next(iter(scope.top_denied)) == "user:77"


@pytest.mark.parametrize("stored", ["nonsense", "\n\n", "denied/x many\n"])
def test_statistics__pass_over_what_somebody_else_stored(
    make_limiter: MakeLimiter, valkey: Server, stored: str
) -> None:
    limiter = make_limiter(SlidingWindow("9/h", scope="s"), statistics=True)
    limiter.hit("user:1")
    limiter.write_statistics()
    (key,) = valkey.call("KEYS", "ratelimit-stats:*")
    valkey.call("SET", key, stored)
    assert limiter.statistics() == []
    limiter.hit("user:1")
    limiter.write_statistics()
    assert [scope.allowed for scope in limiter.statistics()] == [1]


def test_statistics__charge_a_denial_to_the_policy_that_refused(open_limiter: MakeLimiter) -> None:
    limiter = open_limiter(
        [SlidingWindow("100/h", scope="hour"), SlidingWindow("2/min", scope="minute")], statistics=True
    )
    for _ in range(5):
        limiter.hit("user:1")
    limiter.write_statistics()
    found = {one.scope: (one.allowed, one.denied, one.top_denied) for one in limiter.statistics()}
    assert found == {"hour": (2, 0, {}), "minute": (2, 3, {"user:1": 3})}
    assert [(one.allowed, one.denied) for one in limiter.totals()] == [(2, 3)]


@pytest.mark.parametrize("reason", ["cost above limit", "blocked"])
def test_statistics__of_what_no_counter_refused(make_limiter: MakeLimiter, reason: str) -> None:
    limiter = make_limiter([SlidingWindow("9/h", scope="a"), SlidingWindow("2/h", scope="b")], statistics=True)
    if reason == "blocked":
        limiter.block("user:1")
    decision = limiter.hit({"a": "user:2", "b": "user:1"}, 5 if reason == "cost above limit" else 1)
    assert decision.reason == reason
    limiter.write_statistics()
    assert [(one.scope, one.allowed, one.denied) for one in limiter.statistics()] == [("b", 0, 1)]
    assert [(one.allowed, one.denied) for one in limiter.totals()] == [(0, 1)]


def test_totals__awaited(make_limiter: MakeLimiter) -> None:
    limiter = make_limiter([SlidingWindow("1/h", scope="a"), SlidingWindow("1/h", scope="b")], statistics=True)

    async def count() -> None:
        for _ in range(3):
            await limiter.ahit("user:1")
        await limiter.awrite_statistics()
        assert [(one.allowed, one.denied) for one in await limiter.atotals()] == [(1, 2)]
        assert {one.scope: one.denied for one in await limiter.astatistics()} == {"a": 2, "b": 2}

    asyncio.run(count())


def test_totals__of_an_earlier_version_are_those_of_its_scopes(make_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = make_limiter(SlidingWindow("9/h", scope="s"), statistics=True)
    limiter.hit("user:1")
    limiter.write_statistics()
    (key,) = valkey.call("KEYS", "ratelimit-stats:*")
    valkey.call("SET", key, "allowed/s 4\ndenied/s 3\ntop/s/user:1 3\n")
    assert [(one.allowed, one.denied) for one in limiter.totals()] == [(4, 3)]
    assert [(one.allowed, one.denied, one.top_denied) for one in limiter.statistics()] == [(4, 3, {"user:1": 3})]


def test_totals__are_lines_that_an_earlier_version_passes_over(make_limiter: MakeLimiter, valkey: Server) -> None:
    earlier = re.compile(r"^(allowed|denied|top)/([^/\s]+)(?:/(\S+))? (\d{1,15})$", re.ASCII | re.MULTILINE)
    limiter = make_limiter(SlidingWindow("1/h", scope="s"), statistics=True)
    limiter.hit("user:1")
    limiter.hit("user:1")
    limiter.write_statistics()
    (key,) = valkey.call("KEYS", "ratelimit-stats:*")
    found = earlier.findall(valkey.call("GET", key).decode())
    assert sorted(found) == [("allowed", "s", "", "1"), ("denied", "s", "", "1"), ("top", "s", "user:1", "1")]
