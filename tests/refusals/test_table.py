"""The table in docs/failures.md: what each feature says, logs and reports where a server is there and refuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any

import django
import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from django_upstash import exceptions, flushing
from django_upstash.breaker import CircuitBreaker
from django_upstash.cache import UpstashCache
from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from django_upstash.idempotency import IdempotencyStore, idempotent
from django_upstash.locks import Lock
from django_upstash.log import get_logger
from django_upstash.pubsub import apublish, publish
from django_upstash.queues import Queue
from django_upstash.ratelimit import FixedWindow, RateLimiter, Reason, SlidingWindow
from django_upstash.sessions import SessionStore
from django_upstash.tenants import Tenant
from django_upstash.tenants.metering import meter_of
from django_upstash.tenants.tenant_keys import space
from django_upstash.wire.refusals import Reports, reports
from tests import one_answer
from tests.management.calls import failing_health
from tests.servers import Server, start_valkey

KINDS: dict[str, type[exceptions.UpstashError]] = {
    "NOPERM": exceptions.NoPermissionError,
    "OOM": exceptions.OutOfMemoryError,
    "READONLY": exceptions.ReadOnlyError,
    "quota": exceptions.QuotaExceededError,
    "429": exceptions.TooManyRequestsError,
    "NOAUTH": exceptions.AuthenticationError,
    "website": exceptions.ProtocolError,
    "404": exceptions.ProtocolError,
}
_FAULTS = {"OOM": "full", "READONLY": "readonly", "quota": "quota", "429": "too_many", "NOAUTH": "unauthorized"}
_QUOTA = b"-ERR max requests limit exceeded. Limit: 500000, Usage: 500000\r\n"
_PAGE = "<!DOCTYPE html><title>Welcome</title>"
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
# What an ACL of reading is: TIME and EVALSHA are not in it.
_READER = ("reset", "on", ">pw", "~*", "&*", "+@read", "+ping", "+info", "+select", "+client")


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=KINDS)
def refusal(
    request: pytest.FixtureRequest, route: str, settings: Any, valkey: Server, local_server: LocalServer
) -> Iterator[type[exceptions.UpstashError]]:
    """ "default" is a server that refuses; the value is the error it does so with."""
    kind = str(request.param)
    if route == "native" and kind == "429":
        pytest.skip("429 is a status of HTTP.")
    reports.forget()
    with ExitStack() as stack:
        make = _native if route == "native" else _rest
        settings.UPSTASH = {"default": {**make(stack, kind, local_server, valkey), "TIMEOUT": 20}}
        settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}
        yield KINDS[kind]
        connections.close_all()
        local_server.clear_faults()


def _native(stack: ExitStack, kind: str, local_server: LocalServer, valkey: Server) -> dict[str, Any]:
    if kind == "website":
        return {"URL": stack.enter_context(one_answer.rest(_PAGE)).replace("http", "redis")}
    if kind == "404":
        return {"URL": stack.enter_context(one_answer.native(_NOT_FOUND))}
    if kind == "quota":
        return {"URL": stack.enter_context(one_answer.native(_QUOTA))}
    config: dict[str, str] = {"OOM": {"maxmemory": "1"}, "READONLY": {"replicaof": "127.0.0.1 1"}}.get(kind, {})
    server = stack.enter_context(start_valkey(**config))
    server.call("ACL", "SETUSER", "few", *_READER)
    user = {"NOPERM": "few:pw@", "NOAUTH": "few:wrong@"}.get(kind, "")
    return {"URL": f"redis://{user}127.0.0.1:{server.port}/0"}


def _rest(stack: ExitStack, kind: str, local_server: LocalServer, valkey: Server) -> dict[str, Any]:
    if kind in ("website", "404"):
        return {"URL": stack.enter_context(one_answer.rest(_PAGE, 404 if kind == "404" else 200)), "TOKEN": "t"}
    valkey.call("FLUSHALL")
    if kind == "NOPERM":
        reader = stack.enter_context(LocalServer(valkey.url, read_only_token="reader"))
        return {"URL": reader.url, "TOKEN": "reader"}
    local_server.inject(_FAULTS[kind], count=100_000)
    return {"URL": local_server.url, "TOKEN": local_server.token}


def errors(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR and one.name == name]


def test_cache__raises(refusal: type[Exception]) -> None:
    cache = UpstashCache("default", {})
    for _ in range(3):
        with pytest.raises(refusal):
            cache.set("k", 1, 60)


@pytest.mark.parametrize("way", ["default", "memory"])
def test_cache__without_the_server(refusal: type[Exception], way: str, caplog: pytest.LogCaptureFixture) -> None:
    cache = UpstashCache("default", {"OPTIONS": {"ON_FAILURE": way}})
    if refusal is exceptions.NoPermissionError:
        with pytest.raises(refusal):
            cache.set("k", 1, 60)
    else:
        is_answered_here = way == "memory" and issubclass(refusal, exceptions.ConnectionError)
        assert [cache.set("k", 1, 60) for _ in range(5)] == [is_answered_here] * 5
    if way == "default":
        assert len(errors(caplog, "django_upstash.cache")) == 1


def test_cache__that_ignores_exceptions(refusal: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    cache = UpstashCache("default", {"OPTIONS": {"IGNORE_EXCEPTIONS": True}})
    assert [cache.set("k", 1, 60) for _ in range(5)] == [False] * 5
    assert len(errors(caplog, "django_upstash.cache")) == 1


@pytest.mark.default_cases(17)
@pytest.mark.parametrize("policy", [FixedWindow("3/h", scope="f"), SlidingWindow("3/h", scope="s")])
@pytest.mark.parametrize("way", ["open", "local"])
def test_limits__stay_limits(refusal: type[Exception], policy: Any, way: Any, caplog: pytest.LogCaptureFixture) -> None:
    limiter = RateLimiter(policy, on_failure=way)
    found = [limiter.hit("user:1") for _ in range(50)]
    assert [decision.allowed for decision in found] == [True] * 3 + [False] * 47
    assert {decision.reason for decision in found} == {Reason.UNAVAILABLE}
    (line,) = errors(caplog, "django_upstash.ratelimit")
    assert "Rate limits are decided without the server" in line


@pytest.mark.parametrize("on_refusal", ["open", "closed"])
def test_limits__as_on_refusal_says(refusal: type[Exception], on_refusal: str, settings: Any) -> None:
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20, "ON_REFUSAL": on_refusal}
    is_open = on_refusal == "open"
    assert [RateLimiter(SlidingWindow("1/h")).hit("user:1").allowed for _ in range(5)] == [is_open] * 5
    assert not RateLimiter(SlidingWindow("1/h"), on_failure="closed").hit("user:1").allowed


def session() -> None:
    one = SessionStore()
    one["a"] = 1
    one.save()


async def asession() -> None:
    one = SessionStore()
    await one.aset("a", 1)
    await one.asave()


@pytest.mark.parametrize(
    "call",
    [
        session,
        lambda: Lock("l", wait=0).acquire(),
        lambda: Queue("q").enqueue({"a": 1}),
        lambda: IdempotencyStore().begin("key", {"a": 1}),
    ],
    ids=["session", "lock", "queue", "idempotency"],
)
def test_what_needs_the_server__raises(refusal: type[Exception], call: Callable[[], Any]) -> None:
    with pytest.raises(refusal):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: UpstashCache("default", {}).aset("k", 1, 60),
        lambda: Lock("l", wait=0).aacquire(),
        asession,
        lambda: Queue("q").aenqueue({"a": 1}),
        lambda: IdempotencyStore().abegin("key", {"a": 1}),
        lambda: Tenant("acme").aconfigure(plan="gold"),
    ],
    ids=["cache", "lock", "session", "queue", "idempotency", "tenant"],
)
def test_what_needs_the_server__raises_awaited(refusal: type[Exception], call: Callable[[], Any]) -> None:
    async def main() -> None:
        with pytest.raises(refusal):
            await call()

    asyncio.run(main())


def test_limits__stay_limits_awaited(refusal: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    limiter = RateLimiter(FixedWindow("3/h", scope="f"), on_failure="open")

    async def main() -> list[bool]:
        return [(await limiter.ahit("user:1")).allowed for _ in range(10)]

    assert asyncio.run(main()) == [True] * 3 + [False] * 7
    assert len(errors(caplog, "django_upstash.ratelimit")) == 1


@pytest.mark.parametrize("way", ["sync", "async"])
def test_usage__is_kept(refusal: type[Exception], way: str, caplog: pytest.LogCaptureFixture) -> None:
    usage = Tenant("acme").usage
    usage.add("tokens", 3)
    with pytest.raises(refusal):
        usage.flush() if way == "sync" else asyncio.run(usage.aflush())
    flushing.write_due()
    assert meter_of(space()).pending == 1
    meter_of(space()).forget("acme")


def test_statistics__cost_no_decision(
    refusal: type[Exception], settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20, "STATISTICS": True}
    limiter = RateLimiter(FixedWindow("3/h", scope="f"), on_failure="open")
    assert [limiter.hit("user:1").allowed for _ in range(5)] == [True] * 3 + [False] * 2
    flushing.write_all()
    assert len(errors(caplog, "django_upstash.ratelimit")) == 1


@pytest.mark.matrix
@pytest.mark.skipif(django.VERSION < (6, 0), reason="this Django has no tasks")
@pytest.mark.parametrize("way", ["sync", "async"])
def test_task__is_not_enqueued(refusal: type[Exception], settings: Any, way: str) -> None:
    from tests.tasks import jobs

    settings.TASKS = {"default": {"BACKEND": "django_upstash.tasks.UpstashBackend"}}
    with pytest.raises(refusal):
        jobs.add.enqueue(1, 2) if way == "sync" else asyncio.run(jobs.add.aenqueue(1, 2))


@pytest.mark.parametrize("way", ["sync", "async"])
def test_publish(refusal: type[Exception], way: str) -> None:
    with does_or(refusal, refusal in (exceptions.ReadOnlyError, exceptions.OutOfMemoryError)):
        publish("news", "x") if way == "sync" else asyncio.run(apublish("news", "x"))


def does_or(refusal: type[Exception], may_work: bool) -> AbstractContextManager[Any]:
    """Expect the refusal; where the server may do it all the same, either."""
    return suppress(refusal) if may_work else pytest.raises(refusal)


def test_breaker__is_the_process_s_own(refusal: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    breaker = CircuitBreaker("b", failure_threshold=2)

    def fails() -> None:
        raise OSError("down")

    for _ in range(2):
        with pytest.raises(OSError, match="down"):
            breaker.call(fails)
    with pytest.raises(exceptions.CircuitOpen):
        breaker.call(fails)
    assert len(errors(caplog, "django_upstash.breaker")) == 1


def test_breaker__is_the_process_s_own_awaited(refusal: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    breaker = CircuitBreaker("b", failure_threshold=2)

    async def fails() -> None:
        raise OSError("down")

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(OSError, match="down"):
                await breaker.acall(fails)
        with pytest.raises(exceptions.CircuitOpen):
            await breaker.acall(fails)

    asyncio.run(main())
    assert len(errors(caplog, "django_upstash.breaker")) == 1


@pytest.mark.parametrize("way", ["sync", "async"])
def test_anonymous_session__is_empty_where_it_cannot_be_read(
    refusal: type[Exception], way: str, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.UPSTASH_SESSIONS = {"ON_FAILURE": "anonymous"}
    one = SessionStore("a" * 32)
    assert (one.load() if way == "sync" else asyncio.run(one.aload())) == {}
    # A replica, a full database and a user without scripts may still read.
    assert one.is_unavailable or issubclass(refusal, exceptions.ResponseError)
    assert len(errors(caplog, "django_upstash.sessions")) == one.is_unavailable


@pytest.mark.parametrize("on_failure", ["open", "closed"])
@pytest.mark.parametrize("way", ["sync", "async"])
def test_idempotent_view__fails_as_on_failure_says(
    refusal: type[Exception], way: str, on_failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    request = RequestFactory().post("/", {}, headers={"Idempotency-Key": '"k"'})
    protect = idempotent(on_failure=on_failure, principal=lambda request, user: "ann")
    if way == "sync":
        response = protect(lambda request: HttpResponse("done"))(request)
    else:
        response = asyncio.run(protect(adone)(request))
    assert response.status_code == (200 if on_failure == "open" else 503)
    assert len(errors(caplog, "django_upstash.idempotency")) == 1


async def adone(request: Any) -> HttpResponse:
    return HttpResponse("done")


def test_redis_health__fails(refusal: type[Exception]) -> None:
    code, _, said = failing_health()
    assert code == 1
    assert "FAIL" in said


def test_used_up__is_no_storm(route: str, settings: Any, local_server: LocalServer) -> None:
    """Two callers in a row are refused by the server; for a second those after them are by this process."""
    if route == "native":
        pytest.skip("The same code; requests are counted by the REST server.")
    settings.UPSTASH = {"default": {"URL": local_server.url, "TOKEN": local_server.token}}
    for fault in ("quota", "too_many"):
        connections.close_all()
        local_server.inject(fault, count=1000)
        local_server.reset_meter()
        cache = UpstashCache("default", {"OPTIONS": {"ON_FAILURE": "default"}})
        for _ in range(200):
            cache.get("k")
        assert local_server.meter()["requests"] < 40
        local_server.clear_faults()


def test_retry_after__is_told_and_heeded() -> None:
    from django_upstash.connections import Connection
    from django_upstash.operations import command
    from django_upstash.settings.conf import make_settings

    with one_answer.rest('{"error":"ERR slow down"}', 429, Retry_After="30") as url:
        connection = Connection(make_settings("x", {"URL": url, "TOKEN": "t"}))
        found = []
        for _ in range(10):
            with pytest.raises(exceptions.TooManyRequestsError, match="30 s") as caught:
                connection.run(command("GET", "k"))
            found.append(caught.value.retry_after)
        assert found == [30] * 10
        assert connection.meter.errors == 1
        connection.close()


def test_report__is_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    several, log = Reports(lambda: now[0]), get_logger("django_upstash")
    error = exceptions.NoPermissionError("no")
    for moment in (0, 1, 59, 60, 61, 130):
        now[0] = moment
        several.report(log, "redis://x", "Something", error)
    several.report(log, "redis://y", "Something", error)
    several.report(log, "redis://y", "Something", exceptions.TimeoutError("is no refusal"))
    assert len(caplog.records) == 4
