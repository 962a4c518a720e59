"""What a decision costs: round trips and billed commands, counted by the servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from django_upstash.dev_server import LocalServer
from django_upstash.ratelimit import Concurrency, FixedWindow, Quota, RateLimiter, SlidingWindow, TokenBucket
from tests.ratelimit.conftest import Awaited, MakeLimiter
from tests.servers import Server, ServerMissing, start_redis

pytestmark = pytest.mark.matrix

Counting = Callable[[Any], Any]
WINDOW, RING, BUCKET = FixedWindow("99/h", scope="w"), SlidingWindow("99/h", scope="r"), TokenBucket("99/h", scope="b")
MONTHLY, AT_ONCE = Quota(99, "month", scope="q"), Concurrency(99, scope="c")


@pytest.fixture
def counting(route: str, valkey: Server, local_server: LocalServer) -> Counting:
    """Return ``counting(limiter)``, whose block's requests and billed commands are in the dict it yields."""

    @contextmanager
    def count(limiter: Any) -> Iterator[dict[str, int]]:
        cost: dict[str, int] = {}
        meter = limiter.server.connection.meter
        requests = meter.requests
        local_server.reset_meter()
        with valkey.counting() as counted:
            yield cost
        if route == "rest":
            billed = local_server.meter()
            cost.update(requests=billed["requests"], commands=billed["commands"])
        else:
            cost.update(requests=meter.requests - requests, commands=counted.commands)

    return count


def warm(limiter: Any) -> Any:
    """Let the process learn the time, the rules, and the script, which the server learns too."""
    other = RateLimiter([RING, BUCKET], alias=limiter.alias, tenant="other")
    other.hit("user:warm")
    return limiter


def costs(cost: dict[str, int]) -> tuple[int, int]:
    return cost["requests"], cost["commands"]


def lasting(limiter: Any) -> None:
    limiter.peek("user:warm")  # reads the tenant's rules


@pytest.mark.parametrize(
    ("policies", "allow", "deny"),
    [
        ([WINDOW], 1, 2),
        ([MONTHLY], 1, 2),
        ([RING], 3, 2),
        ([BUCKET], 3, 2),
        ([AT_ONCE], 3, 2),
        ([BUCKET, RING, MONTHLY], 3, 2),
        ([WINDOW, BUCKET, RING, MONTHLY, AT_ONCE], 3, 2),
    ],
    ids=lambda value: "+".join(policy.scope for policy in value) if isinstance(value, list) else str(value),
)
def test_hit__budget(open_limiter: MakeLimiter, counting: Counting, policies: Any, allow: int, deny: int) -> None:
    limiter = warm(open_limiter([policy.limited_to(3) for policy in policies]))
    lasting(limiter)
    limiter.hit("user:1")
    for _ in range(2):
        with counting(limiter) as cost:
            assert limiter.hit("user:1").allowed
        assert costs(cost) == (1, allow)
    with counting(limiter) as cost:
        assert not limiter.hit("user:1").allowed
    assert costs(cost) == (1, deny)
    with counting(limiter) as cost:
        denied = [limiter.hit("user:1") for _ in range(20)]
    assert not any(denied)
    # A place may come back at any time, so a limit on concurrency alone is asked about again.
    assert costs(cost) == ((20, 40) if policies == [AT_ONCE] else (0, 0))


@pytest.mark.parametrize("policy", [WINDOW, MONTHLY, RING, BUCKET], ids=lambda policy: policy.scope)
def test_hit__budget_of_a_weighted_one(open_limiter: MakeLimiter, counting: Counting, policy: Any) -> None:
    limiter = warm(open_limiter(policy))
    lasting(limiter)
    with counting(limiter) as cost:
        assert limiter.hit("user:1", 60).allowed
    assert costs(cost) == (1, 3)
    with counting(limiter) as cost:
        assert not limiter.hit("user:1", 60).allowed
    assert costs(cost) == (1, 2)


def test_hit__budget_of_a_window_not_yet_seen(open_limiter: MakeLimiter, counting: Counting) -> None:
    limiter = warm(open_limiter(WINDOW))
    lasting(limiter)
    with counting(limiter) as cost:
        limiter.hit("user:1")
    assert costs(cost) == (1, 2)


def test_hit__budget_with_identities_of_their_own(open_limiter: MakeLimiter, counting: Counting) -> None:
    limiter = warm(open_limiter([RING, BUCKET]))
    lasting(limiter)
    with counting(limiter) as cost:
        limiter.hit({"r": "user:1", "b": "203.0.113.7"})
    assert costs(cost) == (1, 3)


@pytest.mark.parametrize(
    ("method", "arguments", "expected"),
    [
        *(("peek", ("user:1",), (1, 1)), ("refund", ("user:1",), (1, 3)), ("reset", ("user:1",), (1, 1))),
        *(("block", ("user:9",), (1, 1)), ("unblock", ("user:9",), (1, 1)), ("set_limit", ("r", 7), (1, 1))),
    ],
)
def test_methods__budget(
    open_limiter: MakeLimiter,
    counting: Counting,
    method: str,
    arguments: tuple[Any, ...],
    expected: tuple[int, int],
) -> None:
    limiter = warm(open_limiter([RING, BUCKET, MONTHLY]))
    lasting(limiter)
    limiter.hit("user:1")
    with counting(limiter) as cost:
        getattr(limiter, method)(*arguments)
    assert costs(cost) == expected


def test_release__budget(open_limiter: MakeLimiter, counting: Counting) -> None:
    limiter = warm(open_limiter([AT_ONCE, RING]))
    decision = limiter.hit("user:1")
    with counting(limiter) as cost:
        limiter.release(decision, "user:1")
    assert costs(cost) == (1, 3)


def test_first_decision__learns_time_and_rules_in_one_round_trip(open_limiter: MakeLimiter, counting: Counting) -> None:
    warm(open_limiter(RING))
    limiter = open_limiter(RING, tenant="unseen")
    with counting(limiter) as cost:
        limiter.hit("user:1")
    assert costs(cost) == (1, 4)  # the rules come along with the decision


@pytest.fixture(scope="module")
def old_server() -> Iterator[Server]:
    """A Redis 7.0, which has no MSETEX."""
    try:
        with start_redis() as server:
            yield server
    except ServerMissing as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("awaited", [False, True])
def test_old_server__writes_each_policy(old_server: Server, settings: Any, awaited: bool) -> None:
    old_server.call("FLUSHALL")
    settings.UPSTASH = {"old": {"URL": old_server.url}}
    with asyncio.Runner() as runner:
        limiter: Any = RateLimiter([RING, BUCKET, MONTHLY], alias="old")
        limiter = Awaited(limiter, runner) if awaited else limiter
        assert limiter.hit("user:1").remaining == 98
        assert not limiter.server.connection.capabilities.has("MSETEX")
        with old_server.counting() as counted:
            assert limiter.hit("user:1").remaining == 97
        assert counted.by_command == {"evalsha": 1, "mget": 1, "set": 3}
        assert limiter.hit("user:1", 90).remaining == 7
        assert not limiter.hit("user:1", 90).allowed
