"""Threads and processes at once, on both routes: not one too many, and not one lost."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from django_upstash.ratelimit import Concurrency, FixedWindow, RateLimiter, SlidingWindow, TokenBucket
from tests.ratelimit.conftest import MakeLimiter
from tests.servers import Server

ROOT = Path(__file__).resolve().parent.parent.parent
PROCESSES, THREADS = 4, 32
POLICIES = {
    "window": FixedWindow("1/d", scope="window"),
    "sliding": SlidingWindow("1/d", scope="sliding"),
    "bucket": TokenBucket("1/d", scope="bucket"),
}

# Hits until it has been refused, or has had its share of attempts, and prints how often it was allowed. The clocks of
# the processes are wrong by half a minute, each in its own way.
WORKER = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
import django
from django.conf import settings
entry, algorithm, limit, skew, threads = json.loads(sys.argv[1])
real = time.time
time.time = lambda: real() + skew
options = {"TIMEOUT": 60, "ON_FAILURE": "closed"}
settings.configure(SECRET_KEY="x", UPSTASH={"default": entry}, UPSTASH_RATELIMIT=options)
django.setup()
from django_upstash.ratelimit import FixedWindow, RateLimiter, SlidingWindow, TokenBucket
policy = {"window": FixedWindow, "sliding": SlidingWindow, "bucket": TokenBucket}[algorithm]
limiter = RateLimiter(policy(f"{limit}/d"))
limiter.peek("user:0")
print("ready", flush=True)
sys.stdin.readline()

def hit_until_refused(number):
    allowed = 0
    while limiter.hit("user:1").allowed:
        allowed += 1
    return allowed

with ThreadPoolExecutor(threads) as pool:
    print(sum(pool.map(hit_until_refused, range(threads))), flush=True)
"""


@pytest.mark.parametrize("algorithm", POLICIES)
@pytest.mark.parametrize("limit", [1, 100, pytest.param(10_000, marks=pytest.mark.slow)])
def test_processes_and_threads__admit_exactly_the_limit(
    upstash: dict[str, dict[str, Any]], route: str, algorithm: str, limit: int
) -> None:
    started = [start(upstash[route], algorithm, limit, skew) for skew in (-30, 30, 0, 7)]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        printed = [process.communicate(timeout=300)[0] for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()

    assert sum(map(int, printed)) == limit


def start(entry: dict[str, Any], algorithm: str, limit: int, skew: int) -> subprocess.Popen[str]:
    argument = json.dumps([entry, algorithm, limit, skew, THREADS])
    command = [sys.executable, "-c", WORKER, argument]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_threads__hits_and_refunds_lose_nothing(make_limiter: MakeLimiter, policy: Any) -> None:
    limiter = make_limiter(policy.limited_to(1000))
    for _ in range(8):
        limiter.hit("user:1", 10)

    def hit_and_refund(number: int) -> None:
        for _ in range(5):
            limiter.hit("user:1")
            limiter.refund("user:1")
        limiter.hit("user:1")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hit_and_refund, range(8)))
    remaining = limiter.peek("user:1").remaining
    # A bucket of a thousand a day gets one back in 86 s.
    assert remaining == 1000 - 88


def test_threads__a_place_is_held_by_one(make_limiter: MakeLimiter) -> None:
    limiter = make_limiter(Concurrency(3))
    inside, most = [0], [0]

    def hold(number: int) -> int:
        with limiter.holding("user:1") as decision:
            if not decision.allowed:
                return 0
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            limiter.peek("user:1")
            inside[0] -= 1
        return 1

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(hold, range(60))) > 0
    assert most[0] <= 3
    assert limiter.peek("user:1").remaining == 3


def test_windows__hits_that_overshoot_are_taken_back(make_limiter: MakeLimiter, valkey: Server) -> None:
    """Sixteen processes that all believe there is room."""
    policy = FixedWindow("10/h")
    limiters: list[RateLimiter] = [make_limiter(policy) for _ in range(16)]
    key = "ratelimit:default:default:user:1"
    limiters[0].hit("user:1", 10)

    def hit_unaware(limiter: RateLimiter) -> bool:
        limiter.server.memory.forget(key)
        return limiter.hit("user:1").allowed

    assert not any(map(hit_unaware, limiters))
    assert valkey.call("GET", key).endswith(b"000000010")
