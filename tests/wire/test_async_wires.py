"""What a failure of an event loop's own wire says about the server, and which wires it gives up."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from django_upstash import exceptions
from django_upstash.connections import Connection
from django_upstash.operations import Operation, command
from django_upstash.pubsub import subscribe
from django_upstash.settings.conf import make_settings
from django_upstash.wire.batching import PROBATION
from tests.fault_proxy import FaultProxy
from tests.loops import on_each_loop, run
from tests.servers import Server, start_valkey
from tests.wire.test_failing import shown_with_frames
from tests.wire.test_faults import proxy, rest_entry, route

__all__ = ["proxy", "route"]

TIMEOUT = 0.5


@pytest.fixture
def make(request: pytest.FixtureRequest, route: str, proxy: FaultProxy) -> Iterator[Any]:
    made: list[Connection] = []

    def make(timeout: float = TIMEOUT, idle_check: float = 10.0) -> Connection:
        entry: dict[str, Any] = {"URL": proxy.url, "TIMEOUT": timeout}
        if route == "rest":
            entry = {**rest_entry(request), **entry, "URL": f"http://127.0.0.1:{proxy.port}"}
        made.append(Connection(replace(make_settings("x", entry), idle_check=idle_check)))
        made[-1].run(command("DEL", "n"))
        return made[-1]

    yield make
    proxy.heal()
    for connection in made:
        connection.close()


async def settle(connection: Connection) -> None:
    """Earn the loop wires of its own."""
    for _ in range(PROBATION + 1):
        await connection.arun(command("PING"))


async def outcome(connection: Connection, *arguments: Any) -> Any:
    try:
        return await connection.arun(command(*arguments))
    except exceptions.UpstashError as error:
        return error


@on_each_loop
def test_lost_connection__that_has_answered_before_is_no_outage(make: Any, proxy: FaultProxy, loop: str) -> None:
    connection = make()

    async def main() -> Any:
        await settle(connection)
        proxy.close_before_reply()
        return await outcome(connection, "INCR", "n")

    error = run(main(), loop)
    assert isinstance(error, exceptions.ConnectionError)
    assert not error.is_outage
    assert connection.availability.is_up


@on_each_loop
def test_silent_connection__that_has_answered_before_is_in_doubt(make: Any, proxy: FaultProxy, loop: str) -> None:
    connection = make()

    async def main() -> Any:
        await settle(connection)
        proxy.forget()
        return [await outcome(connection, "GET", "n") for _ in range(2)]

    error, reply = run(main(), loop)
    assert isinstance(error, exceptions.TimeoutError)
    assert error.is_doubtful
    assert reply is None


@pytest.mark.default_cases(2)
@on_each_loop
def test_new_connection__that_is_refused_or_silent_is_an_outage(make: Any, proxy: FaultProxy, loop: str) -> None:
    connection = make()

    async def main() -> list[Any]:
        await settle(connection)
        proxy.refuse()
        proxy.sever()
        await asyncio.sleep(0.02)
        refused = await outcome(connection, "INCR", "n")
        proxy.heal()
        proxy.blackhole()
        return [refused, await outcome(connection, "INCR", "n")]

    refused, silent = run(main(), loop)
    assert "refused" in str(refused)
    assert isinstance(silent, exceptions.TimeoutError)
    assert refused.is_outage
    assert silent.is_outage
    assert not silent.is_doubtful


@pytest.mark.default_cases(2)
@on_each_loop
def test_forgotten_connections__cost_one_call(make: Any, proxy: FaultProxy, loop: str) -> None:
    """Several wires that a gateway has forgotten: the first to be silent speaks for all that are idle."""
    connection = make()

    async def main() -> list[Any]:
        await settle(connection)
        calls = []
        for _ in range(6):
            calls.append(asyncio.ensure_future(connection.arun(command("PING"))))
            await asyncio.sleep(0)
        await asyncio.gather(*calls)
        proxy.forget()
        return [await outcome(connection, "GET", "n") for _ in range(8)]

    outcomes = run(main(), loop)
    assert sum(isinstance(one, exceptions.UpstashError) for one in outcomes) == 1


@on_each_loop
def test_idle_connection__is_replaced_before_it_is_used_again(make: Any, proxy: FaultProxy, loop: str) -> None:
    connection = make(idle_check=0.05)

    async def main() -> list[Any]:
        await settle(connection)
        proxy.forget()
        await asyncio.sleep(0.1)  # idle
        return [await outcome(connection, "INCR", "n") for _ in range(3)]

    assert run(main(), loop) == [1, 2, 3]


@on_each_loop
def test_connections__are_kept_alive_by_the_kernel(make: Any, route: str, loop: str) -> None:
    connection = make()

    async def main() -> list[Any]:
        await settle(connection)
        lane = connection.route._lanes.current()
        wire = lane._wire if route == "native" else lane._idle[-1]
        sock = wire.transport.get_extra_info("socket")
        return [
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        ]

    is_on, seconds = run(main(), loop)
    assert is_on
    assert seconds <= 300


@pytest.mark.default_cases(1)
def test_answer__that_is_here_when_the_loop_comes_back_counts(make: Any, route: str, valkey: Server) -> None:
    """Under uvloop timers run before reads; a reply that is read in pieces is read to its end."""
    connection = make(timeout=1.0)
    connection.run(command("SET", "large", "v" * 1_000_000))

    async def main() -> list[int]:
        await settle(connection)
        lengths = []
        for _ in range(2):
            asked = asyncio.ensure_future(connection.arun(command("GET", "large")))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            time.sleep(1.3)
            lengths.append(len(await asked))
        return lengths

    for loop in ("asyncio", "uvloop"):
        pytest.importorskip(loop)
        assert run(main(), loop) == [1_000_000] * 2


# What condemns a connection: the native route's own errors.


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server, FaultProxy]]:
    """A primary, its successor, and the address that leads to one of them."""
    with start_valkey() as first, start_valkey() as second, FaultProxy(first.port) as proxy:
        yield first, second, proxy


def demote(first: Server, second: Server, proxy: FaultProxy) -> None:
    first.call("REPLICAOF", "127.0.0.1", str(second.port))
    proxy.lead_to(second.port)


def unlink(first: Server, second: Server, proxy: FaultProxy) -> None:
    """Make the first a replica without its primary, which has nothing to say: MASTERDOWN."""
    first.call("CONFIG", "SET", "replica-serve-stale-data", "no")
    first.call("REPLICAOF", "127.0.0.1", "1")
    proxy.lead_to(second.port)


@pytest.mark.parametrize("change", [demote, unlink])
@on_each_loop
def test_refusal_that_condemns_the_connection__is_sent_again_over_a_new_one(
    pair: tuple[Server, Server, FaultProxy], change: Any, loop: str
) -> None:
    proxy = pair[2]
    connection = Connection(make_settings("x", {"URL": proxy.url, "TIMEOUT": 5}))

    async def main() -> list[Any]:
        await settle(connection)
        change(*pair)
        first = await asyncio.gather(
            connection.arun(command("INCR", "a")),
            connection.arun(Operation([("INCR", "b"), ("PING",), ("SET", "c", 1)], list)),
            connection.arun(Operation([("INCR", "d"), ("INCR", "d")], list, atomic=True)),
        )
        return [*first, *[await connection.arun(command("INCR", "a")) for _ in range(5)]]

    assert run(main(), loop) == [1, [1, b"PONG", b"OK"], [1, 2], 2, 3, 4, 5, 6]
    connection.close()


def test_refusal_for_good__is_the_answer_and_opens_no_connection_each_time(
    pair: tuple[Server, Server, FaultProxy],
) -> None:
    first, second, proxy = pair
    connection = Connection(make_settings("x", {"URL": proxy.url, "TIMEOUT": 5}))

    async def main() -> list[Any]:
        await settle(connection)
        first.call("REPLICAOF", "127.0.0.1", str(second.port))
        return [await outcome(connection, "INCR", "a") for _ in range(50)]

    before = proxy.connections
    outcomes = asyncio.run(main())
    connection.close()
    assert {type(one) for one in outcomes} == {exceptions.ReadOnlyError}
    assert proxy.connections - before < 12


# One deadline for one opening.


@pytest.fixture
def guarded() -> Iterator[FaultProxy]:
    """A server with a password, whose answer to it drips."""
    with start_valkey() as server, FaultProxy(server.port) as proxy:
        server.call("ACL", "SETUSER", "default", "resetpass", ">right")
        proxy.drip(1, TIMEOUT / 2)
        yield proxy


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("way", ["commands", "blocking", "subscription"])
@on_each_loop
def test_handshake__that_drips_ends_at_the_deadline(guarded: FaultProxy, settings: Any, way: str, loop: str) -> None:
    entry = {"URL": guarded.url, "PASSWORD": "hush-hush", "TIMEOUT": TIMEOUT}
    settings.UPSTASH = {"x": entry}
    connection = Connection(make_settings("x", entry))

    async def main() -> Any:
        if way == "commands":
            connection.route._lanes.current()._batches = PROBATION  # type: ignore[attr-defined]
            return await connection.arun(command("PING"))
        if way == "blocking":
            client: Any = connection.async_redis
            return await client.blpop("q", 1)
        async with subscribe("c", alias="x") as messages:
            return await anext(messages)

    started = time.monotonic()
    with pytest.raises(exceptions.TimeoutError, match="nothing was sent") as caught:
        run(main(), loop)
    assert time.monotonic() - started < 8 * TIMEOUT + 2  # the answer alone would take 20 s
    assert "hush-hush" not in shown_with_frames(caught.value)
    connection.close()


@pytest.mark.parametrize("way", ["commands", "blocking", "subscription"])
def test_refused_password__is_in_no_frame(settings: Any, way: str) -> None:
    with start_valkey(requirepass="right") as server:
        entry = {"URL": server.tcp_url.replace("redis://:right@", "redis://"), "PASSWORD": "hush-hush"}
        settings.UPSTASH = {"x": entry}
        connection = Connection(make_settings("x", entry))

        async def main() -> Any:
            if way == "commands":
                connection.route._lanes.current()._batches = PROBATION  # type: ignore[attr-defined]
                return await connection.arun(command("PING"))
            if way == "blocking":
                client: Any = connection.async_redis
                return await client.blpop("q", 1)
            async with subscribe("c", alias="x") as messages:
                return await anext(messages)

        with pytest.raises(exceptions.ConnectionError) as caught:
            asyncio.run(main())
        connection.close()
    assert "hush-hush" not in shown_with_frames(caught.value)
