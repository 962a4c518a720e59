"""What a process remembers: it saves commands, and changes no decision."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from django_upstash.operations import Operation
from django_upstash.ratelimit import Concurrency, FixedWindow, Outcome, Policy, RateLimiter, SlidingWindow, TokenBucket
from django_upstash.ratelimit.clock import ServerClock
from django_upstash.ratelimit.evaluation import Inquiry
from django_upstash.ratelimit.process_state import Bounded, Denials, LimitOutage, Memory, memory_of
from django_upstash.ratelimit.settings import ratelimit_settings
from tests.ratelimit.conftest import MakeLimiter, Time
from tests.servers import Server

SECOND = 1_000_000
RING = SlidingWindow("5/min")


@pytest.fixture
def at_time(time: Time) -> Callable[[RateLimiter, float], None]:
    """Return ``at_time(limiter, seconds)``, which turns the limiter's clock, and the server's as it knows it."""

    def turn(limiter: RateLimiter, seconds: float) -> None:
        memory = limiter.server.memory
        time.seconds = seconds
        memory.clock = ServerClock(time.steady, time.wall)
        memory.clock.sample(time.steady(), *divmod(time.microseconds, SECOND))
        memory.clock.names = ""  # keys expire by the real time, which must not be compared with this one

    return turn


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("policy", [SlidingWindow("100/60s"), TokenBucket("100/60s", burst=1), FixedWindow("100/60s")])
def test_denials__change_no_decision(
    make_limiter: MakeLimiter, at_time: Callable[[RateLimiter, float], None], valkey: Server, policy: Policy
) -> None:
    """Ten minutes of constant pressure."""
    limiter = make_limiter(policy, rules=False)
    admitted = asked = 0
    for tick in range(600 * 10):
        at_time(limiter, tick / 10)
        requests = limiter.server.connection.meter.requests
        admitted += limiter.hit("user:1").allowed
        asked += limiter.server.connection.meter.requests - requests
    assert admitted == 1000
    assert asked < 1000 * 2.2


def test_denials__last_until_the_true_time_or_five_seconds() -> None:
    denials = Denials()
    denials.add("key", Outcome(RING, False, 0, 2.5, 60), 1, now=0)
    denials.add("other", Outcome(RING, False, 0, 60, 60), 1, now=0)

    assert denials.find("key", RING, 1, 2_499_999) is not None
    assert denials.find("key", RING, 1, 2_500_000) is None
    assert denials.find("other", RING, 1, 4_999_999) is not None
    assert denials.find("other", RING, 1, 5_000_000) is None


def test_denials__say_the_true_times() -> None:
    denials = Denials()
    denials.add("key", Outcome(RING, False, 0, 40, 60), 1, now=10 * SECOND)
    found = denials.find("key", RING, 1, 12 * SECOND)
    assert found is not None
    assert found[0] == Outcome(RING, False, 0, 38, 58)


def test_denials__count_for_the_same_key_rule_and_cost_only() -> None:
    denials = Denials()
    denials.add("key", Outcome(RING, False, 0, 3, 60), 2, now=0)
    asked = [("key", RING, 2), ("key", RING, 1), ("key", RING.limited_to(6), 2), ("key", TokenBucket("5/min"), 2)]
    assert [denials.find(*each, now=1) is not None for each in (*asked, ("other", RING, 2))] == [True] + [False] * 4


def test_denials__are_none_of_concurrency_nor_of_what_never_passes() -> None:
    denials = Denials()
    denials.add("key", Outcome(Concurrency(1), False, 0, 3, 60), 1, now=0)
    denials.add("key", Outcome(RING, False, 0, None, 60), 1, now=0)
    assert len(denials) == 0


def test_denials__are_bounded() -> None:
    denials = Denials(100)
    for number in range(1000):
        denials.add(f"key{number}", Outcome(RING, False, 0, 3, 60), 1, now=0)
    for cost in range(1000):
        denials.add("key999", Outcome(RING, False, 0, 3, 60), cost, now=0)
    assert len(denials) == 100
    assert sum(denials.find("key999", RING, cost, 1) is not None for cost in range(1000)) <= 8


def test_denials__end_at_once_with_a_reset_or_refund_here(open_limiter: MakeLimiter) -> None:
    limiter = open_limiter(SlidingWindow("1/h"))
    for give_back in (limiter.reset, limiter.refund):
        limiter.hit("user:1")
        assert not limiter.hit("user:1").allowed
        give_back("user:1")
        assert limiter.hit("user:1").allowed
        limiter.reset("user:1")


def test_denials__end_within_five_seconds_of_a_reset_elsewhere(
    make_limiter: MakeLimiter, at_time: Callable[[RateLimiter, float], None], valkey: Server
) -> None:
    limiter = make_limiter(SlidingWindow("1/h"), rules=False)
    at_time(limiter, 0)
    assert [limiter.hit("user:1").allowed for _ in range(2)] == [True, False]
    valkey.call("DEL", "ratelimit:default:default:user:1")
    at_time(limiter, 4.9)
    assert not limiter.hit("user:1").allowed
    at_time(limiter, 5)
    assert limiter.hit("user:1").allowed


def test_denials__of_a_scope_serve_every_limiter(make_limiter: MakeLimiter, valkey: Server) -> None:
    burst, sustained = TokenBucket("9/s", scope="burst"), SlidingWindow("1/day", scope="sustained")
    both, one = make_limiter([burst, sustained]), make_limiter(sustained)
    both.hit("user:1")
    assert not both.hit("user:1").allowed
    with valkey.counting() as counted:
        assert not one.hit("user:1").allowed
        outcomes = both.hit("user:1").outcomes
    assert counted.commands == 0
    assert [(outcome.scope, outcome.allowed) for outcome in outcomes] == [("burst", True), ("sustained", False)]


def test_bounded__forgets_the_first() -> None:
    bounded: Bounded[int] = Bounded(2)
    for number in range(3):
        bounded.remember(str(number), number)
    assert bounded == {"1": 1, "2": 2}


def test_memory__is_one_for_each_connection(make_limiter: MakeLimiter) -> None:
    one, other = make_limiter(RING), make_limiter(FixedWindow("1/s"))
    assert one.server.memory is other.server.memory
    assert memory_of(one.server.connection) is one.server.memory


def test_outage__is_one_line_for_each_change(caplog: pytest.LogCaptureFixture) -> None:
    outage = LimitOutage()
    with caplog.at_level(logging.WARNING, "django_upstash.ratelimit"):
        outage.succeeded("the server")
        for _ in range(3):
            outage.failed("the server", ConnectionError("gone"))
        for _ in range(3):
            outage.succeeded("the server")
    assert [record.getMessage() for record in caplog.records] == [
        "Rate limits are decided without the server: gone",
        "Rate limits are decided by the server again.",
    ]


def test_memory__forgets_a_key_everywhere() -> None:
    memory = Memory()
    memory.windows.remember("key", (1, 1))
    memory.denials.add("key", Outcome(RING, False, 0, 3, 60), 1, now=0)
    memory.local.decide(["key"], [RING.terms(0)], 5, 0)
    memory.forget("key")
    assert "key" not in memory.windows
    assert memory.denials.find("key", RING, 1, 1) is None
    assert memory.local.decide(["key"], [RING.terms(0)], 5, 0)[0].granted


@pytest.mark.parametrize("limit", [1, 3])
def test_windows__a_full_one_is_asked_about_without_counting(
    make_limiter: MakeLimiter, valkey: Server, limit: int
) -> None:
    limiter: Any = make_limiter(FixedWindow(f"{limit}/h"))
    for _ in range(limit):
        limiter.hit("user:1")
    with valkey.counting() as counted:
        limiter.hit("user:1")
    assert "incr" not in counted.by_command


def test_memory__of_tenants_is_bounded() -> None:
    memory = Memory(10)
    for number in range(2000):
        memory.rules(f"tenant {number}")
        memory.tallies.count(f"tenant {number}", True, [("page", "user:1")])
    books, tallies = memory._rules, memory.tallies
    assert memory.rules("tenant 1999") is memory.rules("tenant 1999")
    assert (len(books), len(tallies._counts), len(tallies._decisions)) == (10, 1000, 1000)
    assert "tenant 1999" in tallies._counts


def test_denials__that_arrive_after_a_reset_are_not_kept(make_limiter: MakeLimiter) -> None:
    limiter = make_limiter(SlidingWindow("1/h"))
    limiter.hit("user:1")
    settings = ratelimit_settings()
    inquiry = Inquiry(limiter, limiter._identities("user:1", settings), 1, charges=True, settings=settings)
    asking: Any = inquiry.begin()
    refused = inquiry.connection.run(Operation(asking.commands, lambda replies: replies))
    limiter.reset("user:1")
    assert not asking.parse(refused).allowed
    assert limiter.hit("user:1").allowed
