"""What a connection counts agrees with what the server counted, on each route, from threads and from tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import hiredis
import pytest

from django_upstash import exceptions
from django_upstash.connections import Connection, connections
from django_upstash.dev_server import LocalServer
from django_upstash.operations import Operation, checked, command, scripts
from django_upstash.settings.conf import make_settings
from django_upstash.wire.meter import BOUNDS, Meter, percentile
from tests.forking import exit_status_in_fork
from tests.servers import Server

THREADS = 32
EACH = 20


def net_bytes(valkey: Server) -> tuple[int, int]:
    """Return the bytes that the server has read and written, those of its ``INFO`` before this one included."""
    lines = valkey.call("INFO", "stats").decode().splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(values["total_net_input_bytes"]), int(values["total_net_output_bytes"])


def test_commands__are_those_the_server_ran(connection: Connection, valkey: Server, route: str) -> None:
    connection.run(command("PING"))
    before = connection.meter.read()
    with valkey.counting() as counted:
        connection.run(command("SET", "a", "1"))
        connection.run(Operation((("GET", "a"), ("GET", "b")), checked))
        connection.run(Operation((("SET", "a", "2"), ("SET", "b", "3")), checked, atomic=True))
    after = connection.meter.read()

    assert (after.requests - before.requests, after.commands - before.commands) == (3, 7)
    if route != "embedded":
        assert counted.commands == 7


def test_scripts__are_counted_apart(connection: Connection) -> None:
    connection.run(scripts.load("operations/release").operation(connection.capabilities, ["lease"], ["token"]))
    assert connection.meter.read().scripts >= 2  # EVALSHA, which the server does not know, and EVAL
    before = connection.meter.read().scripts

    connection.run(Operation((("EVAL", "return 1", 0), ("PING",), ("EVAL", "return 2", 0)), checked))

    assert connection.meter.read().scripts - before == 2


@pytest.mark.parametrize("route", ["native"])
def test_bytes__are_those_the_server_saw(connection: Connection, valkey: Server) -> None:
    connection.run(command("PING"))
    info = len(hiredis.pack_command(("INFO", "stats")))  # type: ignore[arg-type]
    sent, received = connection.meter.traffic.totals()
    read_before, _ = net_bytes(valkey)

    def work(number: int) -> None:
        for turn in range(EACH):
            connection.run(command("SET", f"{number}:{turn}", "x" * 100 * turn))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    read_after, _ = net_bytes(valkey)

    sent_after, received_after = connection.meter.traffic.totals()
    assert sent_after - sent == read_after - read_before - info
    assert received_after - received == THREADS * EACH * len(b"+OK\r\n")


@pytest.mark.parametrize("route", ["native", "rest"])
def test_bytes__of_tasks_are_those_of_threads(connection: Connection) -> None:
    async def work() -> None:
        for _ in range(60):  # the first ones travel in threads
            await connection.arun(command("GET", "missing"))

    connection.run(command("GET", "missing"))  # what is found out once is found out
    before = connection.meter.traffic.totals()
    connection.run(command("GET", "missing"))
    once = connection.meter.traffic.totals()
    asyncio.run(work())
    after = connection.meter.traffic.totals()

    assert after[0] - once[0] == 60 * (once[0] - before[0]) > 0
    # An HTTP answer's date and sizes are of equal lengths.
    assert after[1] - once[1] == 60 * (once[1] - before[1]) > 0


@pytest.mark.parametrize("route", ["rest"])
def test_bytes__over_rest_are_bodies_and_equal_headers(connection: Connection, local_server: LocalServer) -> None:
    connection.run(command("GET", "a"))
    local_server.reset_meter()
    before = connection.meter.traffic.totals()

    for _ in range(5):
        connection.run(command("GET", "a"))

    billed, after = local_server.meter(), connection.meter.traffic.totals()
    headers = [after[0] - before[0] - billed["bytes_in"], after[1] - before[1] - billed["bytes_out"]]
    assert all(size > 0 and size % 5 == 0 for size in headers)


def test_counts__outlive_the_sockets(connection: Connection) -> None:
    connection.run(command("PING"))
    before = connection.meter.traffic.totals()
    connection.close()
    assert connection.meter.traffic.totals() == before
    connection.run(command("PING"))

    assert connection.meter.traffic.totals() > before
    assert connection.meter.requests == 2
    assert len(connection.meter.traffic._flows) == 1


def test_counts__under_threads(connection: Connection) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: connection.run(command("PING")), range(THREADS * EACH)))

    reading = connection.meter.read()
    assert reading.requests == reading.commands == sum(reading.latencies) == THREADS * EACH


def test_errors__are_round_trips_that_failed(valkey: Server) -> None:
    connection = Connection(make_settings("gone", {"URL": "unix:///nowhere/valkey.sock"}))
    with pytest.raises(exceptions.ConnectionError):
        connection.run(command("PING"))

    reading = connection.meter.read()
    assert (reading.requests, reading.errors, reading.commands) == (1, 1, 0)


@pytest.mark.usefixtures("upstash")
def test_fork__begins_at_zero(fork: Callable[[], int]) -> None:
    connection = connections["native"]
    connection.run(command("PING"))
    connection.meter.looked_up(1, 1)

    def check() -> bool:
        connection.run(command("PING"))
        reading = connection.meter.read()
        return (reading.hits, reading.requests, reading.bytes_received) == (0, 1, len(b"+PONG\r\n"))

    assert exit_status_in_fork(check, fork) == 0
    assert connection.meter.requests == 1


@pytest.mark.parametrize(
    ("seconds", "share", "expected"),
    [
        ([], 0.5, None),
        ([0.001], 0.5, 0.001),
        ([0.0011] * 99 + [1.0], 0.5, 0.0012),
        ([0.0011] * 99 + [1.0], 0.99, 0.0012),
        ([0.0011] * 98 + [1.0] * 2, 0.99, 1.0),
        ([1000.0], 0.99, BOUNDS[-1]),
    ],
)
def test_percentile(seconds: list[float], share: float, expected: float | None) -> None:
    meter = Meter()
    for took in seconds:
        meter.ran(command("PING"), took)

    assert percentile(meter.read().latencies, share) == (None if expected is None else pytest.approx(expected))
