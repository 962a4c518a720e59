"""The near tier: asking again costs no command, and what this process writes is seen at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
import redis

from django_upstash.cache.near_cache import LocalStats, Near, NearTier, tiers
from django_upstash.cache.settings import NearCacheOptions
from django_upstash.dev_server import LocalServer
from django_upstash.operations import Operation
from tests.cache.conftest import OpenCache
from tests.forking import exit_status_in_fork
from tests.servers import Server

pytestmark = pytest.mark.matrix

LONG = {"NEAR_CACHE": {"TTL": 3600}}


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cache(open_cache: OpenCache) -> Any:
    return open_cache(KEY_PREFIX="shop", OPTIONS=LONG)


def requests(cache: Any) -> int:
    found: int = cache.connection.meter.requests
    return found


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_hit__costs_nothing(cache: Any) -> None:
    cache.set_many({"a": ["A"], "n": 1})
    assert (cache.get("a"), cache.get_many(["a", "n"])) == (["A"], {"a": ["A"], "n": 1})
    asked = requests(cache)
    for _ in range(10):
        assert cache.get("a") == ["A"]
        assert cache.get_many(["a", "n"]) == {"a": ["A"], "n": 1}
        assert cache.get_or_set("a", 0) == ["A"]
    assert requests(cache) == asked
    stats = cache.local_stats()
    assert stats == LocalStats(hits=41, misses=2, commands_saved=30, entries=2)


def test_get_many__asks_for_what_is_missing_alone(cache: Any, bystander: redis.Redis) -> None:
    cache.set_many({"a": 1, "b": 2})
    assert cache.get("a") == 1
    bystander.delete("shop:1:a")
    asked = requests(cache)
    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
    assert requests(cache) == asked + 1


def test_hit__is_a_copy(cache: Any) -> None:
    cache.set("k", ["v"])
    cache.get("k").append("changed by a caller")
    cache.get("k").append("changed by a caller")
    assert cache.get("k") == ["v"]


WRITES: list[tuple[str, tuple[Any, ...], Any]] = [
    ("set", ("k", "new"), "new"),
    ("set", ("k", "new", 0), None),
    ("set_many", ({"k": "new"},), "new"),
    ("set_many", ({"k": "new", "l": 1}, None), "new"),
    ("delete", ("k",), None),
    ("delete_many", (["k", "l"],), None),
    ("touch", ("k", 0), None),
    ("expire", ("k", 0), None),
    ("incr_version", ("k",), None),
    ("delete_pattern", ("k*",), None),
    ("clear", (), None),
]


@pytest.mark.parametrize(("method", "arguments", "expected"), WRITES)
def test_own_write__is_seen_at_once(
    open_cache: OpenCache, cache: Any, method: str, arguments: tuple[Any, ...], expected: Any
) -> None:
    cache.set("k", "old")
    assert cache.get("k") == "old"
    other = open_cache(KEY_PREFIX="shop", OPTIONS=LONG)
    getattr(other, method)(*arguments)
    assert cache.get("k") == expected


def test_own_write__of_counters(cache: Any) -> None:
    cache.set("n", 1)
    cache.set("f", 1.5)
    assert (cache.get("n"), cache.get("f")) == (1, 1.5)
    assert (cache.incr("n"), cache.decr("f")) == (2, 0.5)
    assert (cache.get("n"), cache.get("f")) == (2, 0.5)


def test_own_write__of_more_than_one_request(open_cache: OpenCache, settings: Any) -> None:
    settings.UPSTASH = {name: {**entry, "MAX_REQUEST_SIZE": 10_000} for name, entry in settings.UPSTASH.items()}
    cache = open_cache(KEY_PREFIX="shop", OPTIONS=LONG)
    keys = [f"k{number}" for number in range(40)]
    cache.set_many(dict.fromkeys(keys, "old" * 200))
    assert len(cache.get_many(keys)) == 40
    cache.set_many(dict.fromkeys(keys, "new" * 200))
    assert set(cache.get_many(keys).values()) == {"new" * 200}


def test_own_clear__removes_what_somebody_else_has_removed_already(cache: Any, bystander: redis.Redis) -> None:
    cache.set("k", "v")
    assert cache.get("k") == "v"
    bystander.delete("shop:1:k")
    assert cache.get("k") == "v"
    cache.clear()
    assert cache.get("k") is None


def test_own_invalidation_of_tags(open_cache: OpenCache) -> None:
    cache = open_cache(KEY_PREFIX="shop", OPTIONS={**LONG, "TAGS": True})
    cache.set("k", "v", tags=["t"])
    assert cache.get("k") == "v"
    asked = requests(cache)
    assert (cache.get("k"), cache.get_many(["k"])) == ("v", {"k": "v"})
    assert requests(cache) == asked
    cache.invalidate_tags("t")
    assert cache.get("k") is None


def test_others_write__is_seen_after_the_time(open_cache: OpenCache, bystander: redis.Redis) -> None:
    cache = open_cache(KEY_PREFIX="shop", OPTIONS={"NEAR_CACHE": {"TTL": 1000}})
    clock = Clock()
    tiers.of(cache.connection, "shop", NearCacheOptions(ttl=1000))._clock = clock
    cache.set("k", 1, None)
    assert cache.get("k") == 1
    bystander.set("shop:1:k", 2)
    clock.now += 999
    assert cache.get("k") == 1
    clock.now += 1
    assert cache.get("k") == 2


@pytest.mark.parametrize("give", ["set", "set_many", "expire", "get_or_set"])
def test_hit__lasts_no_longer_than_the_key(open_cache: OpenCache, give: str) -> None:
    cache = open_cache(KEY_PREFIX="shop", OPTIONS=LONG)
    tier = tiers.of(cache.connection, "shop", NearCacheOptions(ttl=3600))
    clock = Clock()
    tier._clock = clock
    if give == "set":
        cache.set("k", 1, 5)
    elif give == "set_many":
        cache.set_many({"k": 1, "l": 2}, 5)
    elif give == "expire":
        cache.set("k", 1, None)
        cache.expire("k", 5)
    else:
        cache.get_or_set("k", 1, 5, early=1)
        tier.forget_everything()  # as in a process that has not stored the value itself
    assert cache.get("k") == 1
    asked = requests(cache)
    clock.now += 4.5
    assert cache.get("k") == 1
    assert requests(cache) == asked
    clock.now += 0.5
    assert cache.get("k") == 1
    assert requests(cache) == asked + 1


def test_miss__is_remembered_where_asked_for(open_cache: OpenCache, bystander: redis.Redis) -> None:
    forgetful = open_cache(KEY_PREFIX="shop", OPTIONS=LONG)
    assert forgetful.get("k") is None
    bystander.set("shop:1:k", 1)
    assert forgetful.get("k") == 1
    cache = open_cache(KEY_PREFIX="blog", OPTIONS={"NEAR_CACHE": {"MISSES": True}})
    assert cache.get("k", "default") == "default"
    asked = requests(cache)
    assert (cache.get("k"), cache.get_many(["k"])) == (None, {})
    assert requests(cache) == asked
    assert cache.add("k", "own") is True
    assert cache.get("k") == "own"


def test_tier__is_bounded_and_forgets_what_was_used_longest_ago(open_cache: OpenCache) -> None:
    cache = open_cache(KEY_PREFIX="shop", OPTIONS={"NEAR_CACHE": {"MAX_ENTRIES": 2, "TTL": 3600}})
    cache.set_many({"a": 1, "b": 2, "c": 3})
    for key in ("a", "b", "a", "c"):
        cache.get(key)
    assert cache.local_stats().entries == 2
    asked = requests(cache)
    cache.get("a")
    assert requests(cache) == asked
    cache.get("b")
    assert requests(cache) == asked + 1


def test_tier__of_another_prefix_is_another(open_cache: OpenCache, cache: Any) -> None:
    cache.set("k", 1)
    assert open_cache(KEY_PREFIX="blog", OPTIONS=LONG).get("k") is None
    assert open_cache(KEY_PREFIX="blog").local_stats() == LocalStats()


def test_read_around_a_write__is_not_remembered(make_cache: OpenCache, route: str) -> None:
    """The read is asked before the write begins, and its reply arrives after the write has ended."""
    cache = make_cache(route, KEY_PREFIX="shop", OPTIONS=LONG)
    cache.set("k", "old")

    class WritingMeanwhile:
        def run(self, operation: Operation[Any]) -> Any:
            replies = cache.connection.route.execute(operation.commands)
            make_cache(route, KEY_PREFIX="shop", OPTIONS=LONG).set("k", "new")
            return operation.parse(replies)

    server, cache.runner = cache.runner, Near(cast(Any, WritingMeanwhile()), cache.runner._tier)
    assert cache.get("k") == "old"
    cache.runner = server
    assert cache.get("k") == "new"


@pytest.mark.parametrize("fails", [False, True])
def test_read_within_a_write__is_not_remembered(make_cache: OpenCache, route: str, fails: bool) -> None:
    cache = make_cache(route, KEY_PREFIX="shop", OPTIONS=LONG)
    cache.set("k", "old")

    class ReadingMeanwhile:
        def run(self, operation: Operation[Any]) -> Any:
            reader = make_cache(route, KEY_PREFIX="shop", OPTIONS=LONG)
            if operation.commands[0][0] == "GET":
                return cache.connection.run(operation)
            assert reader.get("k") == "old"
            if fails:
                raise redis.TimeoutError("lost")
            return cache.connection.run(operation)

    cache.runner = Near(cast(Any, ReadingMeanwhile()), cache.runner._tier)
    if fails:
        with pytest.raises(redis.TimeoutError):
            cache.set("k", "new")
        cache.connection.redis.set("shop:1:k", cache.keyspace.dumps("new", b"k"))
    else:
        cache.set("k", "new")
    assert cache.get("k") == "new"


def test_failed_write__is_forgotten_too(open_cache: OpenCache, route: str, local_server: LocalServer) -> None:
    if route != "rest":
        pytest.skip("the REST server loses replies on request")
    cache = open_cache(KEY_PREFIX="shop", OPTIONS=LONG)
    cache.set("n", 0)
    cache.incr("n")
    assert cache.get("n") == 1
    local_server.inject("drop_after")
    with pytest.raises(redis.ConnectionError):
        cache.incr("n")
    assert cache.get("n") == 2


def test_miss__costs_what_it_costs_without(open_cache: OpenCache, valkey: Server) -> None:
    plain, tiered = open_cache(KEY_PREFIX="plain"), open_cache(KEY_PREFIX="tiered", OPTIONS=LONG)
    costs = []
    for cache in (plain, tiered):
        cache.set_many({"a": 1, "b": 2})
        cache.incr("a")
        before = requests(cache)
        with valkey.counting() as counted:
            cache.get("a"), cache.get_many(["a", "b"]), cache.has_key("a"), cache.ttl("a")
            cache.set("a", 1), cache.touch("a"), cache.incr("a"), cache.get_or_set("c", 1), cache.delete("a")
        costs.append((requests(cache) - before, counted.commands))
    assert costs[0] == costs[1]


def test_threads__see_their_own_writes(make_cache: OpenCache, route: str) -> None:
    cache = make_cache(route, KEY_PREFIX="shop", OPTIONS=LONG)

    def use(number: int) -> list[int]:
        wrong = []
        for round_ in range(40):
            cache.set(f"k{number}", round_)
            found = [cache.get(f"k{number}"), cache.get("shared"), cache.get(f"k{number}")]
            cache.set("shared", round_)
            wrong += [round_] if found[::2] != [round_, round_] else []
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert [wrong for wrong in pool.map(use, range(8)) if wrong] == []


def test_loops__share_the_tier(make_cache: OpenCache, route: str) -> None:
    cache = make_cache(route, KEY_PREFIX="shop", OPTIONS=LONG)
    asyncio.run(cache.aset("k", 1))
    assert asyncio.run(cache.aget("k")) == 1
    asked = requests(cache)
    assert (asyncio.run(cache.aget("k")), cache.get("k")) == (1, 1)
    assert requests(cache) == asked


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_fork__while_another_thread_holds_the_lock(fork: Callable[[], int]) -> None:
    connection: Any = type("Connection", (), {})()
    tier = tiers.of(connection, "", NearCacheOptions(ttl=3600))
    tier.keep("k", b"v", tier.stamp("k"))

    def check() -> bool:
        tier.keep("k", b"w", tier.stamp("k"))
        return bool(tier.find("k") == b"w")

    with tier._lock:
        assert exit_status_in_fork(check, fork) == 0


def test_tiers__that_no_cache_object_uses_are_bounded(cache: Any) -> None:
    def of(prefix: str) -> NearTier:
        return tiers.of(cache.connection, prefix, NearCacheOptions(ttl=3600))

    used = of("used")
    for number in range(3000):
        of(f"tenant {number}")
    assert tiers.count(cache.connection) < 1100
    assert of("used") is used
