"""
Servers and connections for every test: one Valkey per test process, emptied before each test that asks for one.

A test that takes ``connection``, ``route_settings`` or ``make_cache`` runs once per route.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections
from hypothesis import settings as hypothesis_settings

from django_upstash.connections import Connection
from django_upstash.dev_server import LocalServer
from django_upstash.operations import command
from django_upstash.ratelimit import process_state
from django_upstash.settings.conf import make_settings
from django_upstash.tenants import metering
from tests import forking
from tests.loops import needs_uvloop, run
from tests.servers import Server, start_valkey

if TYPE_CHECKING:
    from django_upstash.cache import UpstashCache

# The same examples in every run, and none from the runs before; --hypothesis-profile=default looks for others.
hypothesis_settings.register_profile("same_examples", derandomize=True, database=None)
hypothesis_settings.load_profile("same_examples")

# A shell makes its background jobs ignore Ctrl-C, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROUTES = ("native", "rest", "embedded")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make the cases slow that a test's ``default_cases`` leaves out of the default run."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        for marker in _markers_of_repeats(item):
            item.add_marker(marker)
        if item.get_closest_marker("default_cases"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for all_cases in cases.values():
        all_cases.sort(key=lambda item: tuple(item.callspec.indices.values()))  # type: ignore[attr-defined]
        (count,) = all_cases[0].get_closest_marker("default_cases").args  # type: ignore[union-attr]
        steps = max(count - 1, 1)
        kept = {round(number * (len(all_cases) - 1) / steps) for number in range(count)}
        for number, item in enumerate(all_cases):
            if number not in kept:
                item.add_marker("slow")


def _markers_of_repeats(item: pytest.Item) -> tuple[str, ...]:
    """
    Return what a case is marked with that repeats others.

    Cases on uvloop, on the embedded route, which is the native one elsewhere, and of a million keys over REST are of
    the full matrix. Of both routes by both ways, synchronous and asynchronous, every other test has native synchronous
    and REST asynchronous cases in the default run, the others the other two; the slow run has them all.
    """
    values = getattr(item, "callspec", None)
    if values is None:
        return ()
    given = {value for value in values.params.values() if isinstance(value, str)}
    if item.path.parent.name in ("wire", "dev_server", "app_servers"):
        return ("slow",) if "uvloop, on wires of its own" in given else ()
    if given & {"embedded", "uvloop"} or ("rest" in given and item.nodeid.endswith("million]")):
        return ("slow", "full_matrix")
    if not (given & {"native", "rest"} and given & {"sync", "async"}):
        return ()
    is_even = crc32(item.nodeid.partition("[")[0].encode()) % 2 == 0
    return ("slow",) if (("native" in given) == ("sync" in given)) != is_even else ()


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


@pytest.fixture(params=list(forking.WAYS.values()), ids=list(forking.WAYS))
def fork(request: pytest.FixtureRequest) -> Callable[[], int]:
    """How a test forks: with Python's hooks, and without. It is skipped where there is no fork."""
    way: Callable[[], int] = request.param
    return way


@pytest.fixture(params=ROUTES)
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def upstash(
    valkey: Server, local_server: LocalServer, embedded_server: Connection, settings: Any
) -> dict[str, dict[str, Any]]:
    """``settings.UPSTASH`` with one alias per route, each to an empty server that has seen no script."""
    _drop_counts()
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


def _drop_counts() -> None:
    """Forget what earlier tests have counted: the end of a request in a later one would write it."""
    for _, memory in process_state.memories():
        memory.after_fork()
    for meter in metering.all_meters():
        meter.after_fork()


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


@pytest.fixture(params=["asyncio", needs_uvloop("uvloop")])
def each_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test once on each kind of event loop: ``asyncio.run`` makes one of that kind."""
    monkeypatch.setattr(asyncio, "run", partial(run, loop=request.param))
    return str(request.param)
