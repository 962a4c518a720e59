"""``cache.stats()``: what a cache was asked, summed and priced; the same for a scraper and on the command line."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.test import RequestFactory

from django_upstash.connections import connections
from django_upstash.observability import metrics, numbers
from django_upstash.operations import command
from tests.management.calls import health

OpenCache = Callable[..., Any]


def test_stats__hits_and_misses(cache: Any) -> None:
    cache.set_many({"a": 1, "b": None})
    before = cache.stats()
    found = [
        cache.get("a"),
        cache.get("b"),
        cache.get("c", 7),
        cache.get_many(["a", "b", "c", "d"]),
        cache.get_many([]),
    ]
    after = cache.stats()

    assert found == [1, None, 7, {"a": 1, "b": None}, {}]
    assert (after.hits - before.hits, after.misses - before.misses) == (4, 3)
    assert after.requests - before.requests == after.commands - before.commands == 4


def test_stats__of_tagged_values(open_cache: OpenCache) -> None:
    cache = open_cache(OPTIONS={"TAGS": True})
    cache.set("a", 1, tags=["t"])
    before = cache.stats()
    assert (cache.get("a"), cache.get_many(["a"])) == (1, {"a": 1})
    cache.invalidate_tags("t")
    assert (cache.get("a"), cache.get_many(["a"])) == (None, {})
    after = cache.stats()

    assert (after.hits - before.hits, after.misses - before.misses) == (2, 2)


def test_stats__of_get_or_set(cache: Any) -> None:
    before = cache.stats()
    assert [cache.get_or_set("a", 1), cache.get_or_set("a", 2)] == [1, 1]
    after = cache.stats()

    assert (after.hits - before.hits, after.misses - before.misses) == (1, 1)


def test_stats__under_threads_and_tasks(make_cache: OpenCache, route: str) -> None:
    cache = make_cache(route)
    cache.set("a", 1)
    before = cache.stats()

    async def ask() -> None:
        await asyncio.gather(*(cache.aget(key) for key in ["a", "b"] * 100))

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(cache.get, ["a", "b"] * 200))
    asyncio.run(ask())
    after = cache.stats()

    assert (after.hits - before.hits, after.misses - before.misses) == (300, 300)
    assert after.requests - before.requests == 600


def test_stats__all_processes(cache: Any, route: str) -> None:
    cache.get("a")
    connection = connections[route]
    theirs = json.dumps({"at": time.time(), "counts": connection.meter.read()._replace(hits=1000, requests=5000)})
    old = json.dumps({"at": time.time() - numbers.KEPT - 1, "counts": connection.meter.read()})
    connection.run(command("HSET", numbers.SHARED_KEY, "other", theirs, "old", old))
    own = cache.stats()
    before = connection.meter.read()
    found = cache.stats(all_processes=True)
    after = connection.meter.read()

    assert (found.processes, found.hits, found.requests) == (2, own.hits + 1000, own.requests + 5000)
    assert after.commands - before.commands == 4  # with the one that removes what is old
    assert connection.run(command("HEXISTS", numbers.SHARED_KEY, "old")) == 0
    assert 0 < connection.run(command("TTL", numbers.SHARED_KEY)) <= numbers.KEPT


DAMAGED = ["", "{", "[]", "null", "{}", '{"at": 1}', '{"at": null, "counts": []}', "[" * 100_000, "\ud800"]
SHAPES: list[dict[str, Any]] = [{"hits": None}, {"hits": -1}, {"hits": True}, {"latencies": [1]}, {"latencies": 1}]
SHAPES += [{"age": float("nan")}, {"seconds": float("inf")}, {"errors": "1"}, {"requests": 10**30}]


def test_stats__of_others_that_are_damaged_are_removed(cache: Any, route: str) -> None:
    cache.get("a")
    connection = connections[route]
    reading = connection.meter.read()
    forged = [json.dumps({"at": time.time(), "counts": reading._replace(**shape)}) for shape in SHAPES]
    for number, text in enumerate([*DAMAGED, *forged]):
        stored = text.encode("utf-8", "replace").decode()
        connection.run(command("HSET", numbers.SHARED_KEY, f"other {number}", stored))
    assert cache.stats(all_processes=True).processes == 1
    assert connection.run(command("HLEN", numbers.SHARED_KEY)) == 1


def test_month__at_the_prices_of_pay_as_you_go() -> None:
    cost = numbers._cost(100_000, 10**9, 3, numbers.MONTH / 1000, 2)

    assert cost.commands == pytest.approx(1e8)
    assert cost.gigabytes == pytest.approx(1000)
    assert cost.dollars == pytest.approx(200 + 800 * 0.03)
    assert "2592 s counted, of 2 processes" in cost.assumptions[0]
    assert "3 script calls" in cost.assumptions[2]


@pytest.mark.parametrize("route", ["native"])
def test_openmetrics__is_what_stats_says(make_cache: OpenCache, route: str) -> None:
    cache = make_cache(route)
    cache.set("a", 1)
    cache.get("a")
    response = metrics.metrics(RequestFactory().get("/metrics/"))
    lines = response.content.decode().splitlines()
    stats = cache.stats()

    assert response["Content-Type"].startswith("application/openmetrics-text")
    assert lines[-1] == "# EOF"
    assert f'django_upstash_cache_hits_total{{alias="native"}} {stats.hits}' in lines
    assert f'django_upstash_sent_bytes_total{{alias="native"}} {stats.bytes_sent}' in lines
    assert f'django_upstash_request_seconds_count{{alias="native"}} {stats.requests}' in lines
    assert f'django_upstash_request_seconds_bucket{{alias="native",le="+Inf"}} {stats.requests}' in lines
    assert metrics.metrics(RequestFactory().post("/metrics/")).status_code == 405


@pytest.mark.parametrize("route", ["native", "rest"])
def test_redis_health_stats__sums_what_was_shared(make_cache: OpenCache, route: str) -> None:
    assert "No process has shared its counts" in health("stats", route)
    cache = make_cache(route)
    cache.get("a")
    shared = cache.stats(all_processes=True)
    document = json.loads(health("stats", route, json=True))

    assert (document["status"], document["misses"], document["processes"]) == ("ok", shared.misses, 1)
    lines = health("stats", route).splitlines()
    assert lines[0].startswith(f"1 process on {route}, ")
    assert any(line.startswith("a month costs") and "$" in line for line in lines)
