"""
Every app server, on either route: under load, while the server of the site dies and returns, and after being frozen.

A visit uses cache, session and throttle and reads several values at once; it tells what it found that is not its own.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.app_servers.command_lines import APP_SERVERS, CELERY, MODELS
from tests.app_servers.running import Running, serving
from tests.app_servers.stores import Store, running_store
from tests.app_servers.visitors import Visit, visiting
from tests.servers import start_valkey

TIMEOUT = 5.0
MAX_CONNECTIONS = 4
# Seconds after its return by which the server is in use again; and what a busy machine may take longer.
RETURN, LATE = 2.0, 2.0
OUTAGE = 1.5
FROZEN = 20.0
# Seconds between two visits of one visitor where many servers are visited at once.
PAUSE = 0.2
# What a visit may say of a server that is away. Two calls may each find out for themselves.
AWAY = {"ConnectionError", "ServerAwayError", "TimeoutError", "ProtocolError"}
LONGEST = 2 * TIMEOUT + 5.0
# Short runs that every test run has: the routes under other people's loops and greenlets.
QUICK = [("gunicorn gevent, unused route", "rest"), ("uvicorn uvloop", "native")]


@contextmanager
def site(name: str, store: Store) -> Iterator[Running]:
    """Run an app server whose site uses a store; skip the test where it is not installed."""
    server = APP_SERVERS[name]
    limits = {"TIMEOUT": str(TIMEOUT), "POOL_TIMEOUT": "60", "MAX_CONNECTIONS": str(MAX_CONNECTIONS)}
    variables = {**store.variables, **limits, "AT_IMPORT": server.at_import}
    if server.missing:
        pytest.skip(server.missing)
    if name != CELERY:
        with serving(server.command, variables) as running:
            yield running
    else:
        with (
            start_valkey() as broker,
            serving(server.command, {**variables, "BROKER": broker.tcp_url}, is_up=is_ready) as running,
        ):
            yield running


def is_ready(worker: Running) -> bool:
    return "ready." in worker.log


def most_connections(name: str) -> int:
    """Return how many connections the processes of a server may open, the one that made the site among them."""
    server = APP_SERVERS[name]
    return MAX_CONNECTIONS * server.workers + bool(server.at_import)


def check_served(visits: list[Visit]) -> None:
    """All were answered by the server, with their own values, and in time."""
    assert Counter(told(visit) for visit in visits) == {"served": len(visits)}


def told(visit: Visit) -> str:
    answer = visit.answer
    if "error" in answer:
        return f"{answer['error']}: {answer['text']}"
    if answer["foreign"] or answer["missing"] or not answer["served"] or visit.seconds > LONGEST:
        return f"{answer} in {visit.seconds:.1f} s"
    return "served"


def check_bearable(visits: list[Visit]) -> None:
    """None took longer than timeouts explain, failed otherwise than by an outage, or was given what is another's."""
    assert {visit.answer["error"] for visit in visits if "error" in visit.answer} <= AWAY
    assert [visit.answer["foreign"] for visit in visits if visit.answer.get("foreign")] == []
    assert max(visit.seconds for visit in visits) < LONGEST


def check_nothing_lost(visits: list[Visit]) -> None:
    assert [visit.answer["lost"] for visit in visits if visit.answer.get("lost")] == []


def lasting_connections(store: Store) -> int:
    """Return how many connections are open; one that was closed a moment ago may still be counted by the server."""
    found = []
    for _ in range(3):
        found.append(store.connections())
        time.sleep(0.05)
    return min(found)


def check_load(name: str, route: str, count: int) -> None:
    most = 0

    def count_connections() -> None:
        nonlocal most
        most = max(most, lasting_connections(store))

    with running_store(route) as store, site(name, store) as running:
        with visiting(running, name) as crowd:
            crowd.wait_for(count, meanwhile=count_connections)
        check_served(crowd.visits)
        check_nothing_lost(crowd.visits)
    assert 0 < most <= most_connections(name)


def each_on_one_route(names: Iterable[str]) -> list[Any]:
    """Return each name with each route; every other pair is of the full matrix, which CI leaves out."""
    pairs = enumerate((name, route) for name in names for route in ("native", "rest"))
    return [
        pytest.param(*pair, marks=[pytest.mark.full_matrix] if (place // 2 + place) % 2 else [])
        for place, pair in pairs
    ]


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(("name", "route"), QUICK)
def test_load__is_answered_by_the_server_with_what_each_visitor_wrote(name: str, route: str) -> None:
    check_load(name, route, 100)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "route"), each_on_one_route(APP_SERVERS))
def test_outage__ends_within_two_seconds_and_mixes_nothing_up(name: str, route: str) -> None:
    most = 0

    def count_connections() -> None:
        nonlocal most
        most = max(most, lasting_connections(store))

    with running_store(route) as store, site(name, store) as running:
        with visiting(running, name) as crowd:
            crowd.wait_for(150, meanwhile=count_connections)
            died = time.monotonic()
            store.die()
            time.sleep(OUTAGE)
            store.come_back()
            returned = time.monotonic()
            crowd.wait_for(150, since=returned + RETURN + LATE, meanwhile=count_connections)
        check_bearable(crowd.visits)
        before = [visit for visit in crowd.visits if visit.ended < died]
        check_served(before)
        check_nothing_lost(before)
        check_served([visit for visit in crowd.visits if visit.began > returned + RETURN + LATE])
        assert any(told(visit) != "served" for visit in crowd.visits)
    assert 0 < most <= most_connections(name)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
@pytest.mark.parametrize(("model", "route"), each_on_one_route(MODELS))
def test_frozen_processes__find_their_connections_closed_and_go_on(model: str, route: str) -> None:
    names = [name for name, server in APP_SERVERS.items() if server.model == model and not server.missing]
    if not names:
        pytest.skip(next(server.missing for server in APP_SERVERS.values() if server.model == model))
    with ExitStack() as stack:
        sites = [started(stack, name, route) for name in names]
        crowds = [(stack.enter_context(visiting(running, name, PAUSE)), store) for name, running, store in sites]
        for crowd, _ in crowds:
            crowd.wait_for(30)
        frozen = time.monotonic()
        for crowd, store in crowds:
            crowd.running.signal_all(signal.SIGSTOP)
            store.close_connections()
        time.sleep(FROZEN)
        for crowd, _ in crowds:
            crowd.running.signal_all(signal.SIGCONT)
        thawed = time.monotonic()
        for crowd, _ in crowds:
            crowd.wait_for(30, since=thawed + RETURN + LATE)
            crowd.stop()
        for crowd, _ in crowds:
            check_thawed(crowd.visits, frozen, thawed)


def started(stack: ExitStack, name: str, route: str) -> tuple[str, Running, Store]:
    """Return a server that runs until the stack ends, and its store."""
    store = stack.enter_context(running_store(route))
    return name, stack.enter_context(site(name, store)), store


def check_thawed(visits: list[Visit], frozen: float, thawed: float) -> None:
    check_served([visit for visit in visits if visit.ended < frozen])
    check_bearable([visit._replace(began=max(visit.began, thawed)) for visit in visits if visit.ended > thawed])
    check_served([visit for visit in visits if visit.began > thawed + RETURN + LATE])
