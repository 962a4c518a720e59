"""The official client, as it is."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import upstash_redis
import upstash_redis.asyncio
from upstash_redis.errors import UpstashError

from django_upstash.dev_server import LocalServer

SCRIPT = "redis.call('INCRBY', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])"


@pytest.fixture
def sdk(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[upstash_redis.Redis]:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    with upstash_redis.Redis.from_env(allow_telemetry=False, rest_retries=0) as client:
        yield client


def test_sync(sdk: upstash_redis.Redis) -> None:
    assert sdk.execute(["SET", "name", "välue", "EX", 100]) is True
    assert sdk.get("name") == "välue"
    assert 90 < sdk.ttl("name") <= 100
    assert sdk.get("missing") is None
    assert sdk.hset("hash", values={"a": "1", "b": "2"}) == 2
    assert sdk.hgetall("hash") == {"a": "1", "b": "2"}
    assert sdk.zadd("sorted", {"x": 1.5, "y": 2}) == 2
    assert sdk.zrange("sorted", 0, -1, withscores=True) == [("x", 1.5), ("y", 2.0)]
    assert sdk.scan(0)[0] == 0
    assert sdk.ping() == "PONG"
    assert sdk.dbsize() == 3


def test_sync__errors(sdk: upstash_redis.Redis) -> None:
    sdk.set("name", "text")

    with pytest.raises(UpstashError, match="ERR value is not an integer or out of range"):
        sdk.incr("name")
    with pytest.raises(UpstashError, match="NOSCRIPT No matching script"):
        sdk.evalsha("0" * 40)
    with pytest.raises(UpstashError, match='"BLPOP" is not allowed in REST'):
        sdk.execute(["BLPOP", "a", 0])


def test_sync__pipeline_and_multi(sdk: upstash_redis.Redis) -> None:
    with sdk.pipeline() as pipeline:
        pipeline.set("a", 1)
        pipeline.incr("a")
        pipeline.get("a")
        answers: list[Any] = pipeline.exec()
    assert answers == [True, 2, "2"]
    multi = sdk.multi()
    multi.incr("a")
    multi.hset("h", "f", "v")
    multi.get("a")
    answers = multi.exec()
    assert answers == [3, 1, "3"]


def test_sync__scripts(sdk: upstash_redis.Redis) -> None:
    for text in (SCRIPT, "#!lua flags=allow-key-locking\n" + SCRIPT):
        sha = sdk.script_load(text)
        assert sha == hashlib.sha1(text.encode()).hexdigest()
        assert sdk.script_exists(sha) == [True]
        assert sdk.evalsha(sha, keys=["n"], args=["2"]) == sdk.get("n")
        assert sdk.eval(text, keys=["n"], args=["3"]) == sdk.get("n")
    assert sdk.get("n") == "10"


def test_async(server: LocalServer) -> None:
    async def main() -> None:
        client = upstash_redis.asyncio.Redis(server.url, server.token, allow_telemetry=False, rest_retries=0)
        async with client:
            assert await client.execute(["SET", "a", "1"]) is True
            assert sorted(await asyncio.gather(*(client.incr("a") for _ in range(10)))) == list(range(2, 12))
            async with client.pipeline() as pipeline:
                pipeline.get("a")
                pipeline.delete("a")
                answers: list[Any] = await pipeline.exec()
            assert answers == ["11", 1]
            multi = client.multi()
            multi.set("b", "x")
            multi.get("b")
            answers = await multi.exec()
            assert answers == [True, "x"]
            assert await client.eval(SCRIPT, keys=["n"], args=["4"]) == "4"

    asyncio.run(main())


def test_read_only_token(server: LocalServer) -> None:
    with upstash_redis.Redis(server.url, "only-reads", allow_telemetry=False, rest_retries=0) as client:
        assert client.get("a") is None
        with pytest.raises(UpstashError, match="NOPERM this user has no permissions to run the 'set' command"):
            client.set("a", "1")
