"""Any number of keys: in pieces, counted, resumed, and in memory that does not grow with them."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from django_upstash.operations.key_scan import PAGE_SIZE, Swept
from tests.cache.conftest import OpenCache

pytestmark = pytest.mark.matrix

MANY = [20_000, pytest.param(1_000_000, marks=pytest.mark.slow, id="million")]
MIB = 1024 * 1024


def pairs(number: int, start: int = 0) -> Iterator[tuple[str, int]]:
    return ((f"key{place}", place) for place in range(start, number))


def fill(server: redis.Redis, number: int, pattern: str = "shop:1:key%d") -> None:
    for start in range(0, number, 10_000):
        server.mset({pattern % place: place for place in range(start, min(number, start + 10_000))})


def requests(cache: Any) -> int:
    return int(cache.connection.meter.requests)


def test_warm__stores_all_in_pieces(cache: Any, bystander: redis.Redis) -> None:
    seen: list[int] = []
    cache.get("open")
    before = requests(cache)
    assert cache.warm(pairs(250), 60, chunk=100, progress=seen.append) == 250
    assert requests(cache) - before <= 4  # one more where the server has no MSETEX
    assert seen == [100, 200, 250]
    assert cache.get_many(["key0", "key249"]) == {"key0": 0, "key249": 249}
    assert 58 <= cache.ttl("key7") <= 60
    assert cache.warm({"a": 1}, None) == 1
    assert cache.ttl("a") is None
    assert cache.warm([]) == 0
    assert cache.warm({"a": 2}, version=2) == 1
    assert (cache.get("a"), cache.get("a", version=2)) == (1, 2)


def test_warm__pieces_by_size(open_cache: OpenCache, upstash: Any, settings: Any, route: str) -> None:
    settings.UPSTASH = {route: {**upstash[route], "MAX_REQUEST_SIZE": 100_000}}
    cache = open_cache()
    seen: list[int] = []
    assert cache.warm(((str(place), "x" * 30_000) for place in range(6)), progress=seen.append) == 6
    assert seen == [2, 4, 6]


def test_warm__resumes_after_an_error(cache: Any) -> None:
    def breaking() -> Iterator[tuple[str, int]]:
        yield from pairs(25)
        raise OSError("the source")

    done = [0]
    with pytest.raises(OSError, match="the source"):
        cache.warm(breaking(), chunk=10, progress=done.append)
    assert done[-1] == 20
    assert cache.warm(pairs(30, start=done[-1]), chunk=10) == 10
    assert len(cache.get_many(f"key{place}" for place in range(30))) == 30


def test_warm__leaves_out_what_is_too_large(open_cache: OpenCache) -> None:
    cache = open_cache(OPTIONS={"MAX_VALUE_SIZE": 1000, "ON_OVERSIZE": "skip"})
    seen: list[int] = []
    assert cache.warm({"a": 1, "b": "x" * 5000}, progress=seen.append) == 1
    assert (seen, cache.get("b")) == ([2], None)


@pytest.mark.parametrize("method", ["warm", "touch_many"])
def test_pieces__of_at_least_one(cache: Any, method: str) -> None:
    with pytest.raises(ValueError, match="1 or more, not 0"):
        getattr(cache, method)([], chunk=0)


def test_warm__timeout_that_stores_nothing(cache: Any) -> None:
    with pytest.raises(ValueError, match="more than 0 seconds"):
        cache.warm({"a": 1}, 0)


@pytest.mark.parametrize("tags", [False, True])
def test_touch_many(open_cache: OpenCache, tags: bool) -> None:
    cache = open_cache(OPTIONS={"TAGS": tags})
    cache.set_many(dict(pairs(25)), 1000)
    seen: list[int] = []
    assert cache.touch_many((f"key{place}" for place in range(30)), 5000, chunk=10, progress=seen.append) == 25
    assert seen == [10, 20, 30]
    assert 4900 < cache.ttl("key24") <= 5000
    assert cache.touch_many(["key1", "key2", "none"], None) == 2
    assert cache.touch_many(["key1"], None) == 1
    assert (cache.ttl("key1"), cache.ttl("key3") is None) == (None, False)
    assert cache.touch_many(["key1"]) == 1
    assert cache.ttl("key1") in range(291, 301)
    assert cache.touch_many(["key1", "none"], 0) == 1
    assert cache.get("key1") is None


@pytest.mark.default_cases(3)
def test_touch_many__requests(open_cache: OpenCache) -> None:
    cache = open_cache(OPTIONS={"TAGS": True})
    cache.set_many(dict(pairs(2500)))
    cache.touch("key1")
    before = requests(cache)
    assert cache.touch_many(dict(pairs(2500))) == 2500
    assert requests(cache) - before <= 6  # fewer keys in each, for the script's source may have to be sent


def test_touch_many__invalidated_value_is_absent(open_cache: OpenCache) -> None:
    cache = open_cache(OPTIONS={"TAGS": True})
    cache.set("a", 1, tags=["t"])
    cache.set("b", 1, tags=["u"])
    cache.invalidate_tags("t")
    assert cache.touch_many(["a", "b"], 50) == 1


@pytest.mark.parametrize("number", MANY)
@pytest.mark.parametrize("method", ["delete_pattern", "clear"])
def test_sweep__requests_and_memory(
    make_cache: OpenCache, route: str, bystander: redis.Redis, number: int, method: str
) -> None:
    cache = make_cache(route, KEY_PREFIX="shop")
    fill(bystander, number)
    fill(bystander, number // 100, "shop:1:doomed%d")
    total = number + number // 100
    doomed = number // 100 if method == "delete_pattern" else total
    cache.get("open")
    before = requests(cache)
    tracemalloc.start()
    try:
        removed = cache.delete_pattern("doomed*") if method == "delete_pattern" else cache.clear()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert requests(cache) - before <= math.ceil(total / PAGE_SIZE) + math.ceil(doomed / PAGE_SIZE)
    assert peak < 4 * MIB
    assert (removed, bystander.dbsize()) == (None if method == "clear" else doomed, total - doomed)


@pytest.mark.parametrize("number", MANY)
def test_warm__memory(make_cache: OpenCache, route: str, number: int) -> None:
    cache = make_cache(route)
    cache.warm(pairs(2000))
    tracemalloc.start()
    try:
        assert cache.warm(pairs(number)) == number
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MIB


@pytest.mark.parametrize("method", ["delete_pattern", "clear"])
def test_sweep__goes_on_where_it_stopped(cache: Any, bystander: redis.Redis, method: str) -> None:
    class Stop(Exception):
        pass

    def stop_at_last(swept: Swept) -> None:
        seen.append(swept)
        if len(seen) == 3:
            raise Stop

    def sweep(**options: Any) -> Any:
        return cache.delete_pattern("*", **options) if method == "delete_pattern" else cache.clear(**options)

    seen: list[Swept] = []
    fill(bystander, 1000)
    with pytest.raises(Stop):
        sweep(itersize=100, progress=stop_at_last)
    assert 0 < seen[-1].removed == 1000 - bystander.dbsize() < 1000
    requests_before = requests(cache)
    later: list[Swept] = []
    sweep(itersize=100, cursor=seen[-1].cursor, progress=later.append)
    assert requests(cache) - requests_before <= 10
    assert (bystander.dbsize(), later[-1].cursor) == (0, None)
    assert seen[-1].removed + later[-1].removed == 1000
