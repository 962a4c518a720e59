"""Threads and processes at once, on both routes: not one too many, and not one lost."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from time import monotonic
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
entry, skew, threads = json.loads(sys.argv[1])
real = time.time
time.time = lambda: real() + skew
options = {"TIMEOUT": 60, "ON_FAILURE": "closed"}
settings.configure(SECRET_KEY="x", UPSTASH={"default": entry}, UPSTASH_RATELIMIT=options)
django.setup()
from django_upstash.ratelimit import FixedWindow, RateLimiter, SlidingWindow, TokenBucket
policies = {"window": FixedWindow, "sliding": SlidingWindow, "bucket": TokenBucket}

def hit_until_refused(limiter):
    allowed = 0
    while limiter.hit("user:1").allowed:
        allowed += 1
    return allowed

for line in sys.stdin:
    algorithm, limit = json.loads(line)
    limiter = RateLimiter(policies[algorithm](f"{limit}/d", scope=f"{algorithm} {limit}"))
    limiter.peek("user:0")
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(threads) as pool:
        print(sum(pool.map(hit_until_refused, [limiter] * threads)), flush=True)
"""


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("limits", [(1, 100), pytest.param((10_000,), marks=pytest.mark.slow)], ids=["few", "many"])
def test_processes_and_threads__admit_exactly_the_limit(
    upstash: dict[str, dict[str, Any]], route: str, limits: tuple[int, ...]
) -> None:
    workers = [start(upstash[route], skew) for skew in (-30, 30, 0, 7)]
    try:
        for algorithm, limit in product(POLICIES, limits):
            began = monotonic()
            admitted = race(workers, algorithm, limit)
            # A bucket goes on being filled.
            filled = int((monotonic() - began) * limit / 86_400 + 0.5) if algorithm == "bucket" else 0
            assert limit <= admitted <= limit + filled, (algorithm, limit)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def race(workers: list[subprocess.Popen[str]], algorithm: str, limit: int) -> int:
    """Let all workers hit at once until they are refused; return how often they were allowed."""
    for line, answer in ((json.dumps([algorithm, limit]), "ready"), ("go", None)):
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write(f"{line}\n")
            worker.stdin.flush()
        printed = [worker.stdout.readline().strip() for worker in workers if worker.stdout is not None]
        assert answer is None or printed == [answer] * PROCESSES
    return sum(map(int, printed))


def start(entry: dict[str, Any], skew: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, json.dumps([entry, skew, THREADS])]
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
