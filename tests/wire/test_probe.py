"""An outage on the wire: who waits for the server, and how a process finds out that it is back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import perf_counter
from typing import Any

import pytest

from django_upstash import exceptions
from django_upstash.connections import Connection, connections
from django_upstash.dev_server import LocalServer
from django_upstash.operations import command
from django_upstash.settings.conf import make_settings
from tests.fault_proxy import FaultProxy
from tests.outages import eventually, find_back
from tests.servers import Server

THREADS = 16
AWAY = exceptions.TimeoutError("x")


class Wire:
    """A connection over a proxy, and callers that ask it as features do."""

    def __init__(self, proxy: FaultProxy, url: str, token: str | None) -> None:
        self.proxy = proxy
        entry = {"URL": url, "RETRIES": 0, "TIMEOUT": 0.3, "MAX_CONNECTIONS": THREADS}
        # One that is registered, and so told of forks.
        given = make_settings("x", {**entry, **({"TOKEN": token} if token else {})})
        self.connection = connections.for_settings(given)
        self.connection.availability.pause = 0.02
        self._probed_from = 0

    def ask(self, _: Any = None) -> bool:
        """Tell whether the server was asked."""
        if not self.connection.availability.may_ask():
            return False
        with suppress(exceptions.TimeoutError):
            self.connection.run(command("PING"))
        return True

    async def aask(self) -> bool:
        if not self.connection.availability.may_ask():
            return False
        with suppress(exceptions.TimeoutError):
            await self.connection.arun(command("PING"))
        return True

    def note_probes(self) -> None:
        eventually(lambda: not probes_under_way())
        self._probed_from = self.proxy.connections

    @property
    def probes(self) -> int:
        """How many were sent since, each of them on a connection of its own."""
        return self.proxy.connections - self._probed_from


@pytest.fixture(params=["native", "rest"])
def wire(request: pytest.FixtureRequest, valkey: Server, local_server: LocalServer) -> Iterator[Wire]:
    is_native = request.param == "native"
    with FaultProxy(valkey.port if is_native else int(local_server.url.rpartition(":")[2])) as proxy:
        url = proxy.url if is_native else f"http://127.0.0.1:{proxy.port}"
        wire = Wire(proxy, url, None if is_native else local_server.token)
        yield wire
        proxy.heal()
        eventually(lambda: not probes_under_way())
        connections.close_all()


def probes_under_way() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "django_upstash-probe"]


def test_connection__tells_its_own(wire: Wire) -> None:
    wire.connection.availability.pause = 1000.0
    wire.proxy.close_before_reply()
    with pytest.raises(exceptions.ConnectionError):
        wire.connection.ping()
    assert wire.connection.availability.may_ask() is False
    wire.connection.ping()
    assert wire.connection.availability.is_up


@pytest.mark.default_cases(1)
def test_outage__costs_each_of_16_threads_one_timeout(wire: Wire) -> None:
    wire.ask()
    wire.proxy.blackhole()
    with ThreadPoolExecutor(THREADS) as pool:
        # Those in flight at the beginning.
        assert any([*pool.map(wire.ask, range(THREADS))])
        waited, requests = wire.connection.meter.errors, wire.connection.meter.requests
        assert 1 <= waited <= THREADS
        wire.note_probes()
        sent = wire.proxy.round_trips
        # Five probes in vain, in which time 20 pauses and more pass by.
        while wire.probes < 5:
            assert not any(pool.map(wire.ask, range(THREADS)))
            threading.Event().wait(0.002)
    assert (wire.connection.meter.errors, wire.connection.meter.requests) == (waited, requests)
    assert wire.proxy.round_trips - sent in (wire.probes - 1, wire.probes)
    wire.proxy.heal()
    eventually(wire.ask)
    assert (wire.connection.meter.errors, wire.connection.meter.requests) == (waited, requests + 1)


@pytest.mark.default_cases(1)
def test_outage__costs_each_of_16_tasks_one_timeout(wire: Wire) -> None:
    async def ask_all() -> list[bool]:
        return await asyncio.gather(*(wire.aask() for _ in range(THREADS)))

    async def main() -> None:
        await wire.aask()
        wire.proxy.blackhole()
        assert all(await ask_all())
        waited, requests = wire.connection.meter.errors, wire.connection.meter.requests
        assert waited == THREADS
        wire.note_probes()
        while wire.probes < 5:
            assert not any(await ask_all())
            await asyncio.sleep(0.002)
        assert (wire.connection.meter.errors, wire.connection.meter.requests) == (waited, requests)
        wire.proxy.heal()
        while not await wire.aask():
            await asyncio.sleep(0.002)
        assert wire.connection.meter.errors == waited

    asyncio.run(asyncio.wait_for(main(), 30))


def test_outage__no_packet_leaves_while_the_server_is_left_alone(wire: Wire) -> None:
    wire.connection.availability.pause = 1000.0
    wire.connection.availability.failed(AWAY, perf_counter())
    assert not any(wire.ask() for _ in range(100))
    assert (wire.proxy.connections, wire.connection.meter.requests) == (0, 0)


def test_probe__leaves_neither_thread_nor_socket(connection: Connection) -> None:
    counted = connection.meter.commands
    opened = connection.route.open_connections  # the fixture's own, of the same alias
    for _ in range(3):
        connection.availability.failed(AWAY, perf_counter())
        find_back(connection)
    eventually(lambda: not probes_under_way())
    assert connection.meter.commands == counted
    # What is left open is a ResourceWarning, and so an error, at the latest when it is collected.
    assert (connection.route.open_connections, connection.ping()) == (opened, True)


def test_probe__outlives_neither_its_timeout_nor_its_connection(wire: Wire) -> None:
    wire.ask()
    wire.proxy.blackhole()
    wire.ask()
    wire.note_probes()
    wire.connection.availability.pause = 0.0
    wire.ask()
    wire.connection.availability.pause = 1000.0
    eventually(lambda: wire.probes == 1)
    wire.connection.close()
    eventually(lambda: not probes_under_way())
    assert wire.probes == 1
    wire.proxy.heal()
    wire.connection.availability.pause = 0.0
    eventually(wire.ask)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, 1.0), ({"TIMEOUT": 0.25}, 0.25), ({"CONNECT_TIMEOUT": 0.1}, 0.1), ({"CONNECT_TIMEOUT": 3}, 1.0)],
)
def test_probe__waits_a_second_at_most(given: dict[str, Any], expected: float) -> None:
    with FaultProxy(1) as nobody:
        nobody.refuse()
        probe = Connection(make_settings("x", {"URL": nobody.url, **given})).availability._probe
        settings: Any = vars(probe)["_settings"]
        with pytest.raises(exceptions.ConnectionError):
            probe()
    assert (settings.connect_seconds, settings.retries, settings.max_connections) == (expected, 0, 1)
    assert settings.timeout == min(1.0, given.get("TIMEOUT", 1.0))


def test_probe__a_wrong_password_is_an_outage_and_a_refused_command_none(valkey: Server) -> None:
    valkey.call("ACL", "SETUSER", "probed", "on", ">secret", "~*", "+@all")
    try:
        connection = Connection(make_settings("x", {"URL": f"redis://probed:wrong@127.0.0.1:{valkey.port}/0"}))
        probe: Callable[[], object] = connection.availability._probe
        with pytest.raises(exceptions.AuthenticationError):
            probe()
        valkey.call("ACL", "SETUSER", "probed", ">wrong", "-ping")
        probe()  # a refusal is an answer
    finally:
        valkey.call("ACL", "DELUSER", "probed")


@pytest.mark.default_cases(2)
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_probe__of_the_parent_is_none_of_a_forked_child(wire: Wire, fork: Callable[[], int]) -> None:
    wire.ask()
    wire.proxy.blackhole()
    wire.ask()
    wire.connection.availability.pause = 0.0
    wire.note_probes()
    eventually(lambda: not wire.ask() and wire.probes > 0 and bool(probes_under_way()))
    with wire.connection.availability._lock:
        child = fork()
        if child == 0:
            signal.alarm(60)
            os._exit(_exit_code(wire))
    wire.proxy.heal()
    assert os.waitpid(child, 0)[1] == 0
    eventually(wire.ask)


def _exit_code(wire: Wire) -> int:
    try:
        eventually(wire.ask)
    except BaseException:
        return 1
    return 0


_ENDING = """
import sys
from django.conf import settings
settings.configure()
from django_upstash.settings.conf import make_settings
from django_upstash.connections import Connection
from django_upstash.exceptions import TimeoutError
connection = Connection(make_settings("x", {"URL": sys.argv[1], "RETRIES": 0, "TIMEOUT": 0.1}))
try:
    connection.ping()
except TimeoutError:
    connection.availability.pause = 0.0
    import atexit
    atexit.register(connection.availability.may_ask)
    sys.exit(connection.availability.may_ask())
"""


def test_probe__does_not_keep_the_process_nor_warn_at_its_end(valkey: Server) -> None:
    with FaultProxy(valkey.port) as proxy:
        proxy.blackhole()
        ran = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", _ENDING, proxy.url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ran.returncode, ran.stderr, ran.stdout) == (0, "", "")
