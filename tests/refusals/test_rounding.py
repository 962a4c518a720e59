"""A REST server whose integers pass through a double: what is decided by counters holds all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from django_upstash.exceptions import ProtocolError
from django_upstash.locks import Lock
from django_upstash.ratelimit import FixedWindow, Quota, RateLimiter, Reason
from tests.rest_fronts import RestFront
from tests.servers import Server


@pytest.fixture
def front(local_server: LocalServer, valkey: Server, settings: Any) -> Iterator[RestFront]:
    valkey.call("FLUSHALL")
    with RestFront(local_server, rounds_integers=True, refuses_raw_bodies=True) as front:
        settings.UPSTASH = {"default": {**front.settings, "TIMEOUT": 20}}
        settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}
        yield front
        connections.close_all()


@pytest.mark.usefixtures("front")
@pytest.mark.parametrize("policy", [FixedWindow("3/h", scope="w"), Quota(3, "month", scope="q")])
def test_window__admits_its_limit(policy: Any) -> None:
    limiter = RateLimiter(policy)
    found = [limiter.hit("user:1") for _ in range(8)]
    assert [decision.allowed for decision in found] == [True] * 3 + [False] * 5
    assert [decision.remaining for decision in found[:4]] == [2, 1, 0, 0]
    assert {decision.reason for decision in found} == {Reason.WITHIN_LIMITS, Reason.LIMITED}


@pytest.mark.usefixtures("front")
@pytest.mark.parametrize("limit", [127, 128, 129, 300])
def test_window__admits_its_limit_whatever_is_rounded(limit: int) -> None:
    limiter = RateLimiter(FixedWindow(f"{limit}/h", scope="many"))
    assert sum(limiter.hit("user:1").allowed for _ in range(limit + 20)) == limit


@pytest.mark.usefixtures("front")
def test_window__awaited() -> None:
    limiter = RateLimiter(FixedWindow("3/h", scope="a"))

    async def hits() -> list[bool]:
        return [(await limiter.ahit("user:1")).allowed for _ in range(8)]

    assert asyncio.run(hits()) == [True] * 3 + [False] * 5


def test_window__where_another_process_began_it(front: RestFront, settings: Any) -> None:
    limiter = RateLimiter(FixedWindow("3/h", scope="shared"))
    assert [limiter.hit("user:1").allowed for _ in range(2)] == [True] * 2
    connections.close_all()  # and what they remember with them
    assert [limiter.hit("user:1").allowed for _ in range(3)] == [True, False, False]


def test_exact_server__is_proven_by_its_first_reply(local_server: LocalServer, valkey: Server, settings: Any) -> None:
    valkey.call("FLUSHALL")
    settings.UPSTASH = {"default": {"URL": local_server.url, "TOKEN": local_server.token}}
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}
    limiter = RateLimiter(FixedWindow("300/h", scope="exact"))
    limiter.hit("user:1")
    capabilities = limiter.server.connection.capabilities
    assert capabilities.is_exact(2**60)
    meter = limiter.server.connection.meter
    before = meter.commands
    assert all(limiter.hit("user:1").allowed for _ in range(299))
    assert meter.commands - before <= 310  # the rules are read beside


@pytest.mark.usefixtures("front")
def test_cache_and_fencing__beyond_53_bits() -> None:
    from django_upstash.cache import UpstashCache

    cache = UpstashCache("default", {})
    cache.set("n", 2**53)
    assert [cache.incr("n") for _ in range(3)] == [2**53 + 1, 2**53 + 2, 2**53 + 3]
    lock = Lock("l", lease=30, fencing=True, wait=0)
    assert lock.acquire()
    first = lock.fencing_number
    lock.release()
    assert lock.acquire()
    assert (first or 0) > 2**50
    assert lock.fencing_number == (first or 0) + 1


def test_count_of_nothing__is_an_error(valkey: Server, settings: Any) -> None:
    from django_upstash.operations.capabilities import Capabilities
    from django_upstash.ratelimit.operations import Attempt, charge
    from django_upstash.ratelimit.process_state import Memory
    from django_upstash.settings.conf import make_settings

    policy = FixedWindow("3/h", scope="x")
    now = 1_800_000_000_000_000
    attempt = Attempt([policy], ["k"], 1, now)
    capabilities = Capabilities(make_settings("x", {"URL": valkey.url}))
    operation: Any = charge(Memory(), capabilities, attempt, lambda granted, outcomes: granted)
    start = policy.terms(now)[2]
    assert operation.parse([b"OK", start * 10**9 + 1])
    with pytest.raises(ProtocolError):
        operation.parse([b"OK", start * 10**9])
