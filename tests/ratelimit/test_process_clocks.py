"""Processes whose own clocks are wrong or jump, under libfaketime, count together within the limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.servers import ServerMissing, libfaketime

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT = 20
ALGORITHMS = ("window", "sliding", "bucket", "places", "quota")

# Hits by each algorithm in turn, whenever it is told to, and prints how often each has allowed it.
WORKER = """
import json, sys
import django
from django.conf import settings
entry, limit = json.loads(sys.argv[1])
options = {"TIMEOUT": 60, "ON_FAILURE": "closed"}
settings.configure(SECRET_KEY="x", UPSTASH={"default": entry}, UPSTASH_RATELIMIT=options)
django.setup()
from django_upstash.ratelimit import Concurrency, FixedWindow, Quota, RateLimiter, SlidingWindow, TokenBucket
limiters = {
    "window": RateLimiter(FixedWindow(f"{limit}/d", scope="window")),
    "sliding": RateLimiter(SlidingWindow(f"{limit}/d", scope="sliding")),
    "bucket": RateLimiter(TokenBucket(f"{limit}/d", scope="bucket")),
    "places": RateLimiter(Concurrency(limit, lease=86_400, scope="places")),
    "quota": RateLimiter(Quota(limit, "month", scope="quota")),
}
for line in sys.stdin:
    allowed = {name: sum(limiter.hit("user:1").allowed for _ in range(5)) for name, limiter in limiters.items()}
    print(json.dumps(allowed), flush=True)
"""


@pytest.fixture(scope="module")
def library() -> Path:
    try:
        return libfaketime()
    except ServerMissing as missing:
        pytest.skip(str(missing))


def start(entry: dict[str, Any], library: Path, clock: Path, *, all_clocks: bool) -> subprocess.Popen[str]:
    """Start a process that goes by the clock in a file; ``all_clocks`` gives it a steady clock of that kind, too."""
    environment = os.environ | {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "0" if all_clocks else "1",
    }
    command = [sys.executable, "-c", WORKER, json.dumps([entry, LIMIT])]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )


def hit(worker: subprocess.Popen[str]) -> dict[str, int]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()
    answer: dict[str, int] = json.loads(worker.stdout.readline())
    return answer


@pytest.mark.parametrize("jump", [2, 90, 3600])
def test_processes_with_wrong_clocks__count_together(
    upstash: dict[str, dict[str, Any]], route: str, library: Path, tmp_path: Path, jump: int
) -> None:
    """Two are a day ahead and behind; the third's clocks all jump while it runs."""
    clocks = [tmp_path / name for name in ("ahead", "behind", "jumping")]
    for clock, offset in zip(clocks, (86_400, -86_400, 0), strict=True):
        clock.write_text(f"{offset:+f}\n")
    workers = [start(upstash[route], library, clock, all_clocks=clock.name == "jumping") for clock in clocks]
    try:
        found = [hit(worker) for worker in workers]
        clocks[2].write_text(f"{jump:+f}\n")
        found += [hit(worker) for _ in range(3) for worker in reversed(workers)]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    # A jump into the next day may waste a hit of a window by the calendar.
    counted = {name: sum(allowed[name] for allowed in found) for name in ALGORITHMS}
    assert all(LIMIT - 5 <= count <= LIMIT for count in counted.values()), counted
