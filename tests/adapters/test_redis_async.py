"""redis-py's asyncio API on every route."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
import redis.asyncio

from django_upstash import exceptions
from django_upstash.adapters.redis import AsyncRouteRedis
from django_upstash.connections import Connection
from tests.servers import Server

pytestmark = pytest.mark.matrix

ADD = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


def test_client__opens_nothing_and_shows_no_secret(connection: Connection, valkey: Server) -> None:
    with valkey.counting() as counted:
        shown = f"{connection.async_redis!r} {connection.async_redis.connection_pool!r}"
    assert counted.connections == 0
    assert connection.settings.token is None or connection.settings.token not in shown


def test_commands(connection: Connection) -> None:
    async def main() -> None:
        client: Any = connection.async_redis
        assert await client.set("k", "v", ex=100) is True
        assert (await client.get("k"), await client.ttl("k"), await client.mget([])) == (b"v", 100, [])
        assert await client.hset("h", mapping={"a": 1}) == 1
        assert await client.hgetall("h") == {b"a": b"1"}
        assert await client.zadd("z", {"m": 1.5}) == 1
        assert await client.zrange("z", 0, -1, withscores=True) == [(b"m", 1.5)]
        assert await client.memory_usage("k") > 0
        with pytest.raises(exceptions.ResponseError):
            await client.lpush("k", "x")
        with pytest.raises(redis.DataError):
            await client.set("k", None)
        with pytest.raises(redis.DataError, match="connection of its own"):
            await client.execute_command("SELECT", 1)

    asyncio.run(main())


def test_commands__of_one_tick_leave_together(connection: Connection) -> None:
    async def main() -> Any:
        client: Any = connection.async_redis
        await asyncio.gather(*(client.incr("n") for _ in range(50)))
        pipes = [client.pipeline(transaction=False).incr("n") for _ in range(20)]
        return await asyncio.gather(*(pipe.execute() for pipe in pipes))

    assert sorted(asyncio.run(main())) == [[n] for n in range(51, 71)]


def test_client__closing_it_closes_nothing(connection: Connection) -> None:
    async def main() -> None:
        async with connection.async_redis as client:
            await client.set("k", "v")
        await connection.async_redis.aclose()
        assert await connection.async_redis.get("k") == b"v"

    asyncio.run(main())
    asyncio.run(main())


@pytest.mark.parametrize("transaction", [True, False])
def test_pipeline(connection: Connection, transaction: bool) -> None:
    async def main() -> None:
        client: Any = connection.async_redis
        add = client.register_script(ADD)
        async with client.pipeline(transaction=transaction) as pipe:
            assert await pipe.execute() == []
            await add(keys=["n"], args=[2], client=pipe)
            await add(keys=["n"], args=[3], client=pipe)
            assert await pipe.set("k", 1).mget([]).hset("h", "a", 1).hgetall("h").execute() == [
                *(2, 5, True, []),
                *(1, {b"a": b"1"}),
            ]
            ok, error, value = await pipe.set("k", "x").incr("k").get("k").execute(raise_on_error=False)
            assert (ok, type(error), value) == (True, exceptions.ResponseError, b"x")
            with pytest.raises(exceptions.ResponseError, match=r"Command # 2 \(LPUSH\)") as caught:
                await pipe.set("k", "s3cret").lpush("k", "s3cret").execute()
            assert "s3cret" not in str(caught.value)
            assert await pipe.get("k").execute() == [b"s3cret"]

    asyncio.run(main())


def test_transaction__discarded(connection: Connection) -> None:
    async def main() -> None:
        client: Any = connection.async_redis
        with pytest.raises(redis.exceptions.ExecAbortError):
            await client.pipeline().set("k", 1).execute_command("NOPE").execute()
        assert await client.get("k") is None

    asyncio.run(main())


def test_script_and_scan(connection: Connection) -> None:
    async def main() -> None:
        client: Any = connection.async_redis
        add = client.register_script(ADD)
        assert [await add(keys=["n"], args=[5]) for _ in range(2)] == [5, 10]
        await client.mset({f"many:{n}": n for n in range(1000)})
        assert {key async for key in client.scan_iter("many:*", count=500)} == {b"many:%d" % n for n in range(1000)}

    asyncio.run(main())
    assert connection.redis.script_exists(connection.redis.register_script(ADD).sha) == [True]


def test_response_callback__that_is_a_coroutine_function(connection: Connection) -> None:
    async def decode(reply: bytes, **options: Any) -> str:
        return reply.decode()

    async def main() -> None:
        client: Any = AsyncRouteRedis(connection)
        client.set_response_callback("GET", decode)
        await client.set("k", "v")
        assert await client.get("k") == "v"
        assert await client.pipeline().get("k").execute() == ["v"]

    asyncio.run(main())


def test_lock__one_holder_among_tasks(connection: Connection) -> None:
    async def main() -> tuple[int, int]:
        client: Any = connection.async_redis
        inside = most = entered = 0

        async def work() -> None:
            nonlocal inside, most, entered
            async with client.lock("l", timeout=20, sleep=0.002) as lock:
                inside += 1
                most = max(most, inside)
                entered += 1
                assert await lock.owned()
                inside -= 1

        await asyncio.gather(*(work() for _ in range(10)))
        return most, entered

    assert asyncio.run(main()) == (1, 10)


def test_lock__expired(connection: Connection) -> None:
    async def main() -> None:
        client: Any = connection.async_redis
        lock = client.lock("l", timeout=10)
        assert await lock.acquire()
        assert await lock.extend(10)
        assert await lock.reacquire()
        await client.delete("l")
        with pytest.raises(redis.exceptions.LockNotOwnedError):
            await lock.release()

    asyncio.run(main())
