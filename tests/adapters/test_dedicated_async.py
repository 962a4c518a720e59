"""Connections of one task's own: what ``test_dedicated.py`` tests, for asyncio."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from django_upstash import exceptions
from django_upstash.connections import Connection
from django_upstash.exceptions import NotOverRestError
from django_upstash.settings.conf import make_settings
from tests.fault_proxy import FaultProxy, TLSProxy
from tests.servers import Server, start_valkey
from tests.wire.test_lifecycle import in_child

pytestmark = [pytest.mark.matrix, pytest.mark.usefixtures("each_loop")]

Use = Callable[[Any], Awaitable[Any]]


def test_blocking_pop__waits_while_others_go_on(native: Connection) -> None:
    async def main() -> None:
        client: Any = native.async_redis
        popping = asyncio.create_task(client.blpop("q", 0))
        for n in range(30):
            assert await client.set("k", n)
        assert not popping.done()
        await client.rpush("q", "v")
        assert await popping == (b"q", b"v")
        assert await client.blpop("none", 0.01) is None
        assert await client.xread({"x": "$"}, block=10) == []

    asyncio.run(main())


def test_blocking_pop__waits_longer_than_the_timeout(upstash: dict[str, Any]) -> None:
    connection = Connection(make_settings("native", {**upstash["native"], "TIMEOUT": 0.1}))

    async def main() -> Any:
        client: Any = connection.async_redis
        async with client.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe("c")
            popping = asyncio.create_task(client.blpop("q", 5))
            listening = asyncio.create_task(anext(subscription.listen()))
            await asyncio.sleep(0.3)
            await client.rpush("q", "v")
            await client.publish("c", "m")
            return await popping, (await listening)["data"]

    assert asyncio.run(main()) == ((b"q", b"v"), b"m")
    connection.close()


def test_blocking_pop__cancelled(native: Connection, valkey: Server) -> None:
    async def main() -> None:
        client: Any = native.async_redis
        popping = asyncio.create_task(client.blpop("q", 0))
        while not (await client.info("clients"))["blocked_clients"]:
            pass
        popping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await popping
        await client.rpush("q", "v")
        assert await client.blpop("q", 1) == (b"q", b"v")

    asyncio.run(main())


def test_blocking_pop__cancelled_at_any_moment(native: Connection) -> None:
    async def main() -> None:
        client: Any = native.async_redis
        for ticks in [*range(20)] * 5:
            popping = asyncio.create_task(client.blpop("q", 60))
            for _ in range(ticks):
                await asyncio.sleep(0)
            popping.cancel()
            await asyncio.wait({popping}, timeout=20)
            assert popping.cancelled(), ticks

    asyncio.run(main())


def test_watch(native: Connection) -> None:
    async def increment(pipe: Any) -> None:
        value = int(await pipe.get("n") or 0)
        pipe.multi()
        pipe.set("n", value + 1)

    async def main() -> None:
        client: Any = native.async_redis
        await asyncio.gather(*(client.transaction(increment, "n") for _ in range(10)))
        assert await client.get("n") == b"10"
        async with client.pipeline() as pipe:
            await pipe.watch("n")
            await client.set("n", "changed")
            pipe.multi()
            pipe.set("n", "mine")
            with pytest.raises(redis.WatchError):
                await pipe.execute()
            await pipe.watch("n")
            pipe.multi()
            pipe.set("n", "x").lpush("n", "s3cret")
            with pytest.raises(exceptions.ResponseError, match=r"Command # 2 \(LPUSH\)") as caught:
                await pipe.execute()
        assert "s3cret" not in str(caught.value)

    asyncio.run(main())


def test_monitor_and_client(native: Connection) -> None:
    async def main() -> None:
        client: Any = native.async_redis
        async with client.monitor() as monitor:
            await client.get("seen")
            assert (await monitor.next_command())["command"] == "GET seen"
        async with client.client() as own:
            assert await own.execute_command("SELECT", 1)
            assert await own.client_id() > 0
            await own.set("k", "in database 1")
            assert await own.pipeline().get("k").execute() == [None]
        async with client.pipeline() as pipe:
            await pipe.watch("k")
            assert await pipe.get("k") is None  # nobody gets a connection that is in another database

    asyncio.run(main())


def test_connections__are_reused_and_replaced_when_dead(native: Connection, valkey: Server) -> None:
    async def main() -> tuple[int, int]:
        client: Any = native.async_redis
        await client.blpop("none", 0.01)
        with valkey.counting() as alive:
            for _ in range(3):
                await client.blpop("none", 0.01)
        valkey.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with valkey.counting() as dead:
            await client.blpop("none", 0.01)
        return alive.connections, dead.connections

    assert asyncio.run(main()) == (0, 1)


def test_connections__all_lent(upstash: dict[str, Any]) -> None:
    connection = Connection(make_settings("native", {**upstash["native"], "MAX_CONNECTIONS": 1, "POOL_TIMEOUT": 0.05}))

    async def main() -> None:
        client: Any = connection.async_redis
        async with client.pubsub() as subscription:
            await subscription.subscribe("c")
            with pytest.raises(exceptions.MaxConnectionsError):
                await client.blpop("q", 1)
        assert await client.blpop("q", 0.01) is None

    asyncio.run(main())
    connection.close()


def test_connections__end_with_their_loop(native: Connection, valkey: Server) -> None:
    before = valkey.call("INFO", "clients")

    async def main() -> None:
        await asyncio.gather(*(native.async_redis.blpop("none", 0.01) for _ in range(3)))

    for _ in range(3):
        asyncio.run(main())
    gc.collect()  # an unclosed connection would warn
    native.close()
    assert valkey.call("INFO", "clients").splitlines()[1] == before.splitlines()[1]


@pytest.mark.parametrize("proxied", [FaultProxy, TLSProxy])
def test_connections__use_the_same_address_and_user(proxied: Any) -> None:
    with start_valkey() as server, proxied(server.port) as proxy:
        server.call("ACL", "SETUSER", "default", "resetpass", ">p@ss word")
        entry = {"URL": proxy.url.replace("//", "//:p%40ss%20word@"), "CA_CERTS": None}
        if proxied is TLSProxy:
            entry["CA_CERTS"] = str(Path(proxy.certificate.ca_file))
        connection = Connection(make_settings("native", entry))

        async def main() -> Any:
            return await connection.async_redis.blpop("none", 0.01)

        assert asyncio.run(main()) is None
        connection.close()


def test_connections__cancelled_while_they_open() -> None:
    with start_valkey() as server, FaultProxy(server.port) as proxy:
        server.call("ACL", "SETUSER", "default", "resetpass", ">s3cret")
        entry = {"URL": f"redis://:s3cret@127.0.0.1:{proxy.port}", "MAX_CONNECTIONS": 1}
        connection = Connection(make_settings("native", entry))

        async def main() -> None:
            client: Any = connection.async_redis
            proxy.drop_replies()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.blpop("none", 0.01), 0.1)
            proxy.heal()
            assert await client.blpop("none", 0.01) is None
            gc.collect()  # a connection left open would warn

        asyncio.run(main())
        connection.close()


@pytest.fixture
def proxied() -> Iterator[tuple[FaultProxy, Connection]]:
    with start_valkey() as server, FaultProxy(server.port) as proxy:
        connection = Connection(make_settings("native", {"URL": proxy.url, "TIMEOUT": 0.3}))
        yield proxy, connection
        connection.close()


def test_blocking_pop__faults(proxied: tuple[FaultProxy, Connection]) -> None:
    proxy, connection = proxied

    async def main() -> None:
        client: Any = connection.async_redis
        await client.blpop("none", 0.01)
        proxy.reset_next()
        with pytest.raises(exceptions.ConnectionError, match="BLPOP"):
            await client.blpop("none", 0.01)
        assert await client.blpop("none", 0.01) is None
        proxy.latency(0.6)
        with pytest.raises(exceptions.TimeoutError, match="BLPOP"):
            await client.blpop("none", 0.01)
        proxy.refuse()
        with pytest.raises(exceptions.ConnectionError):
            await client.blpop("none", 0.01)

    asyncio.run(main())


def test_close__releases_every_connection(native: Connection) -> None:
    async def main() -> None:
        client: Any = native.async_redis
        await client.blpop("none", 0.01)
        popping = asyncio.create_task(client.blpop("q", 0))
        while not (await client.info("clients"))["blocked_clients"]:
            pass
        native.close()
        with pytest.raises(redis.ConnectionError):
            await popping
        assert await client.blpop("none", 0.01) is None

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork__children_take_connections_of_their_own(native: Connection) -> None:
    loops = [asyncio.new_event_loop()]
    client: Any = native.async_redis
    loops[0].run_until_complete(client.blpop("none", 0.01))

    async def use() -> list[Any]:
        parents = weakref.ref(loops[0])
        loops.clear()
        gc.collect()  # a transport collected here would take its socket out of the epoll set of both processes
        return [parents() is not None, await client.blpop("none", 0.01), (await client.echo("child")).decode()]

    waits = [in_child(lambda: asyncio.run(use())) for _ in range(2)]
    assert [wait() for wait in waits] == [[True, None, "child"]] * 2
    assert loops[0].run_until_complete(client.blpop("none", 0.01)) is None
    loops[0].run_until_complete(loops[0].shutdown_asyncgens())
    loops[0].close()


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.blpop("q", 1),
        lambda client: client.xread({"x": 0}, block=10),
        lambda client: client.pipeline().watch("k"),
        lambda client: client.pubsub(),
        lambda client: client.monitor(),
        lambda client: client.client(),
        lambda client: client.connection_pool.get_connection(),
    ],
)
def test_over_rest__raises_at_once(rest: Connection, use: Use) -> None:
    async def main() -> None:
        await use(rest.async_redis)

    with pytest.raises(NotOverRestError):
        asyncio.run(main())
    assert rest.meter.requests == 0
