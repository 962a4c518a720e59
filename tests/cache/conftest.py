"""Caches that the same test body drives synchronously and asynchronously, on each route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis

from django_upstash.connections import Connection
from django_upstash.wire.native import NativeRoute
from tests.servers import Server

if TYPE_CHECKING:
    from django_upstash.cache import UpstashCache

OpenCache = Callable[..., Any]


class Awaited:
    """A cache whose every method is run as its asynchronous twin."""

    def __init__(self, cache: UpstashCache, runner: asyncio.Runner) -> None:
        self.__dict__.update(cache=cache, runner=runner)

    def __getattr__(self, name: str) -> Any:
        twin = getattr(self.cache, f"a{name}", None)
        if twin is None:
            return getattr(self.cache, name)
        return lambda *args, **kwargs: self.runner.run(_result(twin(*args, **kwargs)))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.cache, name, value)

    def __contains__(self, key: str) -> bool:
        return bool(self.has_key(key))


async def _result(found: Any) -> Any:
    return [item async for item in found] if hasattr(found, "__aiter__") else await found


@pytest.fixture(params=["sync", "async"])
def open_cache(request: pytest.FixtureRequest, route: str, make_cache: OpenCache) -> Iterator[OpenCache]:
    """Return ``open_cache(**entry)``, which makes a cache on the route, driven one way or the other."""
    if request.param == "sync":
        yield lambda **entry: make_cache(route, **entry)
        return
    with asyncio.Runner() as runner:
        yield lambda **entry: Awaited(make_cache(route, **entry), runner)


@pytest.fixture
def cache(open_cache: OpenCache) -> Any:
    """A cache with the default options."""
    return open_cache(KEY_PREFIX="shop")


@pytest.fixture
def bystander(
    route: str, valkey: Server, embedded_server: Connection, upstash: dict[str, dict[str, Any]]
) -> Iterator[redis.Redis]:
    """A client of redis-py's own to the server behind the route, which writes and reads as anybody may."""
    url = cast(NativeRoute, embedded_server.route).address().url if route == "embedded" else valkey.url
    with redis.Redis.from_url(url) as client:
        yield client
