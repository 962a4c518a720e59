"""A write that its caller has given up runs before a later one to the same key, or not at all; others do not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from django_upstash.connections import Connection
from django_upstash.operations import Operation, checked, command
from django_upstash.settings.conf import make_settings
from django_upstash.wire.batching import PROBATION
from django_upstash.wire.written import overlap, written_keys
from tests.fault_proxy import FaultProxy
from tests.loops import on_each_loop, run
from tests.servers import start_valkey
from tests.wire.test_faults import proxy, rest_entry, route

__all__ = ["proxy", "route"]

WRITES: list[Any] = [
    pytest.param(command("SET", "w", "old"), id="SET"),
    pytest.param(Operation([("SET", "w", "old"), ("INCR", "n")], checked, atomic=True), id="MULTI"),
    pytest.param(Operation([("MSET", "v", "old", b"w", "old")], checked), id="MSET"),
    pytest.param(command("EVAL", "return redis.call('SET', KEYS[1], 'old')", 1, "w"), id="EVAL"),
    pytest.param(command("BITOP", "OR", "w", "old", "x"), id="another"),
]
begun = pytest.mark.parametrize("batches_before", [0, PROBATION - 1, PROBATION + 1])


@pytest.fixture
def connection(request: pytest.FixtureRequest, route: str, proxy: FaultProxy) -> Iterator[Connection]:
    entry: dict[str, Any] = {"URL": proxy.url}
    if route == "rest":
        entry = {**rest_entry(request), "URL": f"http://127.0.0.1:{proxy.port}"}
    connection = Connection(make_settings("x", {**entry, "TIMEOUT": 20}))
    connection.run(command("FLUSHALL"))
    yield connection
    connection.close()


async def given_up(call: Awaitable[Any]) -> None:
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(event: Any) -> None:
    while not event.is_set():
        await asyncio.sleep(0.005)


@begun
@pytest.mark.parametrize("write", WRITES)
@on_each_loop
def test_cancelled_write__does_not_win_over_a_later_one(
    connection: Connection, proxy: FaultProxy, route: str, write: Operation[Any], batches_before: int, loop: str
) -> None:
    shares_one_wire = route == "native" and batches_before > PROBATION

    async def main() -> Any:
        for _ in range(batches_before):
            await connection.arun(command("PING"))
        held = proxy.hold(b"old")
        cancelled = asyncio.ensure_future(connection.arun(write))
        await until(held.arrived)
        cancelled.cancel()
        later = asyncio.ensure_future(connection.arun(command("SET", "w", "new")))
        if not shares_one_wire:  # where whatever else there is to do goes on
            assert await connection.arun(command("SET", "other", "x", "PX", 60_000)) == b"OK"
            assert not later.done()
        held.released.set()
        await later
        return await connection.arun(command("GET", "w"))

    assert run(main(), loop) == b"new"


@begun
def test_batch_that_nobody_waits_for__is_not_sent(connection: Connection, batches_before: int) -> None:
    async def main() -> Any:
        for _ in range(batches_before):
            await connection.arun(command("PING"))
        await given_up(connection.arun(command("INCR", "never")))
        await asyncio.gather(
            given_up(connection.arun(command("INCR", "never"))), connection.arun(command("INCR", "always"))
        )
        return await connection.arun(command("MGET", "never", "always"))

    assert asyncio.run(main()) == [None, b"1"]


@pytest.mark.parametrize("ticks", range(8))
def test_cancelled_write__at_any_moment(connection: Connection, ticks: int) -> None:
    async def once(n: int) -> Any:
        write = asyncio.ensure_future(connection.arun(command("SET", "w", "old")))
        for _ in range(ticks):
            await asyncio.sleep(0)
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)
        await connection.arun(command("SET", "w", n))
        await asyncio.sleep(0.002)
        return await connection.arun(command("GET", "w"))

    async def all_of_them() -> list[Any]:
        return [await once(n) for n in range(12)]  # on threads' wires, where a wire is opened, and on the loop's own

    assert asyncio.run(all_of_them()) == [str(n).encode() for n in range(12)]


@on_each_loop
def test_cancelled_while_connecting__is_not_sent(loop: str) -> None:
    with start_valkey() as server, FaultProxy(server.port) as proxy:
        server.call("ACL", "SETUSER", "default", "resetpass", ">secret")
        connection = Connection(make_settings("x", {"URL": proxy.url, "PASSWORD": "secret", "TIMEOUT": 20}))

        async def main() -> Any:
            for _ in range(PROBATION):
                await connection.arun(command("PING"))
            held = proxy.hold(b"AUTH")
            write = asyncio.ensure_future(connection.arun(command("SET", "w", "old")))
            read = asyncio.ensure_future(connection.arun(command("GET", "w")))
            await until(held.arrived)
            write.cancel()
            await asyncio.gather(write, return_exceptions=True)
            held.released.set()
            return await read

        assert run(main(), loop) is None
        connection.close()


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        (("GET", "k"), []),
        (("set", "k", "v", "EX", 5), [b"k"]),
        ((b"HSET", b"\xff", "f", "v"), [b"\xff"]),
        (("DEL", "a", "b"), [b"a", b"b"]),
        (("MSET", "a", 1, "b", 2), [b"a", b"b"]),
        (("MSETEX", 2, "a", "1", "b", "2", "EX", "9"), [b"a", b"b"]),
        (("EVALSHA", "f" * 40, 2, "a", "b", "argument"), [b"a", b"b"]),
        (("EVAL", "return 1", 0), []),
        (("XGROUP", "CREATE", "s", "g", "$"), [b"s"]),
        (("RENAME", "a", "b"), [b"a", b"b"]),
        (("NEWCOMMAND", "x", 7), [b"x", b"7"]),
    ],
)
def test_written_keys__of_a_command(written: Any, keys: list[bytes]) -> None:
    assert written_keys([written]) == set(keys)


def test_flush__writes_every_key() -> None:
    assert overlap(written_keys([("FLUSHDB",)]), written_keys([("SET", "k", "v")]))
    assert overlap(written_keys([("DEL", "k")]), written_keys([("FLUSHALL", "ASYNC")]))
    assert not overlap(written_keys([("FLUSHDB",)]), written_keys([("GET", "k")]))
