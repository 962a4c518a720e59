"""The script and its twin in Python say the same, and what they say is true."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from time import monotonic
from typing import Any

import pytest

from django_upstash.connections import connections
from django_upstash.operations import scripts
from django_upstash.ratelimit.algorithms import decide
from django_upstash.ratelimit.operations import Attempt, charge, script_arguments
from django_upstash.ratelimit.policies import (
    Concurrency,
    FixedWindow,
    Policy,
    Quota,
    SlidingWindow,
    TokenBucket,
)
from django_upstash.ratelimit.process_state import Memory
from django_upstash.ratelimit.stored import measured
from tests.servers import Server

SECOND = 1_000_000
BEGINNING = 1_800_000_000 * SECOND
POLICIES: list[Policy] = [
    FixedWindow("5/10s", scope="window"),
    SlidingWindow("7/10s", scope="sliding"),
    TokenBucket("7/3s", burst=4, scope="bucket"),
    Quota(9, "hour", timezone="Europe/Berlin", scope="quota"),
    Concurrency(3, lease=4, scope="leases"),
]

STRANGE = ["", "nonsense", "r12", "r12 3 x", "b1 2", "l x1", "12345678901234567", "r999999999999999 1 1"]


def run_script(policies: Sequence[Policy], cost: int, now: int, lease: str = "") -> list[int]:
    """Run the script as the limiter does and return its reply without the first two of its numbers."""
    connection = connections["native"]
    keys = [policy.scope for policy in policies]
    arguments = script_arguments(connection.capabilities, Attempt(policies, keys, cost, now, lease), cost)
    reply: list[int] = connection.run(
        scripts.load("ratelimit/decide").operation(connection.capabilities, keys, arguments)
    )
    return reply[2:]


@pytest.mark.usefixtures("upstash")
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.scope)
def test_script__agrees_with_its_twin(policy: Policy, valkey: Server) -> None:
    chance = random.Random(7)
    now, state = BEGINNING, None
    for step in range(400):
        # Now and then the clock goes back, as that of another process may; sometimes a state is somebody else's.
        now += chance.choice([0, 1, 1000, SECOND // 3, SECOND, 9 * SECOND, -2 * SECOND])
        cost = chance.choice([1, 1, 1, 2, 3, 0, -1, -2])
        lease = f"x{chance.randrange(4)}" if policy.algorithm == "leases" else ""
        if chance.random() < 0.03:
            state = chance.choice(STRANGE)
            valkey.call("SET", policy.scope, state)
        verdict = decide(state, cost, now, policy.terms(now), lease)
        started = monotonic()
        replied = run_script([policy], cost, now, lease)

        if not verdict.granted:
            unchanged = decide(state, 0, now, policy.terms(now), lease)
            verdict = verdict._replace(remaining=unchanged.remaining, reset_after=unchanged.reset_after)
        assert replied == list(verdict[:4]), f"step {step}: {cost} at {now} with {state!r}"
        if verdict.granted:
            state = verdict.state
            assert valkey.call("GET", policy.scope) == state.encode()
            # It lives as long as what is stored means something, and a second more.
            lives = int(valkey.call("PTTL", policy.scope))
            passed = (monotonic() - started) * 1000
            assert verdict.lifetime / 1000 + 999 - passed <= lives <= verdict.lifetime / 1000 + 1001


@pytest.mark.usefixtures("upstash")
def test_script__of_several_policies_agrees_with_their_twins(valkey: Server) -> None:
    chance = random.Random(11)
    now, states = BEGINNING, list[str | None]([None] * len(POLICIES))
    for step in range(200):
        now += chance.choice([0, 0, 1000, SECOND // 3, SECOND])
        cost, lease = chance.choice([1, 1, 1, 2, 0, -1]), f"x{step}"
        asked = list(zip(states, [policy.terms(now) for policy in POLICIES], strict=True))
        verdicts = [decide(state, cost, now, terms, lease) for state, terms in asked]
        granted = all(verdict.granted for verdict in verdicts)
        left = verdicts if granted else [decide(state, 0, now, terms) for state, terms in asked]
        numbers = [
            (verdict.granted, unchanged.remaining, verdict.retry_after, unchanged.reset_after)
            for verdict, unchanged in zip(verdicts, left, strict=True)
        ]
        assert run_script(POLICIES, cost, now, lease) == [number for each in numbers for number in each], f"step {step}"
        if granted:
            states = [verdict.state for verdict in verdicts]
        stored = [valkey.call("GET", policy.scope) for policy in POLICIES]
        assert stored == [state and state.encode() for state in states]


@pytest.mark.usefixtures("upstash")
def test_window__what_comes_back_late_is_not_the_next_ones() -> None:
    policy, later = POLICIES[0], BEGINNING + 10 * SECOND
    assert [run_script([policy], 1, at)[1] for at in (BEGINNING, later, later)] == [4, 4, 3]
    assert run_script([policy], -1, BEGINNING)[1] == 3
    assert run_script([policy], -1, later)[1] == 4


@pytest.mark.usefixtures("upstash")
def test_window__one_hit_too_many_is_taken_back_from_where_it_was_counted(valkey: Server) -> None:
    policy, later = FixedWindow("2/10s"), BEGINNING + 10 * SECOND
    memory, connection = Memory(), connections["native"]
    for _ in range(2):
        connection.run(
            charge(memory, connection.capabilities, Attempt([policy], ["key"], 1, later), lambda *said: said)
        )
    # A process whose clock is behind, and which has not seen that window.
    behind = charge(Memory(), connection.capabilities, Attempt([policy], ["key"], 1, later - 1), lambda *said: said)
    assert connection.run(behind)[0] is False
    assert valkey.call("GET", "key").endswith(b"10000000002")


@pytest.mark.usefixtures("upstash")
def test_script__decides_all_or_nothing(valkey: Server) -> None:
    for number in range(3):
        assert run_script(POLICIES, 1, BEGINNING, f"x{number}")[::4] == [1] * 5
    before = [valkey.call("GET", policy.scope) for policy in POLICIES]

    assert run_script(POLICIES, 1, BEGINNING, "x9")[::4] == [1, 1, 1, 1, 0]
    assert [valkey.call("GET", policy.scope) for policy in POLICIES] == before


def admitted(policy: Policy, arrivals: Sequence[int]) -> list[int]:
    """Return which of the arrivals pass, asking as the limiter does: not while it is known to be in vain."""
    state, passed, free_at = None, [], 0
    for now in arrivals:
        if now < free_at:
            continue
        verdict = decide(state, 1, now, policy.terms(now))
        if verdict.granted:
            state = verdict.state
            passed.append(now)
        else:
            free_at = now + verdict.retry_after
    return passed


def most_in_any(window: int, times: Sequence[int]) -> int:
    """Return the largest number of times within less than ``window`` of each other."""
    most, inside = 0, deque[int]()
    for time in times:
        inside.append(time)
        while inside[0] <= time - window:
            inside.popleft()
        most = max(most, len(inside))
    return most


def admitted_by_log(limit: int, window: int, arrivals: Sequence[int]) -> int:
    log, count = deque[int](), 0
    for now in arrivals:
        while log and log[0] <= now - window:
            log.popleft()
        if len(log) < limit:
            log.append(now)
            count += 1
    return count


def poisson(chance: random.Random, number: int, mean: float) -> list[int]:
    now, arrivals = float(BEGINNING), []
    for _ in range(number):
        now += chance.expovariate(1 / mean)
        arrivals.append(int(now))
    return arrivals


def bursts(chance: random.Random, number: int, mean: float) -> list[int]:
    now, arrivals = float(BEGINNING), list[int]()
    while len(arrivals) < number:
        now += chance.expovariate(1 / (mean * 40))
        arrivals += sorted(int(now + chance.random() * mean * 10) for _ in range(chance.randrange(1, 80)))
    return sorted(arrivals[:number])


TRAFFIC: dict[str, Callable[[random.Random, int, float], list[int]]] = {"poisson": poisson, "bursts": bursts}


@pytest.mark.parametrize("traffic", TRAFFIC)
@pytest.mark.parametrize(("rate", "mean"), [("10/10s", 0.7), ("100/min", 0.3), ("1000/h", 2.0), ("3/s", 0.1)])
@pytest.mark.parametrize(
    "number", [20_000, pytest.param(400_000, marks=[pytest.mark.slow], id="long")], ids=["sample", "million"]
)
def test_sliding_window__is_never_exceeded_and_wastes_little(traffic: str, rate: str, mean: float, number: int) -> None:
    policy = SlidingWindow(rate)
    arrivals = TRAFFIC[traffic](random.Random(42), number, mean * SECOND)
    passed = admitted(policy, arrivals)

    assert most_in_any(policy.window * SECOND, passed) <= policy.limit
    assert len(passed) >= 0.97 * admitted_by_log(policy.limit, policy.window * SECOND, arrivals)


@pytest.mark.usefixtures("upstash")
def test_sliding_window__script_is_never_exceeded() -> None:
    policy = SlidingWindow("100/min", scope="sliding")
    arrivals = poisson(random.Random(1), 3000, 0.3 * SECOND)
    passed = [now for now in arrivals if run_script([policy], 1, now)[0]]

    assert passed == admitted(policy, arrivals)
    assert most_in_any(60 * SECOND, passed) <= 100


@pytest.mark.parametrize(("rate", "burst"), [("7/s", 3), ("1000/day", 20), ("999983/h", 100_000), ("1/min", 1)])
@pytest.mark.parametrize("number", [20_000, pytest.param(1_000_000, marks=[pytest.mark.slow])])
def test_token_bucket__is_exact(rate: str, burst: int, number: int) -> None:
    """Against the definition, in fractions."""
    policy = TokenBucket(rate, burst=burst)
    limit, seconds = (
        int(part) for part in (rate.split("/")[0], {"s": 1, "min": 60, "h": 3600, "day": 86400}[rate.split("/")[1]])
    )
    per_microsecond = Fraction(limit, seconds * SECOND)
    arrivals = poisson(random.Random(3), number, float(1 / per_microsecond) * 0.8)
    tokens, last, expected = Fraction(burst), arrivals[0], []
    for now in arrivals:
        tokens, last = min(Fraction(burst), tokens + (now - last) * per_microsecond), now
        if tokens >= 1:
            tokens -= 1
            expected.append(now)

    assert admitted(policy, arrivals) == expected


def test_measured__is_what_a_ring_holds() -> None:
    policy, state = SlidingWindow("99/10s"), None
    assert measured(decide(None, -1, BEGINNING, policy.terms(BEGINNING)).state) == ("sliding", 0)
    for number in range(1, 9):
        now = BEGINNING + number * SECOND
        state = decide(state, number, now, policy.terms(now)).state
    assert measured(state or "") == ("sliding", 36)


def test_token_bucket__gives_the_burst_at_once_and_then_the_rate() -> None:
    policy = TokenBucket("10/s", burst=50)
    assert len(admitted(policy, [BEGINNING] * 100)) == 50
    every_millisecond = range(BEGINNING, BEGINNING + 100 * SECOND, 1000)
    assert len(admitted(policy, every_millisecond)) == 50 + 999


def test_fixed_window__passes_twice_the_limit_around_a_boundary() -> None:
    policy = FixedWindow("100/min")
    boundary = BEGINNING // (60 * SECOND) * 60 * SECOND + 60 * SECOND
    passed = admitted(policy, [boundary - 1] * 150 + [boundary] * 150)
    assert (len(passed), most_in_any(60 * SECOND, passed)) == (200, 200)


@pytest.mark.parametrize("limit", [1, 100, 10_000, 1_000_000])
@pytest.mark.parametrize("make", [SlidingWindow, TokenBucket, FixedWindow])
def test_states__are_small_at_any_limit(make: Any, limit: int) -> None:
    policy = make(f"{limit}/day")
    state, longest, now = None, 0, BEGINNING
    for step in range(120):
        cost = max(1, limit // 51)
        verdict = decide(state, cost, now, policy.terms(now))
        state = verdict.state if verdict.granted else state
        longest = max(longest, len(state or ""))
        now += 86400 * SECOND // 50 + step
    assert 0 < longest <= 350


@pytest.mark.parametrize("policy", POLICIES[:4], ids=lambda policy: policy.scope)
def test_retry_after__is_exact(policy: Policy) -> None:
    now, state = BEGINNING + 1234, None
    while (verdict := decide(state, 1, now, policy.terms(now))).granted:
        state, now = verdict.state, now + 1000
    due = now + verdict.retry_after

    assert not decide(state, 1, due - 1, policy.terms(due - 1)).granted
    assert decide(state, 1, due, policy.terms(due)).granted


def test_sliding_window__a_refund_never_lets_too_much_pass() -> None:
    chance = random.Random(5)
    policy = SlidingWindow("20/10s")
    state, now, kept = None, BEGINNING, list[int]()
    for _ in range(20_000):
        now += int(chance.expovariate(1 / (0.3 * SECOND)))
        if kept and chance.random() < 0.2:
            state = decide(state, -1, now, policy.terms(now)).state
            kept.pop()  # the latest, which a policy without memory of its own cannot know
            continue
        verdict = decide(state, 1, now, policy.terms(now))
        if verdict.granted:
            state = verdict.state
            kept.append(now)
    assert most_in_any(10 * SECOND, kept) <= 20
