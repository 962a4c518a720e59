"""Queues that the same test body drives synchronously and asynchronously, on each route, and a clock to turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from django_upstash.queues import Queue
from django_upstash.queues.clocks import clock_of
from tests.servers import Server

MakeQueue = Callable[..., Any]


class Awaited:
    """A queue whose every method is run as its asynchronous twin."""

    def __init__(self, queue: Queue, runner: asyncio.Runner) -> None:
        self.__dict__.update(queue=queue, runner=runner)

    def __getattr__(self, name: str) -> Any:
        twin = getattr(self.queue, f"a{name}", None)
        if twin is None:
            return getattr(self.queue, name)
        return lambda *args, **kwargs: self.runner.run(twin(*args, **kwargs))


class Cost:
    """What a block has cost, known when it has ended."""

    requests = commands = 0

    def __eq__(self, other: object) -> bool:
        return (self.requests, self.commands) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self.requests} requests, {self.commands} commands"


class Counting:
    """``with counting as cost``: counted by the servers."""

    def __init__(self, route: str, valkey: Server, local_server: LocalServer) -> None:
        self._route, self._valkey, self._local = route, valkey, local_server

    def __enter__(self) -> Cost:
        self._cost = Cost()
        self._requests = connections[self._route].meter.requests
        self._local.reset_meter()
        self._counting = self._valkey.counting()
        self._counted = self._counting.__enter__()
        return self._cost

    def __exit__(self, *error: Any) -> None:
        self._counting.__exit__(*error)
        if self._route == "rest":
            billed = self._local.meter()
            self._cost.requests, self._cost.commands = billed["requests"], billed["commands"]
        else:
            self._cost.requests = connections[self._route].meter.requests - self._requests
            self._cost.commands = self._counted.commands


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_queue(upstash: dict[str, dict[str, Any]], route: str) -> Callable[..., Queue]:
    """Return ``make_queue(**options)``, on the route."""
    return lambda name="mail", **options: Queue(name, **{"alias": route, **options})


@pytest.fixture(params=["sync", "async"])
def open_queue(request: pytest.FixtureRequest, make_queue: MakeQueue) -> Iterator[MakeQueue]:
    """Return ``open_queue(**options)``, on the route, driven one way or the other."""
    if request.param == "sync":
        yield make_queue
        return
    with asyncio.Runner() as runner:
        yield lambda *args, **options: Awaited(make_queue(*args, **options), runner)


@pytest.fixture
def counting(route: str, valkey: Server, local_server: LocalServer) -> Counting:
    return Counting(route, valkey, local_server)


@pytest.fixture
def turn_clock(route: str, upstash: dict[str, dict[str, Any]]) -> Callable[[float], None]:
    """Return ``turn_clock(seconds)``, which lets so many seconds pass, for the route's clock and this machine's."""
    clock = clock_of(connections[route])
    passed = [0.0]
    clock._wall = lambda: time.time() + passed[0]

    def turn(seconds: float) -> None:
        passed[0] += seconds
        later = clock._server.now() + round(seconds * 1_000_000)
        clock._server.sample(clock._server.started(), *divmod(later, 1_000_000))

    return turn
