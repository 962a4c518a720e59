"""Breakers on each route, whose clocks and whose records' deadlines are turned by the tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from django_upstash.breaker import CircuitBreaker, CircuitOpen
from django_upstash.connections import Connection, connections
from django_upstash.dev_server import LocalServer
from django_upstash.operations.steps import drive
from tests.servers import Server

MakeBreaker = Callable[..., CircuitBreaker]
Start = Callable[..., "Process"]
Elapse = Callable[..., None]
NAME = "stripe"


class Failure(Exception):
    """What the guarded call raises."""


def fail() -> None:
    raise Failure


def succeed() -> str:
    return "done"


class Process:
    """
    A process of its own as far as a breaker can tell: its own memory of circuits, and a clock to turn.

    ``awaits`` has every call awaited.
    """

    def __init__(self, breaker: CircuitBreaker, *, awaits: bool = False) -> None:
        from django_upstash.breaker.registry import Board, link

        here = link(breaker.options)
        object.__setattr__(here, "board", Board())
        breaker._link = here
        self.breaker = breaker
        self.awaits = awaits
        self.seconds = 1000.0
        breaker.circuit.clock = lambda: self.seconds

    def call(self, function: Callable[[], Any]) -> Any:
        if not self.awaits:
            return self.breaker.call(function)

        async def asynchronous() -> Any:
            return function()

        return asyncio.run(self.breaker.acall(asynchronous))

    def tries(self, function: Callable[[], Any]) -> str:
        """Call, and return what came of it: "passed", "failed" or "refused"."""
        try:
            self.call(function)
        except CircuitOpen:
            return "refused"
        except Failure:
            return "failed"
        return "passed"

    @contextmanager
    def probing(self) -> Iterator[None]:
        """Be within a call for the time of the block."""
        entry = drive(self.breaker._enter())
        yield
        drive(self.breaker._leave(entry, None))

    @property
    def link(self) -> Any:
        return self.breaker._link

    def __getattr__(self, name: str) -> Any:
        return getattr(self.breaker, name)


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def patience(settings: Any) -> None:
    """A machine busy with everybody's tests may take its time to answer."""
    settings.UPSTASH_BREAKER = {"REDIS_TIMEOUT": 20}


@pytest.fixture
def make_breaker(upstash: dict[str, dict[str, Any]], route: str) -> MakeBreaker:
    """Return ``make_breaker(name, **options)``, on the route."""
    return lambda name=NAME, **options: CircuitBreaker(name, **{"alias": route, **options})


@pytest.fixture(params=["sync", "async"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def start(make_breaker: MakeBreaker, driver: str) -> Callable[..., Process]:
    """Return ``start(**options)``, which starts what takes itself for another process."""
    return lambda **options: Process(make_breaker(**options), awaits=driver == "async")


@pytest.fixture
def elapse(valkey: Server) -> Callable[..., None]:
    """Return ``elapse(seconds, *processes)``, which lets time pass: in these processes, and for the record."""
    return lambda seconds, *processes: let_pass(valkey, seconds, *processes)


def let_pass(server: Server, seconds: float, *processes: Process) -> None:
    for process in processes:
        process.seconds += seconds
    key = f"breaker:{NAME}"
    text = server.call("GET", key)
    if text is not None:
        server.call("SET", key, earlier(text.decode(), round(seconds * 1000)))


def earlier(text: str, milliseconds: int) -> str:
    """Return a record all of whose times are so much earlier."""
    state, until, failures, successes, opens, opened_at, forced, forced_until, *places = text.split()
    until, opened_at, forced_until = (
        str(max(int(time) - milliseconds, 1)) if time != "0" else time for time in (until, opened_at, forced_until)
    )
    moved = [
        f"{token}={max(int(ends) - milliseconds, 1)}" for token, _, ends in (place.partition("=") for place in places)
    ]
    return " ".join([state, until, failures, successes, opens, opened_at, forced, forced_until, *moved])


@pytest.fixture
def counting(route: str, valkey: Server, local_server: LocalServer) -> Callable[[], Any]:
    """Return ``counting()``, whose block's requests and billed commands are in the dict it yields."""

    @contextmanager
    def count() -> Iterator[dict[str, int]]:
        cost: dict[str, int] = {}
        requests = sum(connection.meter.requests for connection in connections.opened())
        local_server.reset_meter()
        with valkey.counting() as counted:
            yield cost
        billed = local_server.meter()
        asked = sum(connection.meter.requests for connection in connections.opened()) - requests
        cost.update(requests=asked, commands=counted.commands)
        if route == "rest":
            cost.update(requests=billed["requests"], commands=billed["commands"])

    return count


@pytest.fixture
def native(upstash: dict[str, dict[str, Any]]) -> Connection:
    """The connection on the native route."""
    return connections["native"]
