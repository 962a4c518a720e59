"""The backend as Django holds it: an object for every thread and task, over one connection for the process."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core import signals
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django_redis.cache import RedisCache  # type: ignore[import-untyped]

from django_upstash.cache import UpstashCache
from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from tests.servers import Server

pytestmark = pytest.mark.matrix


@pytest.fixture
def configured(upstash: dict[str, Any], route: str, settings: Any) -> None:
    entry = {"BACKEND": "django_upstash.cache.UpstashCache", "LOCATION": route, "KEY_PREFIX": "shop"}
    settings.CACHES = {"default": entry}


def in_new_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_backend__is_what_both_parents_are(configured: None) -> None:
    assert isinstance(caches["default"], RedisCache)
    assert isinstance(caches["default"], BaseCache)


def test_backend__threads_share_the_connection(configured: None, route: str) -> None:
    here, there = caches["default"], in_new_thread(lambda: caches["default"])
    assert here is not there
    assert here.connection is there.connection is connections[route]  # type: ignore[attr-defined]


@pytest.mark.django_db  # the end of a request is the database's business too, where a test has opened it
@pytest.mark.parametrize("route", ["native"])
def test_backend__end_of_request_closes_nothing(configured: None, valkey: Server) -> None:
    caches["default"].set("k", 1)
    with valkey.counting() as counted:
        for _ in range(3):
            signals.request_finished.send(sender=None)
            assert caches["default"].get("k") == 1
            assert in_new_thread(lambda: caches["default"].get("k")) == 1
    assert counted.connections == 0


@pytest.mark.parametrize("route", ["native"])
def test_backend__settings_may_change(configured: None, upstash: dict[str, Any], settings: Any) -> None:
    cache = caches["default"]
    cache.set("k", 1)
    settings.UPSTASH = {"native": upstash["embedded"]}
    assert cache.get("k") is None
    settings.UPSTASH = upstash
    assert cache.get("k") == 1


@pytest.mark.parametrize("route", ["rest"])
def test_backend__gathered_gets_are_one_request(configured: None, local_server: LocalServer) -> None:
    cache = caches["default"]
    cache.set_many({f"k{number}": [number] for number in range(100)})

    async def gather() -> list[Any]:
        await cache.aget("k0")
        local_server.reset_meter()
        return await asyncio.gather(*[cache.aget(f"k{number}") for number in range(100)])

    assert asyncio.run(gather()) == [[number] for number in range(100)]
    assert (local_server.meter()["requests"], local_server.meter()["commands"]) == (1, 100)


@pytest.mark.default_cases(3)
@pytest.mark.parametrize(("value", "delta", "total"), [(0, 1, 400), (0.5, 1, 400.5), (2**63 - 200, 1, 2**63 + 200)])
def test_incr__is_atomic(configured: None, value: float, delta: int, total: float) -> None:
    caches["default"].set("n", value)
    start = threading.Barrier(8)

    def count() -> None:
        start.wait()
        for _ in range(50):
            caches["default"].incr("n", delta)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(count) for _ in range(8)]:
            done.result()
    assert caches["default"].get("n") == total


def test_aincr__is_atomic(configured: None) -> None:
    cache = caches["default"]
    cache.set_many({"n": 0, "f": 0.5})

    async def count() -> None:
        await asyncio.gather(*[cache.aincr(key) for key in ("n", "f") for _ in range(25)])

    asyncio.run(count())
    assert cache.get_many(["n", "f"]) == {"n": 25, "f": 25.5}


class Shouting(UpstashCache):
    """A cache with key behaviour of its own, as Django's documentation shows."""

    def make_key(self, key: str, version: int | None = None) -> str:
        return f"{self.key_prefix}/{version or self.version}/{key.upper()}"

    def validate_key(self, key: str) -> None:
        if "!" in key:
            raise ValueError("no shouting")


def test_subclass__makes_and_validates_keys(upstash: dict[str, Any], route: str) -> None:
    cache = Shouting(route, {"KEY_PREFIX": "shop"})
    cache.set("k", ["value"])
    assert cache.get("K") == cache.get("k") == ["value"]
    assert cache.connection.redis.exists("shop/1/K")
    assert cache.incr_version("k") == 2
    assert cache.get("K", version=2) == ["value"]
    with pytest.raises(ValueError, match="no shouting"):
        cache.get("k!")


@pytest.mark.parametrize("name", ["get", "set", "incr", "get_or_set", "set_many", "delete_pattern", "iter_keys"])
def test_methods__say_what_they_take(name: str) -> None:
    method, twin = getattr(UpstashCache, name), getattr(UpstashCache, f"a{name}")
    assert method.__doc__
    assert twin.__doc__
    assert (method.__name__, twin.__name__) == (name, f"a{name}")
    assert list(inspect.signature(method).parameters)[1] in ("key", "data", "pattern", "search")
    assert inspect.iscoroutinefunction(twin) or inspect.isasyncgenfunction(twin)


@pytest.mark.parametrize(
    "name", [name for name in vars(BaseCache) if name[0] == "a" and hasattr(BaseCache, name[1:]) and name != "aclose"]
)
def test_methods__asynchronous_ones_use_no_thread(name: str) -> None:
    assert getattr(UpstashCache, name) is not getattr(BaseCache, name)
