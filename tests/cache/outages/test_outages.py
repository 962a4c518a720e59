"""An outage that nobody notices: answered by this process, found to be over within a second, and nothing comes back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from django_upstash import exceptions
from django_upstash.cache import memory_store
from django_upstash.cache.failover_state import outages
from django_upstash.cache.signals import backend_changed
from tests.cache.conftest import OpenCache
from tests.cache.outages.conftest import LOCAL, PAUSE
from tests.fault_proxy import FaultProxy
from tests.forking import exit_status_in_fork

pytestmark = pytest.mark.matrix


@pytest.fixture
def cache(open_cache: OpenCache) -> Any:
    cache = open_cache(KEY_PREFIX="shop", OPTIONS=LOCAL)
    cache.connection.availability.pause = PAUSE
    cache.set("warm", 1)
    return cache


def wait_until_back(cache: Any) -> None:
    deadline = time.monotonic() + 20
    while cache.backend_in_use != "server" and time.monotonic() < deadline:
        cache.get("warm")
        time.sleep(PAUSE / 5)
    assert cache.backend_in_use == "server"


def test_outage__is_answered_here(cache: Any, cut: Callable[[], None]) -> None:
    cache.set("k", "server's")
    cut()
    assert cache.get("k", "none") == "none"
    assert cache.backend_in_use == "memory"
    assert cache.set("k", ["local"]) is True
    assert cache.get("k") == ["local"]
    cache.get("k").append("changed by a caller")
    assert cache.get("k") == ["local"]
    assert cache.add("k", 1) is False
    assert cache.get_or_set("computed", lambda: "once") == "once"
    assert cache.get_many(["k", "computed", "missing"]) == {"k": ["local"], "computed": "once"}


def test_outage__nothing_leaks_and_nothing_older_comes_back(
    cache: Any, cut: Callable[[], None], proxy: FaultProxy, bystander: redis.Redis
) -> None:
    cache.set_many({"set": "old", "deleted": "old", "expired": "old", "moved": "old", "kept": "old"}, None)
    cut()
    cache.set("set", "local")
    cache.delete("deleted")
    cache.set("expired", "local", 0)
    cache.set("new", "local")
    proxy.heal()
    wait_until_back(cache)
    assert cache.get_many(["set", "deleted", "expired", "new", "moved", "kept"]) == {"moved": "old", "kept": "old"}
    assert sorted(bystander.keys("shop:*")) == [b"shop:1:kept", b"shop:1:moved", b"shop:1:warm"]


def test_outage__counters_and_versions(cache: Any, cut: Callable[[], None], proxy: FaultProxy) -> None:
    cache.set("n", 5, None)
    cut()
    with pytest.raises(ValueError, match="not found"):
        cache.incr("n")
    cache.set("m", 5, None)
    assert (cache.incr("m", 2), cache.decr("m")) == (7, 6)
    assert cache.incr_version("m") == 2
    assert cache.get("m", version=2) == 6
    proxy.heal()
    wait_until_back(cache)
    # What was not counted here either is as it was.
    assert cache.get("n") == 5
    assert cache.get("m") is None
    assert cache.get("m", version=2) is None


@pytest.mark.parametrize("sweep", ["clear", "delete_pattern"])
def test_outage__what_removes_unknown_keys_clears_the_prefix(
    cache: Any, cut: Callable[[], None], proxy: FaultProxy, bystander: redis.Redis, sweep: str
) -> None:
    bystander.set("other", "stays")
    cache.set("k", "old")
    cut()
    cache.set("l", "local")
    getattr(cache, sweep)(*(["l*"] if sweep == "delete_pattern" else []))
    assert cache.get("l") is None
    proxy.heal()
    wait_until_back(cache)
    assert cache.get("k") is None
    assert bystander.keys("*") == [b"other"]


def test_outage__too_many_changes_clear_the_prefix(
    cache: Any, cut: Callable[[], None], proxy: FaultProxy, bystander: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    bystander.set("other", "stays")
    cut()
    cache.set_many({f"k{number}": number for number in range(memory_store.MOST_CHANGES + 1)})
    (said,) = [record.getMessage() for record in caplog.records if "have changed" in record.getMessage()]
    assert "the whole prefix is cleared" in said
    proxy.heal()
    wait_until_back(cache)
    assert bystander.keys("*") == [b"other"]


def test_outage__signal_and_log_at_each_change(
    cache: Any, cut: Callable[[], None], proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "django_upstash.cache")
    seen: list[tuple[str, str, bool]] = []

    def receive(key_prefix: str, backend: str, error: Exception | None, **kwargs: Any) -> None:
        seen.append((key_prefix, backend, isinstance(error, redis.ConnectionError)))
        raise ValueError("of a receiver")

    backend_changed.connect(receive)
    try:
        cut()
        for _ in range(3):
            cache.set("k", "private")
        proxy.heal()
        wait_until_back(cache)
    finally:
        backend_changed.disconnect(receive)
    assert seen == [("shop", "memory", True), ("shop", "server", False)]
    assert len([record for record in caplog.records if record.name == "django_upstash.cache"]) == 2
    assert "private" not in caplog.text


def test_outage__is_shared_by_all_cache_objects_of_one_prefix(
    make_cache: OpenCache, cache: Any, cut: Callable[[], None], route: str
) -> None:
    cut()
    cache.set("k", "local")
    other = make_cache(route, KEY_PREFIX="shop", OPTIONS=LOCAL)
    assert (other.get("k"), other.backend_in_use) == ("local", "memory")
    assert make_cache(route, KEY_PREFIX="blog", OPTIONS=LOCAL).get("k") is None


def test_outage__is_known_to_the_caches_of_other_prefixes(
    make_cache: OpenCache, cache: Any, proxy: FaultProxy, route: str
) -> None:
    """They need not wait for the server each for itself."""
    cache.connection.availability.pause = 1000.0
    shop, blog, wiki = (make_cache(route, KEY_PREFIX=prefix, OPTIONS=LOCAL) for prefix in ("shop", "blog", "wiki"))
    proxy.blackhole()
    shop.get("k")
    requests = cache.connection.meter.requests
    assert (blog.set("k", "local"), blog.get("k"), blog.backend_in_use) == (True, "local", "memory")
    assert asyncio.run(wiki.aget("k", "none")) == "none"
    assert make_cache(route, KEY_PREFIX="sets", OPTIONS=LOCAL).sadd("s", "m") == 0
    assert cache.connection.meter.requests == requests
    proxy.heal()
    cache.connection.availability.pause = PAUSE
    wait_until_back(blog)
    assert blog.get("k") is None


def test_return__on_a_server_that_vanishes_again(cache: Any, proxy: FaultProxy, bystander: redis.Redis) -> None:
    """What is left to be deleted is kept for its next return, and nobody waits for it."""
    cache.set_many({"first": "old", "second": "old"}, None)
    outage = outages.of(cache.connection, "shop")
    outage.begin(redis.TimeoutError("away"), time.perf_counter())
    deleted = outage.changed()
    cache.connection.availability.pause = 1000.0
    cache.set("second", "local")
    outage.turn_back(deleted)
    proxy.blackhole()
    cache.connection.availability.failed(exceptions.TimeoutError("away"), time.perf_counter())
    requests = cache.connection.meter.requests
    assert (cache.get("second"), cache.get("first"), cache.backend_in_use) == (None, None, "memory")
    assert cache.connection.meter.requests == requests
    proxy.heal()
    cache.connection.availability.pause = PAUSE
    wait_until_back(cache)
    assert sorted(bystander.keys("shop:1:*")) == [b"shop:1:first", b"shop:1:warm"]


def test_outage__leaves_the_server_alone(cache: Any, cut: Callable[[], None], proxy: FaultProxy) -> None:
    cache.connection.availability.pause = 1000.0
    cut()
    cache.get("k")
    asked = cache.connection.meter.requests
    for number in range(50):
        cache.set(f"k{number}", number)
        cache.get_or_set(f"k{number}", 1)
        cache.sadd("s", number)
    assert cache.connection.meter.requests == asked


def test_outage__tags(open_cache: OpenCache, cut: Callable[[], None], proxy: FaultProxy) -> None:
    cache = open_cache(KEY_PREFIX="shop", OPTIONS={**LOCAL, "TAGS": True})
    cache.connection.availability.pause = PAUSE
    cache.set("before", "old", tags=["t"])
    cut()
    cache.set("k", "local", tags=["t", "u"])
    assert cache.get("k") == "local"
    assert cache.has_key("k") is True
    cache.invalidate_tags("t")
    assert cache.get("k") is None
    assert cache.has_key("k") is False
    assert cache.add("k", "again") is True
    proxy.heal()
    wait_until_back(cache)
    assert cache.get("before") is None


def test_outage__sets_and_hashes_say_what_empty_ones_would(
    make_cache: OpenCache, route: str, cut: Callable[[], None], proxy: FaultProxy
) -> None:
    cache = make_cache(route, KEY_PREFIX="shop", OPTIONS=LOCAL)
    cache.connection.availability.pause = PAUSE
    cache.sadd("s", "m")
    cut()
    assert cache.smembers("s") == set()
    assert cache.backend_in_use == "memory"
    assert cache.sadd("s", "n") == 0
    proxy.heal()
    deadline = time.monotonic() + 20
    while not cache.smembers("s") and time.monotonic() < deadline:
        time.sleep(PAUSE / 5)
    assert (cache.smembers("s"), cache.backend_in_use) == ({"m"}, "server")


def test_outage__error_of_the_server_is_none(cache: Any, bystander: redis.Redis) -> None:
    bystander.sadd("shop:1:s", "m")
    assert cache.get("s", "default") == "default"
    assert cache.backend_in_use == "server"


def test_return__late_failure_does_not_leave_the_server(cache: Any, proxy: FaultProxy) -> None:
    """What was sent before the server came back, and is lost, is answered here and deleted there."""
    outage = outages.of(cache.connection, "shop")
    error = redis.TimeoutError("lost")
    outage.begin(error, time.perf_counter())
    sent = time.perf_counter()
    wait_until_back(cache)
    cache.set("k", "old")
    outage.begin(error, sent)
    assert cache.backend_in_use == "server"
    assert cache.get("k") == "old"


def test_return__what_changes_meanwhile_is_deleted_too(cache: Any, bystander: redis.Redis) -> None:
    outage = outages.of(cache.connection, "shop")
    cache.set_many({"first": "old", "second": "old"}, None)
    cache.connection.availability.pause = 1000.0
    outage.begin(redis.TimeoutError("away"), time.perf_counter())
    cache.set("first", "local")
    deleted = outage.changed()
    cache.set("second", "local")
    bystander.delete("shop:1:first")
    outage.turn_back(deleted)
    assert outage.doomed().keys == ("shop:1:second",)
    assert cache.get("unconcerned") is None
    assert bystander.keys("shop:1:*") == [b"shop:1:warm"]
    assert not outage.doomed()


def test_lost_reply__is_not_asked_for_again(cache: Any, proxy: FaultProxy, bystander: redis.Redis) -> None:
    cache.set("n", 1, None)
    cache.incr("n")
    cache.connection.availability.pause = 0.0
    proxy.close_before_reply()
    with pytest.raises(ValueError, match="not found"):
        cache.incr("n")
    wait_until_back(cache)
    assert bystander.get("shop:1:n") == b"3"


def test_default_policy__leaves_the_server_alone(
    open_cache: OpenCache, cut: Callable[[], None], proxy: FaultProxy
) -> None:
    cache = open_cache(KEY_PREFIX="shop", OPTIONS={"ON_FAILURE": "default"})
    cache.set("k", "old")
    cache.connection.availability.pause = 1000.0
    cut()
    # The first may meet with a connection that broke, which is no outage yet.
    assert [cache.get("k", "default") for _ in range(2)] == ["default", "default"]
    assert cache.backend_in_use == "default"
    asked = cache.connection.meter.requests
    assert [cache.set("k", 1) for _ in range(20)] == [False] * 20
    assert cache.get_many(["k"]) == {}
    assert cache.get_or_set("k", lambda: "computed") == "computed"
    assert cache.sadd("s", "m") == 0
    assert cache.connection.meter.requests == asked
    proxy.heal()
    cache.connection.availability.pause = 0.0
    cache.connection.availability.answered()
    assert cache.get("k") == "old"
    assert cache.backend_in_use == "server"


def test_raise_policy__asks_every_time(open_cache: OpenCache, cut: Callable[[], None], proxy: FaultProxy) -> None:
    cache = open_cache(KEY_PREFIX="shop")
    cut()
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            cache.get("k")
    assert cache.backend_in_use == "server"
    proxy.heal()
    assert cache.get("k") is None


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_outage__in_a_forked_child(
    make_cache: OpenCache, route: str, cut: Callable[[], None], fork: Callable[[], int]
) -> None:
    cache = make_cache(route, KEY_PREFIX="shop", OPTIONS=LOCAL)
    cache.connection.availability.pause = 1000.0
    cut()
    cache.set("k", "local")
    with outages.of(cache.connection, "shop")._lock:
        assert exit_status_in_fork(lambda: cache.get("k") == "local", fork) == 0
