"""Rows of ``aget`` under asyncio: one awaited alone, and 100 gathered, on both routes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack

import upstash_redis.asyncio
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from benchmarks.peers import CACHES_TO_COMPARE, KEY, MANY, OURS_REST, SDK, SIGNED, VALUE, full_key
from benchmarks.rounds import Burst, Row, awaited
from benchmarks.servers import RestAddress

_NEW_LOOP = 20  # a loop's first batches take another way


def native_rows(runner: asyncio.Runner) -> Iterator[Row]:
    """Yield the rows of the native route."""
    _settle(runner, caches[SIGNED])
    ones = {alias: _one(caches[alias]) for alias in CACHES_TO_COMPARE}
    yield Row("native aget 100 B", _bursts(runner, ones))
    gathered = {alias: _gathered(caches[alias].aget, list(MANY)) for alias in CACHES_TO_COMPARE}
    yield Row("native 100 gathered aget", _bursts(runner, gathered), operations=100, seconds=0.02)


def rest_rows(stack: ExitStack, runner: asyncio.Runner, rest: RestAddress) -> Iterator[Row]:
    """Yield the row of the REST route, against the asyncio client of the SDK."""
    _settle(runner, caches[OURS_REST])
    client = upstash_redis.asyncio.Redis(rest.url, rest.token)
    stack.callback(lambda: runner.run(client.close()))
    calls = {
        OURS_REST: _gathered(caches[OURS_REST].aget, list(MANY)),
        SDK: _gathered(client.get, [full_key(key) for key in MANY]),
    }
    yield Row("REST 100 gathered aget", _bursts(runner, calls), measure="cpu", operations=100, seconds=0.02)


def _settle(runner: asyncio.Runner, cache: BaseCache) -> None:
    runner.run(awaited(lambda: cache.aget(KEY), _NEW_LOOP))


def _one(cache: BaseCache) -> Callable[[], Awaitable[object]]:
    return lambda: cache.aget(KEY)


def _gathered(get: Callable[[str], Awaitable[object]], keys: list[str]) -> Callable[[], Awaitable[object]]:
    async def gather() -> object:
        return await asyncio.gather(*[get(key) for key in keys])

    return gather


def _bursts(runner: asyncio.Runner, calls: dict[str, Callable[[], Awaitable[object]]]) -> dict[str, Burst]:
    return {name: _burst(runner, name, call) for name, call in calls.items()}


def _burst(runner: asyncio.Runner, name: str, call: Callable[[], Awaitable[object]]) -> Burst:
    async def first() -> object:
        return await call()

    found = runner.run(first())
    for value in found if isinstance(found, list) else [found]:
        if value not in (VALUE, VALUE.decode()):
            raise RuntimeError(f"{name} does not get what was stored, but {value!r:.200}.")
    return lambda times: runner.run(awaited(call, times))
