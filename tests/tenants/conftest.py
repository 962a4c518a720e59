"""Tenants that the same test body drives synchronously and asynchronously, on each route."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from django_upstash.tenants import Tenant
from tests.servers import Server

BACKEND = "django_upstash.cache.UpstashCache"
MakeTenant = Callable[[str], Any]


class Awaited:
    """An object whose every method that has a twin to be awaited is run as that twin."""

    def __init__(self, behind: Any, runner: asyncio.Runner) -> None:
        self._behind = behind
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        twin = getattr(self._behind, f"a{name}", None)
        if name == "config":
            return self._runner.run(self._behind.aconfig())
        if inspect.iscoroutinefunction(twin):
            return lambda *args, **kwargs: self._runner.run(twin(*args, **kwargs))
        found = getattr(self._behind, name)
        return Awaited(found, self._runner) if name in ("cache", "flags", "usage") else found


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def configure(settings: Any, upstash: dict[str, dict[str, Any]], route: str) -> Callable[..., None]:
    """Return ``configure(**entry)``, which sets ``UPSTASH_TENANTS``, on the route."""
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}
    settings.CACHES = {"default": {"BACKEND": BACKEND, "LOCATION": route, "KEY_PREFIX": "shop"}}

    def configure(**entry: Any) -> None:
        settings.UPSTASH_TENANTS = {"ALIAS": route, "REFRESH": 3600, **entry}

    configure()
    return configure


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(params=["sync", "async"])
def make_tenant(request: pytest.FixtureRequest, configure: Any, runner: asyncio.Runner) -> MakeTenant:
    """Return ``make_tenant(name)``, driven one way or the other."""
    return Tenant if request.param == "sync" else lambda name: Awaited(Tenant(name), runner)


@dataclass
class Cost:
    """Round trips and billed commands of a block; known when it has ended."""

    requests: int = 0
    commands: int = 0

    def __eq__(self, other: object) -> bool:
        return (self.requests, self.commands) == other


@pytest.fixture
def counting(route: str, valkey: Server, local_server: LocalServer) -> Callable[[], Any]:
    """Return ``counting()``, which counts what the block costs, by the servers' own counters."""

    @contextmanager
    def count() -> Iterator[Cost]:
        cost = Cost()
        requests = connections[route].meter.requests
        local_server.reset_meter()
        with valkey.counting() as counted:
            yield cost
        billed = local_server.meter()
        if route == "rest":
            cost.requests, cost.commands = billed["requests"], billed["commands"]
        else:
            cost.requests, cost.commands = connections[route].meter.requests - requests, counted.commands

    return count
