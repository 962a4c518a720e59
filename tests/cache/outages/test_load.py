"""Outages under many threads and tasks: no exception, few who wait, and back on the server soon."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from tests.cache.conftest import OpenCache
from tests.cache.outages.conftest import LOCAL, PAUSE
from tests.fault_proxy import FaultProxy

pytestmark = pytest.mark.matrix


class Load:
    """Threads that use a cache without a pause, until they are stopped."""

    def __init__(self, cache: Any, threads: int = 16) -> None:
        self._cache = cache
        self._stop = threading.Event()
        self.errors: list[BaseException] = []
        self.calls = 0
        self._pool = ThreadPoolExecutor(threads)
        self._running = [self._pool.submit(self._run, number) for number in range(threads)]

    def _run(self, number: int) -> None:
        while not self._stop.is_set():
            try:
                self._cache.set(f"k{number}", self.calls)
                self._cache.get_or_set(f"c{number}", lambda: 1)
                self._cache.get_many([f"k{number}", "missing"])
                self._cache.delete(f"c{number}")
            except BaseException as error:
                self.errors.append(error)
            self.calls += 1
            self._stop.wait(0.005)

    def stop(self) -> None:
        self._stop.set()
        self._pool.shutdown()


def outage_under_load(cache: Any, proxy: FaultProxy, bystander: redis.Redis, seconds: float) -> None:
    in_flight = 16
    cache.set("deleted", "old")
    load = Load(cache)
    try:
        time.sleep(0.1)
        proxy.blackhole()
        failed_before = cache.connection.meter.errors
        began = time.monotonic()
        while cache.backend_in_use == "server" and time.monotonic() < began + 20:
            time.sleep(0.01)
        cache.delete("deleted")
        calls = load.calls
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        assert load.calls > calls
        proxy.heal()
        back_by = time.monotonic() + 2
        while cache.backend_in_use != "server" and time.monotonic() < back_by:
            time.sleep(0.01)
    finally:
        load.stop()
    assert load.errors == []
    assert cache.backend_in_use == "server"
    # Those who were waiting when it began, and nobody since.
    assert cache.connection.meter.errors - failed_before <= in_flight
    assert not bystander.exists("shop:1:deleted")


@pytest.mark.default_cases(1)
def test_outage__under_16_threads(make_cache: OpenCache, route: str, proxy: FaultProxy, bystander: redis.Redis) -> None:
    cache = make_cache(route, KEY_PREFIX="shop", OPTIONS=LOCAL)
    cache.connection.availability.pause = 0.2
    outage_under_load(cache, proxy, bystander, 0.9)


@pytest.mark.slow
@pytest.mark.parametrize("timeout", [0.3, 4.0])
def test_outage__of_ten_seconds_under_16_threads(
    make_cache: OpenCache, route: str, proxy: FaultProxy, bystander: redis.Redis
) -> None:
    cache = make_cache(route, KEY_PREFIX="shop", OPTIONS=LOCAL)
    outage_under_load(cache, proxy, bystander, 10)


def test_outage__under_100_tasks(make_cache: OpenCache, route: str, proxy: FaultProxy, cut: Callable[[], None]) -> None:
    cache = make_cache(route, KEY_PREFIX="shop", OPTIONS=LOCAL)
    cache.connection.availability.pause = PAUSE

    async def use(number: int) -> Any:
        await cache.aset(f"k{number}", number)
        return await cache.aget(f"k{number}")

    async def main() -> None:
        assert await asyncio.gather(*map(use, range(100))) == [*range(100)]
        cut()
        assert await asyncio.gather(*map(use, range(100))) == [*range(100)]
        assert cache.backend_in_use == "memory"
        proxy.heal()
        while cache.backend_in_use != "server":
            await use(0)
            await asyncio.sleep(PAUSE / 5)
        assert await cache.aget("k1") is None

    asyncio.run(asyncio.wait_for(main(), 30))
