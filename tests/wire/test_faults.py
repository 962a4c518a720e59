"""Faults made on the wire: each operation ends in time, in the documented error or result, and nothing runs twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from django_upstash import exceptions
from django_upstash.connections import Connection
from django_upstash.dev_server import LocalServer
from django_upstash.operations import Operation, command
from django_upstash.settings.conf import make_settings
from django_upstash.wire.batching import PROBATION
from tests.fault_proxy import REQUEST, FaultProxy
from tests.loops import needs_uvloop, new_loop
from tests.servers import Server

TIMEOUT = 0.4
Run = Callable[[Operation[Any]], Any]
Fault = Callable[[FaultProxy], None]


@pytest.fixture
def proxy(request: pytest.FixtureRequest, route: str, valkey: Server) -> Iterator[FaultProxy]:
    upstream = valkey.port if route == "native" else make_settings("x", rest_entry(request)).parts.port
    assert upstream is not None
    with FaultProxy(upstream) as proxy:
        yield proxy


def rest_entry(request: pytest.FixtureRequest) -> dict[str, Any]:
    server: LocalServer = request.getfixturevalue("local_server")
    return {"URL": server.url, "TOKEN": server.token}


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def faulty(request: pytest.FixtureRequest, route: str, proxy: FaultProxy, valkey: Server) -> Iterator[Connection]:
    entry: dict[str, Any] = {"URL": proxy.url}
    if route == "rest":
        entry = {**rest_entry(request), "URL": f"http://127.0.0.1:{proxy.port}"}
    connection = Connection(make_settings("faulty", {**entry, "TIMEOUT": TIMEOUT, "MAX_CONNECTIONS": 4}))
    valkey.call("FLUSHALL")
    while True:
        with suppress(exceptions.TimeoutError):  # the timeout is for the faults, and short for a busy machine
            connection.run(command("PING"))
            break
    yield connection
    proxy.heal()
    connection.close()


@pytest.fixture(params=["sync", "async", "async on wires of its own", needs_uvloop("uvloop, on wires of its own")])
def run(request: pytest.FixtureRequest, faulty: Connection) -> Iterator[Run]:
    """One way to run an operation, warmed up, in the same event loop each time."""
    if request.param == "sync":
        yield faulty.run
        return
    loop = "uvloop" if "uvloop" in request.param else "asyncio"
    with asyncio.Runner(loop_factory=new_loop(loop)) as runner:

        async def warm_up() -> None:
            for _ in range(PROBATION + 1):
                await faulty.arun(command("PING"))

        if request.param != "async":
            runner.run(warm_up())
        yield lambda operation: runner.run(faulty.arun(operation))


def outcome(run: Run, operation: Operation[Any]) -> Any:
    """Return the operation's result or error, and see to it that it came in time."""
    started = time.monotonic()
    try:
        return run(operation)
    except exceptions.UpstashError as error:
        return error
    finally:
        assert time.monotonic() - started < 3 * TIMEOUT + 1


LOST: list[Any] = [
    pytest.param(lambda proxy: proxy.close_before_request(), id="closed before the request"),
    pytest.param(lambda proxy: proxy.close_before_reply(), id="closed before the reply"),
    pytest.param(lambda proxy: proxy.reset_next(), id="reset before the reply"),
    pytest.param(lambda proxy: proxy.reset_next(3, REQUEST), id="reset within the request"),
    pytest.param(lambda proxy: proxy.truncate_reply(1), id="reply truncated"),
]
STALLED: list[Any] = [
    pytest.param(lambda proxy: proxy.drop_replies(), id="replies dropped"),
    pytest.param(lambda proxy: proxy.blackhole(), id="nothing passes"),
    pytest.param(lambda proxy: proxy.drip(1, TIMEOUT / 2), id="reply drips"),
]


@pytest.mark.parametrize("fault", LOST)
def test_incr__after_a_lost_connection_is_an_error_and_not_repeated(
    run: Run, proxy: FaultProxy, valkey: Server, fault: Fault
) -> None:
    run(command("INCR", "n"))
    fault(proxy)
    assert type(outcome(run, command("INCR", "n"))) in (exceptions.ConnectionError, exceptions.ProtocolError)
    proxy.heal()
    assert run(command("INCR", "n")) in (2, 3)


@pytest.mark.parametrize("fault", LOST)
def test_get__after_a_lost_connection_is_asked_again(run: Run, proxy: FaultProxy, fault: Fault) -> None:
    run(command("SET", "k", "value"))
    fault(proxy)
    assert outcome(run, command("GET", "k")) == b"value"


@pytest.mark.default_cases(8)
@pytest.mark.parametrize("fault", STALLED)
@pytest.mark.parametrize("name", ["INCR", "GET"])
def test_operation__stalled_is_a_timeout_and_not_repeated(run: Run, proxy: FaultProxy, fault: Fault, name: str) -> None:
    run(command("INCR", "k"))
    fault(proxy)
    error = outcome(run, command(name, "k"))
    assert type(error) is exceptions.TimeoutError
    assert "0.4 s" in str(error)
    proxy.heal()
    assert run(command("INCR", "k")) in (2, 3)


def test_operation__a_dead_idle_connection_is_found_before_use(run: Run, proxy: FaultProxy) -> None:
    run(command("INCR", "n"))
    proxy.sever()
    time.sleep(0.03)
    assert [outcome(run, command("INCR", "n")) for _ in range(3)] == [2, 3, 4]


def test_operation__refused_says_that_nothing_was_sent_and_recovers(run: Run, proxy: FaultProxy) -> None:
    proxy.refuse()
    proxy.sever()
    time.sleep(0.03)
    error = outcome(run, command("INCR", "n"))
    assert type(error) is exceptions.ConnectionError
    assert "refused" in str(error)
    proxy.heal()
    assert run(command("INCR", "n")) == 1


def test_operation__latency_is_borne(run: Run, proxy: FaultProxy) -> None:
    proxy.latency(0.05)
    assert outcome(run, command("INCR", "n")) == 1


def test_threads__through_faults_apply_each_increment_at_most_once(faulty: Connection, proxy: FaultProxy) -> None:
    import threading

    done: list[int] = []
    errors: list[Exception] = []

    def work() -> None:
        for _ in range(30):
            try:
                done.append(faulty.run(command("INCR", "n")))
            except exceptions.UpstashError as error:
                errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        proxy.close_before_reply(2)
        time.sleep(0.01)
        proxy.sever()
    proxy.heal()
    for thread in threads:
        thread.join()
    assert len(done) == len(set(done))  # no reply went to two callers, or to the wrong one
    total = int(faulty.run(command("GET", "n")))
    assert len(done) <= total <= len(done) + len(errors) == 240


def test_gathered__each_caller_gets_an_exception_of_its_own(faulty: Connection, proxy: FaultProxy) -> None:
    async def main() -> list[Any]:
        for _ in range(PROBATION + 1):
            await faulty.arun(command("PING"))
        proxy.close_before_reply()
        return await asyncio.gather(*(faulty.arun(command("INCR", "n")) for _ in range(5)), return_exceptions=True)

    errors = asyncio.run(main())
    assert all(isinstance(error, exceptions.ConnectionError) for error in errors)
    assert len({id(error) for error in errors}) == 5
    proxy.heal()
    assert faulty.run(command("INCR", "n")) == 6


GATEWAY: list[Any] = [
    pytest.param({"kind": "unauthorized"}, exceptions.AuthenticationError, id="401"),
    pytest.param({"kind": "too_many"}, exceptions.TooManyRequestsError, id="429"),
    pytest.param({"kind": "too_many", "html": True}, exceptions.TooManyRequestsError, id="429 page"),
    pytest.param({"kind": "quota"}, exceptions.QuotaExceededError, id="quota"),
    pytest.param({"kind": "readonly"}, exceptions.ReadOnlyError, id="upgrade"),
    pytest.param({"kind": "full"}, exceptions.OutOfMemoryError, id="full"),
    pytest.param({"kind": "html"}, exceptions.ServiceUnavailableError, id="502 page"),
    pytest.param({"kind": "empty"}, exceptions.ProtocolError, id="empty body"),
    pytest.param({"kind": "not_json"}, exceptions.ProtocolError, id="not JSON"),
    pytest.param({"kind": "truncate"}, exceptions.ProtocolError, id="truncated"),
    pytest.param({"kind": "drop_before"}, exceptions.ConnectionError, id="dropped before"),
    pytest.param({"kind": "drop_after"}, exceptions.ConnectionError, id="dropped after"),
    pytest.param({"kind": "reset"}, exceptions.ConnectionError, id="reset"),
    pytest.param({"kind": "latency", "seconds": 2 * TIMEOUT}, exceptions.TimeoutError, id="slow"),
]


@pytest.mark.default_cases(35)
@pytest.mark.parametrize("route", ["rest"], indirect=True)
@pytest.mark.parametrize("commands", [1, 3])
@pytest.mark.parametrize(("fault", "kind"), GATEWAY)
def test_rest__each_fault_of_the_gateway_is_one_typed_error(
    run: Run, local_server: LocalServer, fault: dict[str, Any], kind: type[Exception], commands: int
) -> None:
    run(command("INCR", "n"))
    local_server.inject(**fault)
    operation = Operation([("INCR", "n")] * commands, checked_all)
    error = outcome(run, operation)
    local_server.clear_faults()
    assert isinstance(error, kind)
    assert local_server.token not in str(error)
    assert run(command("INCR", "n")) in (2, 2 + commands)


def checked_all(replies: list[Any]) -> Any:
    errors = [reply for reply in replies if isinstance(reply, Exception)]
    if errors:
        assert len(errors) == len(replies)
        raise errors[0]
    return replies


@pytest.mark.parametrize("route", ["rest"], indirect=True)
@pytest.mark.parametrize("kind", ["html", "empty", "truncate", "drop_after", "drop_before"])
def test_rest__what_only_reads_is_asked_again(run: Run, local_server: LocalServer, kind: str) -> None:
    run(command("SET", "k", "v"))
    local_server.inject(kind)
    assert outcome(run, command("GET", "k")) == b"v"


def test_operation__a_large_request_to_a_stalled_server_ends_in_time(valkey: Server) -> None:
    connection = Connection(make_settings("native", {"URL": valkey.tcp_url, "TIMEOUT": TIMEOUT}))
    connection.ping()
    valkey.pause()
    try:
        error = outcome(connection.run, command("SET", "large", "v" * 50_000_000))
    finally:
        valkey.resume()
        connection.close()
    assert type(error) is exceptions.TimeoutError


def test_operation__time_spent_on_a_lost_connection_is_not_given_twice(faulty: Connection, proxy: FaultProxy) -> None:
    """The answer to the repeated command is waited for until the first one's deadline, not for a timeout of its own."""
    from django_upstash.wire.retrying import PooledRoute

    route = faulty.route
    assert isinstance(route, PooledRoute)
    faulty.ping()
    proxy.blackhole()
    wire = route._pool.acquire()
    started = time.monotonic()
    with pytest.raises((OSError, exceptions.UpstashError)):
        wire.exchange(b"*1\r\n$4\r\nPING\r\n", 1, started + TIMEOUT / 4)
    assert time.monotonic() - started < TIMEOUT
    route._pool.discard(wire)
