"""
Servers and connections for every test: one Valkey per test process, emptied before each test that asks for one.

A test that takes ``connection``, ``route_settings`` or ``make_cache`` runs once per route.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections

from django_upstash.conf import make_settings
from django_upstash.connections import Connection
from django_upstash.local import LocalServer
from django_upstash.operations import command
from tests.servers import Server, start_valkey

if TYPE_CHECKING:
    from django_upstash.cache import UpstashCache

# A shell makes its background jobs ignore Ctrl-C, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROUTES = ("native", "rest", "embedded")


@pytest.fixture
def request_end() -> Iterator[None]:
    """Let the end of a request leave the database alone, as Django's test client does: other tests may have used it."""
    request_finished.disconnect(close_old_connections)
    yield
    request_finished.connect(close_old_connections)


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    """The test process's own Valkey."""
    with start_valkey() as server:
        yield server


@pytest.fixture(scope="session")
def local_server(valkey: Server) -> Iterator[LocalServer]:
    """Upstash REST over ``valkey``."""
    with LocalServer(valkey.url) as server:
        yield server


@pytest.fixture(scope="session")
def embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """The test process's own embedded server, as a bystander's connection to it."""
    folder = tmp_path_factory.mktemp("project") / ".django_upstash"
    connection = Connection(make_settings("embedded", {"URL": f"embedded://{folder}"}))
    yield connection
    connection.close()


@pytest.fixture(params=ROUTES)
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def upstash(
    valkey: Server, local_server: LocalServer, embedded_server: Connection, settings: Any
) -> dict[str, dict[str, Any]]:
    """``settings.UPSTASH`` with one alias per route, each to an empty server that has seen no script."""
    for emptying in (("FLUSHALL",), ("SCRIPT", "FLUSH")):
        valkey.call(*emptying)
        embedded_server.run(command(*emptying))
    local_server.clear_faults()
    local_server.reset_meter()
    aliases: dict[str, dict[str, Any]] = {
        "native": {"URL": valkey.url},
        "rest": {"URL": local_server.url, "TOKEN": local_server.token},
        "embedded": {"URL": embedded_server.settings.url},
    }
    settings.UPSTASH = aliases
    return aliases


@pytest.fixture
def route_settings(upstash: dict[str, dict[str, Any]], route: str) -> dict[str, Any]:
    """What ``UPSTASH`` holds for a route."""
    return upstash[route]


@pytest.fixture
def connection(route: str, route_settings: dict[str, Any]) -> Iterator[Connection]:
    """A connection of its own, closed after the test."""
    connection = Connection(make_settings(route, route_settings))
    yield connection
    connection.close()


@pytest.fixture
def make_cache(upstash: dict[str, dict[str, Any]]) -> Callable[..., UpstashCache]:
    """Return ``make_cache(route, **entry)``: the cache that ``CACHES`` would make of such an entry."""
    from django_upstash.cache import UpstashCache

    def make(route: str, **entry: Any) -> UpstashCache:
        return UpstashCache(route, entry)

    return make
