"""Wires that lead nowhere, or to a server that has become another: one failure says something of all of that age."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from django_upstash import exceptions
from django_upstash.connections import Connection
from django_upstash.dev_server import LocalServer
from django_upstash.operations import Operation, command
from django_upstash.settings.conf import make_settings
from tests.fault_proxy import FaultProxy, Link
from tests.outages import eventually
from tests.servers import Server, start_valkey

WIRES = 6
TIMEOUT = 0.5


class Forgetful(FaultProxy):
    """A proxy that can forget the connections it has, as routers do: they fall silent, and new ones work."""

    def forget(self) -> None:
        known = set(self._links)

        async def fault(link: Link, direction: Any, data: bytes) -> None:
            if link not in known:
                await self._forward(link, direction, data)

        self._fault = fault


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def proxy(route: str, valkey: Server, local_server: LocalServer) -> Iterator[Forgetful]:
    with Forgetful(valkey.port if route == "native" else int(local_server.url.rpartition(":")[2])) as proxy:
        yield proxy


@pytest.fixture
def connection(route: str, proxy: Forgetful, local_server: LocalServer) -> Iterator[Connection]:
    entry: dict[str, Any] = {"URL": proxy.url, "TIMEOUT": TIMEOUT, "MAX_CONNECTIONS": WIRES}
    if route == "rest":
        entry |= {"URL": f"http://127.0.0.1:{proxy.port}", "TOKEN": local_server.token}
    connection = Connection(make_settings("x", entry))
    connection.run(command("DEL", "n"))
    yield connection
    proxy.heal()
    connection.close()


def warm(connection: Connection, proxy: FaultProxy) -> None:
    """Have all wires open and idle."""
    proxy.latency(0.1)
    barrier = threading.Barrier(WIRES)

    def ask(_: int) -> None:
        barrier.wait(20)
        connection.ping()

    with ThreadPoolExecutor(WIRES) as threads:
        list(threads.map(ask, range(WIRES)))
    proxy.heal()


def age(connection: Connection, seconds: float) -> None:
    """Make the idle wires look as if they had been idle for so many seconds more."""
    for wire in connection.route._pool._idle:  # type: ignore[attr-defined]
        wire.idle_since -= seconds


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", ["GET", "INCR"])
def test_forgotten_wires__cost_one_timeout(connection: Connection, proxy: Forgetful, name: str) -> None:
    warm(connection, proxy)
    proxy.forget()
    with pytest.raises(exceptions.TimeoutError):
        connection.run(command(name, "n"))
    for _ in range(2 * WIRES):
        connection.run(command(name, "n"))


def test_forgotten_wires__are_an_outage_of_a_round_trip(connection: Connection, proxy: Forgetful) -> None:
    connection.availability.pause = 1000.0
    warm(connection, proxy)
    proxy.forget()
    with pytest.raises(exceptions.TimeoutError):
        connection.run(command("GET", "n"))
    eventually(connection.availability.may_ask)


def test_reset_wires__are_no_outage(connection: Connection, proxy: Forgetful) -> None:
    connection.availability.pause = 1000.0
    warm(connection, proxy)
    proxy.close_before_reply()
    with pytest.raises(exceptions.ConnectionError) as caught:
        connection.run(command("INCR", "n"))
    assert (caught.value.is_outage, connection.availability.is_up) == (False, True)
    assert connection.run(command("INCR", "n")) in (1, 2)


def test_reset_wires__what_may_run_twice_does_so_on_a_new_one(connection: Connection, proxy: Forgetful) -> None:
    warm(connection, proxy)
    opened = proxy.connections
    proxy.close_before_reply()
    assert connection.run(command("GET", "n")) is None
    assert proxy.connections == opened + 1


def test_refused_connections__are_an_outage(connection: Connection, proxy: Forgetful) -> None:
    connection.availability.pause = 1000.0
    warm(connection, proxy)
    proxy.refuse()
    proxy.sever()
    with pytest.raises(exceptions.ConnectionError):
        connection.run(command("GET", "n"))
    assert not connection.availability.is_up


def test_idle_wires__are_tested_before_what_may_not_run_twice(connection: Connection, proxy: Forgetful) -> None:
    warm(connection, proxy)
    age(connection, connection.settings.idle_check)
    proxy.forget()
    assert [connection.run(command("INCR", "n")) for _ in range(3)] == [1, 2, 3]
    assert connection.availability.is_up


def test_idle_wires__that_lead_to_the_server_are_kept_natively(connection: Connection, proxy: Forgetful) -> None:
    warm(connection, proxy)
    age(connection, connection.settings.idle_check)
    opened = proxy.connections
    connection.run(command("INCR", "n"))
    assert proxy.connections - opened == (0 if connection.settings.route == "native" else 1)
    age(connection, connection.settings.idle_check)
    opened, trips = proxy.connections, proxy.round_trips
    assert connection.run(command("GET", "n")) == b"1"  # may run twice: nothing to test
    assert (proxy.connections - opened, proxy.round_trips - trips) == (0, 1)


def test_keepalive__is_set_on_every_socket(valkey: Server, local_server: LocalServer) -> None:
    import socket

    with FaultProxy(valkey.port) as proxy:
        native = Connection(make_settings("x", {"URL": proxy.url}))
        rest = Connection(make_settings("x", {"URL": local_server.url, "TOKEN": local_server.token}))
        for connection in (native, rest):
            connection.ping()
            (wire,) = connection.route._pool._idle  # type: ignore[attr-defined]
            assert wire._line.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert wire._line.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
            connection.close()
        lent: Any = native.redis.connection_pool.get_connection()
        assert lent._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        native.redis.connection_pool.release(lent)
        native.close()


@pytest.fixture
def demoted() -> Iterator[tuple[Connection, FaultProxy, Server]]:
    """A connection to a primary that has become a replica, while its address leads to the new primary."""
    with start_valkey() as old, start_valkey() as new, FaultProxy(old.port) as proxy:
        connection = Connection(make_settings("x", {"URL": proxy.url, "MAX_CONNECTIONS": WIRES}))
        warm(connection, proxy)
        connection.run(command("SET", "k", "1"))
        new.call("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        old.call("REPLICAOF", "127.0.0.1", str(new.port))
        deadline = time.monotonic() + 20
        while b"master_link_status:up" not in old.call("INFO", "replication") and time.monotonic() < deadline:
            time.sleep(0.05)
        proxy._upstream = new.port
        yield connection, proxy, new
        connection.close()


def test_demoted__writes_go_to_the_successor(demoted: tuple[Connection, FaultProxy, Server]) -> None:
    connection, proxy, new = demoted
    opened = proxy.connections
    assert connection.run(command("SET", "k", "2")) == b"OK"
    assert new.call("GET", "k") == b"2"
    assert [connection.run(command("INCR", "n")) for _ in range(WIRES)] == [*range(1, WIRES + 1)]
    assert proxy.connections - opened == 1


def test_demoted__only_refused_slots_are_sent_again(demoted: tuple[Connection, FaultProxy, Server]) -> None:
    connection, _, new = demoted
    new.call("INCRBY", "n", "5")
    replies = connection.route.execute([("ECHO", "a"), ("INCR", "n"), ("ECHO", "b"), ("GET",), ("INCR", "n")])
    assert [replies[0], replies[1], replies[2], replies[4]] == [b"a", 6, b"b", 7]
    assert isinstance(replies[3], exceptions.ResponseError)


def test_demoted__a_transaction_is_sent_again_whole(demoted: tuple[Connection, FaultProxy, Server]) -> None:
    connection, _, new = demoted
    replies = connection.route.execute([("GET", "n"), ("INCR", "n"), ("INCR", "n")], atomic=True)
    assert replies == [None, 1, 2]
    assert new.call("GET", "n") == b"2"


def test_read_only__is_an_error_and_costs_one_more_attempt() -> None:
    with start_valkey() as primary, start_valkey() as replica:
        primary.call("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        replica.call("REPLICAOF", "127.0.0.1", str(primary.port))
        connection = Connection(make_settings("x", {"URL": replica.tcp_url}))
        connection.ping()
        for _ in range(2):
            with pytest.raises(exceptions.ReadOnlyError):
                connection.run(command("SET", "k", "1"))
        assert connection.run(Operation([("PING",), ("SET", "k", "1")], lambda replies: replies[0])) == b"PONG"
        connection.close()


def test_password_changed__a_new_wire_logs_in(valkey: Server) -> None:
    valkey.call("ACL", "SETUSER", "renewed", "on", ">secret", "~*", "+@all")
    try:
        url = f"redis://renewed:secret@127.0.0.1:{valkey.port}/0"
        connection = Connection(make_settings("x", {"URL": url}))
        connection.ping()
        (wire,) = connection.route._pool._idle  # type: ignore[attr-defined]
        wire.exchange(b"*1\r\n$5\r\nRESET\r\n", 1, time.monotonic() + 5)  # as a server that has forgotten the login
        valkey.call("ACL", "SETUSER", "default", "resetpass")
        assert connection.run(command("SET", "k", "1")) == b"OK"
        connection.close()
    finally:
        valkey.call("ACL", "SETUSER", "default", "on", "nopass")
        valkey.call("ACL", "DELUSER", "renewed")
