"""The Upstash SDK's API on every route."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from typing import Any

import httpx
import pytest
import upstash_redis.errors
from upstash_redis.utils import GeoSearchResult

from django_upstash import exceptions
from django_upstash.connections import Connection
from django_upstash.operations import command
from django_upstash.settings.conf import make_settings

SDKError = upstash_redis.errors.UpstashError
EVERY_BYTE = bytes(range(256))


@pytest.fixture
def client(connection: Connection) -> Any:
    return connection.upstash


def test_commands__as_the_sdk_formats_them(client: Any) -> None:
    assert client.set("k", "é", ex=100) is True
    assert (client.get("k"), client.get("none"), client.ttl("k")) == ("é", None, 100)
    assert client.set("k", 5, get=True) == "é"
    assert (client.incr("k"), client.incrbyfloat("k", 0.5)) == (6, 6.5)
    assert client.mset({"a": 1, "b": True, "c": {"list": [1]}}) is True
    assert client.mget("a", "b", "c", "none") == ["1", "true", '{"list": [1]}', None]
    assert client.hset("h", values={"f": "v"}) == 1
    assert (client.hgetall("h"), client.hexists("h", "f")) == ({"f": "v"}, True)
    assert client.sadd("s", "m") == 1
    assert client.sismember("s", "m") is True
    assert client.zadd("z", {"m": 1.5}) == 1
    assert (client.zrange("z", 0, -1, withscores=True), client.zscore("z", "m")) == ([("m", 1.5)], 1.5)
    assert client.xadd("x", "1-1", {"f": "v"}) == "1-1"
    assert client.geoadd("g", (13.361389, 38.115556, "Palermo")) == 1
    (found,) = client.geosearch("g", member="Palermo", unit="M", radius=10, withdist=True)
    assert found == GeoSearchResult("Palermo", distance=0.0)
    cursor, keys = client.scan(0, match="z", count=1000)
    assert (cursor, keys) == (0, ["z"])
    assert client.eval("return {KEYS[1], ARGV[1], 1.9}", ["a"], [2]) == ["a", "2", 1]
    assert client.bitfield("bits").set("u4", 0, 1).get("u4", 0).execute() == [0, 1]
    assert client.ping() == "PONG"


def test_commands__text_that_reads_ok(client: Any) -> None:
    client.set("k", "OK")
    assert client.get("k") == "OK"


def test_bytes__as_arguments(client: Any, connection: Connection) -> None:
    assert client.set("k", EVERY_BYTE) is True
    assert connection.run(command("GET", "k")) == EVERY_BYTE
    assert client.set("k", memoryview(b"ascii")) is True
    assert client.get("k") == "ascii"


def test_bytes__that_are_no_text_are_not_lost(client: Any, connection: Connection) -> None:
    connection.run(command("RPUSH", "l", EVERY_BYTE))
    read = client.lpop("l")
    assert read.encode("utf-8", "surrogateescape") == EVERY_BYTE
    client.set("copy", read)
    assert connection.run(command("GET", "copy")) == EVERY_BYTE


@pytest.mark.parametrize("text", ["\ud800", "\udcc3\udca9"])
def test_text__that_is_no_unicode_is_refused(client: Any, text: str) -> None:
    with pytest.raises(SDKError, match="surrogate"):
        client.set(text, 1)


def test_huge_integers__become_text(client: Any) -> None:
    client.set("k", 10**4000)
    assert client.strlen("k") == 4001


def test_errors__are_the_sdks_and_this_packages(client: Any) -> None:
    client.set("k", "text")
    with pytest.raises(SDKError) as caught:
        client.lpush("k", "s3cret")
    assert isinstance(caught.value, exceptions.ResponseError)
    assert str(caught.value).startswith("WRONGTYPE Operation against a key")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("run", "kind", "text"),
    [
        (lambda client: client.evalsha("f" * 40), exceptions.NoScriptError, "NOSCRIPT No matching script"),
        (lambda client: client.execute(["NOPE", "s3cret"]), exceptions.UnknownCommandError, "ERR "),
        (lambda client: client.incrby("text", 1), exceptions.ResponseError, "ERR value is not an integer"),
        (lambda client: client.execute(["SELECT", 1]), exceptions.DataError, "SELECT needs a connection"),
        (lambda client: client.execute(["XREAD", "BLOCK", 1, "STREAMS", "x", 0]), exceptions.DataError, "XREAD would"),
    ],
)
def test_errors__have_the_sdks_texts(client: Any, run: Any, kind: type[Exception], text: str) -> None:
    client.set("text", "x")
    with pytest.raises(SDKError) as caught:
        run(client)
    assert isinstance(caught.value, kind)
    assert str(caught.value).startswith(text)


def test_errors__of_the_wire(upstash: dict[str, Any]) -> None:
    connection = Connection(make_settings("rest", {**upstash["rest"], "TOKEN": "wrong-s3cret"}))
    client: Any = connection.upstash
    runs: list[Any] = [lambda: client.get("k"), lambda: client.pipeline().get("k").exec()]
    for run in runs:
        with pytest.raises(SDKError) as caught:
            run()
        assert isinstance(caught.value, exceptions.AuthenticationError)
        assert "s3cret" not in str(caught.value)
    connection.close()


@pytest.mark.parametrize("queue", ["pipeline", "multi"])
def test_pipeline__results(client: Any, connection: Connection, queue: str) -> None:
    pipe = getattr(client, queue)()
    results = pipe.set("k", 1).incr("k").zadd("z", {"m": 1.5}).zrange("z", 0, -1, withscores=True).exec()
    assert results == [True, 2, 1, [("m", 1.5)]]
    assert (connection.meter.requests, pipe.exec()) == (1, [])
    assert connection.meter.requests == 1


@pytest.mark.parametrize("queue", ["pipeline", "multi"])
def test_pipeline__an_error_keeps_the_results_and_sends_nothing_twice(client: Any, queue: str) -> None:
    pipe = getattr(client, queue)()
    pipe.incr("n").lpush("n", "s3cret").hset("h", "f", 1).hgetall("h")
    with pytest.raises(SDKError) as caught:
        pipe.exec()
    first, error, *others = caught.value.results  # type: ignore[attr-defined]
    assert (first, others) == (1, [1, {"f": "1"}])
    assert error is caught.value
    assert pipe.exec() == []
    assert client.get("n") == "1"


def test_multi__discarded(client: Any) -> None:
    pipe = client.multi()
    pipe.set("k", 1).execute(["NOPE", "s3cret"])
    with pytest.raises(SDKError, match="EXECABORT") as caught:
        pipe.exec()
    assert "s3cret" not in str(caught.value)
    assert client.get("k") is None


def test_json_and_search__pass_through(client: Any) -> None:
    runs: list[Any] = [lambda: client.json.set("k", "$", {"a": 1}), lambda: client.search.index("i").describe()]
    for run in runs:
        with pytest.raises(SDKError, match=r"JSON\.SET|SEARCH\.DESCRIBE"):
            run()


def test_client__reports_nothing_and_shows_no_secret(client: Any, connection: Connection) -> None:
    assert (client._allow_telemetry, client._headers) == (False, {})
    assert connection.settings.token is None or connection.settings.token not in repr(client)


def http_clients() -> list[Any]:
    return [found for found in gc.get_objects() if issubclass(type(found), httpx.Client | httpx.AsyncClient)]


def test_client__opens_no_http_client(connection: Connection) -> None:
    of_other_tests = http_clients()

    async def use() -> None:
        async with connection.async_upstash as client:
            await client.get("k")

    with connection.upstash as client:
        client.get("k")
    asyncio.run(use())
    assert client.ping() == "PONG"  # closing the client closed nothing
    assert all(any(found is other for other in of_other_tests) for found in http_clients())


def test_client__is_safe_under_threads(client: Any) -> None:
    wrong: list[Any] = []

    def work(name: int) -> None:
        try:
            for n in range(20):
                if client.pipeline().set(f"k{name}", n).get(f"k{name}").exec() != [True, str(n)]:
                    wrong.append(name)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_async_client(connection: Connection) -> None:
    async def main() -> None:
        client: Any = connection.async_upstash
        assert await client.set("k", "é") is True
        assert await client.get("k") == "é"
        assert sorted(await asyncio.gather(*(client.incr("n") for _ in range(20)))) == list(range(1, 21))
        pipe = client.pipeline()
        assert await pipe.exec() == []
        pipe.incr("n").lpush("n", "s3cret").get("k")
        with pytest.raises(SDKError, match="WRONGTYPE") as caught:
            await pipe.exec()
        assert caught.value.results[::2] == [21, "é"]  # type: ignore[attr-defined]
        assert await pipe.exec() == []
        assert await client.multi().set("k", 1).incr("k").exec() == [True, 2]
        with pytest.raises(SDKError, match="NOSCRIPT"):
            await client.evalsha("f" * 40)
        with pytest.raises(SDKError, match="surrogate"):
            await client.set("\ud800", 1)

    asyncio.run(main())


def test_redis_adapter__imports_no_sdk() -> None:
    code = "import sys, django_upstash.adapters.redis; assert not {'upstash_redis', 'httpx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
