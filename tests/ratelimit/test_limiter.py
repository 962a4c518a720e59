"""What a limiter answers, on both routes, waited for and awaited."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_upstash.connections import connections
from django_upstash.ratelimit import (
    Concurrency,
    Decision,
    FixedWindow,
    Outcome,
    Quota,
    RateLimiter,
    Reason,
    SlidingWindow,
    TokenBucket,
    limited,
)
from tests.ratelimit.conftest import MakeLimiter
from tests.servers import Server

POLICIES = [
    FixedWindow("3/h"),
    SlidingWindow("3/h"),
    TokenBucket("3/h"),
    Quota(3, "month", timezone="Asia/Tokyo"),
    Concurrency(3, lease=600),
]
policies = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)


@policies
def test_hit__counts_down_and_denies(open_limiter: MakeLimiter, policy: Any) -> None:
    limiter = open_limiter(policy)
    decisions = [limiter.hit("user:1") for _ in range(5)]

    assert [bool(decision) for decision in decisions] == [True, True, True, False, False]
    assert [decision.remaining for decision in decisions] == [2, 1, 0, 0, 0]
    assert {decision.limit for decision in decisions} == {3}
    assert [decision.reason for decision in decisions[2:4]] == [Reason.WITHIN_LIMITS, Reason.LIMITED]
    assert decisions[0].retry_after == 0
    assert 0 < decisions[3].retry_after <= decisions[3].reset_after
    assert decisions[3].policy is policy
    assert limiter.hit("user:2").remaining == 2


@policies
def test_peek__charges_nothing(open_limiter: MakeLimiter, policy: Any) -> None:
    limiter = open_limiter(policy)
    assert [limiter.peek("user:1").remaining for _ in range(2)] == [3, 3]
    limiter.hit("user:1")
    seen = limiter.peek("user:1")
    assert (seen.allowed, seen.remaining, seen.lease) == (True, 2, None)
    assert not limiter.peek("user:1", cost=3) or isinstance(policy, Concurrency)
    limiter.hit("user:1")
    limiter.hit("user:1")
    assert not limiter.peek("user:1").allowed


@policies
def test_reset__forgets(open_limiter: MakeLimiter, policy: Any) -> None:
    limiter = open_limiter(policy)
    for _ in range(4):
        limiter.hit("user:1")
    assert limiter.reset("user:1") == 1
    assert limiter.hit("user:1").remaining == 2
    assert limiter.reset("user:none") == 0


@pytest.mark.parametrize("policy", POLICIES[:4], ids=lambda policy: type(policy).__name__)
def test_refund__gives_back(open_limiter: MakeLimiter, policy: Any) -> None:
    limiter = open_limiter(policy)
    for _ in range(4):
        limiter.hit("user:1")
    limiter.refund("user:1", 2)
    assert limiter.peek("user:1").remaining == 2
    assert limiter.hit("user:1").remaining == 1
    limiter.refund("user:1", 100)
    assert limiter.peek("user:1").remaining == 3
    limiter.refund("user:1", 0)
    limiter.refund("user:unknown")
    assert limiter.peek("user:unknown").remaining == 3


@pytest.mark.parametrize("policy", POLICIES[:4], ids=lambda policy: type(policy).__name__)
def test_hit__a_denied_cost_charges_nothing(open_limiter: MakeLimiter, policy: Any) -> None:
    limiter = open_limiter(policy.limited_to(10))
    assert [limiter.hit("user:1", cost).allowed for cost in (8, 5, 2, 1)] == [True, False, True, False]


def test_hit__several_policies_are_charged_together_or_not_at_all(open_limiter: MakeLimiter) -> None:
    burst, sustained = TokenBucket("2/h", scope="burst"), SlidingWindow("5/day", scope="sustained")
    limiter = open_limiter([burst, sustained])
    decisions = [limiter.hit("user:1") for _ in range(4)]

    assert [decision.allowed for decision in decisions] == [True, True, False, False]
    assert [outcome.remaining for outcome in decisions[2].outcomes] == [0, 3]
    assert (decisions[2].policy, decisions[2].violated) == (burst, (burst,))
    assert limiter.peek("user:1").outcomes[1].remaining == 3


def test_hit__a_scope_has_one_counter(open_limiter: MakeLimiter) -> None:
    """Burst and sustained in one view, sustained alone in another, a fixed window alone and beside others."""
    burst, sustained = SlidingWindow("60/min", scope="burst"), SlidingWindow("5/day", scope="sustained")
    hourly = FixedWindow("5/h", scope="hourly")
    both, one = open_limiter([burst, sustained, hourly]), open_limiter(sustained)
    both.hit("user:1")
    one.hit("user:1")
    assert open_limiter(hourly).hit("user:1").remaining == 3
    outcomes = both.hit("user:1").outcomes
    assert {outcome.scope: outcome.remaining for outcome in outcomes} == {"burst": 58, "sustained": 2, "hourly": 2}
    assert open_limiter(hourly).hit("user:1").remaining == 1


def test_hit__each_scope_may_have_its_own_identity(open_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = open_limiter([SlidingWindow("5/h", scope="user"), SlidingWindow("2/h", scope="address")])
    for user in ("user:1", "user:2"):
        assert limiter.hit({"user": user, "address": "203.0.113.7"}).allowed
    decision = limiter.hit({"user": "user:3", "address": "203.0.113.7"})
    assert (decision.allowed, decision.policy.scope) == (False, "address")
    keys = {key for key in valkey.call("KEYS", "*") if b"user:3" in key}
    assert keys == set()


def test_hit__tenants_are_apart(open_limiter: MakeLimiter) -> None:
    for tenant in ("one", "other"):
        assert open_limiter(FixedWindow("1/h"), tenant=tenant).hit("user:1").allowed
    assert not open_limiter(FixedWindow("1/h"), tenant="one").hit("user:1").allowed


def test_hit__cost_that_can_never_pass_asks_nobody(open_limiter: MakeLimiter) -> None:
    limiter = open_limiter([SlidingWindow("5/h", scope="small"), SlidingWindow("50/h", scope="large")])
    limiter.hit("user:1")
    requests = connections[limiter.alias].meter.requests + limiter.server.connection.meter.requests
    decision = limiter.hit("user:1", 6)
    assert (decision.allowed, decision.reason, decision.retry_after) == (False, Reason.COST_ABOVE_LIMIT, None)
    assert decision.policy.scope == "small"
    assert requests == connections[limiter.alias].meter.requests + limiter.server.connection.meter.requests


def test_hit__cost_zero_is_granted_and_charges_nothing(open_limiter: MakeLimiter) -> None:
    limiter = open_limiter(SlidingWindow("1/h"))
    limiter.hit("user:1")
    assert limiter.hit("user:1", 0).allowed
    assert not limiter.hit("user:1").allowed


@pytest.mark.parametrize("cost", [-1, 1.5, "2", True, None])
def test_hit__bad_costs_are_refused(make_limiter: MakeLimiter, cost: Any) -> None:
    limiter = make_limiter(SlidingWindow("5/h"))
    for method in (limiter.hit, limiter.peek, limiter.refund):
        with pytest.raises(ValueError, match="cost"):
            method("user:1", cost)
    assert limiter.peek("user:1").remaining == 5


def test_limit_of_zero__denies_everybody(open_limiter: MakeLimiter) -> None:
    for policy in (FixedWindow("0/h"), SlidingWindow("0/h"), TokenBucket("0/h"), Concurrency(0)):
        decision = open_limiter(policy).hit("user:1")
        assert (decision.allowed, decision.remaining, decision.retry_after) == (False, 0, None)


@pytest.mark.parametrize("stored", ["nonsense", "", "7", "r1 2 x", "99999999999999999999999"])
@policies
def test_hit__what_somebody_else_stored_is_replaced(
    open_limiter: MakeLimiter, valkey: Server, policy: Any, stored: str
) -> None:
    valkey.call("SET", "ratelimit:default:default:user:1", stored)
    assert [open_limiter(policy).hit("user:1").remaining for _ in range(2)] == [2, 1]
    assert int(valkey.call("PTTL", "ratelimit:default:default:user:1")) > 0


@policies
def test_hit__another_type_of_key_is_replaced(open_limiter: MakeLimiter, valkey: Server, policy: Any) -> None:
    valkey.call("RPUSH", "ratelimit:default:default:user:1", "x")
    assert [open_limiter(policy).hit("user:1").remaining for _ in range(2)] == [2, 1]


def test_fixed_window__a_counter_without_a_ttl_is_given_one(open_limiter: MakeLimiter, valkey: Server) -> None:
    limiter = open_limiter(FixedWindow("10/h"))
    limiter.hit("user:1")
    valkey.call("DEL", "ratelimit:default:default:user:1")  # as an eviction would
    assert limiter.hit("user:1").remaining == 9
    assert 0 < int(valkey.call("TTL", "ratelimit:default:default:user:1")) <= 3601


def test_fixed_window__one_that_has_ended_begins_anew(open_limiter: MakeLimiter, valkey: Server) -> None:
    policy = FixedWindow("3/h")
    limiter = open_limiter(policy)
    limiter.hit("user:1")
    start = policy.terms(limiter.server.memory.clock.now())[2]
    valkey.call("SET", "ratelimit:default:default:user:1", f"{start - 3600}000000003")
    assert limiter.hit("user:1").remaining == 2


def test_fixed_window__refused_hits_do_not_count(open_limiter: MakeLimiter, valkey: Server) -> None:
    """So a raised limit has the room it promises."""
    limiter = open_limiter(FixedWindow("3/h"))
    for _ in range(5):
        limiter.hit("user:1")
    # A second process, which has not seen that the window is full.
    other = RateLimiter(FixedWindow("3/h"), alias=limiter.alias)
    other.server.memory.forget("ratelimit:default:default:user:1")
    assert not other.hit("user:1").allowed
    assert valkey.call("GET", "ratelimit:default:default:user:1").endswith(b"000000003")


def test_concurrency__places_come_back(open_limiter: MakeLimiter) -> None:
    limiter = open_limiter(Concurrency(1))
    first = limiter.hit("user:1")
    assert not limiter.hit("user:1").allowed
    limiter.release(first, "user:1")
    limiter.release(first, "user:1")
    second = limiter.hit("user:1")
    assert second.allowed
    limiter.release(first, "user:1")
    assert not limiter.hit("user:1").allowed


def test_concurrency__one_denied_releases_nothing(open_limiter: MakeLimiter) -> None:
    limiter = open_limiter(Concurrency(1))
    limiter.hit("user:1")
    denied = limiter.hit("user:1")
    assert denied.lease is None
    limiter.release(denied, "user:1")
    assert not limiter.hit("user:1").allowed


def test_holding__releases_at_the_end(make_limiter: MakeLimiter) -> None:
    limiter = make_limiter([Concurrency(1, scope="at once"), SlidingWindow("9/h", scope="total")])
    with limiter.holding("user:1") as first, limiter.holding("user:1") as second:
        assert (first.allowed, second.allowed) == (True, False)
    with pytest.raises(KeyError), limiter.holding("user:1"):
        raise KeyError
    with limiter.holding("user:1") as third:
        assert third.allowed
    assert limiter.peek("user:1").outcomes[1].remaining == 6


def test_aholding__releases_at_the_end(make_limiter: MakeLimiter) -> None:
    limiter = make_limiter(Concurrency(1))

    async def hold() -> list[bool]:
        async with limiter.aholding("user:1") as first, limiter.aholding("user:1") as second:
            return [first.allowed, second.allowed]

    assert [asyncio.run(hold()) for _ in range(2)] == [[True, False]] * 2


def test_block_until_ready__waits_as_long_as_it_takes(open_limiter: MakeLimiter) -> None:
    limiter = open_limiter(TokenBucket("20/s", burst=1))
    assert [limiter.block_until_ready("user:1", 5).allowed for _ in range(3)] == [True] * 3


def test_block_until_ready__does_not_wait_in_vain(open_limiter: MakeLimiter) -> None:
    limiter = open_limiter(SlidingWindow("1/h"))
    limiter.hit("user:1")
    assert not limiter.block_until_ready("user:1", 60).allowed
    assert limiter.block_until_ready("user:1", 60, cost=2).reason is Reason.COST_ABOVE_LIMIT


def test_shadow__counts_and_lets_pass(open_limiter: MakeLimiter) -> None:
    denied: list[Decision] = []

    def note(decision: Decision, **ignored: Any) -> None:
        denied.append(decision)

    limited.connect(note)
    try:
        decisions = [open_limiter(FixedWindow("1/h"), shadow=True).hit("user:1") for _ in range(3)]
    finally:
        limited.disconnect(note)
    assert [(decision.allowed, decision.shadowed) for decision in decisions] == [
        (True, False),
        (True, True),
        (True, True),
    ]
    assert [decision.allowed for decision in denied] == [False, False]


def test_disabled__allows_everything_and_asks_nobody(open_limiter: MakeLimiter, settings: Any, valkey: Server) -> None:
    settings.UPSTASH_RATELIMIT = {"ENABLED": False}
    with valkey.counting() as counted:
        decision = open_limiter(FixedWindow("0/h")).hit("user:1")
    assert (decision.allowed, decision.reason, counted.commands) == (True, Reason.DISABLED, 0)


def test_limited__names_what_was_refused(open_limiter: MakeLimiter) -> None:
    received: list[dict[str, Any]] = []

    def note(**arguments: Any) -> None:
        received.append(arguments)
        raise RuntimeError("a receiver must not break a decision")

    limited.connect(note)
    try:
        limiter = open_limiter(FixedWindow("1/h", scope="login"), tenant="shop")
        decisions = [limiter.hit("user:1") for _ in range(2)]
    finally:
        limited.disconnect(note)
    assert [arguments["decision"] for arguments in received] == decisions[1:]
    assert received[0]["tenant"] == "shop"
    assert received[0]["identities"] == {"login": "user:1"}


def test_unknown_scope__is_named(open_limiter: MakeLimiter) -> None:
    limiter = open_limiter([FixedWindow("1/h", scope="login"), FixedWindow("5/h", scope="all")])
    with pytest.raises(ValueError, match="'signup' is unknown here; there is 'login', 'all'"):
        limiter.reset("user:1", "signup")
    with pytest.raises(ValueError, match="'signup' is unknown"):
        limiter.hit({"login": "user:1", "signup": "user:1"})
    with pytest.raises(ValueError, match="lack the scope 'all'"):
        limiter.hit({"login": "user:1"})


def test_reset__of_one_scope(open_limiter: MakeLimiter) -> None:
    limiter = open_limiter([FixedWindow("1/h", scope="login"), FixedWindow("5/h", scope="all")])
    limiter.hit("user:1")
    assert limiter.reset("user:1", "login") == 1
    assert [outcome.remaining for outcome in limiter.peek("user:1").outcomes] == [1, 4]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "at least one policy"),
        ([FixedWindow("1/h"), SlidingWindow("5/h")], "a unique scope"),
        (["5/h"], r"'5/h' is not a Policy; try SlidingWindow\('5/h'\)"),
    ],
)
def test_limiter__bad_policies_are_refused(given: Any, sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=sentence):
        RateLimiter(given)


def test_limiter__bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match="on_failure is 'ajar'"):
        RateLimiter(FixedWindow("1/h"), on_failure="ajar")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tenant"):
        RateLimiter(FixedWindow("1/h"), tenant="")


def test_decision__takes_its_numbers_from_the_policy_that_decides() -> None:
    small, large = FixedWindow("5/h", scope="small"), FixedWindow("9/h", scope="large")
    least = Decision(True, Reason.WITHIN_LIMITS, 1, (Outcome(large, True, 4, 0, 9), Outcome(small, True, 1, 0, 7)))
    longest = Decision(False, Reason.LIMITED, 1, (Outcome(small, False, 0, 3, 3), Outcome(large, False, 0, 8, 8)))
    assert (least.policy, least.remaining, least.reset_after, least.retry_after) == (small, 1, 7, 0)
    assert (longest.policy, longest.retry_after, longest.violated) == (large, 8, (small, large))
