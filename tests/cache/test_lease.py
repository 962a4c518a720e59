"""cross_process: one process computes, the others wait for its value, or for its lease to end."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.cache.conftest import OpenCache
from tests.servers import Server, ServerMissing, start_redis

pytestmark = pytest.mark.matrix

LEASE = "shop:-0:~lease:shop:1:k"
ROOT = Path(__file__).resolve().parents[2]
PROCESSES, CALLERS = 4, 25
CROWD = """
import asyncio, json, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import django
from django.conf import settings
upstash, way, callers = json.loads(sys.argv[1])
settings.configure(SECRET_KEY="x", UPSTASH={"default": upstash})
django.setup()
from django_upstash.cache import UpstashCache
cache = UpstashCache("default", {"KEY_PREFIX": "shop"})
redis = cache.connection.redis
start = threading.Barrier(callers)

def factory():
    redis.incr("runs")
    time.sleep(0.2)
    if redis.decr("failures") >= 0:
        raise LookupError
    return "computed"

async def afactory():
    return await asyncio.to_thread(factory)

def call(_):
    start.wait()
    try:
        return cache.get_or_set("k", factory, cross_process=True)
    except LookupError:
        return "failed"

async def acall():
    try:
        return await cache.aget_or_set("k", afactory, cross_process=True)
    except LookupError:
        return "failed"

async def crowd():
    return await asyncio.gather(*[acall() for _ in range(callers)])

redis.ping()
redis.incr("ready")
while int(redis.get("ready")) < 4:
    time.sleep(0.005)
if way == "threads":
    with ThreadPoolExecutor(callers) as pool:
        results = list(pool.map(call, range(callers)))
else:
    results = asyncio.run(crowd())
print(json.dumps(results))
"""


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(
    ("route", "way", "failures"),
    [("native", "threads", 0), ("native", "tasks", 2), ("rest", "threads", 2), ("rest", "tasks", 0)],
)
def test_processes__compute_once(
    route: str, way: str, failures: int, upstash: dict[str, Any], bystander: redis.Redis
) -> None:
    bystander.set("failures", failures)
    arguments = json.dumps([upstash[route], way, CALLERS])
    children = [
        subprocess.Popen([sys.executable, "-c", CROWD, arguments], stdout=subprocess.PIPE, cwd=ROOT)
        for _ in range(PROCESSES)
    ]
    results = [result for child in children for result in json.loads(child.communicate(timeout=60)[0])]
    assert results.count("failed") == failures
    assert results.count("computed") == PROCESSES * CALLERS - failures
    assert int(bystander.get("runs") or 0) == 1 + failures
    assert not bystander.exists(LEASE)


@pytest.fixture
def busy(cache: Any, bystander: redis.Redis) -> Any:
    """A cache whose key another process computes at the moment."""
    bystander.set(LEASE, "another process")
    return cache


def test_lease__waits_for_the_value(busy: Any, bystander: redis.Redis) -> None:
    plain = getattr(busy, "cache", busy)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(busy.get_or_set, "k", lambda: "mine", cross_process=True)
        plain.set("k", "theirs")
        assert waiting.result(20) == "theirs"
    assert bystander.get(LEASE) == b"another process"


def test_lease__takes_over_from_a_holder_that_gives_up(busy: Any, bystander: redis.Redis) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(busy.get_or_set, "k", lambda: "mine", cross_process=True)
        bystander.delete(LEASE)
        assert waiting.result(20) == "mine"
    assert not bystander.exists(LEASE)


def test_lease__computes_once_it_has_waited_as_long_as_a_lease_lasts(busy: Any, bystander: redis.Redis) -> None:
    assert busy.get_or_set("k", lambda: "mine", cross_process=True, lease=0.05) == "mine"
    assert bystander.get(LEASE) == b"another process"


def test_lease__is_held_while_computing_and_released_after_a_failure(cache: Any, bystander: redis.Redis) -> None:
    left: list[Any] = []

    def default() -> None:
        left.append(bystander.pttl(LEASE))
        raise LookupError

    with pytest.raises(LookupError):
        cache.get_or_set("k", default, cross_process=True, lease=5)
    assert 4000 < left[0] <= 5000
    assert not bystander.exists(LEASE)


def test_lease__of_somebody_else_is_not_released(cache: Any, bystander: redis.Redis) -> None:
    def default() -> str:
        bystander.set(LEASE, "took over")
        return "late"

    assert cache.get_or_set("k", default, cross_process=True) == "late"
    assert bystander.get(LEASE) == b"took over"


def test_lease__is_released_by_a_cancelled_task(make_cache: OpenCache, route: str, bystander: redis.Redis) -> None:
    cache = make_cache(route, KEY_PREFIX="shop")

    async def main() -> None:
        began = asyncio.Event()

        async def default() -> None:
            began.set()
            await asyncio.sleep(20)

        task = asyncio.create_task(cache.aget_or_set("k", default, cross_process=True))
        await began.wait()
        assert bystander.exists(LEASE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not bystander.exists(LEASE)


def test_lease__without_delete_if_equal(settings: Any, make_cache: OpenCache) -> None:
    try:
        with start_redis() as server:
            _hold_and_lose(server, settings, make_cache)
    except ServerMissing as missing:
        pytest.skip(str(missing))


def _hold_and_lose(server: Server, settings: Any, make_cache: OpenCache) -> None:
    settings.UPSTASH = {"old": {"URL": server.url}}
    cache = make_cache("old", KEY_PREFIX="shop", OPTIONS={"TAGS": True})
    assert cache.get_or_set("k", lambda: "mine", cross_process=True, early=1, grace=60, tags=["news"]) == "mine"
    assert not cache.connection.redis.exists(LEASE)
    assert cache.get_or_set("l", lambda: cache.connection.redis.set("shop:-0:~lease:shop:1:l", "x"), cross_process=True)
    assert cache.connection.redis.get("shop:-0:~lease:shop:1:l") == b"x"
    assert cache.connection.capabilities.lacks >= {"DELEX", "DELIFEQ"}
    assert cache.has_key("k")
    cache.invalidate_tags("news")
    assert not cache.has_key("k")
