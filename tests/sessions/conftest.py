"""Sessions that the same test body drives synchronously and asynchronously, on each route."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest
import redis
from django.contrib.auth.models import update_last_login
from django.contrib.auth.signals import user_logged_in

from django_upstash.connections import Connection, connections
from django_upstash.dev_server import LocalServer
from django_upstash.wire.native import NativeRoute
from tests.servers import Server

Open = Callable[..., Any]
DRIVERS = ("sync", "async")


class Awaited:
    """A session whose every method is run as its asynchronous twin."""

    def __init__(self, session: Any, runner: asyncio.Runner) -> None:
        self.__dict__.update(session=session, runner=runner)

    def __getattr__(self, name: str) -> Any:
        twin = getattr(self.session, f"a{name}", None)
        if not inspect.iscoroutinefunction(twin):
            return getattr(self.session, name)
        return lambda *args, **kwargs: self.runner.run(twin(*args, **kwargs))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.session, name, value)

    def __contains__(self, key: str) -> bool:
        return bool(self.has_key(key))

    def __getitem__(self, key: str) -> Any:
        self.runner.run(self.session.aget(key))
        return self.session[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.runner.run(self.session.aset(key, value))

    def __delitem__(self, key: str) -> None:
        self.runner.run(self.session.aget(key))
        del self.session[key]


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def call(driver: str, runner: asyncio.Runner) -> Open:
    """Return ``call(function, …)``, which calls a function of this package, or awaits its twin."""

    def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if driver == "sync":
            return function(*args, **kwargs)
        twin = getattr(inspect.getmodule(function), f"a{function.__name__}")
        return runner.run(twin(*args, **kwargs))

    return call


@pytest.fixture
def configure(settings: Any, route: str, upstash: dict[str, dict[str, Any]]) -> Callable[..., None]:
    """Return ``configure(**entry)``, which sets ``UPSTASH_SESSIONS``, on the route."""
    settings.SESSION_ENGINE = "django_upstash.sessions"

    def configure(**entry: Any) -> None:
        settings.UPSTASH_SESSIONS = {"ALIAS": route, **entry}

    configure()
    return configure


@pytest.fixture
def open_session(configure: Callable[..., None], driver: str, runner: asyncio.Runner) -> Open:
    """Return ``open_session(session_key=None)``, which makes a session of the engine."""
    from django_upstash.sessions import SessionStore

    if driver == "sync":
        return SessionStore
    return lambda session_key=None: Awaited(SessionStore(session_key), runner)


@pytest.fixture
def session(open_session: Open) -> Any:
    """A session that is not stored yet."""
    return open_session()


@pytest.fixture
def bystander(
    route: str, valkey: Server, embedded_server: Connection, upstash: dict[str, dict[str, Any]]
) -> Iterator[redis.Redis]:
    """A client of redis-py's own to the server behind the route, which writes and reads as anybody may."""
    url = cast(NativeRoute, embedded_server.route).address().url if route == "embedded" else valkey.url
    with redis.Redis.from_url(url) as client:
        yield client


@pytest.fixture
def without_last_login() -> Iterator[None]:
    """Let logins alone that are of no user in a table."""
    user_logged_in.disconnect(dispatch_uid="update_last_login")
    yield
    user_logged_in.connect(update_last_login, dispatch_uid="update_last_login")


@dataclass
class Cost:
    """Round trips and billed commands of a block; known when it has ended."""

    requests: int = 0
    commands: int = 0

    def __eq__(self, other: object) -> bool:
        return (self.requests, self.commands) == other


@pytest.fixture
def counting(route: str, valkey: Server, local_server: LocalServer) -> Callable[[], Any]:
    """Return ``counting()``, which counts what the block costs, on the native route and over REST."""

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
