"""More callers than connections, and threads that compute: what a process has too much of is no fault of its server."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import RequestFactory

from benchmarks.servers import start_rest_server
from django_upstash import exceptions
from django_upstash.breaker import CircuitBreaker
from django_upstash.cache import UpstashCache
from django_upstash.connections import connections
from django_upstash.ratelimit import FixedWindow, RateLimiter, Reason
from django_upstash.sessions import SessionStore
from tests.servers import Server

THREADS = 32
HITS = 100
LIMIT = 100


@pytest.fixture(scope="module")
def rest_server(valkey: Server) -> Iterator[dict[str, Any]]:
    """Upstash REST in a process of its own, which does not compete with the test's threads for one interpreter."""
    with start_rest_server(valkey.url) as address:
        yield {"URL": address.url, "TOKEN": address.token}


@pytest.fixture(params=["native", "rest"])
def entry(
    request: pytest.FixtureRequest, upstash: dict[str, dict[str, Any]], rest_server: dict[str, Any], settings: Any
) -> Iterator[dict[str, Any]]:
    entry = upstash["default"] = dict(upstash["native"] if request.param == "native" else rest_server)
    settings.UPSTASH = upstash
    yield entry
    connections.close_all()


@contextmanager
def computing(count: int) -> Iterator[None]:
    """Keep so many threads busy, each of which wants the interpreter for itself."""
    ended = threading.Event()

    def compute() -> None:
        while not ended.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=compute) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def in_threads(work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, range(THREADS)))


@pytest.mark.default_cases(4)
@pytest.mark.parametrize(("size", "busy"), [(4, 0), (16, 0), (40, 0), (16, 8)])
def test_limit__is_exact_however_busy_the_process_is(
    entry: dict[str, Any], settings: Any, size: int, busy: int, caplog: pytest.LogCaptureFixture
) -> None:
    entry["MAX_CONNECTIONS"] = size
    settings.UPSTASH_RATELIMIT = {"ON_FAILURE": "open"}
    limiter = RateLimiter(FixedWindow(f"{LIMIT}/h", scope="busy"))
    caplog.set_level(logging.WARNING, "django_upstash")

    def hit(_: int) -> Counter[tuple[bool, Reason]]:
        decisions = [limiter.hit("user:1") for _ in range(HITS if not busy else HITS // 10)]
        return Counter((decision.allowed, decision.reason) for decision in decisions)

    with computing(busy):
        counted = sum(in_threads(hit), Counter[tuple[bool, Reason]]())
    assert counted[True, Reason.WITHIN_LIMITS] == LIMIT
    assert {reason for allowed, reason in counted} <= {Reason.WITHIN_LIMITS, Reason.LIMITED, Reason.CONGESTED}
    assert caplog.records == []


@pytest.mark.parametrize("on_failure", ["default", "memory"])
def test_cache_and_sessions__are_never_empty_for_want_of_a_connection(
    entry: dict[str, Any], settings: Any, on_failure: str
) -> None:
    entry["MAX_CONNECTIONS"] = 4
    settings.UPSTASH_SESSIONS = {"ON_FAILURE": "anonymous"}
    cache = UpstashCache("default", {"KEY_PREFIX": "busy", "OPTIONS": {"ON_FAILURE": on_failure}})
    cache.set("k", "v")
    store = SessionStore()
    store["user"] = 1
    store.save()

    def read(_: int) -> Counter[Any]:
        found: Counter[Any] = Counter()
        for _ in range(20):
            found[cache.get("k"), SessionStore(store.session_key).get("user")] += 1
        return found

    assert sum(in_threads(read), Counter[Any]()) == {("v", 1): 20 * THREADS}
    assert cache.backend_in_use == "server"


@pytest.mark.parametrize("size", [1, 4])
def test_process__opens_no_more_connections_than_allowed(
    entry: dict[str, Any], settings: Any, valkey: Server, size: int
) -> None:
    entry["MAX_CONNECTIONS"] = size
    cache = UpstashCache("default", {"KEY_PREFIX": "busy", "OPTIONS": {}})
    limiter = RateLimiter(FixedWindow("10000/h", scope="busy"))
    breaker = CircuitBreaker("busy")

    def use(_: int) -> int:
        most = 0
        for turn in range(10):
            cache.set("k", turn)
            limiter.hit("user:1")
            with breaker:
                pass
            most = max(most, sum(len(stock.places) for stock in stocks()))
        return most

    def stocks() -> set[Any]:
        return {connection.route._pool._stock for connection in connections.opened()}  # type: ignore[attr-defined]

    before = valkey.connections()
    assert max(in_threads(use)) <= size
    assert len(stocks()) == 1
    if entry["URL"].startswith("http"):
        return
    assert 0 < valkey.connections() - before <= size


@pytest.mark.parametrize("size", [3, 4])
def test_limit__has_a_connection_while_the_cache_waits_on_all_it_may_use(entry: dict[str, Any], size: int) -> None:
    entry |= {"MAX_CONNECTIONS": size, "POOL_TIMEOUT": 0.05}
    limiter = RateLimiter(FixedWindow("5/m", scope="x"))
    limiter.hit("user:0")
    pool = connections["default"].route._pool  # type: ignore[attr-defined]
    wires = [pool.acquire() for _ in range(size - 1)]
    with pytest.raises(exceptions.PoolTimeoutError):
        pool.acquire()
    assert limiter.hit("user:1").reason is Reason.WITHIN_LIMITS
    for wire in wires:
        pool.release(wire)
    pool.release(pool.acquire())


@pytest.fixture
def all_in_use(entry: dict[str, Any]) -> Iterator[None]:
    """All connections of the process are lent, and nobody waits for long."""
    entry |= {"MAX_CONNECTIONS": 1, "POOL_TIMEOUT": 0.05}
    pool = connections["default"].route._pool  # type: ignore[attr-defined]
    wire = pool.acquire()  # limits have no other
    yield
    pool.release(wire)


@pytest.mark.default_cases(3)
@pytest.mark.usefixtures("all_in_use")
@pytest.mark.parametrize("on_failure", ["raise", "default", "memory"])
def test_cache__without_a_connection_in_time_raises(on_failure: str) -> None:
    cache = UpstashCache("default", {"KEY_PREFIX": "busy", "OPTIONS": {"ON_FAILURE": on_failure}})
    for call in (lambda: cache.get("k"), lambda: cache.set("k", 1), lambda: cache.smembers("k")):
        with pytest.raises(exceptions.PoolTimeoutError, match="All 1 connections were in use"):
            call()
    assert cache.backend_in_use == "server"
    assert connections["default"].availability.is_up


@pytest.mark.usefixtures("all_in_use")
def test_session__without_a_connection_in_time_raises(settings: Any) -> None:
    settings.UPSTASH_SESSIONS = {"ON_FAILURE": "anonymous"}
    with pytest.raises(exceptions.PoolTimeoutError):
        SessionStore("a" * 32).get("user")


@pytest.mark.default_cases(3)
@pytest.mark.usefixtures("all_in_use")
@pytest.mark.parametrize("on_failure", ["open", "closed", "local"])
def test_limit__without_a_connection_in_time_refuses(on_failure: Any, caplog: pytest.LogCaptureFixture) -> None:
    limiter = RateLimiter(FixedWindow("5/m", scope="x"), on_failure=on_failure)
    decision = limiter.hit("user:1")
    assert (decision.allowed, decision.reason, decision.retry_after) == (False, Reason.CONGESTED, 1.0)
    assert limiter.server.connection.availability.is_up
    assert caplog.records == []


@pytest.mark.usefixtures("all_in_use")
def test_decorator__without_a_connection_in_time_answers_503() -> None:
    from django.http import HttpRequest, HttpResponse

    from django_upstash.ratelimit.web import ratelimit

    @ratelimit("5/m", scope="x", on_failure="open")
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("allowed")

    response = view(RequestFactory().get("/"))
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")


@pytest.mark.usefixtures("all_in_use")
def test_throttle__without_a_connection_in_time_answers_503() -> None:
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from django_upstash.throttling import PolicyThrottle

    class Five(PolicyThrottle):
        scope = "x"
        policies = ("5/m",)

    class View(APIView):  # type: ignore[misc]
        throttle_classes = (Five,)
        authentication_classes = ()

        def get(self, request: Any) -> Response:
            return Response("allowed")

    response = View.as_view()(RequestFactory().get("/"))
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
