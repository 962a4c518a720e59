"""While the server is away, each process has a circuit of its own, and shares it again when the server is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from django_upstash.breaker import CircuitBreaker, State
from django_upstash.dev_server import LocalServer
from django_upstash.exceptions import ConnectionError, UpstashError
from tests.breaker.conftest import Elapse, Failure, Process, Start, fail, succeed
from tests.fault_proxy import FaultProxy
from tests.outages import find_back
from tests.servers import Server

pytestmark = pytest.mark.matrix


@pytest.fixture
def proxy(
    route: str, valkey: Server, local_server: LocalServer, upstash: dict[str, dict[str, Any]], settings: Any
) -> Iterator[FaultProxy]:
    """The wire to the server of the route, which can be cut."""
    rest_port = urlsplit(local_server.url).port or 0
    with FaultProxy(valkey.socket_path if route == "native" else rest_port) as proxy:
        url = proxy.url if route == "native" else f"http://{proxy.host}:{proxy.port}"
        settings.UPSTASH = {**upstash, route: {**upstash[route], "URL": url, "RETRIES": 0}}
        yield proxy


def cut(proxy: FaultProxy) -> None:
    proxy.refuse()
    proxy.sever()


def heal(proxy: FaultProxy, *processes: Process) -> None:
    proxy.heal()
    for process in processes:
        find_back(process.link.connection)


def test_away__opens_probes_and_closes_alone(proxy: FaultProxy, start: Start, elapse: Elapse) -> None:
    process = start(failure_threshold=3, success_threshold=2, timeout=30)
    cut(proxy)
    assert [process.tries(fail) for _ in range(4)] == ["failed"] * 3 + ["refused"]
    assert process.state == "open"
    elapse(31, process)
    assert process.tries(fail) == "failed"
    assert process.tries(succeed) == "refused"
    elapse(31, process)
    assert [process.tries(succeed) for _ in range(2)] == ["passed"] * 2
    assert process.state is State.CLOSED


def test_away__so_many_probes_in_each_process(proxy: FaultProxy, start: Start, elapse: Elapse) -> None:
    processes = [start(failure_threshold=1, timeout=30, probes=1) for _ in range(2)]
    cut(proxy)
    for process in processes:
        process.tries(fail)
    elapse(31, *processes)
    for process in processes:
        with process.probing():
            assert process.tries(succeed) == "refused"


def test_away__what_is_known_open_stays_so(proxy: FaultProxy, start: Start, elapse: Elapse) -> None:
    process = start(failure_threshold=1, success_threshold=1, timeout=30)
    process.tries(fail)
    cut(proxy)
    assert process.tries(succeed) == "refused"
    elapse(31, process)
    with process.probing():
        assert process.tries(succeed) == "refused"
    assert process.tries(succeed) == "passed"
    assert process.state is State.CLOSED


def test_away__what_is_forced_stays_so(proxy: FaultProxy, start: Start, elapse: Elapse) -> None:
    process = start(timeout=30)
    process.force_open()
    cut(proxy)
    for _ in range(3):
        elapse(31, process)
        assert process.tries(succeed) == "refused"
    heal(proxy, process)
    process.force_open(60)
    cut(proxy)
    elapse(61, process)
    assert process.tries(succeed) == "passed"


def test_away__what_is_forced_for_a_time_ends_then(proxy: FaultProxy, start: Start, elapse: Elapse) -> None:
    process = start(failure_threshold=1, timeout=30)
    process.tries(fail)
    elapse(31, process)
    with process.probing():
        process.force_open(60)
        cut(proxy)
    assert process.tries(succeed) == "refused"
    elapse(60, process)
    assert process.tries(succeed) == "passed"


def test_away__what_is_forced_for_a_time_ends_within_a_millisecond(proxy: FaultProxy, start: Start) -> None:
    process = start(timeout=30)
    process.seconds += 0.0004
    process.force_open(60)
    cut(proxy)
    process.seconds = process.circuit.asks_at
    assert process.tries(succeed) == "passed"


def test_return__shares_what_was_opened_meanwhile(proxy: FaultProxy, start: Start, elapse: Elapse) -> None:
    process, other = (start(failure_threshold=1, success_threshold=1, timeout=30) for _ in range(2))
    cut(proxy)
    process.tries(fail)
    heal(proxy, process, other)
    elapse(31, process, other)
    with process.probing():
        assert other.read().state is State.HALF_OPEN
        assert other.tries(succeed) == "refused"
    assert process.state is State.CLOSED
    assert other.read().state is State.CLOSED


def test_away__a_probe_that_ends_after_the_loss(proxy: FaultProxy, start: Start, elapse: Elapse) -> None:
    process = start(failure_threshold=1, success_threshold=1, timeout=30)
    process.tries(fail)
    elapse(31, process)
    with process.probing():
        cut(proxy)
    assert process.state is State.CLOSED


def test_away__costs_one_question_and_one_line(
    proxy: FaultProxy, start: Start, caplog: pytest.LogCaptureFixture, elapse: Elapse
) -> None:
    process = start(failure_threshold=1000)
    connection = process.link.connection
    cut(proxy)
    with caplog.at_level(logging.WARNING, "django_upstash.breaker"):
        for _ in range(20):
            elapse(2, process)
            assert process.tries(fail) == "failed"
        assert connection.meter.errors == 1
        heal(proxy, process)
        elapse(2, process)
        assert process.tries(fail) == "failed"
    first, second = [record.getMessage() for record in caplog.records if record.name == "django_upstash.breaker"]
    assert first.startswith("Circuits are this process's own while ")
    assert second.endswith(" again.")


def test_away__forcing_says_so(proxy: FaultProxy, start: Start) -> None:
    process = start()
    cut(proxy)
    with pytest.raises(ConnectionError):
        process.force_open()
    with pytest.raises(UpstashError):
        process.read()
    assert process.tries(succeed) == "passed"


def test_refusing_server__is_as_one_that_is_away(start: Start, valkey: Server) -> None:
    process = start(failure_threshold=2)
    valkey.call("SADD", "breaker:stripe", "a member of a set, where a text should be")
    assert [process.tries(fail) for _ in range(3)] == ["failed", "failed", "refused"]


@pytest.mark.parametrize("kind", ["force_open", "force_close", "disable"])
def test_without_redis__circuits_are_of_the_process(settings: Any, kind: str) -> None:
    settings.UPSTASH = {}
    breaker = CircuitBreaker(f"without redis {kind}", failure_threshold=2)
    for _ in range(2):
        with pytest.raises(Failure):
            breaker.call(fail)
    assert breaker.stats.opens == 1
    getattr(breaker, kind)()
    assert breaker.read().state is breaker.state
    assert breaker.state.is_forced
    assert asyncio.run(breaker.arelease()).state is State.CLOSED
    assert breaker.call(succeed) == "done"
